//! Messages and signals: from who throws them to who waits for them.
//!
//! A message goes to one record of each process, across its versions: the one that has waited longest; a process where nobody waits
//! starts an instance of its newest deployment, if it has a start event for it. With time to live it is kept for those who come later, in
//! the order of coming. A signal goes to everybody. Promises: what one input posts is told within that input's atomic group, or stored
//! in it to be told next; a message with an id is taken once while the id is remembered.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use routing::instance::{INSTANCE_HEADER, On, Published, Stay, Subscription};
use routing::table::Template;
use routing::{ActivationId, Digest, InstanceId, Payload, ProcessId, evaluate};
use serde_json::Value;

use super::buffer::{Buffer, Kept, Place as InLog};
use super::start::Starts;
use super::stored::key;
use super::topic::Topics;
use super::waiting::{Keys, Place, Waiting};
use super::{Answer, Ledger, Output, Request, Timestamp};

/// Messages and signals told within one input; the rest is stored and told next.
const AT_ONCE: usize = 1_000;

/// How long the id of a message is remembered at least, milliseconds.
const REMEMBERED: u64 = 3_600_000;

/// What became of a message or signal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Instances that took it.
    pub instances: Vec<InstanceId>,
    /// Instances that it started.
    pub started: Vec<InstanceId>,
    /// It is kept for who comes later.
    pub buffered: bool,
    /// Its id was taken before: nothing happened.
    pub known: bool,
    /// Where it stands in the log of its topic.
    pub offset: Option<u64>,
}

/// On its way inside of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Posted {
    Message(Published),
    Signal(String, Payload),
}

/// What crosses instances.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    waiting: Waiting,
    signals: HashMap<String, BTreeSet<(InstanceId, ActivationId)>>,
    pub(super) buffer: Buffer,
    pub(super) starts: Starts,
    pub(super) topics: Topics,
    /// What can start is known. Until then, after a restart, nothing that instances throw is told: it would find nobody.
    pub(super) listening: bool,
    posted: VecDeque<Posted>,
    /// Records that wait for something that is perhaps kept already.
    fresh: VecDeque<(InstanceId, ActivationId)>,
    /// Open instances that a message with a key started.
    pub(super) singletons: HashMap<(ProcessId, String), InstanceId>,
    /// Processes and keys that may be started again.
    pub(super) freed: Vec<(ProcessId, String)>,
}

impl Ledger {
    /// A message of a client.
    pub(super) fn publish(&mut self, now: Timestamp, request: Request, message: Published, out: &mut Vec<Output>) {
        if (message.topic || message.time_to_live > 0 || message.id.is_some()) && self.exchange.buffer.is_full() {
            out.push(Output::Answer(request, Answer::Busy));
            return;
        }
        if message.topic && !self.exchange.topics.has_room(&message.name) {
            out.push(Output::Answer(request, Answer::WrongState("there are too many topics already".to_owned())));
            return;
        }
        let receipt = self.deliver(now, message, out);
        out.push(Output::Answer(request, Answer::Published(receipt)));
    }

    /// A signal of a client.
    pub(super) fn signal(
        &mut self,
        now: Timestamp,
        request: Request,
        name: &str,
        payload: &Payload,
        out: &mut Vec<Output>,
    ) {
        let receipt = self.broadcast(now, name, payload, out);
        out.push(Output::Answer(request, Answer::Published(receipt)));
    }

    /// Something that an instance throws: told once the run that threw it is over.
    pub(super) fn post(&mut self, posted: Posted) {
        self.exchange.posted.push_back(posted);
    }

    /// Tells what was posted, and what is stored to be told if it is time for that; what is kept to those who came; then what follows from that.
    pub(super) fn exchange(&mut self, now: Timestamp, stored: bool, out: &mut Vec<Output>) {
        let (listening, mut seen) = (self.exchange.listening, 0);
        for told in 0.. {
            self.notify(now, &mut seen, out);
            let posted = match self.exchange.posted.pop_front() {
                Some(posted) => Some(posted),
                None if stored && listening && told < AT_ONCE => self.next_stored(),
                None => None,
            };
            match posted {
                Some(Posted::Message(message)) if message.topic && self.broker.is_on() => self.throw(now, message, out),
                Some(posted) if told >= AT_ONCE || !listening => self.store_posted(now, posted),
                Some(Posted::Message(message)) => drop(self.deliver(now, message, out)),
                Some(Posted::Signal(name, payload)) => drop(self.broadcast(now, &name, &payload, out)),
                None => {
                    if let Some((instance, activation)) = self.exchange.fresh.pop_front() {
                        self.take_kept(now, &instance, activation, out);
                    } else if let Some((process, key)) = self.exchange.freed.pop() {
                        self.start_kept(now, &process, Some(&key), out);
                    } else {
                        return;
                    }
                }
            }
        }
    }

