//! Operators and callers who ask for what does not exist or cannot be: a clear answer, the right exit code, and
//! nothing lost.

use flow_tests::harness::{Answer, Mesh, Model, PATIENCE, Service, eventually, request};
use serde_json::json;
use tokio::sync::watch;

/// A mesh with one deployment whose task answers once the gate is open.
async fn gated() -> (Mesh, Service, watch::Sender<bool>, String) {
    let (gate, open) = watch::channel(false);
    let service = Service::start(move |_| {
        let mut open = open.clone();
        async move {
            let _ = open.wait_for(|open| *open).await;
            Answer::Json(json!({"done": true}))
        }
    })
    .await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("task", &service.url())]).await;
    let id = mesh.deploy(Model::row("gated", &["task"]).xml()).await;
    (mesh, service, gate, id)
}

#[tokio::test]
async fn wrong_ids_are_named_and_end_with_3() {
    let (mesh, _service, _gate, id) = gated().await;
    for words in [
        &["run", "nothing", "{}"][..],
        &["ps", "-i", "nothing"],
        &["ps", "-d", "nothing"],
        &["describe", "nothing"],
        &["trace", "nothing"],
        &["start", "nothing"],
        &["start", "-d", "nothing"],
        &["stop", "nothing"],
        &["stop", "-d", "nothing"],
        &["delete", "nothing"],
        &["delete", "-d", "nothing"],
        &["probe", "nothing"],
        &["swap", "nothing", "--url", "http://127.0.0.1:9/"],
        &["swap", "task", "--url", "http://127.0.0.1:9/", "--deployment", "nothing"],
    ] {
        mesh.flowctl.run(words).await.expect_code(3).says(&["nothing"]);
    }
    // One unknown among known ones does not keep the others from being done, and still fails.
    let one = mesh.begin(&id, &json!({})).await;
    mesh.flowctl.run(&["stop", "-i", "nothing", &one]).await.expect_code(3).says(&["nothing"]);
    mesh.until(&one, "CANCELLED").await;
    let reply = mesh.post_start("nothing", "", &[], &json!({})).await;
    assert_eq!(reply.status, 404, "{}", reply.text());
    assert!(reply.json()["message"].as_str().unwrap().contains("nothing"), "{}", reply.text());
}

#[tokio::test]
async fn deleting_twice_or_while_it_runs_is_refused_and_loses_nothing() {
    let (mesh, _service, gate, id) = gated().await;
    let instance = mesh.begin(&id, &json!({})).await;
    mesh.flowctl.run(&["delete", &instance]).await.expect_code(1).says(&[&instance]);
    mesh.flowctl.run(&["delete", "-d", &id]).await.expect_code(1).says(&[&id]);
    mesh.flowctl.run(&["stop", "-d", &id]).await.expect_code(1).says(&["running"]);
    gate.send_replace(true);
    assert_eq!(mesh.until(&instance, "COMPLETED").await["result"], json!({"done": true}));

    mesh.flowctl.run(&["delete", &instance]).await.expect_code(0);
    mesh.flowctl.run(&["delete", &instance]).await.expect_code(3).says(&[&instance]);
    mesh.flowctl.run(&["stop", "-d", &id]).await.expect_code(0);
    mesh.until_deployment(&id, "STOPPED").await;
    mesh.flowctl.run(&["run", &id, "{}"]).await.expect_code(1).says(&["STOPPED"]);
    mesh.flowctl.run(&["delete", "-d", &id]).await.expect_code(0);
    mesh.flowctl.run(&["delete", "-d", &id]).await.expect_code(3).says(&[&id]);
    assert_eq!(mesh.flowctl.json(&["ps", "-d", "-o", "json"]).await, json!([]));
}

#[tokio::test]
async fn a_stopped_instance_is_cancelled_and_what_comes_late_is_dropped() {
    let (mesh, service, gate, id) = gated().await;
    let instance = mesh.begin(&id, &json!({})).await;
    eventually("the call", PATIENCE, async || if service.calls().is_empty() { Err(String::new()) } else { Ok(()) })
        .await;
    mesh.flowctl.run(&["stop", "-i", &instance]).await.expect_code(0);
    mesh.until(&instance, "CANCELLED").await;
    gate.send_replace(true);
    assert_eq!(mesh.complete(&id, &json!({})).await["result"], json!({"done": true}));
    assert_eq!(mesh.instance(&instance).await["state"], "CANCELLED");
    mesh.flowctl.run(&["start", &instance]).await.expect_code(1).says(&["CANCELLED"]);
    mesh.flowctl.run(&["stop", &instance]).await.expect_code(1).says(&["CANCELLED"]);
}

#[tokio::test]
async fn requests_that_cannot_be_served_are_refused_by_their_status() {
    let (mesh, _service, gate, id) = gated().await;
    gate.send_replace(true);
    let large = format!("{{\"x\": \"{}\"}}", "y".repeat(2 << 20));
    let json_type = [("content-type", "application/json")];
    let start = mesh.url(&format!("/start/{id}"));
    for (method, url, body, status, words) in [
        ("POST", start.clone(), large.as_str(), 413, "1048576"),
        ("GET", start.clone(), "", 405, "POST"),
        ("POST", format!("{start}?wait=soon"), "{}", 400, "wait"),
        ("GET", mesh.url("/unheard-of"), "", 404, "/start"),
    ] {
        let reply = request(method, &url, &json_type, body.to_owned()).await.unwrap();
        assert_eq!(reply.status, status, "{method} {url}: {}", reply.text());
        assert!(reply.text().contains(words), "{method} {url}: {}", reply.text());
    }
    mesh.flowctl.run(&["run", &id, "{not json"]).await.expect_code(2).says(&["JSON"]);
    mesh.flowctl.run(&["run", &id, "@/does/not/exist"]).await.expect_code(1).says(&["/does/not/exist"]);
    mesh.flowctl.run(&["swap", "task", "--url", "nonsense"]).await.expect_code(1).says(&["nonsense"]);
    mesh.flowctl.run(&["swap", "task"]).await.expect_code(2);
    assert_eq!(mesh.instances().await.len(), 0, "none of these started anything");
}
