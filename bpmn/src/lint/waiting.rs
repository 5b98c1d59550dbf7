//! Events that wait at the same time: behind event-based gateways, on one activity, in one scope (BPMN 10.6.6).

use std::collections::HashMap;

use super::Context;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{EventDefinitionKind, FlowNodeKind, RootElement};

/// Checks gateways and what waits together.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    // those of a scope, apart from those of the event sub-processes in it
    let mut starts: HashMap<(Option<usize>, bool), Vec<usize>> = HashMap::new();
    for (index, node) in cx.process.nodes.iter().enumerate() {
        match &node.kind {
            FlowNodeKind::EventBasedGateway { .. } => gateway(cx, index, out),
            // an event sub-process waits with the others of the scope around it
            FlowNodeKind::StartEvent { .. } => {
                let event = node.parent.filter(|it| is_event_sub_process(&cx.process.nodes[*it].kind));
                let scope = event.map_or(node.parent, |it| cx.process.nodes[it].parent);
                starts.entry((scope, event.is_some())).or_default().push(index);
            }
            _ => {}
        }
        together(cx, &cx.graph.boundaries[index], Rule::DuplicateBoundary, out);
    }
    let mut groups: Vec<Vec<usize>> = starts.into_values().collect();
    groups.sort();
    for group in groups {
        together(cx, &group, Rule::DuplicateCatch, out);
    }
}

fn is_event_sub_process(kind: &FlowNodeKind) -> bool {
    matches!(kind, FlowNodeKind::SubProcess { triggered_by_event: true })
}

/// What an event catches, if two of them must not do so together.
fn caught(cx: &Context<'_>, index: usize) -> Vec<(&'static str, Option<String>)> {
    let all = cx.definitions;
    let node = &cx.process.nodes[index];
    let name = |it: &RootElement| it.name.as_deref().map(|it| it.trim().to_owned());
    let code = |it: &RootElement| it.code.as_deref().map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
    let message = |reference: &Option<String>| {
        let root = all.messages.find(reference.as_deref()?)?;
        name(root).map(|it| ("message", Some(it)))
    };
    let mut caught = Vec::new();
    if let FlowNodeKind::ReceiveTask { message_ref, .. } = &node.kind {
        caught.extend(message(message_ref));
    }
    for definition in &node.event_definitions {
        match &definition.kind {
            EventDefinitionKind::Message { message_ref, .. } => caught.extend(message(message_ref)),
            EventDefinitionKind::Signal { signal_ref } => {
                let signal = signal_ref.as_deref().and_then(|it| all.signals.find(it)).and_then(name);
                caught.extend(signal.map(|it| ("signal", Some(it))));
            }
            EventDefinitionKind::Error { error_ref } => {
                let error = error_ref.as_deref().and_then(|it| all.errors.find(it));
                caught.push(("error", error.and_then(code)));
            }
            EventDefinitionKind::Escalation { escalation_ref } => {
                let escalation = escalation_ref.as_deref().and_then(|it| all.escalations.find(it));
                caught.push(("escalation", escalation.and_then(code)));
            }
            EventDefinitionKind::Timer { .. }
            | EventDefinitionKind::Conditional { .. }
            | EventDefinitionKind::Compensate { .. }
            | EventDefinitionKind::Link { .. }
            | EventDefinitionKind::Cancel
            | EventDefinitionKind::Terminate => {}
        }
    }
    caught
}

/// No two of them catch the same. A signal is for everybody, so two may wait for it; rarely is that meant.
fn together(cx: &Context<'_>, events: &[usize], rule: Rule, out: &mut Vec<Diagnostic>) {
    if events.len() < 2 {
        return;
    }
    let mut seen: HashMap<(&str, Option<String>), usize> = HashMap::new();
    for event in events {
        for (kind, what) in caught(cx, *event) {
            let Some(first) = seen.insert((kind, what.clone()), *event).filter(|it| it != event) else { continue };
            let what = what.map_or(format!("every {kind}"), |it| format!("{kind} `{it}`"));
            let first = &cx.process.nodes[first].id;
            let message = format!("{} catches {what}, as `{first}` does", cx.describe(*event));
            let make = if kind == "signal" { Diagnostic::warning } else { Diagnostic::error };
            let rule = if kind == "error" || kind == "escalation" { rule } else { Rule::DuplicateCatch };
            out.push(cx.at(*event, make, rule, message));
        }
    }
}

fn gateway(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let FlowNodeKind::EventBasedGateway { instantiate, parallel } = cx.process.nodes[index].kind else { return };
    let described = cx.describe(index);
    let targets: Vec<usize> = cx.graph.successors(index).collect();
    if targets.len() < 2 {
        let message = format!("{described} has {} outgoing flows, it needs two", targets.len());
        out.push(cx.error(index, Rule::EventGatewayTarget, message));
    }
    if parallel && !instantiate {
        let message = format!("{described} is parallel and does not start instances");
        out.push(cx.error(index, Rule::EventGatewayParallel, message));
    }
    for target in &targets {
        if let Some(problem) = unfit(cx, *target, parallel) {
            let message = format!("{described} leads to {}, which {problem}", cx.describe(*target));
            out.push(cx.error(index, Rule::EventGatewayTarget, message));
        }
    }
    let receives = |it: &&usize| matches!(cx.process.nodes[**it].kind, FlowNodeKind::ReceiveTask { .. });
    let messages = |it: &&usize| {
        let node = &cx.process.nodes[**it];
        !receives(it) && node.defines(|it| matches!(it, EventDefinitionKind::Message { .. }))
    };
    if targets.iter().any(|it| receives(&it)) && targets.iter().any(|it| messages(&it)) {
        let message = format!("{described} leads to receive tasks and to message events");
        out.push(cx.error(index, Rule::EventGatewayTarget, message));
    }
    together(cx, &targets, Rule::DuplicateCatch, out);
}

/// Why an event-based gateway cannot lead to it.
fn unfit(cx: &Context<'_>, target: usize, parallel: bool) -> Option<&'static str> {
    use EventDefinitionKind as K;
    let node = &cx.process.nodes[target];
    if cx.graph.incoming[target].len() > 1 {
        return Some("other flows enter, too");
    }
    match &node.kind {
        FlowNodeKind::ReceiveTask { .. } if !cx.graph.boundaries[target].is_empty() => Some("has boundary events"),
        FlowNodeKind::ReceiveTask { .. } => None,
        FlowNodeKind::IntermediateCatchEvent => {
            let waits = |it: &K| match it {
                K::Message { .. } => true,
                K::Timer { .. } | K::Signal { .. } | K::Conditional { .. } => !parallel,
                _ => false,
            };
            let fits = node.event_definitions.iter().all(|it| waits(&it.kind));
            (!fits).then_some("does not wait for what it can wait for there")
        }
        _ => Some("waits for no event"),
    }
}
