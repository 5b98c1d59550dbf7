//! Listeners: services that are called before an element begins, when it ends, and at the turns of a user task's life.

use control_plane::ledger::{InstanceView, State, TaskAction};
use flow_tests::game::{Behaviour, Game, answer, echo, flow, flow_if, model, task};
use serde_json::{Value, json};

fn listener(event: &str, kind: &str) -> String {
    format!(r#"<zeebe:executionListener eventType="{event}" type="{kind}"/>"#)
}

fn listeners(of: &[(&str, &str)]) -> String {
    let all: String = of.iter().map(|(event, kind)| listener(event, kind)).collect();
    format!("<zeebe:executionListeners>{all}</zeebe:executionListeners>")
}

fn heard(xml: &str, of: &[(&str, &str)]) -> String {
    if xml.contains("<extensionElements>") {
        return xml.replacen("<extensionElements>", &format!("<extensionElements>{}", listeners(of)), 1);
    }
    let extensions = format!("<extensionElements>{}</extensionElements>", listeners(of));
    match xml.find("/>").filter(|at| xml[..*at].find('>').is_none()) {
        Some(at) => {
            let name = xml[1..].split([' ', '/', '>']).next().unwrap();
            format!("{}>{extensions}</{name}>{}", &xml[..at], &xml[at + 2..])
        }
        None => {
            let at = xml.find('>').unwrap() + 1;
            format!("{}{extensions}{}", &xml[..at], &xml[at..])
        }
    }
}

/// A chain of elements by flows.
fn chain(elements: &[(&str, String)]) -> String {
    let mut body: String = elements.iter().map(|(_, xml)| xml.as_str()).collect();
    for pair in elements.windows(2) {
        body += &flow(&format!("{}-{}", pair[0].0, pair[1].0), pair[0].0, pair[1].0);
    }
    body
}

fn start() -> (&'static str, String) {
    ("s", r#"<startEvent id="s"/>"#.to_owned())
}

fn end() -> (&'static str, String) {
    ("e", r#"<endEvent id="e"/>"#.to_owned())
}

/// Every service answers with what `answers` says, else with nothing.
fn saying(answers: fn(&str, &Value) -> Value) -> Behaviour {
    Box::new(move |element, _, input| (1, answer(200, &answers(element, input))))
}

fn completed(xml: &str, behaviour: Behaviour, payload: &Value) -> (Game, Value) {
    let mut game = Game::new(xml, behaviour);
    let view = game.run(payload);
    assert_eq!(view.state, State::Completed, "{view:#?}\n{:?}", game.moves);
    assert!(game.alarms.is_empty(), "{:?}", game.alarms);
    (game, view.result.unwrap_or_default().to_json().unwrap_or_default())
}

#[test]
fn listeners_of_a_task_are_called_in_order_before_and_behind_it() {
    let a = heard(&task("a"), &[("start", "one"), ("end", "three"), ("start", "two")]);
    let (game, result) = completed(&model(&chain(&[start(), ("a", a), end()])), echo(), &json!({"x": 1}));
    assert_eq!(game.calls, ["a-start-1", "a-start-3", "a", "a-end-2"]);
    assert_eq!(result["a"], json!(true));
    assert_eq!(result["a-end-2"], json!(true));
    // what they set at the start is the task's own
    assert_eq!(result.get("a-start-1"), None, "{result}");
}

#[test]
fn what_a_start_listener_sets_is_local_and_what_an_end_listener_sets_is_not() {
    let answers = |element: &str, input: &Value| match element {
        "a-start-1" => json!({"rate": 7}),
        "a" => json!({"seen": input["rate"]}),
        "a-end-2" => json!({"late": input["seen"].as_i64().unwrap() + input["rate"].as_i64().unwrap()}),
        _ => json!({}),
    };
    let a = heard(&task("a"), &[("start", "one"), ("end", "two")]);
    let (_, result) = completed(&model(&chain(&[start(), ("a", a), end()])), saying(answers), &json!({"rate": 1}));
    assert_eq!(result, json!({"rate": 1, "seen": 7, "late": 14}));
}

#[test]
fn listeners_come_behind_the_inputs_and_behind_the_outputs() {
    let mapped = task("a").replacen(
        "<extensionElements>",
        r#"<extensionElements><zeebe:ioMapping><zeebe:input source="=x + 1" target="y"/><zeebe:output source="=done" target="z"/></zeebe:ioMapping>"#,
        1,
    );
    let answers = |element: &str, input: &Value| match element {
        "a-start-1" => json!({"y": input["y"].as_i64().unwrap() * 10}),
        "a" => json!({"done": input["y"], "dropped": true}),
        "a-end-2" => json!({"z": input["z"].as_i64().unwrap() + 1}),
        _ => json!({}),
    };
    let a = heard(&mapped, &[("start", "one"), ("end", "two")]);
    let (_, result) = completed(&model(&chain(&[start(), ("a", a), end()])), saying(answers), &json!({"x": 1}));
    assert_eq!(result, json!({"x": 1, "z": 21}));
}

#[test]
fn every_kind_of_element_is_listened_to() {
    let sub = r#"<subProcess id="sub"><startEvent id="is"/><endEvent id="ie"/><sequenceFlow id="if" sourceRef="is" targetRef="ie"/></subProcess>"#;
    let both = [("start", "l"), ("end", "l")];
    let body = chain(&[
        ("s", heard(r#"<startEvent id="s"/>"#, &[("end", "l")])),
        (
            "script",
            heard(
                r#"<scriptTask id="script"><extensionElements><zeebe:script expression="=1" resultVariable="one"/></extensionElements></scriptTask>"#,
                &both,
            ),
        ),
        ("none", heard(r#"<task id="none"/>"#, &both)),
        ("sub", heard(sub, &both)),
        ("throw", heard(r#"<intermediateThrowEvent id="throw"/>"#, &both)),
        (
            "wait",
            heard(
                r#"<intermediateCatchEvent id="wait"><timerEventDefinition><timeDuration>PT5S</timeDuration></timerEventDefinition></intermediateCatchEvent>"#,
                &both,
            ),
        ),
        ("x", heard(r#"<exclusiveGateway id="x"/>"#, &[("start", "l")])),
        ("e", heard(r#"<endEvent id="e"/>"#, &both)),
    ]);
    let (game, _) = completed(&model(&body), echo(), &json!({}));
    let expected = [
        "s-end-1",
        "script-start-1",
        "script-end-2",
        "none-start-1",
        "none-end-2",
        "sub-start-1",
        "sub-end-2",
        "throw-start-1",
        "throw-end-2",
        "wait-start-1",
        "wait-end-2",
        "x-start-1",
        "e-start-1",
        "e-end-2",
    ];
    assert_eq!(game.calls, expected);
}

#[test]
fn the_listeners_of_a_gateway_say_which_way_and_those_of_a_join_are_called_once() {
    let body = format!(
        r#"<startEvent id="s"/>{}{}{}{}{}<endEvent id="e1"/><endEvent id="e2"/>{}{}{}{}{}{}{}{}"#,
        r#"<parallelGateway id="fork"/>"#,
        task("a"),
        task("b"),
        heard(r#"<parallelGateway id="join"/>"#, &[("start", "joined")]),
        heard(r#"<exclusiveGateway id="x" default="no"/>"#, &[("start", "decides")]),
        flow("1", "s", "fork"),
        flow("2", "fork", "a"),
        flow("3", "fork", "b"),
        flow("4", "a", "join"),
        flow("5", "b", "join"),
        flow("6", "join", "x"),
        flow_if("yes", "x", "e1", "way = \"yes\""),
        flow("no", "x", "e2"),
    );
    let answers = |element: &str, _: &Value| if element == "x-start-1" { json!({"way": "yes"}) } else { json!({}) };
    let (game, _) = completed(&model(&body), saying(answers), &json!({}));
    assert_eq!(game.calls, ["a", "b", "join-start-1", "x-start-1"]);
    assert!(game.path().contains(&"e1"));
}

#[test]
fn the_listeners_of_a_process_are_called_first_and_last() {
    let body = format!(
        r#"<extensionElements>{}</extensionElements><startEvent id="s"/><parallelGateway id="fork"/>{}{}<endEvent id="e1"/><endEvent id="e2"/>{}{}{}{}{}"#,
        listeners(&[("start", "first"), ("end", "last"), ("end", "very-last")]),
        task("a"),
        task("b"),
        flow("1", "s", "fork"),
        flow("2", "fork", "a"),
        flow("3", "fork", "b"),
        flow("4", "a", "e1"),
        flow("5", "b", "e2"),
    );
    let (game, result) = completed(&model(&body), echo(), &json!({"x": 1}));
    assert_eq!(game.calls, ["p-start-1", "a", "b", "p-end-2", "p-end-3"]);
    let all = json!({"x": 1, "p-start-1": true, "a": true, "b": true, "p-end-2": true, "p-end-3": true});
    assert_eq!(result, all);
}

#[test]
fn terminate_is_listened_to_before_it_ends_everything_and_then_the_process_is() {
    let body = format!(
        r#"<extensionElements>{}</extensionElements><startEvent id="s"/><parallelGateway id="fork"/>{}{}{}{}{}{}{}<endEvent id="e1"/>"#,
        listeners(&[("end", "last")]),
        task("a"),
        heard(r#"<endEvent id="t"><terminateEventDefinition/></endEvent>"#, &[("end", "l")]),
        r#"<intermediateCatchEvent id="never"><timerEventDefinition><timeDuration>P1000D</timeDuration></timerEventDefinition></intermediateCatchEvent>"#,
        flow("1", "s", "fork"),
        flow("2", "fork", "a"),
        flow("3", "fork", "never"),
        flow("4", "a", "t") + &flow("5", "never", "e1"),
    );
    let (game, _) = completed(&model(&body), echo(), &json!({}));
    assert_eq!(game.calls, ["a", "t-end-1", "p-end-1"]);
}

#[test]
fn a_called_process_and_each_instance_of_a_loop_are_listened_to() {
    let many = heard(&task("a"), &[("start", "l"), ("end", "l")]).replace(
        "</extensionElements>",
        r#"</extensionElements><multiInstanceLoopCharacteristics isSequential="true"><extensionElements><zeebe:loopCharacteristics inputCollection="=[1, 2]" inputElement="i" outputCollection="outs" outputElement="=i * 10 + extra"/></extensionElements></multiInstanceLoopCharacteristics>"#,
    );
    let called = format!(
        r#"<process id="called" isExecutable="true"><extensionElements>{}</extensionElements>{}</process>"#,
        listeners(&[("end", "last")]),
        chain(&[
            ("cs", r#"<startEvent id="cs"/>"#.to_owned()),
            ("inner", task("inner")),
            ("ce", r#"<endEvent id="ce"/>"#.to_owned())
        ])
    );
    let call = heard(
        r#"<callActivity id="call"><extensionElements><zeebe:calledElement processId="called"/></extensionElements></callActivity>"#,
        &[("end", "behind")],
    );
    let body = chain(&[start(), ("a", many), ("call", call), end()]);
    let xml = model(&body).replacen("</process>", &format!("</process>{called}"), 1);
    let answers = |element: &str, _: &Value| match element {
        "a-end-2" => json!({"extra": 1}),
        "called-end-1" => json!({"from": "listener"}),
        _ => json!({}),
    };
    let mut game = Game::new(&xml, saying(answers));
    let view = game.run(&json!({"extra": 5}));
    assert_eq!(view.state, State::Completed, "{view:#?}");
    assert_eq!(
        game.calls,
        ["a-start-1", "a", "a-end-2", "a-start-1", "a", "a-end-2", "inner", "called-end-1", "call-end-1"]
    );
    let result = view.result.unwrap().to_json().unwrap();
    assert_eq!((&result["outs"], &result["from"]), (&json!([11, 21]), &json!("listener")));
}

#[test]
fn a_listener_that_fails_is_an_incident_and_only_it_is_called_again() {
    let a = heard(&task("a"), &[("start", "one"), ("start", "two")])
        .replace(r#"type="two""#, r#"type="two" retries="2""#)
        + r#"<boundaryEvent id="any" attachedToRef="a"><errorEventDefinition/></boundaryEvent><endEvent id="caught"/>"#
        + &flow("c", "any", "caught");
    let mut tries = 0;
    let behaviour: Behaviour = Box::new(move |element, _, _| {
        if element == "a-start-2" {
            tries += 1;
            // no answer of a listener is a BPMN error: the catch-all boundary event is not for it
            return (
                1,
                answer(
                    if tries < 3 {
                        500
                    } else if tries == 3 {
                        422
                    } else {
                        200
                    },
                    &json!({}),
                ),
            );
        }
        (1, answer(200, &json!({})))
    });
    let mut game = Game::new(&model(&chain(&[start(), ("a", a), end()])), behaviour);
    let view = game.run(&json!({}));
    assert_eq!(view.state, State::Stopped, "{view:#?}");
    assert_eq!(game.calls, ["a-start-1", "a-start-2", "a-start-2"]);
    game.restart(&view.id, None);
    let view = game.view(&view.id);
    assert_eq!(view.state, State::Stopped, "{view:#?}");
    game.restart(&view.id, None);
    let view = game.view(&view.id);
    assert_eq!(view.state, State::Completed, "{view:#?}");
    assert_eq!(game.calls, ["a-start-1", "a-start-2", "a-start-2", "a-start-2", "a-start-2", "a"]);
    assert!(!game.path().contains(&"caught"));
}

fn user_task(attributes: &str, of: &[(&str, &str)]) -> String {
    let all: String = (of.iter())
        .map(|(event, kind)| format!(r#"<zeebe:taskListener eventType="{event}" type="{kind}"/>"#))
        .collect();
    format!(
        r#"<userTask id="u"><extensionElements><zeebe:userTask/><zeebe:assignmentDefinition {attributes}/><zeebe:taskListeners>{all}</zeebe:taskListeners></extensionElements></userTask>"#
    )
}

#[test]
fn a_user_task_is_seen_when_its_listeners_have_answered_and_is_as_they_correct_it() {
    let answers = |element: &str, input: &Value| match element {
        "u-creating-1" => json!({"corrections": {"priority": 80, "candidateGroups": ["night"]}}),
        "u-assigning-2" => {
            assert_eq!(input["userTask"]["assignee"], json!("ann"));
            assert_eq!(input["userTask"]["priority"], json!("80"));
            json!({"result": {"corrections": {"assignee": "bob"}}})
        }
        "u-completing-3" => {
            assert_eq!((&input["ok"], &input["userTask"]["action"]), (&json!(true), &json!("complete")));
            json!({})
        }
        _ => json!({}),
    };
    let of = [("creating", "l"), ("assigning", "l"), ("completing", "l")];
    let body = chain(&[start(), ("u", user_task(r#"assignee="ann""#, &of)), end()]);
    let mut game = Game::new(&model(&body), saying(answers));
    let instance = game.start("s", &json!({"x": 1}));
    assert!(game.view(&instance).tasks.is_empty(), "its listeners have not answered");
    game.settle_offers();
    let task = game.view(&instance).tasks.remove(0).assigned;
    assert_eq!((task.assignee.as_deref(), task.priority.as_deref()), (Some("bob"), Some("80")));
    assert_eq!(task.candidate_groups, ["night"]);
    let view = game.complete_task(&instance, &json!({"ok": true}));
    assert_eq!(view.state, State::Completed, "{view:#?}");
    assert_eq!(view.result.unwrap().to_json(), Some(json!({"x": 1, "ok": true})));
    assert_eq!(game.calls, ["u-creating-1", "u-assigning-2", "u-completing-3"]);
}

#[test]
fn a_listener_can_deny_that_a_user_task_is_completed() {
    let answers = |element: &str, input: &Value| match element {
        "u-completing-1" if input["amount"].as_i64() < Some(10) => {
            json!({"denied": true, "deniedReason": "too little"})
        }
        _ => json!({}),
    };
    let body = chain(&[start(), ("u", user_task(r#"assignee="ann""#, &[("completing", "l")])), end()]);
    let mut game = Game::new(&model(&body), saying(answers));
    let instance = game.start("s", &json!({}));
    let view = game.complete_task(&instance, &json!({"amount": 1}));
    assert_eq!((view.state, view.tasks.len()), (State::Running, 1));
    game.restart_ledger();
    let view = game.complete_task(&instance, &json!({"amount": 10}));
    assert_eq!(view.state, State::Completed, "{view:#?}");
    assert_eq!(view.result.unwrap().to_json(), Some(json!({"amount": 10})));
}

#[test]
fn who_claims_a_user_task_has_it_when_its_listeners_have_not_denied_it() {
    let answers = |_: &str, input: &Value| match input["userTask"]["assignee"].as_str() {
        Some("eve") => json!({"denied": true, "deniedReason": "not eve"}),
        _ => json!({}),
    };
    let body = chain(&[start(), ("u", user_task("", &[("assigning", "l")])), end()]);
    let mut game = Game::new(&model(&body), saying(answers));
    let instance = game.start("s", &json!({}));
    game.settle_offers();
    let assigned = |view: &InstanceView| (view.tasks[0].assigned.assignee.clone(), view.tasks[0].assigned.claimed);
    let denied = game.act_on_task(&instance, "eve", TaskAction::Claim);
    assert_eq!(assigned(&denied), (None, None));
    game.act_on_task(&instance, "", TaskAction::Save([("x".to_owned(), json!(1))].into_iter().collect()));
    let claimed = game.act_on_task(&instance, "ann", TaskAction::Claim);
    let (who, since) = assigned(&claimed);
    assert_eq!((who.as_deref(), since.is_some_and(|it| it <= game.now())), (Some("ann"), true));
    game.restart_ledger();
    assert_eq!(assigned(&game.act_on_task(&instance, "ann", TaskAction::Unclaim)), (None, None), "nobody is asked");
    assert_eq!(game.calls, ["u-assigning-1", "u-assigning-1"]);
    let view = game.complete_task(&instance, &json!({"y": 2}));
    assert_eq!(view.result.unwrap().to_json(), Some(json!({"x": 1, "y": 2})));
}

#[test]
fn an_interrupted_element_is_not_listened_to_any_more() {
    let u = heard(&user_task("", &[]), &[("end", "l")])
        + r#"<boundaryEvent id="late" attachedToRef="u"><extensionElements><zeebe:executionListeners><zeebe:executionListener eventType="end" type="l"/></zeebe:executionListeners></extensionElements><timerEventDefinition><timeDuration>PT5S</timeDuration></timerEventDefinition></boundaryEvent><endEvent id="e2"/>"#
        + &flow("l", "late", "e2");
    let (game, _) = completed(&model(&chain(&[start(), ("u", u), end()])), echo(), &json!({}));
    assert_eq!(game.calls, ["late-end-1"]);
    assert!(game.path().contains(&"e2"));
}
