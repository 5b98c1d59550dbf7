//! What services do: who does each.

use super::Context;
use crate::binding::{self, ParameterType, TaskBinding};
use crate::compile;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{FlowNodeKind, Namespace};

/// Checks the binding of every service task, and of whatever else names a service.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for (index, node) in cx.process.nodes.iter().enumerate() {
        if !compile::is_bound(&cx.source, index) {
            misplaced(cx, index, out);
            continue;
        }
        let task = binding::of_task(node, index, cx.annotations, out);
        let (name, what) = match &task {
            TaskBinding::Annotated(_) => {
                closure(cx, index, out);
                continue;
            }
            // a sidecar without a container does it, with no word of the model's author
            TaskBinding::Typed(task) if task.native().is_some() => {
                bound_connector(cx, index, &task.task_type, out);
                continue;
            }
            TaskBinding::Typed(task) => (task.task_type.as_str(), format!("type `{}`", task.task_type)),
            TaskBinding::Unbound => (node.id.as_str(), "no service".to_owned()),
        };
        if let TaskBinding::Typed(task) = &task
            && task.task_type.starts_with("io.camunda:")
        {
            let message =
                format!("{} is the connector `{}`, which is not built in", cx.describe(index), task.task_type);
            out.push(cx.at(index, Diagnostic::info, Rule::ConnectorForeign, message));
        }
        if !cx.options.is_bound(name) {
            let message = match &task {
                TaskBinding::Unbound => format!("{} names {what}", cx.describe(index)),
                _ => format!("{} has {what}, which is bound to no service", cx.describe(index)),
            };
            let make = if cx.options.missing_binding_is_error { Diagnostic::error } else { Diagnostic::warning };
            out.push(
                cx.at(index, make, Rule::BindingMissing, message)
                    .help(format!("bind it: --bind {name}=http://HOST:PORT/PATH, or start a sidecar that serves `{name}`, or annotate the task with its service")),
            );
        }
    }
}

/// A connector calls what the model says: a binding would not be used.
fn bound_connector(cx: &Context<'_>, index: usize, task_type: &str, out: &mut Vec<Diagnostic>) {
    let bound = |name: &str| cx.options.bindings.contains_key(name);
    if bound(task_type) || bound(&cx.process.nodes[index].id) {
        let message = format!("{} is a connector, which calls its `url`: no binding has an effect", cx.describe(index));
        let finding = cx.at(index, Diagnostic::warning, Rule::BindingInvalid, message);
        out.push(finding.help("change the input `url`, or give the task a type of your own"));
    }
}

/// A service that would do nothing: several definitions of one event, or none that sends a message.
fn misplaced(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let node = &cx.process.nodes[index];
    let throws = matches!(node.kind, FlowNodeKind::IntermediateThrowEvent | FlowNodeKind::EndEvent);
    // the original's models have annotated end events, which it does not call
    let annotated = node.event_definitions.is_empty() && cx.annotations.elements[index].service.is_some();
    if throws && !annotated && compile::says_service(&cx.source, index) {
        let message = format!("{} names a service, which does message events only", cx.describe(index));
        out.push(cx.error(index, Rule::BindingInvalid, message));
    }
}

/// The parameters of closure transport can be read.
fn closure(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let node = &cx.process.nodes[index];
    let declared = node.extensions.find(&Namespace::Camunda, "inputOutput").is_some();
    if cx.annotations.global.closure_transport {
        let (inputs, _) = binding::parameters(node, out);
        whole_input(cx, index, &inputs, out);
    } else if declared {
        let message = format!("camunda:inputOutput of {} needs `use_closure_transport: true`", cx.describe(index));
        out.push(cx.at(index, Diagnostic::warning, Rule::AnnotationIgnored, message));
    }
}

/// An input called `.` is the whole body: no other can stand beside it.
fn whole_input(cx: &Context<'_>, index: usize, inputs: &[binding::Parameter], out: &mut Vec<Diagnostic>) {
    let whole = inputs.iter().find(|it| it.name == ".");
    if whole.is_some() && inputs.len() > 1 {
        let message = format!("{} has an input `.`, the whole body, beside other inputs", cx.describe(index));
        out.push(cx.error(index, Rule::ClosureParameter, message));
    }
    let context = whole.filter(|it| it.source == ".");
    if context.is_some_and(|it| it.kind != ParameterType::JsonObject) {
        let message = format!("the whole context that {} asks for is a JSON_OBJECT", cx.describe(index));
        out.push(cx.error(index, Rule::ClosureParameter, message));
    }
}
