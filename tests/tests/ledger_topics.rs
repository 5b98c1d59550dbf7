//! Topics in the ledger alone: who gets a message, what the log keeps, and what is still known after a crash.

use control_plane::ledger::{Input, Operation, Operator, Receipt, Retention, State};
use flow_tests::harness::Model;
use flow_tests::solo::{NOW, SoloLedger};
use routing::instance::{INSTANCE_HEADER, Published};
use routing::{ActivationId, HopRecord, Payload};
use serde_json::{Value, json};

const HOUR: u64 = 3_600_000;

/// S, then a catch event on `news`, then E.
fn catcher(process: &str, global: &str, annotation: &str) -> String {
    let model = Model::new(process).global(&format!("recoverable: true\n{global}")).start("S");
    model.catches("C", "news", annotation).end("E").path(&["S", "C", "E"]).xml()
}

/// S listens to `news`; then E, which publishes to `said`.
fn listener(process: &str) -> String {
    let model = Model::new(process).event("startEvent", "S", "", "kafka_topic: news");
    model.event("endEvent", "E", "", "topic: said").path(&["S", "E"]).xml()
}

fn news(payload: &Value) -> Published {
    Published { name: "news".into(), topic: true, payload: Payload::json(payload), ..Published::default() }
}

fn to(instance: &str, payload: &Value) -> Published {
    let headers = [(INSTANCE_HEADER.to_owned(), instance.to_owned())].into();
    Published { headers, ..news(payload) }
}

fn result(bench: &SoloLedger, instance: &routing::InstanceId) -> Value {
    bench.views[instance].result.as_ref().expect("it has ended").to_json().unwrap()
}

#[test]
fn the_message_updates_the_instance_that_has_its_key_whoever_comes_first() {
    let mut bench = SoloLedger::new(&[catcher("P", "", "correlation: pant-owner")]);
    let waits = bench.start("P", &json!({"pant-owner": "ann", "size": 1}));
    bench.crash();
    let receipt = bench.send(news(&json!({"pant-owner": "ann", "size": 2})));
    assert_eq!(receipt.instances, std::slice::from_ref(&waits));
    assert_eq!(result(&bench, &waits), json!({"pant-owner": "ann", "size": 2}), "the message's values win");

    for n in 0..3 {
        let kept = bench.send(news(&json!({"pant-owner": "bob", "n": n})));
        assert_eq!((kept.instances.len(), kept.offset), (0, Some(n + 2)));
    }
    bench.send(news(&json!({"pant-owner": 7})));
    bench.crash();
    for n in 0..3 {
        let later = bench.start("P", &json!({"pant-owner": "bob"}));
        assert_eq!(result(&bench, &later)["n"], n, "in the order of coming, each once");
    }
    let number = bench.start("P", &json!({"pant-owner": 7}));
    assert_eq!(bench.state(&number), State::Completed, "a number is a key too");
    let none = bench.start("P", &json!({"pant-owner": "bob"}));
    assert_eq!(bench.state(&none), State::Starting);
    let without = bench.start("P", &json!({"size": 1}));
    assert_eq!(bench.state(&without), State::Stopped, "without its key it waits for nobody: an incident says so");
}

#[test]
fn without_correlation_the_headers_name_the_instance() {
    let mut bench = SoloLedger::new(&[catcher("P", "", "")]);
    let (one, two) = (bench.start("P", &json!({"v": 1})), bench.start("P", &json!({"v": 2})));
    assert_eq!(bench.send(news(&json!({"v": 9}))).instances, []);
    assert_eq!(bench.send(to(two.as_str(), &json!({"v": 4}))).instances, std::slice::from_ref(&two));
    bench.crash();
    assert_eq!((bench.state(&one), result(&bench, &two)), (State::Starting, json!({"v": 4})));
    let definition = &bench.definitions[0];
    let future = format!("{}-3", definition.deployment);
    bench.send(to(&future, &json!({"v": 5})));
    let three = bench.start("P", &json!({"v": 3}));
    assert_eq!((three.as_str(), result(&bench, &three)), (future.as_str(), json!({"v": 5})), "it came before");
}

