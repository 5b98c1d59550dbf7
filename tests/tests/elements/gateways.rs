//! Inclusive, complex and event-based gateways, links, events inside one instance.

use control_plane::ledger::State;
use flow_tests::game::{Game, answer, echo, flow, flow_if, model, model_beside, task};
use serde_json::{Value, json};

fn completed(xml: &str, payload: &Value) -> Game {
    let mut game = Game::new(xml, echo());
    let view = game.run(payload);
    assert_eq!(view.state, State::Completed, "{view:#?}\n{:?}", game.moves);
    assert!(game.alarms.is_empty(), "{:?}", game.alarms);
    game
}

fn inclusive() -> String {
    model(&format!(
        r#"<startEvent id="s"/><inclusiveGateway id="or" default="fc"/>{}{}{}<inclusiveGateway id="join"/>{}<endEvent id="e"/>{}{}{}{}{}{}{}{}{}"#,
        task("a"),
        task("b"),
        task("c"),
        task("after"),
        flow("f0", "s", "or"),
        flow_if("fa", "or", "a", "a"),
        flow_if("fb", "or", "b", "b"),
        flow("fc", "or", "c"),
        flow("ja", "a", "join"),
        flow("jb", "b", "join"),
        flow("jc", "c", "join"),
        flow("f1", "join", "after"),
        flow("f2", "after", "e"),
    ))
}

#[test]
fn an_inclusive_gateway_takes_every_true_flow_and_its_join_waits_for_just_these() {
    for (a, b) in [(true, true), (true, false), (false, true), (false, false)] {
        let game = completed(&inclusive(), &json!({"a": a, "b": b}));
        let expected = (usize::from(a), usize::from(b), usize::from(!a && !b), 1);
        assert_eq!((game.count("a"), game.count("b"), game.count("c"), game.count("after")), expected);
    }
}

#[test]
fn an_inclusive_join_fires_when_the_awaited_token_leaves_by_a_boundary_event() {
    let body = format!(
        r#"<startEvent id="s"/><inclusiveGateway id="or"/>{}{}<boundaryEvent id="late" attachedToRef="b"><timerEventDefinition><timeDuration>PT5S</timeDuration></timerEventDefinition></boundaryEvent>{}<inclusiveGateway id="join"/>{}<endEvent id="e"/><endEvent id="e2"/>{}{}{}{}{}{}{}{}{}"#,
        task("a"),
        task("b"),
        task("gone"),
        task("after"),
        flow("f0", "s", "or"),
        flow_if("fa", "or", "a", "true"),
        flow_if("fb", "or", "b", "true"),
        flow("ja", "a", "join"),
        flow("jb", "b", "join"),
        flow("x1", "late", "gone"),
        flow("x2", "gone", "e2"),
        flow("f1", "join", "after"),
        flow("f2", "after", "e"),
    );
    let mut game = Game::new(
        &model(&body),
        Box::new(|element, _, input| (if element == "b" { 60_000 } else { 1 }, answer(200, input))),
    );
    let view = game.run(&json!({}));
    assert_eq!(view.state, State::Completed, "{:?}", game.moves);
    assert_eq!((game.count("gone"), game.count("after")), (1, 1));
}

#[test]
fn an_unstructured_inclusive_join_waits_for_what_can_still_come() {
    // fork -> a -> join; fork -> b -> x (exclusive) -> join or end
    for go in [true, false] {
        let body = format!(
            r#"<startEvent id="s"/><parallelGateway id="fork"/>{}{}<exclusiveGateway id="x" default="xe"/><inclusiveGateway id="join"/>{}<endEvent id="e"/><endEvent id="e2"/>{}{}{}{}{}{}{}{}{}"#,
            task("a"),
            task("b"),
            task("after"),
            flow("f0", "s", "fork"),
            flow("fa", "fork", "a"),
            flow("fb", "fork", "b"),
            flow("ja", "a", "join"),
            flow("bx", "b", "x"),
            flow_if("jx", "x", "join", "go"),
            flow("xe", "x", "e2"),
            flow("f1", "join", "after"),
            flow("f2", "after", "e"),
        );
        let game = completed(&model(&body), &json!({"go": go}));
        assert_eq!(game.count("after"), 1, "{:?}", game.moves);
    }
}

