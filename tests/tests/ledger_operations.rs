//! What operators do to open instances, in the ledger alone: what it keeps meanwhile, and what it still knows after a crash.

use control_plane::ledger::{Answer, Input, Operation, Operator, State};
use flow_tests::game::flow;
use flow_tests::solo::{NOW, SoloLedger, message, model, payer};
use routing::InstanceId;
use serde_json::json;

fn operate(solo: &mut SoloLedger, instance: &InstanceId, operation: Operation) -> Answer {
    let by = Operator { who: "ann".into(), why: "to look".into() };
    solo.tell(Input::Operate(9, instance.clone(), by, operation));
    solo.answers.pop().expect("an answer")
}

/// S, a timer of ten seconds, a user task, the end.
fn timed() -> String {
    let timer = "<timerEventDefinition><timeDuration>PT10S</timeDuration></timerEventDefinition>";
    let inside = [
        format!(r#"<startEvent id="S"/><intermediateCatchEvent id="T">{timer}</intermediateCatchEvent>"#),
        r#"<userTask id="U"><extensionElements><zeebe:userTask/></extensionElements></userTask>"#.to_owned(),
        flow("f1", "S", "T"),
        flow("f2", "T", "U"),
        flow("f3", "U", "E"),
    ];
    model("P", "1", &inside.concat())
}

#[test]
fn timers_of_a_suspended_instance_fire_when_it_is_resumed() {
    let mut solo = SoloLedger::new(&[timed()]);
    let instance = solo.start("P", &json!({}));
    assert_eq!(operate(&mut solo, &instance, Operation::Suspend), Answer::Done);
    for crash in [false, true] {
        if crash {
            solo.crash();
        }
        solo.until(NOW + 60_000);
        let view = solo.ledger.view(&instance).unwrap();
        assert_eq!((view.state, view.tasks.len(), view.waiting.len()), (State::Suspended, 0, 1), "{view:#?}");
        assert_eq!(solo.ledger.next_tick().filter(|at| *at <= solo.now), None, "nothing turns in circles");
    }
    assert_eq!(operate(&mut solo, &instance, Operation::Resume), Answer::Done);
    assert_eq!(solo.state(&instance), State::Running);
    solo.complete(&instance);
    assert_eq!(solo.state(&instance), State::Completed);
    let recorded: Vec<_> = solo.views[&instance].operations.iter().map(|it| (it.at, it.what.as_str())).collect();
    assert_eq!(recorded, [(NOW, "suspend"), (NOW + 60_000, "resume")]);
}

#[test]
fn a_timer_that_is_not_due_keeps_its_time() {
    let mut solo = SoloLedger::new(&[timed()]);
    let instance = solo.start("P", &json!({}));
    operate(&mut solo, &instance, Operation::Suspend);
    solo.until(NOW + 1_000);
    operate(&mut solo, &instance, Operation::Resume);
    solo.until(NOW + 9_999);
    assert_eq!(solo.ledger.view(&instance).unwrap().tasks.len(), 0);
    solo.until(NOW + 10_001);
    assert_eq!(solo.ledger.view(&instance).unwrap().tasks.len(), 1);
}

#[test]
fn messages_and_completed_tasks_are_kept_while_an_instance_is_suspended() {
    let mut solo = SoloLedger::new(&[payer("Q", "1"), timed()]);
    let payer = solo.start("Q", &json!({"order": "1"}));
    let timed = solo.start("P", &json!({}));
    solo.until(NOW + 10_000);
    for instance in [&payer, &timed] {
        assert_eq!(operate(&mut solo, instance, Operation::Suspend), Answer::Done);
    }
    assert_eq!(solo.send(message("paid", Some("1"), 0)).instances, std::slice::from_ref(&payer));
    solo.complete(&timed);
    solo.crash();
    for instance in [&payer, &timed] {
        assert_eq!(solo.state(instance), State::Suspended);
        assert!(solo.ledger.view(instance).unwrap().waiting[0].reason.contains("flowctl resume"));
        assert_eq!(operate(&mut solo, instance, Operation::Resume), Answer::Done);
        assert_eq!(solo.state(instance), State::Completed);
    }
    assert_eq!(solo.views[&payer].result.as_ref().unwrap().to_json().unwrap()["by"], "paid");
    assert_eq!(solo.send(message("paid", Some("1"), 0)).instances, [], "it was taken once");
}

#[test]
fn what_cannot_be_done_is_refused_and_not_recorded() {
    let mut solo = SoloLedger::new(&[timed()]);
    let instance = solo.start("P", &json!({}));
    let refused = |answer: Answer| matches!(answer, Answer::WrongState(_));
    assert!(refused(operate(&mut solo, &instance, Operation::Resume)));
    assert_eq!(operate(&mut solo, &instance, Operation::Suspend), Answer::Done);
    assert!(refused(operate(&mut solo, &instance, Operation::Suspend)));
    assert_eq!(solo.ledger.view(&instance).unwrap().operations.len(), 1);
    assert_eq!(operate(&mut solo, &InstanceId::from("P-nobody"), Operation::Suspend), Answer::NotFound);
}

#[test]
fn who_cancelled_it_and_why_is_recorded() {
    let mut solo = SoloLedger::new(&[timed()]);
    let instance = solo.start("P", &json!({}));
    let by = Operator { who: "ann".into(), why: "not wanted".into() };
    solo.tell(Input::Cancel(1, instance.clone(), by.clone()));
    let view = &solo.views[&instance];
    assert_eq!(view.state, State::Cancelled);
    assert_eq!(view.operations.iter().map(|it| (it.what.as_str(), &it.by)).collect::<Vec<_>>(), [("cancel", &by)]);
}

#[test]
fn the_last_hundred_operations_are_remembered() {
    let mut solo = SoloLedger::new(&[timed()]);
    let instance = solo.start("P", &json!({}));
    for _ in 0..60 {
        operate(&mut solo, &instance, Operation::Suspend);
        operate(&mut solo, &instance, Operation::Resume);
    }
    solo.crash();
    let operations = solo.ledger.view(&instance).unwrap().operations;
    assert_eq!((operations.len(), operations[99].what.as_str()), (100, "resume"));
}

#[test]
fn nothing_is_kept_of_an_instance_that_has_failed_with_all_its_tokens_here() {
    let inside = format!(
        r#"<startEvent id="S"/><userTask id="A"><extensionElements><zeebe:userTask/></extensionElements></userTask><exclusiveGateway id="X"/>
           <manualTask id="B"/>{}{}{}<sequenceFlow id="one" sourceRef="X" targetRef="E"><conditionExpression>n = 1</conditionExpression></sequenceFlow>
           <sequenceFlow id="two" sourceRef="X" targetRef="B"><conditionExpression>n = 2</conditionExpression></sequenceFlow>
           <textAnnotation id="G"><text>rexflow_global_properties: {{recoverable: false}}</text></textAnnotation>"#,
        flow("f1", "S", "A"),
        flow("f2", "A", "X"),
        flow("f3", "B", "E"),
    );
    let mut solo = SoloLedger::new(&[model("P", "1", &inside)]);
    let instance = solo.start("P", &json!({"n": 3}));
    solo.complete(&instance);
    assert_eq!(solo.state(&instance), State::Error);
    solo.tell(Input::Tombstones(7));
    assert_eq!(solo.answers.pop(), Some(Answer::Tombstones(Vec::new())), "no token of it can be on its way");
}
