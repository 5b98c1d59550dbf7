//! Camunda's REST connector, run by `flow-sidecar --serve connectors=`: no worker, no container beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flow_tests::harness::{Answer, Call, Mesh, PATIENCE, Service, eventually};
use serde_json::{Value, json};

/// What a connector's task says in the model.
#[derive(Default)]
struct Task<'a> {
    inputs: Vec<(&'a str, &'a str)>,
    headers: Vec<(&'a str, &'a str)>,
    retries: u32,
}

fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('\n', "&#10;")
}

/// start, the task as Camunda's modeler writes it, end; a boundary event for the error DECLINED.
fn model(id: &str, task: &Task<'_>) -> String {
    let input = |(source, target): &(&str, &str)| {
        format!("          <zeebe:input source=\"{}\" target=\"{target}\"/>\n", attribute(source))
    };
    let header = |(key, value): &(&str, &str)| {
        format!("          <zeebe:header key=\"{key}\" value=\"{}\"/>\n", attribute(value))
    };
    let inputs: String = task.inputs.iter().map(input).collect();
    let headers: String = task.headers.iter().map(header).collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:zeebe="http://camunda.org/schema/zeebe/1.0"
    xmlns:modeler="http://camunda.org/schema/modeler/1.0" id="d" targetNamespace="http://bpmn.io/schema/bpmn"
    modeler:executionPlatform="Camunda Cloud" modeler:executionPlatformVersion="8.6.0">
  <bpmn:process id="{id}" isExecutable="true">
    <bpmn:startEvent id="start"><bpmn:outgoing>f0</bpmn:outgoing></bpmn:startEvent>
    <bpmn:sequenceFlow id="f0" sourceRef="start" targetRef="call"/>
    <bpmn:serviceTask id="call" name="Call it" zeebe:modelerTemplate="io.camunda.connectors.HttpJson.v2" zeebe:modelerTemplateVersion="10">
      <bpmn:extensionElements>
        <zeebe:taskDefinition type="io.camunda:http-json:1" retries="{}"/>
        <zeebe:ioMapping>
{inputs}        </zeebe:ioMapping>
        <zeebe:taskHeaders>
          <zeebe:header key="elementTemplateVersion" value="10"/>
          <zeebe:header key="elementTemplateId" value="io.camunda.connectors.HttpJson.v2"/>
{headers}        </zeebe:taskHeaders>
      </bpmn:extensionElements>
      <bpmn:incoming>f0</bpmn:incoming><bpmn:outgoing>f1</bpmn:outgoing>
    </bpmn:serviceTask>
    <bpmn:sequenceFlow id="f1" sourceRef="call" targetRef="done"/>
    <bpmn:endEvent id="done"><bpmn:incoming>f1</bpmn:incoming></bpmn:endEvent>
    <bpmn:boundaryEvent id="declined" attachedToRef="call">
      <bpmn:outgoing>f2</bpmn:outgoing><bpmn:errorEventDefinition id="e" errorRef="error"/>
    </bpmn:boundaryEvent>
    <bpmn:sequenceFlow id="f2" sourceRef="declined" targetRef="refused"/>
    <bpmn:endEvent id="refused"><bpmn:incoming>f2</bpmn:incoming></bpmn:endEvent>
  </bpmn:process>
  <bpmn:error id="error" name="Declined" errorCode="DECLINED"/>
</bpmn:definitions>
"#,
        task.retries
    )
}

/// A mesh with a sidecar of the connectors that may call this machine, and has the secret TOKEN.
async fn mesh() -> Mesh {
    let mut mesh = Mesh::start().await;
    let secrets = mesh.folder().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join("TOKEN"), "very-secret-9\n").unwrap();
    let secrets = secrets.display().to_string();
    mesh.sidecar_with(
        &[("connectors", "")],
        &["--allow-connect", "127.0.0.0/8", "--secrets", &secrets, "--drain-timeout", "1"],
    )
    .await;
    mesh
}

/// Takes payments up to 100; tells nothing of what it was sent, but under `/echo`.
async fn bank() -> Service {
    Service::start(|call: Call| async move {
        let amount = call.json()["amount"].as_f64().unwrap_or(0.0);
        if call.path.starts_with("/echo") {
            let authorization = call.header("authorization").to_owned();
            return Answer::Json(json!({"sent": call.json(), "authorization": authorization}));
        }
        if amount > 100.0 {
            let body = json!({"reason": "too much", "limit": 100});
            return Answer::Other(402, "application/json", Bytes::from(body.to_string()));
        }
        Answer::Json(json!({"receipt": {"number": 7, "amount": amount}}))
    })
    .await
}

