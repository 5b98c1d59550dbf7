//! `POST /start/<ID>[?start_event=S][&wait=30s]`: the way in for everybody who has no flowctl. `POST /start/<ID>/wrapper`
//! waits as long as the model's `synchronous_wrapper_timeout` says.
//!
//! Without `wait`: 200 and the original's object, once the start is durable. With it: the result itself, 500 with the
//! failure record when the instance failed or waits for an operator, 504 when it still runs.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming as Body;
use routing::payload::JSON;
use routing::{InstanceId, Payload};
use runtime::admin;
use runtime::telemetry::TraceContext;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::query::Query;
use super::{Answer, body, failed, json_answer, told};
use crate::daemon::answer;
use crate::flow::failure_record;
use crate::ledger::{InstanceView, State};
use crate::operations::{Operations, Run, no_instance};

/// The header that names the instance, as the original's.
const INSTANCE: &str = "x-rexflow-iid";
/// The original's way in that answers with the result.
const WRAPPER: &str = "/wrapper";
const FORM: &str = "application/x-www-form-urlencoded";

/// What a caller wants started.
pub(super) struct Entry {
    /// Deployment, process, or a part of it that is one's alone.
    pub(super) id: String,
    /// Empty: the only one.
    pub(super) start_event: String,
    /// How long to wait for the result; none: not at all.
    pub(super) wait: Option<Duration>,
}

/// As the query says.
pub(super) async fn start(operations: &Operations, id: &str, request: Request<Body>) -> Answer {
    let Query { start_event, mut wait } = match Query::parse(request.uri().query()) {
        Ok(query) => query,
        Err(why) => return failed(StatusCode::BAD_REQUEST, &why),
    };
    let id = match id.strip_suffix(WRAPPER) {
        Some(id) => {
            wait = wait.or_else(|| wrapper_limit(operations, id));
            id
        }
        None => id,
    };
    enter(operations, Entry { id: id.to_owned(), start_event, wait }, request).await
}

/// How long the original's synchronous wrapper waits: as the model says.
pub(super) fn wrapper_limit(operations: &Operations, id: &str) -> Option<Duration> {
    let deployment = operations.mesh.resolve(id).ok()?;
    Some(Duration::from_millis(deployment.definition.wrapper_timeout))
}

pub(super) async fn enter(operations: &Operations, entry: Entry, request: Request<Body>) -> Answer {
    let Entry { id, start_event, wait: patience } = entry;
    let limit = match operations.mesh.resolve(&id) {
        Ok(deployment) => deployment.definition.max_payload(),
        Err(error) => return told(&error.into()),
    };
    let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let content_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
    let key = header("idempotency-key").filter(|it| !it.is_empty());
    let trace = TraceContext::extract(request.headers());
    let read = match admin::read_body(request.into_body(), limit, admin::BODY_WITHIN).await {
        Ok(read) => read,
        Err(error) => return failed(error.status(), &error.to_string()),
    };
    let run = Run { id, payload: payload(content_type, read), start_event, key, trace, ..Run::default() };
    match patience {
        None => match operations.run(run, None).await {
            Ok(id) => {
                named(json_answer(StatusCode::OK, &json!({ "id": id.as_str(), "message": "Ok", "status": 0 })), &id)
            }
            Err(error) => told(&error),
        },
        Some(limit) => wait(operations, run, limit).await,
    }
}

async fn wait(operations: &Operations, run: Run, limit: Duration) -> Answer {
    let (sender, settled) = oneshot::channel();
    let id = match operations.run(run, Some(sender)).await {
        Ok(id) => id,
        Err(error) => return told(&error),
    };
    let settled = match tokio::time::timeout(limit, settled).await {
        Err(_) => {
            let message = format!("{id} has not ended within {limit:?}; it goes on: look with `flowctl ps {id}`");
            let late = json!({ "id": id.as_str(), "message": message, "status": -1 });
            return named(json_answer(StatusCode::GATEWAY_TIMEOUT, &late), &id);
        }
        Ok(Err(_)) => {
            let message = format!("flowd is going; {id} goes on: ask for it when flowd is back");
            let going = json!({ "id": id.as_str(), "message": message, "status": -1 });
            return named(json_answer(StatusCode::SERVICE_UNAVAILABLE, &going), &id);
        }
        Ok(Ok(settled)) => operations.ledger.settled(settled).await,
    };
    match settled {
        Ok(Some(view)) => named(ended(operations, &view), &id),
        Ok(None) => told(&no_instance(&id)),
        Err(error) => told(&error.into()),
    }
}

fn ended(operations: &Operations, view: &InstanceView) -> Answer {
    if view.state == State::Completed {
        let result = view.result.clone().unwrap_or_default();
        return body(StatusCode::OK, &result.content_type, result.body);
    }
    let deployment = operations.mesh.deployment(view.deployment.as_str());
    let failure = failure_record(view, deployment.as_ref().map(|it| it.definition.as_ref()));
    let mut record = failure.as_ref().map(answer::record).unwrap_or_default();
    record.insert("id".to_owned(), view.id.as_str().into());
    record.insert("state".to_owned(), view.state.as_str().into());
    record.insert("status".to_owned(), (-1).into());
    json_answer(StatusCode::INTERNAL_SERVER_ERROR, &Value::Object(record))
}

fn named(mut answer: Answer, id: &InstanceId) -> Answer {
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        answer.headers_mut().insert(INSTANCE, value);
    }
    answer
}

/// No body is an empty object. A form that begins like JSON is what `curl -d` makes of JSON.
pub(super) fn payload(content_type: String, body: bytes::Bytes) -> Payload {
    let looks_like_json = || body.iter().find(|it| !it.is_ascii_whitespace()).is_some_and(|it| b"{[".contains(it));
    match content_type.as_str() {
        "" if body.is_empty() => Payload { content_type: JSON.to_owned(), body: bytes::Bytes::from_static(b"{}") },
        FORM if looks_like_json() => Payload { content_type: JSON.to_owned(), body },
        _ => Payload { content_type, body },
    }
}
