//! Calls a task's container: one HTTP/1.1 exchange over a kept connection.
//!
//! Promises: a call ends by its deadline whatever the task does, takes no more than the bytes it
//! was allowed, follows no redirect, reads no proxy from the environment, and ends at once when its
//! future is dropped. A request is sent a second time only if nothing of it had been written (the
//! task had closed the kept connection meanwhile); all other repetition is the caller's decision.
//!
//! It does not judge an answer: what a status means for the token is decided elsewhere.

mod failure;
mod pool;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

pub use failure::CallFailure;
use pool::{Connection, Pool};

/// The header by which a task names a BPMN error.
pub const ERROR_CODE: HeaderName = HeaderName::from_static("x-rexflow-error-code");

/// Headers that belong to one connection and are never passed on (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

/// One call.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// Where the task is: `http://host:port`, with a path before [`Self::path`] if it has one.
    pub base: String,
    /// HTTP method.
    pub method: Method,
    /// Path and query behind the base; empty or `/` means the base itself.
    pub path: String,
    /// Headers to send; those of a connection, `host` and `content-length` are left out.
    pub headers: HeaderMap,
    /// What to send.
    pub body: Bytes,
    /// Limit for the whole exchange, from connecting to the answer's last byte.
    pub timeout: Duration,
    /// Limit for the answer's body, in bytes.
    pub max_answer_bytes: usize,
}

/// A task's whole answer, of any status.
#[derive(Clone, Debug)]
pub struct TaskAnswer {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers without those of the connection.
    pub headers: HeaderMap,
    /// The body, decoded from its transfer coding alone.
    pub body: Bytes,
}

/// Calls tasks and keeps connections to them. Clones share the connections.
#[derive(Clone, Debug, Default)]
pub struct TaskClient {
    pool: Pool,
}

// === impl TaskClient ===

impl TaskClient {
    /// A client without connections yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a request and reads the whole answer. Dropping the future aborts the exchange.
    pub async fn call(&self, request: TaskRequest) -> Result<TaskAnswer, CallFailure> {
        let deadline = Instant::now() + request.timeout;
        let (authority, limit) = (authority(&request.base)?, request.max_answer_bytes);
        let exchange = self.exchange(&authority, request, deadline, limit);
        timeout_at(deadline, exchange).await.map_err(|_| CallFailure::TimedOut)?
    }

    /// Sends a request over a connection of its own and returns the status, without the body.
    pub async fn status(&self, request: TaskRequest) -> Result<StatusCode, CallFailure> {
        let deadline = Instant::now() + request.timeout;
        let authority = authority(&request.base)?;
        let head = async {
            let mut connection = Connection::open(&authority, deadline).await?;
            let request = encode(request, &authority)?;
            let answer = connection.sender.send_request(request).await?;
            Ok(answer.status())
        };
        timeout_at(deadline, head).await.map_err(|_| CallFailure::TimedOut)?
    }

    async fn exchange(
        &self,
        authority: &str,
        request: TaskRequest,
        deadline: Instant,
        limit: usize,
    ) -> Result<TaskAnswer, CallFailure> {
        let mut request = encode(request, authority)?;
        let (connection, answer) = loop {
            let kept = self.pool.take(authority).await;
            let reused = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => Connection::open(authority, deadline).await?,
            };
            match connection.sender.try_send_request(request).await {
                Ok(answer) => break (connection, answer),
                Err(mut failed) => match failed.take_message().filter(|_| reused) {
                    // Nothing was written: a kept connection had been closed by the task.
                    Some(unsent) => request = unsent,
                    None => return Err(failed.into_error().into()),
                },
            }
        };
        let answer = read(answer, limit).await?;
        self.pool.put(authority, connection);
        Ok(answer)
    }
}

// === impl TaskAnswer ===

impl TaskAnswer {
    /// The `content-type`, if it is text.
    pub fn content_type(&self) -> Option<&str> {
        self.text(&header::CONTENT_TYPE)
    }

    /// The code of a BPMN error ([`ERROR_CODE`]), if the task names one.
    pub fn error_code(&self) -> Option<&str> {
        self.text(&ERROR_CODE).filter(|code| !code.is_empty())
    }

    /// How long to wait before the next attempt. The form with a date is ignored, since it needs
    /// both clocks to agree.
    pub fn retry_after(&self) -> Option<Duration> {
        self.text(&header::RETRY_AFTER)?.trim().parse().map(Duration::from_secs).ok()
    }

    fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Host and port to connect to.
pub(crate) fn authority(base: &str) -> Result<String, CallFailure> {
    let invalid = |why| CallFailure::Invalid(format!("task URL {base}: {why}"));
    let uri: Uri = base.parse().map_err(|error| invalid(format!("{error}")))?;
    if uri.scheme() == Some(&Scheme::HTTPS) {
        return Err(invalid("https is not supported, use http to a proxy on loopback".into()));
    }
    match (uri.scheme() == Some(&Scheme::HTTP), uri.authority()) {
        (true, Some(authority)) if !authority.as_str().contains('@') => Ok(match authority.port() {
            Some(_) => authority.as_str().to_owned(),
            None => format!("{}:80", authority.host()),
        }),
        _ => Err(invalid("expected http://HOST:PORT[/PATH]".into())),
    }
}

fn encode(request: TaskRequest, authority: &str) -> Result<Request<Full<Bytes>>, CallFailure> {
    let TaskRequest { base, method, path, mut headers, body, .. } = request;
    let target = target(&base, &path)?;
    drop_hop_by_hop(&mut headers);
    headers.remove(header::CONTENT_LENGTH);
    let host = HeaderValue::from_str(authority.strip_suffix(":80").unwrap_or(authority));
    headers.insert(header::HOST, host.map_err(|error| CallFailure::Invalid(error.to_string()))?);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    Ok(request)
}

/// Path and query to ask for: the base's path, then the request's.
fn target(base: &str, path: &str) -> Result<PathAndQuery, CallFailure> {
    let after_scheme = base.split_once("://").map_or(base, |(_, rest)| rest);
    let prefix = after_scheme.find(['/', '?']).map_or("", |at| &after_scheme[at..]);
    let joined = match (prefix, path) {
        ("" | "/", "") => "/".to_owned(),
        (prefix, "" | "/") if !prefix.is_empty() => prefix.to_owned(),
        (prefix, path) if path.starts_with(['/', '?']) => {
            format!("{}{path}", prefix.trim_end_matches('/'))
        }
        (prefix, path) => format!("{}/{path}", prefix.trim_end_matches('/')),
    };
    let target = if joined.starts_with('?') { format!("/{joined}") } else { joined };
    target.parse().map_err(|error| CallFailure::Invalid(format!("task path {target}: {error}")))
}

async fn read(answer: Response<Incoming>, limit: usize) -> Result<TaskAnswer, CallFailure> {
    let (mut head, mut body) = answer.into_parts();
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(CallFailure::Garbage("it switches protocols".into()));
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(CallFailure::TooLarge { limit });
    }
    let (mut first, mut more) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        // Trailers say nothing that a token needs.
        let Ok(data) = frame?.into_data() else { continue };
        if first.len() + more.len() + data.len() > limit {
            return Err(CallFailure::TooLarge { limit });
        }
        match first.is_empty() {
            // Most answers are one frame, passed on as it is.
            true => first = data,
            false => more.extend_from_slice(&data),
        }
    }
    let body = match more.is_empty() {
        true => first,
        false => [first, more.freeze()].concat().into(),
    };
    drop_hop_by_hop(&mut head.headers);
    Ok(TaskAnswer { status: head.status, headers: head.headers, body })
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}
