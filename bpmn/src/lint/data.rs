//! Extensions of vendors: those that change what is executed are refused unless the engine runs
//! them, the rest is named once.

use std::collections::BTreeSet;

use super::Context;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Element, FlowNodeKind, Namespace};

/// What to make of an extension element.
enum Meaning {
    /// Read by [`crate::binding`], or only for people and tools.
    Known,
    /// Changes what Camunda executes, and is not executed here.
    Executing,
    /// Nothing this compiler knows.
    Unknown,
}

/// Checks the extensions of the process, its flows and its nodes.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let mut unknown: BTreeSet<String> = BTreeSet::new();
    let mut check =
        |element: &Element, owner: &str, what: String, kind: Option<&FlowNodeKind>| match meaning(element, kind) {
            Meaning::Known => {}
            Meaning::Executing => {
                let message = format!("`{}` of {what} is not executable", element.qualified());
                out.push(Diagnostic::error(Rule::UnsupportedExtension, element.position, message).on(owner));
            }
            Meaning::Unknown => {
                if unknown.insert(element.qualified()) {
                    let message = format!("the extension `{}` of {what} has no effect", element.qualified());
                    out.push(Diagnostic::info(Rule::UnknownExtension, element.position, message).on(owner));
                }
            }
        };
    let process = cx.process;
    let heard = |it: &&Element| it.namespace == Namespace::Zeebe && it.name == "executionListeners";
    for element in process.extensions.elements.iter().filter(|it| !heard(it)) {
        check(element, &process.id, format!("process `{}`", process.id), None);
    }
    for node in &process.nodes {
        let own = node.event_definitions.iter().flat_map(|it| &it.extensions.elements);
        for element in node.extensions.elements.iter().chain(own) {
            check(element, &node.id, super::describe(node), Some(&node.kind));
        }
    }
    for flow in &process.flows {
        for element in &flow.extensions.elements {
            check(element, &flow.id, format!("sequence flow `{}`", flow.id), None);
        }
    }
}

/// `kind` is that of the node that has the element; `None`: a process or a flow.
fn meaning(element: &Element, kind: Option<&FlowNodeKind>) -> Meaning {
    let known = match (&element.namespace, kind) {
        (Namespace::Zeebe, Some(kind)) => zeebe(&element.name, kind),
        (Namespace::Camunda, Some(kind)) => camunda(&element.name, kind),
        _ => false,
    };
    match (&element.namespace, element.name.as_str()) {
        _ if known => Meaning::Known,
        (Namespace::Zeebe, "properties" | "versionTag" | "userTaskForm" | "linkedResources") => Meaning::Known,
        (Namespace::Zeebe, _) => Meaning::Executing,
        (Namespace::Camunda, "properties" | "formData" | "potentialStarter") => Meaning::Known,
        (Namespace::Camunda, "failedJobRetryTimeCycle") => Meaning::Unknown,
        (Namespace::Camunda, _) => Meaning::Executing,
        (Namespace::Bpmn | Namespace::Diagram | Namespace::SchemaInstance, _) => Meaning::Unknown,
        (Namespace::None | Namespace::Other(_), _) => Meaning::Unknown,
    }
}

/// What a service can do.
fn is_served(kind: &FlowNodeKind) -> bool {
    matches!(
        kind,
        FlowNodeKind::ServiceTask { .. }
            | FlowNodeKind::SendTask { .. }
            | FlowNodeKind::BusinessRuleTask
            | FlowNodeKind::ScriptTask { .. }
            | FlowNodeKind::UserTask
            | FlowNodeKind::Task
            | FlowNodeKind::IntermediateThrowEvent
            | FlowNodeKind::EndEvent
    )
}

fn zeebe(name: &str, kind: &FlowNodeKind) -> bool {
    match name {
        "taskDefinition" | "taskHeaders" => is_served(kind),
        "ioMapping" => !kind.is_gateway(),
        "calledElement" => matches!(kind, FlowNodeKind::CallActivity { .. }),
        "calledDecision" => matches!(kind, FlowNodeKind::BusinessRuleTask),
        "script" => matches!(kind, FlowNodeKind::ScriptTask { .. }),
        "formDefinition" => matches!(kind, FlowNodeKind::UserTask | FlowNodeKind::StartEvent { .. }),
        "userTask" | "assignmentDefinition" | "taskSchedule" | "priorityDefinition" => {
            matches!(kind, FlowNodeKind::UserTask)
        }
        "publishMessage" => {
            let event = matches!(kind, FlowNodeKind::IntermediateThrowEvent | FlowNodeKind::EndEvent);
            event || matches!(kind, FlowNodeKind::SendTask { .. })
        }
        "adHoc" => matches!(kind, FlowNodeKind::AdHocSubProcess { .. }),
        "conditionalFilter" => kind.is_event(),
        // where they may stand is said by those who read them
        "executionListeners" | "taskListeners" => true,
        _ => false,
    }
}

fn camunda(name: &str, kind: &FlowNodeKind) -> bool {
    match name {
        "connector" => is_served(kind),
        "inputOutput" => !kind.is_gateway(),
        "in" | "out" => matches!(kind, FlowNodeKind::CallActivity { .. }),
        _ => false,
    }
}