#[test]
fn a_complex_gateway_fires_at_its_condition_and_takes_in_the_rest() {
    let body = format!(
        r#"<startEvent id="s"/><parallelGateway id="fork"/>{}{}{}<complexGateway id="two"><activationCondition xsi:type="tFormalExpression">=activationCount >= 2</activationCondition></complexGateway>{}<endEvent id="e"/>{}{}{}{}{}{}{}{}{}"#,
        task("a"),
        task("b"),
        task("c"),
        task("after"),
        flow("f0", "s", "fork"),
        flow("fa", "fork", "a"),
        flow("fb", "fork", "b"),
        flow("fc", "fork", "c"),
        flow("ja", "a", "two"),
        flow("jb", "b", "two"),
        flow("jc", "c", "two"),
        flow("f1", "two", "after"),
        flow("f2", "after", "e"),
    );
    let game = completed(&model(&body), &json!({}));
    assert_eq!((game.calls.len(), game.count("after")), (4, 1), "{:?}", game.moves);
}

#[test]
fn an_event_based_gateway_goes_on_with_the_first_event() {
    let timer = |id: &str, due: &str| {
        format!(
            r#"<intermediateCatchEvent id="{id}"><timerEventDefinition><timeDuration>{due}</timeDuration></timerEventDefinition></intermediateCatchEvent>"#
        )
    };
    let body = format!(
        r#"<startEvent id="s"/><eventBasedGateway id="g"/>{}{}{}{}<endEvent id="e"/>{}{}{}{}{}{}{}"#,
        timer("soon", "PT1S"),
        timer("late", "PT9S"),
        task("a"),
        task("b"),
        flow("1", "s", "g"),
        flow("2", "g", "soon"),
        flow("3", "g", "late"),
        flow("4", "soon", "a"),
        flow("5", "late", "b"),
        flow("6", "a", "e"),
        flow("7", "b", "e"),
    );
    let game = completed(&model(&body), &json!({}));
    assert_eq!(game.calls, ["a"]);
}

#[test]
fn links_lead_from_any_throw_to_their_catch() {
    let body = format!(
        r#"<startEvent id="s"/><intermediateThrowEvent id="out"><linkEventDefinition name="L"/></intermediateThrowEvent><intermediateCatchEvent id="in"><linkEventDefinition name="L"/></intermediateCatchEvent>{}<endEvent id="e"/>{}{}{}"#,
        task("a"),
        flow("1", "s", "out"),
        flow("2", "in", "a"),
        flow("3", "a", "e"),
    );
    assert_eq!(completed(&model(&body), &json!({})).calls, ["a"]);
}