#[tokio::test]
async fn a_model_of_camunda_runs_unchanged() {
    let (mesh, bank) = (mesh().await, bank().await);
    let url = format!("=\"{}/pay/\" + customer", bank.url());
    let task = Task {
        inputs: vec![
            ("bearer", "authentication.type"),
            ("{{secrets.TOKEN}}", "authentication.token"),
            ("POST", "method"),
            (&url, "url"),
            ("={\"X-Customer\": customer}", "headers"),
            ("={dry: false}", "queryParameters"),
            ("={amount: amount}", "body"),
            ("20", "connectionTimeoutInSeconds"),
            ("20", "readTimeoutInSeconds"),
        ],
        headers: vec![
            ("resultVariable", "payment"),
            ("resultExpression", "={receipt: response.body.receipt.number, status: response.status}"),
            (
                "errorExpression",
                "=if error.code = \"402\" then bpmnError(\"DECLINED\", \"No money\", {why: error.variables.response.body.reason}) else null",
            ),
            ("retryBackoff", "PT0S"),
        ],
        retries: 3,
    };
    let id = mesh.deploy(model("pay", &task)).await;
    let done = mesh.complete(&id, &json!({"customer": "ann", "amount": 20})).await;
    assert_eq!(done["end_event"], "done", "{done}");
    let result = &done["result"];
    assert_eq!((&result["receipt"], &result["status"]), (&json!(7), &json!(200)), "{result}");
    assert_eq!(result["payment"]["body"], json!({"receipt": {"number": 7, "amount": 20.0}}), "{result}");
    assert_eq!(result.get("authentication").or(result.get("url")), None, "inputs are local: {result}");
    let refused = mesh.complete(&id, &json!({"customer": "bob", "amount": 500})).await;
    assert_eq!(
        (&refused["end_event"], &refused["result"]["why"]),
        (&json!("refused"), &json!("too much")),
        "{refused}"
    );
    let calls = bank.calls();
    assert_eq!(calls.len(), 2, "an error that is caught is not tried again");
    let call = &calls[0];
    assert_eq!((call.path.as_str(), call.header("x-customer")), ("/pay/ann?dry=false", "ann"));
    assert_eq!((call.header("authorization"), call.json()), ("Bearer very-secret-9", json!({"amount": 20})));
    assert!(!call.key().is_empty() && !call.header("traceparent").is_empty());
    let ours: Vec<_> = call.headers.keys().filter(|it| it.as_str().starts_with("x-rexflow")).collect();
    assert!(ours.is_empty() && call.header("baggage").is_empty(), "strangers learn nothing of the mesh: {ours:?}");
}

#[tokio::test]
async fn secrets_are_the_models_alone_and_nobody_is_told() {
    let (mesh, bank) = (mesh().await, bank().await);
    let url = format!("{}/echo", bank.url());
    let task = Task {
        inputs: vec![
            ("=\"Bearer {{secrets.TOKEN}}\"", "headers.Authorization"),
            ("post", "method"),
            (&url, "url"),
            ("={text: text, own: \"{{secrets.TOKEN}}\", secrets: secrets}", "body"),
        ],
        headers: vec![("resultExpression", "={echo: response.body}")],
        retries: 1,
    };
    let id = mesh.deploy(model("echo", &task)).await;
    let payload = json!({"text": "{{secrets.TOKEN}} secrets.TOKEN", "secrets": {"TOKEN": "mine"}});
    let done = mesh.complete(&id, &payload).await;
    let sent = bank.calls()[0].json();
    assert_eq!(sent["own"], "very-secret-9");
    assert_eq!(sent["text"], payload["text"], "what came with the payload stays text");
    assert_eq!(
        sent["secrets"],
        json!({"TOKEN": "very-secret-9"}),
        "the model asks for secrets, and no variable is one"
    );
    assert_eq!(done["result"]["echo"]["sent"]["own"], "{{secrets.TOKEN}}", "{done}");
    assert_eq!(done["result"]["echo"]["authorization"], "Bearer {{secrets.TOKEN}}", "{done}");

    let task = Task {
        inputs: vec![
            ("{{secrets.TOKEN}}", "headers.key"),
            ("={amount: 500}", "body"),
            ("post", "method"),
            (&url, "url"),
        ],
        headers: vec![("resultExpression", "=1")],
        retries: 1,
    };
    let broken = mesh.deploy(model("broken", &task)).await;
    let stopped = mesh.incident(&broken, &json!({"x": 1})).await;
    assert_eq!(stopped["error"]["input"], json!({"x": 1}), "{stopped}");
    let trace = mesh.flowctl.run(&["trace", stopped["id"].as_str().unwrap(), "-o", "json"]).await.expect_code(0);
    let told = format!("{done}{stopped}{}{}", trace.json(), mesh.sidecars[0].process.stderr());
    assert!(!told.contains("very-secret-9") && !mesh.flowd.stderr().contains("very-secret-9"), "{told}");
}

