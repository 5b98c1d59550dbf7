//! Camunda's REST connector as a task: results, errors by expression, retries, incidents.

use control_plane::ledger::State;
use flow_tests::game::{Behaviour, Game, answer, flow, model};
use routing::FailureCode;
use routing::mapping::{Answer, Called};
use routing::step::CallFailure;
use serde_json::{Value, json};

/// start, the connector with these headers and a boundary event for GONE, end.
fn process(headers: &[(&str, &str)], more: &str) -> String {
    let headers: String = (headers.iter())
        .map(|(key, value)| format!(r#"<zeebe:header key="{key}" value="{}"/>"#, value.replace('"', "&quot;")))
        .collect();
    let body = format!(
        r#"<startEvent id="s"/><serviceTask id="call"><extensionElements><zeebe:taskDefinition type="io.camunda:http-json:1" retries="2"/>
        <zeebe:ioMapping><zeebe:input source="https://h/p" target="url"/><zeebe:input source="GET" target="method"/></zeebe:ioMapping>
        <zeebe:taskHeaders>{headers}</zeebe:taskHeaders></extensionElements>{more}</serviceTask>
        <boundaryEvent id="b" attachedToRef="call"><errorEventDefinition errorRef="gone"/></boundaryEvent><endEvent id="caught"/>
        <endEvent id="ok"/>{}{}{}"#,
        flow("f0", "s", "call"),
        flow("f1", "call", "ok"),
        flow("f2", "b", "caught"),
    );
    model(&body).replace("<process", r#"<error id="gone" errorCode="GONE"/><process"#)
}

/// Answers with a response of this status and body.
fn responds(status: u16, body: Value) -> Behaviour {
    Box::new(move |_, _, _| {
        let response = json!({"status": status, "headers": {}, "body": body});
        let called = Called { call: "GET h/p".to_owned(), reason: "Reason".to_owned() };
        (1, answer(status, &response).map(|it| Answer { called: Some(called), ..it }))
    })
}

#[test]
fn a_response_becomes_variables() {
    let xml = process(&[("resultVariable", "r"), ("resultExpression", "={n: response.body.n}")], "");
    let view = Game::new(&xml, responds(200, json!({"n": 5}))).run(&json!({"a": 1}));
    let whole = json!({"status": 200, "headers": {}, "body": {"n": 5}});
    assert_eq!(view.result.unwrap().to_json().unwrap(), json!({"a": 1, "r": whole, "n": 5}));
}

#[test]
fn an_error_expression_leads_to_the_boundary_event_at_once() {
    let expression = r#"if error.code = "404" then bpmnError("GONE", "m", {why: response.body.w}) else null"#;
    for more in [
        "",
        "<multiInstanceLoopCharacteristics isSequential=\"true\"><loopCardinality>1</loopCardinality></multiInstanceLoopCharacteristics>",
    ] {
        let mut game = Game::new(&process(&[("errorExpression", expression)], more), responds(404, json!({"w": "x"})));
        let view = game.run(&json!({"a": 1}));
        assert_eq!(view.end_event, "caught", "{:?}", view.failure);
        assert_eq!(view.result.unwrap().to_json().unwrap(), json!({"a": 1, "why": "x"}));
    }
}

#[test]
fn an_error_of_a_success_counts_too_and_one_that_nothing_catches_is_an_incident() {
    let expression = r#"if response.body.bad then bpmnError("OTHER", "it is bad") else null"#;
    let xml = process(&[("errorExpression", expression)], "");
    let view = Game::new(&xml, responds(200, json!({"bad": true}))).run(&json!({}));
    let (failure, _) = view.failure.unwrap();
    assert_eq!((failure.code, failure.error_code.as_deref()), (FailureCode::UncaughtError, Some("OTHER")));
    assert!(failure.message.contains("it is bad"), "{}", failure.message);
    assert_eq!(Game::new(&xml, responds(200, json!({"bad": false}))).run(&json!({})).end_event, "ok");
}

#[test]
fn failed_attempts_are_counted_and_told_without_payload() {
    let xml = process(&[("retryBackoff", "PT30S")], "");
    let mut game = Game::new(&xml, responds(503, json!({"secret": "s"})));
    let begun = game.now();
    let view = game.run(&json!({}));
    let (failure, _) = view.failure.unwrap();
    assert_eq!((view.state, failure.code, failure.attempts), (State::Stopped, FailureCode::FailedTask, 2));
    assert_eq!(failure.message, "GET h/p answered 503 Reason, after 2 attempts");
    assert!(game.now() >= begun + 30_000, "the back-off is waited for");
}

#[test]
fn no_answer_is_error_408_and_the_impossible_is_not_repeated() {
    let unanswered = || -> Behaviour {
        Box::new(|_, _, _| (1, Err(CallFailure::Unanswered { call: "GET h/p".into(), why: "no connection".into() })))
    };
    let expression = r#"if error.code = "408" then bpmnError("GONE") else null"#;
    let xml = process(&[("errorExpression", expression)], "");
    assert_eq!(Game::new(&xml, unanswered()).run(&json!({})).end_event, "caught");
    let xml = process(&[], "");
    let (failure, _) = Game::new(&xml, unanswered()).run(&json!({})).failure.unwrap();
    assert_eq!(failure.message, "GET h/p: no connection, after 2 attempts");
    let impossible: Behaviour = Box::new(|_, _, _| (1, Err(CallFailure::Impossible("no secret K".into()))));
    let (failure, _) = Game::new(&xml, impossible).run(&json!({})).failure.unwrap();
    assert_eq!((failure.attempts, failure.message.contains("no secret K")), (1, true));
}

#[test]
fn an_expression_may_fail_the_job_or_ignore_the_error() {
    let xml = process(&[("errorExpression", r#"=jobError("later", {}, 0)"#)], "");
    let (failure, _) = Game::new(&xml, responds(200, json!({}))).run(&json!({})).failure.unwrap();
    assert_eq!((failure.code, failure.attempts), (FailureCode::FailedTask, 1));
    let mut calls = 0;
    let thrice: Behaviour = Box::new(move |_, _, _| {
        calls += 1;
        (1, answer(if calls < 4 { 500 } else { 200 }, &json!({"status": 0, "body": null})))
    });
    let keeps_on = r#"=if is defined(error) then jobError("again", {}, 1, duration("PT1S")) else null"#;
    let xml = process(&[("errorExpression", keeps_on)], "");
    assert_eq!(Game::new(&xml, thrice).run(&json!({})).end_event, "ok", "more attempts than the model has retries");
    let xml = process(&[("errorExpression", "=ignoreError({ignored: error.code})")], "");
    let view = Game::new(&xml, responds(500, json!({}))).run(&json!({"a": 1}));
    assert_eq!(view.result.unwrap().to_json().unwrap(), json!({"a": 1, "ignored": "500"}));
}