#[test]
fn a_wait_expires_as_an_incident_that_waits_anew() {
    let mut bench = SoloLedger::new(&[catcher("P", "catch_event_expiration: 2", "correlation: k")]);
    bench.send(news(&json!({"k": 1, "old": true})));
    bench.until(NOW + 2 * HOUR + 1);
    let instance = bench.start("P", &json!({"k": 1}));
    assert_eq!(bench.state(&instance), State::Starting, "the message is too old for it");
    bench.crash();
    bench.until(bench.now + 2 * HOUR);
    let view = bench.ledger.view(&instance).unwrap();
    assert_eq!(view.failure.unwrap().0.code.as_str(), "CATCH_EVENT_EXPIRED");
    let again = Operation::Start { payload: None, same_key: false };
    bench.tell(Input::Operate(5, instance.clone(), Operator::default(), again));
    bench.until(bench.now + 1_000);
    bench.send(news(&json!({"k": 1, "old": false})));
    assert_eq!(result(&bench, &instance)["old"], false);
}

#[test]
fn an_id_starts_one_instance_of_each_process_that_listens() {
    let mut bench = SoloLedger::new(&[listener("P"), listener("Q")]);
    let with_id = || Published { id: Some("m-1".into()), ..news(&json!({"a": 1})) };
    let receipt = bench.send(with_id());
    assert_eq!((receipt.started.len(), receipt.offset), (2, Some(1)));
    bench.crash();
    assert_eq!(bench.send(with_id()), Receipt { known: true, ..Receipt::default() });
    assert_eq!(bench.ledger.records("news", 0, 10).0.len(), 1);
    assert_eq!(bench.send(news(&json!({"a": 1}))).started.len(), 2, "without an id each message is its own");
    let (said, next) = bench.ledger.records("said", 0, 10);
    assert_eq!((said.len(), next), (4, 5), "each end published once");
    assert!(said.iter().all(|it| it.payload.to_json() == Some(json!({"a": 1}))));
    assert_eq!(said[0].headers[INSTANCE_HEADER], receipt.started[0].as_str());
}

#[test]
fn a_process_listens_from_its_first_deployment_on() {
    let mut bench = SoloLedger::new(&[listener("P")]);
    bench.send(news(&json!({"n": 1})));
    bench.apply(&listener("Q"));
    assert_eq!(bench.views.len(), 1, "what came before is not for it");
    // nothing takes instances for a moment
    bench.tell(Input::Deployed(Vec::new()));
    assert_eq!(bench.send(news(&json!({"n": 2}))).started, []);
    bench.crash();
    assert_eq!(bench.views.len(), 3, "both have had the second");
    bench.crash();
    assert_eq!(bench.views.len(), 3);
}

#[test]
fn an_operator_subscribes_a_process_that_knows_of_no_topic() {
    let mut bench = SoloLedger::new(&[Model::new("P").start("S").end("E").path(&["S", "E"]).xml()]);
    bench.send(news(&json!({"n": 1})));
    bench.subscribed.push(("P".into(), ("news".into(), "S".into())));
    bench.deployed();
    assert_eq!(bench.views.len(), 0, "what came before is not for it");
    bench.crash();
    let started = bench.send(news(&json!({"n": 2}))).started.remove(0);
    assert_eq!(result(&bench, &started), json!({"n": 2}));
    bench.subscribed.clear();
    bench.deployed();
    assert_eq!(bench.send(news(&json!({"n": 3}))).started, []);
    bench.subscribed.push(("P".into(), ("news".into(), "S".into())));
    bench.crash();
    assert_eq!(bench.views.len(), 1, "what came while it was unsubscribed is not for it");
}

