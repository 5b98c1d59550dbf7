//! Ids are unique and references lead somewhere.

use std::collections::{HashMap, HashSet};

use super::Context;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Definitions, Element, EventDefinitionKind, FlowNodeKind, Namespace, Position};

/// Every id of the file, once; each with characters that an id can have.
pub(super) fn ids(definitions: &Definitions, out: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<&str, Position> = HashMap::new();
    let add = |id: &'_ str, position: Position, owned: &mut Vec<Diagnostic>| {
        if let Some(problem) = invalid(id) {
            let message = format!("the id `{}` {problem}", shorten(id));
            owned.push(Diagnostic::error(Rule::InvalidId, position, message).on(shorten(id)));
        }
    };
    for (id, position) in all_ids(definitions) {
        add(id, position, out);
        if let Some(first) = seen.get(id) {
            let message = format!("the id `{}` is already used in line {}", shorten(id), first.line);
            out.push(Diagnostic::error(Rule::DuplicateId, position, message).on(shorten(id)));
        } else {
            seen.insert(id, position);
        }
    }
}

/// Why `id` cannot be carried in headers, URLs and names.
fn invalid(id: &str) -> Option<&'static str> {
    if id.len() > 256 {
        Some("is longer than 256 bytes")
    } else if id.chars().any(|it| it.is_whitespace() || it.is_control() || "/\\?#%\"'<>`,;:".contains(it)) {
        Some("has characters that an id cannot have")
    } else {
        None
    }
}

fn shorten(id: &str) -> String {
    id.chars().take(80).collect()
}

fn all_ids(definitions: &Definitions) -> Vec<(&str, Position)> {
    let roots = [
        &definitions.messages,
        &definitions.errors,
        &definitions.signals,
        &definitions.escalations,
        &definitions.item_definitions,
    ];
    let mut all: Vec<(&str, Position)> =
        roots.into_iter().flat_map(|it| it.iter()).map(|it| (it.id.as_str(), it.position)).collect();
    let elements = definitions.others.iter();
    all.extend(elements.filter_map(|it| Some((it.attribute("id")?, it.position))));
    for collaboration in &definitions.collaborations {
        let pools = collaboration.participants.iter();
        all.extend(pools.map(|it| (it.id.as_str(), it.position)));
        let flows = collaboration.message_flows.iter();
        all.extend(flows.map(|it| (it.id.as_str(), it.position)));
    }
    for process in &definitions.processes {
        all.push((&process.id, process.position));
        for node in &process.nodes {
            all.push((&node.id, node.position));
            let events = node.event_definitions.iter();
            all.extend(events.filter_map(|it| Some((it.id.as_deref()?, it.position))));
        }
        all.extend(process.flows.iter().map(|it| (it.id.as_str(), it.position)));
        all.extend(process.lanes.iter().map(|it| (it.id.as_str(), it.position)));
        let data = process.data.iter();
        all.extend(data.filter_map(|it| Some((it.id.as_deref()?, it.element.position))));
        let texts = process.annotations();
        all.extend(texts.map(|it| (it.id.as_str(), it.position)));
        let lines = process.associations();
        all.extend(lines.map(|it| (it.id.as_str(), it.position)));
    }
    all.sort_by_key(|it| it.1);
    all
}

/// References of pools and message flows.
pub(super) fn roots(definitions: &Definitions, out: &mut Vec<Diagnostic>) {
    let known: HashMap<&str, Position> = all_ids(definitions).into_iter().collect();
    let processes: HashSet<&str> = definitions.processes.iter().map(|it| it.id.as_str()).collect();
    for collaboration in &definitions.collaborations {
        for pool in &collaboration.participants {
            let Some(process) = pool.process_ref.as_deref() else {
                continue;
            };
            let local = crate::model::local_reference(process);
            if !processes.contains(process) && !processes.contains(local) {
                let message = format!("pool `{}` refers to process `{process}`, which does not exist", pool.id);
                out.push(unknown(pool.position, &pool.id, message));
            }
        }
        for flow in &collaboration.message_flows {
            for end in [&flow.source, &flow.target] {
                let local = crate::model::local_reference(end);
                if !known.contains_key(end.as_str()) && !known.contains_key(local) {
                    let message = format!("message flow `{}` refers to `{end}`, which does not exist", flow.id);
                    out.push(unknown(flow.position, &flow.id, message));
                }
            }
        }
    }
}

fn unknown(position: Position, element: &str, message: String) -> Diagnostic {
    Diagnostic::error(Rule::UnknownReference, position, message).on(element)
}

/// References inside of one process.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    flow_ends(cx, out);
    declared_flows(cx, out);
    let definitions: HashSet<&str> =
        cx.definitions.event_definitions.iter().filter_map(|it| it.id.as_deref()).collect();
    for (index, node) in cx.process.nodes.iter().enumerate() {
        for reference in event_references(cx, index) {
            let (kind, id, found) = reference;
            if !found {
                let message = format!("{} refers to {kind} `{id}`, which does not exist", cx.describe(index));
                out.push(unknown(node.position, &node.id, message));
            }
        }
        for reference in &node.event_definition_refs {
            let local = crate::model::local_reference(reference);
            if !definitions.contains(reference.as_str()) && !definitions.contains(local) {
                let described = cx.describe(index);
                let message = format!("{described} refers to event definition `{reference}`, which does not exist");
                out.push(unknown(node.position, &node.id, message));
            }
        }
    }
    lanes(cx, out);
}

