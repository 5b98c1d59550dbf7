//! Several flowds on one etcd: one leads, the others pass calls on, and one of them takes over when it is gone.

#[path = "../../../control-plane/tests/store/etcd_server.rs"]
#[allow(dead_code, reason = "the store's own tests do more with it")]
mod etcd_server;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use etcd_server::EtcdServer;
use flow_tests::harness::{Load, Mesh, Model, PATIENCE, Service, eventually, request};
use serde_json::json;

/// The lease of a leader that was killed runs out after 10 s at most; the rest is a slow machine's.
const TAKEOVER: Duration = Duration::from_secs(30);

/// What `/ready` says.
async fn ready(mesh: &Mesh) -> (u16, String) {
    match request("GET", &mesh.url("/ready"), &[], "").await {
        Ok(reply) => (reply.status, reply.text()),
        Err(error) => (0, error.to_string()),
    }
}

async fn until_leading(mesh: &Mesh, limit: Duration) {
    eventually("a flowd to lead", limit, async || {
        let (status, said) = ready(mesh).await;
        if status == 200 { Ok(()) } else { Err(format!("{status} {said}")) }
    })
    .await;
}

/// One key per instance: the task ran once for each.
fn runs(service: &Service) -> BTreeSet<String> {
    service.calls().iter().map(|call| call.key().to_owned()).collect()
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn a_standby_passes_calls_on_and_takes_over_when_the_leader_is_killed() {
    let etcd = EtcdServer::start("takeover");
    let store = format!("etcd://{}", etcd.endpoint());
    let mut first = Mesh::start_with(&["--store", &store], &[]).await;
    let mut second = Mesh::start_with(&["--store", &store], &[]).await;
    let (status, said) = ready(&second).await;
    assert!(status == 503 && said.contains(&first.grpc().to_string()), "it names the leader: {status} {said}");
    assert_eq!(ready(&first).await.0, 200);

    // One sidecar knows the leader first, the other the standby: its stream is passed on.
    let (one, two) = (Service::adding("one", true).await, Service::adding("two", true).await);
    first.beside(&second);
    second.beside(&first);
    first.sidecar(&[("one", &one.url())]).await;
    second.sidecar(&[("two", &two.url())]).await;
    let id = second.deploy(Model::row("takeover", &["one", "two"]).xml()).await;
    let before = second.complete(&id, &json!({"n": 0})).await;
    assert_eq!(before["result"], json!({"n": 0, "one": true, "two": true}));
    let map = request("GET", &second.url("/wf_map"), &[], "").await.unwrap();
    assert!(map.status == 200 && map.text().contains(&id), "{}", map.text());
    let expose = format!("action: expose_ingress\nhost: shop.example\nwf_id: {id}\nargs: {{path: /orders}}\n");
    second.flowctl.run_with(&["update", "-"], expose.as_bytes()).await.expect_code(0);
    let mut exposed = Vec::new();
    for mesh in [&first, &second] {
        let headers = [("host", "shop.example"), ("content-type", "application/json")];
        let started =
            request("POST", &mesh.url("/orders/wrapper"), &headers, json!({"n": 1}).to_string()).await.unwrap();
        assert_eq!((started.status, started.json()["n"].clone()), (200, json!(1)), "{}", started.text());
        exposed.push(started.header("x-rexflow-iid").to_owned());
        let own = request("POST", &mesh.url(&format!("/start/{id}")), &headers, "{}").await.unwrap();
        assert_eq!(own.status, 404, "under a host that is exposed nothing of flowd's own answers: {}", own.text());
        let named = [("x-rexflow-called", "127.0.0.1"), headers[0], headers[1]];
        let own = request("POST", &mesh.url(&format!("/start/{id}")), &named, "{}").await.unwrap();
        assert_eq!(own.status, 404, "whatever else the caller says: {}", own.text());
    }

    let load = Load::start(second.url(&format!("/start/{id}")), "takeover", 20, |n| json!({"n": n}));
    let accepted = async |more: usize| {
        eventually("accepted starts", TAKEOVER, async || {
            let accepted = load.accepted().len();
            if accepted > more { Ok(accepted) } else { Err(format!("{accepted}")) }
        })
        .await
    };
    accepted(30).await;
    first.flowd.kill().await;
    let killed = Instant::now();
    until_leading(&second, TAKEOVER).await;
    println!("the standby leads after {:?}", killed.elapsed());
    accepted(load.accepted().len() + 30).await;

    let mut accepted = load.stop().await;
    accepted.insert(u64::MAX, before["id"].as_str().unwrap().to_owned());
    accepted.extend([u64::MAX - 1, u64::MAX - 2].into_iter().zip(exposed));
    for (n, instance) in &second.all_completed(&accepted, PATIENCE).await {
        let n = match u64::MAX - *n {
            0 => 0,
            1 | 2 => 1,
            _ => *n,
        };
        assert_eq!(instance["result"], json!({"n": n, "one": true, "two": true}), "{instance}");
        assert_eq!(instance["incidents"], 0, "{instance}");
    }
    assert_eq!((runs(&one).len(), runs(&two).len()), (accepted.len(), accepted.len()), "once for each instance");

    // The one that was killed comes back as a standby, and answers the same.
    first.start_flowd_again().await;
    assert_eq!(ready(&first).await.0, 503);
    assert_eq!(first.instances().await.len(), accepted.len());
    assert_eq!(first.flowctl.json(&["ps", "-d", "-o", "json"]).await[0]["id"], id.as_str());
    // A leader that is told to go hands over at once.
    assert!(second.flowd.terminate().await.success());
    until_leading(&first, TAKEOVER).await;
    assert_eq!(first.complete(&id, &json!({"n": 1})).await["result"], json!({"n": 1, "one": true, "two": true}));
}
