//! What is legal and says something else than it looks like, or nothing at all.
//!
//! The findings are hints, warnings where a reader is likely to be wrong. A rule stays silent where
//! the drawing cannot be mistaken.

use std::collections::{HashMap, HashSet};

use super::Context;
use crate::diagnostic::{Diagnostic, Rule};
use crate::graph::components;
use crate::model::{Definitions, Element, EventDefinition, EventDefinitionKind, FlowNode, FlowNodeKind, Roots};

/// Checks one process.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    merges(cx, out);
    splits(cx, out);
    duplicate_flows(cx, out);
    terminations(cx, out);
}

/// Activities and events that several flows enter. Going back to the head of a loop is no merge of
/// branches, and of several start events only one begins an instance.
fn merges(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let edges: Vec<Vec<usize>> = (0..cx.process.nodes.len()).map(|it| cx.graph.successors(it).collect()).collect();
    let mut cycle = vec![0; edges.len()];
    for (number, component) in components(&edges).into_iter().enumerate() {
        component.into_iter().for_each(|it| cycle[it] = number);
    }
    for (index, node) in cx.process.nodes.iter().enumerate() {
        if node.kind.is_gateway() || matches!(node.kind, FlowNodeKind::EndEvent) || node.link().is_some() {
            continue;
        }
        let sources = cx.graph.incoming[index].iter().filter_map(|it| cx.graph.ends[*it]).map(|(source, _)| source);
        let (starts, others): (Vec<usize>, Vec<usize>) = sources
            .filter(|it| cycle[*it] != cycle[index])
            .partition(|it| matches!(cx.process.nodes[*it].kind, FlowNodeKind::StartEvent { .. }));
        let branches = others.len() + usize::from(!starts.is_empty());
        if branches > 1 {
            let message = format!("{branches} flows enter {}, which runs for each of them", cx.describe(index));
            out.push(cx.at(index, Diagnostic::warning, Rule::FakeJoin, message));
        }
    }
}

/// Forks that are not drawn as such.
fn splits(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for (index, node) in cx.process.nodes.iter().enumerate() {
        let (incoming, outgoing) = (&cx.graph.incoming[index], &cx.graph.outgoing[index]);
        if node.kind.is_gateway() {
            if incoming.len() > 1 && outgoing.len() > 1 {
                let message = format!("{} joins and forks", cx.describe(index));
                out.push(cx.at(index, Diagnostic::info, Rule::GatewayJoinFork, message));
            }
            continue;
        }
        let default = cx.graph.default(index);
        let always = outgoing.iter().filter(|it| cx.process.flows[**it].condition.is_none() && Some(**it) != default);
        let always = always.count();
        if always > 1 {
            let message = format!("{} goes on along {always} flows at once", cx.describe(index));
            out.push(cx.at(index, Diagnostic::info, Rule::ImplicitSplit, message));
        }
    }
}

fn duplicate_flows(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<(usize, usize, Option<&str>), usize> = HashMap::new();
    for (index, flow) in cx.process.flows.iter().enumerate() {
        let Some((source, target)) = cx.graph.ends[index] else { continue };
        // the default flow beside one without a condition is another mistake
        let condition = flow.condition.as_ref().map(|it| it.text.trimmed());
        if cx.graph.default(source) == Some(index) {
            continue;
        }
        if let Some(first) = seen.insert((source, target, condition), index) {
            let first = &cx.process.flows[first].id;
            let message = format!(
                "flow `{}` leads from {} to {}, as `{first}` does",
                flow.id,
                cx.describe(source),
                cx.describe(target)
            );
            out.push(Diagnostic::warning(Rule::DuplicateFlow, flow.position, message).on(flow.id.as_str()));
        }
    }
}

/// Whether an element can leave more tokens behind than it takes.
fn forks(cx: &Context<'_>, index: usize) -> bool {
    let several = cx.graph.outgoing[index].len() > 1;
    match &cx.process.nodes[index].kind {
        FlowNodeKind::ExclusiveGateway | FlowNodeKind::EventBasedGateway { parallel: false, .. } => false,
        FlowNodeKind::BoundaryEvent { cancel_activity: false, .. } => true,
        FlowNodeKind::SubProcess { triggered_by_event: true } | FlowNodeKind::EventBasedGateway { .. } => true,
        _ => several,
    }
}

/// Terminate end events of a scope in which there never is a second token.
fn terminations(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let nodes = &cx.process.nodes;
    let forked: HashSet<Option<usize>> =
        (0..nodes.len()).filter(|it| forks(cx, *it)).map(|it| nodes[it].parent).collect();
    for (index, node) in nodes.iter().enumerate() {
        let terminate = (node.event_definitions.iter()).any(|it| matches!(it.kind, EventDefinitionKind::Terminate));
        let ad_hoc = node.parent.is_some_and(|it| matches!(nodes[it].kind, FlowNodeKind::AdHocSubProcess { .. }));
        if terminate && !ad_hoc && !forked.contains(&node.parent) {
            let message = format!("{} terminates nothing: nothing before it forks", cx.describe(index));
            out.push(cx.at(index, Diagnostic::info, Rule::SuperfluousTermination, message));
        }
    }
}

/// Errors, signals and escalations that no event refers to.
pub(super) fn declarations(definitions: &Definitions, out: &mut Vec<Diagnostic>) {
    let nodes = definitions.processes.iter().flat_map(|it| &it.nodes);
    let events = |it: &'_ FlowNode| it.event_definitions.iter().filter_map(reference).collect::<Vec<_>>();
    let mut used: Vec<String> = nodes.flat_map(events).collect();
    used.extend(definitions.event_definitions.iter().filter_map(reference));
    let mut pending: Vec<&Element> = definitions.others.iter().collect();
    while let Some(element) = pending.pop() {
        if element.name == "errorRef" {
            used.push(element.text.trimmed().to_owned());
        }
        pending.extend(&element.children);
    }
    for (word, roots) in
        [("error", &definitions.errors), ("signal", &definitions.signals), ("escalation", &definitions.escalations)]
    {
        unused(word, roots, &used, out);
    }
}

fn reference(event: &EventDefinition) -> Option<String> {
    match &event.kind {
        EventDefinitionKind::Error { error_ref } => error_ref.clone(),
        EventDefinitionKind::Signal { signal_ref } => signal_ref.clone(),
        EventDefinitionKind::Escalation { escalation_ref } => escalation_ref.clone(),
        EventDefinitionKind::Message { .. }
        | EventDefinitionKind::Timer { .. }
        | EventDefinitionKind::Conditional { .. }
        | EventDefinitionKind::Compensate { .. }
        | EventDefinitionKind::Link { .. }
        | EventDefinitionKind::Cancel
        | EventDefinitionKind::Terminate => None,
    }
}

fn unused(word: &str, roots: &Roots, used: &[String], out: &mut Vec<Diagnostic>) {
    let used: HashSet<&str> = used.iter().filter_map(|it| roots.find(it)).map(|it| it.id.as_str()).collect();
    for root in roots.iter().filter(|it| !used.contains(it.id.as_str())) {
        let message = format!("no event refers to {word} `{}`", root.id);
        out.push(Diagnostic::info(Rule::UnusedDeclaration, root.position, message).on(root.id.as_str()));
    }
}
