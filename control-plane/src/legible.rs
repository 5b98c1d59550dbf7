//! Payloads as people and other programs read them inside of JSON.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use routing::Payload;
use serde_json::Value;

/// JSON as it is, else text, else base64.
pub(crate) fn data(payload: &Payload) -> Value {
    payload.to_json().unwrap_or_else(|| text(payload))
}

/// Text, else base64.
pub(crate) fn text(payload: &Payload) -> Value {
    match std::str::from_utf8(&payload.body) {
        Ok(text) => text.into(),
        Err(_) => BASE64_STANDARD.encode(&payload.body).into(),
    }
}
