//! The ledger alone with its disk, as flowd's shell would drive it: messages, signals, start events and user tasks across instances.
//! Time is what a test says it is, and a crash loses what is not on the disk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bpmn::ProcessDefinition;
use control_plane::ledger::{
    Actor, Answer, Deployed, Input, InstanceView, Ledger, Output, Receipt, Start, State, TaskAction,
};
use routing::instance::Published;
use routing::{ActivationId, Compiled, Digest, ElementId, InstanceId, Payload, ProcessId, TraceContext};
use serde_json::{Value, json};

use crate::game::flow;

/// When it begins, milliseconds.
pub const NOW: u64 = 1_700_000_000_000;

/// One ledger, the definitions it knows, and its disk.
pub struct SoloLedger {
    /// The ledger.
    pub ledger: Ledger,
    /// All it knows, in the order of applying.
    pub definitions: Vec<ProcessDefinition>,
    /// Topics that operators have subscribed a process to, with the element that they start.
    pub subscribed: Vec<(ProcessId, (String, ElementId))>,
    /// What is on its disk.
    pub disk: BTreeMap<Vec<u8>, Vec<u8>>,
    /// How instances looked last.
    pub views: HashMap<InstanceId, InstanceView>,
    /// Answers to requests, the last one last.
    pub answers: Vec<Answer>,
    /// The user interface of what is started.
    pub graphql_uri: Option<String>,
    /// What time it is.
    pub now: u64,
    boot: u64,
    number: u64,
    broker: bool,
}

/// Definitions with one process, messages `order` and `paid` (with a key), a signal `alarm`, and an end event `E`.
pub fn model(process: &str, version: &str, inside: &str) -> String {
    format!(
        r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"
          xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" targetNamespace="urn:test">
          <message id="order" name="order"/><signal id="alarm" name="alarm"/>
          <message id="paid" name="paid"><extensionElements><zeebe:subscription correlationKey="=order"/></extensionElements></message>
          <process id="{process}" name="{version}" isExecutable="true">{inside}<endEvent id="E"/></process></definitions>"#
    )
}

/// S, then a catch event for `paid`, then the end.
pub fn payer(process: &str, version: &str) -> String {
    let inside = format!(
        r#"<startEvent id="S"/><intermediateCatchEvent id="C"><messageEventDefinition messageRef="paid"/></intermediateCatchEvent>{}{}"#,
        flow("f1", "S", "C"),
        flow("f2", "C", "E")
    );
    model(process, version, &inside)
}

/// Started by an event, then a user task.
pub fn started_by(process: &str, version: &str, definition: &str) -> String {
    let inside = format!(
        r#"<startEvent id="S">{definition}</startEvent><userTask id="U" name="Look"><extensionElements><zeebe:userTask/>
        <zeebe:formDefinition formKey="f1"/><zeebe:assignmentDefinition assignee="=who" candidateGroups="a, b"/></extensionElements></userTask>{}{}"#,
        flow("f1", "S", "U"),
        flow("f2", "U", "E")
    );
    model(process, version, &inside)
}

/// Message `order`.
pub const BY_MESSAGE: &str = r#"<messageEventDefinition messageRef="order"/>"#;

fn table(definition: &ProcessDefinition) -> Arc<Compiled> {
    Arc::new(Compiled::from_bytes(&definition.ledger.bytes, definition.ledger.digest).expect("it is there"))
}

/// A message of that name.
pub fn message(name: &str, key: Option<&str>, time_to_live: u64) -> Published {
    let payload = Payload::json(&json!({"by": name, "who": "ann"}));
    Published { name: name.into(), key: key.map(str::to_owned), time_to_live, payload, ..Published::default() }
}

impl SoloLedger {
    /// With these models applied.
    pub fn new(models: &[String]) -> Self {
        let mut solo = Self {
            ledger: Ledger::new(1),
            definitions: Vec::new(),
            subscribed: Vec::new(),
            disk: BTreeMap::new(),
            views: HashMap::new(),
            answers: Vec::new(),
            graphql_uri: None,
            now: NOW,
            boot: 1,
            number: 0,
            broker: false,
        };
        models.iter().for_each(|it| solo.apply(it));
        solo
    }

    /// The same with topics at a broker.
    pub fn beside_a_broker(models: &[String]) -> Self {
        let mut solo = Self::new(&[]);
        solo.broker = true;
        solo.ledger.set_broker();
        models.iter().for_each(|it| solo.apply(it));
        solo
    }

