//! Messages, signals and user tasks over HTTP: `POST /messages/<name>?key=&id=&ttl=`, `POST /signals/<name>`, `POST /conditions?process=`, `GET /tasks`,
//! `POST /tasks/<id>/complete`, `POST /tasks/<id>/error?code=`.
//!
//! Answers have the shape of the other routes: `status` 0 and what happened, or an error's envelope.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use routing::instance::Published;
use routing::{InstanceId, Payload, ProcessId};
use runtime::admin;
use serde_json::{Value, json};

use super::query::{decoded, pairs, time_to_live};
use super::start::payload;
use super::{Answer, failed, json_answer, not_allowed, told};
use crate::ledger::Receipt;
use crate::operations::{MAX_PAYLOAD, Operations, Task};

/// How long a client may take for its body.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Whether this module answers a path.
pub(super) fn answers(path: &str) -> bool {
    path == "/tasks"
        || path == "/conditions"
        || ["/messages/", "/signals/", "/tasks/"].iter().any(|it| path.starts_with(it))
}

pub(super) async fn answer(operations: &Operations, request: Request<Body>) -> Answer {
    let path = request.uri().path().to_owned();
    let segments: Vec<String> = path.trim_start_matches('/').split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let post = *request.method() == Method::POST;
    let answered = match segments.as_slice() {
        ["tasks"] if matches!(*request.method(), Method::GET | Method::HEAD) => tasks(operations, &request).await,
        ["tasks"] => return not_allowed("GET, HEAD"),
        ["messages", _] | ["signals", _] | ["conditions"] | ["tasks", _, "complete" | "error"] if !post => {
            return not_allowed("POST");
        }
        ["messages", name] => publish(operations, name, request).await,
        ["signals", name] => signal(operations, name, request).await,
        ["conditions"] => offer(operations, request).await,
        ["tasks", task, what @ ("complete" | "error")] => complete(operations, task, *what == "error", request).await,
        _ => Err(failed(
            StatusCode::NOT_FOUND,
            "not here; there are /messages/<NAME>, /signals/<NAME>, /conditions, /tasks, /tasks/<ID>/complete and /tasks/<ID>/error",
        )),
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

async fn tasks(operations: &Operations, request: &Request<Body>) -> Result<Answer, Answer> {
    let mut instance = None;
    for (key, value) in pairs(request.uri().query()) {
        match key.as_str() {
            "instance" => instance = Some(InstanceId::from(value)),
            other => return Err(bad(format!("there is no parameter {other:?}; there is instance"))),
        }
    }
    let tasks = operations.tasks(instance.as_ref()).await.map_err(|error| told(&error))?;
    let tasks: Vec<Value> = tasks.iter().map(task).collect();
    Ok(json_answer(StatusCode::OK, &json!({ "status": 0, "message": "Ok", "tasks": tasks })))
}

async fn complete(operations: &Operations, id: &str, fails: bool, request: Request<Body>) -> Result<Answer, Answer> {
    let (mut code, mut instance) = (String::new(), None);
    for (key, value) in pairs(request.uri().query()) {
        match key.as_str() {
            "code" if fails => code = value,
            "instance" => instance = Some(InstanceId::from(value)),
            other => return Err(bad(format!("there is no parameter {other:?} here"))),
        }
    }
    if fails && code.is_empty() {
        return Err(bad("give the BPMN error's ?code=".to_owned()));
    }
    let payload = body(request).await?;
    let result = if fails { Err((code, payload)) } else { Ok(payload) };
    let done = operations.complete(instance, id, result).await.map_err(|error| told(&error))?;
    let answer = json!({
        "status": 0,
        "message": "Ok",
        "id": done.view.activation.to_string(),
        "instance": done.instance.as_str(),
    });
    Ok(json_answer(StatusCode::OK, &answer))
}

fn task(task: &Task) -> Value {
    let (view, assigned) = (&task.view, &task.view.assigned);
    json!({
        "id": view.activation.to_string(),
        "instance": task.instance.as_str(),
        "deployment": task.deployment.as_str(),
        "process": task.process.as_str(),
        "element": view.element.as_str(),
        "name": view.name,
        "form": assigned.form,
        "assignee": assigned.assignee,
        "candidate_users": assigned.candidate_users,
        "candidate_groups": assigned.candidate_groups,
        "due_date": assigned.due_date,
        "follow_up_date": assigned.follow_up_date,
        "priority": assigned.priority,
        "since_ms": view.since,
    })
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
    let read = admin::read_body(request.into_body(), MAX_PAYLOAD, BODY_WITHIN).await;
    let read = read.map_err(|error| failed(error.status(), &error.to_string()))?;
    Ok(payload(content_type, read))
}
