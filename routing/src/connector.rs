//! What a connector's answer means: variables out of the response, errors by the model's own expressions.
//!
//! The payload of a connector's [`crate::mapping::Answer`] is the response: `{"status": .., "headers": .., "body": ..}`. Expressions see it as
//! `response`, and its entries by themselves. The error expression sees, too, what the result variable and the result expression give, and
//! of a failure `error`: `{"code": .., "message": .., "variables": {"response": ..}}`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::compiled::Compiled;
use crate::evaluate::{self, Variables};
use crate::mapping::{MappingError, Request, expression_failed, variables};
use crate::payload::{JSON, Payload, Written};
use crate::secret::{SecretMark, placeholder};
use crate::table::{Connector, SECRETS};
use crate::token::Timestamp;

/// The inputs as JSON, with marks where secrets belong.
pub(crate) fn request(
    table: &Compiled,
    connector: &Connector,
    payload: &Payload,
    now: Timestamp,
    random: u64,
) -> Result<Request, MappingError> {
    let mark = SecretMark::new(random);
    let mut scope = variables(payload)?;
    shadow(connector, &mut scope, |name| mark.of(name));
    let set = evaluate::assign(table, &connector.inputs, &mut scope, now).map_err(expression_failed)?;
    Ok(Request {
        method: method(&set),
        path: "/".to_owned(),
        content_type: JSON.to_owned(),
        body: Bytes::from(Value::Object(set).to_string()),
        secrets: Some(mark),
    })
}

/// For whoever tells of the call.
fn method(inputs: &Variables) -> String {
    let given = inputs.get("method").and_then(Value::as_str).unwrap_or_default().to_ascii_uppercase();
    let plain = (1..=10).contains(&given.len()) && given.bytes().all(|b| b.is_ascii_uppercase());
    if plain { given } else { "CALL".to_owned() }
}

/// Nothing of the payload is a secret, whatever it is called.
fn shadow(connector: &Connector, scope: &mut Variables, shown: impl Fn(&str) -> String) {
    if connector.secrets.is_empty() {
        return;
    }
    let secrets = connector.secrets.iter().map(|name| (name.clone(), Value::String(shown(name))));
    scope.insert(SECRETS.to_owned(), Value::Object(secrets.collect()));
}

/// Writes what a 2xx response gives into the payload.
pub(crate) fn apply(
    table: &Compiled,
    connector: &Connector,
    before: &Payload,
    written: &mut Written,
    response: &Payload,
    now: Timestamp,
) -> Result<Payload, MappingError> {
    let response = response.to_json().unwrap_or_default();
    let results = results(table, connector, &response, now).map_err(expression_failed)?;
    keep(table, connector, before, written, results, now)
}

/// Writes variables that the task gives into the payload, through its output mapping.
pub(crate) fn keep(
    table: &Compiled,
    connector: &Connector,
    before: &Payload,
    written: &mut Written,
    results: Variables,
    now: Timestamp,
) -> Result<Payload, MappingError> {
    let mut after = variables(before)?;
    let kept = if connector.outputs.is_empty() {
        results
    } else {
        let mut scope = after.clone();
        shadow(connector, &mut scope, placeholder);
        evaluate::assign(table, &connector.inputs, &mut scope, now).map_err(expression_failed)?;
        scope.extend(results);
        evaluate::assign(table, &connector.outputs, &mut scope, now).map_err(expression_failed)?
    };
    for (key, value) in kept {
        written.key(&key);
        after.insert(key, value);
    }
    Ok(Payload::json(&Value::Object(after)))
}

/// What result variable and result expression make of a response.
fn results(table: &Compiled, connector: &Connector, response: &Value, now: Timestamp) -> Result<Variables, String> {
    let mut results = Variables::new();
    if let Some(name) = &connector.result_variable {
        evaluate::put(&mut results, name, response.clone());
    }
    if let Some(expression) = &connector.result_expression {
        match evaluate::feel(table, expression, &Value::Object(seen(response)), now)? {
            Value::Object(made) => results.extend(made),
            Value::Null => {}
            other => return Err(format!("the result expression gives {}, not a context", kind(&other))),
        }
    }
    Ok(results)
}

