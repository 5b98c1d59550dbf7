//! Tasks that answer later: what is waited for, what is taken, once, and what comes of it.

use control_plane::ledger::{Answer as Reply, State};
use flow_tests::game::{Game, SEAL, answer, flow, model, task};
use routing::callback::{Callback, TIMEOUT};
use routing::mapping::Answer;
use routing::{ActivationId, FailureCode, InstanceId, Payload};
use serde_json::{Value, json};

/// A task that takes the work and says that it calls back.
fn later(body: &str) -> Game {
    let takes = |_: &str, _: u32, _: &Value| (1, answer(202, &json!({})).map(|it| Answer { asynchronous: true, ..it }));
    Game::new(&model(body), Box::new(takes))
}

fn one() -> String {
    [r#"<startEvent id="S"/>"#, &task("T"), r#"<endEvent id="E"/>"#, &flow("f1", "S", "T"), &flow("f2", "T", "E")]
        .concat()
}

fn with_boundary(event: &str, interrupting: bool) -> String {
    let boundary = format!(
        r#"<boundaryEvent id="B" attachedToRef="T" cancelActivity="{interrupting}">{event}</boundaryEvent><endEvent id="EB"/>"#
    );
    [one(), boundary, flow("f3", "B", "EB")].concat()
}

/// An instance whose task has been called, and the call.
fn called(game: &mut Game) -> (InstanceId, ActivationId) {
    let instance = game.start("S", &json!({"x": 1}));
    game.settle_offers();
    (instance, *game.activations.last().expect("it was called"))
}

fn result(value: &Value) -> Callback {
    Callback::Result(Payload::json(value))
}

#[test]
fn the_first_callback_with_the_right_seal_is_the_answer() {
    let mut game = later(&one());
    let (instance, call) = called(&mut game);
    let view = game.view(&instance);
    assert_eq!(view.state, State::Running);
    assert!(view.waiting[0].reason.starts_with("waits for its callback until"), "{:?}", view.waiting);
    game.restart_ledger();
    assert!(matches!(game.call_back(&instance, call, "guess", result(&json!({"y": 0}))), Reply::Forbidden(_)));
    assert_eq!(game.call_back(&instance, ActivationId(7), SEAL, result(&json!({}))), Reply::NotFound);
    assert_eq!(game.view(&instance).waiting.len(), 1, "nothing has changed");
    assert_eq!(game.call_back(&instance, call, SEAL, result(&json!({"y": 2}))), Reply::Done);
    let view = game.view(&instance);
    assert_eq!(view.state, State::Completed);
    assert_eq!(view.result.and_then(|it| it.to_json()), Some(json!({"x": 1, "y": 2})));
    assert_eq!(game.call_back(&instance, call, SEAL, result(&json!({"y": 3}))), Reply::NotFound, "it is over");
    assert_eq!((game.count("T"), game.alarms.len()), (1, 0));
}

#[test]
fn a_second_callback_changes_nothing() {
    let body = one().replace(r#"targetRef="E""#, r#"targetRef="U""#);
    let user = r#"<userTask id="U"><extensionElements><zeebe:userTask/></extensionElements></userTask>"#;
    let mut game = later(&[body, user.to_owned(), flow("f3", "U", "E")].concat());
    let (instance, call) = called(&mut game);
    assert_eq!(game.call_back(&instance, call, SEAL, result(&json!({"y": 2}))), Reply::Done);
    let before = game.view(&instance);
    assert_eq!(before.tasks.len(), 1);
    for again in [result(&json!({"y": 3})), Callback::Heartbeat, Callback::Failure("late".into())] {
        assert!(matches!(game.call_back(&instance, call, SEAL, again), Reply::WrongState(_)));
        assert_eq!(game.view(&instance), before);
    }
}

#[test]
fn without_a_callback_in_time_it_is_an_incident_and_heartbeats_give_more_time() {
    let mut game = later(&one());
    let (instance, call) = called(&mut game);
    let begun = game.now();
    game.pass(TIMEOUT - 1);
    assert_eq!(game.call_back(&instance, call, SEAL, Callback::Heartbeat), Reply::Done);
    game.restart_ledger();
    game.pass(TIMEOUT - 1);
    assert_eq!(game.view(&instance).incidents, [], "{} later", game.now() - begun);
    game.pass(1);
    let view = game.view(&instance);
    assert_eq!((view.state, view.incidents[0].failure.code), (State::Stopped, FailureCode::FailedTask));
    assert!(view.incidents[0].failure.message.contains("call back in time"), "{view:?}");
    assert!(matches!(game.call_back(&instance, call, SEAL, result(&json!({}))), Reply::WrongState(_)), "too late");
    game.tell_start(&instance);
    game.settle_offers();
    let again = *game.activations.last().unwrap();
    assert_ne!(again, call, "the second call has an address of its own");
    assert!(matches!(game.call_back(&instance, call, SEAL, result(&json!({}))), Reply::WrongState(_)));
    assert_eq!(game.call_back(&instance, again, SEAL, result(&json!({}))), Reply::Done);
    assert_eq!(game.view(&instance).state, State::Completed);
}

#[test]
fn an_error_leaves_by_the_boundary_event_that_catches_it_guarded_or_not() {
    let error = "<errorEventDefinition/>";
    let message = r#"<boundaryEvent id="M" attachedToRef="T" cancelActivity="false"><signalEventDefinition signalRef="s"/></boundaryEvent><endEvent id="EM"/><sequenceFlow id="fm" sourceRef="M" targetRef="EM"/>"#;
    for guarded in [false, true] {
        let body = with_boundary(error, true) + if guarded { message } else { "" };
        let xml = flow_tests::game::model_beside(r#"<signal id="s" name="s"/>"#, &body);
        let takes =
            |_: &str, _: u32, _: &Value| (1, answer(202, &json!({})).map(|it| Answer { asynchronous: true, ..it }));
        let mut game = Game::new(&xml, Box::new(takes));
        let (instance, call) = called(&mut game);
        let error = Callback::Error("NO_STOCK".into(), Payload::json(&json!({"left": 0})));
        assert_eq!(game.call_back(&instance, call, SEAL, error), Reply::Done);
        let view = game.view(&instance);
        assert_eq!(
            (view.state, view.end_event.as_str()),
            (State::Completed, "EB"),
            "guarded: {guarded} {:?}",
            game.moves
        );
    }
    let mut game = later(&one());
    let (instance, call) = called(&mut game);
    assert_eq!(game.call_back(&instance, call, SEAL, Callback::Error("X".into(), Payload::default())), Reply::Done);
    assert_eq!(game.view(&instance).incidents[0].failure.error_code.as_deref(), Some("X"), "nobody catches it");
}

#[test]
fn a_failure_is_tried_again_and_is_an_incident_after_the_last_attempt() {
    let mut game = later(&one());
    let (instance, mut call) = called(&mut game);
    for attempt in 1..=3 {
        assert_eq!(game.count("T"), attempt);
        assert_eq!(game.call_back(&instance, call, SEAL, Callback::Failure("no".into())), Reply::Done);
        game.pass(10_000);
        game.settle_offers();
        call = *game.activations.last().unwrap();
    }
    let view = game.view(&instance);
    assert_eq!((game.count("T"), view.state), (3, State::Stopped));
    assert_eq!(view.incidents[0].failure.output.as_ref().and_then(Payload::to_json), Some(json!("no")));
    assert_eq!(view.incidents[0].failure.attempts, 3);
}

#[test]
fn a_boundary_timer_goes_on_counting_while_the_callback_is_waited_for() {
    let timer = "<timerEventDefinition><timeDuration>PT60S</timeDuration></timerEventDefinition>";
    let mut game = later(&with_boundary(timer, true));
    let (instance, call) = called(&mut game);
    game.pass(59_000);
    assert_eq!(game.view(&instance).state, State::Running);
    game.pass(1_000);
    assert_eq!(game.view(&instance).end_event, "EB");
    assert_eq!(game.call_back(&instance, call, SEAL, result(&json!({}))), Reply::NotFound);
}

#[test]
fn every_instance_of_a_loop_has_an_address_of_its_own() {
    let many = task("T").replace(
        "</serviceTask>",
        r#"<multiInstanceLoopCharacteristics><extensionElements><zeebe:loopCharacteristics inputCollection="=[1,2]" inputElement="n" outputCollection="all" outputElement="=y"/></extensionElements></multiInstanceLoopCharacteristics></serviceTask>"#,
    );
    let mut game = later(&one().replace(&task("T"), &many));
    let (instance, _) = called(&mut game);
    let calls = game.activations.clone();
    assert_eq!(calls.len(), 2);
    assert_eq!(game.call_back(&instance, calls[1], SEAL, result(&json!({"y": 20}))), Reply::Done);
    game.restart_ledger();
    assert_eq!(game.call_back(&instance, calls[0], SEAL, result(&json!({"y": 10}))), Reply::Done);
    let view = game.view(&instance);
    assert_eq!(view.state, State::Completed);
    assert_eq!(view.result.and_then(|it| it.to_json()).map(|it| it["all"].clone()), Some(json!([10, 20])));
}
