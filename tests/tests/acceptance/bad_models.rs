//! Models that cannot run, against a live flowd: each is refused with a rule, a place and a reason, and what runs
//! goes on.

use std::fmt::Write as _;

use flow_tests::harness::{Mesh, Model, Ran, Service};
use serde_json::{Value, json};

const OPEN: &str = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="urn:t">"#;

/// What is sent, and the rule that it breaks.
fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let good = Model::row("good", &["task"]).xml();
    let gateway_loop = Model::new("spin").start("s").exclusive("g", "out").end("e").flow("in", "s", "g");
    let gateway_loop = gateway_loop.when("back", "g", "g", "x > 1").flow("out", "g", "e");
    let mut nested = OPEN.to_owned();
    nested.extend(std::iter::repeat_n("<a>", 1_000_000));
    let mut many = format!("{OPEN}<process id=\"p\" isExecutable=\"true\">");
    for n in 0..300_000 {
        write!(many, "<task id=\"t{n}\"/>").unwrap();
    }
    many.push_str("</process></definitions>");
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;&lol;&lol;\">]>";
    vec![
        ("not-xml", b"{\"this\": \"is JSON\"}".to_vec()),
        ("not-xml", b"<definitions><process></definitions>".to_vec()),
        ("input-encoding", b"<\xff\xfe\x00definitions/>".to_vec()),
        ("not-bpmn", b"<html><body/></html>".to_vec()),
        ("truncated", good.as_bytes()[..good.len() / 2].to_vec()),
        ("doctype", format!("{bomb}<definitions>&lol2;</definitions>").into_bytes()),
        ("too-deep", nested.into_bytes()),
        ("too-many-elements", many.into_bytes()),
        ("unknown-reference", good.replace("targetRef=\"end\"", "targetRef=\"nowhere\"").into_bytes()),
        ("duplicate-id", good.replace("id=\"end\"", "id=\"task\"").into_bytes()),
        ("zero-wait-loop", gateway_loop.xml().into_bytes()),
        ("no-process", format!("{OPEN}</definitions>").into_bytes()),
    ]
}

fn finding<'a>(answer: &'a Value, rule: &str) -> &'a Value {
    let found = answer[0]["diagnostics"].as_array().unwrap().iter().find(|it| it["rule"] == rule);
    found.unwrap_or_else(|| panic!("no {rule}: {answer}"))
}

fn assert_refused(ran: &Ran, rule: &str) {
    assert_eq!(ran.code, 65, "{rule}: {ran:#?}");
    let answer = ran.json();
    assert_eq!(answer[0]["status"], "refused", "{rule}: {answer}");
    assert_eq!(answer[0]["deployments"], json!([]), "{rule}");
    let found = finding(&answer, rule);
    assert_eq!(found["severity"], "error", "{found}");
    assert!(found["line"].as_u64() >= Some(1) && found["column"].as_u64() >= Some(1), "a place: {found}");
    assert!(!found["message"].as_str().unwrap().is_empty() && !found["help"].as_str().unwrap().is_empty(), "{found}");
    let message = found["message"].as_str().unwrap();
    assert!(ran.stderr.contains(message), "people are told too: {}", ran.stderr);
    assert!(ran.stderr.len() < 20_000, "{rule}: {} bytes of message", ran.stderr.len());
}

#[tokio::test]
async fn a_model_that_cannot_run_is_refused_with_its_reason_and_nothing_else_is_touched() {
    let mut service = Service::adding("done", true).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("task", &service.url())]).await;
    let id = mesh.deploy(Model::row("good", &["task"]).xml()).await;
    service.stop().await;
    let waiting = mesh.begin(&id, &json!({"n": 1})).await;

    for (rule, content) in cases() {
        println!("{rule}: {} bytes", content.len());
        assert_refused(&mesh.try_apply(content).await, rule);
    }

    let deployments = mesh.flowctl.json(&["ps", "-d", "-o", "json"]).await;
    assert_eq!(deployments.as_array().map(Vec::len), Some(1), "{deployments}");
    service.resume().await;
    assert_eq!(mesh.until(&waiting, "COMPLETED").await["result"], json!({"n": 1, "done": true}));
}

#[tokio::test]
async fn a_hundred_megabytes_are_refused_and_flowd_goes_on() {
    let mesh = Mesh::start().await;
    let mut model = Model::row("large", &["task"]).xml();
    model.push_str("<!--");
    model.extend(std::iter::repeat_n("0123456789abcdef", 100 << 16));
    model.push_str("-->");
    let ran = mesh.try_apply(model).await;
    assert!([1, 65].contains(&ran.code), "{}", ran.code);
    let told = ran.stdout + &ran.stderr;
    assert!(told.contains("larger than"), "{told}");
    assert_eq!(mesh.flowctl.json(&["ps", "-d", "-o", "json"]).await, json!([]));
}

#[tokio::test]
async fn a_task_that_nobody_serves_is_an_error_of_apply_and_a_warning_of_validate() {
    let mesh = Mesh::start().await;
    let model = Model::new("unbound").start("start").end("end");
    let xml = model.path(&["start", "task", "end"]).xml();
    let xml = xml.replace("  </bpmn:process>", "    <bpmn:serviceTask id=\"task\"/>\n  </bpmn:process>");
    let ran = mesh.try_apply(&xml).await.expect_code(65);
    assert_eq!(finding(&ran.json(), "binding-missing")["severity"], "error");

    let file = mesh.file("unbound.bpmn", &xml);
    let valid = mesh.flowctl.run(&["validate", &file, "-o", "json"]).await.expect_code(0).json();
    assert_eq!(finding(&valid, "binding-missing")["severity"], "warning", "{valid}");

    let bind = "task=http://127.0.0.1:9/";
    let bound = mesh.flowctl.run(&["apply", &file, "--bind", bind, "-o", "json"]).await.expect_code(0).json();
    assert_eq!(bound[0]["status"], "created", "{bound}");
}
