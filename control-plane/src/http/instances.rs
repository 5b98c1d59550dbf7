//! Operations on instances over HTTP: `POST /instances/<id>/suspend?by=&reason=`, `POST /instances/<id>/resume?by=&reason=`.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use routing::InstanceId;
use serde_json::json;

use super::query::{decoded, pairs};
use super::{Answer, failed, json_answer, not_allowed, told};
use crate::ledger::{Operation, Operator};
use crate::operations::Operations;

/// Whether this module answers a path.
pub(super) fn answers(path: &str) -> bool {
    path.starts_with("/instances/")
}

pub(super) async fn answer(operations: &Operations, request: &Request<Body>) -> Answer {
    let segments: Vec<String> = request.uri().path().trim_start_matches('/').split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (id, operation) = match segments.as_slice() {
        ["instances", id, "suspend"] => (*id, Operation::Suspend),
        ["instances", id, "resume"] => (*id, Operation::Resume),
        _ => {
            let there = "not here; there are /instances/<ID>/suspend and /instances/<ID>/resume";
            return failed(StatusCode::NOT_FOUND, there);
        }
    };
    if *request.method() != Method::POST {
        return not_allowed("POST");
    }
    let by = match operator(request) {
        Ok(by) => by,
        Err(why) => return failed(StatusCode::BAD_REQUEST, &why),
    };
    match operations.operate(&InstanceId::from(id), by, operation).await {
        Ok(()) => json_answer(StatusCode::OK, &json!({ "status": 0, "message": "Ok", "id": id })),
        Err(error) => told(&error),
    }
}

/// Who asks, and why, as the query says.
fn operator(request: &Request<Body>) -> Result<Operator, String> {
    let mut operator = Operator::default();
    for (key, value) in pairs(request.uri().query()) {
        match key.as_str() {
            "by" => operator.who = value,
            "reason" => operator.why = value,
            other => return Err(format!("there is no parameter {other:?}; there are by and reason")),
        }
    }
    Ok(operator)
}