#[test]
fn bodies_go_through_as_they_are() {
    let mut bench = SoloLedger::new(&[listener("P")]);
    let payload = Payload { content_type: "text/plain".into(), body: "\u{0}not JSON".into() };
    let started = bench.send(Published { payload: payload.clone(), ..news(&json!({})) }).started.remove(0);
    assert_eq!(bench.views[&started].result.as_ref(), Some(&payload));
    assert_eq!(bench.ledger.records("said", 0, 1).0[0].payload, payload);
}

#[test]
fn a_log_keeps_so_many_for_so_long_and_offsets_are_never_given_again() {
    let mut bench = SoloLedger::new(&[]);
    bench.ledger.set_retention(Retention { age: HOUR, count: 3 });
    for n in 1..=5 {
        assert_eq!(bench.send(news(&json!({ "n": n }))).offset, Some(n));
    }
    let offsets =
        |bench: &SoloLedger| -> Vec<u64> { bench.ledger.records("news", 0, 10).0.iter().map(|it| it.offset).collect() };
    assert_eq!(offsets(&bench), [3, 4, 5]);
    bench.crash();
    assert_eq!(offsets(&bench), [3, 4, 5]);
    let on_disk = |bench: &SoloLedger| bench.disk.keys().filter(|key: &&Vec<u8>| key.starts_with(b"m/")).count();
    assert_eq!(on_disk(&bench), 3);
    bench.until(NOW + 73 * HOUR);
    assert!(offsets(&bench).is_empty());
    bench.crash();
    assert_eq!(on_disk(&bench), 0);
    assert_eq!(bench.send(news(&json!({}))).offset, Some(6));
    let view = &bench.ledger.topics()[0];
    assert_eq!((view.first, view.next, view.records), (6, 7, 1));
}

/// What the topic `states` has been told, in order.
fn told(bench: &SoloLedger) -> Vec<Value> {
    bench.ledger.records("states", 0, 100).0.iter().map(|it| it.payload.to_json().unwrap()).collect()
}

/// S, then a catch event on `news`, then E; tells `states`.
fn telling(more: &str) -> String {
    catcher(
        "P",
        &format!("notification_kafka_topic: states\nuser_metadata: {{team: a, n: 7}}\n{more}"),
        "correlation: k",
    )
}

#[test]
fn each_state_of_an_instance_is_in_the_topic_it_notifies_once_and_in_order_whatever_dies() {
    let mut bench = SoloLedger::new(&[telling(""), catcher("Q", "", "correlation: k")]);
    let (instance, other) = (bench.start("P", &json!({"k": "1"})), bench.start("P", &json!({"k": "2"})));
    bench.start("Q", &json!({"k": "3"}));
    bench.crash();
    bench.send(news(&json!({"k": "1", "n": 2})));
    bench.crash();
    bench.tell(Input::Cancel(1, other.clone(), Operator::default()));
    bench.crash();
    let told = told(&bench);
    let states: Vec<_> =
        told.iter().map(|it| (it["instance_id"].as_str().unwrap(), it["instance_state"].clone())).collect();
    let (one, two) = (instance.as_str(), other.as_str());
    assert_eq!(
        states,
        [(one, json!("STARTING")), (two, json!("STARTING")), (one, json!("COMPLETED")), (two, json!("CANCELLED"))]
    );
    let completed = &told[2];
    assert_eq!(
        (&completed["event_type"], &completed["content-type"]),
        (&json!("ETCD_PUT"), &json!("application/json"))
    );
    assert_eq!(completed["workflow_id"], json!(bench.views[&instance].deployment.as_str()));
    let data = &completed["instance_data"];
    assert_eq!((&data["end_event"], &data["state"]), (&json!("e"), &json!("COMPLETED")), "{data}");
    assert_eq!(serde_json::from_str::<Value>(data["result"].as_str().unwrap()).unwrap(), json!({"k": "1", "n": 2}));
    assert_eq!(data["metadata"], json!({"team": "a", "n": "7"}), "what the model says");
}

