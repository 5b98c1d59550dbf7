//! Retries, incidents, starting again, cancelling.

use control_plane::ledger::{Input, State};
use flow_tests::game::{Game, answer, echo, flow, model, task};
use routing::FailureCode;
use routing::step::CallFailure;
use serde_json::{Value, json};

fn one_task() -> String {
    model(&format!(
        r#"<startEvent id="s"/>{}<endEvent id="e"/>{}{}"#,
        task("a"),
        flow("f0", "s", "a"),
        flow("f1", "a", "e")
    ))
}

#[test]
fn a_retry_that_fails_again_can_be_retried_again_with_the_same_input() {
    let mut left = 7;
    let unreliable = Box::new(move |_: &str, _: u32, input: &Value| {
        left -= 1;
        (1, if left > 0 { answer(503, &json!({})) } else { answer(200, input) })
    });
    let mut game = Game::new(&one_task(), unreliable);
    let mut view = game.run(&json!({"keep": "me"}));
    for _ in 0..2 {
        assert_eq!((view.state, view.incidents.len()), (State::Stopped, 1));
        view = game.restart(&view.id, None);
    }
    assert_eq!(view.state, State::Completed);
    assert_eq!(view.result.unwrap().to_json().unwrap(), json!({"keep": "me"}));
    assert!(game.alarms.is_empty());
}

#[test]
fn a_task_that_is_down_spends_no_attempt_and_is_waited_for() {
    let mut calls = 0;
    let down = Box::new(move |_: &str, attempt: u32, input: &Value| {
        calls += 1;
        assert_eq!(attempt, 0);
        (1, if calls < 100 { Err(CallFailure::Down("connection refused".into())) } else { answer(200, input) })
    });
    let mut game = Game::new(&one_task(), down);
    assert_eq!(game.run(&json!({})).state, State::Completed);
    let mut game = Game::new(&one_task(), Box::new(|_, _, _| (1, Err(CallFailure::Down("connection refused".into())))));
    let before = game.now();
    let view = game.run(&json!({}));
    assert_eq!((view.state, view.failure.unwrap().0.code), (State::Stopped, FailureCode::FailedConnection));
    assert!((60_000..61_000).contains(&(game.now() - before)), "after its down_timeout");
}

#[test]
fn an_answer_that_cannot_be_merged_is_mapped_again_and_never_asked_for_again() {
    let mut game = Game::new(&one_task(), Box::new(|_, _, _| (1, answer(200, &json!([1, 2])))));
    let view = game.run(&json!({"x": 1}));
    let (failure, _) = view.failure.unwrap();
    assert_eq!((failure.code, game.calls.len()), (FailureCode::FailedTask, 1));
    assert_eq!(failure.output.unwrap().to_json().unwrap(), json!([1, 2]), "the answer is kept");
    let view = game.restart(&view.id, Some(&json!({"y": 2})));
    assert_eq!((view.state, game.calls.len()), (State::Completed, 1));
    assert_eq!(view.result.unwrap().to_json().unwrap(), json!({"x": 1, "y": 2}));
}

#[test]
fn an_instance_with_an_incident_runs_while_something_else_can_move() {
    let xml = model(&format!(
        r#"<startEvent id="s"/>{}{}<intermediateCatchEvent id="w"><timerEventDefinition><timeDuration>PT1H</timeDuration></timerEventDefinition></intermediateCatchEvent><endEvent id="e"/>{}{}{}{}{}"#,
        task("a"),
        task("b"),
        flow("f0", "s", "a"),
        flow("f1", "s", "b"),
        flow("f2", "a", "e"),
        flow("f3", "b", "w"),
        flow("f4", "w", "e"),
    ));
    let behaviour = Box::new(|element: &str, _: u32, input: &Value| {
        (1, if element == "a" { answer(500, &json!({})) } else { answer(200, input) })
    });
    let mut game = Game::new(&xml, behaviour);
    let instance = game.start("s", &json!({}));
    while game.view(&instance).incidents.is_empty() || game.view(&instance).waiting.is_empty() {
        game.settle_offers();
    }
    assert_eq!(game.view(&instance).state, State::Running);
    game.settle();
    assert_eq!(game.view(&instance).state, State::Stopped, "once the timer has fired nothing can move");
}

#[test]
fn a_cancelled_instance_ends_once_and_late_tokens_count_for_nothing() {
    let mut game = Game::new(&one_task(), echo());
    let instance = game.start("s", &json!({}));
    game.tell(Input::Cancel(1, instance.clone(), "asked to".into()));
    game.settle();
    let view = game.view(&instance);
    assert_eq!((view.state, view.reason.as_str()), (State::Cancelled, "asked to"));
    assert!(game.alarms.is_empty());
}