    fn next_stored(&mut self) -> Option<Posted> {
        let number = self.exchange.buffer.next_posted()?;
        self.remove(key::message(number));
        self.exchange.buffer.take_posted(number)
    }

    fn store_posted(&mut self, now: Timestamp, posted: Posted) {
        let number = self.next_number();
        let bytes = self.exchange.buffer.add_posted(number, posted, now);
        self.put(key::message(number), bytes);
    }

    /// True when something is left to be told.
    pub(super) fn has_posted(&self) -> bool {
        self.exchange.listening && self.exchange.buffer.next_posted().is_some()
    }

    /// To who waits for it, who is started by it, and who comes later.
    pub(super) fn deliver(&mut self, now: Timestamp, mut message: Published, out: &mut Vec<Output>) -> Receipt {
        let mut receipt = Receipt::default();
        if message.topic {
            message.time_to_live = self.exchange.topics.retention.age;
        }
        if let Some(id) = &message.id {
            let remembered = Buffer::id(&message.name, message.key.as_deref(), id);
            let until = now.saturating_add(message.time_to_live.max(REMEMBERED));
            if !self.exchange.buffer.remember(remembered, until) {
                receipt.known = true;
                return receipt;
            }
            self.put(key::message_id(remembered), until.to_be_bytes().to_vec());
        }
        let mut taken = BTreeSet::new();
        let keys = self.keys_of(&message, now);
        for (process, place, what) in self.receivers(&message.name, &keys) {
            if self.give(now, &place, &what, &message.payload, out) {
                taken.insert(process);
                receipt.instances.push(place.2);
            }
        }
        for start in self.exchange.starts.by_message(&message.name) {
            if !taken.contains(&start.process)
                && let Some(instance) = self.start_by_message(now, &start, &message, out)
            {
                taken.insert(start.process);
                receipt.started.push(instance);
            }
        }
        if message.time_to_live > 0 {
            self.keep(now, message, taken, &mut receipt, out);
        }
        receipt
    }

    /// For who comes later; of a topic, for who reads its log, too.
    fn keep(
        &mut self,
        now: Timestamp,
        message: Published,
        taken: BTreeSet<ProcessId>,
        receipt: &mut Receipt,
        out: &mut Vec<Output>,
    ) {
        if self.exchange.buffer.is_full() {
            let name = &message.name;
            out.push(Output::Alarm(format!("message {name}: too many messages are kept, this one is lost")));
            return;
        }
        let number = self.next_number();
        let place = if message.topic { self.append(number, &message, out) } else { None };
        let place = place.map(|offset| InLog { offset, published: now });
        (receipt.buffered, receipt.offset) = (true, place.map(|it| it.offset));
        let expires = now.saturating_add(message.time_to_live);
        self.index_kept(now, number, &message);
        let bytes = self.exchange.buffer.add(number, Kept { message, expires, taken, place });
        self.put(key::message(number), bytes);
    }

    /// What of the name is kept and may fit what is waited for, oldest first.
    fn candidates(&mut self, now: Timestamp, on: &On, definition: Digest) -> Vec<u64> {
        let On::Message { name, key, retrieval, .. } = on else { return Vec::new() };
        if let Some(retrieval) = retrieval
            && self.exchange.buffer.retrieves(name, retrieval, definition)
        {
            for number in self.exchange.buffer.of_name(name) {
                let Some(kept) = self.exchange.buffer.get(number) else { continue };
                if let Some((_, key)) = self.retrieved(definition, retrieval, &kept.message.payload, now) {
                    self.exchange.buffer.index(number, name, retrieval, key);
                }
            }
        }
        self.exchange.buffer.fitting(name, key.as_deref(), retrieval.as_deref())
    }

    fn index_kept(&mut self, now: Timestamp, number: u64, message: &Published) {
        for (retrieval, definition) in self.exchange.buffer.retrievals(&message.name) {
            if let Some((_, key)) = self.retrieved(definition, &retrieval, &message.payload, now) {
                self.exchange.buffer.index(number, &message.name, &retrieval, key);
            }
        }
    }

