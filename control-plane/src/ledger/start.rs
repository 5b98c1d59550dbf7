//! Instances that events start: message, signal, timer and conditional start events, instantiating receive tasks and event gateways.
//!
//! Only the newest deployment of a process that takes instances is listened to. A message with a key starts a process once while that
//! instance is open. When a timer start event is due next is stored, so that a restart neither loses nor repeats it; a newer deployment's
//! timers take the place of the older one's. What a cycle missed while flowd was away happens once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use prost::Message as _;
use proto::convert::{self, Malformed};
use proto::v1;
use routing::instance::{Began, Published, Stay, Subscription};
use routing::table::{Filter, Filtered, NodeIx, NodeKind, Template, Timer, Trigger};
use routing::timer::{self, Cycle};
use routing::{Compiled, DeploymentId, Digest, ElementId, InstanceId, Payload, ProcessId, TraceContext, evaluate};
use serde_json::{Map, Value};

use super::message::Receipt;
use super::operate::Operated;
use super::stored::key;
use super::{Answer, Deployed, Ledger, Output, Request, Start, Timestamp};

/// One trigger that starts instances.
#[derive(Clone, Debug)]
pub(super) struct StartEvent {
    pub(super) process: ProcessId,
    deployed: Deployed,
    pub(super) element: ElementId,
    /// Which trigger of the element; `None`: none of the model, an operator has subscribed it.
    pub(super) number: Option<u32>,
    on: StartsOn,
    /// The instance waits for other events, too, before it goes on or ends.
    pub(super) grouped: bool,
}

#[derive(Clone, Debug)]
enum StartsOn {
    Message {
        name: String,
        retrieval: Option<String>,
        topic: bool,
    },
    Signal(String),
    Timer(Timer),
    /// Variables that are offered make it true.
    Condition(Filtered),
}

impl StartEvent {
    /// The message that starts it.
    pub(super) fn message(&self) -> Option<&str> {
        match &self.on {
            StartsOn::Message { name, .. } => Some(name),
            StartsOn::Signal(_) | StartsOn::Timer(_) | StartsOn::Condition(_) => None,
        }
    }

    /// True when a record that took this waits at this very event to begin its instance.
    pub(super) fn took(&self, tables: &HashMap<Digest, Arc<Compiled>>, stay: &Stay, what: &Subscription) -> bool {
        let table = tables.get(&stay.token.definition).filter(|_| self.grouped);
        table.is_some_and(|it| it.table().process == self.process && it.table().node(what.event).id == self.element)
    }

    fn timer_key(&self) -> TimerKey {
        (self.deployed.deployment.clone(), self.element.clone(), self.number.unwrap_or(0))
    }
}

pub(super) type TimerKey = (DeploymentId, ElementId, u32);

/// When a timer start event fires next; never again without a time.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) process: ProcessId,
    pub(super) definition: Digest,
    pub(super) at: Option<Timestamp>,
    pub(super) again: Option<Cycle>,
    /// What operators did to it.
    pub(super) operations: Vec<Operated>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Starts {
    pub(super) all: Vec<StartEvent>,
    messages: HashMap<String, Vec<usize>>,
    signals: HashMap<String, Vec<usize>>,
    pub(super) timers: HashMap<TimerKey, usize>,
    pub(super) due: BTreeMap<TimerKey, Due>,
    pub(super) next: BTreeSet<(Timestamp, TimerKey)>,
}

impl Starts {
    fn chosen(&self, numbers: Option<&Vec<usize>>) -> Vec<StartEvent> {
        numbers.into_iter().flatten().map(|it| self.all[*it].clone()).collect()
    }

    pub(super) fn by_message(&self, name: &str) -> Vec<StartEvent> {
        self.chosen(self.messages.get(name))
    }

    pub(super) fn by_signal(&self, name: &str) -> Vec<StartEvent> {
        self.chosen(self.signals.get(name))
    }

    /// The conditional start events, of one process or of all.
    fn conditional(&self, process: Option<&ProcessId>) -> Vec<(StartEvent, Filtered)> {
        let of = |it: &&StartEvent| process.is_none_or(|process| it.process == *process);
        let conditions = self.all.iter().filter(of).filter_map(|it| match &it.on {
            StartsOn::Condition(filtered) => Some((it.clone(), filtered.clone())),
            StartsOn::Message { .. } | StartsOn::Signal(_) | StartsOn::Timer(_) => None,
        });
        conditions.collect()
    }

    pub(super) fn of_process(&self, process: &ProcessId) -> Vec<StartEvent> {
        self.all.iter().filter(|it| it.process == *process).cloned().collect()
    }

