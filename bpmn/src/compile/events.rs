//! Events (BPMN 10.5): what they wait for, what they throw.

use routing::table::{Catch, Filter, Filtered, Message, MessageThrow, Recovery, Template, Throw, Timer, Trigger};

use super::correlation;
use super::source::Source;
use super::topics;
use crate::diagnostic::Rule;
use crate::lint;
use crate::model::{
    EventDefinition, EventDefinitionKind, Expression, Extensions, FlowNode, FlowNodeKind, Namespace, RootElement, Roots,
};

/// What the event at `index` waits for.
pub(super) fn catch(source: &Source<'_>, index: usize) -> Catch {
    let node = source.node(index);
    let mut triggers: Vec<Trigger> =
        node.event_definitions.iter().filter_map(|it| trigger(source, index, it)).collect();
    if !defines_message(node) && matches!(node.kind, FlowNodeKind::StartEvent { .. }) {
        triggers.extend(topics::caught(source, index).map(|it| Trigger::Message(Box::new(it))));
    }
    let parallel = node.parallel_multiple && node.event_definitions.len() > 1;
    let repeats = source.annotations.dialect
        && matches!(node.kind, FlowNodeKind::IntermediateCatchEvent)
        && matches!(triggers[..], [Trigger::Timer(Timer::Cycle(_) | Timer::Between(_))]);
    Catch { triggers, parallel, repeats, recovery: recovery(source, index) }
}

/// What becomes of its timers that came due while flowd was away.
fn recovery(source: &Source<'_>, index: usize) -> Recovery {
    let own = source.annotations.elements.get(index).and_then(|it| it.timer_recovery);
    let node = source.node(index);
    let times = node.defines(|it| matches!(it, EventDefinitionKind::Timer { .. }));
    let policy = own.or(source.annotations.global.timer_recovery);
    policy.filter(|_| times && lint::is_of_original(node)).unwrap_or_default()
}

/// What the event at `index` throws, in document order.
pub(super) fn throws(source: &Source<'_>, index: usize) -> Vec<Throw> {
    let node = source.node(index);
    let published = topics::thrown(source, index).map(|it| Throw::Message(Box::new(it)));
    // the topic is told first: what follows may end the token
    let defined = node.event_definitions.iter().filter(|it| published.is_none() || !is_message(it));
    let defined: Vec<Throw> = defined.filter_map(|it| throw(source, node, it)).collect();
    published.into_iter().chain(defined).collect()
}

fn is_message(definition: &EventDefinition) -> bool {
    matches!(definition.kind, EventDefinitionKind::Message { .. })
}

fn defines_message(node: &FlowNode) -> bool {
    node.event_definitions.iter().any(is_message)
}

fn trigger(source: &Source<'_>, index: usize, definition: &EventDefinition) -> Option<Trigger> {
    let node = source.node(index);
    let roots = source.definitions;
    Some(match &definition.kind {
        EventDefinitionKind::Message { message_ref, .. } => {
            if let Some(message) = topics::caught(source, index) {
                return Some(Trigger::Message(Box::new(message)));
            }
            let message = referred(source, node, &roots.messages, message_ref.as_deref(), "message")?;
            Trigger::Message(Box::new(caught_message(source, index, message)?))
        }
        EventDefinitionKind::Signal { signal_ref } => Trigger::Signal(signal(source, node, signal_ref.as_deref())?),
        EventDefinitionKind::Timer { date, duration, cycle } => {
            let dialect = source.annotations.dialect && lint::is_of_original(node);
            Trigger::Timer(timer([date, duration, cycle].map(Option::as_deref), dialect)?)
        }
        EventDefinitionKind::Error { error_ref } => {
            Trigger::Error(caught_code(source, node, &roots.errors, error_ref.as_deref()))
        }
        EventDefinitionKind::Escalation { escalation_ref } => {
            Trigger::Escalation(caught_code(source, node, &roots.escalations, escalation_ref.as_deref()))
        }
        EventDefinitionKind::Conditional { condition } => {
            let Some(condition) = condition else {
                let message = format!("{} has no condition", lint::describe(node));
                source.error(node, Rule::ExpressionEmpty, definition.position, message);
                return None;
            };
            let condition = source.feel(node, condition)?;
            match filter(source, node, &definition.extensions)? {
                Some(filter) => Trigger::Filtered(Box::new(Filtered { condition, filter })),
                None => Trigger::Conditional(condition),
            }
        }
        EventDefinitionKind::Compensate { .. } => Trigger::Compensation,
        EventDefinitionKind::Cancel => Trigger::Cancel,
        EventDefinitionKind::Link { .. } | EventDefinitionKind::Terminate => return None,
    })
}

