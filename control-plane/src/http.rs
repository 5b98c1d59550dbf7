//! flowd's HTTP port: `/health`, `/ready`, `/metrics`, `/wf_map`, `POST /start/<ID>`, messages, signals, user tasks, GraphQL, `POST /instances/<ID>/...`.
//!
//! HTTP/1 with kept connections; heads, bodies, times and connections are limited. Every route passes
//! `security::Access` first. Starting is in [`start`], ways in by host in [`ingress`], messages in [`messages`], user tasks in [`tasks`], the original's GraphQL in [`graphql`], topics in [`topics`], operations in [`instances`], tasks that answer later in [`callbacks`]; what a flowd that stands by cannot answer goes to the leader
//! (`standby`).

mod callbacks;
mod graphql;
mod ingress;
mod instances;
mod messages;
mod query;
mod route;
mod start;
mod tasks;
mod timers;
mod topics;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HOST, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming as Body;
use routing::payload::JSON;
use runtime::admin::{self, Admin};
use runtime::drain::DrainWatcher;
use runtime::tls::Incoming;
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::definitions::State;
use crate::ingress::{ANY_HOST, host_of};
use crate::operations::{Error, Gate, Operations};
use crate::security::rights::{self, Rule};
use crate::security::{Access, Caller, Refusal};
use crate::standby::{PASSED_HOST, Passed, Standby};

pub(crate) use route::Route;

/// What the port answers from.
#[derive(Clone)]
pub(crate) struct Port {
    inner: Arc<Inner>,
}

struct Inner {
    gate: Gate,
    admin: Admin,
    access: Access,
    /// Where this port is reached, for `/wf_map`.
    address: String,
    standby: Standby,
    /// Places for event streams.
    streams: Arc<Semaphore>,
}

type Answer = Response<Full<Bytes>>;

/// Whose a request is: said once, and it is admitted and answered by that.
enum Whose {
    /// A way in's, under this host.
    Exposed(String),
    /// flowd's own.
    Own,
    /// The leader's, who asks for tokens.
    Leader,
}

impl Port {
    pub(crate) fn new(gate: Gate, admin: Admin, access: Access, address: String, standby: Standby) -> Self {
        let streams = Arc::new(Semaphore::new(topics::MAX_STREAMS));
        Self { inner: Arc::new(Inner { gate, admin, access, address, standby, streams }) }
    }

    /// Serves until the drain.
    pub(crate) async fn serve(self, incoming: Incoming, drain: DrainWatcher) {
        let handler = move |request: Request<Body>| {
            let port = self.clone();
            // what is rare is boxed: a start is moved about with the room for the largest of its neighbours
            async move {
                if let Some(topic) = topics::streamed(&request)
                    && let Some(stream) = Box::pin(port.stream(topic, &request)).await
                {
                    return match stream {
                        Ok(events) => events.map(Either::Right),
                        Err(refused) => refused.map(Either::Left),
                    };
                }
                port.answer(request).await.map(Either::Left)
            }
        };
        admin::serve(incoming, drain, handler).await;
    }

    /// The events of a topic, where they are asked for.
    async fn stream(&self, topic: String, request: &Request<Body>) -> Option<Result<Response<topics::Events>, Answer>> {
        // what is not allowed, and what is exposed under a host of its own, is `answer`'s
        let whose = self.whose(request);
        self.admitted(&whose, request).await.ok()?;
        let operations = match self.inner.gate.pass() {
            Ok(operations) => operations,
            Err(error) => return Some(Err(told(&error))),
        };
        match whose {
            Whose::Own => Some(topics::events(operations, topic, request, &self.inner.streams).await),
            Whose::Exposed(_) | Whose::Leader => None,
        }
    }

