//! A small HTTP/1 server, and the ready-made answers for `/health`, `/ready` and `/metrics`.
//!
//! Promises: bounded in connections ([`crate::tls::Limits`]), headers ([`MAX_HEADERS`], [`MAX_HEAD`]) and the time
//! a client may take for them; idle connections are closed; at the drain it stops accepting, lets the requests
//! that run finish, and is cut off by whoever set the drain's deadline. Every request carries
//! [`PeerIdentity`] in its extensions. Bodies are limited by [`read_body`].

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming as RequestBody};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;

use crate::drain::DrainWatcher;
use crate::metrics::{Exposition, Format};
use crate::readiness::Readiness;
use crate::tls::{Incoming, PeerIdentity, Stream};

/// Header lines a request may have.
pub const MAX_HEADERS: usize = 64;
/// Bytes that the head of a request may take.
pub const MAX_HEAD: usize = 16 * 1024;
/// How long a client may take to send the head of a request, and how long an idle connection stays open.
pub const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may take to send the body of a request.
pub const BODY_WITHIN: Duration = Duration::from_secs(30);

const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves `incoming` with `handler` until the drain, then finishes what runs.
pub async fn serve<H, F, B>(mut incoming: Incoming, mut drain: DrainWatcher, handler: H)
where
    H: Fn(Request<RequestBody>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = drain.signaled() => break,
            Some(_) = connections.join_next() => {}
            accepted = incoming.accept() => match accepted {
                Some(stream) => {
                    connections.spawn(connection(stream, drain.clone(), handler.clone()));
                }
                None => break,
            }
        }
    }
    drop(incoming);
    while connections.join_next().await.is_some() {}
}

async fn connection<H, F, B>(stream: Stream, mut drain: DrainWatcher, handler: H)
where
    H: Fn(Request<RequestBody>) -> F + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let peer: PeerIdentity = stream.peer().clone();
    let service = service_fn(move |mut request: Request<RequestBody>| {
        request.extensions_mut().insert(peer.clone());
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = drain.signaled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is larger than allowed (answer 413).
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The client broke off (answer 400).
    #[error("the body could not be read: {0}")]
    Broken(String),
    /// The client took too long (answer 408).
    #[error("the body did not arrive within {0:?}")]
    TimedOut(Duration),
}

impl BodyError {
    /// The status that tells the client.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::TimedOut(_) => StatusCode::REQUEST_TIMEOUT,
        }
    }
}

/// How much of a body that is too large is read before it is refused, in bytes.
const SKIPPED: usize = 16 << 20;
/// How long that may take.
const SKIP_WITHIN: Duration = Duration::from_secs(2);

/// Reads a body of at most `limit` bytes that arrives within `time`.
///
/// # Errors
/// See [`BodyError`].
pub async fn read_body<B>(body: B, limit: usize, time: Duration) -> Result<Bytes, BodyError>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = std::pin::pin!(body);
    if body.size_hint().lower() <= limit as u64 {
        match tokio::time::timeout(time, Limited::new(body.as_mut(), limit).collect()).await {
            Err(_) => return Err(BodyError::TimedOut(time)),
            Ok(Ok(collected)) => return Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {}
            Ok(Err(error)) => return Err(BodyError::Broken(error.to_string())),
        }
    }
    // A client that is still sending when the connection closes may never see why it was refused.
    let _ = tokio::time::timeout(SKIP_WITHIN, skip(body)).await;
    Err(BodyError::TooLarge(limit))
}

/// Reads on without keeping anything, up to [`SKIPPED`] bytes.
async fn skip<B: Body>(mut body: std::pin::Pin<&mut B>) {
    let mut skipped = 0;
    while let Some(Ok(frame)) = body.frame().await {
        skipped += frame.data_ref().map_or(0, bytes::Buf::remaining);
        if skipped > SKIPPED {
            return;
        }
    }
}

/// A response of `status` with a text of `content_type`.
#[must_use]
pub fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What an operator asks a process: is it alive, does it serve, what does it count.
#[derive(Clone, Debug)]
pub struct Admin {
    readiness: Readiness,
    answers: Option<Readiness>,
    counted: Exposition,
}

impl Admin {
    /// Answers from `readiness` and what is `counted`.
    #[must_use]
    pub fn new(readiness: Readiness, counted: Exposition) -> Self {
        Self { readiness, answers: None, counted }
    }

    /// Answers `/answers` from `answers`, too: whether calls are answered at all, if not by this process itself.
    #[must_use]
    pub fn answering(self, answers: Readiness) -> Self {
        Self { answers: Some(answers), ..self }
    }

    /// Answers `/health`, `/ready`, `/metrics` and what [`Admin::answering`] adds; `None` for every other path.
    #[must_use]
    pub fn answer<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        let (method, path) = (request.method(), request.uri().path());
        let answers = self.answers.as_ref().filter(|_| path == "/answers");
        if answers.is_none() && !matches!(path, "/health" | "/ready" | "/metrics") {
            return None;
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(refused);
        }
        Some(match (path, answers) {
            (_, Some(answers)) => ready(answers),
            ("/health", _) => text(StatusCode::OK, PLAIN, "ok\n"),
            ("/ready", _) => ready(&self.readiness),
            _ => self.metrics(request.headers()),
        })
    }

    /// The whole handler for a process that offers nothing else: 404 for other paths.
    #[must_use]
    pub fn handle<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let here = self.answer(request);
        here.unwrap_or_else(|| text(StatusCode::NOT_FOUND, PLAIN, "not here; try /health, /ready or /metrics\n"))
    }

    /// Serves nothing but these answers on `incoming` until the drain.
    pub async fn serve(self, incoming: Incoming, drain: DrainWatcher) {
        serve(incoming, drain, move |request| {
            let answer = self.handle(&request);
            async move { answer }
        })
        .await;
    }

    fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let format = Format::asked(headers);
        match self.counted.text(format) {
            Ok(body) => text(StatusCode::OK, format.content_type(), body),
            Err(error) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("cannot encode the metrics: {error}\n"))
            }
        }
    }
}

fn ready(readiness: &Readiness) -> Response<Full<Bytes>> {
    let awaited = readiness.awaited();
    if awaited.is_empty() {
        return text(StatusCode::OK, PLAIN, "ready\n");
    }
    let body = format!("not ready, waiting for: {}\n", awaited.join(", "));
    text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, body)
}

#[cfg(test)]
mod tests;
