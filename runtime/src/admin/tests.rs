//! The admin server over real sockets, spoken to by hand so that its limits show.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::drain::{self, DrainTrigger};
use crate::memory::ResidentMemory;
use crate::tls::Limits;

async fn incoming(drain: DrainWatcher) -> (Incoming, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let incoming = Incoming::new(listener, None, Limits::default(), drain).unwrap();
    let address = incoming.local_addr();
    (incoming, address)
}

async fn admin(readiness: &Readiness) -> (SocketAddr, DrainTrigger, JoinHandle<()>) {
    let mut registry = Registry::default();
    let hops = Counter::<u64>::default();
    registry.register("flow_hops", "Hops sent", hops.clone());
    registry.register_collector(Box::new(ResidentMemory));
    hops.inc_by(7);
    let (trigger, watcher) = drain::new();
    let (incoming, address) = incoming(watcher.clone()).await;
    let admin = Admin::new(readiness.clone(), Exposition::new(registry, []));
    (address, trigger, tokio::spawn(admin.serve(incoming, watcher)))
}

/// Sends `request` as it is and reads until the server closes.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses early may reset; what it said before counts.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    raw(address, &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn health_readiness_and_metrics_are_told() {
    let readiness = Readiness::new();
    let guard = readiness.register("routing tables");
    let (address, trigger, serving) = admin(&readiness).await;
    assert!(get(address, "/health").await.starts_with("HTTP/1.1 200"));
    let waiting = get(address, "/ready").await;
    assert!(waiting.starts_with("HTTP/1.1 503") && waiting.contains("routing tables"), "{waiting}");
    drop(guard);
    assert!(get(address, "/ready").await.starts_with("HTTP/1.1 200"));
    let metrics = get(address, "/metrics").await;
    assert!(metrics.contains("content-type: text/plain; version=0.0.4"), "{metrics}");
    assert!(metrics.contains("flow_hops_total 7"), "{metrics}");
    if cfg!(target_os = "linux") {
        assert!(metrics.contains("process_resident_memory_bytes "), "{metrics}");
    }
    let accept = "accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1";
    let open =
        raw(address, &format!("GET /metrics HTTP/1.1\r\nhost: a\r\n{accept}\r\nconnection: close\r\n\r\n")).await;
    assert!(
        open.contains("content-type: application/openmetrics-text; version=1.0.0") && open.ends_with("# EOF\n"),
        "{open}"
    );
    assert!(get(address, "/elsewhere").await.starts_with("HTTP/1.1 404"));
    let post = "POST /health HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert!(raw(address, post).await.starts_with("HTTP/1.1 405"));
    trigger.drain();
    serving.await.unwrap();
}

#[tokio::test]
async fn heads_are_limited() {
    let (address, _trigger, _serving) = admin(&Readiness::new()).await;
    let many: String = (0..=MAX_HEADERS).map(|i| format!("x-{i}: 1\r\n")).collect();
    let answer = raw(address, &format!("GET /health HTTP/1.1\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = "x".repeat(2 * MAX_HEAD);
    let answer = raw(address, &format!("GET /health HTTP/1.1\r\nx: {long}\r\n\r\n")).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_running_request_is_finished_at_the_drain() {
    let (trigger, watcher) = drain::new();
    let (incoming, address) = incoming(watcher.clone()).await;
    let begun = Arc::new(tokio::sync::Notify::new());
    let finish = Arc::new(tokio::sync::Notify::new());
    let (begun_here, finish_here) = (begun.clone(), finish.clone());
    let serving = tokio::spawn(serve(incoming, watcher, move |request: Request<RequestBody>| {
        let (begun, finish) = (begun_here.clone(), finish_here.clone());
        async move {
            assert_eq!(request.extensions().get(), Some(&PeerIdentity(None)));
            begun.notify_one();
            finish.notified().await;
            text(StatusCode::OK, PLAIN, "done")
        }
    }));
    // Kept alive by the client, idle: the drain closes it.
    let _idle = TcpStream::connect(address).await.unwrap();
    let asking = tokio::spawn(async move { raw(address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await });
    begun.notified().await;
    trigger.drain();
    finish.notify_one();
    assert!(asking.await.unwrap().ends_with("done"));
    tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn bodies_are_limited() {
    let time = Duration::from_secs(5);
    let body = Full::new(Bytes::from_static(b"12345"));
    assert_eq!(read_body(body.clone(), 5, time).await.unwrap().as_ref(), b"12345");
    let error = read_body(body, 4, time).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
