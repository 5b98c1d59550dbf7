//! Messages, signals, start events and user tasks across instances, in the ledger alone: what it does, and what it still knows after a crash.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bpmn::ProcessDefinition;
use control_plane::ledger::{Answer, Deployed, Input, InstanceView, Ledger, Output, Receipt, Start, State};
use routing::instance::Published;
use routing::{Compiled, Digest, InstanceId, Payload, TraceContext};
use serde_json::{Value, json};

const NOW: u64 = 1_700_000_000_000;

/// One ledger, the definitions it knows, and its disk.
struct Bench {
    ledger: Ledger,
    definitions: Vec<ProcessDefinition>,
    disk: BTreeMap<Vec<u8>, Vec<u8>>,
    views: HashMap<InstanceId, InstanceView>,
    answers: Vec<Answer>,
    now: u64,
    boot: u64,
    number: u64,
}

fn model(process: &str, version: &str, inside: &str) -> String {
    format!(
        r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"
          xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" targetNamespace="urn:test">
          <message id="order" name="order"/><signal id="alarm" name="alarm"/>
          <message id="paid" name="paid"><extensionElements><zeebe:subscription correlationKey="=order"/></extensionElements></message>
          <process id="{process}" name="{version}" isExecutable="true">{inside}<endEvent id="E"/></process></definitions>"#
    )
}

