//! Notifications: the states of instances whose process asks for it, and each hop if it asks for that too, are told to a topic, a webhook, or both.
//!
//! Promises: the notification of a state is in the atomic group that changed it, so that whatever dies none is lost and none tells of what has
//! not happened; those of one instance stand in the order of its states. A hop is told once its record is here: those of sidecars come at best
//! effort, and without payloads. Who reads a topic, and how far, is the topic's matter: flowd's own or the broker's.

use routing::instance::{INSTANCE_HEADER, Published};
use routing::{ActivationId, Digest, Failure, HopRecord, InstanceId, Payload};
use serde_json::{Map, Value, json};

use super::message::Posted;
use super::{InstanceView, Ledger, Output, Timestamp};
use crate::legible;

/// Who is told.
struct Told {
    topic: Option<String>,
    webhook: Option<String>,
    instance: InstanceId,
    what: Value,
}

impl Ledger {
    /// Posts the notifications of what has changed since `seen` outputs.
    pub(super) fn notify(&mut self, now: Timestamp, seen: &mut usize, out: &mut Vec<Output>) {
        let new = out.iter().skip(*seen);
        let told: Vec<Told> = new
            .filter_map(|output| match output {
                Output::Changed(view) => self.state_told(view),
                Output::Hop(record) => self.hop_told(record),
                _ => None,
            })
            .collect();
        self.tell_all(now, told, out);
        *seen = out.len();
    }

    /// A new instance is there.
    pub(super) fn notify_begun(&mut self, now: Timestamp, instance: &InstanceId, out: &mut Vec<Output>) {
        let Some(open) = self.instances.get(instance) else { return };
        if self.told_of(open.base.definition, instance).is_some() {
            let told = self.state_told(&open.view(&self.tables));
            self.tell_all(now, told, out);
        }
    }

    /// Hops that sidecars tell of.
    pub(super) fn hops(&mut self, now: Timestamp, records: &[HopRecord], out: &mut Vec<Output>) {
        let told: Vec<Told> = records.iter().filter_map(|it| self.hop_told(it)).collect();
        self.tell_all(now, told, out);
    }

    /// Whether hops are told of instances of any definition.
    pub fn tells_hops(&self) -> bool {
        self.tells_hops
    }

    /// Definitions have come or gone.
    pub(super) fn look_who_tells_hops(&mut self) {
        self.tells_hops = self.tables.values().any(|it| it.table().settings.notify_hops);
    }

    fn state_told(&self, view: &InstanceView) -> Option<Told> {
        let told = self.told_of(view.definition, &view.id)?;
        Some(Told { what: state(view), ..told })
    }

    /// Of an instance that is over, which tables it ran on is in its id.
    fn hop_told(&self, record: &HopRecord) -> Option<Told> {
        if !self.tells_hops {
            return None;
        }
        let deployment = record.instance.deployment();
        let open = self.instances.get(&record.instance).map(|it| it.base.definition);
        let named = || self.tables.iter().find(|(_, it)| it.table().deployment == deployment);
        let definition = open.or_else(|| named().map(|(digest, _)| *digest))?;
        if !self.tables.get(&definition)?.table().settings.notify_hops {
            return None;
        }
        let told = self.told_of(definition, &record.instance)?;
        Some(Told { what: hop(record, deployment.as_str()), ..told })
    }

    fn told_of(&self, definition: Digest, instance: &InstanceId) -> Option<Told> {
        let settings = &self.tables.get(&definition)?.table().settings;
        let (topic, webhook) = (settings.notifications.clone(), settings.webhook.clone());
        let told = Told { topic, webhook, instance: instance.clone(), what: Value::Null };
        (told.topic.is_some() || told.webhook.is_some()).then_some(told)
    }

    fn tell_all(&mut self, now: Timestamp, told: impl IntoIterator<Item = Told>, out: &mut Vec<Output>) {
        for Told { topic, webhook, instance, what } in told {
            if let Some(name) = topic {
                self.post(Posted::Message(Published {
                    name,
                    topic: true,
                    payload: Payload::json(&what),
                    headers: [(INSTANCE_HEADER.to_owned(), instance.as_str().to_owned())].into(),
                    ..Published::default()
                }));
            }
            if let Some(url) = webhook {
                self.notice(now, &instance, &url, &what, out);
            }
        }
    }
}

/// What the original's publisher said of a state, in its keys.
fn state(view: &InstanceView) -> Value {
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

/// A hop, with the keys of the original's publisher for what they say there.
fn hop(record: &HopRecord, deployment: &str) -> Value {
    let HopRecord { instance, element, name, kind, activation, parent, started, ended, .. } = record;
    json!({
        "event_type": "REQUEST_SENT",
        "instance_id": instance.as_str(),
        "workflow_id": deployment,
        "task_id": element.as_str(),
        "task_name": name,
        "task_kind": kind,
        "activation": activation.to_string(),
        "parent": (*parent != ActivationId::default()).then(|| parent.to_string()),
        "started_ms": started,
        "ended_ms": ended,
        "attempts": record.attempts,
        "status": record.status,
        "trace_id": record.trace_id,
    })
}
