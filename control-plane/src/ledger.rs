//! The ledger's rules: instances, and every element that needs memory of its own.
//!
//! A pure state machine, like the sidecar's core: [`Ledger::handle`] is given what happened and the time
//! and appends [`Output`]s. Writes and effects come in one list; **an effect may be released only when
//! every write before it is durable**. The shell commits the writes of a batch, then releases its effects,
//! then says so with [`Input::Written`]. Promises:
//! * an instance that was accepted is never forgotten before it has ended;
//! * it ends once: by the weights of its ended tokens, or by one record that closes it early, first wins;
//! * what is reported twice counts once.
//!
//! Open instances are in memory and in the store; closed ones only in the store.

mod arrive;
mod broker;
mod buffer;
mod callback;
mod close;
mod deployed;
mod input;
mod instance;
mod leave;
mod load;
mod message;
mod migrate;
mod notice;
mod notification;
mod operate;
mod output;
mod remains;
mod send;
mod start;
mod stored;
mod task;
mod timers;
mod topic;
mod waiting;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use hop::{Assignment, Endpoint, Outbox};
use routing::{
    ActivationId, Compiled, DeploymentId, Digest, Incarnation, InstanceId, Product, ServiceName, Timestamp, Token,
};

pub use broker::{Consumed, Position, Thrown};
pub use deployed::Deployed;
pub use input::{Input, Start};
pub use instance::{IncidentView, InstanceView, State, TaskView, Timed, TimedResult, WaitView};
pub use message::Receipt;
pub use migrate::Target;
pub use notice::Notice;
pub use operate::{Operated, Operation, Operator};
pub use output::{Answer, Measure, Output};
pub use remains::{Reopening, is_of as remains_of};
pub use stored::{decode_instance, key};
pub use task::{Actor, Listed, Seen, TaskAction};
pub use timers::TimerView;
pub use topic::{Record, Retention, TopicView};

use instance::Open;

/// What a replica that has left handed over.
pub use leave::Leaving;

/// A change of one key; `None` deletes it.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// A caller's own number for a request, given back with the answer.
pub type Request = u64;

/// What waits for a write to be durable.
#[derive(Debug)]
enum After {
    Release(ActivationId, u64),
    Done(ActivationId),
}

/// How long deletions that nobody waits for are gathered, milliseconds.
const LAZY: u64 = 100;

/// Idempotency keys of closed instances that are kept in memory.
const MAX_KEYS: usize = 100_000;

/// See the module's documentation.
#[derive(Debug)]
pub struct Ledger {
    instances: foldhash::HashMap<InstanceId, Open>,
    tables: HashMap<Digest, Arc<Compiled>>,
    outbox: Outbox,
    timers: BTreeSet<(Timestamp, ActivationId, InstanceId)>,
    exchange: message::Exchange,
    broker: broker::Broker,
    notices: notice::Notices,
    processes: Vec<Deployed>,
    keys: HashMap<String, InstanceId>,
    closed_keys: VecDeque<String>,
    tombstones: BTreeMap<InstanceId, close::Tombstone>,
    left: BTreeMap<Incarnation, leave::Left>,
    peers: BTreeSet<Incarnation>,
    group: Vec<Change>,
    releases: Vec<After>,
    lazy: Vec<(Change, After)>,
    lazy_since: Option<Timestamp>,
    after: VecDeque<(u64, After)>,
    mark: u64,
    /// The last number given to a kept message or a started instance; grows through all lives.
    number: u64,
    quiet_peers: BTreeSet<Incarnation>,
    quiet_since: Option<Timestamp>,
    /// Some definition wants each hop to be told.
    tells_hops: bool,
}

impl Ledger {
    /// An empty ledger in its `boot`th life: numbers of earlier lives are never used again.
    pub fn new(boot: u64) -> Self {
        let mut outbox = Outbox::default();
        outbox.number_from(boot << 40);
        Self {
            instances: foldhash::HashMap::default(),
            tables: HashMap::new(),
            outbox,
            timers: BTreeSet::new(),
            exchange: message::Exchange::default(),
            broker: broker::Broker::default(),
            notices: notice::Notices::default(),
            number: boot << 40,
            processes: Vec::new(),
            keys: HashMap::new(),
            closed_keys: VecDeque::new(),
            tombstones: BTreeMap::new(),
            left: BTreeMap::new(),
            peers: BTreeSet::new(),
            group: Vec::new(),
            releases: Vec::new(),
            lazy: Vec::new(),
            lazy_since: None,
            after: VecDeque::new(),
            mark: 0,
            quiet_peers: BTreeSet::new(),
            quiet_since: None,
            tells_hops: false,
        }
    }

