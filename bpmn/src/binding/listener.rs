//! Camunda 8's execution and task listeners, each a task of a type that somebody serves.

use routing::table::Moment;

use super::extension::{TypedTask, apply_header, typed};
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Element, Extensions, Namespace, Position, TaskDefinition};

/// A listener as the model has it.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    /// When it is called.
    pub(crate) on: Moment,
    /// By whom it is served, and how.
    pub(crate) task: TypedTask,
    /// Where it stands.
    pub(crate) position: Position,
}

/// The listeners of an element or process, in the order of the model; findings go to `out`.
pub(crate) fn listeners(extensions: &Extensions, owner: &str, out: &mut Vec<Diagnostic>) -> Vec<Listener> {
    let mut all: Vec<Listener> = Vec::new();
    for (list, one) in [("executionListeners", "executionListener"), ("taskListeners", "taskListener")] {
        let lists = extensions.elements.iter().filter(|it| it.namespace == Namespace::Zeebe && it.name == list);
        for element in lists.flat_map(|it| it.children_named(&Namespace::Zeebe, one)) {
            let Some(found) = listener(element, owner, out) else { continue };
            if all.iter().any(|it| it.on == found.on && it.task.task_type == found.task.task_type) {
                let message = format!("two listeners of `{owner}` have one event and one type");
                out.push(Diagnostic::error(Rule::ExtensionInvalid, found.position, message).on(owner));
                continue;
            }
            all.push(found);
        }
    }
    all
}

fn listener(element: &Element, owner: &str, out: &mut Vec<Diagnostic>) -> Option<Listener> {
    let on = moment(element, owner, out)?;
    let definition = TaskDefinition {
        task_type: element.attribute("type"),
        retries: element.attribute("retries"),
        position: element.position,
    };
    let mut task = typed(&format!("zeebe:{}", element.name), &definition, owner, out)?;
    for header in Extensions::headers_of(element.children_named(&Namespace::Zeebe, "taskHeaders")) {
        apply_header(owner, &header, &mut task, out);
    }
    Some(Listener { on, task, position: element.position })
}

/// When it is called; `None` if it never is, which is told.
fn moment(element: &Element, owner: &str, out: &mut Vec<Diagnostic>) -> Option<Moment> {
    let written = element.attribute("eventType").unwrap_or_default().trim();
    let execution = element.name == "executionListener";
    let mut found = |make: fn(Rule, Position, String) -> Diagnostic, rule, message: String| {
        out.push(make(rule, element.position, message).on(owner));
        None
    };
    match written {
        "start" if execution => Some(Moment::Start),
        "end" if execution => Some(Moment::End),
        // the names of Camunda 8.8's first previews
        "creating" | "create" if !execution => Some(Moment::Creating),
        "assigning" | "assignment" if !execution => Some(Moment::Assigning),
        "completing" | "complete" if !execution => Some(Moment::Completing),
        "updating" | "update" if !execution => {
            let message = format!("nothing updates the user task `{owner}`: its listener is never called");
            found(Diagnostic::info, Rule::UnknownExtension, message)
        }
        "canceling" | "cancel" | "beforeAll" => {
            let message = format!("the listener of `{owner}` for `{written}` is not executable");
            found(Diagnostic::error, Rule::UnsupportedExtension, message)
        }
        "" => found(Diagnostic::error, Rule::ExtensionInvalid, format!("a listener of `{owner}` has no eventType")),
        other => {
            let other: String = other.chars().take(60).collect();
            found(Diagnostic::error, Rule::ExtensionInvalid, format!("a listener of `{owner}` has no event `{other}`"))
        }
    }
}
