//! Events of the original that publish to a topic or listen to one: `topic`, `correlation`, `catch_event_expiration`.
//!
//! A topic is a message's name here. What is caught in the middle of a process finds its instance by a key that instance and message
//! have in common, or, without `correlation`, by the instance that the message's headers name.

use routing::table::{Message, MessageThrow, Template};

use super::source::Source;
use crate::binding::Topic;
use crate::model::FlowNodeKind;

fn topic<'a>(source: &Source<'a>, index: usize) -> Option<&'a Topic> {
    source.annotations.elements.get(index)?.topic.as_ref()
}

/// What the event at `index` listens to.
pub(super) fn caught(source: &Source<'_>, index: usize) -> Option<Message> {
    let topic = topic(source, index)?;
    let name = Template::Static(topic.name.clone());
    // in backticks it is one name, whatever it is made of
    let feel = topic.correlation.as_ref().map(|it| format!("`{it}`"));
    let starts = matches!(source.node(index).kind, FlowNodeKind::StartEvent { .. });
    let expires = topic.expiration.or(source.annotations.global.catch_event_expiration).filter(|_| !starts);
    Some(Message { name, key: feel.clone().map(Template::Feel), retrieval: feel, topic: true, expires })
}

/// What the event at `index` publishes to.
pub(super) fn thrown(source: &Source<'_>, index: usize) -> Option<MessageThrow> {
    let name = Template::Static(topic(source, index)?.name.clone());
    Some(MessageThrow { name, key: None, id: None, time_to_live: None, topic: true })
}
