//! Messages, signals, start events and user tasks across instances, in the ledger alone: what it does, and what it still knows after a crash.

use control_plane::ledger::{Answer, Input, Receipt, State, TaskAction};
use flow_tests::game::flow;
use flow_tests::solo::{BY_MESSAGE, NOW, SoloLedger, message, model, payer, started_by};
use routing::Payload;
use routing::instance::Published;
use serde_json::json;

#[test]
fn a_message_goes_to_who_waits_for_its_key() {
    let mut bench = SoloLedger::new(&[payer("P", "1")]);
    let (one, two) = (bench.start("P", &json!({"order": "1"})), bench.start("P", &json!({"order": "2"})));
    assert_eq!(bench.send(message("paid", Some("3"), 0)), Receipt::default());
    assert_eq!(bench.send(message("paid", None, 0)), Receipt::default(), "without a key nobody with one is meant");
    assert_eq!(bench.send(message("paid", Some("2"), 0)).instances, std::slice::from_ref(&two));
    assert_eq!((bench.state(&one), bench.state(&two)), (State::Starting, State::Completed));
}

#[test]
fn of_each_process_the_one_that_waited_longest_gets_it_across_versions_and_a_crash() {
    let mut bench = SoloLedger::new(&[payer("P", "1"), payer("Q", "1")]);
    let old = bench.start("P", &json!({"order": "7"}));
    bench.apply(&payer("P", "2"));
    bench.now += 1;
    let (new, other) = (bench.start("P", &json!({"order": "7"})), bench.start("Q", &json!({"order": "7"})));
    bench.crash();
    assert_eq!(bench.send(message("paid", Some("7"), 0)).instances, [old, other]);
    assert_eq!(bench.send(message("paid", Some("7"), 0)).instances, [new]);
    assert_eq!(bench.ledger.open(), 0);
}

#[test]
fn what_is_kept_goes_to_who_comes_in_the_order_of_coming_until_its_time_is_over() {
    let mut bench = SoloLedger::new(&[payer("P", "1")]);
    for n in 0..3 {
        let mut kept = message("paid", Some("7"), 1_000 + n);
        kept.payload = Payload::json(&json!({"n": n}));
        assert!(bench.send(kept).buffered);
    }
    bench.crash();
    for n in 0..2 {
        let instance = bench.start("P", &json!({"order": "7"}));
        let view = &bench.views[&instance];
        assert_eq!(view.result.as_ref().unwrap().to_json().unwrap()["n"], n, "{view:#?}");
    }
    bench.until(NOW + 1_002);
    let late = bench.start("P", &json!({"order": "7"}));
    assert_eq!(bench.state(&late), State::Starting, "the third is over");
    assert!(!bench.disk.keys().any(|key| key.starts_with(b"m/")), "nothing is left of them");
}

#[test]
fn an_id_is_taken_once_while_it_is_remembered() {
    let mut bench = SoloLedger::new(&[started_by("P", "1", BY_MESSAGE)]);
    let with_id = || Published { id: Some("17".into()), ..message("order", None, 0) };
    assert_eq!(bench.send(with_id()).started.len(), 1);
    assert!(bench.send(with_id()).known);
    bench.crash();
    assert!(bench.send(with_id()).known, "after a crash too");
    assert_eq!(bench.ledger.open(), 1);
    bench.until(NOW + 3_600_000);
    assert!(!bench.send(with_id()).known);
}

#[test]
fn a_message_with_a_key_starts_a_process_once_while_that_instance_is_open() {
    let mut bench = SoloLedger::new(&[started_by("P", "1", BY_MESSAGE)]);
    let first = bench.send(message("order", Some("7"), 60_000)).started.remove(0);
    assert_eq!(bench.ledger.view(&first).unwrap().start_event.as_str(), "S");
    let second = bench.send(message("order", Some("7"), 60_000));
    assert_eq!((second.started.len(), second.buffered), (0, true));
    assert_eq!(bench.send(message("order", Some("8"), 0)).started.len(), 1, "another key");
    bench.crash();
    assert_eq!(bench.ledger.open(), 2);
    bench.complete(&first);
    assert_eq!(bench.state(&first), State::Completed);
    assert_eq!(bench.ledger.open(), 2, "the one that was kept has started now");
    assert_eq!(bench.ledger.views().filter(|it| it.correlation_key.as_deref() == Some("7")).count(), 1);
}

