//! Notifications: the states of instances whose process asks for it are published to a topic, one message for each state.
//!
//! Promises: a notification is in the atomic group that changed the state, so that whatever dies none is lost and none tells of what has not
//! happened; those of one instance stand in the order of its states. Who reads them, and how far, is the topic's matter: flowd's own
//! or the broker's.

use routing::InstanceId;
use routing::instance::{INSTANCE_HEADER, Published};
use routing::{Failure, Payload};
use serde_json::{Map, Value, json};

use super::message::Posted;
use super::{InstanceView, Ledger, Output};
use crate::legible;

impl Ledger {
    /// Posts the notifications of what has changed since `seen` outputs.
    pub(super) fn notify(&mut self, seen: &mut usize, out: &[Output]) {
        for output in out.iter().skip(*seen) {
            if let Output::Changed(view) = output {
                self.notify_of(view);
            }
        }
        *seen = out.len();
    }

    /// A new instance is there.
    pub(super) fn notify_begun(&mut self, instance: &InstanceId) {
        if let Some(open) = self.instances.get(instance)
            && self.notified(&open.base).is_some()
        {
            let view = open.view(&self.tables);
            self.notify_of(&view);
        }
    }

    fn notified(&self, view: &InstanceView) -> Option<&str> {
        self.tables.get(&view.definition)?.table().settings.notifications.as_deref()
    }

    fn notify_of(&mut self, view: &InstanceView) {
        let Some(topic) = self.notified(view) else { return };
        let message = Published {
            name: topic.to_owned(),
            topic: true,
            payload: Payload::json(&told(view)),
            headers: [(INSTANCE_HEADER.to_owned(), view.id.as_str().to_owned())].into(),
            ..Published::default()
        };
        self.post(Posted::Message(message));
    }
}

/// What the original's publisher said of a state, in its keys.
fn told(view: &InstanceView) -> Value {
    let mut data = Map::new();
    let mut put = |key: &str, value: Value| drop(data.insert(key.to_owned(), value));
    put("state", view.state.as_str().into());
    put("parent", view.deployment.as_str().into());
    if !view.metadata.is_empty() {
        put("metadata", json!(view.metadata));
    }
    if let Some((Failure { code, message, element, .. }, input)) = &view.failure {
        put("error_code", code.as_str().into());
        put("error_msg", message.as_str().into());
        put("failed_task_id", element.as_str().into());
        put("input_data", legible::data(input));
    }
    if let Some(result) = &view.result {
        put("result", legible::text(result));
        put("content_type", result.content_type.as_str().into());
        put("end_event", view.end_event.as_str().into());
    }
    let content_type = view.result.as_ref().map_or("application/json", |it| it.content_type.as_str());
    json!({
        "event_type": "ETCD_PUT",
        "instance_id": view.id.as_str(),
        "workflow_id": view.deployment.as_str(),
        "instance_state": view.state.as_str(),
        "content-type": content_type,
        "instance_data": data,
    })
}
