//! The original's failure record, in its shape, for each of its error codes: of instances that wait (STOPPED) and that have ended (ERROR).

use bytes::Bytes;
use flow_tests::harness::{Answer, Mesh, Model, PATIENCE, Service, eventually, request};
use serde_json::{Value, json};

/// What `ps` of the original shows of an instance.
async fn shown(mesh: &Mesh, instance: &str) -> Value {
    mesh.flowctl.run(&["ps", "-i", instance, "-o"]).await.expect_code(0).json()[instance].clone()
}

/// The record of an instance that fails, and its id.
async fn record(mesh: &Mesh, id: &str, content_type: &str, payload: impl Into<Bytes>) -> (Value, String) {
    let url = mesh.url(&format!("/start/{id}"));
    let started = request("POST", &url, &[("content-type", content_type)], payload).await.unwrap();
    let instance = started.json()["id"].as_str().unwrap_or_else(|| panic!("{}", started.text())).to_owned();
    let failed = eventually("it to fail", PATIENCE, async || {
        let shown = shown(mesh, &instance).await;
        if shown["state"] == "STOPPED" || shown["state"] == "ERROR" { Ok(shown) } else { Err(shown.to_string()) }
    });
    (failed.await, instance)
}

/// One task `E1` that is named, then another; `global` and `io` are what differs.
fn model(id: &str, global: &str, io: &str) -> String {
    let io = match io {
        "" => String::new(),
        io => format!(
            "<bpmn:extensionElements xmlns:camunda=\"http://camunda.org/schema/1.0/bpmn\"><camunda:inputOutput>{io}</camunda:inputOutput></bpmn:extensionElements>"
        ),
    };
    let call = "service:\n  host: first\ncall:\n  down_timeout: 0.3";
    let model = Model::new(id).global(global).start("s").event("serviceTask", "E1", &io, call);
    model.task("E2", "second").end("e").path(&["s", "E1", "E2", "e"]).xml()
}

