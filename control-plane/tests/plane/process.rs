//! flowd as a process: its ready line, its end, and starting where it cannot.

use std::process::Stdio;
use std::time::Duration;

use flow_control_plane::{App, Config};
use runtime::drain;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use super::harness::{DEADLINE, Plane, no_task};

async fn refused(config: Config) -> String {
    let (trigger, _) = drain::new();
    let bound = match Box::pin(App::build(config, trigger)).await {
        Err(error) => return format!("{error:#}"),
        Ok(bound) => bound,
    };
    let ended = tokio::time::timeout(DEADLINE, Box::pin(bound.run())).await.expect("it ends by itself");
    format!("{:#}", ended.unwrap_err())
}

#[tokio::test]
async fn the_program_says_ready_and_ends_cleanly_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let mut flowd = Command::new(env!("CARGO_BIN_EXE_flowd"))
        .args(["--port", "0", "--http-port", "0", "--data-dir"])
        .arg(folder.path().join("data"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(flowd.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(line.starts_with("ready grpc=127.0.0.1:") && line.contains(" http=127.0.0.1:"), "{line}");
    let pid = flowd.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let ended = tokio::time::timeout(DEADLINE, flowd.wait()).await.unwrap().unwrap();
    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = refused(Config { port, ..Config::local(folder.path()) }).await;
    assert!(said.contains(&port.to_string()) && said.contains("--port"), "{said}");
    let said = refused(Config { http_port: port, ..Config::local(folder.path()) }).await;
    assert!(said.contains("--http-port"), "{said}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let said = refused(Config::local(file.join("below"))).await;
    assert!(said.contains("--data-dir"), "{said}");

    let plane = Plane::start(folder.path()).await;
    let said = refused(Config::local(folder.path())).await;
    assert!(said.contains("in use by another process"), "{said}");
    plane.stop().await;
}

#[tokio::test]
async fn a_corrupt_store_is_told_and_not_served() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.redb"), vec![7; 8192]).unwrap();
    let said = refused(Config::local(folder.path())).await;
    assert!(said.contains("damaged or not a store"), "{said}");

    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    plane.apply(&no_task("p")).await;
    plane.stop().await;
    {
        use flow_control_plane::store::{AnyStore, Batch, Location, Store as _, Write};
        let store = AnyStore::open(&Location::folder(folder.path()), "").await.unwrap();
        let (key, _) = store.scan(b"d/s/", None, 1).await.unwrap().pop().unwrap();
        store.commit(Batch::one(vec![Write::put(key, "no JSON")])).await.unwrap();
        store.close().await.unwrap();
    }
    let said = refused(Config::local(folder.path())).await;
    assert!(said.contains("deployment p-") && said.contains("backup"), "{said}");
}

#[tokio::test]
async fn whoever_waits_at_the_drain_is_told_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let id = plane.apply(&super::harness::one_task("order")).await.deployments[0].id.clone();
    let role = super::sidecar::Role::answering("approve", "");
    let role = super::sidecar::Role { does: super::sidecar::Does::Holds, ..role };
    let sidecar = super::sidecar::Sidecar::attach(&plane, role).await;
    plane.state(&id, "RUNNING").await;
    let url = plane.url("/start/order?wait=60s");
    let waiting = tokio::spawn(async move {
        let client: hyper_util::client::legacy::Client<_, http_body_util::Full<bytes::Bytes>> =
            hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        client.request(http::Request::post(url).body(Default::default()).unwrap()).await.unwrap().status()
    });
    sidecar.until(|told| told.offered.first().cloned()).await;
    let begun = std::time::Instant::now();
    plane.stop().await;
    assert_eq!(waiting.await.unwrap(), 503);
    assert!(begun.elapsed() < Duration::from_secs(20));
}
