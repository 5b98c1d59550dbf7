//! Log lines as JSON: of both daemons, each for itself readable by a machine, found by instance and by trace.

use flow_tests::harness::{Answer, Mesh, Model, PATIENCE, Process, Service, eventually};
use serde_json::{Value, json};

const TRACE: &str = "1bf7651916cd43dd8448eb211c80319c";

/// Every line that a process has written, which all must be JSON.
fn lines(process: &Process) -> Vec<Value> {
    let text = process.stderr();
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(line).collect()
}

async fn line(process: &Process, message: &str, element: &str) -> Value {
    eventually(message, PATIENCE, async || {
        let lines = lines(process);
        let is = |it: &&Value| it["message"] == message && (element.is_empty() || it["element"] == element);
        lines.iter().find(is).cloned().ok_or_else(|| format!("{lines:#?}"))
    })
    .await
}

#[tokio::test]
async fn lines_of_both_daemons_are_json_with_trace_and_instance() {
    let environment =
        [("FLOW_LOG_FORMAT", "json"), ("FLOW_LOG_LEVEL", "info,flow_sidecar=debug,flow_control_plane=debug")];
    let mut mesh = Mesh::start_with(&[], &environment).await;
    let good = Service::adding("good", true).await;
    let bad = Service::start(|_| async { Answer::Other(500, "text/plain", "a secret".into()) }).await;
    mesh.sidecar(&[("good", &good.url()), ("bad", &bad.url())]).await;
    let model =
        Model::new("logged").start("begin").typed("good", "good").typed_with("bad", "bad", "retries=\"1\"").end("end");
    let id = mesh.deploy(model.path(&["begin", "good", "bad", "end"]).xml()).await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let reply = mesh.post_start(&id, "", &[("traceparent", &parent)], &json!({"private": "never logged"})).await;
    let instance = reply.header("x-rexflow-iid").to_owned();
    assert!(!instance.is_empty(), "{}", reply.text());
    mesh.until(&instance, "STOPPED").await;

    let sidecar = &mesh.sidecars[0].process;
    let passed = line(sidecar, "passed", "good").await;
    let failed = line(sidecar, "a token cannot go on", "bad").await;
    let waits = line(&mesh.flowd, "a token waits for an operator", "bad").await;
    for found in [&passed, &failed, &waits] {
        assert_eq!((&found["instance"], &found["trace_id"]), (&json!(instance), &json!(TRACE)), "{found}");
        assert!(found["timestamp"].is_string() && found["target"].is_string(), "{found}");
    }
    assert_eq!(
        (&passed["level"], &failed["level"], &waits["level"]),
        (&json!("DEBUG"), &json!("WARN"), &json!("WARN"))
    );
    assert_eq!(failed["code"], waits["code"]);
    mesh.flowctl.run(&["stop", &instance]).await.expect_code(0);
    let ended = line(&mesh.flowd, "an instance has ended", "").await;
    assert_eq!((&ended["instance"], &ended["trace_id"]), (&json!(instance), &json!(TRACE)), "{ended}");
    for process in [sidecar, &mesh.flowd] {
        assert!(!process.stderr().contains("never logged") && !process.stderr().contains("a secret"));
    }
}