    /// The broker is gone from flowd's flags, or is there again; with a crash.
    pub fn set_broker(&mut self, broker: bool) {
        self.broker = broker;
        self.crash();
    }

    /// Compiles a model; what it declares can be started.
    pub fn apply(&mut self, xml: &str) {
        let checked = bpmn::check(xml.as_bytes(), &bpmn::Options::default()).unwrap_or_else(|it| panic!("{it:#?}"));
        for definition in checked.definitions {
            self.tell(Input::Definition(definition.digest, table(&definition)));
            self.definitions.push(definition);
        }
        self.deployed();
    }

    /// Tells the ledger of all deployments.
    pub fn deployed(&mut self) {
        let of = |(applied, it): (u64, &ProcessDefinition)| Deployed {
            process: it.process.clone(),
            deployment: it.deployment.clone(),
            definition: it.digest,
            tag: None,
            applied,
            starts: it.start_events.clone(),
            topics: self.subscribed.iter().filter(|(of, ..)| *of == it.process).map(|(_, it)| it.clone()).collect(),
        };
        let all = (0..).zip(&self.definitions).map(of).collect();
        self.tell(Input::Deployed(all));
    }

    /// One input, and all that its writes let happen.
    pub fn tell(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.ledger.handle(self.now, input, &mut outputs);
        self.carry_out(outputs);
    }

    fn carry_out(&mut self, mut outputs: Vec<Output>) {
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
    pub fn crash(&mut self) {
        self.boot += 1;
        let tables: HashMap<Digest, Arc<Compiled>> = self.definitions.iter().map(|it| (it.digest, table(it))).collect();
        self.ledger = Ledger::load(self.boot, tables, self.disk.clone()).expect("it is there");
        if self.broker {
            self.ledger.set_broker();
        }
        let mut begun = Vec::new();
        self.ledger.begin(self.now, &mut begun);
        self.carry_out(begun);
        self.deployed();
    }

    /// Time passes.
    pub fn until(&mut self, now: u64) {
        while let Some(at) = self.ledger.next_tick().filter(|at| *at <= now) {
            self.now = at.max(self.now);
            self.tell(Input::Tick);
        }
        self.now = now;
    }

    /// Starts an instance at `S`.
    pub fn start(&mut self, process: &str, payload: &Value) -> InstanceId {
        self.number += 1;
        let it = self.definitions.iter().rev().find(|it| it.process.as_str() == process).expect("it is there");
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
            graphql_uri: self.graphql_uri.clone(),
        };
        self.tell(Input::Start(1, Box::new(start)));
        instance
    }

    /// Publishes a message.
    pub fn send(&mut self, message: Published) -> Receipt {
        self.tell(Input::Publish(2, message));
        match self.answers.pop() {
            Some(Answer::Published(receipt)) => receipt,
            other => panic!("{other:?}"),
        }
    }

    /// Offers variables to conditional start events.
    pub fn offer(&mut self, process: Option<&str>, variables: &Value) -> Receipt {
        self.tell(Input::Offer(1, process.map(Into::into), Payload::json(variables)));
        match self.answers.pop() {
            Some(Answer::Published(receipt)) => receipt,
            other => panic!("{other:?}"),
        }
    }

    /// The instance's state, also of one that is over.
    pub fn state(&self, instance: &InstanceId) -> State {
        self.ledger.view(instance).or_else(|| self.views.get(instance).cloned()).expect("it is there").state
    }

    /// Completes its only user task.
    pub fn complete(&mut self, instance: &InstanceId) {
        let task = self.ledger.view(instance).expect("it is there").tasks.remove(0);
        let done = TaskAction::Complete(Payload::json(&json!({"ok": true})));
        assert_eq!(self.act(instance, task.activation, "", done), Answer::Done);
    }

    /// Somebody does something with a user task.
    pub fn act(&mut self, instance: &InstanceId, task: ActivationId, who: &str, action: TaskAction) -> Answer {
        let actor = Actor { who: who.to_owned(), force: false };
        self.tell(Input::Task(3, instance.clone(), task, actor, action));
        self.answers.pop().expect("it is answered")
    }

    /// Broadcasts a signal.
    pub fn signal(&mut self, name: &str) -> Receipt {
        self.tell(Input::Signal(1, name.to_owned(), Payload::json(&json!({ "by": name }))));
        match self.answers.pop() {
            Some(Answer::Published(receipt)) => receipt,
            other => panic!("{other:?}"),
        }
    }
}
