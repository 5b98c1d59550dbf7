//! Timers in the ledger alone: many of one instance, those that came due while flowd was away, and those that operators set anew.

use control_plane::ledger::{Answer, Input, InstanceView, Operation, Operator, State, TimerView};
use flow_tests::harness::Model;
use flow_tests::solo::{NOW, SoloLedger};
use routing::table::Timer;
use routing::{FailureCode, InstanceId};
use serde_json::json;

const SECOND: u64 = 1000;

/// A timer event with an annotation of its own.
fn timed(model: Model, kind: &str, id: &str, timer: &str, yaml: &str) -> Model {
    let timer = format!("<bpmn:timerEventDefinition>{timer}</bpmn:timerEventDefinition>");
    model.event(kind, id, &timer, if yaml.is_empty() { "next_step_id: x" } else { yaml })
}

/// S, a timer W, the end E.
fn waits(timer: &str, global: &str, own: &str) -> String {
    let model = timed(Model::new("P").global(global).start("S"), "intermediateCatchEvent", "W", timer, own);
    model.end("E").path(&["S", "W", "E"]).xml()
}

/// flowd dies and is away for so long.
fn away(solo: &mut SoloLedger, milliseconds: u64) {
    solo.now += milliseconds;
    solo.crash();
}

fn view(solo: &SoloLedger, instance: &InstanceId) -> InstanceView {
    solo.ledger.view(instance).unwrap_or_else(|| solo.views[instance].clone())
}

fn timers(solo: &SoloLedger) -> Vec<TimerView> {
    solo.ledger.timers(&[])
}

fn by(who: &str) -> Operator {
    Operator { who: who.into(), why: "the customer called".into() }
}

#[test]
fn a_timer_that_came_due_while_flowd_was_away_fires_at_once_unless_its_model_says_otherwise() {
    let duration = "<bpmn:timeDuration>PT10S</bpmn:timeDuration>";
    for (global, own) in [
        ("recoverable: true", ""),
        ("recoverable: true\ntimer_recovery_policy: fire", ""),
        ("recoverable: true\ntimer_recovery_policy: fail", "timer_recovery_policy: fire"),
    ] {
        let mut solo = SoloLedger::new(&[waits(duration, global, own)]);
        let instance = solo.start("P", &json!({"a": 1}));
        away(&mut solo, 9 * SECOND);
        assert_eq!(solo.state(&instance), State::Starting, "it is not due yet");
        away(&mut solo, 60 * SECOND);
        let view = view(&solo, &instance);
        assert_eq!((view.state, view.end_event.as_str()), (State::Completed, "e"), "{global} {own}");
    }
}

#[test]
fn with_the_policy_fail_it_is_a_failure_with_the_original_s_code_and_waits_anew_when_it_is_started_again() {
    let duration = "<bpmn:timeDuration>PT10S</bpmn:timeDuration>";
    let mut solo = SoloLedger::new(&[waits(duration, "recoverable: true\ntimer_recovery_policy: fail", "")]);
    let instance = solo.start("P", &json!({"a": 1}));
    away(&mut solo, 60 * SECOND);
    let failed = view(&solo, &instance);
    let (failure, input) = failed.failure.unwrap();
    assert_eq!(
        (failed.state, failure.code, failure.element.as_str()),
        (State::Stopped, FailureCode::CanceledInstance, "W")
    );
    assert!(failure.message.contains("while flowd was away"), "{}", failure.message);
    assert_eq!(input.to_json().unwrap(), json!({"a": 1}));
    solo.tell(Input::Operate(1, instance.clone(), by("ann"), Operation::Start { payload: None, same_key: false }));
    assert_eq!((solo.state(&instance), timers(&solo).len()), (State::Running, 1));
    solo.until(NOW + 69 * SECOND);
    assert_eq!(solo.state(&instance), State::Running, "the ten seconds begin anew");
    solo.until(NOW + 71 * SECOND);
    assert_eq!(solo.state(&instance), State::Completed);

    let mut solo = SoloLedger::new(&[waits(duration, "timer_recovery_policy: fire", "timer_recovery_policy: fail")]);
    let instance = solo.start("P", &json!({}));
    away(&mut solo, 60 * SECOND);
    assert_eq!(solo.state(&instance), State::Error, "the original's default is not to recover");
    solo.crash();
    assert_eq!(solo.ledger.open(), 0, "and it stays so");
}

