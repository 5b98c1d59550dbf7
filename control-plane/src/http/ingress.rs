//! Requests to hosts and paths that deployments are exposed at.
//!
//! `GET` says that the way in is there, `POST` starts, `POST <path>/wrapper` answers with the result. The query is the
//! caller's own and not read.

use http::{Method, Request};
use hyper::body::Incoming as Body;

use super::start::{self, Entry};
use super::{Answer, health, not_allowed};
use crate::ingress::Way;
use crate::mesh::Routed;
use crate::operations::Operations;

pub(super) async fn answer(operations: &Operations, routed: Routed, request: Request<Body>) -> Answer {
    match (request.method(), routed.way) {
        (&Method::POST, way) => {
            let Routed { deployment, route, .. } = routed;
            let wait = match way {
                Way::Start => None,
                Way::Wrapper => start::wrapper_limit(operations, deployment.as_str()),
            };
            let start_event = route.start_event.as_str().to_owned();
            start::enter(operations, Entry { id: deployment.as_str().to_owned(), start_event, wait }, request).await
        }
        (&(Method::GET | Method::HEAD), Way::Start) => health(request.method()),
        (_, Way::Start) => not_allowed("GET, HEAD, POST"),
        (_, Way::Wrapper) => not_allowed("POST"),
    }
}
