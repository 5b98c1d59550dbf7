//! Tasks that misbehave: each leaves a clear incident with its input, and the token goes on when the task does.

use std::time::Duration;

use bytes::Bytes;
use flow_tests::harness::{Answer, Mesh, Model, PATIENCE, Service, eventually, raw_service};
use serde_json::{Value, json};

/// start, task, end in the original's dialect, recoverable, one attempt of at most 300 ms.
fn model(id: &str) -> String {
    let call = "call:\n  timeout: 0.3\n  down_timeout: 0.3";
    let model = Model::new(id).global("recoverable: true").start("start");
    let model = model.annotated("task", &format!("service:\n  host: {id}\n{call}"));
    model.end("end").path(&["start", "task", "end"]).xml()
}

/// An instance of a task at `url` ends as an incident that says `words`, keeps its input, and goes on once the
/// task is swapped for one that works.
async fn assert_incident(name: &'static str, url: &str, code: &str, words: &str) -> Value {
    let mut mesh = Mesh::start().await;
    let mut sidecar = vec![(name, url)];
    mesh.sidecar(&std::mem::take(&mut sidecar)).await;
    let id = mesh.apply(model(name)).await;
    eventually("it to take starts", PATIENCE, async || {
        let state = mesh.flowctl.json(&["ps", "-d", &id, "-o", "json"]).await[0]["state"].clone();
        if state == "RUNNING" || state == "DEGRADED" { Ok(()) } else { Err(state.to_string()) }
    })
    .await;
    let stopped = mesh.incident(&id, &json!({"kept": name})).await;
    let error = &stopped["error"];
    assert_eq!((&stopped["state"], &error["code"]), (&json!("STOPPED"), &json!(code)), "{name}: {stopped}");
    assert_eq!((&error["element"], &error["input"]), (&json!("task"), &json!({"kept": name})), "{name}: {stopped}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(words), "{name}: {message:?} does not say {words:?}");

    let working = Service::adding("done", true).await;
    mesh.flowctl.run(&["swap", "task", "--url", &working.url()]).await.expect_code(0);
    let instance = stopped["id"].as_str().unwrap();
    mesh.flowctl.run(&["start", instance]).await.expect_code(0);
    assert_eq!(mesh.until(instance, "COMPLETED").await["result"], json!({"kept": name, "done": true}));
    stopped
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_as_such_and_costs_no_attempt() {
    let mut service = Service::adding("done", true).await;
    service.stop().await;
    let stopped = assert_incident("absent", &service.url(), "FAILED_CONNECTION", "absent").await;
    assert!(stopped["error"]["message"].as_str().unwrap().contains("flowctl start"), "{stopped}");
}

#[tokio::test]
async fn a_task_that_hangs_is_given_up_after_its_time() {
    let hanging = Service::start(|_| std::future::pending()).await;
    assert_incident("hanging", &hanging.url(), "FAILED_TASK", "did not answer within 300 ms").await;
    assert_eq!(hanging.calls().len(), 1, "one attempt was allowed");
}

#[tokio::test]
async fn a_task_that_does_not_speak_http_is_told_as_such() {
    let url = raw_service(b"220 smtp.example ESMTP ready\r\n").await;
    assert_incident("garbage", &url, "FAILED_TASK", "not HTTP").await;
}

#[tokio::test]
async fn a_task_that_closes_in_the_middle_of_its_answer_is_told_as_such() {
    let closing = Service::start(|_| async { Answer::Partial }).await;
    assert_incident("closing", &closing.url(), "FAILED_TASK", "broke").await;
}

#[tokio::test]
async fn a_task_that_streams_for_ever_is_cut_off() {
    let endless = Service::start(|_| async { Answer::Endless }).await;
    assert_incident("endless", &endless.url(), "PAYLOAD_TOO_LARGE", "larger than 1048576 bytes").await;
}

#[tokio::test]
async fn an_answer_of_ten_megabytes_is_refused() {
    let large = Bytes::from(vec![b' '; 10 << 20]);
    let large = Service::start(move |_| {
        let large = large.clone();
        async move { Answer::Other(200, "application/json", large) }
    })
    .await;
    assert_incident("large", &large.url(), "PAYLOAD_TOO_LARGE", "larger than 1048576 bytes").await;
}

#[tokio::test]
async fn an_answer_that_is_no_json_where_variables_are_wanted_keeps_the_answer_and_calls_nobody_again() {
    let html = Service::start(|_| async { Answer::Other(200, "text/html", Bytes::from_static(b"<p>hello</p>")) }).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("task", &html.url())]).await;
    let id = mesh.deploy(Model::row("merged", &["task"]).xml()).await;
    let stopped = mesh.incident(&id, &json!({"kept": 1})).await;
    assert_eq!(stopped["error"]["element"], "task", "{stopped}");
    assert!(stopped["error"]["message"].as_str().unwrap().contains("answer of task"), "{stopped}");
    let instance = stopped["id"].as_str().unwrap();
    // The task has answered: what is repeated is the mapping of its answer, which fails again.
    mesh.flowctl.run(&["start", instance]).await.expect_code(0);
    mesh.until(instance, "STOPPED").await;
    assert_eq!(html.calls().len(), 1);
}

#[tokio::test]
async fn a_task_that_comes_back_within_its_time_gets_the_token_and_no_attempt_is_lost() {
    let mut service = Service::adding("done", true).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("patient", &service.url())]).await;
    let model = Model::new("patient").start("start").task("task", "patient").end("end");
    let id = mesh.deploy(model.path(&["start", "task", "end"]).xml()).await;
    service.stop().await;
    let waiting = mesh.begin(&id, &json!({})).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(mesh.instance(&waiting).await["state"], "RUNNING", "task down is no failure");
    service.resume().await;
    assert_eq!(mesh.until(&waiting, "COMPLETED").await["result"], json!({"done": true}));
    assert_eq!(service.calls()[0].header("x-rexflow-attempt"), "1");
}

#[tokio::test]
async fn a_payload_that_is_no_json_where_a_condition_needs_it_is_an_incident_at_the_gateway() {
    let echo = Service::start(|call| async move { Answer::Other(200, "text/plain", call.body) }).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("echo", &echo.url())]).await;
    let model = Model::new("choice").global("recoverable: true").start("start").task("task", "echo");
    let model = model.exclusive("which", "no").end("yes-end").end("no-end").path(&["start", "task", "which"]);
    let id = mesh.deploy(model.when("yes", "which", "yes-end", "val > 1").flow("no", "which", "no-end").xml()).await;
    let words = ["run", &id, "plain text", "--content-type", "text/plain", "--wait", "-o", "json"];
    let ran = mesh.flowctl.run(&words).await.expect_code(5);
    let stopped = ran.json();
    assert_eq!((&stopped["state"], &stopped["error"]["element"]), (&json!("STOPPED"), &json!("which")), "{stopped}");
    assert_eq!(stopped["error"]["code"], "EXPRESSION_FAILED", "{stopped}");
    assert!(stopped["error"]["message"].as_str().unwrap().contains("JSON"), "{stopped}");
    assert_eq!(echo.calls().len(), 1, "the task is not asked again");
}