    /// One thing that happened.
    pub fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        let mut effects = Vec::new();
        let listeners = matches!(input, Input::Definition(..) | Input::Retired(_) | Input::Deployed(_));
        let ticks = matches!(input, Input::Tick);
        match input {
            Input::Definition(digest, table) => {
                self.tables.insert(digest, table);
                self.look_who_tells_hops();
            }
            Input::Retired(digest) => {
                self.tables.remove(&digest);
                self.look_who_tells_hops();
                self.retire_starts(digest);
                self.retire_listeners();
                self.tombstones.retain(|_, t| t.definition != digest);
            }
            Input::Deployed(processes) => self.deployed(now, processes, &mut effects),
            Input::Publish(request, message) => self.publish(now, request, message, &mut effects),
            Input::Consumed(consumed) => self.consumed(now, consumed, &mut effects),
            Input::Renewed(topic) => self.renewed(&topic),
            Input::Produced(numbers) => self.produced(numbers),
            Input::Hops(records) => self.hops(now, &records, &mut effects),
            Input::Noticed(numbers) => self.noticed(numbers),
            Input::Signal(request, name, payload) => self.signal(now, request, &name, &payload, &mut effects),
            Input::Offer(request, process, payload) => {
                self.offer_variables(now, request, process.as_ref(), &payload, &mut effects);
            }
            Input::CalledBack(request, instance, activation, hash, with) => {
                self.called_back(now, request, &instance, (activation, hash), with, &mut effects);
            }
            Input::Task(request, instance, task, actor, action) => {
                self.act_on_task(now, request, (&instance, task), actor, action, &mut effects);
            }
            Input::Start(request, start) => self.start(now, request, *start, &mut effects),
            Input::Report(from, seq, product) => {
                self.report(now, *product, &mut effects);
                effects.push(Output::Acked(from, seq));
            }
            Input::Linked(replica) => self.linked(replica, &mut effects),
            Input::Unlinked(replica) => self.unlinked(replica),
            Input::Unreachable(replica) => self.unreachable(replica),
            Input::Answered(replica, accepted, refused) => self.answered(now, replica, accepted, refused, &mut effects),
            Input::Endpoints(endpoints) => self.endpoints(endpoints),
            Input::Splits(splits) => self.outbox.split(splits),
            Input::Cancel(request, instance, by) => self.cancel(now, request, &instance, by, &mut effects),
            Input::Operate(request, instance, by, operation) => {
                self.operate(now, request, &instance, by, operation, &mut effects);
            }
            Input::Rearm(request, deployment, by, timers) => {
                self.rearm_starts(now, request, &deployment, by, &timers, &mut effects);
            }
            Input::Reopen(request, reopening) => self.reopen(now, request, *reopening, &mut effects),
            Input::Delete(request, instance) => self.delete(request, &instance, &mut effects),
            Input::Leave(request, replica, leaving) => self.leave(now, request, replica, leaving, &mut effects),
            Input::Whereabouts(request, replica, activations) => {
                self.whereabouts(request, replica, activations, &mut effects)
            }
            Input::Tombstones(request) => {
                let closed = self.tombstones.iter().map(|(instance, it)| (instance.clone(), it.kept)).collect();
                effects.push(Output::Answer(request, Answer::Tombstones(closed)));
            }
            Input::Written(mark) => self.written(now, mark, &mut effects),
            Input::Tick => {}
        }
        if listeners {
            self.follow_topics(now, &mut effects);
        }
        self.fire_timers(now, &mut effects);
        self.fire_starts(now, &mut effects);
        self.expire_messages(now);
        self.exchange(now, ticks, &mut effects);
        let moved = self.outbox.tick(now);
        self.record_moves(moved);
        if self.lazy_since.is_some_and(|at| at + LAZY <= now) || !self.group.is_empty() {
            self.take_lazy();
        }
        self.send_ready(now, &mut effects);
        self.close_group(out);
        out.append(&mut effects);
    }

    /// When [`Input::Tick`] has something to do.
    pub fn next_tick(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(at, _, _)| *at);
        let lazy = self.lazy_since.map(|at| at + LAZY);
        let quiet = self.quiet_since.map(|at| at + 2 * LAZY);
        let (start, expiry) = (self.exchange.starts.next_due(), self.exchange.buffer.next_expiry());
        let posted = self.has_posted().then_some(0);
        [timer, lazy, quiet, start, expiry, posted, self.outbox.next_tick()].into_iter().flatten().min()
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.group.push((key, Some(value)));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.group.push((key, None));
    }

    fn take_lazy(&mut self) {
        self.lazy_since = None;
        for (change, after) in std::mem::take(&mut self.lazy) {
            self.group.push(change);
            self.releases.push(after);
        }
    }

    /// Everything that one input changed is one atomic group.
    fn close_group(&mut self, out: &mut Vec<Output>) {
        if self.group.is_empty() && self.releases.is_empty() {
            return;
        }
        self.mark += 1;
        out.push(Output::Write(self.mark, last_of_each(std::mem::take(&mut self.group))));
        let mark = self.mark;
        self.after.extend(self.releases.drain(..).map(|a| (mark, a)));
    }

    fn written(&mut self, now: Timestamp, mark: u64, out: &mut Vec<Output>) {
        while self.after.front().is_some_and(|(m, _)| *m <= mark) {
            match self.after.pop_front() {
                Some((_, After::Release(product, seq))) => self.outbox.durable(product, seq),
                Some((_, After::Done(product))) => self.product_done(now, product, out),
                None => break,
            }
        }
    }

    /// An open instance, for who asks.
    pub fn view(&self, instance: &InstanceId) -> Option<InstanceView> {
        let open = self.instances.get(instance)?;
        Some(open.view(&self.tables))
    }

    /// Every open instance.
    pub fn views(&self) -> impl Iterator<Item = InstanceView> {
        self.instances.values().map(|open| open.view(&self.tables))
    }

    /// How many instances are open that need a deployment: that run on it, or have called it.
    pub fn open_on(&self, deployment: &DeploymentId) -> usize {
        let of = |definition: Digest| self.tables.get(&definition).is_some_and(|t| t.table().deployment == *deployment);
        let needs = |open: &&Open| open.deployment == *deployment || open.definitions().any(of);
        self.instances.values().filter(needs).count()
    }

    /// How many instances are open.
    pub fn open(&self) -> usize {
        self.instances.len()
    }

    /// The open instances, and how many tokens of each wait for an operator.
    pub fn instances(&self) -> impl Iterator<Item = (&InstanceId, usize)> {
        self.instances.iter().map(|(instance, open)| (instance, open.inner.halted()))
    }

    /// The process, and the element that a token leaves on its way from here.
    pub fn sender(&self, token: &Token) -> (String, String) {
        let Some(table) = self.tables.get(&token.definition).map(|it| it.table()) else {
            return (hop::metrics::process_of(token), String::new());
        };
        let flow = token.flow.as_ref().and_then(|id| table.flows.iter().find(|flow| flow.id == *id));
        let from = flow.map_or("", |flow| table.node(flow.source).id.as_str());
        (table.process.as_str().to_owned(), from.to_owned())
    }

    /// Replicas that something is to be offered to.
    pub fn wanted_peers(&self) -> impl Iterator<Item = Incarnation> {
        self.outbox.wanted()
    }

    /// Services that tokens wait for because no replica serves them.
    pub fn waiting_for(&self) -> BTreeSet<ServiceName> {
        self.outbox.waiting_for()
    }

    /// Replicas that have left and those of them in whose name nobody offers any more.
    pub fn left(&self) -> (BTreeSet<Incarnation>, BTreeSet<Incarnation>) {
        let settled = self.left.iter().filter(|(_, l)| l.unfinished.is_empty()).map(|(r, _)| *r).collect();
        (self.left.keys().copied().collect(), settled)
    }

    /// Products not yet accepted by their receivers.
    pub fn unanswered(&self) -> usize {
        self.outbox.len()
    }
}

/// A key that changed twice has its last value: stores take each key once per transaction.
fn last_of_each(mut group: Vec<Change>) -> Vec<Change> {
    // most groups are so small that comparing is cheaper than hashing
    let twice = |(nth, (key, _)): (usize, &Change)| group[..nth].iter().any(|(other, _)| other == key);
    if group.len() <= 8 && !group.iter().enumerate().any(twice) {
        return group;
    }
    let mut keys = std::collections::HashSet::new();
    group.reverse();
    group.retain(|(key, _)| keys.insert(key.clone()));
    group.reverse();
    group
}

/// A token about to be put somewhere by the ledger: what follows from it, one after the other.
type Pending = VecDeque<Product>;

fn assignment_key(assignment: &Assignment) -> Vec<u8> {
    stored::key::outbox(assignment.product.token.activation)
}

fn is_start(token: &Token) -> bool {
    token.activation == ActivationId::root(&token.instance)
}
