//! What few engines run of the standard: behaviour events of multi-instance activities, instantiating receive tasks, correlation
//! properties, decisions beside the model, data objects and associations.

use bpmn::Options;
use control_plane::ledger::State;
use flow_tests::game::{Game, echo, flow, model_beside, task};
use flow_tests::solo::{SoloLedger, message};
use routing::Payload;
use serde_json::{Value, json};

fn completed(mut game: Game, payload: &Value) -> (Game, Value) {
    let view = game.run(payload);
    assert_eq!(view.state, State::Completed, "{view:#?}\n{:?}", game.moves);
    assert!(game.alarms.is_empty(), "{:?}", game.alarms);
    (game, view.result.unwrap_or_default().to_json().unwrap_or_default())
}

/// How often the boundary event of an activity with three instances catches what its marker throws.
fn thrown(behavior: &str, inner: &str) -> usize {
    let root =
        r#"<escalation id="esc" escalationCode="done"/><escalationEventDefinition id="def" escalationRef="esc"/>"#;
    let marker = format!(
        r#"<multiInstanceLoopCharacteristics isSequential="true" {behavior}><loopCardinality>3</loopCardinality>{inner}</multiInstanceLoopCharacteristics>"#
    );
    let body = format!(
        r#"<startEvent id="s"/>{}<boundaryEvent id="b" attachedToRef="t" cancelActivity="false"><escalationEventDefinition escalationRef="esc"/></boundaryEvent>{}<endEvent id="e"/><endEvent id="e2"/>{}{}{}{}"#,
        task("t").replace("</serviceTask>", &format!("{marker}</serviceTask>")),
        task("told"),
        flow("1", "s", "t"),
        flow("2", "t", "e"),
        flow("3", "b", "told"),
        flow("4", "told", "e2"),
    );
    let (game, _) = completed(Game::new(&model_beside(root, &body), echo()), &json!({}));
    assert_eq!(game.count("t"), 3);
    game.count("told")
}

