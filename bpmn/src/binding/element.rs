//! `rexflow:` on one element: its service, how it is called, its health check.

use std::collections::BTreeMap;

use routing::table::{MAX_TOPIC, Recovery, is_topic};
use serde_json::Value;

use super::global;
use super::yaml::Keys;
use crate::diagnostic::Diagnostic;
use crate::model::{FlowNodeKind, Position};

/// What the annotation of one element says.
#[derive(Debug, Clone, Default)]
pub struct ElementAnnotation {
    /// `service`.
    pub service: Option<Service>,
    /// `call`.
    pub call: Call,
    /// `health`.
    pub health: Option<Health>,
    /// `topic` and what belongs to it.
    pub topic: Option<Topic>,
    /// `timer_recovery_policy` of a catch event.
    pub timer_recovery: Option<Recovery>,
    /// `fields`: the form of a user task.
    pub form: Option<Fields>,
    /// Settings that only deployment tools read (`preexisting`, `container`, `namespace` ...).
    pub labels: BTreeMap<String, String>,
}

/// `fields`: the form of a user task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields {
    /// `file`: its file, beside the model.
    pub file: Option<String>,
    /// `desc`: the form itself, which the original's flowctl puts there.
    pub described: Option<Value>,
    /// Where it is said.
    pub position: Position,
}

/// `topic`: what an event publishes to, or listens to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// `topic`, or `kafka_topic`, its older spelling.
    pub name: String,
    /// `correlation`: the key that instance and message have in common.
    pub correlation: Option<String>,
    /// `catch_event_expiration`, in milliseconds.
    pub expiration: Option<u64>,
}

/// `service`: where the task's service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `host`, with `-` for `_`.
    pub host: String,
    /// `port`: what callers use.
    pub port: u16,
    /// `targetPort`: what the container listens on.
    pub target_port: u16,
    /// `asynchronous`: it answers by a callback.
    pub asynchronous: bool,
}

/// `call`: how the service is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// `path`.
    pub path: Option<String>,
    /// `method`.
    pub method: Option<String>,
    /// `retry.total_attempts`.
    pub total_attempts: Option<u32>,
    /// `retry.initial`: the first back-off, in milliseconds; this project's own.
    pub initial_backoff: Option<u64>,
    /// `retry.max`: the longest back-off, in milliseconds; this project's own.
    pub max_backoff: Option<u64>,
    /// `timeout`: for one call, in milliseconds; this project's own.
    pub timeout: Option<u64>,
    /// `down_timeout`: how long a task that is down is waited for, in milliseconds; this
    /// project's own.
    pub down_timeout: Option<u64>,
    /// `callback_timeout`: how long an asynchronous task may take to call back, in milliseconds; this project's own.
    pub callback_timeout: Option<u64>,
}

/// `health`: the task's health check; times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// `path`.
    pub path: String,
    /// `method`.
    pub method: String,
    /// `query`.
    pub query: Option<String>,
    /// `period`.
    pub period: u64,
    /// `timeout`.
    pub timeout: u64,
    /// `initial_delay`.
    pub initial_delay: u64,
    /// `failure_threshold`.
    pub failure_threshold: u32,
}

/// Reads the mapping below `rexflow` of an element of `kind`.
pub(super) fn read(mut keys: Keys<'_, '_>, kind: &FlowNodeKind, out: &mut Vec<Diagnostic>) -> ElementAnnotation {
    let mut annotation = ElementAnnotation::default();
    if let Some(service) = keys.mapping("service", "service.", out) {
        annotation.service = read_service(service, &mut annotation.labels, out);
    }
    if let Some(call) = keys.mapping("call", "call.", out) {
        annotation.call = read_call(call, out);
    }
    if let Some(health) = keys.mapping("health", "health.", out) {
        annotation.health = Some(read_health(health, out));
    }
    if keys.flag("preexisting", out) == Some(true) {
        annotation.labels.insert("preexisting".into(), "true".into());
    }
    keys.ignored(&[("next_step_id", "the sequence flows decide")], out);
    match kind {
        FlowNodeKind::IntermediateCatchEvent => annotation.timer_recovery = global::recovery(&mut keys, out),
        _ => keys.ignored(&[("timer_recovery_policy", "a timer of it that is overdue fires at once")], out),
    }
    if kind.is_event() {
        annotation.topic = read_topic(&mut keys, kind, out);
    }
    if kind.is_gateway() {
        ignore_gateway(&mut keys, out);
    }
    if matches!(kind, FlowNodeKind::UserTask) {
        annotation.form = read_form(&mut keys, out);
    }
    let of_events = "topics are of events: draw a throw or catch event";
    keys.unsupported(
        &[
            ("topic", of_events),
            ("kafka_topic", of_events),
            ("correlation", of_events),
            ("catch_event_expiration", of_events),
            ("fields", "forms are of user tasks"),
        ],
        out,
    );
    keys.finish(out);
    annotation
}

