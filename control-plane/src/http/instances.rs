//! Operations on instances over HTTP, each with `?by=&reason=`: `POST /instances/<id>/suspend`, `.../resume`,
//! `.../start[?same_key=true][&force=true]` with the payload to go on with, or none, `.../variables[?scope=]` with a JSON object of them,
//! `.../modify` with `{"move": {"FROM": "TO"}, "variables": {}}`, and `.../migrate` with `{"to": "DEPLOYMENT", "map": {"FROM": "TO"}}`.

use std::collections::BTreeMap;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use routing::{InstanceId, Payload};
use serde::Deserialize;
use serde_json::{Value, json};

use super::query::{decoded, pairs};
use super::{Answer, failed, json_answer, not_allowed, told};
use crate::ledger::{Operation, Operator};
use crate::operations::{Again, Error, Operations};
use crate::security;

/// Whether this module answers a path.
pub(super) fn answers(path: &str) -> bool {
    path.starts_with("/instances/")
}

pub(super) async fn answer(operations: &Operations, request: Request<Body>) -> Answer {
    let segments: Vec<String> = request.uri().path().trim_start_matches('/').split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (id, what) = match segments.as_slice() {
        ["instances", id, what @ ("suspend" | "resume" | "start" | "variables" | "modify" | "migrate")] => (*id, *what),
        _ => {
            let there = "not here; there are /instances/<ID>/suspend, resume, start, variables, modify and migrate";
            return failed(StatusCode::NOT_FOUND, there);
        }
    };
    if *request.method() != Method::POST {
        return not_allowed("POST");
    }
    let Asked { by, same_key, force, scope } = match asked(&request, what) {
        Ok(asked) => asked,
        Err(why) => return failed(StatusCode::BAD_REQUEST, &why),
    };
    let given = match what {
        "start" | "variables" | "modify" | "migrate" => super::messages::body(request).await,
        _ => Ok(Payload::default()),
    };
    let payload = match given {
        Ok(payload) => payload,
        Err(refused) => return refused,
    };
    let id = &InstanceId::from(id);
    if what == "start" {
        let again = Again { payload: Some(payload).filter(|it| !is_none(it)), same_key, force };
        return done(id, operations.start_again(id, by, again).await);
    }
    let operation = match what {
        "suspend" => Operation::Suspend,
        "resume" => Operation::Resume,
        "migrate" => match migrating(operations, &payload).await {
            Ok(operation) => operation,
            Err(refused) => return refused,
        },
        _ => {
            let read = if what == "modify" { moving(&payload) } else { Operation::set(scope, &payload) };
            match read {
                Ok(operation) => operation,
                Err(why) => return failed(StatusCode::BAD_REQUEST, why),
            }
        }
    };
    done(id, operations.operate(id, by, operation).await)
}

fn done(id: &InstanceId, done: Result<(), Error>) -> Answer {
    match done {
        Ok(()) => json_answer(StatusCode::OK, &json!({ "status": 0, "message": "Ok", "id": id.as_str() })),
        Err(error) => told(&error),
    }
}

/// What the body of `modify` says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Modify {
    r#move: BTreeMap<String, String>,
    #[serde(default)]
    variables: Option<Value>,
}

fn moving(payload: &Payload) -> Result<Operation, &'static str> {
    let wrong = |_| "give {\"move\": {\"FROM\": \"TO\"}}, and \"variables\" if you like";
    let Modify { r#move, variables } = serde_json::from_slice(&payload.body).map_err(wrong)?;
    Operation::moving(r#move.into_iter().collect(), variables.as_ref().map(Payload::json).as_ref())
}

/// What the body of `migrate` says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Migrate {
    to: String,
    #[serde(default)]
    map: BTreeMap<String, String>,
}

async fn migrating(operations: &Operations, payload: &Payload) -> Result<Operation, Answer> {
    let Ok(Migrate { to, map }) = serde_json::from_slice(&payload.body) else {
        return Err(failed(StatusCode::BAD_REQUEST, "give {\"to\": \"DEPLOYMENT\"}, and \"map\" if you like"));
    };
    operations.migration(&to, map.into_iter().collect()).await.map_err(|error| told(&error))
}

/// What a query says.
#[derive(Default)]
struct Asked {
    by: Operator,
    same_key: bool,
    force: bool,
    scope: Option<String>,
}

/// No body is read as an empty object.
fn is_none(payload: &Payload) -> bool {
    payload.body.as_ref() == b"{}"
}

fn asked(request: &Request<Body>, what: &str) -> Result<Asked, String> {
    let mut asked = Asked::default();
    for (key, value) in pairs(request.uri().query()) {
        match key.as_str() {
            "by" => asked.by.who = value,
            "reason" => asked.by.why = value,
            "same_key" if what == "start" => asked.same_key = value == "true",
            "force" if what == "start" => asked.force = value == "true",
            "scope" if what == "variables" => asked.scope = Some(value).filter(|it| !it.is_empty()),
            other => return Err(format!("there is no parameter {other:?} here; there are by and reason")),
        }
    }
    asked.by.who = security::signed(request.extensions(), &asked.by.who);
    Ok(asked)
}
