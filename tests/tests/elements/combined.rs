//! Elements in and around each other: what each does alone it does there, too.

use control_plane::ledger::State;
use flow_tests::game::{Behaviour, Game, answer, echo, flow, flow_if, model, model_beside, task};
use serde_json::{Value, json};

fn played(xml: &str, behaviour: Behaviour, payload: &Value) -> (Game, State, Value) {
    let mut game = Game::new(xml, behaviour);
    let view = game.run(payload);
    assert!(game.alarms.is_empty(), "{:?}", game.alarms);
    (game, view.state, view.result.unwrap_or_default().to_json().unwrap_or_default())
}

fn completed(xml: &str, payload: &Value) -> (Game, Value) {
    let (game, state, result) = played(xml, echo(), payload);
    assert_eq!(state, State::Completed, "{:?}", game.moves);
    (game, result)
}

fn sorted(game: &Game) -> Vec<String> {
    let mut calls = game.calls.clone();
    calls.sort();
    calls
}

fn sub(id: &str, inside: &str, marker: &str) -> String {
    format!(r#"<subProcess id="{id}">{marker}<startEvent id="{id}-s"/>{inside}<endEvent id="{id}-e"/></subProcess>"#)
}

fn line(ids: &[&str]) -> String {
    ids.windows(2).map(|pair| flow(&format!("{}-to-{}", pair[0], pair[1]), pair[0], pair[1])).collect()
}

fn timer(duration: &str) -> String {
    format!("<timerEventDefinition><timeDuration>{duration}</timeDuration></timerEventDefinition>")
}

fn wait(id: &str, duration: &str) -> String {
    format!(r#"<intermediateCatchEvent id="{id}">{}</intermediateCatchEvent>"#, timer(duration))
}

const THREE: &str = r#"<multiInstanceLoopCharacteristics><extensionElements><zeebe:loopCharacteristics inputCollection="=[1, 2, 3]" inputElement="i"/></extensionElements></multiInstanceLoopCharacteristics>"#;

#[test]
fn a_boundary_event_that_goes_on_fires_once_for_a_multi_instance_sub_process_as_a_whole() {
    let inside = format!("{}{}{}", wait("w", "PT10S"), task("a"), line(&["m-s", "w", "a", "m-e"]));
    let body = format!(
        r#"<startEvent id="s"/>{}<boundaryEvent id="tick" attachedToRef="m" cancelActivity="false">{}</boundaryEvent>{}{}<endEvent id="e"/>{}{}"#,
        sub("m", &inside, THREE),
        timer("PT1S"),
        task("ticked"),
        task("after"),
        line(&["s", "m", "after", "e"]),
        line(&["tick", "ticked"]),
    );
    let (game, _) = completed(&model(&body), &json!({}));
    assert_eq!(sorted(&game), ["a", "a", "a", "after", "ticked"]);
}

#[test]
fn terminate_ends_one_instance_of_a_multi_instance_sub_process() {
    let inside = format!(
        r#"<exclusiveGateway id="x" default="else"/><endEvent id="t"><terminateEventDefinition/></endEvent>{}{}{}{}{}"#,
        task("a"),
        line(&["m-s", "x"]),
        flow_if("two", "x", "t", "i = 2"),
        flow("else", "x", "a"),
        line(&["a", "m-e"]),
    );
    let body = format!(
        r#"<startEvent id="s"/>{}{}<endEvent id="e"/>{}"#,
        sub("m", &inside, THREE),
        task("after"),
        line(&["s", "m", "after", "e"]),
    );
    let (game, _) = completed(&model(&body), &json!({}));
    assert_eq!(sorted(&game), ["a", "a", "after"]);
}

#[test]
fn an_error_in_one_instance_ends_them_all_and_leaves_by_the_boundary_once() {
    let inside = format!(
        r#"<exclusiveGateway id="x" default="else"/><endEvent id="bad"><errorEventDefinition errorRef="err"/></endEvent>{}{}{}{}{}{}"#,
        wait("w", "PT10S"),
        task("a"),
        line(&["m-s", "x"]),
        flow_if("two", "x", "bad", "i = 2"),
        flow("else", "x", "w"),
        line(&["w", "a", "m-e"]),
    );
    let body = format!(
        r#"<startEvent id="s"/>{}<boundaryEvent id="caught" attachedToRef="m"><errorEventDefinition errorRef="err"/></boundaryEvent>{}<endEvent id="e"/>{}{}"#,
        sub("m", &inside, THREE),
        task("after"),
        line(&["s", "m", "e"]),
        line(&["caught", "after"]),
    );
    let (game, _) = completed(&model_beside(r#"<error id="err" errorCode="E"/>"#, &body), &json!({}));
    assert_eq!(game.calls, ["after"]);
}

#[test]
fn compensation_undoes_every_instance_of_a_multi_instance_activity_last_first() {
    let many = r#"<multiInstanceLoopCharacteristics isSequential="true"><extensionElements><zeebe:loopCharacteristics inputCollection="=[1, 2, 3]" inputElement="i"/></extensionElements></multiInstanceLoopCharacteristics>"#;
    let undo = task("undo").replacen("<serviceTask ", r#"<serviceTask isForCompensation="true" "#, 1);
    let inside = format!(
        r#"{}<boundaryEvent id="c" attachedToRef="book"><compensateEventDefinition/></boundaryEvent>{undo}<association id="as" associationDirection="One" sourceRef="c" targetRef="undo"/>{}"#,
        task("book"),
        line(&["m-s", "book", "m-e"]),
    );
    let body = format!(
        r#"<startEvent id="s"/>{}<intermediateThrowEvent id="throw"><compensateEventDefinition/></intermediateThrowEvent>{}<endEvent id="e"/>{}"#,
        sub("m", &inside, many),
        task("after"),
        line(&["s", "m", "throw", "after", "e"]),
    );
    let mut undone = Vec::new();
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let told = std::rc::Rc::clone(&seen);
    let behaviour: Behaviour = Box::new(move |element, _, input| {
        if element == "undo" {
            told.borrow_mut().push(input["i"].clone());
        }
        (1, answer(200, &json!({})))
    });
    let (game, state, _) = played(&model(&body), behaviour, &json!({}));
    assert_eq!(state, State::Completed, "{:?}", game.moves);
    undone.extend(seen.borrow().iter().cloned());
    assert_eq!(game.calls, ["book", "book", "book", "undo", "undo", "undo", "after"]);
    assert_eq!(undone, [json!(3), json!(2), json!(1)], "with the variables of each when it completed");
}

#[test]
fn an_event_sub_process_in_a_transaction_takes_over_and_the_transaction_goes_on_normally() {
    let inside = format!(
        r#"<startEvent id="ts"/>{}<endEvent id="te"/>{}<subProcess id="esp" triggeredByEvent="true"><startEvent id="es">{}</startEvent>{}<endEvent id="ee"/>{}</subProcess>"#,
        wait("long", "PT100S"),
        line(&["ts", "long", "te"]),
        timer("PT1S"),
        task("rescue"),
        line(&["es", "rescue", "ee"]),
    );
    let body = format!(
        r#"<startEvent id="s"/><transaction id="t">{inside}</transaction><boundaryEvent id="cancelled" attachedToRef="t"><cancelEventDefinition/></boundaryEvent>{}{}<endEvent id="e"/>{}{}"#,
        task("after"),
        task("never"),
        line(&["s", "t", "after", "e"]),
        line(&["cancelled", "never"]),
    );
    let (game, _) = completed(&model(&body), &json!({}));
    assert_eq!(game.calls, ["rescue", "after"]);
}

#[test]
fn an_inclusive_join_in_a_loop_waits_for_just_the_round() {
    let body = format!(
        r#"<startEvent id="s"/><exclusiveGateway id="again"/><inclusiveGateway id="split" default="d"/>{}{}{}<inclusiveGateway id="join"/><exclusiveGateway id="more" default="out"/>{}<endEvent id="e"/>{}{}{}{}{}{}"#,
        task("a"),
        task("b"),
        task("c"),
        task("count"),
        line(&["s", "again", "split"]),
        flow_if("fa", "split", "a", "n < 2"),
        flow_if("fb", "split", "b", "true"),
        flow("d", "split", "c"),
        line(&["a", "join"]) + &line(&["b", "join"]) + &line(&["c", "join"]) + &line(&["join", "count", "more"]),
        flow_if("back", "more", "again", "n < 3") + &flow("out", "more", "e"),
    );
    let behaviour: Behaviour = Box::new(|element, _, input| {
        let mut output = json!({});
        if element == "count" {
            output["n"] = json!(input["n"].as_i64().unwrap() + 1);
        }
        (if element == "a" { 5 } else { 1 }, answer(200, &output))
    });
    let (game, state, result) = played(&model(&body), behaviour, &json!({"n": 0}));
    assert_eq!(state, State::Completed, "{:?}", game.moves);
    assert_eq!((game.count("a"), game.count("b"), game.count("c"), game.count("count")), (2, 3, 0, 3));
    assert_eq!(result["n"], json!(3));
}

#[test]
fn escalations_and_errors_of_a_called_process_come_out_of_the_call() {
    let called = |end: &str| {
        format!(
            r#"<process id="called" isExecutable="true"><startEvent id="cs"/>{}<endEvent id="ce">{end}</endEvent>{}</process>"#,
            task("inner"),
            line(&["cs", "inner", "ce"]),
        )
    };
    let body = |boundary: &str| {
        format!(
            r#"<startEvent id="s"/><callActivity id="call" calledElement="called"/><boundaryEvent id="b" attachedToRef="call" {boundary}</boundaryEvent>{}{}<endEvent id="e"/>{}{}"#,
            task("out"),
            task("after"),
            line(&["s", "call", "after", "e"]),
            line(&["b", "out"]),
        )
    };
    let roots = r#"<escalation id="esc" escalationCode="X"/><error id="err" errorCode="E"/>"#;
    let escalates = r#"<escalationEventDefinition escalationRef="esc"/>"#;
    let fails = r#"<errorEventDefinition errorRef="err"/>"#;
    for (end, boundary, calls) in [
        (escalates, format!(r#"cancelActivity="false">{escalates}"#), vec!["after", "inner", "out"]),
        (escalates, format!(">{escalates}"), vec!["inner", "out"]),
        (fails, format!(">{fails}"), vec!["inner", "out"]),
    ] {
        let xml =
            model_beside(roots, &body(&boundary)).replacen("</process>", &format!("</process>{}", called(end)), 1);
        let (game, _) = completed(&xml, &json!({}));
        assert_eq!(sorted(&game), calls, "{boundary}");
    }
}

#[test]
fn a_timer_interrupts_a_standard_loop_as_a_whole() {
    let looped = task("a").replacen(
        "</serviceTask>",
        r#"<standardLoopCharacteristics testBefore="false"><loopCondition>=true</loopCondition></standardLoopCharacteristics></serviceTask>"#,
        1,
    );
    let body = format!(
        r#"<startEvent id="s"/>{looped}<boundaryEvent id="late" attachedToRef="a">{}</boundaryEvent>{}<endEvent id="e"/>{}{}"#,
        timer("PT5S"),
        task("after"),
        line(&["s", "a", "e"]),
        line(&["late", "after"]),
    );
    let slow: Behaviour = Box::new(|element, _, input| (if element == "a" { 2000 } else { 1 }, answer(200, input)));
    let (game, state, _) = played(&model(&body), slow, &json!({}));
    assert_eq!(state, State::Completed, "{:?}", game.moves);
    assert_eq!((game.count("a"), game.count("after")), (3, 1));
}

#[test]
fn a_sequential_ad_hoc_sub_process_stops_at_its_condition() {
    let body = format!(
        r#"<startEvent id="s"/><adHocSubProcess id="any" ordering="Sequential">{}{}{}<completionCondition>=b = true</completionCondition></adHocSubProcess>{}<endEvent id="e"/>{}"#,
        task("a"),
        task("b"),
        task("c"),
        task("after"),
        line(&["s", "any", "after", "e"]),
    );
    let (game, _) = completed(&model(&body), &json!({}));
    assert_eq!(game.calls, ["a", "b", "after"]);
}

#[test]
fn links_lead_from_several_throws_to_one_catch_within_their_sub_process() {
    let link = |kind: &str, id: &str| format!(r#"<{kind} id="{id}"><linkEventDefinition name="L"/></{kind}>"#);
    let inside = format!(
        r#"<exclusiveGateway id="x" default="f2"/>{}{}{}{}{}{}{}"#,
        link("intermediateThrowEvent", "t1"),
        link("intermediateThrowEvent", "t2"),
        link("intermediateCatchEvent", "here"),
        task("a"),
        line(&["m-s", "x"]),
        flow_if("f1", "x", "t1", "i = 1") + &flow("f2", "x", "t2"),
        line(&["here", "a", "m-e"]),
    );
    let body =
        format!(r#"<startEvent id="s"/>{}<endEvent id="e"/>{}"#, sub("m", &inside, THREE), line(&["s", "m", "e"]),);
    let (game, _) = completed(&model(&body), &json!({}));
    assert_eq!(game.count("a"), 3);
}

#[test]
fn a_complex_gateway_fires_again_in_the_next_round_when_it_has_been_reset() {
    let body = format!(
        r#"<startEvent id="s"/><exclusiveGateway id="again"/><parallelGateway id="fork"/>{}{}{}<complexGateway id="two"><activationCondition>=activationCount >= 2</activationCondition></complexGateway>{}<exclusiveGateway id="more" default="out"/><endEvent id="e"/>{}{}{}"#,
        task("a"),
        task("b"),
        task("c"),
        task("count"),
        line(&["s", "again", "fork", "a", "two"]) + &line(&["fork", "b", "two"]) + &line(&["fork", "c", "two"]),
        line(&["two", "count", "more"]),
        flow_if("back", "more", "again", "n < 2") + &flow("out", "more", "e"),
    );
    let behaviour: Behaviour = Box::new(|element, _, input| {
        let mut output = json!({});
        if element == "count" {
            output["n"] = json!(input["n"].as_i64().unwrap_or(0) + 1);
        }
        // the third comes while the second round has not begun
        (
            match element {
                "c" => 3,
                "count" => 10,
                _ => 1,
            },
            answer(200, &output),
        )
    });
    let (game, state, _) = played(&model(&body), behaviour, &json!({"n": 0}));
    assert_eq!(state, State::Completed, "{:?}", game.moves);
    assert_eq!((game.count("a"), game.count("b"), game.count("c"), game.count("count")), (2, 2, 2, 2));
}

#[test]
fn two_tokens_by_one_flow_do_not_stand_for_two_flows_at_a_parallel_join() {
    let body = format!(
        r#"<startEvent id="s"/><parallelGateway id="fork"/>{}{}{}<exclusiveGateway id="merge"/><parallelGateway id="join"/>{}<endEvent id="e"/>{}"#,
        task("a"),
        task("b"),
        task("c"),
        task("after"),
        line(&["s", "fork", "a", "merge"])
            + &line(&["fork", "b", "merge", "join"])
            + &line(&["fork", "c", "join", "after", "e"]),
    );
    let (game, state, _) = played(&model(&body), echo(), &json!({}));
    assert_eq!(game.count("after"), 1);
    assert_eq!(state, State::Running, "the third token waits for its partner, and is seen to: {:?}", game.moves);
}

#[test]
fn an_event_based_gateway_in_a_loop_waits_anew_each_time() {
    let body = format!(
        r#"<startEvent id="s"/><exclusiveGateway id="again"/><eventBasedGateway id="first"/>{}{}{}{}<exclusiveGateway id="more" default="out"/><endEvent id="e"/><endEvent id="e2"/>{}{}"#,
        wait("soon", "PT1S"),
        wait("late", "PT2S"),
        task("a"),
        task("never"),
        line(&["s", "again", "first", "soon", "a", "more"]) + &line(&["first", "late", "never", "e2"]),
        flow_if("back", "more", "again", "n < 3") + &flow("out", "more", "e"),
    );
    let behaviour: Behaviour =
        Box::new(|_, _, input| (1, answer(200, &json!({"n": input["n"].as_i64().unwrap_or(0) + 1}))));
    let (game, state, _) = played(&model(&body), behaviour, &json!({"n": 0}));
    assert_eq!(state, State::Completed, "{:?}", game.moves);
    assert_eq!((game.count("a"), game.count("never")), (3, 0));
}

#[test]
fn an_interrupting_boundary_discards_what_a_multi_instance_activity_has_collected() {
    let many = task("a").replacen(
        "</serviceTask>",
        r#"<multiInstanceLoopCharacteristics isSequential="true"><extensionElements><zeebe:loopCharacteristics inputCollection="=[1, 2, 3]" inputElement="i" outputCollection="outs" outputElement="=i"/></extensionElements></multiInstanceLoopCharacteristics></serviceTask>"#,
        1,
    );
    let body = format!(
        r#"<startEvent id="s"/>{many}<boundaryEvent id="late" attachedToRef="a">{}</boundaryEvent><endEvent id="e"/><endEvent id="e2"/>{}{}"#,
        timer("PT3S"),
        line(&["s", "a", "e"]),
        line(&["late", "e2"]),
    );
    let slow: Behaviour = Box::new(|_, _, _| (2000, answer(200, &json!({}))));
    let (game, state, result) = played(&model(&body), slow, &json!({"x": 1}));
    assert_eq!(state, State::Completed, "{:?}", game.moves);
    assert_eq!(result.get("outs"), None, "{result}");
}

#[test]
fn parallel_multiple_boundary_waits_for_all_its_triggers_and_a_multiple_one_for_any() {
    for (parallel, calls) in [("false", vec!["out"]), ("true", vec!["out"])] {
        let both = timer("PT1S") + &timer("PT3S");
        let body = format!(
            r#"<startEvent id="s"/><userTask id="u"><extensionElements><zeebe:userTask/></extensionElements></userTask><boundaryEvent id="b" attachedToRef="u" parallelMultiple="{parallel}">{both}</boundaryEvent>{}<endEvent id="e"/>{}{}"#,
            task("out"),
            line(&["s", "u", "e"]),
            line(&["b", "out"]),
        );
        let mut game = Game::new(&model(&body), echo());
        let before = game.now();
        let view = game.run(&json!({}));
        assert_eq!((view.state, &game.calls), (State::Completed, &calls.iter().map(ToString::to_string).collect()));
        let waited = game.called_at[0] - before;
        assert_eq!(waited, if parallel == "true" { 3000 } else { 1000 });
    }
}
