//! From payload to request and from answer to payload (design §6; the original's closure transport).

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::callback;
use crate::compiled::Compiled;
use crate::connector;
use crate::evaluate;
use crate::failure::FailureCode;
use crate::payload::{Payload, Written};
use crate::secret::SecretMark;
use crate::table::{Assignment, DataMapping, Parameter, ParameterKind, Task};
use crate::token::Timestamp;

/// What a task is called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// HTTP method.
    pub method: String,
    /// Path and query, starting with `/`.
    pub path: String,
    /// Content type of the body; empty when there is none.
    pub content_type: String,
    /// Body.
    pub body: Bytes,
    /// How secrets stand in the body, when there may be any: a connector's inputs.
    pub secrets: Option<SecretMark>,
}

/// What a task answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body and content type.
    pub payload: Payload,
    /// `x-rexflow-error-code`, when given.
    pub error_code: Option<String>,
    /// `Retry-After` in milliseconds from now, when given.
    pub retry_after: Option<u64>,
    /// What a connector has called, for people: method, host and path, and the reason phrase.
    pub called: Option<Called>,
    /// The task has taken the work and calls back when it is done: `x-rexflow-asynchronous: true`.
    pub asynchronous: bool,
}

/// What a connector has called, without query, payload and secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Called {
    /// Such as `GET api.example.com/orders`.
    pub call: String,
    /// What the status means.
    pub reason: String,
}

/// A mapping that did not work: the code, and why.
pub type MappingError = (FailureCode, String);

/// Builds the request for a task from the token's payload. `callback` is where an asynchronous task answers; `random` is any 64 random bits, unknown to who wrote the payload.
pub fn request(
    table: &Compiled,
    task: &Task,
    payload: &Payload,
    callback: Option<&str>,
    now: Timestamp,
    random: u64,
) -> Result<Request, MappingError> {
    let (content_type, body, path) = match &task.data {
        DataMapping::Replace | DataMapping::Merge { .. } => {
            let path =
                if task.path.contains('{') { expand(&task.path, &context(payload)?)? } else { task.path.clone() };
            (payload.content_type.clone(), payload.body.clone(), path)
        }
        DataMapping::Mapped { inputs, inputs_only, .. } => {
            let mut variables = variables(payload)?;
            let set = evaluate::assign(table, inputs, &mut variables, now).map_err(expression_failed)?;
            let path = expand(&task.path, &variables)?;
            let body = Value::Object(if *inputs_only { set } else { variables });
            (crate::payload::JSON.to_owned(), Bytes::from(body.to_string()), path)
        }
        DataMapping::Closure { inputs, .. } => {
            let context = context(payload)?;
            let path = expand(&task.path, &context)?;
            let value = select(inputs, &context).map_err(|e| (FailureCode::FailedContextInputParsing, e))?;
            (crate::payload::JSON.to_owned(), Bytes::from(value.to_string()), path)
        }
        DataMapping::Connector(connector) => return connector::request(table, connector, payload, now, random),
    };
    let body = match callback.filter(|_| task.asynchronous) {
        Some(url) => with_callback(body, url),
        None => body,
    };
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    if task.method == "GET" || task.method == "HEAD" {
        let path = with_query(path, &Payload { content_type, body });
        return Ok(Request {
            method: task.method.clone(),
            path,
            content_type: String::new(),
            body: Bytes::new(),
            secrets: None,
        });
    }
    Ok(Request { method: task.method.clone(), path, content_type, body, secrets: None })
}

/// A JSON object gets the address as one more key; others find it in the header alone.
fn with_callback(body: Bytes, url: &str) -> Bytes {
    match serde_json::from_slice(&body) {
        Ok(Value::Object(mut object)) => {
            object.insert(callback::BODY_KEY.to_owned(), Value::from(url));
            Bytes::from(Value::Object(object).to_string())
        }
        _ => body,
    }
}

