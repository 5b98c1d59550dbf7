//! Events: what the standard allows where (BPMN 2.0.2, 10.5, tables 10.86 to 10.93), and timers.

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
        conditional_start(cx, index, out);
        notifies_itself(cx, index, out);
        boundary(cx, index, out);
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

/// A condition is over variables; before there is an instance, it is over those that somebody offers.
fn conditional_start(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let node = &cx.process.nodes[index];
    let starts = matches!(node.kind, FlowNodeKind::StartEvent { .. }) && node.parent.is_none();
    if starts && node.defines(|it| matches!(it, EventDefinitionKind::Conditional { .. })) {
        let message = format!("{} starts instances when variables are offered that fulfil it", cx.describe(index));
        out.push(cx.at(index, Diagnostic::info, Rule::ConditionalStart, message));
    }
}

/// A notification that starts an instance is followed by that instance's own, without end.
fn notifies_itself(cx: &Context<'_>, index: usize, out: &mut Vec<Diagnostic>) {
    let node = &cx.process.nodes[index];
    let starts = matches!(node.kind, FlowNodeKind::StartEvent { .. }) && node.parent.is_none();
    let topic = cx.annotations.elements.get(index).and_then(|it| it.topic.as_ref()).filter(|_| starts);
    if let Some(topic) = topic.filter(|it| cx.annotations.global.notifications.as_ref() == Some(&it.name)) {
        let message = format!("{} listens to `{}`, which the process notifies", cx.describe(index), topic.name);
        out.push(cx.at(index, Diagnostic::warning, Rule::NotifiesItself, message));
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
        let message = format!(
            "{} cannot be of the kind {}: BPMN has no such event there",
            cx.describe(index),
            definition.kind.word()
        );
        out.push(cx.error(index, Rule::EventDefinitionNotAllowed, message));
    }
}