#[test]
fn a_multi_instance_activity_throws_for_none_for_one_or_as_its_conditions_say() {
    assert_eq!(thrown("", ""), 0, "All: the activity completes, nothing is thrown");
    assert_eq!(
        thrown(r#"behavior="None" noneBehaviorEventRef="def""#, ""),
        3,
        "None: for each instance that completes"
    );
    assert_eq!(thrown(r#"behavior="One" oneBehaviorEventRef="def""#, ""), 1, "One: for the first that completes");
    let complex = r#"<complexBehaviorDefinition><condition>numberOfCompletedInstances &gt;= 2</condition><event><eventDefinitionRef>def</eventDefinitionRef></event></complexBehaviorDefinition>"#;
    assert_eq!(thrown(r#"behavior="Complex""#, complex), 2, "Complex: whenever the condition holds as one completes");
}

#[test]
fn an_instantiating_receive_task_starts_an_instance_with_its_message() {
    let root = r#"<message id="m" name="order"/>"#;
    let body =
        format!(r#"<receiveTask id="R" messageRef="m" instantiate="true"/><endEvent id="e"/>{}"#, flow("f", "R", "e"));
    let mut solo = SoloLedger::new(&[model_beside(root, &body)]);
    let receipt = solo.send(message("order", None, 0));
    let [instance] = &receipt.started[..] else { panic!("{receipt:?}") };
    assert_eq!(solo.state(instance), State::Completed);
    let result = solo.views[instance].result.as_ref().and_then(Payload::to_json).unwrap();
    assert_eq!(result["by"], "order");
}

#[test]
fn a_message_is_correlated_by_what_its_property_retrieves() {
    let root = r#"<message id="m" name="paid"/>
        <correlationProperty id="number"><correlationPropertyRetrievalExpression messageRef="m">
        <messagePath>body.number</messagePath></correlationPropertyRetrievalExpression></correlationProperty>
        <collaboration id="C"><participant id="pool" processRef="p"/><correlationKey id="key">
        <correlationPropertyRef>number</correlationPropertyRef></correlationKey></collaboration>"#;
    let body = format!(
        r#"<startEvent id="S"/><receiveTask id="R" messageRef="m"/><endEvent id="e"/>{}{}
        <correlationSubscription correlationKeyRef="key"><correlationPropertyBinding correlationPropertyRef="number">
        <dataPath>invoice</dataPath></correlationPropertyBinding></correlationSubscription>"#,
        flow("1", "S", "R"),
        flow("2", "R", "e")
    );
    let mut solo = SoloLedger::new(&[model_beside(root, &body)]);
    let (one, two) = (solo.start("p", &json!({"invoice": 1})), solo.start("p", &json!({"invoice": 2})));
    let mut paid = message("paid", None, 0);
    paid.payload = Payload::json(&json!({"body": {"number": 2}}));
    assert_eq!(solo.send(paid).instances, std::slice::from_ref(&two));
    assert_ne!(solo.state(&one), State::Completed);
    assert_eq!(solo.state(&two), State::Completed);
}

#[test]
fn a_business_rule_task_decides_by_the_table_of_a_file_beside_the_model() {
    let dmn = br#"<definitions xmlns="https://www.omg.org/spec/DMN/20191111/MODEL/" name="n" namespace="n">
        <decision id="tier" name="Tier"><decisionTable><input><inputExpression><text>amount</text></inputExpression></input>
        <output name="o"/><rule><inputEntry><text>&gt; 100</text></inputEntry><outputEntry><text>"gold"</text></outputEntry></rule>
        <rule><inputEntry><text>-</text></inputEntry><outputEntry><text>"tin"</text></outputEntry></rule></decisionTable></decision></definitions>"#;
    let dmn = String::from_utf8_lossy(dmn).replace("<decisionTable>", r#"<decisionTable hitPolicy="FIRST">"#);
    let mut options = Options::default();
    bpmn::beside(&mut options, "tier.dmn", dmn.as_bytes()).expect("it is sound");
    let body = format!(
        r#"<startEvent id="s"/><businessRuleTask id="d"><extensionElements><zeebe:calledDecision decisionId="tier" resultVariable="tier"/></extensionElements></businessRuleTask><endEvent id="e"/>{}{}"#,
        flow("1", "s", "d"),
        flow("2", "d", "e")
    );
    for (amount, tier) in [(500, "gold"), (5, "tin")] {
        let game = Game::with(&model_beside("", &body), echo(), &options);
        let (_, result) = completed(game, &json!({"amount": amount}));
        assert_eq!(result["tier"], tier);
    }
}

#[test]
fn data_associations_move_values_between_data_objects_and_activities() {
    let body = format!(
        r#"<dataObject id="o" name="order"/><dataObjectReference id="r" dataObjectRef="o"/><startEvent id="s"/>
        <scriptTask id="t" scriptFormat="feel" xmlns:camunda="http://camunda.org/schema/1.0/bpmn" camunda:resultVariable="answer">
        <ioSpecification><dataInput id="in" name="amount"/><dataOutput id="out" name="answer"/></ioSpecification>
        <dataInputAssociation><sourceRef>r</sourceRef><targetRef>in</targetRef><assignment><from>order.total * 2</from><to>in</to></assignment></dataInputAssociation>
        <dataOutputAssociation><sourceRef>out</sourceRef><targetRef>r</targetRef></dataOutputAssociation>
        <script>amount + 1</script></scriptTask><endEvent id="e"/>{}{}"#,
        flow("1", "s", "t"),
        flow("2", "t", "e")
    );
    let game = Game::new(&model_beside("", &body), echo());
    let (_, result) = completed(game, &json!({"order": {"total": 20}}));
    assert_eq!(result["order"], json!(41));
}

#[test]
fn a_compensation_throw_names_an_activity_and_may_not_wait() {
    let mut body = r#"<startEvent id="s"/><endEvent id="e"/>"#.to_owned();
    for id in ["a", "b"] {
        body += &task(id);
        body += &format!(
            r#"<boundaryEvent id="{id}-c" attachedToRef="{id}"><compensateEventDefinition/></boundaryEvent><serviceTask id="undo-{id}" isForCompensation="true"><extensionElements><zeebe:taskDefinition type="undo-{id}"/></extensionElements></serviceTask><association id="as-{id}" associationDirection="One" sourceRef="{id}-c" targetRef="undo-{id}"/>"#
        );
    }
    body += r#"<intermediateThrowEvent id="undo"><compensateEventDefinition activityRef="a" waitForCompletion="false"/></intermediateThrowEvent>"#;
    body += &task("after");
    for (id, from, to) in
        [("1", "s", "a"), ("2", "a", "b"), ("3", "b", "undo"), ("4", "undo", "after"), ("5", "after", "e")]
    {
        body += &flow(id, from, to);
    }
    let (game, _) = completed(Game::new(&model_beside("", &body), echo()), &json!({}));
    let mut calls: Vec<&str> = game.calls.iter().map(String::as_str).collect();
    calls.sort_unstable();
    assert_eq!(calls, ["a", "after", "b", "undo-a"], "b is not undone, and the throw goes on");
}

#[test]
fn a_multiple_event_catches_one_of_its_triggers_and_a_parallel_one_all() {
    for (all, waits) in [(false, 1_000), (true, 9_000)] {
        let timer =
            |due: &str| format!("<timerEventDefinition><timeDuration>{due}</timeDuration></timerEventDefinition>");
        let body = format!(
            r#"<startEvent id="s"/><intermediateCatchEvent id="c" parallelMultiple="{all}">{}{}</intermediateCatchEvent><endEvent id="e"/>{}{}"#,
            timer("PT1S"),
            timer("PT9S"),
            flow("1", "s", "c"),
            flow("2", "c", "e"),
        );
        let game = Game::new(&model_beside("", &body), echo());
        let began = game.now();
        let (game, _) = completed(game, &json!({}));
        assert_eq!(game.now() - began, waits);
    }
}