/// What the event definitions and tasks of a node refer to: kind, reference, whether it exists.
fn event_references(cx: &Context<'_>, node: usize) -> Vec<(&'static str, String, bool)> {
    let node = &cx.process.nodes[node];
    let all = cx.definitions;
    let mut list = Vec::new();
    let mut message = |reference: &Option<String>| {
        if let Some(id) = reference {
            list.push(("message", id.clone(), all.messages.find(id).is_some()));
        }
    };
    match &node.kind {
        FlowNodeKind::SendTask { message_ref, .. } | FlowNodeKind::ReceiveTask { message_ref, .. } => {
            message(message_ref)
        }
        _ => {}
    }
    for definition in &node.event_definitions {
        let reference = match &definition.kind {
            EventDefinitionKind::Message { message_ref, .. } => {
                let id = message_ref.as_ref();
                id.map(|it| ("message", it, all.messages.find(it).is_some()))
            }
            EventDefinitionKind::Error { error_ref } => {
                let id = error_ref.as_ref();
                id.map(|it| ("error", it, all.errors.find(it).is_some()))
            }
            EventDefinitionKind::Escalation { escalation_ref } => {
                let id = escalation_ref.as_ref();
                id.map(|it| ("escalation", it, all.escalations.find(it).is_some()))
            }
            EventDefinitionKind::Signal { signal_ref } => {
                let id = signal_ref.as_ref();
                id.map(|it| ("signal", it, all.signals.find(it).is_some()))
            }
            EventDefinitionKind::Compensate { activity_ref, .. } => {
                let id = activity_ref.as_ref();
                id.map(|it| ("activity", it, cx.graph.find(it).is_some()))
            }
            EventDefinitionKind::Timer { .. }
            | EventDefinitionKind::Conditional { .. }
            | EventDefinitionKind::Link { .. }
            | EventDefinitionKind::Cancel
            | EventDefinitionKind::Terminate => None,
        };
        list.extend(reference.map(|(kind, id, found)| (kind, id.clone(), found)));
    }
    list
}

fn flow_ends(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let data: HashMap<&str, ()> = cx.process.data.iter().filter_map(|it| Some((it.id.as_deref()?, ()))).collect();
    for (index, flow) in cx.process.flows.iter().enumerate() {
        for (end, name) in [(&flow.source, "sourceRef"), (&flow.target, "targetRef")] {
            if cx.graph.find(end).is_some() {
                continue;
            }
            let elsewhere = cx.places.get(end.as_str());
            let (rule, message) = if end.is_empty() {
                let message = format!("sequence flow `{}` has no {name}", flow.id);
                (Rule::UnknownReference, message)
            } else if let Some(process) = elsewhere {
                let message = format!("sequence flow `{}` leads to `{end}` of process `{process}`", flow.id);
                (Rule::FlowCrossesScope, message)
            } else if data.contains_key(end.as_str()) {
                let message =
                    format!("sequence flow `{}`: {name} `{end}` is not an event, an activity or a gateway", flow.id);
                (Rule::WrongReference, message)
            } else {
                let message = format!("sequence flow `{}`: {name} `{end}` does not exist", flow.id);
                (Rule::UnknownReference, message)
            };
            out.push(cx.flow_error(index, rule, message));
        }
    }
}

/// `incoming` and `outgoing` say the same as the flows, if they say anything.
fn declared_flows(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let flows = &cx.process.flows;
    for (index, node) in cx.process.nodes.iter().enumerate() {
        let sides = [
            ("incoming", &node.incoming, &cx.graph.incoming[index]),
            ("outgoing", &node.outgoing, &cx.graph.outgoing[index]),
        ];
        for (side, declared, actual) in sides {
            let drawn: HashSet<&str> = actual.iter().map(|it| flows[*it].id.as_str()).collect();
            let named: HashSet<&str> = declared.iter().map(String::as_str).collect();
            let stray = declared.iter().find(|id| !drawn.contains(id.as_str()));
            let missing = actual.iter().find(|it| !named.is_empty() && !named.contains(flows[**it].id.as_str()));
            let message = match (stray, missing) {
                (Some(id), _) => format!("{} names `{id}` as {side}, and no such flow does that", cx.describe(index)),
                (None, Some(flow)) => {
                    format!("{} does not name its {side} flow `{}`", cx.describe(index), flows[*flow].id)
                }
                (None, None) => continue,
            };
            out.push(cx.at(index, Diagnostic::warning, Rule::FlowMismatch, message));
        }
    }
}

fn lanes(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for lane in &cx.process.lanes {
        for node in lane.flow_nodes.iter().filter(|it| cx.graph.find(it).is_none()) {
            let message = format!("lane `{}` refers to `{node}`, which is no flow node", lane.id);
            let rule = Rule::UnknownReference;
            out.push(Diagnostic::warning(rule, lane.position, message).on(lane.id.as_str()));
        }
    }
}

/// Whether an element kept in generic form is BPMN's own.
pub(crate) fn is_bpmn(element: &Element, name: &str) -> bool {
    element.namespace == Namespace::Bpmn && element.name == name
}
