use super::{MappingError, Request};
use crate::compiled::Compiled;
use crate::failure::FailureCode;
use crate::id::Digest;
use crate::payload::{Payload, Written};
use crate::table::{DataMapping, Host, Parameter, ParameterKind, RetryPolicy, RoutingTable, Settings, Task};
use bytes::Bytes;
use serde_json::{Value, json};

fn table() -> Compiled {
    let table = RoutingTable {
        format: RoutingTable::FORMAT,
        process: "p".into(),
        deployment: "p-1".into(),
        host: Host::Ledger,
        settings: Settings::default(),
        predecessors: Vec::new(),
        nodes: Vec::new(),
        flows: Vec::new(),
        decisions: Vec::new(),
        forms: Vec::new(),
    };
    Compiled::new(table, Digest::default()).unwrap()
}

fn request(task: &Task, payload: &Payload) -> Result<Request, MappingError> {
    super::request(&table(), task, payload, Some("http://flowd/callbacks/i/1/s"), 0, 0)
}

fn apply(task: &Task, before: &Payload, written: &mut Written, answer: &Payload) -> Result<Payload, MappingError> {
    super::apply(&table(), task, before, (written, true), answer, 0)
}

fn task(data: DataMapping, method: &str, path: &str) -> Task {
    Task {
        service: "s".into(),
        address: None,
        method: method.into(),
        path: path.into(),
        data,
        retry: RetryPolicy::default(),
        timeout: 30_000,
        down_timeout: 60_000,
        asynchronous: false,
        callback_timeout: crate::callback::TIMEOUT,
        health: None,
        labels: Default::default(),
        listener: false,
    }
}

fn parameter(name: &str, source: &str, kind: ParameterKind, default: Option<Value>) -> Parameter {
    Parameter { name: name.into(), source: source.into(), kind, default }
}

fn closure(inputs: Vec<Parameter>, outputs: Vec<Parameter>) -> DataMapping {
    DataMapping::Closure { inputs, outputs }
}

#[test]
fn replace_passes_opaque_bytes_both_ways() {
    let png = Payload { content_type: "image/png".into(), body: Bytes::from_static(b"\x89P") };
    let task = task(DataMapping::Replace, "POST", "/");
    let request = request(&task, &png).unwrap();
    assert_eq!((request.content_type.as_str(), &request.body), ("image/png", &png.body));
    let mut written = Written::default();
    assert_eq!(apply(&task, &Payload::default(), &mut written, &png).unwrap(), png);
    assert!(written.frames()[0].whole);
}

#[test]
fn an_empty_answer_leaves_the_payload() {
    let before = Payload::json(&json!({"a": 1}));
    let after = apply(&task(DataMapping::Replace, "POST", "/"), &before, &mut Written::default(), &Payload::default());
    assert_eq!(after.unwrap(), before);
}

#[test]
fn merge_keeps_what_the_answer_does_not_name_and_refuses_non_objects() {
    let task = task(DataMapping::Merge { result_variable: None }, "POST", "/");
    let before = Payload::json(&json!({"a": 1, "b": 2}));
    let after = apply(&task, &before, &mut Written::default(), &Payload::json(&json!({"b": 3}))).unwrap();
    assert_eq!(after.to_json().unwrap(), json!({"a": 1, "b": 3}));
    let refused = apply(&task, &before, &mut Written::default(), &Payload::json(&json!([1])));
    assert_eq!(refused.unwrap_err().0, FailureCode::FailedTask);
}

#[test]
fn closure_sends_only_inputs_and_keeps_only_outputs() {
    let data = closure(
        vec![
            parameter("who", "person", ParameterKind::String, None),
            parameter("n", "n", ParameterKind::Integer, Some(json!(7))),
        ],
        vec![parameter("ok", "result", ParameterKind::Boolean, None)],
    );
    let task = task(data, "POST", "/");
    let before = Payload::json(&json!({"person": "Ann", "other": 1.5}));
    assert_eq!(request(&task, &before).unwrap().body, Bytes::from(r#"{"who":"Ann","n":7}"#));
    let after =
        apply(&task, &before, &mut Written::default(), &Payload::json(&json!({"result": true, "x": 1}))).unwrap();
    assert_eq!(after.to_json().unwrap(), json!({"person": "Ann", "other": 1.5, "ok": true}));
    let missing = apply(&task, &before, &mut Written::default(), &Payload::json(&json!({"x": 1}))).unwrap_err();
    assert_eq!(missing.0, FailureCode::FailedContextOutputParsing);
}

#[test]
fn closure_refuses_missing_and_mistyped_inputs() {
    let data = closure(vec![parameter("n", "n", ParameterKind::Integer, None)], vec![]);
    let task = task(data, "POST", "/");
    for payload in [json!({}), json!({"n": "7"}), json!({"n": 1.5})] {
        assert_eq!(
            request(&task, &Payload::json(&payload)).unwrap_err().0,
            FailureCode::FailedContextInputParsing,
            "{payload}"
        );
    }
}

#[test]
fn paths_are_expanded_innermost_first_and_encoded() {
    let payload = Payload::json(&json!({"i": "1", "k1": "x y/z", "n": 22}));
    for data in [closure(vec![], vec![]), DataMapping::Replace, DataMapping::Merge { result_variable: None }] {
        let task = task(data, "POST", "/a/{k{i}}/{n}");
        assert_eq!(request(&task, &payload).unwrap().path, "/a/x%20y%2Fz/22");
        let text = Payload { content_type: "text/plain".into(), body: Bytes::from_static(b"x") };
        assert_eq!(request(&task, &text).unwrap_err().0, FailureCode::FailedContextInputParsing);
    }
}

#[test]
fn get_puts_scalars_into_the_query() {
    let task = task(DataMapping::Replace, "GET", "/q");
    let request = request(&task, &Payload::json(&json!({"a": 1, "b": "x&y", "c": [1]}))).unwrap();
    assert_eq!((request.path.as_str(), request.body.len()), ("/q?a=1&b=x%26y", 0));
}

#[test]
fn an_asynchronous_task_finds_where_to_call_back_in_its_body() {
    let asynchronous = |data| Task { asynchronous: true, ..task(data, "POST", "/") };
    let merged = asynchronous(DataMapping::Merge { result_variable: None });
    let sent = |task: &Task, payload: &Payload| request(task, payload).unwrap().body;
    let object = Payload::json(&json!({"a": 1}));
    let body: Value = serde_json::from_slice(&sent(&merged, &object)).unwrap();
    assert_eq!(body, json!({"a": 1, "callback_url": "http://flowd/callbacks/i/1/s"}));
    let chosen = closure(vec![parameter("b", "a", ParameterKind::Integer, None)], Vec::new());
    let body: Value = serde_json::from_slice(&sent(&asynchronous(chosen), &object)).unwrap();
    assert_eq!(body, json!({"b": 1, "callback_url": "http://flowd/callbacks/i/1/s"}));
    let opaque = Payload { content_type: "image/png".into(), body: Bytes::from_static(b"\x89P") };
    assert_eq!(sent(&merged, &opaque), opaque.body, "what is no JSON object stays as it is");
    let usual = task(DataMapping::Merge { result_variable: None }, "POST", "/");
    assert_eq!(sent(&usual, &object), object.body, "others find it in the header alone");
}
