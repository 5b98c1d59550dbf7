//! `flowctl swap`: another service behind a task, at once, under load, without losing anything.

use std::time::Instant;

use flow_tests::harness::{Load, Mesh, Model, PATIENCE, Service, Signal, eventually};
use serde_json::json;

/// start, swapped, end; the task's service is called `task`.
fn model() -> String {
    Model::row("swapped", &["task"]).xml()
}

fn calls_after(service: &Service, moment: Instant) -> usize {
    service.calls().iter().filter(|call| call.at > moment).count()
}

async fn until_called_after(service: &Service, moment: Instant) {
    eventually("calls of the service", PATIENCE, async || {
        let calls = calls_after(service, moment);
        if calls > 10 { Ok(()) } else { Err(format!("{calls} calls so far")) }
    })
    .await;
}

#[tokio::test]
async fn a_swap_under_load_loses_nothing_and_every_later_call_goes_to_the_new_service() {
    let (old, new) = (Service::adding("by", "old").await, Service::adding("by", "new").await);
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("task", &old.url())]).await;
    mesh.sidecar(&[("task", &old.url())]).await;
    let id = mesh.deploy(model()).await;
    let load = Load::start(mesh.url(&format!("/start/{id}")), "swap", 60, |n| json!({"n": n}));
    until_called_after(&old, Instant::now()).await;

    let swapped = mesh.flowctl.json(&["swap", "task", "--url", &new.url(), "-o", "json"]).await;
    let answered = Instant::now();
    assert_eq!(swapped["sidecars"].as_array().map(Vec::len), Some(2), "{swapped}");
    for sidecar in swapped["sidecars"].as_array().unwrap() {
        assert_eq!((&sidecar["service"], &sidecar["error"]), (&json!("task"), &json!("")), "{swapped}");
        assert!(sidecar["url"].as_str().unwrap().starts_with(&new.url()), "{swapped}");
    }
    until_called_after(&new, answered).await;
    assert_eq!(calls_after(&old, answered), 0, "a call that starts after the answer goes to the new service");

    let undone = mesh.flowctl.json(&["swap", "task", "--undo", "-o", "json"]).await;
    let answered = Instant::now();
    assert_eq!(undone["sidecars"].as_array().map(Vec::len), Some(2), "{undone}");
    until_called_after(&old, answered).await;
    assert_eq!(calls_after(&new, answered), 0, "--undo takes it back");

    let accepted = load.stop().await;
    for instance in mesh.all_completed(&accepted, PATIENCE).await.values() {
        let by = instance["result"]["by"].as_str().unwrap();
        assert!(["old", "new"].contains(&by), "{instance}");
        assert_eq!(instance["incidents"], 0);
    }
    assert_eq!(old.calls().len() + new.calls().len(), accepted.len(), "each task ran once");
}

#[tokio::test]
async fn an_unreachable_sidecar_is_named_and_takes_the_new_service_before_it_takes_work_again() {
    let (old, new) = (Service::adding("by", "old").await, Service::adding("by", "new").await);
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("task", &old.url())]).await;
    let id = mesh.deploy(model()).await;
    assert_eq!(mesh.complete(&id, &json!({})).await["result"]["by"], "old");
    mesh.sidecars[0].process.kill().await;
    let waits = mesh.begin(&id, &json!({})).await;

    let hop = mesh.sidecars[0].hop();
    let ran = mesh.flowctl.run(&["swap", "task", "--url", &new.url(), "-o", "json"]).await.expect_code(1);
    let ran = ran.says(&[&hop, "takes the new service before it takes work again"]);
    let swapped = ran.json();
    assert_eq!(swapped["sidecars"][0]["hop_address"], hop.as_str(), "{swapped}");
    assert_ne!(swapped["sidecars"][0]["error"], "", "{swapped}");

    mesh.sidecars[0].start_again().await;
    assert_eq!(mesh.until(&waits, "COMPLETED").await["result"]["by"], "new");
    assert_eq!(mesh.complete(&id, &json!({})).await["result"]["by"], "new");
    assert_eq!(old.calls().len(), 1);
}

#[tokio::test]
async fn a_swap_outlives_a_restart_of_flowd_and_of_the_sidecar() {
    let (old, new) = (Service::adding("by", "old").await, Service::adding("by", "new").await);
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("task", &old.url())]).await;
    let id = mesh.deploy(model()).await;
    mesh.flowctl.run(&["swap", "task", "--url", &new.url(), "--deployment", &id]).await.expect_code(0);
    mesh.flowd.kill().await;
    mesh.sidecars[0].process.kill().await;
    mesh.start_flowd_again().await;
    mesh.sidecars[0].start_again().await;
    assert_eq!(mesh.complete(&id, &json!({})).await["result"]["by"], "new");
    mesh.flowctl.run(&["swap", "nothing", "--url", &new.url()]).await.expect_code(3).says(&["nothing"]);
}

#[tokio::test]
async fn a_frozen_sidecar_is_named_and_takes_the_new_service_before_it_takes_work_again() {
    let (old, new) = (Service::adding("by", "old").await, Service::adding("by", "new").await);
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("task", &old.url())]).await;
    let id = mesh.deploy(model()).await;
    assert_eq!(mesh.complete(&id, &json!({})).await["result"]["by"], "old");
    mesh.sidecars[0].process.signal(Signal::STOP);
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(mesh.begin(&id, &json!({})).await);
    }

    let hop = mesh.sidecars[0].hop();
    let ran = mesh.flowctl.run(&["swap", "task", "--url", &new.url(), "-o", "json"]).await.expect_code(1);
    let swapped = ran.says(&[&hop, "before it takes work again"]).json();
    assert_eq!(swapped["sidecars"][0]["hop_address"], hop.as_str(), "{swapped}");
    assert_ne!(swapped["sidecars"][0]["error"], "", "{swapped}");

    mesh.sidecars[0].process.signal(Signal::CONT);
    for id in waiting {
        assert_eq!(mesh.until(&id, "COMPLETED").await["result"]["by"], "new");
    }
    assert_eq!(old.calls().len(), 1, "what was offered while it was frozen goes to the new service too");
}