/// Applies a 2xx answer to the payload. What it wrote is noted, but for an answer that replaces the payload as a whole: there
/// it takes a comparison of both, which is made only if somebody will ask (`noted`).
pub fn apply(
    table: &Compiled,
    task: &Task,
    before: &Payload,
    (written, noted): (&mut Written, bool),
    answer: &Payload,
    now: Timestamp,
) -> Result<Payload, MappingError> {
    if let DataMapping::Mapped { inputs, result_variable, outputs, .. } = &task.data {
        let mapped = Mapped { table, inputs, result_variable: result_variable.as_deref(), outputs, now };
        return mapped.apply(before, written, answer);
    }
    if let DataMapping::Connector(connector) = &task.data {
        return connector::apply(table, connector, before, written, answer, now);
    }
    if answer.body.is_empty() {
        return Ok(before.clone());
    }
    match &task.data {
        DataMapping::Replace => {
            if noted {
                written.replaced(before, answer);
            }
            Ok(answer.clone())
        }
        DataMapping::Mapped { .. } | DataMapping::Connector(_) => Ok(before.clone()),
        DataMapping::Merge { result_variable } => merge(before, written, answer, result_variable.as_deref()),
        DataMapping::Closure { outputs, .. } => closure_outputs(before, written, answer, outputs),
    }
}

/// `zeebe:ioMapping` and `camunda:inputOutput`.
struct Mapped<'a> {
    table: &'a Compiled,
    inputs: &'a [Assignment],
    result_variable: Option<&'a str>,
    outputs: &'a [Assignment],
    now: Timestamp,
}

impl Mapped<'_> {
    fn apply(&self, before: &Payload, written: &mut Written, answer: &Payload) -> Result<Payload, MappingError> {
        let outer = variables(before)?;
        let mut inner = outer.clone();
        let locals = evaluate::assign(self.table, self.inputs, &mut inner, self.now).map_err(expression_failed)?;
        let mut results = Map::new();
        match (self.result_variable, answer.body.is_empty(), answer.to_json()) {
            (_, true, _) => {}
            (Some(name), _, Some(value)) => {
                results.insert(name.to_owned(), value);
            }
            (None, _, Some(Value::Object(answer))) => results = answer,
            (_, _, found) => return Err(not_mergeable(found.is_some())),
        }
        let mut kept = if self.outputs.is_empty() {
            results.into_iter().filter(|(k, v)| !locals.contains_key(k) && inner.get(k) != Some(v)).collect()
        } else {
            inner.extend(results);
            evaluate::assign(self.table, self.outputs, &mut inner, self.now).map_err(expression_failed)?
        };
        let mut after = outer;
        kept.keys().for_each(|key| written.key(key));
        after.append(&mut kept);
        Ok(Payload::json(&Value::Object(after)))
    }
}

pub(crate) fn variables(payload: &Payload) -> Result<Map<String, Value>, MappingError> {
    match payload.to_json() {
        Some(Value::Object(map)) => Ok(map),
        _ => Err((FailureCode::FailedTask, "mappings need a JSON object as payload".into())),
    }
}

pub(crate) fn expression_failed(why: String) -> MappingError {
    (FailureCode::ExpressionFailed, why)
}

fn not_mergeable(json: bool) -> MappingError {
    let what = if json { "no JSON object" } else { "not JSON" };
    let why = format!(
        "the answer is {what}; only a JSON object can be merged into the variables, anything else needs a resultVariable"
    );
    (FailureCode::FailedTask, why)
}

fn merge(
    before: &Payload,
    written: &mut Written,
    answer: &Payload,
    name: Option<&str>,
) -> Result<Payload, MappingError> {
    let Some(value) = answer.to_json() else { return Err(not_mergeable(false)) };
    let Some(Value::Object(mut variables)) = before.to_json() else {
        return Err((
            FailureCode::FailedTask,
            "the payload is not a JSON object, so the answer cannot be merged into it".into(),
        ));
    };
    match (name, value) {
        (Some(name), value) => {
            written.key(name);
            variables.insert(name.to_owned(), value);
        }
        (None, Value::Object(answer)) => {
            for (key, value) in answer {
                // a service that echoes what it was sent has not written it
                if variables.get(&key) != Some(&value) {
                    written.key(&key);
                    variables.insert(key, value);
                }
            }
        }
        (None, _) => return Err(not_mergeable(true)),
    }
    Ok(Payload::json(&Value::Object(variables)))
}

