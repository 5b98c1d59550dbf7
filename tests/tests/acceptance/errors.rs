//! Instances that a failure ends as ERROR, the original's default, and `start --force` that runs them again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flow_tests::harness::{Answer, Mesh, Model, PATIENCE, Ran, Service, eventually, request};
use proto::rexflow::flow_daemon_client::FlowDaemonClient;
use proto::rexflow::{RequestKind, StartRequest};
use serde_json::{Value, json};
use tokio::sync::watch;

/// A service that fails until it is told to work; then it adds its name.
async fn fragile(name: &'static str) -> (Service, Arc<AtomicBool>) {
    let works = Arc::new(AtomicBool::new(false));
    let told = works.clone();
    let service = Service::start(move |call| {
        let answer = match told.load(Ordering::SeqCst) {
            true => {
                let mut body = call.json();
                body[name] = json!(true);
                Answer::Json(body)
            }
            false => Answer::Other(500, "text/plain", "boom".into()),
        };
        async move { answer }
    });
    (service.await, works)
}

fn one_task(id: &str) -> String {
    Model::new(id).start("s").task("t", "fragile").end("e").path(&["s", "t", "e"]).xml()
}

async fn force(mesh: &Mesh, instance: &str) -> Ran {
    mesh.flowctl.run(&["start", "--force", instance, "--by", "ann", "--reason", "it works now"]).await
}

#[tokio::test]
async fn flowctl_http_and_the_original_s_daemon_run_an_instance_again_that_has_ended_as_error() {
    let (service, works) = fragile("t").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("fragile", &service.url())]).await;
    let id = mesh.deploy(one_task("hard")).await;
    let mut instances = Vec::new();
    for n in 0..3 {
        let failed = mesh.run(&id, &json!({"n": n})).await.expect_code(5).json();
        assert_eq!((&failed["state"], &failed["error"]["element"]), (&json!("ERROR"), &json!("t")), "{failed}");
        instances.push(failed["id"].as_str().unwrap().to_owned());
    }
    let refused = mesh.flowctl.run(&["start", &instances[0]]).await.expect_code(1);
    refused.says(&["ERROR", "flowctl start --force"]);
    // as often as it takes
    for _ in 0..3 {
        force(&mesh, &instances[0]).await.expect_code(0);
        let again = mesh.until(&instances[0], "ERROR").await;
        assert_eq!(again["error"]["input"], json!({"n": 0}), "{again}");
    }
    works.store(true, Ordering::SeqCst);
    force(&mesh, &instances[0]).await.expect_code(0);
    let url = mesh.url(&format!("/instances/{}/start?force=true&by=ann", instances[1]));
    let posted = request("POST", &url, &[("content-type", "application/json")], r#"{"n": 11}"#).await.unwrap();
    assert_eq!(posted.status, 200, "{}", posted.text());
    let mut daemon = FlowDaemonClient::connect(format!("http://{}", mesh.grpc())).await.unwrap();
    let start = StartRequest { kind: RequestKind::Instance as i32, ids: vec![instances[2].clone()], force: true };
    let started = daemon.start_workflow(start).await.unwrap().into_inner();
    let told: Value = serde_json::from_str(&started.data).unwrap();
    assert_eq!(told, json!({ &instances[2]: {"status": 0, "message": "Retry Succeeded."} }));
    for (instance, n) in instances.iter().zip([0, 11, 2]) {
        let completed = mesh.until(instance, "COMPLETED").await;
        assert_eq!(completed["result"], json!({"n": n, "t": true}), "{completed}");
        assert_eq!((&completed["error"], &completed["incidents"]), (&Value::Null, &json!(0)), "{completed}");
    }
    let described = mesh.flowctl.json(&["describe", &instances[0], "-o", "json"]).await.to_string();
    assert!(described.contains("start t") && described.contains("it works now"), "{described}");
    let listed = mesh.instances().await;
    assert_eq!(listed.len(), 3, "none of them twice: {listed:#?}");
    force(&mesh, &instances[0]).await.expect_code(1).says(&["COMPLETED"]);
    force(&mesh, "hard-00000000-nobody").await.expect_code(3);
    mesh.flowctl.run(&["start", "-d", "--force", &id]).await.expect_code(1).says(&["only instances"]);
}