    /// When the next timer start event is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.next.first().map(|(at, _)| *at)
    }

    /// From what was stored.
    pub(super) fn load(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let bad = |why| Malformed { field: "stored start", why };
        let stored = v1::StoredStart::decode(bytes).map_err(|_| bad("not protobuf"))?;
        let again = match &stored.again[..] {
            [] => None,
            json => Some(serde_json::from_slice(json).map_err(|_| bad("a cycle that this build cannot read"))?),
        };
        let due = Due {
            process: stored.process.into(),
            definition: convert::digest(&stored.definition)?,
            at: (stored.due_ms != 0).then_some(stored.due_ms),
            again,
            operations: stored.operations.into_iter().map(Into::into).collect(),
        };
        self.due.insert((stored.deployment.into(), stored.element.into(), stored.trigger), due);
        Ok(())
    }

    fn replace(&mut self, all: Vec<StartEvent>) {
        (self.messages, self.signals, self.timers) = Default::default();
        for (at, start) in all.iter().enumerate() {
            match &start.on {
                StartsOn::Message { name, .. } => self.messages.entry(name.clone()).or_default().push(at),
                StartsOn::Signal(name) => self.signals.entry(name.clone()).or_default().push(at),
                StartsOn::Timer(_) => drop(self.timers.insert(start.timer_key(), at)),
                StartsOn::Condition(_) => {}
            }
        }
        self.all = all;
    }
}

impl Ledger {
    /// What new instances may run on has changed: the newest of each process is listened to.
    pub(super) fn deployed(&mut self, now: Timestamp, deployed: Vec<Deployed>, out: &mut Vec<Output>) {
        let first = !std::mem::replace(&mut self.exchange.listening, true);
        if deployed == self.processes {
            return;
        }
        self.processes = deployed;
        let mut newest: BTreeMap<ProcessId, Deployed> = BTreeMap::new();
        newest.extend(self.processes.iter().map(|it| (it.process.clone(), it.clone())));
        let (mut all, mut problems) = (Vec::new(), Vec::new());
        for deployed in newest.values() {
            if let Some(table) = self.tables.get(&deployed.definition).cloned() {
                start_events(&table, deployed, now, &mut all, &mut problems);
            }
        }
        all.extend(self.processes.iter().flat_map(subscribed));
        let by_topic = |it: &StartEvent| match &it.on {
            StartsOn::Message { name, topic: true, .. } => Some((name.clone(), it.process.clone())),
            _ => None,
        };
        let listening: BTreeSet<_> = all.iter().filter_map(by_topic).collect();
        self.exchange.starts.replace(all);
        self.stop_listening(|topic, process| {
            newest.contains_key(process) && !listening.contains(&(topic.to_owned(), process.clone()))
        });
        listening.iter().for_each(|(topic, process)| self.listen(topic, process));
        self.set_start_timers(now, &newest, &mut problems);
        if first {
            self.recover_starts(now, out);
        }
        out.extend(problems.into_iter().map(Output::Alarm));
        for process in newest.keys() {
            self.start_kept(now, process, None, out);
        }
    }

    fn set_start_timers(&mut self, now: Timestamp, newest: &BTreeMap<ProcessId, Deployed>, problems: &mut Vec<String>) {
        let starts = &mut self.exchange.starts;
        let replaced = |key: &TimerKey, due: &Due| newest.get(&due.process).is_some_and(|it| it.deployment != key.0);
        let old: Vec<TimerKey> =
            starts.due.iter().filter(|(k, due)| replaced(k, due)).map(|(k, _)| k.clone()).collect();
        let mut changed = Vec::new();
        for key in old {
            starts.due.remove(&key);
            changed.push((key, None));
        }
        starts.next.clear();
        for start in &starts.all {
            let StartsOn::Timer(timer) = &start.on else { continue };
            let key = start.timer_key();
            if !starts.due.contains_key(&key) {
                let (process, definition) = (start.process.clone(), start.deployed.definition);
                let due = match timer::due(timer, &nothing(), now) {
                    Ok(due) => Due { process, definition, at: Some(due.at), again: due.again, operations: Vec::new() },
                    Err(why) => {
                        problems.push(format!("timer start event {} of {}: {why}", start.element, key.0));
                        Due { process, definition, at: None, again: None, operations: Vec::new() }
                    }
                };
                changed.push((key.clone(), Some(due.clone())));
                starts.due.insert(key.clone(), due);
            }
            let at = starts.due.get(&key).and_then(|due| due.at);
            starts.next.extend(at.map(|at| (at, key)));
        }
        for (key, due) in changed {
            self.store_start(&key, due.as_ref());
        }
    }

