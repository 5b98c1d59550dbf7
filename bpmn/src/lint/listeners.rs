//! Listeners: each has a service, and stands where it can be called.

use routing::table::Moment;

use super::Context;
use crate::binding::{self, Listener};
use crate::compile;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{EventDefinitionKind, FlowNode, FlowNodeKind};

/// Checks the listeners of the process and its nodes.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let process = cx.process;
    let own = binding::listeners(&process.extensions, &process.id, out);
    let begins = |it: &FlowNode| it.parent.is_none() && matches!(it.kind, FlowNodeKind::StartEvent { .. });
    for listener in &own {
        let problem = match listener.on {
            Moment::Start if !process.nodes.iter().any(begins) => Some("which has no start event"),
            Moment::Start | Moment::End => None,
            Moment::Creating | Moment::Assigning | Moment::Completing => Some("which is no user task"),
        };
        if let Some(problem) = problem {
            let message = format!("the process `{}`, {problem}, has a listener that is never called", process.id);
            out.push(Diagnostic::error(Rule::ExtensionInvalid, listener.position, message).on(process.id.as_str()));
        }
        bound(cx, listener, &process.id, out);
    }
    for (index, node) in process.nodes.iter().enumerate() {
        for listener in binding::listeners(&node.extensions, &node.id, out) {
            if let Some(problem) = misplaced(cx, index, listener.on) {
                let message = format!("{} {problem}", cx.describe(index));
                out.push(Diagnostic::error(Rule::ExtensionInvalid, listener.position, message).on(node.id.as_str()));
            }
            bound(cx, &listener, &node.id, out);
        }
    }
}

/// Why a listener cannot stand there (Camunda 8 has none there either).
fn misplaced(cx: &Context<'_>, index: usize, on: Moment) -> Option<&'static str> {
    let node = &cx.process.nodes[index];
    let defines = |found: fn(&EventDefinitionKind) -> bool| node.event_definitions.iter().any(|it| found(&it.kind));
    match (on, &node.kind) {
        (_, FlowNodeKind::BoundaryEvent { .. })
            if defines(|it| matches!(it, EventDefinitionKind::Compensate { .. })) =>
        {
            Some("is never entered: listen to the compensation handler")
        }
        (Moment::Start, FlowNodeKind::StartEvent { .. }) => {
            Some("has no start listeners: listen to the process or sub-process")
        }
        (Moment::Start, FlowNodeKind::BoundaryEvent { .. }) => {
            Some("has no start listeners: listen to the activity it is attached to")
        }
        (Moment::End, FlowNodeKind::EndEvent) if defines(|it| matches!(it, EventDefinitionKind::Error { .. })) => {
            Some("has no end listeners: listen to the event that catches the error")
        }
        (Moment::End, kind) if kind.is_gateway() => {
            Some("has no end listeners: listen to the start of what follows the gateway")
        }
        (Moment::Start | Moment::End, _) => None,
        (_, FlowNodeKind::UserTask) if !compile::is_bound(&cx.source, index) => None,
        (Moment::Creating | Moment::Assigning | Moment::Completing, _) => {
            Some("has task listeners, which only user tasks have that no service does")
        }
    }
}

fn bound(cx: &Context<'_>, listener: &Listener, owner: &str, out: &mut Vec<Diagnostic>) {
    let name = &listener.task.task_type;
    if cx.options.is_bound(name) {
        return;
    }
    let make = if cx.options.missing_binding_is_error { Diagnostic::error } else { Diagnostic::warning };
    let message = format!("a listener of `{owner}` has type `{name}`, which is bound to no service");
    let help = format!("bind it: --bind {name}=http://HOST:PORT/PATH, or start a sidecar that serves `{name}`");
    out.push(make(Rule::BindingMissing, listener.position, message).on(owner).help(help));
}