fn closure_outputs(
    before: &Payload,
    written: &mut Written,
    answer: &Payload,
    outputs: &[Parameter],
) -> Result<Payload, MappingError> {
    if outputs.is_empty() {
        return Ok(before.clone());
    }
    let fail = |why: String| (FailureCode::FailedContextOutputParsing, why);
    let response = answer.to_json().ok_or_else(|| fail("the answer is not JSON".into()))?;
    let mut context = context(before)?;
    for output in outputs {
        let value = value_of(output, &response).map_err(fail)?;
        if output.name == "." {
            context = match value {
                Value::Object(map) => map,
                other => {
                    return Err(fail(format!(
                        "output `.` must be a JSON object, the answer gives {}",
                        kind_of(&other)
                    )));
                }
            };
            context.keys().for_each(|k| written.key(k));
        } else {
            written.key(&output.name);
            context.insert(output.name.clone(), value);
        }
    }
    Ok(Payload::json(&Value::Object(context)))
}

fn context(payload: &Payload) -> Result<Map<String, Value>, MappingError> {
    match payload.to_json() {
        Some(Value::Object(map)) => Ok(map),
        _ => Err((
            FailureCode::FailedContextInputParsing,
            "closure transport, and `{key}` in a path, need a JSON object as payload".into(),
        )),
    }
}

fn select(inputs: &[Parameter], context: &Map<String, Value>) -> Result<Value, String> {
    let whole = Value::Object(context.clone());
    if let Some(all) = inputs.iter().find(|p| p.name == ".") {
        return value_of(all, &whole);
    }
    let mut body = Map::new();
    for input in inputs {
        body.insert(input.name.clone(), value_of(input, &whole)?);
    }
    Ok(Value::Object(body))
}

/// A parameter's value: present and of its type, else its default, else an error.
fn value_of(parameter: &Parameter, from: &Value) -> Result<Value, String> {
    let found = if parameter.source == "." { Some(from) } else { from.get(&parameter.source) };
    match (found, &parameter.default) {
        (Some(value), _) if fits(parameter.kind, value) => Ok(value.clone()),
        (Some(value), _) => Err(format!(
            "parameter {}: {:?} is {}, not {:?}",
            parameter.name,
            parameter.source,
            kind_of(value),
            parameter.kind
        )),
        (None, Some(default)) => Ok(default.clone()),
        (None, None) => {
            Err(format!("parameter {}: {:?} is missing and has no default", parameter.name, parameter.source))
        }
    }
}

fn fits(kind: ParameterKind, value: &Value) -> bool {
    match kind {
        ParameterKind::String => value.is_string(),
        ParameterKind::Boolean => value.is_boolean(),
        ParameterKind::Double => value.is_number(),
        ParameterKind::Integer => value.as_number().is_some_and(|n| !n.to_string().contains(['.', 'e', 'E'])),
        ParameterKind::JsonObject => value.is_object(),
        ParameterKind::JsonArray => value.is_array(),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Replaces `{key}` (innermost first, so that `{a{b}}` works) by the percent-encoded scalar of the context.
fn expand(path: &str, context: &Map<String, Value>) -> Result<String, MappingError> {
    let mut path = path.to_owned();
    for _ in 0..64 {
        let Some(close) = path.find('}') else { return Ok(path) };
        let Some(open) = path[..close].rfind('{') else { return Ok(path) };
        let inner = close - open > 1 && path[..open].contains('{');
        let key = &path[open + 1..close];
        let text = match context.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            _ => {
                return Err((
                    FailureCode::FailedContextInputParsing,
                    format!("path {path:?}: {key:?} is no string or number of the payload"),
                ));
            }
        };
        // a key that is part of another key's name is not yet a part of the path
        let text = if inner { text } else { encode(&text).into_owned() };
        path.replace_range(open..=close, &text);
    }
    Err((FailureCode::FailedContextInputParsing, "the path has more than 64 templates".into()))
}

fn with_query(mut path: String, payload: &Payload) -> String {
    let Some(Value::Object(map)) = payload.to_json() else { return path };
    for (key, value) in map {
        let text = match value {
            Value::String(text) => text,
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => continue,
        };
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&format!("{}={}", encode(&key), encode(&text)));
    }
    path
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if text.bytes().all(unreserved) {
        return Cow::Borrowed(text);
    }
    let encoded = text.bytes().fold(String::new(), |mut out, b| {
        if unreserved(b) {
            out.push(char::from(b))
        } else {
            out.push_str(&format!("%{b:02X}"))
        }
        out
    });
    Cow::Owned(encoded)
}

#[cfg(test)]
mod tests;
