use super::*;
use crate::output::Show as _;
use crate::output::instance::List;

fn payload(body: &'static str) -> Option<v1::Payload> {
    Some(v1::Payload { content_type: "application/json".into(), body: body.into() })
}

fn record(code: &str) -> v1::FailureRecord {
    v1::FailureRecord { error_code: code.into(), input: payload("{\"x\":1}"), ..Default::default() }
}

#[test]
fn an_instance_keeps_every_field_that_scripts_read() {
    let wire = v1::Instance {
        id: "order-1a2b3c4d-01".into(),
        deployment: "order-1a2b3c4d".into(),
        process: "order".into(),
        state: "COMPLETED".into(),
        result: payload("{\"total\":12.50}"),
        end_event: "done".into(),
        started_ms: 1_790_000_000_000,
        ended_ms: 1_790_000_000_250,
        start_event: "begin".into(),
        metadata: HashMap::from([("k".into(), "v".into())]),
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
        ..Default::default()
    };
    let list = List { instances: vec![instance(wire)], missing: Vec::new() };
    insta::assert_snapshot!(format!("{:#}", list.json()));
}

#[test]
fn the_first_incident_is_the_error_while_others_go_on() {
    let incident = |code| v1::Incident { record: Some(record(code)), ..Default::default() };
    let wire = v1::Instance {
        state: "RUNNING".into(),
        incidents: vec![incident("FAILED_TASK"), incident("FAILED_CONNECTION")],
        ..Default::default()
    };
    let shown = instance(wire);
    assert_eq!(shown.incidents, 2);
    assert!(shown.is_settled(), "`run --wait` ends at the first incident");
    assert_eq!(shown.error.map(|failed| failed.code).as_deref(), Some("FAILED_TASK"));
}

#[test]
fn the_record_of_a_closed_instance_wins_over_its_incidents() {
    let wire = v1::Instance {
        state: "ERROR".into(),
        error: Some(record("CANCELED_INSTANCE")),
        incidents: vec![v1::Incident { record: Some(record("FAILED_TASK")), ..Default::default() }],
        ..Default::default()
    };
    assert_eq!(instance(wire).error.map(|failed| failed.code).as_deref(), Some("CANCELED_INSTANCE"));
}

#[test]
fn what_has_not_happened_has_no_time() {
    let shown = instance(v1::Instance::default());
    assert_eq!((shown.started, shown.ended, shown.state), (None, None, State::Unknown));
}

#[test]
fn an_answer_with_an_error_is_refused_whatever_its_status() {
    let found = v1::Diagnostic { severity: "error".into(), rule: "r".into(), ..Default::default() };
    let answer = v1::ApplyResponse { status: "created".into(), diagnostics: vec![found], ..Default::default() };
    assert_eq!(file("a.bpmn", answer).status, Status::Refused);
    let odd = v1::ApplyResponse { status: "later".into(), ..Default::default() };
    assert_eq!(file("a.bpmn", odd).status, Status::Error);
}

#[test]
fn the_codes_of_an_operation_become_exit_codes() {
    let exit = |status| {
        let results = vec![v1::Operated { id: "a".into(), status, message: "m".into() }];
        outcome(Kind::Instance, "a".into(), v1::OperateResponse { results }).exit
    };
    assert_eq!([exit(0), exit(-1), exit(-2), exit(-3)], [Exit::Ok, Exit::NotFound, Exit::Error, Exit::Error]);
    let nothing = outcome(Kind::Instance, "a".into(), v1::OperateResponse::default());
    assert_eq!(nothing.exit, Exit::Error);
}

#[test]
fn metadata_of_a_deployment_is_json() {
    let with =
        |text: &str| deployment(v1::Deployment { user_opaque_metadata: text.into(), ..Default::default() }).metadata;
    assert_eq!(with(""), Value::Null);
    assert_eq!(with("{\"a\":1}"), serde_json::json!({"a": 1}));
    assert_eq!(with("plain"), serde_json::json!("plain"));
}

#[test]
fn a_deployment_that_cannot_be_probed_is_missing() {
    let results = vec![
        v1::Probed { id: "a".into(), ..Default::default() },
        v1::Probed { id: "b".into(), error: "not found".into(), ..Default::default() },
    ];
    let list = probes(v1::ProbeResponse { results });
    assert_eq!((list.probes.len(), list.missing), (1, vec!["b".to_owned()]));
}
