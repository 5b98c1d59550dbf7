//! Standard loops, multi-instance, start and completion quantities.

use control_plane::ledger::State;
use flow_tests::game::{Game, answer, echo, flow, model, task};
use serde_json::{Value, json};

fn around(element: &str) -> String {
    model(&format!(
        r#"<startEvent id="s"/>{element}<endEvent id="e"/>{}{}"#,
        flow("in", "s", "t"),
        flow("out", "t", "e")
    ))
}

fn marked(marks: &str) -> String {
    around(&task("t").replace("</serviceTask>", &format!("{marks}</serviceTask>")))
}

fn completed(xml: &str, behaviour: flow_tests::game::Behaviour, payload: &Value) -> (Game, Value) {
    let mut game = Game::new(xml, behaviour);
    let view = game.run(payload);
    assert_eq!(view.state, State::Completed, "{view:#?}\n{:?}", game.moves);
    assert!(game.alarms.is_empty(), "{:?}", game.alarms);
    (game, view.result.unwrap_or_default().to_json().unwrap_or_default())
}

fn doubling() -> flow_tests::game::Behaviour {
    Box::new(|_, _, input| {
        let n = input["item"].as_i64().unwrap_or(0);
        // later elements answer sooner
        ((100 - n) as u64, answer(200, &json!({"doubled": 2 * n})))
    })
}

const OVER_ITEMS: &str = r#"<zeebe:loopCharacteristics inputCollection="=items" inputElement="item" outputCollection="results" outputElement="=doubled"/>"#;

#[test]
fn outputs_are_collected_in_the_order_of_the_collection() {
    for sequential in [false, true] {
        let marks = format!(
            r#"<multiInstanceLoopCharacteristics isSequential="{sequential}"><extensionElements>{OVER_ITEMS}</extensionElements></multiInstanceLoopCharacteristics>"#
        );
        let (game, result) = completed(&marked(&marks), doubling(), &json!({"items": [3, 1, 2]}));
        assert_eq!(result["results"], json!([6, 2, 4]));
        assert_eq!(result.get("item"), None, "the element is local");
        assert_eq!(game.calls.len(), 3);
    }
}

#[test]
fn an_empty_collection_completes_at_once() {
    let marks = format!(
        r#"<multiInstanceLoopCharacteristics><extensionElements>{OVER_ITEMS}</extensionElements></multiInstanceLoopCharacteristics>"#
    );
    let (game, result) = completed(&marked(&marks), doubling(), &json!({"items": []}));
    assert_eq!((game.calls.len(), &result["results"]), (0, &json!([])));
}

#[test]
fn a_completion_condition_ends_the_rest() {
    let marks = r#"<multiInstanceLoopCharacteristics isSequential="true"><loopCardinality>10</loopCardinality><completionCondition>=numberOfCompletedInstances >= 3</completionCondition></multiInstanceLoopCharacteristics>"#;
    let (game, _) = completed(&marked(marks), echo(), &json!({}));
    assert_eq!(game.calls.len(), 3);
}

#[test]
fn a_standard_loop_tests_before_or_after_and_stops_at_its_maximum() {
    let counting = || -> flow_tests::game::Behaviour {
        Box::new(|_, _, input| (1, answer(200, &json!({"n": input["n"].as_i64().unwrap_or(0) + 1}))))
    };
    let of = |attributes: &str| {
        marked(&format!(
            r#"<standardLoopCharacteristics {attributes}><loopCondition xsi:type="tFormalExpression">=n &lt; 3</loopCondition></standardLoopCharacteristics>"#
        ))
    };
    let (game, result) = completed(&of(r#"testBefore="true""#), counting(), &json!({"n": 0}));
    assert_eq!((game.calls.len(), &result["n"]), (3, &json!(3)));
    let (game, _) = completed(&of(r#"testBefore="true""#), counting(), &json!({"n": 5}));
    assert_eq!(game.calls.len(), 0);
    let (game, _) = completed(&of(r#"testBefore="false""#), counting(), &json!({"n": 5}));
    assert_eq!(game.calls.len(), 1);
    let (game, _) = completed(&of(r#"testBefore="true" loopMaximum="2""#), counting(), &json!({"n": 0}));
    assert_eq!(game.calls.len(), 2);
}

#[test]
fn three_thousand_instances_cost_no_more_than_linear_time() {
    let marks = r#"<multiInstanceLoopCharacteristics><loopCardinality>3000</loopCardinality></multiInstanceLoopCharacteristics>"#;
    let (game, _) = completed(&marked(marks), echo(), &json!({}));
    assert_eq!(game.calls.len(), 3000);
}

#[test]
fn quantities_wait_for_tokens_and_send_as_many() {
    let body = format!(
        r#"<startEvent id="s"/><parallelGateway id="g"/>{}{}<endEvent id="e"/>{}{}{}{}{}"#,
        task("t").replace("<serviceTask ", r#"<serviceTask startQuantity="2" completionQuantity="3" "#),
        task("u"),
        flow("1", "s", "g"),
        flow("2", "g", "t"),
        flow("3", "g", "t"),
        flow("4", "t", "u"),
        flow("5", "u", "e"),
    );
    let (game, _) = completed(&model(&body), echo(), &json!({}));
    assert_eq!((game.count("t"), game.count("u")), (1, 3));
}

#[test]
fn scripts_and_tasks_that_do_nothing_need_no_service() {
    let script = r#"<scriptTask id="t"><extensionElements><zeebe:script expression="=a + b" resultVariable="sum"/></extensionElements></scriptTask>"#;
    let (game, result) = completed(&around(script), echo(), &json!({"a": 1, "b": 2}));
    assert_eq!((&result["sum"], game.calls.len()), (&json!(3), 0));
    for element in ["manualTask", "task"] {
        let (game, _) = completed(&around(&format!(r#"<{element} id="t"/>"#)), echo(), &json!({}));
        assert!(game.path().contains(&"t"), "{:?}", game.path());
    }
}