#[test]
fn with_the_policy_forget_what_was_missed_does_not_happen() {
    let forget = "recoverable: true\ntimer_recovery_policy: forget";
    let mut solo = SoloLedger::new(&[waits("<bpmn:timeDuration>PT10S</bpmn:timeDuration>", forget, "")]);
    let instance = solo.start("P", &json!({"a": 1}));
    away(&mut solo, 60 * SECOND);
    let ended = view(&solo, &instance);
    assert_eq!((ended.state, ended.end_event.as_str()), (State::Completed, ""), "it has ended at the timer");

    let cycle = "<bpmn:timeCycle>R5/PT10S</bpmn:timeCycle>";
    let mut solo = SoloLedger::new(&[waits(cycle, forget, "")]);
    let instance = solo.start("P", &json!({}));
    solo.until(NOW + 11 * SECOND);
    away(&mut solo, 24 * SECOND);
    let running = view(&solo, &instance);
    assert_eq!(
        (running.state, running.timed.results.len()),
        (State::Starting, 1),
        "those at 20 and 30 s are forgotten"
    );
    solo.until(NOW + 51 * SECOND);
    let ended = view(&solo, &instance);
    assert_eq!((ended.state, ended.timed.results.len()), (State::Completed, 3), "those at 40 and 50 s were not");
}

#[test]
fn with_the_policy_fire_each_missed_firing_of_a_cycle_happens() {
    let cycle = "<bpmn:timeCycle>R5/PT10S</bpmn:timeCycle>";
    let mut solo = SoloLedger::new(&[waits(cycle, "recoverable: true\ntimer_recovery_policy: fire", "")]);
    let instance = solo.start("P", &json!({}));
    away(&mut solo, 35 * SECOND);
    assert_eq!(view(&solo, &instance).timed.results.len(), 3);
    solo.until(NOW + 50 * SECOND);
    let ended = view(&solo, &instance);
    assert_eq!((ended.state, ended.timed.results.len()), (State::Completed, 5));
}

#[test]
fn many_timers_of_one_instance_fire_once_each_whatever_dies() {
    let mut model = Model::new("P").global("recoverable: true").start("S").parallel("fork").parallel("join").end("E");
    let count = 200;
    for n in 0..count {
        let id = format!("W{n}");
        let duration = format!("<bpmn:timeDuration>PT{}S</bpmn:timeDuration>", 1 + n);
        model = timed(model, "intermediateCatchEvent", &id, &duration, "").path(&["fork", &id, "join"]);
    }
    let mut solo = SoloLedger::new(&[model.path(&["S", "fork"]).path(&["join", "E"]).xml()]);
    let instance = solo.start("P", &json!({}));
    assert_eq!(timers(&solo).len(), count as usize);
    for second in 1..=count {
        if second % 7 == 0 {
            away(&mut solo, SECOND);
        } else {
            solo.until(NOW + second * SECOND);
        }
        assert_eq!(timers(&solo).len() as u64, count - second, "after {second} s");
    }
    assert_eq!(solo.state(&instance), State::Completed);
}

#[test]
fn nested_cycles_list_the_result_of_each_token_with_the_cycles_it_is_of() {
    let cycle = |times: u32, every: u32| format!("<bpmn:timeCycle>R{times}/PT{every}S</bpmn:timeCycle>");
    let model = Model::new("P").global("recoverable: true").start("S");
    let model = timed(model, "intermediateCatchEvent", "outer", &cycle(3, 10), "");
    let model = timed(model, "intermediateCatchEvent", "inner", &cycle(2, 1), "");
    let model = model.event("endEvent", "E", "", "next_step_id: x").path(&["S", "outer", "inner", "E"]);
    let mut solo = SoloLedger::new(&[model.xml()]);
    let instance = solo.start("P", &json!({"a": 1}));
    solo.until(NOW + 12 * SECOND);
    assert_eq!(view(&solo, &instance).timed.results.len(), 2, "those that have ended so far");
    solo.crash();
    solo.until(NOW + 60 * SECOND);
    let ended = view(&solo, &instance);
    assert_eq!((ended.state, ended.timed.results.len(), ended.timed.left_out), (State::Completed, 6, 0));
    let outer: std::collections::BTreeSet<_> = ended.timed.results.iter().map(|it| it.pools[0]).collect();
    let inner: std::collections::BTreeSet<_> = ended.timed.results.iter().map(|it| it.pools[1]).collect();
    assert_eq!((outer.len(), inner.len()), (1, 3), "each firing of the outer one has an inner one of its own");
    assert!(ended.timed.results.iter().all(|it| it.end_event == "e" && it.payload.to_json() == Some(json!({"a": 1}))));
    assert_eq!(ended.result.unwrap().to_json().unwrap(), json!({"a": 1}));
}