/// `zeebe:conditionalFilter`: at which changes of which variables a condition is asked. `None` if that cannot be said, which is reported.
fn filter(source: &Source<'_>, node: &FlowNode, extensions: &Extensions) -> Option<Option<Filter>> {
    let Some(element) = extensions.find(&Namespace::Zeebe, "conditionalFilter") else { return Some(None) };
    let words = |name: &str| -> Vec<String> {
        let written = element.attribute(name).unwrap_or_default();
        written.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
    };
    let events = words("variableEvents");
    if let Some(other) = events.iter().find(|it| !["create", "update"].contains(&it.as_str())) {
        let message =
            format!("the filter of {} has no event `{}`", lint::describe(node), super::source::shorten(other));
        source.error(node, Rule::ExtensionInvalid, element.position, message);
        return None;
    }
    let any = events.is_empty();
    let has = |name: &str| any || events.iter().any(|it| it == name);
    Some(Some(Filter { variables: words("variableNames"), created: has("create"), updated: has("update") }))
}

pub(super) fn throw(source: &Source<'_>, node: &FlowNode, definition: &EventDefinition) -> Option<Throw> {
    let roots = source.definitions;
    Some(match &definition.kind {
        EventDefinitionKind::Message { message_ref, .. } => {
            let message = referred(source, node, &roots.messages, message_ref.as_deref(), "message")?;
            Throw::Message(Box::new(thrown_message(source, node, &definition.extensions, message)?))
        }
        EventDefinitionKind::Signal { signal_ref } => Throw::Signal(signal(source, node, signal_ref.as_deref())?),
        EventDefinitionKind::Error { error_ref } => {
            let error = referred(source, node, &roots.errors, error_ref.as_deref(), "error")?;
            Throw::Error(thrown_code(source, node, error))
        }
        EventDefinitionKind::Escalation { escalation_ref } => {
            let escalation = referred(source, node, &roots.escalations, escalation_ref.as_deref(), "escalation")?;
            Throw::Escalation(thrown_code(source, node, escalation))
        }
        EventDefinitionKind::Compensate { activity_ref, wait_for_completion } => {
            let activity = activity_ref.as_deref().map(crate::model::local_reference);
            let activity = activity.and_then(|it| source.graph.find(it)).map(super::nodes::number);
            Throw::Compensation { activity, wait: *wait_for_completion }
        }
        EventDefinitionKind::Cancel => Throw::Cancel,
        EventDefinitionKind::Terminate => Throw::Terminate,
        EventDefinitionKind::Timer { .. }
        | EventDefinitionKind::Conditional { .. }
        | EventDefinitionKind::Link { .. } => {
            return None;
        }
    })
}

/// The root element that an event is about. That a reference leads somewhere is lint's to say, that there is one is said here.
fn referred<'a>(
    source: &Source<'a>,
    node: &FlowNode,
    roots: &'a Roots,
    reference: Option<&str>,
    what: &str,
) -> Option<&'a RootElement> {
    if reference.is_none() {
        let message = format!("{} does not say which {what} it is about", lint::describe(node));
        source.error(node, Rule::EventReferenceMissing, node.position, message);
    }
    roots.find(reference?)
}

