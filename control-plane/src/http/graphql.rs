//! `POST /graphql[?did=DEPLOYMENT]` and `POST /graphql/DEPLOYMENT[/graphql]`: the original's GraphQL; `GET` has its schema.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use runtime::admin;

use super::query::{decoded, pairs};
use super::{Answer, body, failed, json_answer, not_allowed, told};
use crate::definitions::Deployment;
use crate::graphql;
use crate::operations::{Error, Operations};

const PATH: &str = "/graphql";

/// Whether this module answers a path.
pub(super) fn answers(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) async fn answer(operations: &Operations, request: Request<Body>) -> Answer {
    match *request.method() {
        Method::POST => post(operations, request).await.unwrap_or_else(|refused| refused),
        Method::GET | Method::HEAD => body(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from(graphql::schema())),
        _ => not_allowed("GET, HEAD, POST"),
    }
}

async fn post(operations: &Operations, request: Request<Body>) -> Result<Answer, Answer> {
    let deployment = called(operations, &request).map_err(|error| told(&error))?;
    let read = admin::read_body(request.into_body(), graphql::MAX_REQUEST, admin::BODY_WITHIN).await;
    let read = read.map_err(|error| failed(error.status(), &error.to_string()))?;
    let (status, answer) = graphql::execute(operations, deployment, &read).await;
    Ok(json_answer(status, &answer))
}

/// The deployment in the address; in the original each has an address of its own.
fn called(operations: &Operations, request: &Request<Body>) -> Result<Option<Deployment>, Error> {
    let rest = request.uri().path().strip_prefix(PATH).unwrap_or_default();
    let rest = rest.trim_matches('/');
    // to a `bridge_url` clients may add it
    let rest = rest.strip_suffix("/graphql").unwrap_or(rest);
    let mut named = Some(decoded(rest)).filter(|it| !it.is_empty());
    for (key, value) in pairs(request.uri().query()) {
        match key.as_str() {
            "did" => named = Some(value),
            other => return Err(Error::Invalid(format!("there is no parameter {other:?}; there is did"))),
        }
    }
    Ok(named.map(|it| operations.mesh.resolve(&it)).transpose()?)
}
