//! Sub-processes: how each kind begins, and what it may hold (BPMN 10.3.5, 10.5.6, 10.7).

use super::Context;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{EventDefinitionKind, FlowNodeKind};

/// Checks every sub-process, in one walk over the nodes.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let mut inside: Vec<Vec<usize>> = vec![Vec::new(); cx.process.nodes.len()];
    for (index, node) in cx.process.nodes.iter().enumerate() {
        if let Some(parent) = node.parent {
            inside[parent].push(index);
        }
    }
    for (index, node) in cx.process.nodes.iter().enumerate() {
        match &node.kind {
            FlowNodeKind::SubProcess { triggered_by_event: true } => event_sub_process(cx, index, &inside[index], out),
            FlowNodeKind::SubProcess { .. } | FlowNodeKind::Transaction => embedded(cx, index, &inside[index], out),
            FlowNodeKind::AdHocSubProcess { .. } => ad_hoc(cx, index, &inside[index], out),
            FlowNodeKind::EndEvent => cancel_end(cx, index, out),
            FlowNodeKind::ReceiveTask { instantiate: true, .. }
            | FlowNodeKind::EventBasedGateway { instantiate: true, .. } => instantiating(cx, index, out),
            _ => {}
        }
    }
}

fn starts<'a>(cx: &'a Context<'_>, inside: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    inside.iter().copied().filter(|it| matches!(cx.process.nodes[*it].kind, FlowNodeKind::StartEvent { .. }))
}

fn is_none_event(cx: &Context<'_>, event: usize) -> bool {
    let node = &cx.process.nodes[event];
    node.event_definitions.is_empty() && node.event_definition_refs.is_empty()
}

/// Exactly one start event, which waits for something; errors and compensation always interrupt.
fn event_sub_process(cx: &Context<'_>, index: usize, inside: &[usize], out: &mut Vec<Diagnostic>) {
    let starts: Vec<usize> = starts(cx, inside).collect();
    let [start] = starts[..] else {
        let message = format!("{} has {} start events, it must have one", cx.describe(index), starts.len());
        out.push(cx.error(index, Rule::EventSubProcessStart, message));
        return;
    };
    if is_none_event(cx, start) {
        let message = format!("{} of {} waits for nothing", cx.describe(start), cx.describe(index));
        out.push(cx.error(start, Rule::EventSubProcessStart, message));
    }
    let node = &cx.process.nodes[start];
    let ends = |it: &EventDefinitionKind| matches!(it, EventDefinitionKind::Error { .. });
    if matches!(node.kind, FlowNodeKind::StartEvent { interrupting: false }) && node.defines(ends) {
        let message = format!("{} catches an error and does not interrupt", cx.describe(start));
        out.push(cx.error(start, Rule::StartMustInterrupt, message));
    }
    if cx.process.nodes[index].loop_characteristics.is_some() {
        let message = format!("{} cannot loop: its event starts it", cx.describe(index));
        out.push(cx.error(index, Rule::EventSubProcessStart, message));
    }
}

/// One none start event at most, no other; an end event needs a start event.
fn embedded(cx: &Context<'_>, index: usize, inside: &[usize], out: &mut Vec<Diagnostic>) {
    let starts: Vec<usize> = starts(cx, inside).collect();
    for start in &starts {
        if !is_none_event(cx, *start) {
            let message = format!("{} of {} waits for an event", cx.describe(*start), cx.describe(index));
            out.push(cx.error(*start, Rule::SubProcessStart, message));
        }
    }
    if let [_, second, ..] = starts[..] {
        let message = format!("{} has {} start events, it can have one", cx.describe(index), starts.len());
        out.push(cx.error(second, Rule::SubProcessStart, message));
    }
    let ends = inside.iter().any(|it| matches!(cx.process.nodes[*it].kind, FlowNodeKind::EndEvent));
    if starts.is_empty() && ends {
        let message = format!("{} has an end event and no start event", cx.describe(index));
        out.push(cx.error(index, Rule::MissingStartEvent, message));
    }
    if inside.is_empty() {
        let message = format!("{} holds nothing", cx.describe(index));
        out.push(cx.at(index, Diagnostic::warning, Rule::EmptySubProcess, message));
    }
}

/// Activities without start and end events.
fn ad_hoc(cx: &Context<'_>, index: usize, inside: &[usize], out: &mut Vec<Diagnostic>) {
    for event in inside {
        let kind = &cx.process.nodes[*event].kind;
        if matches!(kind, FlowNodeKind::StartEvent { .. } | FlowNodeKind::EndEvent) {
            let message = format!("{} stands in {}", cx.describe(*event), cx.describe(index));
            out.push(cx.error(*event, Rule::AdHocEvent, message));
        }
    }
    if !inside.iter().any(|it| cx.process.nodes[*it].kind.is_activity()) {
        let message = format!("{} has no activity", cx.describe(index));
        out.push(cx.error(index, Rule::EmptyAdHoc, message));
    }
}

/// Only what stands directly in a transaction cancels it.
fn cancel_end(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let node = &cx.process.nodes[index];
    let parent = node.parent.map(|it| &cx.process.nodes[it].kind);
    if node.defines(|it| matches!(it, EventDefinitionKind::Cancel))
        && !matches!(parent, Some(FlowNodeKind::Transaction))
    {
        let message = format!("{} does not stand in a transaction", cx.describe(index));
        out.push(cx.error(index, Rule::EventDefinitionNotAllowed, message));
    }
}

/// What begins instances of the process is entered by nothing else.
fn instantiating(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let problem = if cx.process.nodes[index].parent.is_some() {
        "stands in a sub-process".to_owned()
    } else if let Some(flow) = cx.graph.incoming[index].first() {
        format!("is entered by flow `{}`", cx.process.flows[*flow].id)
    } else {
        return;
    };
    let message = format!("{} starts instances and {problem}", cx.describe(index));
    out.push(cx.error(index, Rule::InstantiateEntered, message));
}
