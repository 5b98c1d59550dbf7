//! Events: what the standard allows where (BPMN 2.0.2, 10.5, tables 10.86 to 10.93), and timers.

use std::collections::HashMap;

use super::Context;
use super::expressions::{self, Language};
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{EventDefinition, EventDefinitionKind, Expression, FlowNode, FlowNodeKind};

/// Checks every event.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for (index, node) in cx.process.nodes.iter().enumerate() {
        if !node.kind.is_event() {
            continue;
        }
        defined(cx, index, out);
        for definition in &node.event_definitions {
            allowed(cx, index, definition, out);
            coded(cx, index, definition, out);
            timer(cx, index, definition, out);
        }
        boundary(cx, index, out);
    }
    for node in 0..cx.process.nodes.len() {
        duplicate_errors(cx, node, out);
    }
}

/// A catching or boundary event must say what it waits for.
fn defined(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let node = &cx.process.nodes[index];
    let none = node.event_definitions.is_empty() && node.event_definition_refs.is_empty();
    let needs = matches!(node.kind, FlowNodeKind::IntermediateCatchEvent | FlowNodeKind::BoundaryEvent { .. });
    if none && needs {
        let message = format!("{} does not say what it waits for", cx.describe(index));
        out.push(cx.error(index, Rule::EventDefinitionMissing, message));
    }
}

/// Where the standard has an event of this kind.
fn is_allowed(cx: &Context<'_>, node: &FlowNode, kind: &EventDefinitionKind) -> bool {
    use EventDefinitionKind as K;
    let in_event_sub_process = node
        .parent
        .is_some_and(|it| matches!(cx.process.nodes[it].kind, FlowNodeKind::SubProcess { triggered_by_event: true }));
    match &node.kind {
        FlowNodeKind::StartEvent { .. } => match kind {
            K::Message { .. } | K::Timer { .. } | K::Signal { .. } | K::Conditional { .. } => true,
            K::Error { .. } | K::Escalation { .. } | K::Compensate { .. } => in_event_sub_process,
            K::Link { .. } | K::Cancel | K::Terminate => false,
        },
        FlowNodeKind::IntermediateCatchEvent => match kind {
            K::Message { .. } | K::Timer { .. } | K::Signal { .. } | K::Conditional { .. } | K::Link { .. } => true,
            K::Error { .. } | K::Escalation { .. } | K::Compensate { .. } | K::Cancel | K::Terminate => false,
        },
        FlowNodeKind::IntermediateThrowEvent => match kind {
            K::Message { .. } | K::Signal { .. } | K::Escalation { .. } | K::Compensate { .. } | K::Link { .. } => true,
            K::Error { .. } | K::Timer { .. } | K::Conditional { .. } | K::Cancel | K::Terminate => false,
        },
        FlowNodeKind::BoundaryEvent { .. } => match kind {
            K::Link { .. } | K::Terminate => false,
            K::Cancel => cx.graph.attached[index_of(cx, node)]
                .is_none_or(|it| matches!(cx.process.nodes[it].kind, FlowNodeKind::Transaction)),
            K::Message { .. }
            | K::Timer { .. }
            | K::Error { .. }
            | K::Escalation { .. }
            | K::Signal { .. }
            | K::Conditional { .. }
            | K::Compensate { .. } => true,
        },
        FlowNodeKind::EndEvent => match kind {
            K::Timer { .. } | K::Conditional { .. } | K::Link { .. } => false,
            K::Message { .. }
            | K::Error { .. }
            | K::Escalation { .. }
            | K::Signal { .. }
            | K::Compensate { .. }
            | K::Cancel
            | K::Terminate => true,
        },
        // only events have event definitions; anything else is checked elsewhere
        _ => true,
    }
}

fn index_of(cx: &Context<'_>, node: &FlowNode) -> usize {
    cx.graph.find(&node.id).unwrap_or_default()
}

fn allowed(cx: &Context<'_>, index: usize, definition: &EventDefinition, out: &mut Vec<Diagnostic>) {
    let node = &cx.process.nodes[index];
    if !is_allowed(cx, node, &definition.kind) {
        let message =
            format!("{} cannot be a {} event: BPMN has none there", cx.describe(index), definition.kind.word());
        out.push(cx.error(index, Rule::EventDefinitionNotAllowed, message));
    }
}

/// An error that is caught or thrown by reference has a code to compare.
fn coded(cx: &Context<'_>, index: usize, definition: &EventDefinition, out: &mut Vec<Diagnostic>) {
    let EventDefinitionKind::Error { error_ref: Some(reference) } = &definition.kind else { return };
    let Some(error) = cx.definitions.errors.find(reference) else { return };
    if error.code.as_deref().unwrap_or_default().is_empty() {
        let message = format!("{} refers to error `{}`, which has no errorCode", cx.describe(index), error.id);
        out.push(cx.error(index, Rule::ErrorCodeMissing, message));
    }
}