    fn keys_of(&self, message: &Published, now: Timestamp) -> Keys {
        let instance = message.headers.get(INSTANCE_HEADER).cloned();
        let mut keys = Keys { own: message.key.clone(), retrieved: BTreeMap::new(), instance };
        let Some(of_name) = self.exchange.waiting.retrievals.get(&message.name).filter(|_| keys.own.is_none()) else {
            return keys;
        };
        for (retrieval, (_, definition)) in of_name {
            keys.retrieved.extend(self.retrieved(*definition, retrieval, &message.payload, now));
        }
        keys
    }

    /// The key that an expression makes of a payload; none if it gives none.
    pub(super) fn retrieved(
        &self,
        definition: Digest,
        retrieval: &str,
        payload: &Payload,
        now: Timestamp,
    ) -> Option<(String, String)> {
        let (table, json) = (self.tables.get(&definition)?, payload.to_json().unwrap_or(Value::Null));
        let template = Template::Feel(retrieval.to_owned());
        Some((retrieval.to_owned(), evaluate::text(table, &template, &json, now).ok()?))
    }

    /// Of each process the record that has waited longest, oldest first.
    fn receivers(&self, name: &str, keys: &Keys) -> Vec<(ProcessId, Place, Subscription)> {
        let mut first: BTreeMap<&ProcessId, (&Place, &Subscription)> = BTreeMap::new();
        for address in keys.addresses() {
            let Some(of_process) = self.exchange.waiting.by_key.get(&(name.to_owned(), address)) else { continue };
            for (process, places) in of_process {
                let found = places.iter().find_map(|place| {
                    let stay = self.instances.get(&place.2)?.inner.stay(place.3)?;
                    Some((place, stay.subscriptions.iter().find(|it| keys.fit(name, &it.on))?))
                });
                let Some(found) = found else { continue };
                let best = first.entry(process).or_insert(found);
                if found.0 < best.0 {
                    *best = found;
                }
            }
        }
        let mut all: Vec<_> =
            first.into_iter().map(|(p, (place, what))| (p.clone(), place.clone(), what.clone())).collect();
        all.sort_by(|a, b| a.1.cmp(&b.1));
        all
    }

    fn give(
        &mut self,
        now: Timestamp,
        place: &Place,
        what: &Subscription,
        payload: &Payload,
        out: &mut Vec<Output>,
    ) -> bool {
        let mut fired = false;
        self.run(now, &place.2, out, |run| fired = run.fire(place.3, what, Some(payload)));
        fired
    }

    /// A record waits now: what is kept for it is taken, oldest first.
    fn take_kept(&mut self, now: Timestamp, instance: &InstanceId, activation: ActivationId, out: &mut Vec<Output>) {
        let Some((place, process)) = self.exchange.waiting.places.get(&activation).cloned() else { return };
        let Some(stay) = self.instances.get(instance).and_then(|o| o.inner.stay(activation)) else { return };
        let (subscriptions, definition) = (stay.subscriptions.clone(), stay.token.definition);
        let mut numbers: BTreeSet<u64> = BTreeSet::new();
        for subscription in &subscriptions {
            numbers.extend(self.candidates(now, &subscription.on, definition));
        }
        for number in numbers {
            let Some(kept) = self.exchange.buffer.get(number) else { continue };
            if kept.taken.contains(&process) || kept.expires <= now {
                continue;
            }
            let message = kept.message.clone();
            let keys = self.keys_of(&message, now);
            let fits = |on: &On| keys.fit(&message.name, on) && is_fresh(kept, on, now);
            let Some(what) = subscriptions.iter().find(|it| fits(&it.on)) else { continue };
            if self.give(now, &place, what, &message.payload, out) {
                self.taken(number, &process);
                // what a non-interrupting event waits for now is asked anew
                return self.arrived(instance, activation);
            }
        }
    }

    /// Starts what kept messages can start in a process.
    pub(super) fn start_kept(
        &mut self,
        now: Timestamp,
        process: &ProcessId,
        only: Option<&str>,
        out: &mut Vec<Output>,
    ) {
        for start in self.exchange.starts.of_process(process) {
            let Some(name) = start.message() else { continue };
            for number in self.exchange.buffer.of_name(name) {
                let Some(kept) = self.exchange.buffer.get(number) else { continue };
                let other = only.is_some() && kept.message.key.is_some() && kept.message.key.as_deref() != only;
                let before = kept.place.is_some_and(|it| !self.exchange.topics.listens(name, process, it.offset));
                if other || before || kept.taken.contains(process) || kept.expires <= now {
                    continue;
                }
                let message = kept.message.clone();
                if self.start_by_message(now, &start, &message, out).is_some() {
                    self.taken(number, process);
                }
            }
        }
    }

