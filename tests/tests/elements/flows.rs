//! Exclusive gateways, conditional and default flows, implicit splits and ends, loops.

use control_plane::ledger::State;
use flow_tests::game::{Game, echo, flow, flow_if, model, task};
use routing::FailureCode;
use serde_json::json;

fn choice(default: bool) -> String {
    let gateway = if default { r#"<exclusiveGateway id="g" default="low"/>"# } else { r#"<exclusiveGateway id="g"/>"# };
    let last = if default { flow("low", "g", "c") } else { flow_if("low", "g", "c", "x < 0") };
    model(&format!(
        r#"<startEvent id="s"/>{gateway}{}{}{}<endEvent id="e"/>{}{}{}{last}{}{}{}"#,
        task("a"),
        task("b"),
        task("c"),
        flow("f0", "s", "g"),
        flow_if("high", "g", "a", "x > 10"),
        flow_if("mid", "g", "b", "x > 5"),
        flow("f1", "a", "e"),
        flow("f2", "b", "e"),
        flow("f3", "c", "e"),
    ))
}

#[test]
fn the_first_true_condition_in_document_order_is_taken_and_only_it() {
    for (x, taken) in [(11, "a"), (7, "b"), (1, "c")] {
        let mut game = Game::new(&choice(true), echo());
        let view = game.run(&json!({"x": x}));
        assert_eq!(view.state, State::Completed, "x = {x}");
        assert_eq!(game.calls, [taken], "x = {x}");
        assert_eq!(view.result.unwrap().to_json().unwrap(), json!({"x": x, taken: true}));
        assert!(game.alarms.is_empty());
    }
}

#[test]
fn no_true_condition_and_no_default_is_an_incident_that_can_be_started_with_another_payload() {
    let mut game = Game::new(&choice(false), echo());
    let view = game.run(&json!({"x": 1}));
    assert_eq!(view.state, State::Stopped);
    let (failure, input) = view.failure.unwrap();
    assert_eq!((failure.code, failure.element.as_str()), (FailureCode::NoMatchingFlow, "g"));
    assert_eq!(input.to_json().unwrap(), json!({"x": 1}), "the input is kept");
    let view = game.restart(&view.id, Some(&json!({"x": 12})));
    assert_eq!((view.state, game.calls.as_slice()), (State::Completed, &["a".to_owned()][..]));
}

#[test]
fn a_condition_over_an_unknown_variable_is_false() {
    let mut game = Game::new(&choice(true), echo());
    game.run(&json!({}));
    assert_eq!(game.calls, ["c"]);
}

#[test]
fn every_true_conditional_flow_out_of_a_task_is_taken_besides_the_unconditional_ones() {
    let xml = model(&format!(
        r#"<startEvent id="s"/>{}{}{}{}<endEvent id="e"/>{}{}{}{}{}{}{}"#,
        r#"<serviceTask id="t" default="otherwise"><extensionElements><zeebe:taskDefinition type="t"/></extensionElements></serviceTask>"#,
        task("a"),
        task("b"),
        task("c"),
        flow("f0", "s", "t"),
        flow_if("fa", "t", "a", "x > 1"),
        flow_if("fb", "t", "b", "x > 2"),
        flow("otherwise", "t", "c"),
        flow("f1", "a", "e"),
        flow("f2", "b", "e"),
        flow("f3", "c", "e"),
    ));
    for (x, taken) in [(3, vec!["t", "a", "b"]), (2, vec!["t", "a"]), (0, vec!["t", "c"])] {
        let mut game = Game::new(&xml, echo());
        let view = game.run(&json!({"x": x}));
        assert_eq!(
            (view.state, &game.calls),
            (State::Completed, &taken.iter().map(ToString::to_string).collect()),
            "x = {x}"
        );
        assert!(game.alarms.is_empty(), "two tokens at an end event are no error");
    }
}

#[test]
fn a_loop_runs_until_its_condition_lets_it_out() {
    let xml = model(&format!(
        r#"<startEvent id="s"/><exclusiveGateway id="g" default="again"/>{}<endEvent id="e"/>{}{}{}{}"#,
        task("t"),
        flow("f0", "s", "t"),
        flow("f1", "t", "g"),
        flow("again", "g", "t"),
        flow_if("out", "g", "e", "n >= 5"),
    ));
    let count = Box::new(|_: &str, _: u32, input: &serde_json::Value| {
        (1, flow_tests::game::answer(200, &json!({"n": input["n"].as_u64().unwrap_or(0) + 1})))
    });
    let mut game = Game::new(&xml, count);
    let view = game.run(&json!({}));
    assert_eq!(view.result.unwrap().to_json().unwrap(), json!({"n": 5}));
    assert_eq!(game.calls.len(), 5);
}

#[test]
fn an_activity_without_outgoing_flows_ends_there() {
    let xml = model(&format!(r#"<startEvent id="s"/>{}{}"#, task("t"), flow("f0", "s", "t")));
    let mut game = Game::new(&xml, echo());
    assert_eq!(game.run(&json!({})).state, State::Completed);
}
