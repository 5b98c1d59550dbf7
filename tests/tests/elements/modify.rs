//! Tokens that an operator moves: where they go on, what closes behind them, and what is refused as a whole.

use control_plane::ledger::{Answer, Input, Operation, Operator, State};
use flow_tests::game::flow;
use flow_tests::solo::{NOW, SoloLedger, model};
use routing::{InstanceId, Payload};
use serde_json::{Value, json};

fn modify(solo: &mut SoloLedger, instance: &InstanceId, moves: &[(&str, &str)], values: Value) -> Answer {
    let by = Operator { who: "ann".into(), why: "a wrong turn".into() };
    let moves = moves.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    let operation = Operation::moving(moves, Some(&Payload::json(&values))).expect("moves");
    solo.tell(Input::Operate(9, instance.clone(), by, operation));
    solo.answers.pop().expect("an answer")
}

#[track_caller]
fn refused(solo: &mut SoloLedger, instance: &InstanceId, moves: &[(&str, &str)], why: &str) {
    match modify(solo, instance, moves, json!({})) {
        Answer::WrongState(told) => assert!(told.contains(why), "{moves:?}: {told}"),
        other => panic!("{moves:?}: {other:?}"),
    }
}

fn user(id: &str) -> String {
    format!(r#"<userTask id="{id}"><extensionElements><zeebe:userTask/></extensionElements></userTask>"#)
}

/// The elements of open user tasks.
fn tasks(solo: &SoloLedger, instance: &InstanceId) -> Vec<String> {
    let view = solo.ledger.view(instance).expect("it is open");
    let mut all: Vec<String> = view.tasks.iter().map(|it| it.element.as_str().to_owned()).collect();
    all.sort();
    all
}

fn flows(all: &[(&str, &str)]) -> String {
    all.iter().map(|(from, to)| flow(&format!("{from}-{to}"), from, to)).collect()
}

#[test]
fn a_token_moves_with_its_variables_and_leaves_nothing_behind() {
    let late = r#"<boundaryEvent id="late" attachedToRef="A"><timerEventDefinition><timeDuration>PT10S</timeDuration></timerEventDefinition></boundaryEvent>"#;
    let body = [r#"<startEvent id="S"/>"#, &user("A"), &user("B"), late].concat();
    let mut solo = SoloLedger::new(&[model(
        "P",
        "1",
        &[body, flows(&[("S", "A"), ("A", "B"), ("B", "E"), ("late", "E")])].concat(),
    )]);
    let instance = solo.start("P", &json!({"x": 1}));
    assert_eq!(tasks(&solo, &instance), ["A"]);
    assert_eq!(modify(&mut solo, &instance, &[("A", "B")], json!({"y": 2})), Answer::Done);
    solo.crash();
    solo.until(NOW + 60_000);
    assert_eq!(tasks(&solo, &instance), ["B"], "the timer of A is gone");
    assert_eq!(modify(&mut solo, &instance, &[("B", "A")], json!({})), Answer::Done, "backwards too");
    assert_eq!(tasks(&solo, &instance), ["A"]);
    solo.until(NOW + 120_000);
    assert_eq!(solo.state(&instance), State::Completed, "and A has its timer again");
    let result = solo.views[&instance].result.as_ref().unwrap().to_json().unwrap();
    assert_eq!(result, json!({"x": 1, "y": 2}));
    let whats: Vec<_> = solo.views[&instance].operations.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(whats, ["move A to B", "move B to A"]);
}

#[test]
fn a_sub_process_closes_when_its_token_moves_and_a_loop_moves_as_one() {
    let inside =
        [r#"<startEvent id="s"/><endEvent id="e"/>"#.to_owned(), user("I"), flows(&[("s", "I"), ("I", "e")])].concat();
    let repeat = r#"<multiInstanceLoopCharacteristics><extensionElements><zeebe:loopCharacteristics inputCollection="=[1,2,3]" inputElement="it"/></extensionElements></multiInstanceLoopCharacteristics>"#;
    let looped = user("L").replace("</userTask>", &format!("{repeat}</userTask>"));
    let body = [
        r#"<startEvent id="S"/>"#.to_owned(),
        format!(r#"<subProcess id="Sub">{inside}</subProcess>"#),
        looped,
        user("B"),
    ];
    let flows = flows(&[("S", "Sub"), ("Sub", "L"), ("L", "B"), ("B", "E")]);
    let mut solo = SoloLedger::new(&[model("P", "1", &[body.concat(), flows].concat())]);
    let instance = solo.start("P", &json!({}));
    refused(&mut solo, &instance, &[("I", "B")], "cannot cross scopes");
    assert_eq!(modify(&mut solo, &instance, &[("Sub", "L")], json!({})), Answer::Done);
    assert_eq!(tasks(&solo, &instance), ["L", "L", "L"]);
    solo.complete(&instance);
    solo.crash();
    assert_eq!(modify(&mut solo, &instance, &[("L", "B")], json!({})), Answer::Done);
    assert_eq!(tasks(&solo, &instance), ["B"]);
    solo.complete(&instance);
    assert_eq!(solo.state(&instance), State::Completed);
}

#[test]
fn a_token_at_a_join_goes_back_and_the_join_still_fires_once() {
    let gateways = r#"<startEvent id="S"/><parallelGateway id="F"/><parallelGateway id="J"/>"#.to_owned();
    let flows = flows(&[("S", "F"), ("F", "A"), ("F", "B"), ("A", "J"), ("B", "J"), ("J", "Z"), ("Z", "E")]);
    let body = [gateways, user("A"), user("B"), user("Z"), flows].concat();
    let mut solo = SoloLedger::new(&[model("P", "1", &body)]);
    let instance = solo.start("P", &json!({}));
    solo.complete(&instance);
    let left = tasks(&solo, &instance);
    assert_eq!(left.len(), 1, "{left:?}");
    let done = if left[0] == "A" { "B" } else { "A" };
    refused(&mut solo, &instance, &[(&left[0], "J")], "joins flows");
    assert_eq!(modify(&mut solo, &instance, &[("J", done)], json!({})), Answer::Done);
    solo.crash();
    assert_eq!(tasks(&solo, &instance), ["A", "B"]);
    solo.complete(&instance);
    assert_eq!(tasks(&solo, &instance).len(), 1, "the other one is waited for");
    solo.complete(&instance);
    assert_eq!(tasks(&solo, &instance), ["Z"]);
    solo.complete(&instance);
    assert_eq!(solo.state(&instance), State::Completed);
}

#[test]
fn one_wrong_move_refuses_all_of_them() {
    let late = r#"<boundaryEvent id="late" attachedToRef="A"><timerEventDefinition><timeDuration>PT10S</timeDuration></timerEventDefinition></boundaryEvent>"#;
    let body = [r#"<startEvent id="S"/>"#, &user("A"), &user("B"), late].concat();
    let mut solo = SoloLedger::new(&[model(
        "P",
        "1",
        &[body, flows(&[("S", "A"), ("A", "B"), ("B", "E"), ("late", "E")])].concat(),
    )]);
    let instance = solo.start("P", &json!({}));
    for (moves, why) in [
        (&[("A", "nowhere")][..], "no element \"nowhere\""),
        (&[("B", "A")], "no token at \"B\""),
        (&[("A", "S")], "no flow leads to"),
        (&[("A", "late")], "no flow leads to"),
        (&[("A", "B"), ("A", "E")], "would move twice"),
        (&[("A", "B"), ("B", "A")], "no token at \"B\""),
    ] {
        refused(&mut solo, &instance, moves, why);
        assert_eq!(tasks(&solo, &instance), ["A"]);
    }
    assert!(Operation::moving(Vec::new(), None).is_err());
    assert!(solo.ledger.view(&instance).unwrap().operations.is_empty());
    assert_eq!(modify(&mut solo, &instance, &[("A", "E")], json!({})), Answer::Done, "an end event ends it");
    assert_eq!(solo.state(&instance), State::Completed);
}