    pub(super) fn store_start(&mut self, at: &TimerKey, due: Option<&Due>) {
        let (deployment, element, trigger) = at;
        let place = key::start(deployment, element, *trigger);
        let Some(due) = due else { return self.remove(place) };
        let again = due.again.as_ref().map(|it| serde_json::to_vec(it).expect("a cycle is text and numbers"));
        let stored = v1::StoredStart {
            process: due.process.as_str().to_owned(),
            deployment: deployment.as_str().to_owned(),
            element: element.as_str().to_owned(),
            trigger: *trigger,
            definition: convert::digest_bytes(due.definition),
            due_ms: due.at.unwrap_or(0),
            again: again.unwrap_or_default(),
            operations: due.operations.iter().map(|it| it.clone().into()).collect(),
        };
        self.put(place, stored.encode_to_vec());
    }

    /// Nothing will run on the definition any more: its timers are forgotten.
    pub(super) fn retire_starts(&mut self, definition: Digest) {
        let of = |(key, due): (&TimerKey, &Due)| (due.definition == definition).then(|| key.clone());
        let old: Vec<TimerKey> = self.exchange.starts.due.iter().filter_map(of).collect();
        for key in old {
            self.exchange.starts.due.remove(&key);
            self.exchange.starts.next.retain(|(_, it)| *it != key);
            self.store_start(&key, None);
        }
    }

    /// Variables are offered: every start event whose condition they fulfil starts an instance with them (BPMN 10.5.2). To a condition's filter
    /// they have just come to be.
    pub(super) fn offer_variables(
        &mut self,
        now: Timestamp,
        request: Request,
        process: Option<&ProcessId>,
        payload: &Payload,
        out: &mut Vec<Output>,
    ) {
        let variables = payload.to_json().filter(Value::is_object).unwrap_or_else(|| Value::Object(Map::new()));
        let mut receipt = Receipt::default();
        for (start, Filtered { condition, filter }) in self.exchange.starts.conditional(process) {
            let offered = filter.variables.is_empty() || filter.variables.iter().any(|it| variables.get(it).is_some());
            let Some(table) = self.tables.get(&start.deployed.definition).filter(|_| filter.created && offered) else {
                continue;
            };
            match evaluate::holds(table, &condition, &variables, now) {
                Ok(true) => receipt.started.extend(self.start_by_event(now, &start, payload, None, out)),
                Ok(false) => {}
                Err(why) => out.push(Output::Alarm(format!(
                    "the condition of start event {} of {}: {why}",
                    start.element, start.deployed.deployment
                ))),
            }
        }
        out.push(Output::Answer(request, Answer::Published(receipt)));
    }

    /// Starts an instance unless one of the process that was started with the same key is open.
    pub(super) fn start_by_message(
        &mut self,
        now: Timestamp,
        start: &StartEvent,
        message: &Published,
        out: &mut Vec<Output>,
    ) -> Option<InstanceId> {
        let StartsOn::Message { retrieval, .. } = &start.on else { return None };
        let retrieved = || {
            let retrieval = retrieval.as_ref()?;
            self.retrieved(start.deployed.definition, retrieval, &message.payload, now).map(|(_, key)| key)
        };
        let key = message.key.clone().or_else(retrieved);
        let open = |key: &String| self.exchange.singletons.contains_key(&(start.process.clone(), key.clone()));
        if key.as_ref().is_some_and(open) {
            return None;
        }
        self.start_by_event(now, start, &message.payload, key, out)
    }

    /// Starts an instance at an event that has happened.
    pub(super) fn start_by_event(
        &mut self,
        now: Timestamp,
        start: &StartEvent,
        payload: &Payload,
        correlation_key: Option<String>,
        out: &mut Vec<Output>,
    ) -> Option<InstanceId> {
        let table = self.tables.get(&start.deployed.definition)?.clone();
        let node = table.table().node(table.find(start.element.as_str())?);
        let mapped = node.mapping.as_ref().is_some_and(|it| !it.outputs.is_empty());
        let begun = self.begun_by(now, start, if mapped { nothing() } else { payload.clone() })?;
        let instance = begun.instance.clone();
        out.push(Output::Started(instance.clone()));
        let began = Began {
            came: (mapped || start.grouped).then_some(payload),
            trigger: start.number.map(|it| it as usize),
            key: correlation_key.as_deref(),
        };
        let key = correlation_key.as_deref();
        self.open_new(now, begun, key, out, |run, token| run.start_by(token, began));
        Some(instance)
    }

