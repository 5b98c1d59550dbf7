//! Embedded sub-processes, event sub-processes, call activities, ad-hoc sub-processes, transactions.

use control_plane::ledger::State;
use flow_tests::game::{Game, answer, echo, flow, model, model_beside, task};
use serde_json::{Value, json};

/// Start, one element, end.
fn around(id: &str, element: &str) -> String {
    format!(r#"<startEvent id="s"/>{element}<endEvent id="e"/>{}{}"#, flow("in", "s", id), flow("out", id, "e"))
}

fn sub_process(id: &str, inside: &str) -> String {
    format!(r#"<subProcess id="{id}">{inside}</subProcess>"#)
}

fn inside(tasks: &[&str]) -> String {
    let mut body = format!(r#"<startEvent id="i{0}s"/><endEvent id="i{0}e"/>"#, tasks[0]);
    let mut last = format!("i{}s", tasks[0]);
    for id in tasks {
        body += &task(id);
        body += &flow(&format!("to-{id}"), &last, id);
        last = (*id).to_owned();
    }
    body + &flow(&format!("end-{}", tasks[0]), &last, &format!("i{}e", tasks[0]))
}

fn completed(xml: &str, payload: &Value) -> (Game, Value) {
    let mut game = Game::new(xml, echo());
    let view = game.run(payload);
    assert_eq!(view.state, State::Completed, "{view:#?}\n{:?}", game.moves);
    assert!(game.alarms.is_empty(), "{:?}", game.alarms);
    (game, view.result.unwrap_or_default().to_json().unwrap_or_default())
}

#[test]
fn a_sub_process_ends_when_all_its_tokens_have_and_its_variables_come_out() {
    let fork = format!(
        r#"<startEvent id="is"/>{}{}<endEvent id="ia"/><endEvent id="ib"/>{}{}{}{}"#,
        task("a"),
        task("b"),
        flow("1", "is", "a"),
        flow("2", "is", "b"),
        flow("3", "a", "ia"),
        flow("4", "b", "ib"),
    );
    let body = format!(
        r#"<startEvent id="s"/>{}{}<endEvent id="e"/>{}{}{}"#,
        sub_process("sub", &fork),
        task("after"),
        flow("f1", "s", "sub"),
        flow("f2", "sub", "after"),
        flow("f3", "after", "e"),
    );
    let (game, result) = completed(&model(&body), &json!({"x": 1}));
    assert_eq!(result, json!({"x": 1, "a": true, "b": true, "after": true}));
    assert_eq!((game.count("a"), game.count("b"), game.count("after")), (1, 1, 1));
    let sub = game.path().iter().position(|e| *e == "sub").unwrap();
    assert!(game.path().iter().position(|e| *e == "after").unwrap() > sub);
}

#[test]
fn sub_processes_nest_and_terminate_ends_only_the_innermost() {
    let inner = format!(
        r#"<startEvent id="is"/>{}<endEvent id="it"><terminateEventDefinition/></endEvent><intermediateCatchEvent id="never"><timerEventDefinition><timeDuration>P1000D</timeDuration></timerEventDefinition></intermediateCatchEvent><endEvent id="inn"/>{}{}{}{}"#,
        task("a"),
        flow("0", "never", "inn"),
        flow("1", "is", "a"),
        flow("2", "is", "never"),
        flow("3", "a", "it"),
    );
    let outer = format!(
        r#"<startEvent id="os"/>{}{}{}{}"#,
        sub_process("inner", &inner),
        task("b"),
        flow("4", "os", "inner"),
        flow("5", "inner", "b")
    );
    let (game, _) = completed(&model(&around("outer", &sub_process("outer", &outer))), &json!({}));
    assert_eq!((game.count("a"), game.count("b")), (1, 1));
    assert!(!game.path().contains(&"never"));
}

#[test]
fn an_error_rises_to_the_nearest_boundary_that_catches_it() {
    let root = r#"<error id="E" errorCode="BAD"/>"#;
    let thrower = format!(
        r#"<startEvent id="is"/>{}<endEvent id="ie"><errorEventDefinition errorRef="E"/></endEvent>{}{}"#,
        task("a"),
        flow("1", "is", "a"),
        flow("2", "a", "ie")
    );
    let body = format!(
        r#"{}<boundaryEvent id="any" attachedToRef="sub"><errorEventDefinition/></boundaryEvent><boundaryEvent id="bad" attachedToRef="sub"><errorEventDefinition errorRef="E"/></boundaryEvent>{}{}<endEvent id="e1"/>{}{}{}"#,
        around("sub", &sub_process("sub", &thrower)),
        task("specific"),
        task("general"),
        flow("b1", "any", "general"),
        flow("b2", "bad", "specific"),
        flow("b3", "specific", "e1"),
    );
    let (game, result) = completed(&model_beside(root, &body), &json!({}));
    assert_eq!((game.count("specific"), game.count("general")), (1, 0));
    assert_eq!(result["a"], json!(true), "what was written before the error is kept");
    assert!(!game.path().contains(&"e"));
}

#[test]
fn an_error_of_a_task_inside_reaches_the_boundary_of_the_sub_process_and_nobody_else_is_an_incident() {
    let body = |catch: bool| {
        let boundary = if catch {
            format!(
                r#"<boundaryEvent id="bad" attachedToRef="sub"><errorEventDefinition errorRef="E"/></boundaryEvent>{}{}"#,
                task("caught"),
                flow("b1", "bad", "caught")
            )
        } else {
            String::new()
        };
        let sub = around("sub", &sub_process("sub", &inside(&["a"])));
        model_beside(r#"<error id="E" errorCode="BAD"/>"#, &format!("{sub}{boundary}"))
    };
    let refuse = || -> flow_tests::game::Behaviour {
        Box::new(|element, _, input| {
            (
                1,
                answer(
                    if element == "a" { 422 } else { 200 },
                    &if element == "a" { json!({"code": "BAD"}) } else { input.clone() },
                ),
            )
        })
    };
    let refuse_with_code = || -> flow_tests::game::Behaviour {
        let mut refuse = refuse();
        Box::new(move |element, attempts, input| {
            let (takes, result) = refuse(element, attempts, input);
            let result = result.map(|mut a| {
                a.error_code = (a.status == 422).then(|| "BAD".to_owned());
                a
            });
            (takes, result)
        })
    };
    let mut game = Game::new(&body(true), refuse_with_code());
    assert_eq!(game.run(&json!({})).state, State::Completed, "{:?}", game.moves);
    assert_eq!(game.count("caught"), 1);
    let mut game = Game::new(&body(false), refuse_with_code());
    let view = game.run(&json!({}));
    assert_eq!((view.state, view.incidents.len()), (State::Stopped, 1));
}

#[test]
fn an_interrupting_event_sub_process_takes_over_and_one_that_does_not_runs_beside() {
    for interrupting in [true, false] {
        let body = format!(
            r#"<startEvent id="s"/>{}<intermediateCatchEvent id="wait"><timerEventDefinition><timeDuration>PT10S</timeDuration></timerEventDefinition></intermediateCatchEvent>{}<endEvent id="e"/>{}{}{}{}
            <subProcess id="handler" triggeredByEvent="true"><startEvent id="hs" isInterrupting="{interrupting}"><timerEventDefinition><timeDuration>PT5S</timeDuration></timerEventDefinition></startEvent>{}<endEvent id="he"/>{}{}</subProcess>"#,
            task("a"),
            task("b"),
            flow("1", "s", "a"),
            flow("2", "a", "wait"),
            flow("3", "wait", "b"),
            flow("4", "b", "e"),
            task("h"),
            flow("5", "hs", "h"),
            flow("6", "h", "he"),
        );
        let (game, result) = completed(&model(&body), &json!({}));
        assert_eq!((game.count("h"), game.count("b")), (1, usize::from(!interrupting)), "{:?}", game.moves);
        assert_eq!(result["a"], json!(true));
        assert_eq!(result["h"], json!(true));
    }
}

#[test]
fn a_called_process_runs_as_a_scope_and_maps_what_it_is_told() {
    let called = format!(r#"<process id="q" isExecutable="true">{}</process>"#, inside(&["c"]));
    let call = r#"<callActivity id="call" calledElement="q"/>"#;
    let (game, result) = completed(&model_beside(&called, &around("call", call)), &json!({"x": 1}));
    assert_eq!(result, json!({"x": 1, "c": true}));
    assert_eq!(game.count("c"), 1);
    let mapped = r#"<callActivity id="call"><extensionElements><zeebe:calledElement processId="q" propagateAllParentVariables="false" propagateAllChildVariables="false"/><zeebe:ioMapping><zeebe:input source="=x + 1" target="y"/><zeebe:output source="=y" target="back"/></zeebe:ioMapping></extensionElements></callActivity>"#;
    let (_, result) = completed(&model_beside(&called, &around("call", mapped)), &json!({"x": 1}));
    assert_eq!(result, json!({"x": 1, "back": 2}));
}

#[test]
fn a_missing_called_process_is_an_incident_that_goes_on_once_it_is_there() {
    let call = r#"<callActivity id="call" calledElement="nobody"/>"#;
    let mut game = Game::new(&model(&around("call", call)), echo());
    let view = game.run(&json!({}));
    assert_eq!(view.state, State::Stopped);
    assert!(view.failure.unwrap().0.message.contains("nobody"));
}

#[test]
fn an_ad_hoc_sub_process_runs_what_is_in_it_in_any_or_one_order_until_its_condition_holds() {
    let tasks = format!("{}{}{}", task("a"), task("b"), task("c"));
    let ad_hoc = |attributes: &str, condition: &str| {
        model(&around("ah", &format!(r#"<adHocSubProcess id="ah" {attributes}>{tasks}{condition}</adHocSubProcess>"#)))
    };
    let (game, result) = completed(&ad_hoc("", ""), &json!({}));
    assert_eq!(game.calls.len(), 3);
    assert_eq!(result, json!({"a": true, "b": true, "c": true}));
    let (game, _) = completed(&ad_hoc(r#"ordering="Sequential""#, ""), &json!({}));
    assert_eq!(game.calls, ["a", "b", "c"]);
    let condition = r#"<completionCondition xsi:type="tFormalExpression">=b = true</completionCondition>"#;
    let (game, result) = completed(&ad_hoc(r#"ordering="Sequential""#, condition), &json!({}));
    assert_eq!(game.calls, ["a", "b"]);
    assert_eq!(result, json!({"a": true, "b": true}));
}

fn booking(cancelled: bool) -> String {
    let mut inner = r#"<startEvent id="ts"/>"#.to_owned();
    for id in ["hotel", "flight"] {
        inner += &task(id);
        inner += &format!(
            r#"<boundaryEvent id="{id}-c" attachedToRef="{id}"><compensateEventDefinition/></boundaryEvent><serviceTask id="undo-{id}" isForCompensation="true"><extensionElements><zeebe:taskDefinition type="undo-{id}"/></extensionElements></serviceTask><association id="as-{id}" associationDirection="One" sourceRef="{id}-c" targetRef="undo-{id}"/>"#
        );
    }
    let end = if cancelled { "<cancelEventDefinition/>" } else { "" };
    inner += &format!(
        r#"<endEvent id="te">{end}</endEvent>{}{}{}"#,
        flow("t1", "ts", "hotel"),
        flow("t2", "hotel", "flight"),
        flow("t3", "flight", "te")
    );
    let body = format!(
        r#"{}<boundaryEvent id="cancelled" attachedToRef="tx"><cancelEventDefinition/></boundaryEvent>{}{}"#,
        around("tx", &format!(r#"<transaction id="tx">{inner}</transaction>"#)),
        task("sorry"),
        flow("c1", "cancelled", "sorry"),
    );
    model(&body)
}

#[test]
fn a_cancelled_transaction_is_compensated_last_first_and_leaves_by_its_cancel_event() {
    let (game, _) = completed(&booking(true), &json!({}));
    assert_eq!(game.calls, ["hotel", "flight", "undo-flight", "undo-hotel", "sorry"]);
    assert!(!game.path().contains(&"e"));
    let (game, _) = completed(&booking(false), &json!({}));
    assert_eq!(game.calls, ["hotel", "flight"]);
}

#[test]
fn a_compensation_throw_undoes_what_has_completed_and_waits_for_it() {
    let mut body = r#"<startEvent id="s"/><endEvent id="e"/>"#.to_owned();
    for id in ["a", "b"] {
        body += &task(id);
        body += &format!(
            r#"<boundaryEvent id="{id}-c" attachedToRef="{id}"><compensateEventDefinition/></boundaryEvent><serviceTask id="undo-{id}" isForCompensation="true"><extensionElements><zeebe:taskDefinition type="undo-{id}"/></extensionElements></serviceTask><association id="as-{id}" associationDirection="One" sourceRef="{id}-c" targetRef="undo-{id}"/>"#
        );
    }
    body += r#"<intermediateThrowEvent id="undo"><compensateEventDefinition/></intermediateThrowEvent>"#;
    body += &task("after");
    for (id, from, to) in
        [("1", "s", "a"), ("2", "a", "b"), ("3", "b", "undo"), ("4", "undo", "after"), ("5", "after", "e")]
    {
        body += &flow(id, from, to);
    }
    let (game, _) = completed(&model(&body), &json!({}));
    assert_eq!(game.calls, ["a", "b", "undo-b", "undo-a", "after"]);
}

#[test]
fn an_escalation_that_does_not_interrupt_runs_beside_the_sub_process() {
    for interrupting in [true, false] {
        let thrower = format!(
            r#"<startEvent id="is"/><intermediateThrowEvent id="esc"><escalationEventDefinition escalationRef="X"/></intermediateThrowEvent>{}<endEvent id="ie"/>{}{}{}"#,
            task("a"),
            flow("1", "is", "esc"),
            flow("2", "esc", "a"),
            flow("3", "a", "ie")
        );
        let body = format!(
            r#"{}<boundaryEvent id="b" attachedToRef="sub" cancelActivity="{interrupting}"><escalationEventDefinition escalationRef="X"/></boundaryEvent>{}{}"#,
            around("sub", &sub_process("sub", &thrower)),
            task("told"),
            flow("b1", "b", "told"),
        );
        let (game, _) = completed(&model_beside(r#"<escalation id="X" escalationCode="UP"/>"#, &body), &json!({}));
        assert_eq!((game.count("told"), game.count("a")), (1, usize::from(!interrupting)), "{:?}", game.moves);
    }
}

#[test]
fn a_ledger_that_restarts_in_a_sub_process_forgets_nothing() {
    let body = around("sub", &sub_process("sub", &inside(&["a", "b"])));
    let body = body.replace(r#"<subProcess id="sub">"#, r#"<subProcess id="sub"><multiInstanceLoopCharacteristics><loopCardinality>3</loopCardinality></multiInstanceLoopCharacteristics>"#);
    let mut game = Game::new(&model(&body), echo());
    let instance = game.start("s", &json!({}));
    for _ in 0..12 {
        game.restart_ledger();
        game.settle_offers();
    }
    game.settle();
    assert_eq!(game.view(&instance).state, State::Completed, "{:?}", game.moves);
    assert!(game.alarms.is_empty(), "{:?}", game.alarms);
}

#[test]
fn an_ad_hoc_sub_process_collects_what_its_tokens_end_with() {
    let ad_hoc = |attributes: &str| {
        format!(
            r#"<adHocSubProcess id="any" {attributes}><extensionElements><zeebe:adHoc outputCollection="all" outputElement="=mine"/></extensionElements>{}{}{}{}</adHocSubProcess>"#,
            task("a"),
            task("b"),
            task("c"),
            flow("1", "a", "b"),
        )
    };
    for attributes in ["", r#"ordering="Sequential""#] {
        let mine: flow_tests::game::Behaviour = Box::new(|element, _, input| {
            let mut output = input.clone();
            output["mine"] = json!(element);
            (if element == "c" { 3 } else { 5 }, answer(200, &output))
        });
        let mut game = Game::new(&model(&around("any", &ad_hoc(attributes))), mine);
        let view = game.run(&json!({}));
        assert_eq!(view.state, State::Completed, "{view:#?}");
        let mut all = view.result.unwrap().to_json().unwrap()["all"].as_array().unwrap().clone();
        all.sort_by_key(ToString::to_string);
        assert_eq!(all, [json!("b"), json!("c")], "{attributes}");
    }
}
