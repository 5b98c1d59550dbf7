//! Suspended instances with services: what comes is kept, nothing new is called, and all of it goes on once.

use control_plane::ledger::{Input, Operation, Operator, State};
use flow_tests::game::{Game, answer, echo, flow, flow_if, model, task};
use routing::InstanceId;
use serde_json::{Value, json};

fn operate(game: &mut Game, instance: &InstanceId, operation: Operation) {
    let by = Operator { who: "ann".into(), why: "to look".into() };
    game.tell(Input::Operate(9, instance.clone(), by, operation));
}

/// Suspended before anything is called, through a restart of the ledger, then resumed.
fn suspended_and_resumed(xml: &str, called_before: &[&str]) -> (Game, InstanceId) {
    let mut game = Game::new(xml, echo());
    let instance = game.start("s", &json!({"items": [1, 2, 3]}));
    operate(&mut game, &instance, Operation::Suspend);
    game.settle();
    let mut called = game.calls.clone();
    called.sort();
    assert_eq!(called, called_before, "of what was on its way");
    game.restart_ledger();
    game.settle();
    assert_eq!((game.view(&instance).state, game.calls.len()), (State::Suspended, called_before.len()));
    operate(&mut game, &instance, Operation::Resume);
    game.settle();
    assert_eq!(game.view(&instance).state, State::Completed, "{:#?}", game.view(&instance));
    assert!(game.alarms.is_empty(), "{:?}", game.alarms);
    (game, instance)
}

fn between(gateway: &str, condition: &str) -> String {
    let leads = |id: &str, to: &str| match condition {
        "" => flow(id, "fork", to),
        condition => flow_if(id, "fork", to, condition),
    };
    model(
        &[
            r#"<startEvent id="s"/><endEvent id="e"/>"#.to_owned(),
            format!(r#"<{gateway} id="fork"/><{gateway} id="join"/>"#),
            ["a", "b", "c"].map(task).concat(),
            flow("f0", "s", "fork"),
            leads("f1", "a"),
            leads("f2", "b"),
            flow("f3", "a", "join"),
            flow("f4", "b", "join"),
            flow("f5", "join", "c"),
            flow("f6", "c", "e"),
        ]
        .concat(),
    )
}

#[test]
fn answers_that_come_are_kept_and_nothing_new_is_called() {
    for xml in [between("parallelGateway", ""), between("inclusiveGateway", "true")] {
        let (game, instance) = suspended_and_resumed(&xml, &["a", "b"]);
        assert_eq!(game.calls.len(), 3, "each once");
        let view = game.view(&instance);
        let result = view.result.unwrap().to_json().unwrap();
        assert!(["a", "b", "c"].iter().all(|it| result[it] == true), "{result}");
        let what: Vec<_> = view.operations.iter().map(|it| (it.what.as_str(), it.by.who.as_str())).collect();
        assert_eq!(what, [("suspend", "ann"), ("resume", "ann")]);
        assert!(game.moves.contains(&("operator".to_owned(), "done by ann: to look".to_owned())), "{:?}", game.moves);
    }
}

#[test]
fn a_loop_calls_the_next_one_when_it_is_resumed() {
    let repeat = r#"<multiInstanceLoopCharacteristics isSequential="true"><extensionElements>
        <zeebe:loopCharacteristics inputCollection="=items" inputElement="item"/></extensionElements></multiInstanceLoopCharacteristics>"#;
    let looped = task("a").replace("</serviceTask>", &format!("{repeat}</serviceTask>"));
    let body =
        [r#"<startEvent id="s"/><endEvent id="e"/>"#.to_owned(), looped, flow("f0", "s", "a"), flow("f1", "a", "e")];
    let (game, _) = suspended_and_resumed(&model(&body.concat()), &["a"]);
    assert_eq!(game.count("a"), 3);
}

#[test]
fn an_incident_of_a_suspended_instance_can_be_started_and_stands_still_behind_it() {
    let xml = between("parallelGateway", "");
    let mut left = 1;
    let behaviour = Box::new(move |element: &str, _: u32, input: &Value| {
        let fails = element == "a" && left > 0;
        left -= i32::from(fails);
        (1, answer(if fails { 400 } else { 200 }, input))
    });
    let mut game = Game::new(&xml, behaviour);
    let instance = game.start("s", &json!({}));
    operate(&mut game, &instance, Operation::Suspend);
    game.settle();
    let view = game.view(&instance);
    assert_eq!((view.state, view.incidents.len()), (State::Suspended, 1));
    let before = game.calls.len();
    assert_eq!(game.restart(&instance, None).state, State::Suspended);
    assert_eq!(game.calls.len(), before, "it is not called yet");
    operate(&mut game, &instance, Operation::Resume);
    game.settle();
    assert_eq!((game.view(&instance).state, game.count("c")), (State::Completed, 1));
}
