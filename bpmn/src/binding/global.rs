//! `rexflow_global_properties`: the settings of a whole process.

use std::collections::BTreeMap;

use routing::table::{MAX_TOPIC, Recovery, is_topic};
use serde_json::{Map, Value};

use super::yaml::Keys;
use crate::diagnostic::Diagnostic;

/// In what language the conditions of exclusive gateways are (`xgw_expression_type`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConditionLanguage {
    /// FEEL.
    #[default]
    Feel,
    /// The safe subset of the original's Python.
    Python,
}

/// When a journal record counts as written (`durability`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// When fdatasync has returned.
    #[default]
    Fsync,
    /// When the operating system has it.
    Os,
    /// At once.
    None,
}

/// The settings of a whole process, as far as the annotation gives them.
#[derive(Debug, Clone, Default)]
pub struct GlobalProperties {
    /// `id`: replaces the process id in deployment ids.
    pub id: Option<String>,
    /// `recoverable`: a failed instance waits (STOPPED) for `flowctl start`.
    pub recoverable: Option<bool>,
    /// `retry.total_attempts`: calls in all, for tasks that say nothing.
    pub total_attempts: Option<u32>,
    /// `xgw_expression_type`.
    pub condition_language: Option<ConditionLanguage>,
    /// `use_closure_transport`.
    pub closure_transport: bool,
    /// `durability`; this project's own.
    pub durability: Durability,
    /// `namespace`.
    pub namespace: Option<String>,
    /// `namespace_shared`.
    pub namespace_shared: bool,
    /// `deployment_timeout`, in milliseconds.
    pub deployment_timeout: Option<u64>,
    /// `synchronous_wrapper_timeout`, in milliseconds.
    pub synchronous_wrapper_timeout: Option<u64>,
    /// `catch_event_expiration`, in milliseconds.
    pub catch_event_expiration: Option<u64>,
    /// `timer_recovery_policy`.
    pub timer_recovery: Option<Recovery>,
    /// `priority_class`.
    pub priority_class: Option<String>,
    /// `notification_kafka_topic`.
    pub notifications: Option<String>,
    /// `notification_webhook`.
    pub webhook: Option<String>,
    /// `notification_hops`.
    pub notify_hops: bool,
    /// `user_metadata`: what an instance has that says nothing else.
    pub metadata: BTreeMap<String, String>,
    /// `user_opaque_metadata`.
    pub user_opaque_metadata: Map<String, Value>,
}

/// Characters of a webhook's address.
const MAX_URL: usize = 2048;
/// Pairs of metadata that an instance may have from its model, and bytes of each.
const MAX_METADATA: (usize, usize) = (64, 4096);

/// Keys that only the global annotation has: on a start event they are its older spelling.
pub(super) const KEYS: &[&str] = &[
    "id",
    "recoverable",
    "retry",
    "xgw_expression_type",
    "use_closure_transport",
    "durability",
    "namespace",
    "namespace_shared",
    "deployment_timeout",
    "priority_class",
    "user_opaque_metadata",
    "user_metadata",
    "orchestrator",
    "transport",
    "synchronous_wrapper_timeout",
    "notification_kafka_topic",
    "notification_webhook",
    "notification_hops",
    "passthrough_target",
    "prefix_passthrough_with_namespace",
    "catch_event_expiration",
    "timer_recovery_policy",
];