/// `bad` fails; `slow` does not answer; a timer waits; all are joined before `last`.
fn branches() -> String {
    let model = Model::new("branches").start("s").parallel("fork").parallel("join").end("e");
    let model = model.task("bad", "bad").task("slow", "slow").timer("wait", "PT0.4S").task("last", "last");
    let model = model.path(&["s", "fork", "bad", "join", "last", "e"]).path(&["fork", "slow", "join"]);
    model.path(&["fork", "wait", "join"]).xml()
}

/// Answers nobody until it is told to, then everybody; adds its name.
async fn hanging(name: &'static str) -> (Service, watch::Sender<bool>) {
    let (answers, told) = watch::channel(false);
    let service = Service::start(move |call| {
        let mut told = told.clone();
        async move {
            let _ = told.wait_for(|answers| *answers).await;
            let mut body = call.json();
            body[name] = json!(true);
            Answer::Json(body)
        }
    });
    (service.await, answers)
}

#[tokio::test]
async fn killed_at_any_moment_all_branches_of_an_instance_in_error_go_on_when_it_is_run_again() {
    let (bad, works) = fragile("bad").await;
    let (slow, answers) = hanging("slow").await;
    let last = Service::adding("last", true).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("bad", &bad.url())]).await;
    mesh.sidecar(&[("slow", &slow.url())]).await;
    mesh.sidecar(&[("last", &last.url())]).await;
    let id = mesh.deploy(branches()).await;
    let failed = mesh.run(&id, &json!({"x": 1})).await.expect_code(5).json();
    let instance = failed["id"].as_str().unwrap().to_owned();
    assert_eq!((&failed["state"], &failed["error"]["element"]), (&json!("ERROR"), &json!("bad")), "{failed}");

    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    mesh.sidecars[1].process.kill().await;
    mesh.sidecars[1].start_again().await;
    mesh.until_deployment(&id, "RUNNING").await;
    force(&mesh, &instance).await.expect_code(0);
    mesh.until(&instance, "ERROR").await;
    force(&mesh, &instance).await.expect_code(0);
    mesh.flowd.kill().await;
    mesh.sidecars[0].process.kill().await;
    works.store(true, Ordering::SeqCst);
    answers.send_replace(true);
    mesh.sidecars[0].start_again().await;
    mesh.start_flowd_again().await;
    mesh.until_deployment(&id, "RUNNING").await;

    // the last start may have failed before it was killed
    let completed = eventually("it to complete", PATIENCE, async || {
        let shown = mesh.instance(&instance).await;
        if shown["state"] == "ERROR" {
            force(&mesh, &instance).await;
        }
        if shown["state"] == "COMPLETED" { Ok(shown) } else { Err(shown.to_string()) }
    });
    let completed = completed.await;
    assert_eq!(completed["result"], json!({"x": 1, "bad": true, "slow": true, "last": true}), "{completed}");
    assert_eq!(last.calls().len(), 1, "the join came once");
    let keys: std::collections::BTreeSet<_> = slow.calls().iter().map(|call| call.key().to_owned()).collect();
    assert_eq!(keys.len(), 1, "what was cut off is called again as the same call");
    let keys: std::collections::BTreeSet<_> = bad.calls().iter().map(|call| call.key().to_owned()).collect();
    assert!(keys.len() >= 2, "what failed is called anew");
}

#[tokio::test]
async fn a_deleted_instance_leaves_nothing_behind_and_one_without_its_deployment_says_what_to_do() {
    let (service, works) = fragile("t").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("fragile", &service.url())]).await;
    let id = mesh.deploy(one_task("hard")).await;
    let begin = async || mesh.run(&id, &json!({})).await.expect_code(5).json()["id"].as_str().unwrap().to_owned();
    let (deleted, kept) = (begin().await, begin().await);
    mesh.flowctl.run(&["delete", &deleted]).await.expect_code(0);
    force(&mesh, &deleted).await.expect_code(3);
    mesh.flowctl.run(&["stop", "-d", &id]).await.expect_code(0);
    mesh.until_deployment(&id, "STOPPED").await;
    force(&mesh, &kept).await.expect_code(1).says(&["STOPPED"]);
    mesh.flowctl.run(&["delete", "-d", &id]).await.expect_code(0);
    force(&mesh, &kept).await.expect_code(1).says(&["apply the same file again"]);
    assert_eq!(mesh.deploy(one_task("hard")).await, id);
    works.store(true, Ordering::SeqCst);
    force(&mesh, &kept).await.expect_code(0);
    mesh.until(&kept, "COMPLETED").await;
}
