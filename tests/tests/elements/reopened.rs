//! Instances that have ended as ERROR and are run again: from the failed element, whatever that is, with all their branches.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use control_plane::ledger::{self, Input, InstanceView, State};
use flow_tests::game::{Behaviour, Game, answer, flow, flow_if, model, model_beside, task};
use routing::{FailureCode, InstanceId, Payload};
use serde_json::{Value, json};

/// The original's default: a failure ends the instance.
const ERROR: &str =
    r#"<textAnnotation id="G"><text>rexflow_global_properties: {recoverable: false}</text></textAnnotation>"#;

/// Tasks that fail as long as their names are in the set; each call takes as many milliseconds as the task's name is long.
fn failing(tasks: &[&str]) -> (Behaviour, Rc<RefCell<BTreeSet<String>>>) {
    let broken: BTreeSet<String> = tasks.iter().map(ToString::to_string).collect();
    let broken = Rc::new(RefCell::new(broken));
    let shared = broken.clone();
    let behaviour = Box::new(move |element: &str, _: u32, input: &Value| {
        let takes = element.len() as u64;
        if shared.borrow().contains(element) {
            return (takes, answer(500, &json!("broken")));
        }
        let mut output = input.clone();
        output[element] = json!(true);
        (takes, answer(200, &output))
    });
    (behaviour, broken)
}

/// Runs it into ERROR; the game and the instance.
fn into_error(xml: &str, behaviour: Behaviour, payload: &Value) -> (Game, InstanceId, InstanceView) {
    let mut game = Game::new(xml, behaviour);
    let view = game.run(payload);
    assert_eq!(view.state, State::Error, "{view:#?}");
    (game, view.id.clone(), view)
}

fn run_again(game: &mut Game, instance: &InstanceId, payload: Option<&Value>) -> InstanceView {
    game.reopen(instance, payload.map(Payload::json));
    game.settle();
    assert!(game.alarms.is_empty(), "{:?}", game.alarms);
    game.view(instance)
}

fn result(view: &InstanceView) -> Value {
    view.result.as_ref().and_then(Payload::to_json).unwrap_or_else(|| panic!("no result: {view:#?}"))
}