/// Reads the mapping below `rexflow_global_properties`.
pub(super) fn read(mut keys: Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> GlobalProperties {
    let mut global = GlobalProperties {
        id: process_id(&mut keys, out),
        recoverable: keys.flag("recoverable", out),
        condition_language: condition_language(&mut keys, out),
        closure_transport: keys.flag("use_closure_transport", out).unwrap_or(false),
        durability: durability(&mut keys, out),
        namespace: keys.string("namespace", out),
        namespace_shared: keys.flag("namespace_shared", out).unwrap_or(false),
        deployment_timeout: keys.seconds("deployment_timeout", out),
        synchronous_wrapper_timeout: keys.seconds("synchronous_wrapper_timeout", out),
        catch_event_expiration: expiration(&mut keys, out),
        timer_recovery: recovery(&mut keys, out),
        priority_class: keys.string("priority_class", out),
        ..GlobalProperties::default()
    };
    if let Some(mut retry) = keys.mapping("retry", "retry.", out) {
        global.total_attempts = attempts(&mut retry, out);
        retry.finish(out);
    }
    if let Some(Value::Object(metadata)) = keys.take("user_opaque_metadata") {
        global.user_opaque_metadata = metadata;
    }
    if global.namespace.is_some() && !global.namespace_shared {
        out.push(keys.source.value("namespace", "needs `namespace_shared: true`"));
    }
    keys.ignored(&[("orchestrator", "flowd decides where tasks run"), ("transport", "every hop is durable here")], out);
    global.notifications = notifications(&mut keys, out);
    global.webhook = webhook(&mut keys, out);
    global.notify_hops = keys.flag("notification_hops", out).unwrap_or(false);
    if global.notify_hops && global.notifications.is_none() && global.webhook.is_none() {
        out.push(keys.source.value("notification_hops", "needs `notification_kafka_topic` or `notification_webhook`"));
    }
    global.metadata = metadata(&mut keys, out);
    let elsewhere =
        "let a sidecar serve the service at the other cluster's URL (`flow-sidecar --serve NAME=URL`, `flowctl swap`)";
    keys.unsupported(&[("passthrough_target", elsewhere), ("prefix_passthrough_with_namespace", elsewhere)], out);
    keys.finish(out);
    global
}

/// `total_attempts`: calls in all, at least one.
pub(super) fn attempts(retry: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Option<u32> {
    let attempts = retry.integer("total_attempts", 1..=1_000_000, out)?;
    u32::try_from(attempts).ok()
}

/// `catch_event_expiration`: hours, fractions allowed, as milliseconds.
pub(super) fn expiration(keys: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Option<u64> {
    let text = keys.string("catch_event_expiration", out)?;
    let hours = text.trim().parse().ok().filter(|it: &f64| (0.0..=876_600.0).contains(it) && *it > 0.0);
    if hours.is_none() {
        out.push(keys.source.value("catch_event_expiration", "must be a number of hours, up to 876600"));
    }
    hours.map(|it| (it * 3_600_000.0).round().max(1.0) as u64)
}

/// `timer_recovery_policy`: what becomes of timers that came due while flowd was away.
pub(super) fn recovery(keys: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Option<Recovery> {
    match keys.string("timer_recovery_policy", out)?.trim() {
        "fire" => Some(Recovery::Fire),
        "forget" => Some(Recovery::Forget),
        "fail" => Some(Recovery::Fail),
        other => {
            let problem = format!("must be `fire`, `forget` or `fail`, not `{other}`");
            out.push(keys.source.value("timer_recovery_policy", problem));
            None
        }
    }
}

fn process_id(keys: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Option<String> {
    let id = keys.string("id", out)?;
    let usable =
        !id.is_empty() && id.len() <= 128 && id.chars().all(|it| it.is_ascii_alphanumeric() || "-_.".contains(it));
    if usable {
        return Some(id);
    }
    let problem = "must be letters, digits, '-', '_' and '.', at most 128 of them";
    out.push(keys.source.value("id", problem));
    None
}

fn condition_language(keys: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Option<ConditionLanguage> {
    match keys.string("xgw_expression_type", out)?.as_str() {
        "feel" => Some(ConditionLanguage::Feel),
        "python" => Some(ConditionLanguage::Python),
        other => {
            let problem = format!("must be `feel` or `python`, not `{other}`");
            out.push(keys.source.value("xgw_expression_type", problem));
            None
        }
    }
}

fn durability(keys: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Durability {
    match keys.string("durability", out).as_deref() {
        None | Some("fsync") => Durability::Fsync,
        Some("os") => Durability::Os,
        Some("none") => Durability::None,
        Some(other) => {
            let problem = format!("must be `fsync`, `os` or `none`, not `{other}`");
            out.push(keys.source.value("durability", problem));
            Durability::Fsync
        }
    }
}

/// `notification_kafka_topic`: the topic that states are published to.
fn notifications(keys: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Option<String> {
    let key = "notification_kafka_topic";
    let topic = keys.string(key, out)?.trim().to_owned();
    if !is_topic(&topic) {
        let problem = format!("`{topic}` is no topic: letters, digits, '-', '_' and '.', at most {MAX_TOPIC} of them");
        out.push(keys.source.value(key, problem));
        return None;
    }
    Some(topic)
}

/// `notification_webhook`: the address that states are posted to.
fn webhook(keys: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Option<String> {
    let key = "notification_webhook";
    let url = keys.string(key, out)?.trim().to_owned();
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
    let plain = url.len() <= MAX_URL && url.chars().all(|it| it.is_ascii_graphic());
    if !plain || host.starts_with(['/', '?', '#']) || host.is_empty() || host.split('/').any(|it| it.contains('@')) {
        let problem = format!(
            "must be http:// or https:// with a host and without a user, at most {MAX_URL} characters of ASCII"
        );
        out.push(keys.source.value(key, problem));
        return None;
    }
    Some(url)
}

/// `user_metadata`: keys and values that instances have, unless they are started with others.
fn metadata(keys: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> BTreeMap<String, String> {
    let key = "user_metadata";
    let mut metadata = BTreeMap::new();
    let given = match keys.take(key) {
        None => return metadata,
        Some(Value::Object(given)) if given.len() <= MAX_METADATA.0 => given,
        Some(_) => {
            let problem = format!("must be keys and values, at most {} of them", MAX_METADATA.0);
            out.push(keys.source.value(key, problem));
            return metadata;
        }
    };
    for (name, value) in given {
        let text = match value {
            Value::String(text) => text,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                out.push(keys.source.value(key, format!("`{name}` must be a text, a number, or true or false")));
                continue;
            }
        };
        if name.len() + text.len() > MAX_METADATA.1 {
            out.push(keys.source.value(key, format!("`{name}` has more than {} bytes", MAX_METADATA.1)));
            continue;
        }
        metadata.insert(name, text);
    }
    metadata
}
