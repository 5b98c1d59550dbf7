//! Processes, start and end events, what can be reached.

use std::collections::HashSet;

use super::Context;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Definitions, EventDefinitionKind, FlowNodeKind, Process};

/// The processes that are to run: those that say so, or, if none says anything, all that are not
/// empty pools.
pub(crate) fn executable(definitions: &Definitions) -> Vec<&Process> {
    let said = definitions.processes.iter().any(|it| it.executable == Some(true));
    let runs = |it: &&Process| it.executable.unwrap_or(!said && !it.is_empty());
    definitions.processes.iter().filter(runs).collect()
}

/// The file has a process, and one that can run.
pub(super) fn processes(definitions: &Definitions, out: &mut Vec<Diagnostic>) {
    if definitions.processes.is_empty() {
        let message = "the file has no process";
        out.push(Diagnostic::error(Rule::NoProcess, definitions.position, message));
        return;
    }
    if executable(definitions).is_empty() {
        let first = &definitions.processes[0];
        let message = match definitions.processes.len() {
            1 => format!("process `{}` is not executable", first.id),
            count => format!("none of the {count} processes is executable"),
        };
        out.push(Diagnostic::error(Rule::NotExecutable, first.position, message).on(first.id.as_str()));
    }
}

/// One process: it can start, every element can be entered and leads somewhere.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let process = cx.process;
    if process.is_empty() {
        let message = format!("process `{}` has no flow nodes", process.id);
        out.push(Diagnostic::error(Rule::EmptyProcess, process.position, message).on(process.id.as_str()));
        return;
    }
    ids_given(cx, out);
    let started = process.nodes.iter().any(|it| {
        let begins = matches!(
            it.kind,
            FlowNodeKind::StartEvent { .. }
                | FlowNodeKind::ReceiveTask { instantiate: true, .. }
                | FlowNodeKind::EventBasedGateway { instantiate: true, .. }
        );
        it.parent.is_none() && begins
    });
    if !started {
        let message = format!("process `{}` has no start event", process.id);
        out.push(Diagnostic::error(Rule::MissingStartEvent, process.position, message).on(process.id.as_str()));
    }
    let starts = scopes_with_start(process);
    for node in 0..process.nodes.len() {
        entered(cx, node, &starts, out);
        left(cx, node, out);
    }
    if started {
        unreachable(cx, out);
    }
}

fn ids_given(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let process = cx.process;
    if !process.id_given {
        let message = "the process has no id";
        out.push(Diagnostic::error(Rule::MissingId, process.position, message));
    }
    for node in process.nodes.iter().filter(|it| !it.id_given) {
        let message = format!("a {} has no id", node.kind.word());
        out.push(Diagnostic::warning(Rule::MissingId, node.position, message));
    }
}

/// Whether a node is entered in another way than by a sequence flow.
fn enters_otherwise(cx: &Context<'_>, node: usize, starts: &HashSet<Option<usize>>) -> bool {
    let it = &cx.process.nodes[node];
    let parent = it.parent.map(|parent| &cx.process.nodes[parent].kind);
    let link = it.link().is_some();
    match &it.kind {
        FlowNodeKind::StartEvent { .. } | FlowNodeKind::BoundaryEvent { .. } => true,
        FlowNodeKind::SubProcess { triggered_by_event: true } => true,
        FlowNodeKind::IntermediateCatchEvent if link => true,
        FlowNodeKind::ReceiveTask { instantiate: true, .. }
        | FlowNodeKind::EventBasedGateway { instantiate: true, .. } => true,
        _ if it.is_for_compensation => true,
        _ => match parent {
            Some(FlowNodeKind::AdHocSubProcess { .. }) => true,
            Some(_) => !starts.contains(&it.parent),
            None => false,
        },
    }
}

/// The sub-processes that have a start event.
fn scopes_with_start(process: &Process) -> HashSet<Option<usize>> {
    let starts = process.nodes.iter().filter(|it| matches!(it.kind, FlowNodeKind::StartEvent { .. }));
    starts.map(|it| it.parent).collect()
}

