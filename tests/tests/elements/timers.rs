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

/// The same in the original's dialect.
fn dialect(timer: &str) -> String {
    let settings = r#"<textAnnotation id="g"><text>rexflow_global_properties: {recoverable: true}</text></textAnnotation></process>"#;
    wait(timer).replace("</process>", settings)
}

#[test]
fn a_timer_is_computed_from_the_payload_as_in_the_original() {
    for (timer, waits) in [
        ("<timeDuration>PT{n}S</timeDuration>", 5_000),
        ("<timeDuration>ADD(PT1S, {pause})</timeDuration>", 61_000),
        ("<timeDate>ADD(NOW(), {pause})</timeDate>", 60_000),
        ("<timeCycle>R1/PT{n}S</timeCycle>", 5_000),
    ] {
        let mut game = Game::new(&dialect(timer), echo());
        let before = game.now();
        let view = game.run(&json!({"n": 5, "pause": "PT1M"}));
        assert_eq!(view.state, State::Completed, "{timer}: {view:#?}");
        let took = view.ended.unwrap() - before;
        assert!((waits..waits + 100).contains(&took), "{timer}: {took}");
    }
    let mut game = Game::new(&dialect("<timeDuration>{pause}</timeDuration>"), echo());
    let view = game.run(&json!({}));
    assert_eq!(view.state, State::Stopped);
    assert!(view.incidents[0].failure.message.contains("no \"pause\""), "{view:#?}");
    let view = game.restart(&view.id, Some(&json!({"pause": "PT1S"})));
    assert_eq!(view.state, State::Completed, "with what was missing");
}

#[test]
fn each_firing_of_a_cycle_at_a_catch_event_has_a_token_of_its_own_in_the_original_dialect() {
    let xml = dialect("<timeCycle>R3/PT10S</timeCycle>")
        .replace(r#"targetRef="e""#, r#"targetRef="b""#)
        .replace("</process>", &format!("{}{}</process>", task("b"), flow("f3", "b", "e")));
    let mut game = Game::new(&xml, echo());
    let before = game.now();
    let instance = game.start("s", &json!({}));
    game.settle_offers();
    game.pass(15_000);
    game.settle_offers();
    assert_eq!((game.count("b"), game.view(&instance).state), (1, State::Running));
    game.restart_ledger();
    game.settle();
    let view = game.view(&instance);
    assert_eq!((game.count("a"), game.count("b"), view.state), (1, 3, State::Completed), "{view:#?}");
    let took = view.ended.unwrap() - before;
    assert!((30_000..30_100).contains(&took), "{took}");
    assert!(game.alarms.is_empty());
    let once = Game::new(&wait("<timeCycle>R3/PT10S</timeCycle>"), echo()).run(&json!({}));
    assert_eq!(once.state, State::Completed, "elsewhere the standard's: the first firing is all");
}

#[test]
fn a_cycle_without_end_is_no_catch_event_of_the_original_dialect() {
    for cycle in ["R/PT10S", "R5000/PT10S", "0 0 * * *"] {
        let xml = dialect(&format!("<timeCycle>{cycle}</timeCycle>"));
        let found = bpmn::check(xml.as_bytes(), &bpmn::Options::default()).unwrap_err();
        assert!(found.iter().any(|it| it.rule == "timer-invalid" && it.is_error()), "{cycle}: {found:#?}");
    }
    let mut game = Game::new(&dialect("<timeCycle>R{n}/PT1S</timeCycle>"), echo());
    assert_eq!(game.run(&json!({"n": 5000})).state, State::Stopped, "nor when it is computed");
    let mut game = Game::new(&dialect("<timeCycle>R{n}/PT1S</timeCycle>"), echo());
    assert_eq!(game.run(&json!({"n": 2})).state, State::Completed);
}