#[tokio::test]
async fn a_missing_secret_is_named_and_counts_once_it_is_there() {
    let (mesh, bank) = (mesh().await, bank().await);
    let url = format!("{}/pay?key={{{{secrets.LATER}}}}", bank.url());
    let task = Task { inputs: vec![(&url, "url"), ("post", "method"), ("={amount: 1}", "body")], ..Task::default() };
    let id = mesh.deploy(model("later", &task)).await;
    let stopped = mesh.incident(&id, &json!({})).await;
    let message = stopped["error"]["message"].as_str().unwrap();
    assert!(message.contains("secret LATER") && message.contains("--secrets"), "{message}");
    assert!(bank.calls().is_empty());
    std::fs::write(mesh.folder().join("secrets/LATER"), "now").unwrap();
    let instance = stopped["id"].as_str().unwrap();
    mesh.flowctl.run(&["start", instance]).await.expect_code(0);
    mesh.until(instance, "COMPLETED").await;
    assert_eq!(bank.calls()[0].path, "/pay?key=now");
}

#[tokio::test]
async fn what_must_not_be_reached_is_an_incident_and_not_a_call() {
    let bank = bank().await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("connectors", "")]).await;
    let task = Task { inputs: vec![("=url", "url"), ("post", "method")], retries: 3, ..Task::default() };
    let id = mesh.deploy(model("anywhere", &task)).await;
    let port = bank.url().rsplit(':').next().unwrap().to_owned();
    for url in [
        format!("http://127.0.0.1:{port}/x?token=abc"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://localhost:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[fd00:ec2::254]/latest".to_owned(),
    ] {
        let stopped = mesh.incident(&id, &json!({"url": url})).await;
        let error = &stopped["error"];
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("must not be connected to") && !message.contains("token=abc"), "{url}: {message}");
    }
    assert!(bank.calls().is_empty());
}

#[tokio::test]
async fn failures_are_tried_again_with_back_off_and_told_with_status_and_place() {
    let mesh = mesh().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let flaky = Service::start(move |call: Call| {
        let fails = call.path == "/always" || counted.fetch_add(1, Ordering::SeqCst) < 2;
        async move {
            if fails {
                Answer::Other(503, "text/plain", Bytes::from_static(b"private"))
            } else {
                Answer::Json(json!({}))
            }
        }
    })
    .await;
    let url = format!("=\"{}\" + path", flaky.url());
    let task =
        Task { inputs: vec![(&url, "url"), ("post", "method")], headers: vec![("retryBackoff", "PT1S")], retries: 3 };
    let id = mesh.deploy(model("flaky", &task)).await;
    let done = mesh.complete(&id, &json!({"path": "/twice"})).await;
    assert_eq!(done["end_event"], "done");
    let calls = flaky.calls();
    assert_eq!(calls.len(), 3);
    let waits: Vec<Duration> = calls.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(waits.iter().all(|it| *it >= Duration::from_millis(990)), "{waits:?}");
    assert!(calls.iter().all(|it| it.key() == calls[0].key()), "retries have the same key");
    let stopped = mesh.incident(&id, &json!({"path": "/always"})).await;
    let message = stopped["error"]["message"].as_str().unwrap();
    let place = flaky.url().replace("http://", "");
    assert_eq!(message, format!("POST {place}/always answered 503 Service Unavailable, after 3 attempts"));
}

