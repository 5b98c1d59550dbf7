//! Cycles in which a token would spin for ever: no task and no waiting event lies on them, and nothing
//! that changes variables, so that what has led into them keeps leading round.
//!
//! Strongly connected components of the instant elements: linear, where a depth-first search over
//! paths would be exponential on diamonds.

use std::collections::HashSet;

use super::Context;
use super::references::is_bpmn;
use crate::diagnostic::{Diagnostic, Rule};
use crate::graph::components;
use crate::model::{FlowNode, FlowNodeKind, Namespace};

/// Reports each such cycle once, at its first element in document order.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for mut component in cycles(cx) {
        component.sort_unstable();
        let names: Vec<_> = component.iter().take(8).map(|it| format!("`{}`", cx.process.nodes[*it].id)).collect();
        let more = if component.len() > 8 { ", ..." } else { "" };
        let message = format!("the cycle through {}{more} passes no task and no waiting event", names.join(", "));
        out.push(cx.error(component[0], Rule::ZeroWaitLoop, message));
    }
}

/// Whether a token passes the element at once, with the variables that it came with.
fn passes(cx: &Context<'_>, node: usize) -> bool {
    let it = &cx.process.nodes[node];
    is_instant(&it.kind) && !crate::compile::is_bound(&cx.source, node) && !maps(it)
}

fn maps(node: &FlowNode) -> bool {
    let vendors = [(&Namespace::Zeebe, "ioMapping"), (&Namespace::Camunda, "inputOutput")];
    vendors.iter().any(|(namespace, name)| node.extensions.find(namespace, name).is_some())
        || node.details.iter().any(|it| is_bpmn(it, "dataInputAssociation") || is_bpmn(it, "dataOutputAssociation"))
}

/// Whether a token waits in the cycle for one that comes from elsewhere.
fn waits(cx: &Context<'_>, cycle: &[usize]) -> bool {
    let inside: HashSet<usize> = cycle.iter().copied().collect();
    let sources = |it: usize| cx.graph.incoming[it].iter().filter_map(|flow| cx.graph.ends[*flow]).map(|it| it.0);
    cycle.iter().any(|it| {
        let join = matches!(cx.process.nodes[*it].kind, FlowNodeKind::ParallelGateway);
        join && sources(*it).any(|it| !inside.contains(&it))
    })
}

fn is_instant(kind: &FlowNodeKind) -> bool {
    match kind {
        FlowNodeKind::ExclusiveGateway
        | FlowNodeKind::InclusiveGateway
        | FlowNodeKind::ParallelGateway
        | FlowNodeKind::ComplexGateway { .. }
        | FlowNodeKind::IntermediateThrowEvent
        | FlowNodeKind::Task
        | FlowNodeKind::ManualTask
        | FlowNodeKind::SendTask { .. } => true,
        FlowNodeKind::StartEvent { .. }
        | FlowNodeKind::IntermediateCatchEvent
        | FlowNodeKind::BoundaryEvent { .. }
        | FlowNodeKind::EndEvent
        | FlowNodeKind::ServiceTask { .. }
        | FlowNodeKind::ReceiveTask { .. }
        | FlowNodeKind::UserTask
        | FlowNodeKind::BusinessRuleTask
        | FlowNodeKind::ScriptTask { .. }
        | FlowNodeKind::CallActivity { .. }
        | FlowNodeKind::SubProcess { .. }
        | FlowNodeKind::Transaction
        | FlowNodeKind::AdHocSubProcess { .. }
        | FlowNodeKind::EventBasedGateway { .. }
        | FlowNodeKind::ChoreographyTask
        | FlowNodeKind::SubChoreography
        | FlowNodeKind::CallChoreography => false,
    }
}

/// The components of instant elements that hold a cycle.
fn cycles(cx: &Context<'_>) -> Vec<Vec<usize>> {
    let nodes = &cx.process.nodes;
    let instant: Vec<bool> = (0..nodes.len()).map(|it| passes(cx, it)).collect();
    let edges: Vec<Vec<usize>> = (0..nodes.len())
        .map(|node| {
            let targets = cx.graph.successors(node);
            targets.filter(|it| instant[node] && instant[*it]).collect()
        })
        .collect();
    let mut found = components(&edges);
    found.retain(|it| (it.len() > 1 || edges[it[0]].contains(&it[0])) && !waits(cx, it));
    found
}