fn entered(cx: &Context<'_>, node: usize, starts: &HashSet<Option<usize>>, out: &mut Vec<Diagnostic>) {
    let it = &cx.process.nodes[node];
    let described = cx.describe(node);
    if cx.graph.incoming[node].is_empty() {
        if !enters_otherwise(cx, node, starts) {
            let message = format!("nothing leads to {described}");
            out.push(cx.error(node, Rule::MissingIncoming, message));
        }
        return;
    }
    let rule = match &it.kind {
        FlowNodeKind::StartEvent { .. } => Rule::StartEventIncoming,
        FlowNodeKind::BoundaryEvent { .. } => Rule::BoundaryIncoming,
        FlowNodeKind::SubProcess { triggered_by_event: true } => Rule::EventSubProcessFlow,
        _ => return,
    };
    let flow = &cx.process.flows[cx.graph.incoming[node][0]].id;
    out.push(cx.error(node, rule, format!("flow `{flow}` enters {described}")));
}

fn left(cx: &Context<'_>, node: usize, out: &mut Vec<Diagnostic>) {
    let it = &cx.process.nodes[node];
    let described = cx.describe(node);
    if let Some(flow) = cx.graph.outgoing[node].first() {
        let rule = match &it.kind {
            FlowNodeKind::EndEvent => Rule::EndEventOutgoing,
            FlowNodeKind::SubProcess { triggered_by_event: true } => Rule::EventSubProcessFlow,
            _ => return,
        };
        let flow = &cx.process.flows[*flow].id;
        out.push(cx.error(node, rule, format!("flow `{flow}` leaves {described}")));
        return;
    }
    let event = |found: fn(&EventDefinitionKind) -> bool| it.event_definitions.iter().any(|event| found(&event.kind));
    let ends_there = match &it.kind {
        FlowNodeKind::EndEvent => true,
        FlowNodeKind::SubProcess { triggered_by_event: true } => true,
        FlowNodeKind::IntermediateThrowEvent => event(|kind| matches!(kind, EventDefinitionKind::Link { .. })),
        FlowNodeKind::BoundaryEvent { .. } => event(|kind| matches!(kind, EventDefinitionKind::Compensate { .. })),
        _ => it.is_for_compensation || (in_ad_hoc(cx, node) && it.kind.is_activity()),
    };
    if ends_there {
        return;
    }
    if it.kind.is_activity() {
        let message = format!("{described} has no outgoing flow: tokens end there");
        out.push(cx.at(node, Diagnostic::warning, Rule::ImplicitEnd, message));
    } else {
        let message = format!("{described} leads nowhere");
        out.push(cx.error(node, Rule::MissingOutgoing, message));
    }
}

fn in_ad_hoc(cx: &Context<'_>, node: usize) -> bool {
    let parent = cx.process.nodes[node].parent;
    parent.is_some_and(|it| matches!(cx.process.nodes[it].kind, FlowNodeKind::AdHocSubProcess { .. }))
}

/// Elements that have incoming flows and yet no path from any start.
fn unreachable(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let count = cx.process.nodes.len();
    let mut reached = vec![false; count];
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut pending: Vec<usize> = Vec::new();
    for node in 0..count {
        if let Some(parent) = cx.process.nodes[node].parent {
            children[parent].push(node);
        } else if cx.graph.incoming[node].is_empty() && cx.graph.attached[node].is_none() {
            pending.push(node);
        }
    }
    while let Some(node) = pending.pop() {
        if std::mem::replace(&mut reached[node], true) {
            continue;
        }
        pending.extend(cx.graph.successors(node));
        pending.extend(&cx.graph.boundaries[node]);
        let inside = children[node].iter();
        pending.extend(inside.filter(|it| cx.graph.incoming[**it].is_empty() && cx.graph.attached[**it].is_none()));
    }
    for node in (0..count).filter(|it| !reached[*it]) {
        let parent = cx.process.nodes[node].parent;
        if parent.is_none_or(|it| reached[it]) && cx.graph.attached[node].is_none() {
            let message = format!("no path leads to {}", cx.describe(node));
            out.push(cx.at(node, Diagnostic::warning, Rule::Unreachable, message));
        }
    }
}