/// The response as expressions see it.
fn seen(response: &Value) -> Variables {
    let mut seen = match response {
        Value::Object(entries) => entries.clone(),
        _ => Map::new(),
    };
    seen.insert("response".to_owned(), response.clone());
    seen
}

/// How a call ended, for the error expression.
pub(crate) enum Ended<'a> {
    /// By a 2xx response.
    Well(&'a Value),
    /// By any other, or by none.
    Badly {
        /// HTTP status, or the one that stands for what happened.
        code: String,
        /// In a few words.
        message: &'a str,
        /// The response, when there was one.
        response: Option<&'a Value>,
    },
}

/// What the error expression says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing: the call means what it means without the expression.
    Usual,
    /// A BPMN error.
    Error {
        /// For the boundary event.
        code: String,
        /// For people.
        message: String,
        /// Set where the error is caught.
        variables: Variables,
    },
    /// A failed attempt.
    Failed {
        /// For people.
        message: String,
        /// Attempts that are left after it.
        retries: Option<u32>,
        /// The least wait before the next, milliseconds.
        backoff: Option<u64>,
    },
    /// A success that gives these variables.
    Ignored(Variables),
}

/// Evaluates the error expression. `left` is how many attempts are left, this one included.
///
/// # Errors
/// It cannot be evaluated, or gives what is no verdict.
pub(crate) fn judge(
    table: &Compiled,
    connector: &Connector,
    ended: &Ended<'_>,
    left: u32,
    now: Timestamp,
) -> Result<Verdict, String> {
    let Some(expression) = &connector.error_expression else { return Ok(Verdict::Usual) };
    let mut scope = Variables::new();
    match ended {
        Ended::Well(response) => {
            // a result expression that fails is told when it is applied
            scope.extend(results(table, connector, response, now).unwrap_or_default());
            scope.extend(seen(response));
        }
        Ended::Badly { code, message, response } => {
            let mut error = json!({"code": code, "message": message});
            if let Some(response) = response {
                error["variables"] = json!({"response": response});
                scope.extend(seen(response));
            }
            scope.insert("error".to_owned(), error);
        }
    }
    scope.insert("job".to_owned(), json!({"retries": left}));
    verdict(evaluate::feel(table, expression, &Value::Object(scope), now)?)
}

fn verdict(value: Value) -> Result<Verdict, String> {
    let mut entries = match value {
        Value::Null => return Ok(Verdict::Usual),
        Value::Object(entries) if entries.is_empty() => return Ok(Verdict::Usual),
        Value::Object(entries) => entries,
        other => return Err(format!("the error expression gives {}, not an error or null", kind(&other))),
    };
    let message = entries.get("message").map(text).unwrap_or_default();
    let code = entries.get("code").map(text).unwrap_or_default();
    let backoff = ["retryBackoff", "timeout"].iter().find_map(|name| entries.get(*name)).and_then(milliseconds);
    let retries = entries.get("retries").and_then(Value::as_f64).map(|it| it.clamp(0.0, f64::from(u32::MAX)) as u32);
    let variables = match entries.remove("variables") {
        Some(Value::Object(variables)) => variables,
        _ => Variables::new(),
    };
    match entries.get("errorType").and_then(Value::as_str) {
        Some("jobError") => Ok(Verdict::Failed { message, retries, backoff }),
        Some("ignoreError") => Ok(Verdict::Ignored(variables)),
        Some("bpmnError") | None if !code.is_empty() => Ok(Verdict::Error { code, message, variables }),
        _ => Err("the error expression gives a context without the `code` of an error".to_owned()),
    }
}

/// A text as it is, anything else as JSON writes it; short, since a person reads it.
fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

/// An ISO 8601 duration without months and years.
fn milliseconds(value: &Value) -> Option<u64> {
    let span: jiff::Span = value.as_str()?.parse().ok()?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    u64::try_from(duration.as_millis()).ok()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a context",
    }
}

#[cfg(test)]
mod tests;