fn boundary(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let node = &cx.process.nodes[index];
    let FlowNodeKind::BoundaryEvent { attached_to, cancel_activity } = &node.kind else { return };
    let described = cx.describe(index);
    let problem = match (attached_to, cx.graph.attached[index]) {
        (None, _) => Some("is attached to nothing".to_owned()),
        (Some(id), None) => Some(format!("is attached to `{id}`, which does not exist")),
        (Some(id), Some(activity)) => {
            let activity = &cx.process.nodes[activity];
            if !activity.kind.is_activity() {
                Some(format!("is attached to `{id}`, which is a {}", activity.kind.word()))
            } else if activity.parent != node.parent {
                Some(format!("is attached to `{id}`, which is in another sub-process"))
            } else {
                None
            }
        }
    };
    if let Some(problem) = problem {
        out.push(cx.error(index, Rule::BoundaryNotAttached, format!("{described} {problem}")));
    }
    let error = (node.event_definitions.iter()).any(|it| matches!(it.kind, EventDefinitionKind::Error { .. }));
    if error && !cancel_activity {
        let message = format!("{described} catches an error and does not interrupt");
        out.push(cx.error(index, Rule::BoundaryMustInterrupt, message));
    }
}

/// Two error boundary events of one activity never catch the same.
fn duplicate_errors(cx: &Context<'_>, activity: usize, out: &mut Vec<Diagnostic>) {
    let mut seen: HashMap<Option<&str>, usize> = HashMap::new();
    for boundary in &cx.graph.boundaries[activity] {
        for definition in &cx.process.nodes[*boundary].event_definitions {
            let EventDefinitionKind::Error { error_ref } = &definition.kind else { continue };
            let error = error_ref.as_deref().and_then(|it| cx.definitions.errors.find(it));
            let code = error.and_then(|it| it.code.as_deref());
            if let Some(first) = seen.insert(code, *boundary) {
                let what = code.map_or("every error".to_owned(), |it| format!("error `{it}`"));
                let first = &cx.process.nodes[first].id;
                let message = format!("{} catches {what}, as `{first}` does", cx.describe(*boundary));
                out.push(cx.error(*boundary, Rule::DuplicateBoundary, message));
            }
        }
    }
}

fn timer(cx: &Context<'_>, index: usize, definition: &EventDefinition, out: &mut Vec<Diagnostic>) {
    let EventDefinitionKind::Timer { date, duration, cycle } = &definition.kind else { return };
    let given: Vec<_> = [date, duration, cycle].into_iter().flatten().collect();
    if given.len() != 1 {
        let count = if given.is_empty() { "none" } else { "several" };
        let message = format!("{} has {count} of timeDate, timeDuration and timeCycle", cx.describe(index));
        let finding = Diagnostic::error(Rule::TimerDefinition, definition.position, message);
        out.push(finding.on(cx.process.nodes[index].id.as_str()));
        return;
    }
    for (expression, parse) in [(date, is_date as fn(&str) -> bool), (duration, is_duration), (cycle, is_cycle)] {
        if let Some(expression) = expression {
            timer_value(cx, index, expression, parse, out);
        }
    }
}

fn timer_value(
    cx: &Context<'_>,
    index: usize,
    expression: &Expression,
    valid: fn(&str) -> bool,
    out: &mut Vec<Diagnostic>,
) {
    let text = expression.text.trimmed();
    let id = cx.process.nodes[index].id.as_str();
    if text.is_empty() {
        let message = format!("the timer of {} is empty", cx.describe(index));
        out.push(Diagnostic::error(Rule::ExpressionEmpty, expression.position, message).on(id));
    } else if let Some(feel) = text.strip_prefix('=') {
        expressions::check(id, feel, Language::Feel, expression, out);
    } else if let Some(foreign) = expressions::foreign(text) {
        out.push(expressions::refused(id, foreign, expression));
    } else if text.contains(['{', '(']) {
        let message = format!("the timer `{text}` of {} is computed in the original's way", cx.describe(index));
        let finding = Diagnostic::error(Rule::AnnotationUnsupported, expression.position_of(0), message).on(id);
        out.push(finding.help("write the value as a FEEL expression: =expression"));
    } else if !valid(text) {
        let message = format!("the timer `{text}` of {} is not ISO 8601", cx.describe(index));
        out.push(Diagnostic::error(Rule::TimerInvalid, expression.position_of(0), message).on(id));
    }
}

fn is_date(text: &str) -> bool {
    routing::timer::instant(text).is_ok()
}

/// ISO 8601 only: the parser behind takes words such as "5 minutes", too.
fn is_duration(text: &str) -> bool {
    text.starts_with('P') && routing::timer::after(text, 0).is_ok()
}

/// `R[n]/...` with dates and durations; cycles are not executed, so their details are not checked.
fn is_cycle(text: &str) -> bool {
    let mut parts = text.split('/');
    let repeat = parts.next().unwrap_or_default();
    let count = repeat.strip_prefix('R');
    count.is_some_and(|it| it.chars().all(|it| it.is_ascii_digit()))
        && parts.clone().count() >= 1
        && parts.all(|it| is_date(it) || is_duration(it))
}
