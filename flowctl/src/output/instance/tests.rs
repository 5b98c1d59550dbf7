use super::*;
use crate::output::tests::{NOW, every_form, time_at};

fn body(text: &str, content_type: &str) -> Body {
    Body { bytes: text.as_bytes().to_vec(), content_type: content_type.into() }
}

pub(crate) fn completed() -> Instance {
    Instance {
        id: "order-1a2b3c4d-0192f0c1d2e37abc8def0123456789ab".into(),
        deployment: "order-1a2b3c4d".into(),
        process: "order".into(),
        state: State::Completed,
        incidents: 0,
        result: body(r#"{"underpants":"Collected.","total":12.50}"#, "application/json"),
        end_event: "did-profit".into(),
        error: None,
        started: Some(time_at(-65_000)),
        ended: Some(time_at(-64_988)),
        metadata: BTreeMap::from([("customer".into(), "7".into())]),
        start_event: "begin".into(),
        waiting: Vec::new(),
        tasks: Vec::new(),
        operations: Vec::new(),
        timed_results: Vec::new(),
        timed_left_out: 0,
        trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
    }
}

pub(crate) fn stopped() -> Instance {
    Instance {
        id: "order-1a2b3c4d-0192f0c1d2e37abc8def0123456789ac".into(),
        state: State::Stopped,
        incidents: 1,
        result: Body::default(),
        end_event: String::new(),
        error: Some(Failed {
            code: "FAILED_TASK".into(),
            message: "task `charge` answered 503 in 3 attempts".into(),
            element: "charge".into(),
            name: "Charge the card".into(),
            input: body(r#"{"total":12.5}"#, "application/json"),
            input_headers: BTreeMap::from([("content-type".into(), "application/json".into())]),
            output: body("boom", "text/plain"),
            output_headers: BTreeMap::from([("status".into(), "503".into())]),
        }),
        waiting: vec![Waiting { element: "charge".into(), kind: "serviceTask".into(), reason: "incident".into() }],
        ended: None,
        metadata: BTreeMap::new(),
        ..completed()
    }
}

#[test]
fn a_list_of_instances_in_every_form() {
    let list = List { instances: vec![completed(), stopped()], missing: vec!["gone-1".into()] };
    insta::assert_snapshot!(every_form(&list));
}

#[test]
fn no_instances_is_an_empty_list() {
    let list = List { instances: Vec::new(), missing: Vec::new() };
    assert_eq!(list.json(), json!([]));
    assert_eq!(list.original(), json!({}));
    assert_eq!(list.text(false, NOW), "");
}

#[test]
fn a_started_instance_in_every_form() {
    let mut instance = completed();
    instance.state = State::Starting;
    instance.result = Body::default();
    instance.end_event.clear();
    instance.ended = None;
    insta::assert_snapshot!(every_form(&Started { instance, waited: false }));
}

#[test]
fn an_awaited_instance_in_every_form() {
    insta::assert_snapshot!(every_form(&Started { instance: completed(), waited: true }));
}

#[test]
fn a_result_that_is_not_json_is_base64() {
    let mut instance = completed();
    instance.result = body("plain", "text/plain");
    assert_eq!(instance.json()["result"], json!({"base64": "cGxhaW4="}));
    assert_eq!(instance.original()["result"], json!("plain"));
}

#[test]
fn only_completion_is_success() {
    assert_eq!(completed().exit(), Exit::Ok);
    assert_eq!(stopped().exit(), Exit::NotCompleted);
}

#[test]
fn an_incident_ends_the_wait_while_others_go_on() {
    let mut instance = completed();
    instance.state = State::Running;
    assert!(!instance.is_settled());
    instance.incidents = 1;
    assert!(instance.is_settled());
}

#[test]
fn what_cycles_have_let_go_is_listed_in_the_shape_of_the_original_too() {
    let timed = Timed {
        pools: vec!["a1".into(), "b2".into()],
        end_event: "sold".into(),
        result: body("{}", "application/json"),
    };
    let instance = Instance { timed_results: vec![timed], ..completed() };
    let (json, original) = (instance.json(), instance.original());
    assert_eq!(json["timed_results"][0]["result"], json!({}), "{json}");
    assert_eq!(
        original["timed_results"],
        json!([{"token-pool-id": "a1,b2", "content-type": "application/json", "end-event-name": "sold", "payload": "{}"}])
    );
}