struct Case {
    code: &'static str,
    global: &'static str,
    io: &'static str,
    first: fn() -> Answer,
    second: fn() -> Answer,
    element: &'static str,
    output: Option<(&'static str, Value)>,
}

fn fine() -> Answer {
    Answer::Json(json!({"fine": true}))
}

fn boom() -> Answer {
    Answer::Other(500, "text/plain", "boom".into())
}

const CLOSURE: &str = "use_closure_transport: true";
const INPUT: &str = "<camunda:inputParameter name=\"who\">person: STRING</camunda:inputParameter>";
const OUTPUT: &str = "<camunda:outputParameter name=\"number\">not_there: INTEGER</camunda:outputParameter>";

fn cases() -> Vec<Case> {
    let case = |code, element, output| Case { code, global: "", io: "", first: fine, second: fine, element, output };
    vec![
        Case { first: boom, ..case("FAILED_TASK", "E1", Some(("500", json!("boom")))) },
        Case { global: CLOSURE, io: INPUT, ..case("FAILED_CONTEXT_INPUT_PARSING", "E1", None) },
        Case {
            global: CLOSURE,
            io: OUTPUT,
            ..case("FAILED_CONTEXT_OUTPUT_PARSING", "E1", Some(("200", json!({"fine": true}))))
        },
        // the original's BAD_OUTBOUND_RESPONSE, of the one before it: here it is the next element's own failure, with what it was sent
        Case { second: boom, ..case("FAILED_TASK", "E2", Some(("500", json!("boom")))) },
    ]
}

#[tokio::test]
async fn each_code_comes_with_input_and_output_whether_the_instance_waits_or_has_ended() {
    for (nth, case) in cases().into_iter().enumerate() {
        let (first, second) = (case.first, case.second);
        let first = Service::start(move |_| async move { first() }).await;
        let second = Service::start(move |_| async move { second() }).await;
        let mut mesh = Mesh::start().await;
        mesh.sidecar(&[("first", &first.url()), ("second", &second.url())]).await;
        for (recoverable, state) in [("true", "STOPPED"), ("false", "ERROR")] {
            let global = format!("recoverable: {recoverable}\n{}", case.global);
            let id = mesh.deploy(model(&format!("case-{nth}-{recoverable}"), &global, case.io)).await;
            let (record, instance) = record(&mesh, &id, "application/json", r#"{"a": 1}"#).await;
            let input = if case.element == "E2" { json!({"fine": true}) } else { json!({"a": 1}) };
            let mut expected = json!({
                "error_code": case.code, "error_msg": record["error_msg"], "state": state, "parent": id,
                "failed_task_id": case.element, "failed_task_name": case.element, "input_data": input,
                "content_type": "application/json",
                "input_headers": {"content-type": "application/json", "x-rexflow-tid": case.element,
                                  "x-rexflow-iid": instance, "x-rexflow-did": id},
            });
            if let Some((status, data)) = &case.output {
                let kind = if data.is_string() { "text/plain" } else { "application/json" };
                expected["output_data"] = data.clone();
                expected["output_headers"] = json!({"status": status, "content-type": kind});
            }
            assert_eq!(record, expected, "{} {state}", case.code);
            assert!(record["error_msg"].as_str().is_some_and(|it| it.len() > 10), "{record}");
        }
    }
}

#[tokio::test]
async fn a_task_that_nobody_serves_is_a_failed_connection_that_names_it_and_has_what_it_was_to_get() {
    let mut first = Service::adding("x", 1).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("first", &first.url()), ("second", &first.url())]).await;
    for (recoverable, state) in [("true", "STOPPED"), ("false", "ERROR")] {
        first.resume().await;
        let global = format!("recoverable: {recoverable}");
        let id = mesh.deploy(model(&format!("down-{recoverable}"), &global, "")).await;
        first.stop().await;
        let (record, _) = record(&mesh, &id, "application/json", r#"{"a": 1}"#).await;
        let found = (&record["error_code"], &record["failed_task_id"], &record["input_data"], &record["state"]);
        assert_eq!(found, (&json!("FAILED_CONNECTION"), &json!("E1"), &json!({"a": 1}), &json!(state)), "{record}");
        assert!(record.get("output_data").is_none() && record.get("output_headers").is_none(), "{record}");
    }
}

#[tokio::test]
async fn a_cancelled_instance_says_so_in_the_original_s_words() {
    let hanging = Service::start(|_| std::future::pending()).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("first", &hanging.url()), ("second", &hanging.url())]).await;
    let id = mesh.deploy(model("cancelled", "", "")).await;
    let instance = mesh.begin(&id, &json!({"a": 1})).await;
    mesh.flowctl.run(&["stop", "-i", &instance]).await.expect_code(0);
    let record = shown(&mesh, &instance).await;
    assert_eq!(record["error_code"], "CANCELED_INSTANCE", "{record}");
    assert_eq!(record["error_msg"], format!("Instance {instance} cancelled."), "{record}");
}

#[tokio::test]
async fn what_is_no_json_is_shown_as_text_or_as_base64() {
    let first = Service::start(|_| async { Answer::Other(500, "image/png", Bytes::from_static(&[0, 159, 146])) }).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("first", &first.url()), ("second", &first.url())]).await;
    let id = mesh.deploy(model("bytes", "", "")).await;
    let (of_text, _) = record(&mesh, &id, "text/plain", "hello").await;
    assert_eq!((&of_text["input_data"], &of_text["output_data"]), (&json!("hello"), &json!("AJ+S")), "{of_text}");
    assert_eq!(of_text["input_headers"]["content-type"], "text/plain");
    assert_eq!(of_text["output_headers"], json!({"status": "500", "content-type": "image/png"}));
    let (of_bytes, _) = record(&mesh, &id, "application/octet-stream", vec![255, 0]).await;
    assert_eq!(of_bytes["input_data"], json!("/wA="), "{of_bytes}");
}