/// The name of a message or signal.
fn name(source: &Source<'_>, node: &FlowNode, root: &RootElement, what: &str) -> Option<Template> {
    match root.name.as_deref().map(str::trim).filter(|it| !it.is_empty()) {
        Some(name) => Some(source.template(node, root.position, name)),
        None => {
            let message = format!("{} is about {what} `{}`, which has no name", lint::describe(node), root.id);
            source.error(node, Rule::NameMissing, root.position, message);
            None
        }
    }
}

fn signal(source: &Source<'_>, node: &FlowNode, reference: Option<&str>) -> Option<Template> {
    let signal = referred(source, node, &source.definitions.signals, reference, "signal")?;
    name(source, node, signal, "signal")
}

/// A code that is caught: it is compared, so it is no expression. No reference, or no code: any.
fn caught_code(source: &Source<'_>, node: &FlowNode, roots: &Roots, reference: Option<&str>) -> Option<String> {
    let root = roots.find(reference?)?;
    let code = root.code.as_deref().map(str::trim).filter(|it| !it.is_empty())?;
    if code.starts_with('=') {
        let message = format!("{} catches the code `{code}`, which is an expression", lint::describe(node));
        source.error(node, Rule::CodeExpression, root.position, message);
    }
    Some(code.to_owned())
}

fn thrown_code(source: &Source<'_>, node: &FlowNode, root: &RootElement) -> Option<Template> {
    let code = root.code.as_deref().map(str::trim).filter(|it| !it.is_empty())?;
    Some(source.template(node, root.position, code))
}

/// The message that the event or receive task at `index` waits for.
pub(super) fn caught_message(source: &Source<'_>, index: usize, message: &RootElement) -> Option<Message> {
    let node = source.node(index);
    let name = name(source, node, message, "message")?;
    let starts = correlation::starts_instances(source, index);
    let correlation = correlation::of(source, node, message);
    // whoever starts an instance has no variables yet: the message brings its key
    let key = correlation.key.filter(|_| !starts);
    Some(Message { name, key, retrieval: correlation.retrieval, topic: false, expires: None })
}

/// A message that a node throws; `zeebe:publishMessage` stands in the node's or the definition's extensions.
pub(super) fn thrown_message(
    source: &Source<'_>,
    node: &FlowNode,
    extensions: &Extensions,
    message: &RootElement,
) -> Option<MessageThrow> {
    let name = name(source, node, message, "message")?;
    let publish = |it: &Extensions| it.find(&Namespace::Zeebe, "publishMessage").cloned();
    let publish = publish(extensions).or_else(|| publish(&node.extensions));
    let said = |name: &str| publish.as_ref().and_then(|it| source.attribute(node, it, name));
    let subscribed = correlation::subscribed(source, node, message).map(Template::Feel);
    let key = said("correlationKey").or(subscribed);
    Some(MessageThrow { name, key, id: said("messageId"), time_to_live: said("timeToLive"), topic: false })
}

/// The message that a send or receive task is about.
pub(super) fn message_of_task<'a>(
    source: &Source<'a>,
    node: &FlowNode,
    reference: Option<&str>,
) -> Option<&'a RootElement> {
    referred(source, node, &source.definitions.messages, reference, "message")
}

/// Date, duration, cycle: the one that is there. That it is just one, and ISO 8601, is lint's to say.
fn timer(given: [Option<&Expression>; 3], dialect: bool) -> Option<Timer> {
    Some(match given {
        [Some(date), _, _] => Timer::Date(template(date)),
        [_, Some(duration), _] => Timer::Duration(template(duration)),
        [_, _, Some(cycle)] if dialect && lint::is_between(cycle) => Timer::Between(template(cycle)),
        [_, _, Some(cycle)] => Timer::Cycle(template(cycle)),
        [None, None, None] => return None,
    })
}

fn template(expression: &Expression) -> Template {
    match lint::timer_expression(expression) {
        Some(feel) => Template::Feel(feel.to_owned()),
        None => Template::Static(expression.text.trimmed().to_owned()),
    }
}