    fn whose(&self, request: &Request<Body>) -> Whose {
        match self.inner.gate.pass() {
            Ok(operations) => {
                let mut named = std::iter::once(host(request)).chain(passed_host(request));
                named.find(|it| operations.mesh.exposes(it)).map_or(Whose::Own, Whose::Exposed)
            }
            Err(_) if Route::of(request.uri().path()).is_of_every_flowd() => Whose::Own,
            Err(_) => Whose::Leader,
        }
    }

    /// Whether the request may pass, and who makes it, where users are asked for.
    async fn admitted(&self, whose: &Whose, request: &Request<Body>) -> Result<Option<Caller>, Refusal> {
        if self.inner.access.is_everybodys() {
            return Ok(None);
        }
        let path = request.uri().path();
        let rule = match whose {
            Whose::Exposed(_) => Rule::Unasked,
            Whose::Leader => Rule::Open,
            Whose::Own => rights::of_request(Route::of(path), request.method()),
        };
        self.inner.access.request(rule, path, request.headers()).await
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        match self.whose(&request) {
            Whose::Leader => match Box::pin(self.inner.standby.request(request)).await {
                Passed::Answer(answer) => answer,
                // now it is this one that leads
                Passed::Own(own) => self.answer_here(self.whose(&own), own).await,
            },
            whose => self.answer_here(whose, request).await,
        }
    }

    async fn answer_here(&self, whose: Whose, mut request: Request<Body>) -> Answer {
        match self.admitted(&whose, &request).await {
            Ok(caller) => drop(caller.map(|it| request.extensions_mut().insert(it))),
            Err(refusal) => return refused(&refusal),
        }
        let path = request.uri().path();
        let operations = match self.inner.gate.pass() {
            Ok(operations) => operations,
            Err(_) if path == "/health" => return health(request.method()),
            Err(error) => return self.inner.admin.answer(&request).unwrap_or_else(|| told(&error)),
        };
        match whose {
            Whose::Exposed(host) => match operations.mesh.routed(&host, path) {
                Some(routed) => Box::pin(ingress::answer(operations, routed, request)).await,
                None => failed(StatusCode::NOT_FOUND, &format!("nothing is exposed at {path} of {host}")),
            },
            Whose::Own => self.own(operations, request).await,
            Whose::Leader => failed(StatusCode::SERVICE_UNAVAILABLE, "no flowd leads yet; try again in a moment"),
        }
    }

    /// What flowd itself offers; then what is exposed under any host.
    async fn own(&self, operations: &Operations, request: Request<Body>) -> Answer {
        let (path, method) = (request.uri().path(), request.method());
        match Route::of(path) {
            Route::Start => {
                let id = query::decoded(path.strip_prefix("/start/").unwrap_or_default());
                match *method {
                    Method::POST => start::start(operations, &id, request).await,
                    _ => not_allowed("POST"),
                }
            }
            Route::Messages => Box::pin(messages::answer(operations, request)).await,
            Route::Tasks => tasks::answer(operations, request).await,
            Route::Graphql => Box::pin(graphql::answer(operations, request)).await,
            Route::Callbacks => Box::pin(callbacks::answer(operations, request)).await,
            Route::Topics => Box::pin(topics::answer(operations, request)).await,
            Route::Instances => Box::pin(instances::answer(operations, request)).await,
            Route::Timers => Box::pin(timers::answer(operations, request)).await,
            Route::Map => match *method {
                Method::GET | Method::POST | Method::HEAD => self.map(operations),
                _ => not_allowed("GET, POST"),
            },
            Route::Probe if path == "/health" => health(method),
            Route::Probe | Route::Metrics => self.inner.admin.answer(&request).unwrap_or_else(nowhere),
            Route::Elsewhere => match operations.mesh.routed(ANY_HOST, path) {
                Some(routed) => Box::pin(ingress::answer(operations, routed, request)).await,
                None => nowhere(),
            },
        }
    }

