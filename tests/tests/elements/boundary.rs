//! Error boundary events: by code, catch-all, none.

use control_plane::ledger::State;
use flow_tests::game::{Behaviour, Game, answer, flow, model, task};
use routing::FailureCode;
use serde_json::{Value, json};

fn guarded(boundaries: &str) -> String {
    let xml = model(&format!(
        r#"<startEvent id="s"/>{}{boundaries}<endEvent id="ok"/>{}{}"#,
        task("a"),
        flow("f0", "s", "a"),
        flow("f1", "a", "ok"),
    ));
    xml.replace("<process", r#"<error id="no-funds" name="No funds" errorCode="NO_FUNDS"/><process"#)
}

fn by_code() -> String {
    format!(
        r#"<boundaryEvent id="b1" attachedToRef="a"><errorEventDefinition errorRef="no-funds"/></boundaryEvent><endEvent id="caught"/>{}"#,
        flow("g1", "b1", "caught")
    )
}

fn catch_all() -> String {
    format!(
        r#"<boundaryEvent id="b2" attachedToRef="a"><errorEventDefinition/></boundaryEvent><endEvent id="any"/>{}"#,
        flow("g2", "b2", "any")
    )
}

fn refuses(code: &'static str) -> Behaviour {
    Box::new(move |_, _, _| {
        (
            1,
            answer(422, &json!({"detail": "no"}))
                .map(|a| routing::mapping::Answer { error_code: Some(code.into()), ..a }),
        )
    })
}

#[test]
fn a_specific_code_wins_over_a_catch_all_wherever_it_stands() {
    for boundaries in [by_code() + &catch_all(), catch_all() + &by_code()] {
        let mut game = Game::new(&guarded(&boundaries), refuses("NO_FUNDS"));
        assert_eq!(game.run(&json!({})).end_event, "caught");
        let mut game = Game::new(&guarded(&boundaries), refuses("OTHER"));
        assert_eq!(game.run(&json!({})).end_event, "any");
    }
}

#[test]
fn an_error_that_nothing_catches_is_an_incident_with_its_input() {
    let mut game = Game::new(&guarded(&by_code()), refuses("OTHER"));
    let view = game.run(&json!({"x": 1}));
    let (failure, input) = view.failure.unwrap();
    assert_eq!((view.state, failure.code), (State::Stopped, FailureCode::UncaughtError));
    assert_eq!(failure.error_code.as_deref(), Some("OTHER"));
    assert_eq!(input.to_json().unwrap(), json!({"x": 1}));
}

#[test]
fn a_4xx_answer_without_a_code_is_named_by_its_status_or_its_problem_type() {
    let mut game = Game::new(&guarded(&catch_all()), Box::new(|_, _, _| (1, answer(404, &json!({})))));
    game.run(&json!({}));
    assert_eq!(game.moves[1].1, "error HTTP_404");
    let problem = Box::new(|_: &str, _: u32, _: &Value| {
        let mut answer = answer(400, &json!({"type": "urn:no-such-order", "status": 400})).unwrap();
        answer.payload.content_type = "application/problem+json; charset=utf-8".into();
        (1, Ok(answer))
    });
    let mut game = Game::new(&guarded(&catch_all()), problem);
    game.run(&json!({}));
    assert_eq!(game.moves[1].1, "error urn:no-such-order");
}

#[test]
fn a_technical_failure_is_no_bpmn_error() {
    let mut game = Game::new(&guarded(&catch_all()), Box::new(|_, _, _| (1, answer(500, &json!({})))));
    let view = game.run(&json!({}));
    assert_eq!((view.state, view.failure.unwrap().0.code), (State::Stopped, FailureCode::FailedTask));
    assert_eq!(game.calls.len(), 3, "three attempts");
}