fn row(tasks: &[&str]) -> String {
    let mut body = vec![r#"<startEvent id="s"/><endEvent id="e"/>"#.to_owned(), ERROR.to_owned()];
    body.extend(tasks.iter().map(|it| task(it)));
    let all = [&["s"], tasks, &["e"]].concat();
    body.extend(all.windows(2).enumerate().map(|(at, it)| flow(&format!("f{at}"), it[0], it[1])));
    model(&body.concat())
}

#[test]
fn a_task_is_called_again_as_often_as_it_takes_and_those_before_it_are_not() {
    let (behaviour, broken) = failing(&["b"]);
    let (mut game, instance, view) = into_error(&row(&["a", "b", "c"]), behaviour, &json!({"x": 1}));
    let (failure, input) = view.failure.unwrap();
    assert_eq!((failure.code, input.to_json().unwrap()), (FailureCode::FailedTask, json!({"x": 1, "a": true})));
    for again in 2..5 {
        game.restart_ledger();
        let view = run_again(&mut game, &instance, None);
        assert_eq!((view.state, game.count("a"), game.count("b")), (State::Error, 1, again));
        assert_eq!(view.failure.unwrap().1.to_json().unwrap(), json!({"x": 1, "a": true}), "its input is never lost");
    }
    broken.borrow_mut().clear();
    let view = run_again(&mut game, &instance, None);
    assert_eq!((view.state, &view.failure, view.incidents.len()), (State::Completed, &None, 0));
    assert_eq!(result(&view), json!({"x": 1, "a": true, "b": true, "c": true}));
    let keys: BTreeSet<_> = game.activations.iter().collect();
    assert_eq!(keys.len(), game.calls.len(), "each run is a new generation with a key of its own");
    let did: Vec<_> = view.operations.iter().map(|it| (it.what.as_str(), it.by.who.as_str())).collect();
    assert_eq!(did, [("start b", "ann"); 4]);
}

#[test]
fn it_goes_on_with_another_payload_of_any_content_type() {
    let (behaviour, _) = failing(&[]);
    let picky = Rc::new(RefCell::new(behaviour));
    let behaviour = Box::new(move |element: &str, attempt: u32, input: &Value| match input["n"].as_i64() {
        Some(_) => (picky.borrow_mut())(element, attempt, input),
        None => (1, answer(500, &json!({}))),
    });
    let (mut game, instance, _) = into_error(&row(&["a"]), behaviour, &json!({"n": "many"}));
    let view = run_again(&mut game, &instance, Some(&json!({"n": 2})));
    assert_eq!((view.state, result(&view)), (State::Completed, json!({"n": 2, "a": true})));
}

#[test]
fn an_opaque_body_is_kept_and_sent_again_byte_by_byte() {
    let bytes = || Payload { content_type: "image/png".to_owned(), body: vec![0, 159, 146, 150].into() };
    let (behaviour, _) = failing(&["a"]);
    let (mut game, instance, _) = into_error(&row(&["a"]), behaviour, &json!({}));
    game.reopen(&instance, Some(bytes()));
    game.settle();
    assert_eq!(game.view(&instance).failure.unwrap().1, bytes(), "the record has what it was given");
    game.restart_ledger();
    game.reopen(&instance, None);
    game.settle();
    assert_eq!(game.view(&instance).failure.unwrap().1, bytes());
}

/// `a` fails; `bbb` takes longer, `w` waits at flowd, and all of them are joined before `z`.
fn branches() -> String {
    let wait = r#"<intermediateCatchEvent id="w"><timerEventDefinition><timeDuration>PT1H</timeDuration></timerEventDefinition></intermediateCatchEvent>"#;
    let body = [
        format!(
            r#"<startEvent id="s"/><endEvent id="e"/><parallelGateway id="fork"/><parallelGateway id="join"/>{wait}"#
        ),
        ERROR.to_owned(),
        ["a", "bbb", "z"].map(task).concat(),
        flow("f0", "s", "fork"),
        flow("f1", "fork", "a"),
        flow("f2", "fork", "bbb"),
        flow("f3", "fork", "w"),
        flow("f4", "a", "join"),
        flow("f5", "bbb", "join"),
        flow("f6", "w", "join"),
        flow("f7", "join", "z"),
        flow("f8", "z", "e"),
    ];
    model(&body.concat())
}

#[test]
fn branches_that_were_stopped_go_on_from_where_they_were() {
    for crash in [false, true] {
        let (behaviour, broken) = failing(&["a"]);
        let (mut game, instance, _) = into_error(&branches(), behaviour, &json!({}));
        assert_eq!((game.count("bbb"), game.count("z")), (1, 0));
        if crash {
            game.restart_ledger();
        }
        broken.borrow_mut().clear();
        game.reopen(&instance, None);
        let view = game.view(&instance);
        assert_eq!((view.state, view.missing.is_one()), (State::Running, true), "{view:#?}");
        assert!(view.waiting.iter().any(|it| it.element.as_str() == "w"), "{view:#?}");
        game.settle();
        let view = game.view(&instance);
        assert_eq!((view.state, result(&view)), (State::Completed, json!({"a": true, "bbb": true, "z": true})));
        assert_eq!((game.count("a"), game.count("bbb"), game.count("z")), (2, 2, 1));
        let key = |task: &str| {
            let calls = game.calls.iter().zip(&game.keys).filter(|(it, _)| *it == task);
            calls.map(|(_, key)| *key).collect::<BTreeSet<_>>().len()
        };
        assert_eq!(key("a"), 2, "the failed call is a new one");
        assert_eq!(key("bbb"), 1, "the call that was cut off is made again as the same");
    }
}

#[test]
fn a_branch_that_has_just_come_back_and_is_not_in_the_store_yet_is_waited_for() {
    for crash in [false, true] {
        let (behaviour, broken) = failing(&["a"]);
        let (mut game, instance, _) = into_error(&branches(), behaviour, &json!({}));
        broken.borrow_mut().clear();
        let Input::Reopen(request, mut early) = game.reopening(&instance, None) else { panic!("another input") };
        let all = early.remains.len();
        early.remains.retain(|(key, _)| *key == ledger::key::remains(&instance));
        assert_eq!((all, early.remains.len()), (2, 1), "`bbb` has come back");
        if crash {
            game.restart_ledger();
        }
        game.tell(Input::Reopen(request, early));
        assert_eq!(game.view(&instance).state, State::Error, "it would be without `bbb` for ever");
        let view = run_again(&mut game, &instance, None);
        assert_eq!((view.state, result(&view)), (State::Completed, json!({"a": true, "bbb": true, "z": true})));
    }
}

#[test]
fn several_branches_that_fail_one_after_the_other_are_all_started_again() {
    let (behaviour, broken) = failing(&["a", "bbb"]);
    let (mut game, instance, _) = into_error(&branches(), behaviour, &json!({}));
    broken.borrow_mut().remove("a");
    let view = run_again(&mut game, &instance, None);
    assert_eq!((view.state, view.failure.unwrap().0.element.as_str().to_owned()), (State::Error, "bbb".to_owned()));
    broken.borrow_mut().clear();
    let view = run_again(&mut game, &instance, None);
    assert_eq!((view.state, result(&view)), (State::Completed, json!({"a": true, "bbb": true, "z": true})));
}

#[test]
fn a_gateway_chooses_again_and_the_task_before_it_is_not_called() {
    let body = [
        r#"<startEvent id="s"/><exclusiveGateway id="x"/><endEvent id="e"/>"#.to_owned(),
        ERROR.to_owned(),
        task("a"),
        flow("f0", "s", "a"),
        flow("f1", "a", "x"),
        flow_if("f2", "x", "e", "n = 1"),
    ];
    let (behaviour, _) = failing(&[]);
    let (mut game, instance, view) = into_error(&model(&body.concat()), behaviour, &json!({"n": 3}));
    let (failure, input) = view.failure.unwrap();
    assert_eq!((failure.code, failure.element.as_str()), (FailureCode::NoMatchingFlow, "x"));
    assert_eq!(input.to_json().unwrap(), json!({"n": 3, "a": true}));
    let view = run_again(&mut game, &instance, Some(&json!({"n": 1})));
    assert_eq!((view.state, game.count("a")), (State::Completed, 1));
}

#[test]
fn events_and_sub_processes_are_entered_again() {
    let timer = r#"<timerEventDefinition><timeDuration>=wait</timeDuration></timerEventDefinition>"#;
    let inside = [
        r#"<startEvent id="is"/><endEvent id="ie"/>"#.to_owned(),
        task("a"),
        format!(r#"<intermediateCatchEvent id="t">{timer}</intermediateCatchEvent>"#),
        flow("g0", "is", "a"),
        flow("g1", "a", "t"),
        flow("g2", "t", "ie"),
    ];
    let body = [
        r#"<startEvent id="s"/><endEvent id="e"/>"#.to_owned(),
        ERROR.to_owned(),
        format!(r#"<subProcess id="sub">{}</subProcess>"#, inside.concat()),
        flow("f0", "s", "sub"),
        flow("f1", "sub", "e"),
    ];
    let (behaviour, broken) = failing(&["a"]);
    let (mut game, instance, view) = into_error(&model(&body.concat()), behaviour, &json!({}));
    assert_eq!(view.failure.unwrap().0.element.as_str(), "a");
    broken.borrow_mut().clear();
    game.restart_ledger();
    let view = run_again(&mut game, &instance, None);
    let (failure, _) = view.failure.unwrap();
    assert_eq!((view.state, failure.element.as_str()), (State::Error, "t"), "now the timer cannot be computed");
    let view = run_again(&mut game, &instance, Some(&json!({"wait": "PT1S"})));
    assert_eq!((view.state, game.count("a")), (State::Completed, 2));
}

#[test]
fn an_error_that_nothing_catches_ends_it_and_the_handler_of_a_newer_input_is_not_needed() {
    let throws = r#"<endEvent id="e"><errorEventDefinition errorRef="E"/></endEvent>"#;
    let body = [
        format!(r#"<startEvent id="s"/><exclusiveGateway id="x" default="f2"/><endEvent id="ok"/>{throws}"#),
        ERROR.to_owned(),
        task("a"),
        flow("f0", "s", "a"),
        flow("f1", "a", "x"),
        flow("f2", "x", "ok"),
        flow_if("f3", "x", "e", "bad"),
    ];
    let xml = model_beside(r#"<error id="E" errorCode="BAD"/>"#, &body.concat());
    let (behaviour, _) = failing(&[]);
    let (mut game, instance, view) = into_error(&xml, behaviour, &json!({"bad": true}));
    assert_eq!(view.failure.unwrap().0.code, FailureCode::UncaughtError);
    let view = run_again(&mut game, &instance, None);
    assert_eq!((view.state, game.count("a")), (State::Error, 1), "the end event throws again");
}

#[test]
fn only_what_has_ended_as_error_is_run_again() {
    let (behaviour, broken) = failing(&["a"]);
    let (mut game, instance, _) = into_error(&row(&["a"]), behaviour, &json!({}));
    broken.borrow_mut().clear();
    let twice = game.reopening(&instance, None);
    game.reopen(&instance, None);
    game.tell(twice);
    assert_eq!(game.alarms, ["a request was refused"], "it is open already");
    game.alarms.clear();
    game.settle();
    assert_eq!(game.view(&instance).state, State::Completed);
    game.reopen(&instance, None);
    assert_eq!(game.alarms, ["a request was refused"], "it has completed");
}
