//! SIGTERM of a sidecar: it finishes what it runs, hands over the rest, and nothing runs twice.

use std::collections::BTreeMap;
use std::time::Duration;

use flow_tests::harness::{Answer, Load, Mesh, Model, PATIENCE, Programs, Service, eventually};
use serde_json::json;

/// Takes long enough to be under way when its sidecar is told to go.
async fn slow() -> Service {
    Service::start(|call| async move {
        tokio::time::sleep(Duration::from_millis(60)).await;
        Answer::Json(json!({ call.header("x-rexflow-tid"): true }))
    })
    .await
}

fn assert_each_ran_once(service: &Service) {
    let mut calls = BTreeMap::<(String, String), usize>::new();
    for call in service.calls() {
        *calls.entry((call.instance().into(), call.header("x-rexflow-tid").into())).or_default() += 1;
    }
    let several: Vec<_> = calls.iter().filter(|(_, calls)| **calls > 1).collect();
    assert!(several.is_empty(), "run twice needlessly: {several:?}");
}

#[tokio::test]
async fn a_sidecar_that_is_told_to_go_under_load_loses_nothing_and_nothing_runs_twice() {
    let service = slow().await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("first", &service.url())]).await;
    for _ in 0..2 {
        mesh.sidecar(&[("second", &service.url())]).await;
    }
    mesh.sidecar(&[("third", &service.url())]).await;
    let id = mesh.deploy(Model::row("drained", &["first", "second", "third"]).xml()).await;
    let load = Load::start(mesh.url(&format!("/start/{id}")), "drain", 40, |n| json!({"n": n}));
    for victim in [1, 2, 1] {
        let before = service.calls().len();
        eventually("the load to be under way", PATIENCE, async || {
            let calls = service.calls().len() - before;
            if calls > 60 { Ok(()) } else { Err(format!("{calls} calls so far")) }
        })
        .await;
        let status = mesh.sidecars[victim].process.terminate().await;
        assert!(status.success(), "a drain ends cleanly: {status}");
        mesh.sidecars[victim].start_again().await;
    }
    let accepted = load.stop().await;
    for (n, instance) in &mesh.all_completed(&accepted, PATIENCE).await {
        let expected = json!({"n": n, "first": true, "second": true, "third": true});
        assert_eq!(instance["result"], expected, "{instance}");
    }
    assert_each_ran_once(&service);
    assert_eq!(service.calls().len(), 3 * accepted.len());
}

/// What a kubelet does: it announces the end, and sends SIGTERM when the task's container has ended.
#[tokio::test]
async fn a_sidecar_whose_end_was_announced_still_hands_over_when_sigterm_comes() {
    let mut service = slow().await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("first", &service.url())]).await;
    let id = mesh.deploy(Model::row("announced", &["first"]).xml()).await;
    service.stop().await;
    let mut waiting = Vec::new();
    for n in 0..5 {
        waiting.push(mesh.begin(&id, &json!({"n": n})).await);
    }
    let sidecar = &mut mesh.sidecars[0];
    let folder = sidecar.folder().display().to_string();
    let drain =
        std::process::Command::new(Programs::get().sidecar()).args(["drain", "--data-dir", &folder]).output().unwrap();
    assert!(drain.status.success(), "{}", String::from_utf8_lossy(&drain.stderr));
    let status = sidecar.process.terminate().await;
    assert!(status.success(), "SIGTERM after the announcement is no second signal: {status}");
    service.resume().await;
    mesh.sidecar(&[("first", &service.url())]).await;
    for (n, id) in waiting.iter().enumerate() {
        assert_eq!(mesh.until(id, "COMPLETED").await["result"], json!({"n": n, "first": true}));
    }
    assert_each_ran_once(&service);
}

#[tokio::test]
async fn the_last_sidecar_of_a_service_leaves_its_tokens_to_whoever_comes_next() {
    let mut service = slow().await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("first", &service.url())]).await;
    let id = mesh.deploy(Model::row("left", &["first"]).xml()).await;
    // The task is down, so that the sidecar holds what it is given.
    service.stop().await;
    let mut waiting = Vec::new();
    for n in 0..5 {
        waiting.push(mesh.begin(&id, &json!({"n": n})).await);
    }
    assert!(mesh.sidecars[0].process.terminate().await.success());
    service.resume().await;
    // Another sidecar with a journal of its own: an heir, not the same one again.
    mesh.sidecar(&[("first", &service.url())]).await;
    for (n, id) in waiting.iter().enumerate() {
        assert_eq!(mesh.until(id, "COMPLETED").await["result"], json!({"n": n, "first": true}));
    }
    assert_each_ran_once(&service);
}
