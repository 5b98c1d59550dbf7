//! What is drawn and not executable: every element of the standard is recognised, and what the
//! engine does not run is refused by name and place, never ignored.

use super::Context;
use super::references::is_bpmn;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{
    Element, EventDefinition, EventDefinitionKind, FlowNode, FlowNodeKind, LoopCharacteristics, Namespace,
};

/// Checks what stands at the top of the process; a refused sub-process is refused with all in it.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for (index, node) in cx.process.nodes.iter().enumerate() {
        if node.parent.is_some() {
            continue;
        }
        if let Some(what) = unsupported(node) {
            let message = format!("{}: {what} are not executable", cx.describe(index));
            out.push(cx.error(index, Rule::UnsupportedElement, message));
        } else {
            attributes(cx, index, out);
        }
    }
    for element in &cx.process.details {
        if is_bpmn(element, "ioSpecification") && has_assignments(element) {
            let message = format!("the I/O specification of process `{}` is not executable", cx.process.id);
            let finding = Diagnostic::error(Rule::UnsupportedAttribute, element.position, message);
            out.push(finding.on(cx.process.id.as_str()));
        }
    }
}

/// Why the engine does not run a node; `None` if it does.
fn unsupported(node: &FlowNode) -> Option<String> {
    if !node.event_definition_refs.is_empty() {
        return Some("event definitions by reference".to_owned());
    }
    if node.event_definitions.len() > 1 {
        return Some("events with several definitions".to_owned());
    }
    let definition = node.event_definitions.first();
    let named = |kind: &str| Some(format!("{kind} {}s", node.kind.word()));
    match &node.kind {
        FlowNodeKind::StartEvent { .. } => named(definition?.kind.word()),
        FlowNodeKind::EndEvent => match &definition?.kind {
            EventDefinitionKind::Terminate => None,
            other => named(other.word()),
        },
        FlowNodeKind::IntermediateCatchEvent => caught(node, definition?),
        FlowNodeKind::BoundaryEvent { cancel_activity, .. } => on_boundary(node, definition?, *cancel_activity),
        FlowNodeKind::IntermediateThrowEvent => named(definition.map_or("none", |it| it.kind.word())),
        FlowNodeKind::ServiceTask { .. } | FlowNodeKind::ExclusiveGateway | FlowNodeKind::ParallelGateway => None,
        FlowNodeKind::Task
        | FlowNodeKind::SendTask { .. }
        | FlowNodeKind::ReceiveTask { .. }
        | FlowNodeKind::UserTask
        | FlowNodeKind::ManualTask
        | FlowNodeKind::BusinessRuleTask
        | FlowNodeKind::ScriptTask { .. }
        | FlowNodeKind::CallActivity { .. }
        | FlowNodeKind::SubProcess { .. }
        | FlowNodeKind::Transaction
        | FlowNodeKind::AdHocSubProcess { .. }
        | FlowNodeKind::InclusiveGateway
        | FlowNodeKind::ComplexGateway { .. }
        | FlowNodeKind::EventBasedGateway { .. }
        | FlowNodeKind::ChoreographyTask
        | FlowNodeKind::SubChoreography
        | FlowNodeKind::CallChoreography => Some(plural(node.kind.word())),
    }
}

fn plural(word: &str) -> String {
    match word.strip_suffix('y') {
        Some(stem) if !word.ends_with("ay") => format!("{stem}ies"),
        _ if word.ends_with("ss") => format!("{word}es"),
        _ => format!("{word}s"),
    }
}

fn caught(node: &FlowNode, definition: &EventDefinition) -> Option<String> {
    match &definition.kind {
        EventDefinitionKind::Timer { cycle: None, .. } => None,
        EventDefinitionKind::Timer { .. } => Some(format!("timer cycles of {}s", node.kind.word())),
        other => Some(format!("{} {}s", other.word(), node.kind.word())),
    }
}

fn on_boundary(node: &FlowNode, definition: &EventDefinition, interrupting: bool) -> Option<String> {
    match &definition.kind {
        EventDefinitionKind::Error { .. } => None,
        EventDefinitionKind::Timer { cycle: None, .. } if interrupting => None,
        EventDefinitionKind::Timer { .. } if interrupting => {
            Some("timer cycles of interrupting boundary events".into())
        }
        EventDefinitionKind::Timer { .. } => Some("non-interrupting timer boundary events".into()),
        other => Some(format!("{} {}s", other.word(), node.kind.word())),
    }
}

fn attributes(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let node = &cx.process.nodes[index];
    let described = cx.describe(index);
    let mut refuse = |position, what: &str| {
        let message = format!("{what} of {described} is not executable");
        out.push(Diagnostic::error(Rule::UnsupportedAttribute, position, message).on(node.id.as_str()));
    };
    match &node.loop_characteristics {
        Some(marker @ LoopCharacteristics::Standard { .. }) => refuse(marker.position(), "the standard loop"),
        Some(marker @ LoopCharacteristics::MultiInstance { .. }) => {
            refuse(marker.position(), "the multi-instance marker");
        }
        None => {}
    }
    if node.is_for_compensation {
        refuse(node.position, "isForCompensation");
    }
    for (quantity, name) in [(&node.start_quantity, "startQuantity"), (&node.completion_quantity, "completionQuantity")]
    {
        if quantity.as_deref().is_some_and(|it| it != "1") {
            refuse(node.position, name);
        }
    }
    for element in &node.details {
        let data = ["ioSpecification", "dataInputAssociation", "dataOutputAssociation"];
        if element.namespace == Namespace::Bpmn && data.contains(&element.name.as_str()) && has_assignments(element) {
            refuse(element.position, &format!("the assignment of {}", element.name));
        }
    }
}

/// Data drawn beside the flow does nothing; assignments and transformations move values.
fn has_assignments(element: &Element) -> bool {
    let moves = ["assignment", "transformation"];
    (element.children.iter()).any(|it| it.namespace == Namespace::Bpmn && moves.contains(&it.name.as_str()))
}