#[test]
fn a_failure_is_told_with_its_record() {
    let mut bench = SoloLedger::new(&[telling("catch_event_expiration: 1")]);
    bench.start("P", &json!({"k": "1"}));
    bench.until(NOW + 2 * HOUR);
    let told = told(&bench);
    let stopped = told.iter().find(|it| it["instance_state"] == "STOPPED").unwrap_or_else(|| panic!("{told:?}"));
    let data = &stopped["instance_data"];
    assert_eq!((&data["failed_task_id"], &data["input_data"]), (&json!("C"), &json!({"k": "1"})), "{data}");
    assert!(data["error_code"].is_string() && data["error_msg"].is_string(), "{data}");
}

#[test]
fn a_webhook_is_told_of_states_and_hops_in_their_order_whatever_dies() {
    let url = "http://h/hook";
    let global = format!("notification_webhook: {url}\nnotification_hops: true");
    let mut bench = SoloLedger::new(&[telling(&global)]);
    let instance = bench.start("P", &json!({"k": "1"}));
    bench.crash();
    bench.send(news(&json!({"k": "1"})));
    bench.crash();
    // as a sidecar tells of one when the instance is over already
    let of = |instance: &str| HopRecord { instance: instance.into(), element: "T".into(), ..hop() };
    bench.tell(Input::Hops(vec![of(instance.as_str()), of("Q-00000000-1")]));
    bench.crash();
    let topic = told(&bench);
    let mut hook = Vec::new();
    while let Some(notice) = bench.ledger.next_notice(url) {
        assert_eq!(notice.instance, instance);
        hook.push(serde_json::from_slice::<Value>(&notice.body).unwrap());
        bench.tell(Input::Noticed(vec![notice.number]));
    }
    assert_eq!(hook, topic, "both are told the same");
    let what = |it: &Value| match it["event_type"].as_str().unwrap() {
        "ETCD_PUT" => it["instance_state"].clone(),
        "REQUEST_SENT" => it["task_id"].clone(),
        other => panic!("{other}"),
    };
    let order: Vec<Value> = hook.iter().map(what).collect();
    assert_eq!(order.first(), Some(&json!("STARTING")));
    assert_eq!(order.last(), Some(&json!("T")), "{order:?}");
    for element in ["S", "C", "E"] {
        assert_eq!(order.iter().filter(|it| *it == element).count(), 1, "{element}: {order:?}");
    }
    assert_eq!(order.iter().filter(|it| *it == "COMPLETED").count(), 1, "{order:?}");
    assert_eq!(hook.last().unwrap()["workflow_id"], json!(bench.views[&instance].deployment.as_str()));
}

#[test]
fn without_being_asked_for_hops_only_states_are_told() {
    let mut bench = SoloLedger::new(&[telling("")]);
    let instance = bench.start("P", &json!({"k": "1"}));
    bench.tell(Input::Hops(vec![HopRecord { instance, element: "T".into(), ..hop() }]));
    assert!(!bench.ledger.tells_hops());
    assert_eq!(told(&bench).len(), 1);
}

fn hop() -> HopRecord {
    HopRecord {
        instance: "i".into(),
        element: "T".into(),
        name: "Task".to_owned(),
        kind: "serviceTask".to_owned(),
        activation: ActivationId(7),
        parent: ActivationId(6),
        started: NOW,
        ended: NOW + 1,
        attempts: 1,
        status: "completed".to_owned(),
        warnings: Vec::new(),
        trace_id: String::new(),
    }
}

#[test]
fn with_a_broker_notifications_are_produced_like_what_instances_throw() {
    let mut bench = SoloLedger::beside_a_broker(&[telling("")]);
    let instance = bench.start("P", &json!({"k": "1"}));
    bench.crash();
    let (thrown, _) = bench.ledger.thrown(0, 10);
    assert_eq!(thrown.len(), 1);
    let message = &thrown[0].message;
    assert_eq!((message.name.as_str(), &message.headers[INSTANCE_HEADER]), ("states", &instance.as_str().to_owned()));
    assert!(message.id.is_some(), "so that it is produced under one id however often");
}
