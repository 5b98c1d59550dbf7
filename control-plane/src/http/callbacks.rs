//! Where tasks call back, below the URL that their call was given: `POST URL` with the answer, `POST URL/error?code=` with what a BPMN error
//! brings, `POST URL/failure?message=`, `POST URL/heartbeat`.
//!
//! The URL is the credential: no token is asked for here. Answers: 200 taken, 403 the URL is not one that was given out, 404 there is no
//! such instance, 409 it has been answered already, 503 the call itself has not been answered yet.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use routing::callback::{Callback, PATH};
use routing::{ActivationId, InstanceId};
use serde_json::json;

use super::query::{decoded, pairs};
use super::{Answer, failed, json_answer, messages, not_allowed, told};
use crate::operations::Operations;

/// Characters kept of why it could not be done.
const MAX_WHY: usize = 1024;

/// Whether this module answers a path.
pub(super) fn answers(path: &str) -> bool {
    path.starts_with(PATH)
}

pub(super) async fn answer(operations: &Operations, request: Request<Body>) -> Answer {
    let segments: Vec<String> = request.uri().path()[PATH.len()..].split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (instance, activation, seal, what) = match segments.as_slice() {
        [instance, activation, seal] => (*instance, *activation, *seal, ""),
        [instance, activation, seal, what @ ("error" | "failure" | "heartbeat")] => {
            (*instance, *activation, *seal, *what)
        }
        _ => {
            return failed(
                StatusCode::NOT_FOUND,
                "not a callback: POST to the URL, or below it to error, failure or heartbeat",
            );
        }
    };
    if *request.method() != Method::POST {
        return not_allowed("POST");
    }
    let Ok(activation) = activation.parse::<ActivationId>() else {
        return failed(StatusCode::NOT_FOUND, "not a callback: the URL has been changed");
    };
    let (instance, seal) = (InstanceId::from(instance), seal.to_owned());
    let with = match said(what, request).await {
        Ok(with) => with,
        Err(refused) => return refused,
    };
    match operations.called_back(&instance, activation, &seal, with).await {
        Ok(()) => json_answer(StatusCode::OK, &json!({ "status": 0, "message": "Ok" })),
        Err(error) => told(&error),
    }
}

async fn said(what: &str, request: Request<Body>) -> Result<Callback, Answer> {
    let mut text = String::new();
    for (key, value) in pairs(request.uri().query()) {
        match (what, key.as_str()) {
            ("error", "code") | ("failure", "message") => text = value.chars().take(MAX_WHY).collect(),
            (_, other) => {
                return Err(failed(StatusCode::BAD_REQUEST, &format!("there is no parameter {other:?} here")));
            }
        }
    }
    if what == "error" && text.is_empty() {
        return Err(failed(StatusCode::BAD_REQUEST, "give the BPMN error's ?code="));
    }
    let payload = messages::body(request).await?;
    Ok(match what {
        "error" => Callback::Error(text, payload),
        "failure" => Callback::Failure(text),
        "heartbeat" => Callback::Heartbeat,
        _ => Callback::Result(payload),
    })
}