    fn taken(&mut self, number: u64, process: &ProcessId) {
        if let Some(bytes) = self.exchange.buffer.taken(number, process) {
            self.put(key::message(number), bytes);
        }
    }

    /// A signal goes to everybody who waits for it, and starts what it can start.
    pub(super) fn broadcast(
        &mut self,
        now: Timestamp,
        name: &str,
        payload: &Payload,
        out: &mut Vec<Output>,
    ) -> Receipt {
        let mut receipt = Receipt::default();
        let mut starts = self.exchange.starts.by_signal(name);
        let waiting: Vec<_> = self.exchange.signals.get(name).into_iter().flatten().cloned().collect();
        for (instance, activation) in waiting {
            let Some(stay) = self.instances.get(&instance).and_then(|o| o.inner.stay(activation)) else { continue };
            let all: Vec<Subscription> =
                stay.subscriptions.iter().filter(|s| matches!(&s.on, On::Signal(n) if n == name)).cloned().collect();
            for what in &all {
                starts.retain(|it| !it.took(&self.tables, stay, what));
            }
            for what in all {
                let mut fired = false;
                self.run(now, &instance, out, |run| fired = run.fire(activation, &what, Some(payload)));
                if fired && !receipt.instances.contains(&instance) {
                    receipt.instances.push(instance.clone());
                }
            }
        }
        for start in starts {
            receipt.started.extend(self.start_by_event(now, &start, payload, None, out));
        }
        receipt
    }

    /// A record waits for names now.
    pub(super) fn subscribed(&mut self, instance: &InstanceId, stay: &Stay) {
        let activation = stay.token.activation;
        let of_table = self.tables.get(&stay.token.definition).map(|it| it.table().process.clone());
        let process = of_table.or_else(|| self.instances.get(instance).map(|it| it.base.process.clone()));
        if let Some(process) = process {
            self.exchange.waiting.add(&process, instance, stay);
        }
        for subscription in &stay.subscriptions {
            if let On::Signal(name) = &subscription.on {
                let of_name = self.exchange.signals.entry(name.clone()).or_default();
                of_name.insert((instance.clone(), activation));
            }
        }
        if stay.subscriptions.iter().filter_map(message_name).any(|it| self.exchange.buffer.has(it)) {
            self.arrived(instance, activation);
        }
    }

    fn arrived(&mut self, instance: &InstanceId, activation: ActivationId) {
        let fresh = (instance.clone(), activation);
        if !self.exchange.fresh.contains(&fresh) {
            self.exchange.fresh.push_back(fresh);
        }
    }

    /// It does not wait for these any more.
    pub(super) fn unsubscribed(&mut self, instance: &InstanceId, activation: ActivationId, before: &[Subscription]) {
        self.exchange.waiting.remove(activation, before);
        for subscription in before {
            let On::Signal(name) = &subscription.on else { continue };
            if let Some(set) = self.exchange.signals.get_mut(name) {
                set.remove(&(instance.clone(), activation));
                if set.is_empty() {
                    self.exchange.signals.remove(name);
                }
            }
        }
    }

    /// Messages and ids whose time is over are forgotten.
    pub(super) fn expire_messages(&mut self, now: Timestamp) {
        let (messages, ids) = self.exchange.buffer.expire(now);
        for (number, kept) in messages {
            self.remove(key::message(number));
            if let Some(place) = kept.place {
                self.exchange.topics.forget(&kept.message.name, place.offset, kept.message.payload.body.len());
            }
        }
        ids.into_iter().for_each(|it| self.remove(key::message_id(it)));
    }
}

/// Who waits for messages of a topic may want none that are too old.
fn is_fresh(kept: &Kept, on: &On, now: Timestamp) -> bool {
    match (on, kept.place) {
        (On::Message { within: Some(within), .. }, Some(place)) => place.published.saturating_add(*within) >= now,
        _ => true,
    }
}

fn message_name(subscription: &Subscription) -> Option<&String> {
    match &subscription.on {
        On::Message { name, .. } => Some(name),
        On::Timer { .. } | On::Expiry { .. } | On::Callback { .. } | On::Signal(_) | On::Conditional { .. } => None,
    }
}