#[test]
fn an_operator_sets_timers_of_an_instance_anew_and_it_is_recorded() {
    let model = Model::new("P").global("recoverable: true").start("S").parallel("fork").parallel("join").end("E");
    let duration = "<bpmn:timeDuration>PT1H</bpmn:timeDuration>";
    let model = timed(model, "intermediateCatchEvent", "A", duration, "");
    let model = timed(model, "intermediateCatchEvent", "B", "<bpmn:timeCycle>R3/PT1H</bpmn:timeCycle>", "");
    let model = model.path(&["S", "fork", "A", "join", "E"]).path(&["fork", "B", "join"]);
    let mut solo = SoloLedger::new(&[model.xml()]);
    let instance = solo.start("P", &json!({"soon": "PT7S"}));
    let rearm = |solo: &mut SoloLedger, event: &str, spec: &str| {
        let timers = vec![(event.to_owned(), Timer::written(None, spec).unwrap())];
        solo.tell(Input::Operate(1, instance.clone(), by("ann"), Operation::rearming(timers).unwrap()));
        solo.answers.pop().unwrap()
    };
    let shown = timers(&solo);
    assert_eq!(
        shown.iter().map(|it| (it.element.as_str(), it.due - NOW)).collect::<Vec<_>>(),
        [("A", 3_600_000), ("B", 3_600_000)]
    );
    assert_eq!((shown[1].again.as_ref().unwrap().left, shown[0].again.as_ref()), (Some(2), None));

    let refused = |answer: Answer, why: &str| {
        assert!(matches!(&answer, Answer::WrongState(it) if it.contains(why)), "{answer:?}")
    };
    refused(rearm(&mut solo, "C", "PT1S"), "waits for no timer \"C\"");
    refused(rearm(&mut solo, "A", "PT{late}S"), "no \"late\"");
    refused(rearm(&mut solo, "B", "R5000/PT1S"), "up to 1024 times");
    assert_eq!(view(&solo, &instance).operations.len(), 0, "what is refused is not recorded");
    assert_eq!(rearm(&mut solo, "A", "{soon}"), Answer::Done);
    let activation = shown[1].activation.unwrap().to_string();
    assert_eq!(rearm(&mut solo, &activation, "R1/PT9S"), Answer::Done);
    solo.crash();
    let due: Vec<_> = timers(&solo).iter().map(|it| (it.element.as_str().to_owned(), it.due - NOW)).collect();
    assert_eq!(due, [("A".to_owned(), 7_000), ("B".to_owned(), 9_000)]);
    solo.until(NOW + 10 * SECOND);
    let ended = view(&solo, &instance);
    assert_eq!(ended.state, State::Completed, "{ended:#?}");
    let did: Vec<_> = ended.operations.iter().map(|it| (it.what.clone(), it.by.clone())).collect();
    assert_eq!(
        did,
        [("rearm A to {soon}".to_owned(), by("ann")), (format!("rearm {activation} to R1/PT9S"), by("ann"))]
    );
}

/// Started by a timer.
fn started(timer: &str, global: &str) -> String {
    let model = timed(Model::new("P").global(global), "startEvent", "S", timer, "");
    model.end("E").path(&["S", "E"]).xml()
}

#[test]
fn a_start_that_was_missed_happens_once_or_not_or_fails_as_the_policy_says() {
    let cycle = "<bpmn:timeCycle>R10/PT10S</bpmn:timeCycle>";
    for (policy, states) in [
        ("fire", vec![State::Completed, State::Completed]),
        ("forget", vec![State::Completed]),
        ("fail", vec![State::Stopped, State::Completed]),
    ] {
        let global = format!("recoverable: true\ntimer_recovery_policy: {policy}");
        let mut solo = SoloLedger::new(&[started(cycle, &global)]);
        away(&mut solo, 35 * SECOND);
        solo.until(NOW + 41 * SECOND);
        let mut found: Vec<State> = solo.views.keys().map(|it| solo.state(it)).collect();
        found.sort_by_key(|it| *it == State::Completed);
        assert_eq!(found, states, "{policy}");
        assert_eq!(
            timers(&solo).iter().map(|it| it.due - NOW).collect::<Vec<_>>(),
            [50_000],
            "{policy}: its grid is kept"
        );
        let failed = solo.views.keys().find(|it| solo.state(it) == State::Stopped).cloned();
        if let Some(instance) = failed {
            let view = view(&solo, &instance);
            assert_eq!(view.failure.unwrap().0.code, FailureCode::CanceledInstance);
            let again = Operation::Start { payload: None, same_key: false };
            solo.tell(Input::Operate(1, instance.clone(), by("ann"), again));
            assert_eq!(solo.state(&instance), State::Completed, "started again it begins");
        }
    }
}

