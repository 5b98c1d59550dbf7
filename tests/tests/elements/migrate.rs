//! Instances that go on with another version: where their tokens are then, what they wait for, and what is refused as a whole.

use control_plane::ledger::{Answer, Input, Operation, Operator, State, Target, TaskAction};
use flow_tests::game::{flow, task};
use flow_tests::solo::{NOW, SoloLedger, message, model};
use routing::InstanceId;
use serde_json::{Value, json};

fn migrate(solo: &mut SoloLedger, instance: &InstanceId, process: &str, names: &[(&str, &str)]) -> Answer {
    let by = Operator { who: "ann".into(), why: "a better version".into() };
    let newest = solo.definitions.iter().rev().find(|it| it.process.as_str() == process).expect("it is there");
    let to =
        Target { process: newest.process.clone(), deployment: newest.deployment.clone(), definition: newest.digest };
    let names = names.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    solo.tell(Input::Operate(9, instance.clone(), by, Operation::migrating(to, names).expect("a migration")));
    solo.answers.pop().expect("an answer")
}

#[track_caller]
fn refused(solo: &mut SoloLedger, instance: &InstanceId, process: &str, names: &[(&str, &str)], why: &str) {
    let before = solo.ledger.view(instance);
    match migrate(solo, instance, process, names) {
        Answer::WrongState(told) => assert!(told.contains(why), "{told}"),
        other => panic!("{other:?}, not {why:?}"),
    }
    assert_eq!(solo.ledger.view(instance), before, "nothing has changed");
}