#[tokio::test]
async fn a_service_that_hangs_is_given_up_after_its_time() {
    let mesh = mesh().await;
    let hanging = Service::start(|_| std::future::pending()).await;
    let url = hanging.url();
    let expression = "=if error.code = \"408\" then bpmnError(\"DECLINED\", \"late\") else null";
    let task = Task {
        inputs: vec![(&url, "url"), ("post", "method"), ("=0.3", "readTimeoutInSeconds")],
        headers: vec![("errorExpression", expression)],
        retries: 1,
    };
    let id = mesh.deploy(model("late", &task)).await;
    let begun = Instant::now();
    assert_eq!(mesh.complete(&id, &json!({})).await["end_event"], "refused");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_call_survives_the_death_of_its_sidecar_and_its_leaving() {
    let mut mesh = mesh().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    // the first call of each instance hangs
    let slow = Service::start(move |call: Call| {
        let hangs = counted.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Answer::Json(json!({"n": call.json()["n"]}))
        }
    })
    .await;
    let url = slow.url();
    let task = Task {
        inputs: vec![(&url, "url"), ("post", "method"), ("={n: n}", "body")],
        headers: vec![("resultExpression", "={m: response.body.n}")],
        retries: 3,
    };
    let id = mesh.deploy(model("survives", &task)).await;
    let under_way = async |count: usize| {
        eventually("the call to be under way", PATIENCE, async || {
            let made = calls.load(Ordering::SeqCst);
            if made == count { Ok(()) } else { Err(made.to_string()) }
        })
        .await;
    };
    let instance = mesh.begin(&id, &json!({"n": 1})).await;
    under_way(1).await;
    mesh.sidecars[0].process.kill().await;
    mesh.sidecars[0].start_again().await;
    assert_eq!(mesh.until(&instance, "COMPLETED").await["result"], json!({"n": 1, "m": 1}));
    let keys: Vec<String> = slow.calls().iter().map(|it| it.key().to_owned()).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1], "the same call, made again");

    // a rolling update: another one comes, the first hands over what it holds
    let instance = mesh.begin(&id, &json!({"n": 2})).await;
    under_way(3).await;
    mesh.sidecar_with(&[("connectors", "")], &["--allow-connect", "127.0.0.1"]).await;
    assert!(mesh.sidecars[0].process.terminate().await.success());
    assert_eq!(mesh.until(&instance, "COMPLETED").await["result"], json!({"n": 2, "m": 2}));
    assert_eq!(slow.calls().len(), 4);
}

#[tokio::test]
async fn connectors_are_not_swapped_and_need_their_sidecar() {
    let mut mesh = Mesh::start().await;
    let task = Task { inputs: vec![("https://example.invalid", "url")], ..Task::default() };
    let id = mesh.apply(model("waits", &task)).await;
    mesh.until_deployment(&id, "STARTING").await;
    mesh.sidecar(&[("connectors", "")]).await;
    mesh.until_deployment(&id, "RUNNING").await;
    let swapped = mesh.flowctl.run(&["swap", "call", "--url", "http://127.0.0.1:1/"]).await;
    assert_ne!(swapped.code, 0);
    assert!(swapped.stderr.contains("connector"), "{}", swapped.stderr);
}

#[tokio::test]
async fn validate_tells_what_is_wrong_with_a_connector() {
    let mesh = Mesh::start().await;
    let file = mesh.file("c.bpmn", model("c", &Task { inputs: vec![("FETCH", "method")], ..Task::default() }));
    let found: Value = mesh.flowctl.run(&["validate", &file, "-o", "json"]).await.expect_code(65).json();
    let told = found.to_string();
    assert!(told.contains("connector-invalid") && told.contains("no input `url`") && told.contains("FETCH"), "{told}");
    let task = Task {
        inputs: vec![("https://h", "url"), ("basic", "authentication.type"), ("hunter2", "authentication.password")],
        ..Task::default()
    };
    let file = mesh.file("d.bpmn", model("d", &task));
    let bind = "call=http://127.0.0.1:1/";
    let found: Value = mesh.flowctl.run(&["validate", &file, "--bind", bind, "-o", "json"]).await.expect_code(0).json();
    let told = found.to_string();
    assert!(told.contains("connector-secret") && told.contains("no binding has an effect"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
}
