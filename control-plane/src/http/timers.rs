//! Timers over HTTP: `GET /timers[?limit=]` lists those that flowd waits for, `GET /timers/<ID>` those of an instance or a deployment,
//! `GET /timers/<ID>/<EVENT>` one; `POST` of the last gives it another time, with `?by=&reason=` and the original's body
//! `{"timer_type": "timeDuration", "timer_spec": "PT10S"}`.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use routing::table::Timer;
use routing::timer::written;
use serde::Deserialize;
use serde_json::{Value, json};

use super::query::{decoded, pairs};
use super::{Answer, failed, json_answer, not_allowed, told};
use crate::ledger::{Operator, TimerView};
use crate::operations::Operations;
use crate::security;

/// Timers shown when nothing is said.
const LIMIT: usize = 1000;

/// Whether this module answers a path.
pub(super) fn answers(path: &str) -> bool {
    path == "/timers" || path.starts_with("/timers/")
}

pub(super) async fn answer(operations: &Operations, request: Request<Body>) -> Answer {
    let segments: Vec<String> = request.uri().path().trim_start_matches('/').split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (id, event) = match segments.as_slice() {
        ["timers"] => (None, None),
        ["timers", id] => (Some(*id), None),
        ["timers", id, event] => (Some(*id), Some(*event)),
        _ => {
            return failed(StatusCode::NOT_FOUND, "not here; there are /timers, /timers/<ID> and /timers/<ID>/<EVENT>");
        }
    };
    match (request.method(), id, event) {
        (&Method::GET, ..) => list(operations, &request, id, event).await,
        (&Method::POST, Some(id), Some(event)) => rearm(operations, id, event, request).await,
        (_, _, Some(_)) => not_allowed("GET, POST"),
        _ => not_allowed("GET"),
    }
}

async fn list(operations: &Operations, request: &Request<Body>, id: Option<&str>, event: Option<&str>) -> Answer {
    let mut limit = LIMIT;
    for (key, value) in pairs(request.uri().query()) {
        match (key.as_str(), value.parse()) {
            ("limit", Ok(given)) => limit = given,
            ("limit", Err(_)) => return failed(StatusCode::BAD_REQUEST, "limit is a number"),
            _ => {
                return failed(StatusCode::BAD_REQUEST, &format!("there is no parameter {key:?} here; there is limit"));
            }
        }
    }
    let ids: Vec<String> = id.iter().map(ToString::to_string).collect();
    let timers = match operations.timers(&ids).await {
        Ok(timers) => timers,
        Err(error) => return told(&error),
    };
    let meant = |it: &&TimerView| event.is_none_or(|event| is(it, event));
    let found: Vec<&TimerView> = timers.iter().filter(meant).collect();
    if let (Some(id), Some(event), true) = (id, event, found.is_empty()) {
        return failed(StatusCode::NOT_FOUND, &format!("{id} waits for no timer {event:?} at flowd"));
    }
    let shown: Vec<Value> = found.iter().take(limit).map(|it| shown(it)).collect();
    json_answer(StatusCode::OK, &json!({ "status": 0, "message": "Ok", "timers": shown, "count": found.len() }))
}

fn is(timer: &TimerView, event: &str) -> bool {
    timer.element.as_str() == event || timer.activation.is_some_and(|it| it.to_string() == event)
}

fn shown(timer: &TimerView) -> Value {
    json!({
        "instance": timer.instance.as_ref().map(|it| it.as_str()),
        "deployment": timer.deployment.as_str(),
        "process": timer.process.as_str(),
        "element": timer.element.as_str(),
        "kind": timer.kind,
        "activation": timer.activation.map(|it| it.to_string()),
        "due": written(timer.due),
        "every": timer.again.as_ref().filter(|it| it.left != Some(0)).map(|it| it.every.as_str()),
        "left": timer.again.as_ref().map_or(Some(0), |it| it.left),
        "operations": timer.operations.iter().map(|it| json!({
            "at": written(it.at), "what": it.what, "by": it.by.who, "reason": it.by.why,
        })).collect::<Vec<_>>(),
    })
}

/// The original's body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rearm {
    #[serde(default)]
    timer_type: Option<String>,
    timer_spec: String,
}

async fn rearm(operations: &Operations, id: &str, event: &str, request: Request<Body>) -> Answer {
    let mut by = Operator::default();
    for (key, value) in pairs(request.uri().query()) {
        match key.as_str() {
            "by" => by.who = value,
            "reason" => by.why = value,
            _ => {
                let what = format!("there is no parameter {key:?} here; there are by and reason");
                return failed(StatusCode::BAD_REQUEST, &what);
            }
        }
    }
    by.who = security::signed(request.extensions(), &by.who);
    let payload = match super::messages::body(request).await {
        Ok(payload) => payload,
        Err(refused) => return refused,
    };
    let Ok(Rearm { timer_type, timer_spec }) = serde_json::from_slice(&payload.body) else {
        let give = "give {\"timer_type\": \"timeDate, timeDuration or timeCycle\", \"timer_spec\": \"PT10S\"}";
        return failed(StatusCode::BAD_REQUEST, give);
    };
    let timer = match Timer::written(timer_type.as_deref(), &timer_spec) {
        Ok(timer) => timer,
        Err(why) => return failed(StatusCode::BAD_REQUEST, &why),
    };
    match operations.rearm(id, by, vec![(event.to_owned(), timer)]).await {
        Ok(()) => json_answer(StatusCode::OK, &json!({ "status": 0, "message": "Ok", "id": id, "timer": event })),
        Err(error) => told(&error),
    }
}