fn user(id: &str) -> String {
    format!(r#"<userTask id="{id}"><extensionElements><zeebe:userTask/></extensionElements></userTask>"#)
}

fn many(id: &str) -> String {
    format!(
        r#"<userTask id="{id}"><extensionElements><zeebe:userTask/></extensionElements><multiInstanceLoopCharacteristics><extensionElements>
           <zeebe:loopCharacteristics inputCollection="=[1,2,3]" inputElement="n" outputCollection="all" outputElement="=n * 10"/>
           </extensionElements></multiInstanceLoopCharacteristics></userTask>"#
    )
}

fn timer(id: &str, at: &str, after: &str) -> String {
    format!(
        r#"<boundaryEvent id="{id}" attachedToRef="{at}"><timerEventDefinition><timeDuration>{after}</timeDuration></timerEventDefinition></boundaryEvent>"#
    )
}

fn paid(id: &str) -> String {
    format!(r#"<intermediateCatchEvent id="{id}"><messageEventDefinition messageRef="paid"/></intermediateCatchEvent>"#)
}

fn flows(all: &[(&str, &str)]) -> String {
    all.iter().map(|(from, to)| flow(&format!("{from}-{to}"), from, to)).collect()
}

fn version(name: &str, elements: &[&str], connected: &[(&str, &str)]) -> String {
    let start = r#"<startEvent id="S"/>"#;
    model("P", name, &[start, &elements.concat(), &flows(connected)].concat())
}

/// The elements of open user tasks.
fn tasks(solo: &SoloLedger, instance: &InstanceId) -> Vec<String> {
    let view = solo.ledger.view(instance).expect("it is open");
    let mut all: Vec<String> = view.tasks.iter().map(|it| it.element.as_str().to_owned()).collect();
    all.sort();
    all
}

/// Completes the first open user task of an element.
fn complete(solo: &mut SoloLedger, instance: &InstanceId, element: &str, values: Value) {
    let view = solo.ledger.view(instance).expect("it is open");
    let task = view.tasks.iter().find(|it| it.element.as_str() == element).expect("it is open").activation;
    let done = TaskAction::Complete(routing::Payload::json(&values));
    assert_eq!(solo.act(instance, task, "", done), Answer::Done);
}

fn result(solo: &SoloLedger, instance: &InstanceId) -> Value {
    assert_eq!(solo.state(instance), State::Completed, "{:#?}", solo.ledger.view(instance));
    solo.views[instance].result.as_ref().and_then(|it| it.to_json()).expect("a result")
}

#[test]
fn an_instance_goes_on_with_what_the_new_version_has_behind_its_element() {
    let old = version("1", &[&user("A")], &[("S", "A"), ("A", "E")]);
    let mut solo = SoloLedger::new(&[old]);
    let instance = solo.start("P", &json!({"x": 1}));
    let begun_on = solo.ledger.view(&instance).unwrap().deployment;
    solo.apply(&version("2", &[&user("Z"), &user("A"), &user("B")], &[("S", "Z"), ("Z", "A"), ("A", "B"), ("B", "E")]));
    assert_eq!(migrate(&mut solo, &instance, "P", &[]), Answer::Done);
    solo.crash();
    let view = solo.ledger.view(&instance).unwrap();
    assert_ne!(view.deployment, begun_on);
    assert_eq!(view.deployment, solo.definitions[1].deployment);
    assert_eq!((solo.ledger.open_on(&begun_on), solo.ledger.open_on(&view.deployment)), (0, 1), "the old one may go");
    let done = view.operations.last().expect("it is recorded");
    assert_eq!((done.by.who.as_str(), done.what.clone()), ("ann", format!("migrate to {}", view.deployment)));
    complete(&mut solo, &instance, "A", json!({"y": 2}));
    assert_eq!(tasks(&solo, &instance), ["B"]);
    complete(&mut solo, &instance, "B", json!({}));
    assert_eq!(result(&solo, &instance), json!({"x": 1, "y": 2}));
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let old = version("1", &[&user("A"), &task("T")], &[("S", "A"), ("A", "T"), ("T", "E")]);
    let mut solo = SoloLedger::new(std::slice::from_ref(&old));
    let instance = solo.start("P", &json!({}));
    refused(&mut solo, &instance, "P", &[], "already");
    solo.apply(&model("Q", "1", &[r#"<startEvent id="S"/>"#, &user("A"), &flows(&[("S", "A"), ("A", "E")])].concat()));
    refused(&mut solo, &instance, "Q", &[], "is an instance of P");
    let inside = format!(r#"<subProcess id="Sub">{}</subProcess>"#, user("C"));
    let other =
        version("2", &[&user("B"), &task("A2"), &inside], &[("S", "B"), ("B", "A2"), ("A2", "Sub"), ("Sub", "E")]);
    solo.apply(&other);
    refused(&mut solo, &instance, "P", &[], "--map A=ELEMENT");
    refused(&mut solo, &instance, "P", &[("A", "A2")], "must be alike");
    refused(&mut solo, &instance, "P", &[("A", "C")], "cannot cross scopes");
    refused(&mut solo, &instance, "P", &[("A", "nobody")], "no element and no flow \"nobody\"");
    refused(&mut solo, &instance, "P", &[("X", "B")], "no element and no flow \"X\"");
    refused(&mut solo, &instance, "P", &[("A", "B"), ("A", "C")], "twice");
    let condition = r#"<subProcess id="H" triggeredByEvent="true"><startEvent id="HS" isInterrupting="false"><conditionalEventDefinition><condition>=x &gt; 1</condition></conditionalEventDefinition></startEvent><endEvent id="HE"/><sequenceFlow id="HF" sourceRef="HS" targetRef="HE"/></subProcess>"#;
    solo.apply(&version("3", &[&user("A"), condition], &[("S", "A"), ("A", "E")]));
    refused(&mut solo, &instance, "P", &[], "variables are kept otherwise");
    solo.apply(&old.replace(r#"name="1""#, r#"name="4""#));
    complete(&mut solo, &instance, "A", json!({}));
    refused(&mut solo, &instance, "P", &[], "are with sidecars: suspend");
}

#[test]
fn an_element_that_is_called_otherwise_is_mapped() {
    let mut solo = SoloLedger::new(&[version("1", &[&user("A"), &paid("C")], &[("S", "A"), ("A", "C"), ("C", "E")])]);
    let (at_task, at_event) = (solo.start("P", &json!({"order": "7"})), solo.start("P", &json!({"order": "8"})));
    complete(&mut solo, &at_event, "A", json!({}));
    solo.apply(&version("2", &[&user("B"), &paid("D")], &[("S", "B"), ("B", "D"), ("D", "E")]));
    assert_eq!(migrate(&mut solo, &at_task, "P", &[("A", "B")]), Answer::Done);
    assert_eq!(migrate(&mut solo, &at_event, "P", &[("C", "D")]), Answer::Done);
    solo.crash();
    assert_eq!(tasks(&solo, &at_task), ["B"]);
    solo.send(message("paid", Some("8"), 0));
    assert_eq!(solo.state(&at_event), State::Completed, "it has kept the key that it waits with");
    complete(&mut solo, &at_task, "B", json!({}));
    solo.send(message("paid", Some("7"), 0));
    assert_eq!(solo.state(&at_task), State::Completed);
}

#[test]
fn a_timer_drawn_alike_keeps_its_time_and_others_begin_anew() {
    let old = version(
        "1",
        &[&user("A"), &timer("T", "A", "PT60S"), &user("L")],
        &[("S", "A"), ("A", "E"), ("T", "L"), ("L", "E")],
    );
    let with = |name: &str, timers: &[&str]| {
        let late: Vec<(&str, &str)> = vec![("S", "A"), ("A", "E"), ("T", "L"), ("L", "E")];
        version(name, &[&[user("A"), user("L")].concat(), &timers.concat()], &late)
    };
    for (new, due) in [
        (with("alike", &[&timer("T", "A", "PT60S")]), 60_000),
        (with("longer", &[&timer("T", "A", "PT90S")]), 30_000 + 90_000),
        (version("none", &[&user("A")], &[("S", "A"), ("A", "E")]), u64::MAX),
    ] {
        let mut solo = SoloLedger::new(std::slice::from_ref(&old));
        let instance = solo.start("P", &json!({}));
        solo.until(NOW + 30_000);
        solo.apply(&new);
        assert_eq!(migrate(&mut solo, &instance, "P", &[]), Answer::Done);
        solo.crash();
        if due == u64::MAX {
            solo.until(NOW + 600_000);
            assert_eq!(tasks(&solo, &instance), ["A"], "no timer is left");
            continue;
        }
        solo.until(NOW + due - 1);
        assert_eq!(tasks(&solo, &instance), ["A"], "not before {due}");
        solo.until(NOW + due);
        assert_eq!(tasks(&solo, &instance), ["L"], "at {due}");
    }
}

#[test]
fn a_boundary_event_of_the_new_version_is_waited_for() {
    let mut solo = SoloLedger::new(&[version("1", &[&user("A")], &[("S", "A"), ("A", "E")])]);
    let instance = solo.start("P", &json!({"order": "5"}));
    let event =
        r#"<boundaryEvent id="M" attachedToRef="A"><messageEventDefinition messageRef="paid"/></boundaryEvent>"#;
    solo.apply(&version("2", &[&user("A"), event], &[("S", "A"), ("A", "E"), ("M", "E")]));
    assert_eq!(migrate(&mut solo, &instance, "P", &[]), Answer::Done);
    solo.crash();
    solo.send(message("paid", Some("5"), 0));
    assert_eq!(solo.state(&instance), State::Completed);
}

#[test]
fn a_repeating_event_that_is_over_does_not_begin_again() {
    let again = r#"<boundaryEvent id="R" attachedToRef="A" cancelActivity="false"><timerEventDefinition><timeDuration>PT5S</timeDuration></timerEventDefinition></boundaryEvent>"#;
    let twin =
        |name: &str| version(name, &[&user("A"), again, &user("N")], &[("S", "A"), ("A", "E"), ("R", "N"), ("N", "E")]);
    let mut solo = SoloLedger::new(&[twin("1")]);
    let instance = solo.start("P", &json!({}));
    solo.until(NOW + 10_000);
    assert_eq!(tasks(&solo, &instance), ["A", "N"]);
    solo.apply(&twin("2"));
    assert_eq!(migrate(&mut solo, &instance, "P", &[]), Answer::Done);
    solo.until(NOW + 60_000);
    assert_eq!(tasks(&solo, &instance), ["A", "N"], "it has fired once, and only once");
}

#[test]
fn tokens_at_a_join_go_on_when_the_new_version_waits_for_no_more() {
    let gateways = r#"<parallelGateway id="F"/><parallelGateway id="J"/>"#;
    let branches = [("S", "F"), ("F", "A"), ("F", "B"), ("A", "J"), ("B", "J"), ("J", "E")];
    let never = [&branches[..], &[("F", "G"), ("G", "J")]].concat();
    let old = version("1", &[gateways, &user("A"), &user("B"), &user("G")], &never);
    let mut solo = SoloLedger::new(&[old]);
    let instance = solo.start("P", &json!({}));
    complete(&mut solo, &instance, "A", json!({"a": 1}));
    complete(&mut solo, &instance, "B", json!({"b": 1}));
    solo.apply(&version("2", &[gateways, &user("A"), &user("B")], &branches));
    refused(&mut solo, &instance, "P", &[], "--map G=ELEMENT");
    complete(&mut solo, &instance, "G", json!({"g": 1}));
    assert_eq!(result(&solo, &instance), json!({"a": 1, "b": 1, "g": 1}));

    solo.apply(&version("3", &[gateways, &user("A"), &user("B")], &[&branches[..], &[("B", "A")]].concat()));
    let instance = solo.start("P", &json!({}));
    complete(&mut solo, &instance, "A", json!({"a": 1}));
    solo.apply(&version(
        "4",
        &[gateways, &user("A"), &user("B")],
        &[("S", "F"), ("F", "A"), ("F", "B"), ("A", "J"), ("B", "E"), ("J", "E")],
    ));
    assert_eq!(migrate(&mut solo, &instance, "P", &[]), Answer::Done);
    assert_eq!(tasks(&solo, &instance), ["B"], "the join had all that the new version wants");
    complete(&mut solo, &instance, "B", json!({"b": 1}));
    assert_eq!(result(&solo, &instance), json!({"a": 1, "b": 1}));
}

#[test]
fn a_join_wants_to_know_the_flow_that_a_token_came_by() {
    let gateways = r#"<parallelGateway id="F"/><parallelGateway id="J"/>"#;
    let branches = [("S", "F"), ("F", "A"), ("F", "B"), ("A", "J"), ("B", "J"), ("J", "E")];
    let mut solo = SoloLedger::new(&[version("1", &[gateways, &user("A"), &user("B")], &branches)]);
    let instance = solo.start("P", &json!({}));
    complete(&mut solo, &instance, "A", json!({"a": 1}));
    let new = version("2", &[gateways, &user("A"), &user("B")], &branches).replace(r#"id="A-J""#, r#"id="other""#);
    solo.apply(&new);
    refused(&mut solo, &instance, "P", &[], "--map A-J=FLOW");
    assert_eq!(migrate(&mut solo, &instance, "P", &[("A-J", "other")]), Answer::Done);
    solo.crash();
    complete(&mut solo, &instance, "B", json!({"b": 1}));
    assert_eq!(result(&solo, &instance), json!({"a": 1, "b": 1}));
}

#[test]
fn a_called_process_stays_on_its_version() {
    let call = r#"<callActivity id="C"><extensionElements><zeebe:calledElement processId="Q" propagateAllChildVariables="true"/></extensionElements></callActivity>"#;
    let called = |name: &str| {
        model(
            "Q",
            name,
            &[
                r#"<startEvent id="QS"/>"#,
                &user(&format!("Q{name}")),
                &flows(&[("QS", &format!("Q{name}")), (&format!("Q{name}"), "E")]),
            ]
            .concat(),
        )
    };
    let mut solo = SoloLedger::new(&[called("1"), version("1", &[call], &[("S", "C"), ("C", "E")])]);
    let instance = solo.start("P", &json!({}));
    solo.apply(&called("2"));
    solo.apply(&version("2", &[call, &user("Z")], &[("S", "C"), ("C", "Z"), ("Z", "E")]));
    assert_eq!(migrate(&mut solo, &instance, "P", &[]), Answer::Done);
    solo.crash();
    assert_eq!(tasks(&solo, &instance), ["Q1"]);
    complete(&mut solo, &instance, "Q1", json!({"q": 1}));
    assert_eq!(tasks(&solo, &instance), ["Z"]);
    complete(&mut solo, &instance, "Z", json!({}));
    assert_eq!(result(&solo, &instance), json!({"q": 1}));
}

/// Everything that has records of its own, in a row: sub-process with event sub-process, loop, gateways of events, joins, compensation.
fn rich(name: &str) -> String {
    let sub = format!(
        r#"<subProcess id="Sub"><startEvent id="I"/>{}{}<endEvent id="IE"/>{}<subProcess id="V" triggeredByEvent="true">
           <startEvent id="VS" isInterrupting="false"><messageEventDefinition messageRef="order"/></startEvent>{}<endEvent id="VE"/>{}</subProcess></subProcess>"#,
        user("A"),
        many("M"),
        flows(&[("I", "A"), ("A", "M"), ("M", "IE")]),
        user("W"),
        flows(&[("VS", "W"), ("W", "VE")]),
    );
    let rest = [
        sub,
        paid("C"),
        r#"<parallelGateway id="F"/><inclusiveGateway id="J"/><eventBasedGateway id="G"/>"#.to_owned(),
        r#"<intermediateCatchEvent id="later"><timerEventDefinition><timeDuration>PT10S</timeDuration></timerEventDefinition></intermediateCatchEvent>"#.to_owned(),
        user("X"),
        user("Y"),
        timer("T", "X", "PT900S"),
    ]
    .concat();
    let connected = [
        ("S", "Sub"),
        ("Sub", "F"),
        ("F", "X"),
        ("F", "Y"),
        ("T", "J"),
        ("X", "J"),
        ("Y", "J"),
        ("J", "G"),
        ("G", "C"),
        ("G", "later"),
        ("C", "E"),
        ("later", "E"),
    ];
    version(name, &[&rest], &connected)
}

/// What happens to an instance, one step after the other.
fn steps() -> Vec<fn(&mut SoloLedger, &InstanceId)> {
    vec![
        |solo, _| drop(solo.send(message("order", None, 0))),
        |solo, it| complete(solo, it, "A", json!({"a": 1})),
        |solo, it| complete(solo, it, "M", json!({})),
        |solo, it| complete(solo, it, "W", json!({"w": 1})),
        |solo, it| complete(solo, it, "M", json!({})),
        |solo, it| complete(solo, it, "M", json!({})),
        |solo, it| complete(solo, it, "Y", json!({"y": 1})),
        |solo, it| complete(solo, it, "X", json!({"x": 1})),
        |solo, _| solo.until(solo.now + 10_000),
    ]
}

#[test]
fn a_twin_of_the_version_makes_no_difference_wherever_the_instance_is() {
    let all = steps().len();
    let mut expected = None;
    // none, after each single step, and after every one of them
    for migrated_after in (0..=all + 1).map(|it| it.checked_sub(1)) {
        let mut solo = SoloLedger::new(&[rich("0")]);
        let instance = solo.start("P", &json!({"order": "1"}));
        for (nth, step) in steps().into_iter().enumerate() {
            if migrated_after == Some(nth) || migrated_after == Some(all) {
                solo.apply(&rich(&format!("{}", nth + 1)));
                assert_eq!(migrate(&mut solo, &instance, "P", &[]), Answer::Done, "before step {nth}");
                if nth % 2 == 0 {
                    solo.crash();
                }
            }
            step(&mut solo, &instance);
        }
        let ended = result(&solo, &instance);
        assert_eq!(ended["all"], json!([10, 20, 30]), "{migrated_after:?}");
        assert_eq!(&ended, expected.get_or_insert_with(|| ended.clone()), "{migrated_after:?}");
    }
}

#[test]
fn a_suspended_instance_migrates_and_goes_on_when_it_is_resumed() {
    let old = version("1", &[&user("A"), &user("B")], &[("S", "A"), ("A", "B"), ("B", "E")]);
    let mut solo = SoloLedger::new(&[old]);
    let instance = solo.start("P", &json!({}));
    solo.tell(Input::Operate(9, instance.clone(), Operator::default(), Operation::Suspend));
    assert_eq!(solo.answers.pop(), Some(Answer::Done));
    complete(&mut solo, &instance, "A", json!({}));
    solo.apply(&version("2", &[&user("C"), &user("D")], &[("S", "C"), ("C", "D"), ("D", "E")]));
    assert_eq!(migrate(&mut solo, &instance, "P", &[("B", "D")]), Answer::Done);
    solo.crash();
    assert_eq!((solo.state(&instance), tasks(&solo, &instance)), (State::Suspended, vec![]));
    solo.tell(Input::Operate(9, instance.clone(), Operator::default(), Operation::Resume));
    assert_eq!(solo.answers.pop(), Some(Answer::Done));
    assert_eq!(tasks(&solo, &instance), ["D"]);
    complete(&mut solo, &instance, "D", json!({}));
    assert_eq!(solo.state(&instance), State::Completed);
}
