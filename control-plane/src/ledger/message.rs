//! Messages and signals: from who throws them to who waits for them.
//!
//! A message goes to one record of each process, across its versions: the one that has waited longest; a process where nobody waits
//! starts an instance of its newest deployment, if it has a start event for it. With time to live it is kept for those who come later, in
//! the order of coming. A signal goes to everybody. Promises: what one input posts is told within that input's atomic group, or stored
//! in it to be told next; a message with an id is taken once while the id is remembered.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use routing::instance::{On, Published, Stay, Subscription};
use routing::table::Template;
use routing::{ActivationId, Digest, InstanceId, Payload, ProcessId, evaluate};
use serde_json::Value;

use super::buffer::{Buffer, Kept};
use super::start::Starts;
use super::stored::key;
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

/// Since when a record waits; earlier is first.
type Place = (Timestamp, u64, InstanceId, ActivationId);

/// Records that wait for messages, by name and key; of each process, the oldest first.
#[derive(Debug, Default)]
struct Waiting {
    by_key: HashMap<(String, Option<String>), BTreeMap<ProcessId, BTreeSet<Place>>>,
    places: HashMap<ActivationId, (Place, ProcessId)>,
    /// By name: expressions that give a message's key, how many use each, and a definition of theirs.
    retrievals: HashMap<String, BTreeMap<String, (usize, Digest)>>,
}

impl Waiting {
    fn add(&mut self, process: &ProcessId, instance: &InstanceId, stay: &Stay) {
        let place = (stay.since, stay.order, instance.clone(), stay.token.activation);
        for subscription in &stay.subscriptions {
            let On::Message { name, key, retrieval } = &subscription.on else { continue };
            let of_process = self.by_key.entry((name.clone(), key.clone())).or_default();
            of_process.entry(process.clone()).or_default().insert(place.clone());
            self.places.insert(stay.token.activation, (place.clone(), process.clone()));
            if let Some(retrieval) = retrieval {
                let of_name = self.retrievals.entry(name.clone()).or_default();
                of_name.entry(retrieval.clone()).or_insert((0, stay.token.definition)).0 += 1;
            }
        }
    }

    fn remove(&mut self, activation: ActivationId, before: &[Subscription]) {
        let Some((place, process)) = self.places.remove(&activation) else { return };
        for subscription in before {
            let On::Message { name, key, retrieval } = &subscription.on else { continue };
            let at = (name.clone(), key.clone());
            if let Some(of_process) = self.by_key.get_mut(&at) {
                if let Some(set) = of_process.get_mut(&process) {
                    set.remove(&place);
                    if set.is_empty() {
                        of_process.remove(&process);
                    }
                }
                if of_process.is_empty() {
                    self.by_key.remove(&at);
                }
            }
            let Some((retrieval, of_name)) = retrieval.as_ref().zip(self.retrievals.get_mut(name)) else { continue };
            if let Some((count, _)) = of_name.get_mut(retrieval) {
                *count -= 1;
                if *count == 0 {
                    of_name.remove(retrieval);
                }
            }
            if of_name.is_empty() {
                self.retrievals.remove(name);
            }
        }
    }
}

/// The keys that a message has: its own, or what each retrieval makes of its payload.
struct Keys {
    own: Option<String>,
    retrieved: BTreeMap<String, String>,
}

impl Keys {
    fn fit(&self, name: &str, on: &On) -> bool {
        match on {
            On::Message { name: other, .. } if other != name => false,
            On::Message { key: None, .. } => true,
            On::Message { key: Some(key), retrieval, .. } => match &self.own {
                Some(own) => own == key,
                None => retrieval.as_ref().and_then(|it| self.retrieved.get(it)) == Some(key),
            },
            On::Timer { .. } | On::Signal(_) | On::Conditional { .. } => false,
        }
    }

    fn addresses(&self) -> BTreeSet<Option<String>> {
        let all = self.retrieved.values().chain(&self.own).cloned().map(Some);
        all.chain([None]).collect()
    }
}

impl Ledger {
    /// A message of a client.
    pub(super) fn publish(&mut self, now: Timestamp, request: Request, message: Published, out: &mut Vec<Output>) {
        if (message.time_to_live > 0 || message.id.is_some()) && self.exchange.buffer.is_full() {
            out.push(Output::Answer(request, Answer::Busy));
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
        let listening = self.exchange.listening;
        for told in 0.. {
            let posted = match self.exchange.posted.pop_front() {
                Some(posted) => Some(posted),
                None if stored && listening && told < AT_ONCE => self.next_stored(),
                None => None,
            };
            match posted {
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

    fn deliver(&mut self, now: Timestamp, message: Published, out: &mut Vec<Output>) -> Receipt {
        let mut receipt = Receipt::default();
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
            if self.exchange.buffer.is_full() {
                out.push(Output::Alarm(format!(
                    "message {}: too many messages are kept, this one is lost",
                    message.name
                )));
            } else {
                receipt.buffered = true;
                let number = self.next_number();
                let expires = now.saturating_add(message.time_to_live);
                let bytes = self.exchange.buffer.add(number, Kept { message, expires, taken });
                self.put(key::message(number), bytes);
            }
        }
        receipt
    }

    fn keys_of(&self, message: &Published, now: Timestamp) -> Keys {
        let mut keys = Keys { own: message.key.clone(), retrieved: BTreeMap::new() };
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
        let subscriptions = stay.subscriptions.clone();
        let names: BTreeSet<&String> = subscriptions.iter().filter_map(message_name).collect();
        let mut numbers: Vec<u64> = names.into_iter().flat_map(|it| self.exchange.buffer.of_name(it)).collect();
        numbers.sort_unstable();
        for number in numbers {
            let Some(kept) = self.exchange.buffer.get(number) else { continue };
            if kept.taken.contains(&process) || kept.expires <= now {
                continue;
            }
            let message = kept.message.clone();
            let keys = self.keys_of(&message, now);
            let Some(what) = subscriptions.iter().find(|it| keys.fit(&message.name, &it.on)) else { continue };
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
                if other || kept.taken.contains(process) || kept.expires <= now {
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
        messages.into_iter().for_each(|it| self.remove(key::message(it)));
        ids.into_iter().for_each(|it| self.remove(key::message_id(it)));
    }
}

fn message_name(subscription: &Subscription) -> Option<&String> {
    match &subscription.on {
        On::Message { name, .. } => Some(name),
        On::Timer { .. } | On::Signal(_) | On::Conditional { .. } => None,
    }
}
