//! The webhook that puts sidecars into pods when they are made (`AdmissionReview`, admission.k8s.io/v1).
//!
//! Promises: whatever is asked is answered with `allowed: true`; a pod that gets no sidecar is told why, as a warning that `kubectl` shows. Serves
//! on every flowd, leading or not. Its certificate is renewed while it serves.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::admin;
use runtime::drain::DrainWatcher;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::Settings;
use super::inject::{self, Outcome};

/// Where it listens.
const PATH: &str = "/inject";
/// The largest review: a pod is at most 1.5 MB in etcd, and comes with its older self.
const MAX_REVIEW: usize = 4 << 20;
/// How long a review may take to arrive, and a connection may take to open.
const WITHIN: Duration = Duration::from_secs(10);
/// Connections at a time.
const CONNECTIONS: usize = 64;

/// Serves until the drain, with the certificate that is in force.
pub(crate) async fn run(
    listener: TcpListener,
    certificate: watch::Receiver<Option<Arc<ServerConfig>>>,
    settings: Settings,
    mut drain: DrainWatcher,
) {
    let serving = accept(listener, certificate, Arc::new(settings), drain.clone());
    tokio::select! {
        biased;
        () = drain.signaled() => {}
        () = serving => {}
    }
}

async fn accept(
    listener: TcpListener,
    certificate: watch::Receiver<Option<Arc<ServerConfig>>>,
    settings: Arc<Settings>,
    drain: DrainWatcher,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of the API server; trying again");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // without a certificate nobody is answered, and the API server goes on without us
        let Some(config) = certificate.borrow().clone() else { continue };
        let (settings, drain) = (settings.clone(), drain.clone());
        tokio::spawn(async move {
            connection(tcp, config, settings, drain).await;
            drop(place);
        });
    }
}

async fn connection(tcp: TcpStream, config: Arc<ServerConfig>, settings: Arc<Settings>, mut drain: DrainWatcher) {
    let opened = tokio::time::timeout(WITHIN, TlsAcceptor::from(config).accept(tcp)).await;
    let stream = match opened {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a caller of the webhook broke off"),
        Err(_) => return,
    };
    let service = service_fn(move |request| {
        let settings = settings.clone();
        async move { Ok::<_, std::convert::Infallible>(answer(request, &settings).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = &mut serving => {}
        () = drain.signaled() => {
            serving.as_mut().graceful_shutdown();
            let _ = serving.await;
        }
    }
}

async fn answer(request: Request<Incoming>, settings: &Settings) -> Response<Full<Bytes>> {
    let plain = |status, text: String| admin::text(status, "text/plain; charset=utf-8", text);
    if request.uri().path() != PATH || request.method() != http::Method::POST {
        return plain(StatusCode::NOT_FOUND, format!("only POST {PATH} is here\n"));
    }
    let body = match admin::read_body(request.into_body(), MAX_REVIEW, WITHIN).await {
        Ok(body) => body,
        Err(error) => return plain(error.status(), format!("{error}\n")),
    };
    match serde_json::from_slice::<Value>(&body) {
        Ok(asked) if asked["request"]["uid"].is_string() => {
            let reviewed = review(&asked, settings).to_string();
            admin::text(StatusCode::OK, "application/json", reviewed)
        }
        _ => plain(StatusCode::BAD_REQUEST, "this is no AdmissionReview\n".to_owned()),
    }
}

/// The answer to a review. Pure.
fn review(asked: &Value, settings: &Settings) -> Value {
    let request = &asked["request"];
    let mut response = json!({"uid": request["uid"], "allowed": true});
    let namespace = request["namespace"].as_str().unwrap_or("default");
    match inject::inject(&request["object"], namespace, settings) {
        Outcome::Unchanged => {}
        Outcome::Skipped(why) => response["warnings"] = json!([format!("no flow-sidecar: {why}")]),
        Outcome::Injected(pod) => {
            let patch = json_patch::diff(&request["object"], &pod);
            let patch = serde_json::to_vec(&patch).expect("a patch is JSON");
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(BASE64_STANDARD.encode(patch));
        }
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

#[cfg(test)]
mod tests {
    use super::super::Flags;
    use super::*;

    fn asked(object: Value) -> Value {
        json!({"request": {"uid": "1", "namespace": "shop", "object": object}})
    }

    #[test]
    fn the_patch_makes_the_injected_pod_of_the_one_that_was_sent() {
        let settings = Settings::of(&Flags::default(), 9003);
        let pod = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1}]}]}});
        let answer = review(&asked(pod.clone()), &settings);
        assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&json!("1"), &json!(true)));
        let patch = BASE64_STANDARD.decode(answer["response"]["patch"].as_str().unwrap()).unwrap();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        let mut patched = pod.clone();
        json_patch::patch(&mut patched, &patch).unwrap();
        let Outcome::Injected(wanted) = inject::inject(&pod, "shop", &settings) else { panic!("it gets one") };
        assert_eq!(patched, *wanted);
        assert!(review(&asked(patched), &settings)["response"]["patch"].is_null(), "twice is once");
    }

    #[test]
    fn a_pod_that_gets_none_is_let_in_and_told_why() {
        let settings = Settings::of(&Flags::default(), 9003);
        let answer = review(&asked(json!({"spec": {"containers": [{"name": "a"}]}})), &settings);
        assert_eq!(answer["response"]["allowed"], true);
        assert!(answer["response"]["warnings"][0].as_str().unwrap().contains("which service"));
    }
}