#[test]
fn a_kept_message_starts_the_newest_deployment_that_comes() {
    let mut bench = SoloLedger::new(&[]);
    assert!(bench.send(message("order", None, 60_000)).buffered);
    bench.apply(&started_by("P", "1", BY_MESSAGE));
    assert_eq!(bench.ledger.open(), 1);
    bench.apply(&started_by("P", "2", BY_MESSAGE));
    assert_eq!(bench.ledger.open(), 1, "a message is for a process once, across its versions");
    let started = bench.send(message("order", None, 0)).started;
    assert_eq!(started.len(), 1, "only the newest version listens");
    assert_eq!(bench.ledger.view(&started[0]).unwrap().deployment, bench.definitions[1].deployment);
}

#[test]
fn a_signal_goes_to_everybody_and_starts_what_it_can() {
    let inside = format!(
        r#"<startEvent id="S"/><intermediateCatchEvent id="C"><signalEventDefinition signalRef="alarm"/></intermediateCatchEvent>{}{}"#,
        flow("f1", "S", "C"),
        flow("f2", "C", "E")
    );
    let by_signal = r#"<signalEventDefinition signalRef="alarm"/>"#;
    let mut bench = SoloLedger::new(&[model("P", "1", &inside), started_by("Q", "1", by_signal)]);
    let waiting = [bench.start("P", &json!({})), bench.start("P", &json!({}))];
    bench.crash();
    bench.tell(Input::Signal(1, "alarm".into(), Payload::json(&json!({}))));
    let Some(Answer::Published(receipt)) = bench.answers.pop() else { panic!("{:?}", bench.answers) };
    assert_eq!((receipt.instances.len(), receipt.started.len()), (2, 1));
    assert!(waiting.iter().all(|it| bench.state(it) == State::Completed));
}

#[test]
fn a_timer_start_event_fires_on_its_grid_once_each_also_after_a_crash() {
    let every = r#"<timerEventDefinition><timeCycle>R/PT10S</timeCycle></timerEventDefinition>"#;
    let mut bench = SoloLedger::new(&[started_by("P", "1", every)]);
    bench.until(NOW + 9_999);
    assert_eq!(bench.ledger.open(), 0);
    bench.until(NOW + 20_000);
    assert_eq!(bench.ledger.open(), 2);
    bench.crash();
    bench.until(NOW + 30_000);
    assert_eq!(bench.ledger.open(), 3, "the grid is kept");
    bench.now = NOW + 75_000;
    bench.crash();
    bench.tell(Input::Tick);
    assert_eq!(bench.ledger.open(), 4, "what was missed happens once");
    bench.until(NOW + 80_000);
    assert_eq!(bench.ledger.open(), 5);
    bench.apply(&started_by(
        "P",
        "2",
        r#"<timerEventDefinition><timeDuration>PT1S</timeDuration></timerEventDefinition>"#,
    ));
    bench.until(NOW + 200_000);
    assert_eq!(bench.ledger.open(), 6, "the newer deployment's timer took its place, and fires once");
    bench.crash();
    bench.until(NOW + 300_000);
    assert_eq!(bench.ledger.open(), 6, "it has fired");
}

#[test]
fn a_user_task_is_seen_with_its_form_and_completed_once() {
    let mut bench = SoloLedger::new(&[started_by("P", "1", BY_MESSAGE), payer("Q", "1")]);
    let instance = bench.send(message("order", None, 0)).started.remove(0);
    bench.crash();
    let task = bench.ledger.view(&instance).unwrap().tasks.remove(0);
    assert_eq!((task.element.as_str(), task.name.as_str()), ("U", "Look"));
    let assigned = &task.assigned;
    assert_eq!((assigned.form.as_deref(), assigned.assignee.as_deref()), (Some("f1"), Some("ann")));
    assert_eq!(assigned.candidate_groups, ["a", "b"]);
    assert_eq!(bench.ledger.find_task(Some(&instance), "U"), Ok((instance.clone(), task.activation)));
    assert_eq!(bench.ledger.find_task(None, &task.activation.to_string()), Ok((instance.clone(), task.activation)));
    assert!(bench.ledger.find_task(None, "U").is_err());
    bench.complete(&instance);
    let result = bench.views[&instance].result.clone().unwrap().to_json().unwrap();
    assert_eq!(result["ok"], true, "{result}");
    let again = TaskAction::Complete(Payload::default());
    assert_eq!(bench.act(&instance, task.activation, "", again), Answer::NotFound);
}

