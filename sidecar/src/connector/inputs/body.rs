//! The body of a request: a text as it is, a form, several parts, or JSON.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use routing::Digest;
use runtime::outbound::component;
use serde_json::{Map, Value};

use super::{one_or_many, text};

/// Of the input `body`, as the model's header `content-type` asks for it.
///
/// # Errors
/// What cannot be sent, never its value.
pub(super) fn of(method: &Method, inputs: &Value, headers: &mut HeaderMap) -> Result<Bytes, String> {
    if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        return Ok(Bytes::new());
    }
    let mut body = inputs.get("body").cloned().unwrap_or_default();
    let ignored = inputs.get("ignoreNullValues");
    if matches!(ignored, Some(Value::Bool(true))) || text(ignored).as_deref() == Some("true") {
        without_nulls(&mut body);
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    if kind.is_empty() && !body.is_null() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    match body {
        Value::Null => Ok(Bytes::new()),
        Value::String(text) => Ok(Bytes::from(text)),
        Value::Object(fields) if kind.starts_with("application/x-www-form-urlencoded") => {
            Ok(Bytes::from(form(&fields)))
        }
        Value::Object(fields) if kind.starts_with("multipart/form-data") => parts(&fields, headers),
        _ if kind.starts_with("multipart/") => {
            Err("a body of several parts is a context, sent as `multipart/form-data`".to_owned())
        }
        other => Ok(Bytes::from(other.to_string())),
    }
}

/// `application/x-www-form-urlencoded`: null entries are left out, a list is several values.
pub(super) fn form(fields: &Map<String, Value>) -> String {
    let pairs = fields.iter().filter(|(_, value)| !value.is_null()).flat_map(|(name, value)| {
        one_or_many(value).into_iter().map(move |value| format!("{}={}", component(name), component(&value)))
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// RFC 7578: a part for each entry, for each item of a list; scalars are text, anything else JSON. The boundary is the
/// digest of the content, so it does not stand in it; one that the model gives is replaced.
fn parts(fields: &Map<String, Value>, headers: &mut HeaderMap) -> Result<Bytes, String> {
    let content = Value::Object(fields.clone()).to_string();
    let digest = Digest::of(content.as_bytes()).to_string();
    let boundary = format!("rexflow-{}", &digest[..32]);
    let mut out = BytesMut::with_capacity(content.len() + 256);
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let items = if let Value::Array(items) = value { items.as_slice() } else { std::slice::from_ref(value) };
        for item in items {
            let (kind, value) = match text(Some(item)) {
                Some(text) => ("", text),
                None => ("Content-Type: application/json\r\n", item.to_string()),
            };
            let head =
                format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n{kind}\r\n", quoted(name));
            [head.as_str(), &value, "\r\n"].iter().for_each(|it| out.put_slice(it.as_bytes()));
        }
    }
    out.put_slice(format!("--{boundary}--\r\n").as_bytes());
    let value = HeaderValue::from_str(&format!("multipart/form-data; boundary={boundary}"));
    headers.insert(CONTENT_TYPE, value.map_err(|error| error.to_string())?);
    Ok(out.freeze())
}

/// A name within quotes, escaped as HTML's forms do.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.retain(|_, it| !it.is_null());
            entries.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
