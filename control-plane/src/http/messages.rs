//! Messages, signals and offered variables over HTTP: `POST /messages/<name>?key=&id=&ttl=`, `POST /signals/<name>`, `POST /conditions?process=`.
//!
//! Answers have the shape of the other routes: `status` 0 and what happened, or an error's envelope.

use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use routing::instance::Published;
use routing::{InstanceId, Payload, ProcessId};
use runtime::admin;
use serde_json::json;

use super::query::{decoded, pairs, time_to_live};
use super::start::payload;
use super::{Answer, failed, json_answer, not_allowed, told};
use crate::ledger::Receipt;
use crate::operations::{MAX_PAYLOAD, Operations};

/// Whether this module answers a path.
pub(super) fn answers(path: &str) -> bool {
    path == "/conditions" || ["/messages/", "/signals/"].iter().any(|it| path.starts_with(it))
}

pub(super) async fn answer(operations: &Operations, request: Request<Body>) -> Answer {
    let path = request.uri().path().to_owned();
    let segments: Vec<String> = path.trim_start_matches('/').split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let post = *request.method() == Method::POST;
    let answered = match segments.as_slice() {
        ["messages", _] | ["signals", _] | ["conditions"] if !post => return not_allowed("POST"),
        ["messages", name] => publish(operations, name, request).await,
        ["signals", name] => signal(operations, name, request).await,
        ["conditions"] => offer(operations, request).await,
        _ => {
            Err(failed(StatusCode::NOT_FOUND, "not here; there are /messages/<NAME>, /signals/<NAME> and /conditions"))
        }
    };
    answered.unwrap_or_else(|refused| refused)
}

async fn publish(operations: &Operations, name: &str, request: Request<Body>) -> Result<Answer, Answer> {
    let mut message = Published { name: name.to_owned(), ..Published::default() };
    for (key, value) in pairs(request.uri().query()) {
        match key.as_str() {
            "key" => message.key = Some(value),
            "id" => message.id = Some(value).filter(|it| !it.is_empty()),
            "ttl" => message.time_to_live = time_to_live(&value).map_err(bad)?,
            other => return Err(bad(format!("there is no parameter {other:?}; there are key, id and ttl"))),
        }
    }
    message.payload = body(request).await?;
    let receipt = operations.publish(message).await.map_err(|error| told(&error))?;
    Ok(taken(&receipt))
}

async fn signal(operations: &Operations, name: &str, request: Request<Body>) -> Result<Answer, Answer> {
    if let Some((key, _)) = pairs(request.uri().query()).into_iter().next() {
        return Err(bad(format!("there is no parameter {key:?} here")));
    }
    let payload = body(request).await?;
    let receipt = operations.signal(name.to_owned(), payload).await.map_err(|error| told(&error))?;
    Ok(taken(&receipt))
}

async fn offer(operations: &Operations, request: Request<Body>) -> Result<Answer, Answer> {
    let mut process = None;
    for (key, value) in pairs(request.uri().query()) {
        match key.as_str() {
            "process" => process = Some(ProcessId::from(value)),
            other => return Err(bad(format!("there is no parameter {other:?}; there is process"))),
        }
    }
    let payload = body(request).await?;
    let receipt = operations.offer(process, payload).await.map_err(|error| told(&error))?;
    Ok(taken(&receipt))
}

fn taken(receipt: &Receipt) -> Answer {
    let names = |all: &[InstanceId]| all.iter().map(|it| it.as_str().to_owned()).collect::<Vec<_>>();
    let answer = json!({
        "status": 0,
        "message": "Ok",
        "instances": names(&receipt.instances),
        "started": names(&receipt.started),
        "buffered": receipt.buffered,
        "known": receipt.known,
    });
    json_answer(StatusCode::OK, &answer)
}

pub(super) fn bad(why: String) -> Answer {
    failed(StatusCode::BAD_REQUEST, &why)
}

pub(super) async fn body(request: Request<Body>) -> Result<Payload, Answer> {
    let header = request.headers().get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let content_type = header.unwrap_or_default().to_owned();
    let read = admin::read_body(request.into_body(), MAX_PAYLOAD, admin::BODY_WITHIN).await;
    let read = read.map_err(|error| failed(error.status(), &error.to_string()))?;
    Ok(payload(content_type, read))
}