#[test]
fn what_waits_for_a_message_is_no_user_task() {
    let inside = format!(
        r#"<startEvent id="S"/><receiveTask id="R" messageRef="order"/>{}{}"#,
        flow("f1", "S", "R"),
        flow("f2", "R", "E")
    );
    let mut bench = SoloLedger::new(&[model("P", "1", &inside)]);
    let instance = bench.start("P", &json!({}));
    let view = bench.ledger.view(&instance).unwrap();
    assert!(view.tasks.is_empty());
    let done = TaskAction::Complete(Payload::default());
    assert!(matches!(bench.act(&instance, view.waiting[0].activation, "", done), Answer::WrongState(_)));
    assert_eq!(bench.send(message("order", Some("any"), 0)).instances, [instance], "without a key it takes any");
}

#[test]
fn messages_that_instances_throw_without_end_do_not_hold_up_the_ledger() {
    let inside = format!(
        r#"<startEvent id="S">{BY_MESSAGE}</startEvent><intermediateThrowEvent id="T">{BY_MESSAGE}</intermediateThrowEvent>{}{}"#,
        flow("f1", "S", "T"),
        flow("f2", "T", "E")
    );
    let mut bench = SoloLedger::new(&[model("P", "1", &inside)]);
    bench.send(message("order", None, 0));
    assert_eq!(bench.ledger.next_tick(), Some(0), "what is left is told next");
    assert!(bench.disk.keys().any(|key| key.starts_with(b"m/")), "and is not forgotten meanwhile");
    let before = bench.views.len();
    bench.crash();
    bench.tell(Input::Tick);
    assert!(bench.views.len() > before);
}

#[test]
fn a_called_deployment_is_in_use() {
    let caller = format!(
        r#"<startEvent id="S"/><callActivity id="C"><extensionElements><zeebe:calledElement processId="P"/></extensionElements></callActivity>{}{}"#,
        flow("f1", "S", "C"),
        flow("f2", "C", "E")
    );
    let mut bench = SoloLedger::new(&[payer("P", "1"), model("Q", "1", &caller)]);
    let instance = bench.start("Q", &json!({"order": "7"}));
    let called = bench.definitions[0].deployment.clone();
    assert_eq!(bench.ledger.open_on(&called), 1);
    assert_eq!(bench.send(message("paid", Some("7"), 0)).instances, std::slice::from_ref(&instance));
    assert_eq!(bench.state(&instance), State::Completed);
    assert_eq!(bench.ledger.open_on(&called), 0);
}

#[test]
fn variables_that_are_offered_start_the_processes_whose_conditions_they_fulfil() {
    let by = |filter: &str, condition: &str| {
        let event = format!(
            r#"<conditionalEventDefinition><extensionElements>{filter}</extensionElements><condition>={condition}</condition></conditionalEventDefinition>"#
        );
        let inside = format!(
            r#"<startEvent id="S">{event}</startEvent><userTask id="U"><extensionElements><zeebe:userTask/></extensionElements></userTask>{}{}"#,
            flow("f1", "S", "U"),
            flow("f2", "U", "E")
        );
        inside
    };
    let hot = model("Hot", "1", &by("", "temperature > 30"));
    let dry =
        model("Dry", "1", &by(r#"<zeebe:conditionalFilter variableNames="rain"/>"#, "rain = 0 or temperature > 40"));
    let changed = model("Changed", "1", &by(r#"<zeebe:conditionalFilter variableEvents="update"/>"#, "true"));
    let mut bench = SoloLedger::new(&[hot, dry, changed]);
    assert_eq!(bench.offer(None, &json!({"temperature": 20})).started, []);
    let started = bench.offer(None, &json!({"temperature": 41})).started;
    assert_eq!(started.len(), 1, "the filter of the other waits for rain: {started:?}");
    assert!(started[0].as_str().starts_with("Hot-"));
    assert_eq!(bench.offer(None, &json!({"temperature": 41, "rain": 3})).started.len(), 2);
    assert_eq!(bench.offer(Some("Dry"), &json!({"temperature": 41, "rain": 0})).started.len(), 1);
    assert_eq!(bench.offer(Some("Nothing"), &json!({"temperature": 41, "rain": 0})).started, []);
    bench.crash();
    bench.complete(&started[0]);
    let result = bench.views[&started[0]].result.clone().unwrap().to_json().unwrap();
    assert_eq!(result, json!({"temperature": 41, "ok": true}));
}
