//! What an answer that is no success says, and how it is shown: error codes, the original's error document.

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::mapping::Answer;
use crate::payload::Payload;

/// The largest piece of an answer that an incident keeps, bytes.
const KEPT_OUTPUT: usize = 64 * 1024;

/// The BPMN error code of an answer (design §6): the header, else problem+json's `type` or `code`, else `HTTP_<status>`.
pub(super) fn error_code(answer: &Answer) -> String {
    let named = || {
        let media = answer.payload.content_type.split(';').next().unwrap_or("").trim();
        let body = if media.eq_ignore_ascii_case("application/problem+json") { answer.payload.to_json() } else { None };
        let body = body?;
        let text = |key: &str| {
            body.get(key).and_then(Value::as_str).filter(|t| !t.is_empty() && *t != "about:blank").map(str::to_owned)
        };
        text("type").or_else(|| text("code"))
    };
    let code = answer.error_code.clone().or_else(named).unwrap_or_else(|| format!("HTTP_{}", answer.status));
    code.chars().filter(|c| !c.is_control()).take(256).collect()
}

/// What an error boundary event of the original's dialect gets as payload.
pub fn error_document(failure: &Failure, input: &Payload) -> Payload {
    Payload::json(&json!({
        "error_code": failure.error_code.as_deref().unwrap_or(failure.code.as_str()),
        "error_msg": failure.message,
        "failed_task_id": failure.element.as_str(),
        "input_data": readable(input),
        "output_data": failure.output.as_ref().map(readable),
        "output_headers": { "status": failure.status.map(|s| s.to_string()) },
    }))
}

/// A payload as JSON: its value, or its text.
pub fn readable(payload: &Payload) -> Value {
    payload.to_json().unwrap_or_else(|| Value::String(String::from_utf8_lossy(&payload.body).into_owned()))
}

pub(super) fn kept(payload: &Payload) -> Payload {
    Payload {
        content_type: payload.content_type.clone(),
        body: payload.body.slice(..payload.body.len().min(KEPT_OUTPUT)),
    }
}
