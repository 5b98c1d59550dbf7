//! Variables that an operator sets: who sees them, and when they cannot be set.

use control_plane::ledger::{Answer, Input, Operation, Operator, State};
use flow_tests::game::flow;
use flow_tests::solo::{SoloLedger, model};
use routing::{InstanceId, Payload};
use serde_json::{Value, json};

fn set(solo: &mut SoloLedger, instance: &InstanceId, scope: Option<&str>, values: Value) -> Answer {
    let by = Operator { who: "ann".into(), why: "a slip".into() };
    let operation = Operation::set(scope.map(str::to_owned), &Payload::json(&values)).expect("an object");
    solo.tell(Input::Operate(9, instance.clone(), by, operation));
    solo.answers.pop().expect("an answer")
}

fn user(id: &str) -> String {
    format!(r#"<userTask id="{id}"><extensionElements><zeebe:userTask/></extensionElements></userTask>"#)
}

fn result(solo: &SoloLedger, instance: &InstanceId) -> Value {
    solo.views[instance].result.as_ref().expect("a result").to_json().expect("JSON")
}

/// Two user tasks at once, then the end.
fn parallel() -> String {
    let gateways = r#"<startEvent id="S"/><parallelGateway id="F"/><parallelGateway id="J"/>"#.to_owned();
    let flows = [("S", "F"), ("F", "A"), ("F", "B"), ("A", "J"), ("B", "J"), ("J", "E")];
    let flows = flows.map(|(from, to)| flow(&format!("{from}{to}"), from, to)).concat();
    model("P", "1", &[gateways, user("A"), user("B"), flows].concat())
}

#[test]
fn every_token_carries_what_was_set_also_one_that_waits_at_a_join() {
    let mut solo = SoloLedger::new(&[parallel()]);
    let instance = solo.start("P", &json!({"x": 1, "y": 1}));
    solo.complete(&instance);
    assert_eq!(set(&mut solo, &instance, None, json!({"x": 2})), Answer::Done);
    solo.crash();
    solo.complete(&instance);
    assert_eq!(solo.state(&instance), State::Completed);
    assert_eq!((&result(&solo, &instance)["x"], &result(&solo, &instance)["y"]), (&json!(2), &json!(1)));
    let view = &solo.views[&instance];
    let operation = &view.operations[0];
    assert_eq!(
        (operation.what.as_str(), operation.by.who.as_str(), operation.by.why.as_str()),
        ("set x", "ann", "a slip")
    );
}

#[test]
fn what_is_set_in_a_sub_process_stays_there_unless_it_is_the_process_s() {
    let inside =
        [r#"<startEvent id="s"/><endEvent id="e"/>"#.to_owned(), user("A"), flow("i1", "s", "A"), flow("i2", "A", "e")];
    let body = format!(r#"<startEvent id="S"/><subProcess id="Sub">{}</subProcess>"#, inside.concat());
    let mut solo =
        SoloLedger::new(&[model("P", "1", &[body, flow("f1", "S", "Sub"), flow("f2", "Sub", "E")].concat())]);
    let instance = solo.start("P", &json!({"x": 1}));
    assert_eq!(set(&mut solo, &instance, Some("Sub"), json!({"own": 3})), Answer::Done);
    assert_eq!(set(&mut solo, &instance, None, json!({"x": 2, "own": 4})), Answer::Done);
    solo.complete(&instance);
    assert_eq!(solo.state(&instance), State::Completed);
    assert_eq!(result(&solo, &instance), json!({"x": 2, "own": 4, "ok": true}), "the inner one is not the outer one");
}

#[test]
fn a_condition_that_becomes_true_fires() {
    let event = r#"<conditionalEventDefinition><condition>=x &gt; 5</condition></conditionalEventDefinition>"#;
    let catch = format!(r#"<startEvent id="S"/><intermediateCatchEvent id="C">{event}</intermediateCatchEvent>"#);
    let mut solo = SoloLedger::new(&[model("P", "1", &[catch, flow("f1", "S", "C"), flow("f2", "C", "E")].concat())]);
    let instance = solo.start("P", &json!({"x": 1}));
    assert_eq!(set(&mut solo, &instance, None, json!({"x": 5})), Answer::Done);
    assert_ne!(solo.state(&instance), State::Completed);
    solo.crash();
    assert_eq!(set(&mut solo, &instance, None, json!({"x": 6})), Answer::Done);
    assert_eq!(solo.state(&instance), State::Completed);
    let whats: Vec<_> = solo.views[&instance].operations.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(whats, ["set x", "set x"], "recorded although it ended the instance");
}

#[test]
fn what_cannot_be_set_changes_nothing_and_is_told() {
    let mut solo = SoloLedger::new(&[parallel()]);
    let instance = solo.start("P", &json!({"x": 1}));
    let Answer::WrongState(why) = set(&mut solo, &instance, Some("nothing"), json!({"x": 2})) else {
        panic!("refused")
    };
    assert!(why.contains("no activity \"nothing\" is open"), "{why}");
    assert_eq!(set(&mut solo, &InstanceId::from("none"), None, json!({"x": 2})), Answer::NotFound);
    for no_object in [json!([1]), json!({}), json!(3)] {
        assert!(Operation::set(None, &Payload::json(&no_object)).is_err(), "{no_object}");
    }
    solo.complete(&instance);
    solo.complete(&instance);
    assert_eq!(result(&solo, &instance)["x"], 1);
    assert!(solo.views[&instance].operations.is_empty());
}