#[test]
fn a_signal_reaches_everybody_who_waits_and_a_message_one() {
    for (root, catch, throw) in [
        (
            r#"<signal id="S" name="go"/>"#,
            r#"<signalEventDefinition signalRef="S"/>"#,
            r#"<signalEventDefinition signalRef="S"/>"#,
        ),
        (
            r#"<message id="S" name="go"/>"#,
            r#"<messageEventDefinition messageRef="S"/>"#,
            r#"<messageEventDefinition messageRef="S"/>"#,
        ),
    ] {
        let wait = |id: &str| format!(r#"<intermediateCatchEvent id="{id}">{catch}</intermediateCatchEvent>"#);
        let body = format!(
            r#"<startEvent id="s"/><parallelGateway id="fork"/>{}{}<intermediateCatchEvent id="pause"><timerEventDefinition><timeDuration>PT1S</timeDuration></timerEventDefinition></intermediateCatchEvent><intermediateThrowEvent id="throw">{throw}</intermediateThrowEvent>{}{}<endEvent id="e"/>{}{}{}{}{}{}{}{}{}{}"#,
            wait("w1"),
            wait("w2"),
            task("a"),
            task("b"),
            flow("1", "s", "fork"),
            flow("2", "fork", "w1"),
            flow("3", "fork", "w2"),
            flow("4", "fork", "pause"),
            flow("5", "pause", "throw"),
            flow("6", "w1", "a"),
            flow("7", "w2", "b"),
            flow("8", "a", "e"),
            flow("9", "b", "e"),
            flow("10", "throw", "e"),
        );
        let mut game = Game::new(&model_beside(root, &body), echo());
        game.run(&json!({}));
        let expected = if root.contains("signal") { 2 } else { 1 };
        assert_eq!(game.calls.len(), expected, "{root} {:?}", game.moves);
        assert!(game.alarms.is_empty(), "{:?}", game.alarms);
    }
}

#[test]
fn a_condition_fires_when_a_variable_makes_it_true() {
    let body = format!(
        r#"<startEvent id="s"/><parallelGateway id="fork"/><intermediateCatchEvent id="until"><conditionalEventDefinition><condition xsi:type="tFormalExpression">=a = true</condition></conditionalEventDefinition></intermediateCatchEvent>{}{}<endEvent id="e"/>{}{}{}{}{}{}"#,
        task("a"),
        task("b"),
        flow("1", "s", "fork"),
        flow("2", "fork", "until"),
        flow("3", "fork", "a"),
        flow("4", "until", "b"),
        flow("5", "a", "e"),
        flow("6", "b", "e"),
    );
    assert_eq!(completed(&model(&body), &json!({})).calls, ["a", "b"]);
}

#[test]
fn a_non_interrupting_timer_boundary_fires_as_often_as_its_cycle_says() {
    let body = format!(
        r#"<startEvent id="s"/>{}<boundaryEvent id="tick" attachedToRef="sub" cancelActivity="false"><timerEventDefinition><timeCycle>R3/PT1S</timeCycle></timerEventDefinition></boundaryEvent>{}<endEvent id="e"/>{}{}{}"#,
        r#"<subProcess id="sub"><startEvent id="is"/><intermediateCatchEvent id="w"><timerEventDefinition><timeDuration>PT10S</timeDuration></timerEventDefinition></intermediateCatchEvent><endEvent id="ie"/><sequenceFlow id="i1" sourceRef="is" targetRef="w"/><sequenceFlow id="i2" sourceRef="w" targetRef="ie"/></subProcess>"#,
        task("ticked"),
        flow("1", "s", "sub"),
        flow("2", "sub", "e"),
        flow("3", "tick", "ticked"),
    );
    let game = completed(&model(&body), &json!({}));
    assert_eq!(game.count("ticked"), 3, "{:?}", game.moves);
}

#[test]
fn a_filtered_condition_is_asked_when_its_variables_change_in_its_way() {
    let waits = |filter: &str| {
        format!(
            r#"<startEvent id="s"/><parallelGateway id="fork"/><intermediateCatchEvent id="until"><conditionalEventDefinition><extensionElements><zeebe:conditionalFilter {filter}/></extensionElements><condition xsi:type="tFormalExpression">=a = true</condition></conditionalEventDefinition></intermediateCatchEvent>{}{}{}<endEvent id="e"/>{}{}{}{}{}{}{}"#,
            task("a"),
            task("c"),
            task("b"),
            flow("1", "s", "fork"),
            flow("2", "fork", "until"),
            flow("3", "fork", "a"),
            flow("4", "a", "c"),
            flow("5", "until", "b"),
            flow("6", "c", "e"),
            flow("7", "b", "e"),
        )
    };
    let fires = |filter: &str, payload: Value| {
        let mut game = Game::new(&model(&waits(filter)), echo());
        let view = game.run(&payload);
        let at = |element: &str| game.path().iter().position(|it| *it == element);
        (at("until").map(|it| it < at("c").unwrap()), view.state)
    };
    let created = r#"variableNames="a" variableEvents="create""#;
    assert_eq!(fires(created, json!({})), (Some(true), State::Completed));
    assert_eq!(fires(created, json!({"a": false})), (None, State::Running), "what was there is updated, not created");
    let later = fires(r#"variableNames="other, c""#, json!({}));
    assert_eq!(later, (Some(false), State::Completed), "the condition holds before, and is asked at the change of `c`");
    assert_eq!(fires("", json!({})), (Some(true), State::Completed));
}
