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
    let mut check = |element: &Element, owner: &str, what: String, service: bool| match meaning(element, service) {
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
    for element in &process.extensions.elements {
        check(element, &process.id, format!("process `{}`", process.id), false);
    }
    for node in process.nodes.iter().filter(|it| it.parent.is_none()) {
        let service = matches!(node.kind, FlowNodeKind::ServiceTask { .. });
        if service || !node.kind.is_activity() {
            for element in &node.extensions.elements {
                check(element, &node.id, super::describe(node), service);
            }
        }
    }
    for flow in &process.flows {
        for element in &flow.extensions.elements {
            check(element, &flow.id, format!("sequence flow `{}`", flow.id), false);
        }
    }
}

fn meaning(element: &Element, service: bool) -> Meaning {
    match (&element.namespace, element.name.as_str()) {
        (Namespace::Zeebe, "taskDefinition" | "taskHeaders") if service => Meaning::Known,
        (Namespace::Zeebe, "properties" | "versionTag" | "userTaskForm") => Meaning::Known,
        (Namespace::Zeebe, _) => Meaning::Executing,
        (Namespace::Camunda, "connector" | "inputOutput") if service => Meaning::Known,
        (Namespace::Camunda, "properties" | "formData" | "potentialStarter") => Meaning::Known,
        (Namespace::Camunda, _) => Meaning::Executing,
        (Namespace::Bpmn | Namespace::Diagram | Namespace::SchemaInstance, _) => Meaning::Unknown,
        (Namespace::None | Namespace::Other(_), _) => Meaning::Unknown,
    }
}
