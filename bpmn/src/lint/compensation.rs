//! Compensation (BPMN 10.7): handlers, and what is compensated.

use std::collections::HashMap;

use super::Context;
use crate::diagnostic::{Diagnostic, Rule};
use crate::graph::Graph;
use crate::model::{EventDefinitionKind, FlowNodeKind, local_reference};

/// Checks handlers, boundary events and throws.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for (index, node) in cx.process.nodes.iter().enumerate() {
        if compensates(cx.graph, index) {
            match &node.kind {
                FlowNodeKind::BoundaryEvent { .. } => boundary(cx, index, out),
                FlowNodeKind::IntermediateThrowEvent | FlowNodeKind::EndEvent => thrown(cx, index, out),
                _ => {}
            }
        }
        if node.is_for_compensation {
            handler(cx, index, out);
        }
    }
}

fn compensates(graph: &Graph<'_>, event: usize) -> bool {
    graph.process.nodes[event].defines(|it| matches!(it, EventDefinitionKind::Compensate { .. }))
}

/// The compensation boundary event of an activity.
pub(crate) fn compensation_boundary(graph: &Graph<'_>, activity: usize) -> Option<usize> {
    graph.boundaries[activity].iter().copied().find(|it| compensates(graph, *it))
}

/// The activities of its scope that associations connect a compensation boundary event with.
pub(crate) fn handlers(graph: &Graph<'_>, boundary: usize) -> Vec<usize> {
    let connected = graph.associated.get(&boundary).map(Vec::as_slice).unwrap_or_default();
    let nodes = &graph.process.nodes;
    let own = |it: &usize| nodes[*it].kind.is_activity() && nodes[*it].parent == nodes[boundary].parent;
    connected.iter().copied().filter(own).collect()
}

fn boundary(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let described = cx.describe(index);
    if let Some(flow) = cx.graph.outgoing[index].first() {
        let message =
            format!("flow `{}` leaves {described}, which an association connects", cx.process.flows[*flow].id);
        out.push(cx.error(index, Rule::CompensationHandler, message));
    }
    match handlers(cx.graph, index)[..] {
        [handler] if cx.process.nodes[handler].is_for_compensation => {}
        [handler] => {
            let message = format!("{} of {described} is not marked as for compensation", cx.describe(handler));
            out.push(cx.error(index, Rule::CompensationHandler, message));
        }
        ref several => {
            let message = format!("{described} has {} handlers, it must have one", several.len());
            out.push(cx.error(index, Rule::CompensationHandler, message));
        }
    }
    let activity = cx.graph.attached[index];
    if activity.and_then(|it| compensation_boundary(cx.graph, it)) != Some(index) && activity.is_some() {
        let message = format!("{described} is not the only one of its activity for compensation");
        out.push(cx.error(index, Rule::CompensationHandler, message));
    }
}

/// A handler is entered by its event alone, and leads nowhere.
fn handler(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    if !cx.process.nodes[index].kind.is_activity() {
        return;
    }
    let described = cx.describe(index);
    let flows = cx.graph.incoming[index].iter().chain(&cx.graph.outgoing[index]);
    if let Some(flow) = flows.into_iter().next() {
        let message = format!("flow `{}` is connected with {described}, a handler", cx.process.flows[*flow].id);
        out.push(cx.error(index, Rule::CompensationHandler, message));
    }
    let connected = cx.graph.associated.get(&index).into_iter().flatten();
    if !connected.into_iter().any(|it| compensates(cx.graph, *it)) {
        let message = format!("no compensation event is connected with {described}");
        out.push(cx.at(index, Diagnostic::warning, Rule::Unreachable, message));
    }
}

/// What a throw names can be compensated, and is in reach.
fn thrown(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let node = &cx.process.nodes[index];
    for definition in &node.event_definitions {
        let EventDefinitionKind::Compensate { activity_ref: Some(reference), .. } = &definition.kind else { continue };
        let Some(activity) = cx.graph.find(local_reference(reference)) else { continue };
        let target = &cx.process.nodes[activity];
        let handled = || {
            compensation_boundary(cx.graph, activity).is_some()
                || (target.kind.is_container() && !is_event(&target.kind))
        };
        let problem = if !target.kind.is_activity() {
            "is not an activity"
        } else if !reaches(cx, node.parent, target.parent) {
            "is in another sub-process"
        } else if !handled() {
            "has no compensation boundary event"
        } else {
            continue;
        };
        let message = format!("{} compensates {}, which {problem}", cx.describe(index), cx.describe(activity));
        out.push(cx.error(index, Rule::CompensationTarget, message));
    }
}

fn is_event(kind: &FlowNodeKind) -> bool {
    matches!(kind, FlowNodeKind::SubProcess { triggered_by_event: true })
}

/// The throw's own scope; from an event sub-process the one around it, too.
fn reaches(cx: &Context<'_>, from: Option<usize>, target: Option<usize>) -> bool {
    let around = from.filter(|it| is_event(&cx.process.nodes[*it].kind)).map(|it| cx.process.nodes[it].parent);
    from == target || around == Some(target)
}

/// Nodes that associations connect, both ways.
pub(crate) fn associations(
    process: &crate::model::Process,
    by_id: &HashMap<&str, usize>,
) -> HashMap<usize, Vec<usize>> {
    let mut connected: HashMap<usize, Vec<usize>> = HashMap::new();
    for association in process.associations() {
        let find = |id: &str| by_id.get(id).or_else(|| by_id.get(local_reference(id))).copied();
        if let (Some(from), Some(to)) = (find(&association.source), find(&association.target)) {
            connected.entry(from).or_default().push(to);
            connected.entry(to).or_default().push(from);
        }
    }
    connected
}
