//! The HTTP side of a service: HTTP/1.1, kept connections, one thread.
//!
//! `GET` and `HEAD` answer 200 (a health probe), `POST` and `PUT` answer with the behaviour.
//! Bodies above [`BODY_LIMIT`] are refused with 413. On termination it stops accepting, finishes
//! what it was asked, and gives up on the rest after [`DRAIN`].

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::behaviour::{Answer, Behaviour};
use crate::callback;

/// Largest request body, in bytes.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// How long open requests may take after termination.
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait after a failed accept (out of file descriptors) before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A behaviour with what it needs at run time.
pub(crate) struct Service {
    behaviour: Behaviour,
    fail_percent: u8,
    failures: Mutex<StdRng>,
    delay: Duration,
    later: bool,
}

impl Service {
    /// `fail_percent` of the calls fail (`unreliable-sauce` only), drawn from `seed`. `later`: answers come by callback, where one is wanted.
    pub(crate) fn new(behaviour: Behaviour, fail_percent: u8, seed: u64, delay: Duration, later: bool) -> Self {
        let failures = Mutex::new(StdRng::seed_from_u64(seed));
        Self { behaviour, fail_percent, failures, delay, later }
    }

    fn next_call_fails(&self) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.random_range(0..100) < self.fail_percent
    }

    /// Does the work.
    async fn answer(&self, body: &[u8]) -> Answer {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        self.behaviour.answer(body, self.next_call_fails())
    }

    async fn respond(self: &Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match *request.method() {
            Method::GET | Method::HEAD => response(StatusCode::OK, "text/plain", "ok\n".into()),
            Method::POST | Method::PUT => {
                let url = request.headers().get(callback::URL).and_then(|it| it.to_str().ok()).map(str::to_owned);
                self.work(request.into_body(), url.filter(|_| self.later)).await
            }
            _ => {
                let text = "send POST with JSON, or GET for health\n";
                let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", text.into());
                let allowed = HeaderValue::from_static("GET, HEAD, POST, PUT");
                refused.headers_mut().insert(ALLOW, allowed);
                refused
            }
        }
    }

    async fn work(self: &Arc<Self>, body: Incoming, callback: Option<String>) -> Response<Full<Bytes>> {
        let body = match Limited::new(body, BODY_LIMIT).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                let text = format!("the body is larger than {BODY_LIMIT} bytes\n");
                return response(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", text.into());
            }
            Err(_) => return response(StatusCode::BAD_REQUEST, "text/plain", Bytes::new()),
        };
        if let Some(url) = callback {
            let service = Arc::clone(self);
            tokio::spawn(async move {
                let answer = service.answer(&callback::without_url(&body)).await;
                callback::send(&url, answer).await;
            });
            let mut taken = response(StatusCode::ACCEPTED, "text/plain", Bytes::new());
            taken.headers_mut().insert(callback::TAKEN, HeaderValue::from_static("true"));
            return taken;
        }
        match self.answer(&body).await {
            Answer::Json(value) => response(StatusCode::OK, "application/json", value.to_string().into()),
            Answer::Problem { status, code, title } => {
                let document = json!({ "code": code, "title": title, "status": status });
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                response(status, "application/problem+json", document.to_string().into())
            }
        }
    }
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Completes on SIGTERM or SIGINT. The handlers are in place when this returns.
pub(crate) fn termination() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    })
}

/// Serves until `stop` completes, then drains.
pub(crate) async fn serve(listener: TcpListener, service: Service, stop: impl Future<Output = ()>) {
    let service = Arc::new(service);
    let (drain, draining) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&service), draining.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => (),
        }
    }
    drop(listener);
    drain.send_replace(true);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, finished).await.is_err() {
        eprintln!("example-service: gave up on requests still open after {DRAIN:?}");
    }
}

async fn connection(stream: TcpStream, service: Arc<Service>, mut draining: watch::Receiver<bool>) {
    // A failure here leaves Nagle's algorithm on: slower, not wrong.
    let _ = stream.set_nodelay(true);
    let respond = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.respond(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), respond);
    tokio::pin!(connection);
    // How a connection ends is the caller's affair: it sees its own half of any error.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = draining.wait_for(|draining| *draining) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
