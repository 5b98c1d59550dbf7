//! Calls a task's container: one HTTP/1.1 exchange over a kept connection.
//!
//! Promises: a call ends by its deadline whatever the task does, takes no more than the bytes it
//! was allowed, follows no redirect, reads no proxy from the environment, and ends at once when its
//! future is dropped. A request is sent a second time only if nothing of it had been written (the
//! task had closed the kept connection meanwhile); all other repetition is the caller's decision.
//!
//! It does not judge an answer: what a status means for the token is decided elsewhere.

mod body;
mod exchange;
mod failure;
mod head;
mod pool;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http::uri::{PathAndQuery, Scheme};
use http::{Method, StatusCode, Uri};
use tokio::time::{Instant, timeout_at};

use exchange::{Broken, Connection};
pub use failure::CallFailure;
pub use head::{ASYNCHRONOUS, ERROR_CODE, Fields, TaskAnswer};
use pool::Pool;

/// One call.
#[derive(Clone, Debug)]
pub struct TaskRequest {
    /// Where the task is: `http://host:port`, with a path before [`Self::path`] if it has one.
    pub base: String,
    /// HTTP method.
    pub method: Method,
    /// Path and query behind the base; empty or `/` means the base itself.
    pub path: String,
    /// Headers to send.
    pub fields: Fields,
    /// What to send.
    pub body: Bytes,
    /// Limit for the whole exchange, from connecting to the answer's last byte.
    pub timeout: Duration,
    /// Limit for the answer's body, in bytes.
    pub max_answer_bytes: usize,
}

/// Calls tasks and keeps connections to them. Clones share the connections.
#[derive(Clone, Debug, Default)]
pub struct TaskClient {
    pool: Pool,
    targets: Arc<Mutex<Targets>>,
}

/// Where calls went before, by base and path: parsed once.
type Targets = HashMap<String, HashMap<String, Arc<Target>>>;

/// Paths remembered; a mapping may make any number of them.
const MAX_TARGETS: usize = 256;

/// Where a call goes.
#[derive(Debug)]
struct Target {
    authority: String,
    /// `TARGET HTTP/1.1` and the host, as they stand in a request behind the method.
    line: Vec<u8>,
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
        let target = self.target(&request.base, &request.path)?;
        let exchange = self.exchange(&target, &request, deadline);
        timeout_at(deadline, exchange).await.map_err(|_| CallFailure::TimedOut)?
    }

    /// Sends a request over a connection of its own and returns the status, without the body.
    pub async fn status(&self, request: TaskRequest) -> Result<StatusCode, CallFailure> {
        let deadline = Instant::now() + request.timeout;
        let target = self.target(&request.base, &request.path)?;
        let head = async {
            let mut connection = Connection::open(&target.authority, deadline).await?;
            let write_head = |bytes: &mut Vec<u8>| head(&request, &target, bytes);
            connection.status(&request.method, write_head, &request.body).await.map_err(failure)
        };
        timeout_at(deadline, head).await.map_err(|_| CallFailure::TimedOut)?
    }

    async fn exchange(
        &self,
        target: &Target,
        request: &TaskRequest,
        deadline: Instant,
    ) -> Result<TaskAnswer, CallFailure> {
        loop {
            let kept = self.pool.take(&target.authority);
            let reused = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => Connection::open(&target.authority, deadline).await?,
            };
            let write_head = |bytes: &mut Vec<u8>| head(request, target, bytes);
            let limit = request.max_answer_bytes;
            match connection.exchange(&request.method, write_head, &request.body, limit).await {
                Ok((answer, keep)) => {
                    if keep {
                        self.pool.put(&target.authority, connection);
                    }
                    return Ok(answer);
                }
                // A kept connection had been closed by the task.
                Err(Broken::Unsent(_)) if reused => {}
                Err(broken) => return Err(failure(broken)),
            }
        }
    }

    fn target(&self, base: &str, path: &str) -> Result<Arc<Target>, CallFailure> {
        // Held for a look-up or an insertion only, which leave it sound.
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(base).and_then(|paths| paths.get(path)) {
            return Ok(target.clone());
        }
        let authority = authority(base)?;
        let host = HeaderValue::from_str(authority.strip_suffix(":80").unwrap_or(&authority));
        let host = host.map_err(|error| CallFailure::Invalid(error.to_string()))?;
        let mut line = target(base, path)?.as_str().as_bytes().to_vec();
        line.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        line.extend_from_slice(host.as_bytes());
        line.extend_from_slice(b"\r\n");
        let target = Arc::new(Target { authority, line });
        if targets.values().map(HashMap::len).sum::<usize>() >= MAX_TARGETS {
            targets.clear();
        }
        targets.entry(base.to_owned()).or_default().insert(path.to_owned(), target.clone());
        Ok(target)
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

/// The head of a request.
fn head(request: &TaskRequest, target: &Target, bytes: &mut Vec<u8>) {
    let TaskRequest { method, fields, body, .. } = request;
    bytes.extend_from_slice(method.as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(&target.line);
    bytes.extend_from_slice(fields.as_bytes());
    let usual = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    if usual || !body.is_empty() {
        bytes.extend_from_slice(b"content-length: ");
        bytes.extend_from_slice(body.len().to_string().as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
}

fn failure(broken: Broken) -> CallFailure {
    match broken {
        Broken::Unsent(error) => CallFailure::Reset(error.to_string()),
        Broken::Failed(failure) => failure,
    }
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
