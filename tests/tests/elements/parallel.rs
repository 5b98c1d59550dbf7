//! Parallel gateways, joins, several ends, terminate.

use control_plane::ledger::State;
use flow_tests::game::{Game, answer, echo, flow, flow_if, model, task};
use serde_json::{Value, json};

fn fork_and_join() -> String {
    model(&format!(
        r#"<startEvent id="s"/><parallelGateway id="fork"/>{}{}{}<parallelGateway id="join"/>{}<endEvent id="e"/>{}{}{}{}{}{}{}{}{}"#,
        task("a"),
        task("b"),
        task("c"),
        task("after"),
        flow("f0", "s", "fork"),
        flow("fa", "fork", "a"),
        flow("fb", "fork", "b"),
        flow("fc", "fork", "c"),
        flow("ja", "a", "join"),
        flow("jb", "b", "join"),
        flow("jc", "c", "join"),
        flow("f1", "join", "after"),
        flow("f2", "after", "e"),
    ))
}

#[test]
fn a_join_waits_for_every_flow_and_merges_what_each_branch_wrote() {
    let mut game = Game::new(&fork_and_join(), echo());
    let view = game.run(&json!({"x": 1}));
    assert_eq!(view.state, State::Completed);
    assert_eq!(
        view.result.unwrap().to_json().unwrap(),
        json!({"x": 1, "a": true, "b": true, "c": true, "after": true})
    );
    assert_eq!(game.calls.iter().filter(|c| *c == "after").count(), 1);
    assert!(game.alarms.is_empty());
}

#[test]
fn what_a_join_merges_does_not_depend_on_the_order_of_arrival() {
    let mut results = Vec::new();
    for slow in ["a", "b", "c"] {
        let behaviour = Box::new(move |element: &str, _: u32, input: &Value| {
            let mut output = input.clone();
            output["last"] = json!(element);
            (if element == slow { 60_000 } else { 1 }, answer(200, &output))
        });
        let mut game = Game::new(&fork_and_join(), behaviour);
        let view = game.run(&json!({}));
        results.push(view.result.unwrap().to_json().unwrap());
    }
    assert!(results.iter().all(|r| *r == results[0]), "{results:?}");
}

#[test]
fn a_ledger_that_restarts_in_between_forgets_no_branch() {
    let mut game = Game::new(&fork_and_join(), echo());
    let instance = game.start("s", &json!({}));
    for _ in 0..8 {
        game.restart_ledger();
        game.settle();
    }
    assert_eq!(game.view(&instance).state, State::Completed);
    assert!(game.alarms.is_empty());
}

#[test]
fn a_join_in_a_loop_fires_once_per_round() {
    let xml = model(&format!(
        r#"<startEvent id="s"/><exclusiveGateway id="m"/><parallelGateway id="fork"/>{}{}<parallelGateway id="join"/><exclusiveGateway id="x" default="again"/><endEvent id="e"/>{}{}{}{}{}{}{}{}{}"#,
        task("a"),
        task("b"),
        flow("f0", "s", "m"),
        flow("f1", "m", "fork"),
        flow("fa", "fork", "a"),
        flow("fb", "fork", "b"),
        flow("ja", "a", "join"),
        flow("jb", "b", "join"),
        flow("f2", "join", "x"),
        flow("again", "x", "m"),
        flow_if("out", "x", "e", "n >= 3"),
    ));
    let count = Box::new(|element: &str, _: u32, input: &Value| {
        let mut output = input.clone();
        if element == "a" {
            output["n"] = json!(input["n"].as_u64().unwrap_or(0) + 1);
        }
        (1, answer(200, &output))
    });
    let mut game = Game::new(&xml, count);
    let view = game.run(&json!({}));
    assert_eq!((view.state, game.calls.len()), (State::Completed, 6));
    assert_eq!(game.path().iter().filter(|e| **e == "join").count(), 3);
    assert!(game.alarms.is_empty());
}

#[test]
fn two_tokens_at_end_events_complete_the_instance_once() {
    let xml = model(&format!(
        r#"<startEvent id="s"/>{}{}<endEvent id="e1"/><endEvent id="e2"/>{}{}{}{}"#,
        task("a"),
        task("b"),
        flow("f0", "s", "a"),
        flow("f1", "s", "b"),
        flow("f2", "a", "e1"),
        flow("f3", "b", "e2"),
    ));
    let mut game = Game::new(&xml, echo());
    let view = game.run(&json!({}));
    assert_eq!(view.state, State::Completed);
    assert_eq!(view.result.unwrap().to_json().unwrap(), json!({"a": true, "b": true}));
    assert_eq!(view.end_event, "e2");
    assert!(game.alarms.is_empty());
}

#[test]
fn terminate_ends_the_instance_with_every_other_token_in_it() {
    let xml = model(&format!(
        r#"<startEvent id="s"/>{}{}{}<endEvent id="stop"><terminateEventDefinition/></endEvent><endEvent id="e"/>{}{}{}{}{}"#,
        task("a"),
        task("b"),
        task("c"),
        flow("f0", "s", "a"),
        flow("f1", "s", "b"),
        flow("f2", "a", "stop"),
        flow("f3", "b", "c"),
        flow("f4", "c", "e"),
    ));
    let mut game = Game::new(&xml, echo());
    let view = game.run(&json!({}));
    assert_eq!((view.state, view.end_event.as_str()), (State::Completed, "stop"));
    assert_eq!(view.result.unwrap().to_json().unwrap(), json!({"a": true}));
    assert!(game.alarms.is_empty(), "what comes later counts for nothing: {:?}", game.alarms);
}
