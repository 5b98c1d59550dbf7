//! Services on loopback that live in the test: a closure answers, every call is remembered.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;
type Handler = Arc<dyn Fn(Call) -> BoxFuture<'static, Answer> + Send + Sync>;

/// How long to wait for the port of a service that was stopped.
const REBIND: Duration = Duration::from_secs(30);

/// One request to a service.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// When its head had arrived.
    pub at: Instant,
}

impl Call {
    /// A header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The idempotency key.
    pub fn key(&self) -> &str {
        self.header("idempotency-key")
    }

    /// The instance that it was called for.
    pub fn instance(&self) -> &str {
        self.header("x-rexflow-iid")
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// What a service answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// 200 with JSON.
    Json(Value),
    /// A status, a content type and a body.
    Other(u16, &'static str, Bytes),
    /// 202: it has taken the work and calls back.
    Asynchronous,
    /// Part of what `content-length` promises, then the connection is closed.
    Partial,
    /// A body that never ends.
    Endless,
}

impl Answer {
    fn response(self) -> Response<Body> {
        let whole = |bytes: Bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
        let builder = Response::builder();
        let response = match self {
            Answer::Json(value) => {
                builder.header("content-type", "application/json").body(whole(value.to_string().into()))
            }
            Answer::Other(status, kind, bytes) => {
                builder.status(StatusCode::from_u16(status).unwrap()).header("content-type", kind).body(whole(bytes))
            }
            Answer::Asynchronous => {
                builder.status(StatusCode::ACCEPTED).header("x-rexflow-asynchronous", "true").body(whole(Bytes::new()))
            }
            Answer::Partial => {
                let broken = std::io::Error::other("closed in the middle on purpose");
                let parts = [Ok(Frame::data(Bytes::from_static(b"{\"a\":"))), Err(broken)];
                let body = StreamBody::new(futures_util::stream::iter(parts)).boxed_unsync();
                builder.header("content-type", "application/json").header("content-length", "100").body(body)
            }
            Answer::Endless => {
                let parts =
                    futures_util::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[b' '; 16 << 10]))));
                builder.header("content-type", "application/json").body(StreamBody::new(parts).boxed_unsync())
            }
        };
        response.unwrap()
    }
}

/// A running service; gone when this is dropped.
pub struct Service {
    address: SocketAddr,
    handler: Handler,
    calls: Arc<Mutex<Vec<Call>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts a service that answers with what `handler` says. `GET` is a probe: answered 200, not remembered.
    pub async fn start<F>(handler: impl Fn(Call) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |call| Box::pin(handler(call)) as Pin<Box<_>>);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, super::free_port()));
        let mut service = Self { address, handler, calls: Arc::default(), accepting: None };
        service.resume().await;
        service
    }

    /// One that adds `"NAME": VALUE` to the object it is sent.
    pub async fn adding(name: &'static str, value: impl Into<Value>) -> Self {
        let value = value.into();
        Self::start(move |call| {
            let mut body = call.json();
            body[name] = value.clone();
            async move { Answer::Json(body) }
        })
        .await
    }

    /// One that adds one to the number `NAME` of the object it is sent.
    pub async fn counting(name: &'static str) -> Self {
        Self::start(move |call| {
            let mut body = call.json();
            body[name] = (body[name].as_i64().unwrap_or(0) + 1).into();
            async move { Answer::Json(body) }
        })
        .await
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops listening and closes every connection: connections are refused from now on.
    pub async fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    /// Listens again, at the same place.
    pub async fn resume(&mut self) {
        self.stop().await;
        let deadline = tokio::time::Instant::now() + REBIND;
        let listener = loop {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            match socket.bind(self.address).and_then(|()| socket.listen(1024)) {
                Ok(listener) => break listener,
                // a connection of somebody else's may have been given the port meanwhile; it goes away
                Err(why) => assert!(tokio::time::Instant::now() < deadline, "{}: {why}", self.address),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.accepting = Some(tokio::spawn(accept(listener, self.handler.clone(), self.calls.clone())));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
    }
}

async fn accept(listener: TcpListener, handler: Handler, calls: Arc<Mutex<Vec<Call>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (handler, calls) = (handler.clone(), calls.clone());
        connections.spawn(async move {
            let serve = service_fn(move |request| answer(request, handler.clone(), calls.clone()));
            // A caller that goes away is part of many tests.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), serve).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: Request<Incoming>,
    handler: Handler,
    calls: Arc<Mutex<Vec<Call>>>,
) -> Result<Response<Body>, Infallible> {
    if request.method() == Method::GET {
        return Ok(Answer::Other(200, "text/plain", Bytes::from_static(b"ok")).response());
    }
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(Answer::Other(400, "text/plain", Bytes::new()).response());
    };
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let call = Call { method: head.method, path, headers: head.headers, body: body.to_bytes(), at };
    calls.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
    Ok(handler(call).await.response())
}

/// A server that reads something and answers with `bytes`, whatever they are, and closes. Its URL.
pub async fn raw_service(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                if stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(bytes).await;
                }
            });
        }
    });
    format!("http://{address}")
}