    /// What an event starts.
    pub(super) fn begun_by(&mut self, now: Timestamp, start: &StartEvent, payload: Payload) -> Option<Start> {
        self.tables.get(&start.deployed.definition)?;
        let number = self.next_number();
        Some(Start {
            instance: instance_id(&start.deployed.deployment, now, number),
            deployment: start.deployed.deployment.clone(),
            process: start.process.clone(),
            definition: start.deployed.definition,
            start_event: start.element.clone(),
            payload,
            metadata: BTreeMap::new(),
            idempotency_key: None,
            known: None,
            trace: TraceContext::default(),
            stopped: false,
            graphql_uri: None,
        })
    }
}

/// A UUID of version 7 whose random bits are a hash, so that the same input gives the same id.
fn instance_id(deployment: &DeploymentId, now: Timestamp, number: u64) -> InstanceId {
    let hash = Digest::of(format!("{deployment}/{now}/{number}").as_bytes()).0;
    let mut bytes = [0u8; 16];
    bytes[6..].copy_from_slice(&hash[..10]);
    bytes[..6].copy_from_slice(&now.to_be_bytes()[2..]);
    (bytes[6], bytes[8]) = (bytes[6] & 0x0f | 0x70, bytes[8] & 0x3f | 0x80);
    InstanceId::from(format!("{deployment}-{:032x}", u128::from_be_bytes(bytes)))
}

pub(super) fn nothing() -> Payload {
    Payload::json(&Value::Object(Map::new()))
}

/// What operators have subscribed.
fn subscribed(deployed: &Deployed) -> Vec<StartEvent> {
    let of = |(topic, element): &(String, ElementId)| StartEvent {
        process: deployed.process.clone(),
        deployed: deployed.clone(),
        element: element.clone(),
        number: None,
        on: StartsOn::Message { name: topic.clone(), retrieval: None, topic: true },
        grouped: false,
    };
    deployed.topics.iter().map(of).collect()
}

/// Every trigger of the process's own start events, and of what else begins it.
fn start_events(
    table: &Arc<Compiled>,
    deployed: &Deployed,
    now: Timestamp,
    all: &mut Vec<StartEvent>,
    problems: &mut Vec<String>,
) {
    for element in &deployed.starts {
        let Some(node) = table.find(element.as_str()) else { continue };
        let mut grouped = false;
        let nodes: Vec<NodeIx> = match &table.table().node(node).kind {
            NodeKind::EventBasedGateway { parallel, .. } => {
                grouped = *parallel;
                table.table().node(node).outgoing.iter().map(|it| table.table().flow(*it).target).collect()
            }
            _ => vec![node],
        };
        for node in nodes {
            let triggers = match &table.table().node(node).kind {
                NodeKind::StartEvent(start) => {
                    grouped = start.catch.parallel;
                    start.catch.triggers.clone()
                }
                NodeKind::CatchEvent(catch) => catch.triggers.clone(),
                NodeKind::ReceiveTask(message) => vec![Trigger::Message(message.clone())],
                _ => continue,
            };
            for (number, trigger) in (0..).zip(triggers) {
                let element = table.table().node(node).id.clone();
                match starts_on(table, &trigger, now) {
                    Ok(Some(on)) => {
                        let (process, deployed) = (deployed.process.clone(), deployed.clone());
                        all.push(StartEvent { process, deployed, element, number: Some(number), on, grouped });
                    }
                    Ok(None) => {}
                    Err(why) => problems.push(format!("start event {element} of {}: {why}", deployed.deployment)),
                }
            }
        }
    }
}

fn starts_on(table: &Compiled, trigger: &Trigger, now: Timestamp) -> Result<Option<StartsOn>, String> {
    let name = |template: &Template| evaluate::text(table, template, &Value::Object(Map::new()), now);
    Ok(Some(match trigger {
        Trigger::Message(message) => {
            StartsOn::Message { name: name(&message.name)?, retrieval: message.retrieval.clone(), topic: message.topic }
        }
        Trigger::Signal(signal) => StartsOn::Signal(name(signal)?),
        Trigger::Timer(timer) => StartsOn::Timer(timer.clone()),
        Trigger::Conditional(condition) => {
            let filter = Filter { created: true, ..Filter::default() };
            StartsOn::Condition(Filtered { condition: condition.clone(), filter })
        }
        Trigger::Filtered(filtered) => StartsOn::Condition((**filtered).clone()),
        Trigger::Error(_) | Trigger::Escalation(_) | Trigger::Compensation | Trigger::Cancel => return Ok(None),
    }))
}