/// An error that is caught or thrown by reference has a code to compare, and an escalation that is thrown.
fn coded(cx: &Context<'_>, index: usize, definition: &EventDefinition, out: &mut Vec<Diagnostic>) {
    let (root, what) = match &definition.kind {
        EventDefinitionKind::Error { error_ref: Some(reference) } => (cx.definitions.errors.find(reference), "error"),
        EventDefinitionKind::Escalation { escalation_ref: Some(reference) } => {
            (cx.definitions.escalations.find(reference), "escalation")
        }
        _ => return,
    };
    let Some(root) = root.filter(|it| it.code.as_deref().unwrap_or_default().trim().is_empty()) else { return };
    // an escalation that is caught without a code is any
    let throws = matches!(cx.process.nodes[index].kind, FlowNodeKind::EndEvent | FlowNodeKind::IntermediateThrowEvent);
    if what == "error" || throws {
        let message = format!("{} refers to {what} `{}`, which has no {what}Code", cx.describe(index), root.id);
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
            } else if matches!(activity.kind, FlowNodeKind::SubProcess { triggered_by_event: true }) {
                Some(format!("is attached to event sub-process `{id}`"))
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
    let cancel = node.defines(|it| matches!(it, EventDefinitionKind::Cancel));
    if cancel && !cancel_activity {
        let message = format!("{described} catches a cancellation and does not interrupt");
        out.push(cx.error(index, Rule::BoundaryMustInterrupt, message));
    }
    if node.event_definitions.len() > 1 && node.defines(|it| matches!(it, EventDefinitionKind::Compensate { .. })) {
        let message = format!("{described} waits for compensation and for something else");
        out.push(cx.error(index, Rule::EventDefinitionNotAllowed, message));
    }
}

/// In the original's dialect each firing of a catch event has a token of its own: there must be an end of them.
fn cycle_forks(cx: &Context<'_>, index: usize, cycle: &Expression, out: &mut Vec<Diagnostic>) {
    let text = cycle.text.trimmed();
    let fixed = timer_expression(cycle).is_none() && !text.contains(['{', '(']);
    // until an end: how often depends on when it is set
    let until = text.starts_with("R0/P") && text.matches('/').count() == 2;
    let endless = || routing::timer::firings(text).is_ok_and(|times| times.is_none_or(|it| it > 1024));
    if fixed && !until && endless() {
        let message =
            format!("the cycle `{text}` of {} fires without end, or more than 1024 times", cx.describe(index));
        let finding = Diagnostic::error(Rule::TimerInvalid, cycle.position_of(0), message);
        out.push(finding.on(cx.process.nodes[index].id.as_str()).help("give it a count, such as R3/PT10S"));
    }
}

/// A cycle where one firing is all there can be.
fn cycle_once(cx: &Context<'_>, index: usize, cycle: &Expression, out: &mut Vec<Diagnostic>) {
    let node = &cx.process.nodes[index];
    let event = |it: usize| matches!(cx.process.nodes[it].kind, FlowNodeKind::SubProcess { triggered_by_event: true });
    let once = match &node.kind {
        FlowNodeKind::IntermediateCatchEvent if cx.annotations.dialect => {
            return cycle_forks(cx, index, cycle, out);
        }
        FlowNodeKind::IntermediateCatchEvent => true,
        FlowNodeKind::BoundaryEvent { cancel_activity, .. } => *cancel_activity,
        FlowNodeKind::StartEvent { interrupting } => *interrupting && node.parent.is_some_and(event),
        _ => false,
    };
    if once {
        let message = format!("the cycle of {} ends with its first firing", cx.describe(index));
        out.push(Diagnostic::warning(Rule::TimerCycleOnce, cycle.position, message).on(node.id.as_str()));
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
    let dialect = cx.annotations.dialect && is_of_original(&cx.process.nodes[index]);
    let valid_cycle = if dialect { is_cycle_of_original } else { is_cycle };
    for (expression, parse) in [(date, is_date as fn(&str) -> bool), (duration, is_duration), (cycle, valid_cycle)] {
        if let Some(expression) = expression {
            timer_value(cx, index, expression, parse, out);
        }
    }
    if let Some(cycle) = cycle {
        cycle_once(cx, index, cycle, out);
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
    let expression_text = timer_expression(expression);
    if text.is_empty() {
        let message = format!("the timer of {} is empty", cx.describe(index));
        out.push(Diagnostic::error(Rule::ExpressionEmpty, expression.position, message).on(id));
    } else if let Some(feel) = expression_text {
        expressions::check(cx, id, feel, Language::Feel, expression, out);
    } else if let Some(foreign) = expressions::foreign(text) {
        out.push(expressions::refused(id, foreign, expression));
    } else if text.contains(['{', '(']) {
        let node = &cx.process.nodes[index];
        let first = matches!(node.kind, FlowNodeKind::StartEvent { .. }) && node.parent.is_none();
        let wrong = match routing::timer::dynamic::check(text) {
            Ok(()) if first && text.contains('{') => Some("there is no payload yet when an instance starts".to_owned()),
            checked => checked.err(),
        };
        if let Some(why) = wrong {
            let message = format!("the timer `{text}` of {}: {why}", cx.describe(index));
            out.push(Diagnostic::error(Rule::TimerInvalid, expression.position_of(0), message).on(id));
        }
    } else if !valid(text) {
        let message = format!("the timer `{text}` of {} is not ISO 8601", cx.describe(index));
        out.push(Diagnostic::error(Rule::TimerInvalid, expression.position_of(0), message).on(id));
    }
}

/// The FEEL of a timer's value: after `=`, or where the expression itself names the language.
pub(crate) fn timer_expression(expression: &Expression) -> Option<&str> {
    let text = expression.text.trimmed();
    let named = expression.language.as_deref().is_some_and(|it| it.to_ascii_lowercase().contains("feel"));
    text.strip_prefix('=').map(str::trim).or_else(|| named.then_some(text))
}

/// The events with timers that the original has: in the middle of a process, and those that start it.
pub(crate) fn is_of_original(node: &FlowNode) -> bool {
    match node.kind {
        FlowNodeKind::IntermediateCatchEvent => true,
        FlowNodeKind::StartEvent { .. } => node.parent.is_none(),
        _ => false,
    }
}

/// A cycle that the original reads otherwise than the standard: with dates, without a count, or computed.
pub(crate) fn is_between(cycle: &Expression) -> bool {
    let text = cycle.text.trimmed();
    let differs = text.contains(['{', '(']) || text.matches('/').count() > 1 || text.starts_with("R0/");
    differs && timer_expression(cycle).is_none()
}

fn is_cycle_of_original(text: &str) -> bool {
    is_cycle(text) || routing::timer::firings(text).is_ok()
}

fn is_date(text: &str) -> bool {
    routing::timer::instant(text).is_ok()
}

/// ISO 8601 only: the parser behind takes words such as "5 minutes", too.
fn is_duration(text: &str) -> bool {
    text.starts_with('P') && routing::timer::after(text, 0).is_ok()
}

/// `R[n]/...` with dates and durations, or cron.
fn is_cycle(text: &str) -> bool {
    if !text.starts_with('R') {
        return is_cron(text);
    }
    let mut parts = text.split('/');
    let count = parts.next().and_then(|it| it.strip_prefix('R'));
    let counts = |it: &str| it == "-1" || it.chars().all(|it| it.is_ascii_digit()) && it.parse::<u32>() != Ok(0);
    count.is_some_and(counts)
        && match parts.collect::<Vec<_>>()[..] {
            [every] => is_duration(every),
            [start, every] if is_duration(every) => start.is_empty() || is_date(start),
            [start, end] => (is_duration(start) || is_date(start)) && is_date(end),
            _ => false,
        }
}

/// Five to seven fields, or a name such as `@daily`; that they make sense is for whoever computes the next firing.
fn is_cron(text: &str) -> bool {
    let fields: Vec<_> = text.split_whitespace().collect();
    let field = |it: &&str| it.chars().all(|it| it.is_ascii_alphanumeric() || "*/,-?#".contains(it));
    let named = matches!(fields[..], [name] if name.starts_with('@') && name.len() > 1);
    named || ((5..=7).contains(&fields.len()) && fields.iter().all(field) && text.contains(['*', '?', '/']))
}