    /// The original's map of what can be started: RUNNING deployments by process.
    fn map(&self, operations: &Operations) -> Answer {
        let mut map = Map::new();
        for (deployment, _) in operations.mesh.deployments() {
            if !matches!(deployment.state, State::Running | State::Degraded) {
                continue;
            }
            let definition = &deployment.definition;
            let base = format!("http://{}/start/{}", self.inner.address, definition.deployment);
            let urls: Vec<String> = match definition.start_events.as_slice() {
                [_] => vec![base],
                several => several.iter().map(|it| format!("{base}?start_event={it}")).collect(),
            };
            let metadata: Value = serde_json::from_str(&definition.metadata).unwrap_or_else(|_| json!({}));
            let mut entry = json!({
                "id": definition.deployment.as_str(),
                "start_event_urls": urls,
                "user_opaque_metadata": metadata,
            });
            if definition.user_tasks().next().is_some() {
                // the original's user interfaces add `/graphql` to it
                entry["bridge_url"] = format!("http://{}/graphql/{}", self.inner.address, definition.deployment).into();
            }
            let of_process = map.entry(definition.process.as_str()).or_insert_with(|| json!([]));
            if let Value::Array(entries) = of_process {
                entries.push(entry);
            }
        }
        json_answer(StatusCode::OK, &json!({ "status": 0, "message": "Ok", "wf_map": map }))
    }
}

/// The host that was called; a proxy in front of flowd gives the name it was called by.
fn host(request: &Request<Body>) -> String {
    let authority = request.headers().get(HOST).and_then(|it| it.to_str().ok());
    host_of(authority.or(request.uri().authority().map(|it| it.as_str())).unwrap_or_default())
}

/// The host that a flowd was called by which stood by and passed the request on. Whoever else sends it gains nothing: a host that is exposed leads to
/// its ways in and nowhere else, and the one that was called comes first.
fn passed_host(request: &Request<Body>) -> Option<String> {
    request.headers().get(PASSED_HOST).and_then(|it| it.to_str().ok()).map(host_of)
}

fn nowhere() -> Answer {
    failed(
        StatusCode::NOT_FOUND,
        "not here; there are /health, /ready, /metrics, /wf_map, POST /start/<ID>, /messages/<NAME>, /signals/<NAME>, /conditions, \
         /topics/<NAME>, /tasks, /graphql, /timers and /instances/<ID>",
    )
}

/// The answer to whom may not.
fn refused(refusal: &Refusal) -> Answer {
    let mut answer = failed(refusal.status(), &refusal.to_string());
    match refusal {
        Refusal::Token(_) | Refusal::Nobody(_) => {
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Refusal::Away(_) => {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Refusal::Forbidden(_) => {}
    }
    answer
}

/// The original's shape.
fn health(method: &Method) -> Answer {
    match *method {
        Method::GET | Method::HEAD => json_answer(StatusCode::OK, &json!({ "message": "Ok.", "status": 0 })),
        _ => not_allowed("GET, HEAD"),
    }
}

fn json_answer(status: StatusCode, value: &Value) -> Answer {
    admin::text(status, JSON, value.to_string())
}

/// An error in the original's shape.
fn failed(status: StatusCode, message: &str) -> Answer {
    json_answer(status, &json!({ "status": -1, "message": message }))
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = failed(StatusCode::METHOD_NOT_ALLOWED, &format!("only {methods}"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

/// The answer that tells an error.
fn told(error: &Error) -> Answer {
    let status = match error {
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::WrongState(_) | Error::NotRunning { .. } => StatusCode::CONFLICT,
        Error::ChooseStart(_) | Error::Invalid(_) => StatusCode::BAD_REQUEST,
        Error::Unfit(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Busy => StatusCode::TOO_MANY_REQUESTS,
        Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut answer = failed(status, &error.to_string());
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// A body as it came, with its content type.
fn body(status: StatusCode, content_type: &str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    if let (false, Ok(value)) = (content_type.is_empty(), HeaderValue::from_str(content_type)) {
        answer.headers_mut().insert(CONTENT_TYPE, value);
    }
    answer
}