/// `fields`: a file beside the model, and perhaps what is in it.
fn read_form(keys: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Option<Fields> {
    let source = keys.source;
    let position = source.key("fields");
    let mut fields = keys.mapping("fields", "fields.", out)?;
    let file = fields.string("file", out).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
    let described = fields.take("desc");
    fields.finish(out);
    if file.as_ref().is_some_and(|it| !is_beside(it)) {
        out.push(source.value("file", "must name a file beside the model: no `..`, and not from the root"));
        return None;
    }
    if file.is_none() && described.is_none() {
        out.push(source.value("fields", "has no `file`"));
        return None;
    }
    Some(Fields { file, described, position })
}

/// Whether a path stays in the folder of the model.
fn is_beside(file: &str) -> bool {
    let up = |part: &str| part == ".." || part.contains(':');
    !file.starts_with(['/', '\\']) && !file.split(['/', '\\']).any(up)
}

/// `topic`, `kafka_topic`, `correlation`, `catch_event_expiration` of an event.
fn read_topic(keys: &mut Keys<'_, '_>, kind: &FlowNodeKind, out: &mut Vec<Diagnostic>) -> Option<Topic> {
    let source = keys.source;
    let (own, older) = (keys.string("topic", out), keys.string("kafka_topic", out));
    let (key, name) = match (own, older) {
        (Some(name), _) => ("topic", name),
        (None, Some(name)) => ("kafka_topic", name),
        (None, None) => return None,
    };
    let name = name.trim().to_owned();
    if !is_topic(&name) {
        let problem = format!("`{name}` is no topic: letters, digits, '-', '_' and '.', at most {MAX_TOPIC} of them");
        out.push(source.value(key, problem));
        return None;
    }
    let mut topic = Topic { name, correlation: None, expiration: None };
    if matches!(kind, FlowNodeKind::IntermediateCatchEvent | FlowNodeKind::BoundaryEvent { .. }) {
        topic.correlation = keys.string("correlation", out).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        topic.expiration = global::expiration(keys, out);
        if topic.correlation.as_ref().is_some_and(|it| it.contains('`')) {
            out.push(source.value("correlation", "must not have a backtick"));
            topic.correlation = None;
        }
    } else {
        let why = "only an event that catches in the middle of a process finds its instance";
        keys.ignored(&[("correlation", why), ("catch_event_expiration", why)], out);
    }
    Some(topic)
}

fn ignore_gateway(keys: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) {
    let why = "the gateway's kind and its flows decide";
    let names = [
        "gateway_type",
        "gateway_name",
        "gateway_split",
        "gateway_true",
        "gateway_false",
        "jsonpath",
        "value",
        "operator",
    ];
    keys.ignored(&names.map(|name| (name, why)), out);
}

fn read_service(
    mut keys: Keys<'_, '_>,
    labels: &mut BTreeMap<String, String>,
    out: &mut Vec<Diagnostic>,
) -> Option<Service> {
    let source = keys.source;
    let absent = !keys.has("host");
    let host = keys.string("host", out).map(|it| it.trim().replace('_', "-"));
    let port = port(&mut keys, "port", out);
    let target_port = port_of_container(&mut keys, out);
    for label in ["container", "namespace"] {
        if let Some(value) = keys.string(label, out) {
            labels.insert(label.to_owned(), value);
        }
    }
    let protocol = keys.string("protocol", out);
    if let Some(other) = protocol.filter(|it| !it.eq_ignore_ascii_case("http")) {
        let problem = format!("must be `HTTP`, not `{other}`");
        out.push(source.value("protocol", problem));
    }
    let asynchronous = keys.flag("asynchronous", out).unwrap_or(false);
    keys.finish(out);
    let host = match host {
        Some(host) if is_host(&host) => host,
        Some(host) => {
            let problem = format!("`{host}` is not a host name");
            out.push(source.value("host", problem));
            return None;
        }
        None => {
            if absent {
                out.push(source.value("service", "has no `host`"));
            }
            return None;
        }
    };
    let port = port.unwrap_or(80);
    Some(Service { host, port, target_port: target_port.unwrap_or(port), asynchronous })
}

fn port(keys: &mut Keys<'_, '_>, key: &str, out: &mut Vec<Diagnostic>) -> Option<u16> {
    let port = keys.integer(key, 1..=65_535, out)?;
    u16::try_from(port).ok()
}

fn port_of_container(keys: &mut Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Option<u16> {
    let older = port(keys, "target_port", out);
    port(keys, "targetPort", out).or(older)
}

/// Whether it can be a host's name in a URL.
pub(super) fn is_host(host: &str) -> bool {
    !host.is_empty() && host.len() <= 253 && host.chars().all(|it| it.is_ascii_alphanumeric() || "-.".contains(it))
}

fn read_call(mut keys: Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Call {
    let mut call = Call {
        path: keys.string("path", out),
        method: keys.string("method", out),
        timeout: keys.seconds("timeout", out),
        down_timeout: keys.seconds("down_timeout", out),
        callback_timeout: keys.seconds("callback_timeout", out),
        ..Call::default()
    };
    check_path(&keys, call.path.as_mut(), out);
    check_method(&keys, call.method.as_mut(), out);
    if let Some(mut retry) = keys.mapping("retry", "call.retry.", out) {
        call.total_attempts = global::attempts(&mut retry, out);
        call.initial_backoff = retry.seconds("initial", out);
        call.max_backoff = retry.seconds("max", out);
        retry.finish(out);
    }
    if let Some(serialization) = keys.string("serialization", out)
        && !serialization.eq_ignore_ascii_case("json")
    {
        let problem = format!("must be `JSON`, not `{serialization}`");
        out.push(keys.source.value("serialization", problem));
    }
    keys.finish(out);
    call
}

/// A path always starts with a slash; the original put one there.
fn check_path(keys: &Keys<'_, '_>, path: Option<&mut String>, out: &mut Vec<Diagnostic>) {
    let Some(path) = path else { return };
    if path.chars().any(|it| it.is_whitespace() || it.is_control()) {
        out.push(keys.source.value("path", "must not hold white space"));
    }
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
}

fn check_method(keys: &Keys<'_, '_>, method: Option<&mut String>, out: &mut Vec<Diagnostic>) {
    let Some(method) = method else { return };
    method.make_ascii_uppercase();
    if method.is_empty() || !method.chars().all(|it| it.is_ascii_uppercase()) {
        let problem = format!("`{method}` is not an HTTP method");
        out.push(keys.source.value("method", problem));
    }
}

fn read_health(mut keys: Keys<'_, '_>, out: &mut Vec<Diagnostic>) -> Health {
    let mut path = Some(keys.string("path", out).unwrap_or_else(|| "/".to_owned()));
    let mut method = Some(keys.string("method", out).unwrap_or_else(|| "GET".to_owned()));
    check_path(&keys, path.as_mut(), out);
    check_method(&keys, method.as_mut(), out);
    let threshold = keys.integer("failure_threshold", 1..=1_000, out);
    let health = Health {
        path: path.unwrap_or_default(),
        method: method.unwrap_or_default(),
        query: keys.take("query").map(query),
        period: keys.seconds("period", out).unwrap_or(30_000).max(100),
        timeout: keys.seconds("timeout", out).unwrap_or(5_000).max(10),
        initial_delay: keys.seconds("initial_delay", out).unwrap_or(30_000),
        failure_threshold: threshold.and_then(|it| it.try_into().ok()).unwrap_or(3),
    };
    keys.ignored(&[("response", "any 2xx answer is healthy")], out);
    keys.finish(out);
    health
}

fn query(value: Value) -> String {
    match value {
        Value::String(text) => text.trim_start_matches('?').to_owned(),
        other => other.to_string(),
    }
}
