//! What a message is at a broker: a body, and headers beside it. Pure.
//!
//! Headers of an instance's or client's message that begin with `x-` go along, and come back; so does its content type. What others
//! put beside a message is kept as far as it fits, else left out; a body that is too large is nothing that an instance can have.

use std::collections::BTreeMap;

use bytes::Bytes;
use routing::instance::Published;
use routing::payload::JSON;
use routing::{Digest, Payload};

use crate::operations::MAX_PAYLOAD;

/// Headers of a message at most, and bytes of one.
pub(crate) const MAX_HEADERS: usize = 32;
pub(crate) const MAX_HEADER: usize = 1024;
/// The header with a message's id, for brokers that have none of their own.
pub(crate) const MESSAGE_ID: &str = "x-rexflow-message-id";
const CONTENT_TYPE: &str = "content-type";
const OPAQUE: &str = "application/octet-stream";

/// What stands beside the body of a message that goes to a broker, without its id.
pub(crate) fn headers(message: &Published) -> Vec<(&str, &str)> {
    let own = message.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    own.chain(Some((CONTENT_TYPE, message.payload.content_type.as_str())).filter(|it| !it.1.is_empty())).collect()
}

/// The message that a topic had; none if it is too large. `id` is the broker's own kind of id, if it has one.
pub(crate) fn published<'a>(
    topic: &str,
    id: Option<String>,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    body: Bytes,
) -> Option<Published> {
    if body.len() > MAX_PAYLOAD {
        return None;
    }
    let (mut kept, mut content_type, mut id) = (BTreeMap::new(), None, id);
    for (name, value) in headers {
        let (name, value) = (name.to_ascii_lowercase(), std::str::from_utf8(value).ok());
        match (name.as_str(), value.filter(|it| it.len() <= MAX_HEADER)) {
            (MESSAGE_ID, Some(value)) => id = id.or_else(|| Some(value.to_owned())),
            (CONTENT_TYPE, Some(value)) => content_type = Some(value.to_owned()),
            (other, Some(value)) if other.starts_with("x-") && kept.len() < MAX_HEADERS => {
                kept.insert(name, value.to_owned());
            }
            _ => {}
        }
    }
    let guessed = || {
        let json = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
        if json { JSON } else { OPAQUE }.to_owned()
    };
    let content_type = content_type.unwrap_or_else(guessed);
    // whatever another producer takes for an id is one
    let id = id.filter(|it| !it.is_empty());
    let id = id.map(|it| if it.len() > MAX_HEADER { Digest::of(it.as_bytes()).to_string() } else { it });
    let payload = Payload { content_type, body };
    Some(Published { name: topic.to_owned(), id, payload, headers: kept, topic: true, ..Published::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_goes_out_comes_back() {
        let message = Published {
            name: "orders".into(),
            id: Some("17".into()),
            payload: Payload::json(&json!({"n": 1})),
            headers: [("x-rexflow-iid".to_owned(), "i-1".to_owned())].into(),
            topic: true,
            ..Published::default()
        };
        let headers = headers(&message);
        let beside = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        let back = published("orders", message.id.clone(), beside, message.payload.body.clone());
        assert_eq!(back, Some(message));
    }

    #[test]
    fn what_others_send_is_taken_as_far_as_it_fits() {
        let long = "x".repeat(MAX_HEADER + 1);
        let beside = [("X-Shop", "north"), ("x-long", &long), ("secret", "no"), ("X-Rexflow-Message-Id", "a")];
        let beside = beside.iter().map(|(name, value)| (*name, value.as_bytes())).chain([("x-bytes", &b"\xff"[..])]);
        let taken = published("t", None, beside, Bytes::from_static(b"[1]")).unwrap();
        assert_eq!((taken.id.as_deref(), taken.payload.content_type.as_str()), (Some("a"), JSON));
        assert_eq!(taken.headers, [("x-shop".to_owned(), "north".to_owned())].into());
        let bytes = published("t", Some(long), [].into_iter(), Bytes::from_static(b"\xff")).unwrap();
        assert_eq!((bytes.id.map(|it| it.len()), bytes.payload.content_type.as_str()), (Some(64), OPAQUE));
        assert_eq!(published("t", None, [].into_iter(), vec![b'1'; MAX_PAYLOAD + 1].into()), None);
        let many: Vec<String> = (0..100).map(|n| format!("x-{n}")).collect();
        let many = published("t", None, many.iter().map(|it| (it.as_str(), &b"1"[..])), Bytes::new()).unwrap();
        assert_eq!((many.headers.len(), many.id), (MAX_HEADERS, None));
    }
}