fn flow(id: &str, from: &str, to: &str) -> String {
    format!(r#"<sequenceFlow id="{id}" sourceRef="{from}" targetRef="{to}"/>"#)
}

/// S, then a catch event for `paid`, then the end.
fn payer(process: &str, version: &str) -> String {
    let inside = format!(
        r#"<startEvent id="S"/><intermediateCatchEvent id="C"><messageEventDefinition messageRef="paid"/></intermediateCatchEvent>{}{}"#,
        flow("f1", "S", "C"),
        flow("f2", "C", "E")
    );
    model(process, version, &inside)
}

/// Started by an event, then a user task.
fn started_by(process: &str, version: &str, definition: &str) -> String {
    let inside = format!(
        r#"<startEvent id="S">{definition}</startEvent><userTask id="U" name="Look"><extensionElements><zeebe:userTask/>
        <zeebe:formDefinition formKey="f1"/><zeebe:assignmentDefinition assignee="=who" candidateGroups="a, b"/></extensionElements></userTask>{}{}"#,
        flow("f1", "S", "U"),
        flow("f2", "U", "E")
    );
    model(process, version, &inside)
}

const BY_MESSAGE: &str = r#"<messageEventDefinition messageRef="order"/>"#;

fn table(definition: &ProcessDefinition) -> Arc<Compiled> {
    Arc::new(Compiled::from_bytes(&definition.ledger.bytes, definition.ledger.digest).unwrap())
}

fn message(name: &str, key: Option<&str>, time_to_live: u64) -> Published {
    let payload = Payload::json(&json!({"by": name, "who": "ann"}));
    Published { name: name.into(), key: key.map(str::to_owned), id: None, time_to_live, payload }
}

impl Bench {
    fn new(models: &[String]) -> Self {
        let mut bench = Self {
            ledger: Ledger::new(1),
            definitions: Vec::new(),
            disk: BTreeMap::new(),
            views: HashMap::new(),
            answers: Vec::new(),
            now: NOW,
            boot: 1,
            number: 0,
        };
        models.iter().for_each(|it| bench.apply(it));
        bench
    }

    fn apply(&mut self, xml: &str) {
        let checked = bpmn::check(xml.as_bytes(), &bpmn::Options::default()).unwrap_or_else(|it| panic!("{it:#?}"));
        for definition in checked.definitions {
            self.tell(Input::Definition(definition.digest, table(&definition)));
            self.definitions.push(definition);
        }
        self.deployed();
    }

    fn deployed(&mut self) {
        let of = |(applied, it): (u64, &ProcessDefinition)| Deployed {
            process: it.process.clone(),
            deployment: it.deployment.clone(),
            definition: it.digest,
            tag: None,
            applied,
            starts: it.start_events.clone(),
        };
        let all = (0..).zip(&self.definitions).map(of).collect();
        self.tell(Input::Deployed(all));
    }

    fn tell(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.ledger.handle(self.now, input, &mut outputs);
        while !outputs.is_empty() {
            let mut mark = None;
            for output in std::mem::take(&mut outputs) {
                match output {
                    Output::Write(at, changes) => {
                        mark = Some(at);
                        for (key, value) in changes {
                            match value {
                                Some(value) => self.disk.insert(key, value),
                                None => self.disk.remove(&key),
                            };
                        }
                    }
                    Output::Changed(view) => drop(self.views.insert(view.id.clone(), *view)),
                    Output::Answer(_, answer) => self.answers.push(answer),
                    Output::Alarm(what) => panic!("alarm: {what}"),
                    _ => {}
                }
            }
            if let Some(mark) = mark {
                self.ledger.handle(self.now, Input::Written(mark), &mut outputs);
            }
        }
    }

    /// flowd dies and comes back with what is on the disk.
    fn crash(&mut self) {
        self.boot += 1;
        let tables: HashMap<Digest, Arc<Compiled>> = self.definitions.iter().map(|it| (it.digest, table(it))).collect();
        self.ledger = Ledger::load(self.boot, tables, self.disk.clone()).unwrap();
        self.ledger.begin(self.now, &mut Vec::new());
        self.deployed();
    }

    fn until(&mut self, now: u64) {
        while let Some(at) = self.ledger.next_tick().filter(|at| *at <= now) {
            self.now = at.max(self.now);
            self.tell(Input::Tick);
        }
        self.now = now;
    }

    fn start(&mut self, process: &str, payload: &Value) -> InstanceId {
        self.number += 1;
        let it = self.definitions.iter().rev().find(|it| it.process.as_str() == process).unwrap();
        let instance = InstanceId::from(format!("{}-{}", it.deployment, self.number));
        let start = Start {
            instance: instance.clone(),
            deployment: it.deployment.clone(),
            process: it.process.clone(),
            definition: it.digest,
            start_event: "S".into(),
            payload: Payload::json(payload),
            metadata: BTreeMap::new(),
            idempotency_key: None,
            known: None,
            trace: TraceContext::default(),
            stopped: false,
        };
        self.tell(Input::Start(1, Box::new(start)));
        instance
    }

    fn send(&mut self, message: Published) -> Receipt {
        self.tell(Input::Publish(2, message));
        match self.answers.pop() {
            Some(Answer::Published(receipt)) => receipt,
            other => panic!("{other:?}"),
        }
    }

    fn state(&self, instance: &InstanceId) -> State {
        self.ledger.view(instance).or_else(|| self.views.get(instance).cloned()).unwrap().state
    }

    fn complete(&mut self, instance: &InstanceId) {
        let task = self.ledger.view(instance).unwrap().tasks.remove(0);
        self.tell(Input::CompleteTask(3, instance.clone(), task.activation, Ok(Payload::json(&json!({"ok": true})))));
        assert_eq!(self.answers.pop(), Some(Answer::Done));
    }
}

#[test]
fn a_message_goes_to_who_waits_for_its_key() {
    let mut bench = Bench::new(&[payer("P", "1")]);
    let (one, two) = (bench.start("P", &json!({"order": "1"})), bench.start("P", &json!({"order": "2"})));
    assert_eq!(bench.send(message("paid", Some("3"), 0)), Receipt::default());
    assert_eq!(bench.send(message("paid", None, 0)), Receipt::default(), "without a key nobody with one is meant");
    assert_eq!(bench.send(message("paid", Some("2"), 0)).instances, std::slice::from_ref(&two));
    assert_eq!((bench.state(&one), bench.state(&two)), (State::Starting, State::Completed));
}

#[test]
fn of_each_process_the_one_that_waited_longest_gets_it_across_versions_and_a_crash() {
    let mut bench = Bench::new(&[payer("P", "1"), payer("Q", "1")]);
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
    let mut bench = Bench::new(&[payer("P", "1")]);
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
    let mut bench = Bench::new(&[started_by("P", "1", BY_MESSAGE)]);
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
    let mut bench = Bench::new(&[started_by("P", "1", BY_MESSAGE)]);
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
    let mut bench = Bench::new(&[]);
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
    let mut bench = Bench::new(&[model("P", "1", &inside), started_by("Q", "1", by_signal)]);
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
    let mut bench = Bench::new(&[started_by("P", "1", every)]);
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
    let mut bench = Bench::new(&[started_by("P", "1", BY_MESSAGE), payer("Q", "1")]);
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
    bench.tell(Input::CompleteTask(4, instance, task.activation, Ok(Payload::default())));
    assert_eq!(bench.answers.pop(), Some(Answer::NotFound));
}

#[test]
fn what_waits_for_a_message_is_no_user_task() {
    let inside = format!(
        r#"<startEvent id="S"/><receiveTask id="R" messageRef="order"/>{}{}"#,
        flow("f1", "S", "R"),
        flow("f2", "R", "E")
    );
    let mut bench = Bench::new(&[model("P", "1", &inside)]);
    let instance = bench.start("P", &json!({}));
    let view = bench.ledger.view(&instance).unwrap();
    assert!(view.tasks.is_empty());
    bench.tell(Input::CompleteTask(4, instance.clone(), view.waiting[0].activation, Ok(Payload::default())));
    assert!(matches!(bench.answers.pop(), Some(Answer::WrongState(_))));
    assert_eq!(bench.send(message("order", Some("any"), 0)).instances, [instance], "without a key it takes any");
}

#[test]
fn messages_that_instances_throw_without_end_do_not_hold_up_the_ledger() {
    let inside = format!(
        r#"<startEvent id="S">{BY_MESSAGE}</startEvent><intermediateThrowEvent id="T">{BY_MESSAGE}</intermediateThrowEvent>{}{}"#,
        flow("f1", "S", "T"),
        flow("f2", "T", "E")
    );
    let mut bench = Bench::new(&[model("P", "1", &inside)]);
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
    let mut bench = Bench::new(&[payer("P", "1"), model("Q", "1", &caller)]);
    let instance = bench.start("Q", &json!({"order": "7"}));
    let called = bench.definitions[0].deployment.clone();
    assert_eq!(bench.ledger.open_on(&called), 1);
    assert_eq!(bench.send(message("paid", Some("7"), 0)).instances, std::slice::from_ref(&instance));
    assert_eq!(bench.state(&instance), State::Completed);
    assert_eq!(bench.ledger.open_on(&called), 0);
}
