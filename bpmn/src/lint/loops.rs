//! Cycles in which a token would spin for ever: no task and no waiting event lies on them.
//!
//! Strongly connected components of the instant elements: linear, where a depth-first search over
//! paths would be exponential on diamonds.

use super::Context;
use crate::diagnostic::{Diagnostic, Rule};
use crate::graph::components;
use crate::model::FlowNodeKind;

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

/// Whether a token passes the element at once.
fn is_instant(kind: &FlowNodeKind) -> bool {
    match kind {
        FlowNodeKind::ExclusiveGateway
        | FlowNodeKind::InclusiveGateway
        | FlowNodeKind::ParallelGateway
        | FlowNodeKind::ComplexGateway { .. }
        | FlowNodeKind::IntermediateThrowEvent
        | FlowNodeKind::Task
        | FlowNodeKind::ManualTask => true,
        FlowNodeKind::StartEvent { .. }
        | FlowNodeKind::IntermediateCatchEvent
        | FlowNodeKind::BoundaryEvent { .. }
        | FlowNodeKind::EndEvent
        | FlowNodeKind::ServiceTask { .. }
        | FlowNodeKind::SendTask { .. }
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
    let edges: Vec<Vec<usize>> = (0..nodes.len())
        .map(|node| {
            let targets = cx.graph.successors(node);
            targets.filter(|it| is_instant(&nodes[node].kind) && is_instant(&nodes[*it].kind)).collect()
        })
        .collect();
    let mut found = components(&edges);
    found.retain(|it| it.len() > 1 || edges[it[0]].contains(&it[0]));
    found
}
