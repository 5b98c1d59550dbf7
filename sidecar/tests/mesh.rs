//! Tasks and sidecars of a test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use flow_sidecar::app::{App, Bound, Fatal};
use flow_sidecar::config::Config;
use flow_sidecar::tables::{Static, StaticDefinition};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use routing::Incarnation;
use runtime::admin;
use runtime::drain::{self, DrainTrigger, DrainWatcher};
use runtime::tls::{Incoming, Limits};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// Longer than anything takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Waits for something that somebody else brings about.
pub(crate) async fn eventually<F: Future>(what: &str, work: F) -> F::Output {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(done) => done,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// One request that a task got.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What a task does with its n-th request (from 0).
pub(crate) enum Reply {
    Answer(StatusCode, Option<&'static str>, String),
    /// Answers once the test says so.
    Hang,
}

pub(crate) fn ok(body: &str) -> Reply {
    Reply::Answer(StatusCode::OK, None, body.to_owned())
}

/// An HTTP service.
pub(crate) struct Task {
    pub(crate) url: String,
    requests: watch::Sender<Vec<Request>>,
    go: Arc<Notify>,
    _drain: DrainTrigger,
}

impl Task {
    pub(crate) async fn new(reply: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let (trigger, watcher) = drain::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let incoming = Incoming::new(listener, None, Limits::default(), watcher.clone()).unwrap();
        let requests = watch::Sender::new(Vec::new());
        let go = Arc::new(Notify::new());
        tokio::spawn(serve(incoming, watcher, requests.clone(), Arc::new(reply), go.clone()));
        Self { url, requests, go, _drain: trigger }
    }

    /// One that answers every request with this.
    pub(crate) async fn answering(body: &'static str) -> Self {
        Self::new(move |_| ok(body)).await
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.borrow().clone()
    }

    /// Until it has had `n` requests.
    pub(crate) async fn called(&self, n: usize) -> Vec<Request> {
        let mut seen = self.requests.subscribe();
        eventually("calls of a task", seen.wait_for(|requests| requests.len() >= n)).await.unwrap().clone()
    }

    /// Lets one request that hangs go on.
    pub(crate) fn release(&self) {
        self.go.notify_one();
    }
}

async fn serve(
    incoming: Incoming,
    drain: DrainWatcher,
    seen: watch::Sender<Vec<Request>>,
    reply: Arc<impl Fn(usize) -> Reply + Send + Sync + 'static>,
    may: Arc<Notify>,
) {
    let handler = move |request: http::Request<hyper::body::Incoming>| {
        let (seen, reply, may) = (seen.clone(), reply.clone(), may.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = admin::read_body(body, 1 << 24, LIMIT).await.unwrap();
            let mut n = 0;
            seen.send_modify(|all| {
                n = all.len();
                all.push(Request { headers: head.headers, body });
            });
            let (status, code, text) = match reply(n) {
                Reply::Answer(status, code, text) => (status, code, text),
                Reply::Hang => {
                    may.notified().await;
                    (StatusCode::OK, None, r#"{"late":true}"#.to_owned())
                }
            };
            let mut answer = Response::builder().status(status).header("content-type", "application/json");
            if let Some(code) = code {
                answer = answer.header("x-rexflow-error-code", code);
            }
            answer.body(Full::new(Bytes::from(text))).unwrap()
        }
    };
    admin::serve(incoming, drain, handler).await;
}

/// A sidecar that runs; dropping it is a crash (without the loss of what the system has).
pub(crate) struct Sidecar {
    pub(crate) hop: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) incarnation: Incarnation,
    trigger: DrainTrigger,
    running: JoinHandle<Result<(), Fatal>>,
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Sidecar {
    pub(crate) async fn start(config: Config) -> Self {
        let bound: Bound = App::build(config).await.unwrap();
        let (hop, admin, incarnation) = (bound.hop_address, bound.admin_address, bound.incarnation);
        let (trigger, watcher) = drain::new();
        let running = tokio::spawn(bound.run(watcher));
        Self { hop, admin, incarnation, trigger, running }
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn drain(mut self) {
        self.trigger.drain();
        eventually("the end of a drain", &mut self.running).await.unwrap().unwrap();
    }

    /// Ends it in the middle of whatever it does; its folder is free afterwards.
    pub(crate) async fn crash(mut self) {
        self.running.abort();
        let _ = (&mut self.running).await;
    }

    /// What the health port answers, head and all.
    pub(crate) async fn asked(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    /// Waits until `/ready` says something: asked again and again, as a kubelet does.
    pub(crate) async fn says(&self, what: &str) {
        let asked = async {
            while !self.asked("/ready").await.contains(what) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        eventually(&format!("/ready to say {what}"), asked).await;
    }

    /// A metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.asked("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
    }

    /// Waits until a metric has a value: asked again and again, as Prometheus does.
    pub(crate) async fn metric_becomes(&self, name: &str, value: f64) {
        let asked = async {
            while self.metric(name).await != value {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        eventually(&format!("{name} to be {value}"), asked).await;
    }
}

/// Folders of a test, and the configurations made of them.
pub(crate) struct Folders {
    root: TempDir,
    files: Mutex<u32>,
}

impl Folders {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), files: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// A sidecar `name` that serves the service of that name.
    pub(crate) fn config(&self, name: &str, task: &str) -> Config {
        let serves = BTreeMap::from([(name.into(), task.to_owned())]);
        Config { leave: false, ..Config::new(serves, self.root.path().join(name)) }
    }

    /// The same with tables, and the addresses of others.
    pub(crate) fn with_tables(
        &self,
        name: &str,
        task: &str,
        definition: &StaticDefinition,
        endpoints: &[(&str, SocketAddr)],
    ) -> Config {
        let endpoints = endpoints.iter().map(|(name, at)| ((*name).into(), vec![at.to_string()])).collect();
        let fixed = Static { definitions: vec![definition.clone()], endpoints };
        let mut files = self.files.lock().unwrap();
        *files += 1;
        let path = self.root.path().join(format!("tables-{files}.json"));
        std::fs::write(&path, serde_json::to_vec_pretty(&fixed).unwrap()).unwrap();
        Config { tables: Some(path), ..self.config(name, task) }
    }
}
