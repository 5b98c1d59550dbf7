//! What scripts may rely on: exit codes and the shapes of JSON. Fields may be added to these shapes, never removed
//! or renamed: a snapshot that changes here breaks other people's programs.

use std::time::Duration;

use flow_tests::harness::{Answer, Mesh, Model, Service};
use serde_json::{Value, json};
use tokio::time::Instant;

const TIMES: [&str; 2] = ["started", "ended"];

/// The value with ids and times made the same in every run.
fn redacted(mut value: Value, ids: &[(&str, &str)]) -> Value {
    match &mut value {
        Value::String(text) => {
            for (id, name) in ids {
                *text = text.replace(id, name);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = redacted(item.take(), ids)),
        Value::Object(members) => {
            for (key, member) in members {
                let time = TIMES.contains(&key.as_str()) && member.is_string();
                *member = match key.as_str() {
                    _ if time => assert_time(member),
                    "trace_id" if member.is_string() => "[trace]".into(),
                    "idempotency-key" => "[key]".into(),
                    _ => redacted(member.take(), ids),
                };
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    value
}

fn pretty(value: Value) -> String {
    serde_json::to_string_pretty(&value).unwrap()
}

/// RFC 3339 with milliseconds, in UTC.
fn assert_time(value: &Value) -> Value {
    let text = value.as_str().unwrap();
    assert!(text.len() == 24 && text.ends_with('Z') && &text[10..11] == "T", "{text}");
    "[time]".into()
}

/// A mesh with a task that adds one to `val` and refuses what has none.
async fn mesh() -> (Mesh, Service, String) {
    let service = Service::start(|call| async move {
        let mut body = call.json();
        match body["val"].as_i64() {
            Some(val) => {
                body["val"] = (val + 1).into();
                Answer::Json(body)
            }
            None => Answer::Other(422, "application/problem+json", r#"{"code":"NO_VAL"}"#.into()),
        }
    })
    .await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("increment", &service.url())]).await;
    let model = Model::row("order", &["increment"]).xml();
    let id = mesh.deploy(model).await;
    (mesh, service, id)
}

#[tokio::test]
async fn apply_prints_one_object_per_file_and_the_same_content_again_is_unchanged() {
    let mesh = Mesh::start().await;
    let good = mesh.file("good.bpmn", Model::row("order", &["increment"]).xml());
    let bad =
        mesh.file("bad.bpmn", Model::row("bad", &["increment"]).xml().replace("targetRef=\"end\"", "targetRef=\"no\""));
    let bind = "*=http://127.0.0.1:9/{type}";
    let first = mesh.flowctl.run(&["apply", &good, &bad, "--bind", bind, "-o", "json"]).await.expect_code(65);
    let first = first.json();
    let id = first[0]["deployments"][0]["id"].as_str().unwrap().to_owned();
    let (process, hash) = id.split_once('-').unwrap();
    assert!(process == "order" && hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    let folder = mesh.folder().display().to_string();
    let ids = [(id.as_str(), "[id]"), (folder.as_str(), "[folder]")];
    insta::assert_snapshot!("apply", pretty(redacted(first, &ids)));

    let again = mesh.flowctl.run(&["apply", &good, "--bind", bind, "-o", "json"]).await.expect_code(0).json();
    assert_eq!((&again[0]["status"], &again[0]["deployments"][0]["id"]), (&json!("unchanged"), &json!(id)), "{again}");
    let original = mesh.flowctl.run(&["apply", "-o", &good]).await.expect_code(0).json();
    assert_eq!(original, json!({"status": 0, "message": "Ok.", "wf_id": id}));
    let stdin = Model::row("piped", &["increment"]).xml();
    let piped = mesh.flowctl.run_with(&["apply", "-f", "-", "--bind", bind, "-o", "json"], stdin.as_bytes()).await;
    assert_eq!(piped.expect_code(0).json()[0]["deployments"][0]["process"], "piped");

    let valid = mesh.flowctl.run(&["validate", &good, &bad, "-o", "json"]).await.expect_code(65).json();
    insta::assert_snapshot!("validate", pretty(redacted(valid, &ids)));
}

#[tokio::test]
async fn run_ps_describe_and_trace_print_these_shapes() {
    let (mesh, _service, id) = mesh().await;
    let completed = mesh.run("order", &json!({"val": 1})).await.expect_code(0).json();
    let instance = completed["id"].as_str().unwrap().to_owned();
    let suffix = instance.strip_prefix(&format!("{id}-")).expect("the deployment's id begins it");
    assert!(suffix.len() == 32 && suffix.bytes().all(|byte| byte.is_ascii_hexdigit()), "{instance}");
    let ids = [(instance.as_str(), "[instance]"), (id.as_str(), "[id]")];
    insta::assert_snapshot!("run-completed", pretty(redacted(completed.clone(), &ids)));
    let listed = mesh.flowctl.json(&["ps", "-i", &instance, "-o", "json"]).await;
    assert_eq!(listed, json!([completed]), "ps -i prints the same object");

    let waiting = mesh.run(&id, &json!({"x": 1})).await.expect_code(5).says(&["NO_VAL", "increment"]).json();
    let stopped = waiting["id"].as_str().unwrap().to_owned();
    let ids = [(stopped.as_str(), "[stopped]"), ids[0], ids[1]];
    insta::assert_snapshot!("run-stopped", pretty(redacted(waiting, &ids)));

    let deployments = mesh.flowctl.json(&["ps", "-d", &id, "-o", "json"]).await;
    assert_eq!((&deployments[0]["id"], &deployments[0]["state"]), (&json!(id), &json!("RUNNING")), "{deployments}");
    assert_eq!(deployments[0]["process"], "order");
    assert_eq!(deployments[0]["tasks"].as_array().map(Vec::len), Some(1), "{deployments}");

    let trace = mesh.flowctl.json(&["trace", &instance, "-o", "json"]).await;
    insta::assert_snapshot!("trace", pretty(redacted(trace, &ids)));
    let described = mesh.flowctl.run(&["describe", &stopped]).await.expect_code(0).stdout;
    for word in [&stopped, "STOPPED", "NO_VAL", "increment"] {
        assert!(described.contains(word), "describe does not say {word}: {described}");
    }
}

#[tokio::test]
async fn run_takes_its_payload_from_everywhere_and_ends_with_the_code_of_what_came() {
    let (mesh, service, id) = mesh().await;
    let file = mesh.file("payload.json", r#"{"val": 10}"#);
    let at_file = format!("@{file}");
    for (words, input, result) in [
        (vec!["run", "order", r#"{"val":1}"#, "--wait", "-o", "json"], "", 2),
        (vec!["run", &id, "--data", r#"{"val":2}"#, "--wait", "-o", "json"], "", 3),
        (vec!["run", &id, "-d", &at_file, "--wait", "-o", "json"], "", 11),
        (vec!["run", &id, "-", "--wait", "--timeout", "10s", "-o=json"], r#"{"val": 20}"#, 21),
        (vec!["run", &id[..id.len() - 2], r#"{"val":5}"#, "--wait", "-o", "json"], "", 6),
    ] {
        let ran = mesh.flowctl.run_with(&words, input.as_bytes()).await.expect_code(0);
        assert_eq!(ran.json()["result"]["val"], result, "{ran:?}");
    }
    // Without --wait it answers once the start is durable; -o alone is the original's object.
    let started = mesh.flowctl.run(&["run", "-o", &id, r#"{"val":7}"#]).await.expect_code(0).json();
    let instance = started["id"].as_str().unwrap();
    assert_eq!(started, json!({"id": instance, "message": "Ok", "status": 0}));
    assert_eq!(mesh.until(instance, "COMPLETED").await["result"], json!({"val": 8}));
    assert!(mesh.flowctl.run(&["run", &id, r#"{"val":1}"#]).await.expect_code(0).stdout.contains(&id));
    mesh.flowctl.run(&["run"]).await.expect_code(2);
    mesh.flowctl.run(&["no-such-verb"]).await.expect_code(2);
    mesh.flowctl.run(&["run", "order", "{}", "--timeout", "soon", "--wait"]).await.expect_code(2);
    assert_eq!(service.calls().len(), 7);
}

#[tokio::test]
async fn a_wait_that_is_too_short_ends_with_4_and_the_instance_goes_on() {
    let slow = Service::start(|_| async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        Answer::Json(json!({"late": true}))
    })
    .await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("slow", &slow.url())]).await;
    let id = mesh.deploy(Model::row("late", &["slow"]).xml()).await;
    let began = Instant::now();
    let ran = mesh.flowctl.run(&["run", &id, "{}", "--wait", "--timeout", "300ms", "-o", "json"]).await.expect_code(4);
    assert!(began.elapsed() < Duration::from_millis(1400), "{:?}", began.elapsed());
    let instance = ran.json();
    assert_eq!(instance["state"], "RUNNING", "{instance}");
    let id = instance["id"].as_str().unwrap();
    assert_eq!(mesh.until(id, "COMPLETED").await["result"], json!({"late": true}));
}

#[tokio::test]
async fn a_payload_that_is_no_json_travels_as_it_is() {
    let echo = Service::start(|call| async move { Answer::Other(200, "application/octet-stream", call.body) }).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("echo", &echo.url())]).await;
    let id = mesh.deploy(Model::new("bytes").start("s").task("t", "echo").end("e").path(&["s", "t", "e"]).xml()).await;
    let words = ["run", &id, "-", "--content-type", "application/octet-stream", "--wait", "-o", "json"];
    let ran = mesh.flowctl.run_with(&words, &[0, 159, 146, 150]).await.expect_code(0).json();
    assert_eq!(ran["result"], json!({"base64": "AJ+Slg=="}), "{ran}");
    assert_eq!(ran["content_type"], "application/octet-stream");
    assert_eq!(echo.calls()[0].header("content-type"), "application/octet-stream");
}

#[tokio::test]
async fn a_failure_with_recoverable_false_ends_in_error_and_is_not_started_again_without_force() {
    let failing = Service::start(|_| async { Answer::Other(500, "text/plain", "boom".into()) }).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("failing", &failing.url())]).await;
    let model = Model::new("hard").start("s").task("t", "failing").end("e").path(&["s", "t", "e"]);
    let id = mesh.deploy(model.xml()).await;
    let instance = mesh.run(&id, &json!({"a": 1})).await.expect_code(5).json();
    assert_eq!(
        (&instance["state"], &instance["error"]["code"]),
        (&json!("ERROR"), &json!("FAILED_TASK")),
        "{instance}"
    );
    assert_eq!(
        (&instance["error"]["input"], &instance["error"]["output"]),
        (&json!({"a": 1}), &json!({"base64": "Ym9vbQ=="}))
    );
    let started = mesh.flowctl.run(&["start", instance["id"].as_str().unwrap()]).await.expect_code(1);
    started.says(&["ERROR", "flowctl start --force"]);
    assert_eq!(failing.calls().len(), 1, "the original's one attempt");
}

#[tokio::test]
async fn forms_of_output_and_a_word_after_o_that_is_none_of_them() {
    let (mesh, _service, id) = mesh().await;
    let name = mesh.flowctl.run(&["ps", "-d", "-o", "name"]).await.expect_code(0).stdout;
    assert_eq!(name.trim(), format!("deployment/{id}"));
    let yaml = mesh.flowctl.run(&["ps", "-d", "-o", "yaml"]).await.expect_code(0).stdout;
    assert!(yaml.contains(&format!("id: {id}")), "{yaml}");
    let wide = mesh.flowctl.run(&["ps", "-d", "-o", "wide"]).await.expect_code(0).stdout;
    assert!(wide.contains(&id) && wide.contains("RUNNING"), "{wide}");
    let original = mesh.flowctl.run(&["ps", "-k", "DEPLOYMENT", &id, "-o"]).await.expect_code(0).json();
    assert_eq!(original[&id]["state"], "RUNNING", "{original}");
    let probed = mesh.flowctl.run(&["probe", &id, "-o"]).await.expect_code(0).json();
    assert!(probed.to_string().contains(r#"["increment","UP"]"#), "{probed}");
    let version = mesh.flowctl.json(&["version", "-o", "json"]).await;
    assert!(version.to_string().contains(env!("CARGO_PKG_VERSION")), "{version}");
}