#[test]
fn an_operator_sets_the_timer_of_a_start_event_anew_and_it_is_recorded() {
    let mut solo = SoloLedger::new(&[started("<bpmn:timeCycle>R/P1D</bpmn:timeCycle>", "recoverable: true")]);
    let deployment = solo.definitions[0].deployment.clone();
    let rearm = |solo: &mut SoloLedger, event: &str, spec: &str| {
        let timers = vec![(event.to_owned(), Timer::written(None, spec).unwrap())];
        solo.tell(Input::Rearm(1, deployment.clone(), by("ann"), timers));
        solo.answers.pop().unwrap()
    };
    assert!(matches!(rearm(&mut solo, "X", "PT1S"), Answer::WrongState(_)));
    assert!(matches!(rearm(&mut solo, "S", "soon"), Answer::WrongState(_)));
    assert_eq!(rearm(&mut solo, "S", "R2/PT5S"), Answer::Done);
    solo.crash();
    let shown = timers(&solo);
    assert_eq!((shown.len(), shown[0].instance.as_ref(), shown[0].due), (1, None, NOW + 5 * SECOND));
    let did: Vec<_> = shown[0].operations.iter().map(|it| (it.at, it.what.as_str(), &it.by)).collect();
    assert_eq!(did, [(NOW, "rearm S to R2/PT5S", &by("ann"))]);
    solo.until(NOW + 60 * SECOND);
    assert_eq!((solo.views.len(), timers(&solo).len()), (2, 0));
}

/// An instant so many seconds after the beginning, as models write it.
fn at(seconds: u64) -> String {
    routing::timer::written(NOW + seconds * SECOND)
}

/// Every form of the table in `docs/annotations.md`, and after how many seconds it fires.
fn forms() -> Vec<(String, Vec<u64>)> {
    let every_minute = |from: u64, to: u64| (from..=to).step_by(60).collect();
    let (hour, day) = (3_600, 86_400);
    vec![
        ("R3/PT10S".into(), vec![10, 20, 30]),
        (format!("R3/{}/PT10S", at(hour)), vec![hour, hour + 10, hour + 20]),
        (format!("R3/P1D/{}", at(10 * day)), vec![8 * day, 9 * day, 10 * day]),
        (format!("R0/P1D/{}", at(2 * day + hour)), vec![day, 2 * day]),
        (format!("R/PT5M/{}", at(hour)), every_minute(hour - 240, hour)),
        (format!("R3/{}/{}", at(hour), at(2 * hour)), vec![hour, hour + hour / 2, 2 * hour]),
        (format!("R1/{}/{}", at(hour), at(2 * hour)), vec![hour]),
        (format!("R/{}/{}", at(hour), at(hour + 150)), every_minute(hour, hour + 150)),
    ]
}

/// When tokens or instances have ended until all is over, seconds after the beginning.
fn ends(solo: &mut SoloLedger, ended: impl Fn(&SoloLedger) -> usize) -> Vec<u64> {
    let mut all = vec![];
    while let Some(next) = solo.ledger.next_tick().filter(|_| !timers(solo).is_empty()) {
        solo.until(next);
        all.resize(ended(solo), (next - NOW) / SECOND);
    }
    all
}

#[test]
fn a_catch_event_fires_when_the_original_s_forms_of_cycles_say() {
    for (form, expected) in forms() {
        let cycle = format!("<bpmn:timeCycle>{form}</bpmn:timeCycle>");
        let mut solo = SoloLedger::new(&[waits(&cycle, "recoverable: true", "")]);
        let instance = solo.start("P", &json!({}));
        let ends = ends(&mut solo, |solo| view(solo, &instance).timed.results.len());
        assert_eq!((ends, solo.state(&instance)), (expected, State::Completed), "{form}");
    }
}

#[test]
fn a_start_event_starts_an_instance_when_the_original_s_forms_of_cycles_say() {
    for (form, expected) in forms() {
        let cycle = format!("<bpmn:timeCycle>{form}</bpmn:timeCycle>");
        let mut solo = SoloLedger::new(&[started(&cycle, "recoverable: true")]);
        assert_eq!(ends(&mut solo, |solo| solo.views.len()), expected, "{form}");
    }
}

#[test]
fn dates_and_durations_fire_once_at_catch_and_start_events() {
    for (timer, expected) in [
        (format!("<bpmn:timeDate>{}</bpmn:timeDate>", at(90)), 90),
        (format!("<bpmn:timeDate>{}</bpmn:timeDate>", routing::timer::written(NOW - 90 * SECOND)), 0),
        ("<bpmn:timeDuration>PT1M30S</bpmn:timeDuration>".to_owned(), 90),
        ("<bpmn:timeDuration>P1DT1S</bpmn:timeDuration>".to_owned(), 86_401),
    ] {
        let mut solo = SoloLedger::new(&[waits(&timer, "recoverable: true", "")]);
        let instance = solo.start("P", &json!({}));
        solo.until(NOW + expected * SECOND);
        assert_eq!(view(&solo, &instance).ended, Some(NOW + expected * SECOND), "{timer}");
        let mut solo = SoloLedger::new(&[started(&timer, "recoverable: true")]);
        solo.until(NOW + 7 * 86_400 * SECOND);
        let began: Vec<u64> = solo.views.values().map(|it| it.started - NOW).collect();
        assert_eq!(began, [expected * SECOND], "{timer}");
    }
}
