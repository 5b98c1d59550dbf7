//! Event definitions.

use super::process::expression;
use super::tree::Tree;
use crate::model::{EventDefinition, EventDefinitionKind, Namespace};

/// The event definition at `at`; `None` if the element is none.
pub(super) fn definition(tree: &Tree, at: usize) -> Option<EventDefinition> {
    let it = tree.node(at);
    if it.namespace != Namespace::Bpmn {
        return None;
    }
    let child = |name: &str| tree.child(at, name).map(|it| expression(tree, it));
    let kind = match it.name.as_str() {
        "messageEventDefinition" => EventDefinitionKind::Message {
            message_ref: it.owned("messageRef"),
            operation_ref: tree.child(at, "operationRef").map(|it| tree.node(it).text.trimmed().to_owned()),
        },
        "timerEventDefinition" => EventDefinitionKind::Timer {
            date: child("timeDate").map(Box::new),
            duration: child("timeDuration").map(Box::new),
            cycle: child("timeCycle").map(Box::new),
        },
        "errorEventDefinition" => EventDefinitionKind::Error { error_ref: it.owned("errorRef") },
        "escalationEventDefinition" => EventDefinitionKind::Escalation { escalation_ref: it.owned("escalationRef") },
        "signalEventDefinition" => EventDefinitionKind::Signal { signal_ref: it.owned("signalRef") },
        "conditionalEventDefinition" => EventDefinitionKind::Conditional { condition: child("condition") },
        "compensateEventDefinition" => EventDefinitionKind::Compensate {
            activity_ref: it.owned("activityRef"),
            wait_for_completion: it.flag("waitForCompletion").unwrap_or(true),
        },
        "linkEventDefinition" => EventDefinitionKind::Link { name: it.owned("name") },
        "cancelEventDefinition" => EventDefinitionKind::Cancel,
        "terminateEventDefinition" => EventDefinitionKind::Terminate,
        _ => return None,
    };
    Some(EventDefinition {
        id: it.owned("id"),
        position: it.position,
        kind,
        extensions: tree.extensions(at),
        details: details(tree, at),
    })
}

/// Children without a field of their own: link sources and targets, foreign elements.
fn details(tree: &Tree, at: usize) -> Vec<crate::model::Element> {
    let fields =
        ["operationRef", "timeDate", "timeDuration", "timeCycle", "condition", "extensionElements", "documentation"];
    tree.children(at).filter(|it| !fields.contains(&tree.node(*it).name.as_str())).map(|it| tree.element(it)).collect()
}
