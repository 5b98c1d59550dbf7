//! Timer catch events and interrupting timer boundary events.

use control_plane::ledger::State;
use flow_tests::game::{Game, answer, echo, flow, model, task};
use serde_json::{Value, json};

fn wait(timer: &str) -> String {
    model(&format!(
        r#"<startEvent id="s"/>{}<intermediateCatchEvent id="w"><timerEventDefinition>{timer}</timerEventDefinition></intermediateCatchEvent><endEvent id="e"/>{}{}{}"#,
        task("a"),
        flow("f0", "s", "a"),
        flow("f1", "a", "w"),
        flow("f2", "w", "e"),
    ))
}

#[test]
fn a_token_waits_for_its_duration_and_no_less() {
    let mut game = Game::new(&wait("<timeDuration>PT90S</timeDuration>"), echo());
    let before = game.now();
    let view = game.run(&json!({}));
    assert_eq!(view.state, State::Completed);
    assert!((90_000..90_100).contains(&(view.ended.unwrap() - before)));
}

#[test]
fn a_duration_may_come_from_the_payload() {
    let mut game = Game::new(&wait("<timeDuration>=delay</timeDuration>"), echo());
    let before = game.now();
    let view = game.run(&json!({"delay": "PT5M"}));
    assert!((300_000..300_100).contains(&(view.ended.unwrap() - before)));
}

#[test]
fn a_duration_that_is_none_is_an_incident_at_the_timer() {
    let mut game = Game::new(&wait("<timeDuration>=delay</timeDuration>"), echo());
    let view = game.run(&json!({"delay": "soon"}));
    assert_eq!((view.state, view.failure.unwrap().0.element.as_str()), (State::Stopped, "w"));
}

#[test]
fn a_waiting_timer_survives_a_restart_of_the_ledger() {
    let mut game = Game::new(&wait("<timeDuration>PT1H</timeDuration>"), echo());
    let instance = game.start("s", &json!({}));
    game.restart_ledger();
    game.settle();
    game.restart_ledger();
    game.settle();
    assert_eq!(game.view(&instance).state, State::Completed);
    assert_eq!(game.path().iter().filter(|e| **e == "e").count(), 1);
}

#[test]
fn an_interrupting_boundary_timer_takes_the_token_from_a_slow_task() {
    let xml = model(&format!(
        r#"<startEvent id="s"/>{}<boundaryEvent id="late" attachedToRef="a"><timerEventDefinition><timeDuration>PT10S</timeDuration></timerEventDefinition></boundaryEvent>{}<endEvent id="e"/><endEvent id="e2"/>{}{}{}{}"#,
        task("a"),
        task("b"),
        flow("f0", "s", "a"),
        flow("f1", "a", "e"),
        flow("f2", "late", "b"),
        flow("f3", "b", "e2"),
    ));
    for (takes, end) in [(9_000, "e"), (11_000, "e2")] {
        let slow = Box::new(move |element: &str, _: u32, input: &Value| {
            (if element == "a" { takes } else { 1 }, answer(200, input))
        });
        let mut game = Game::new(&xml, slow);
        let view = game.run(&json!({}));
        assert_eq!((view.state, view.end_event.as_str()), (State::Completed, end), "{takes} ms");
    }
}
