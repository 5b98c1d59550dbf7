//! One instance as the ledger sees it: every element that needs memory of its own (design §3).
//!
//! [`Instance`] holds what stays at the ledger: tokens that wait, and open activities with what they know. [`Run`] is given one thing
//! that happened and carries out everything that follows from it: tokens move on, scopes open and close, events fire. It answers with
//! [`Effect`]s; which records changed is for [`Instance::take_changes`] to say, so that a shell can store them and keep its indexes.
//!
//! Pure and deterministic: the same state and input give the same effects with the same ids. It promises:
//! * a scope ends once, when the weights of its tokens sum to one and nothing else is open in it;
//! * what belongs to a scope that is closed is dropped, whenever it comes;
//! * joins are asked again whenever a token of their scope moves or dies;
//! * nothing loops without end: a run has a budget of steps, what is over it becomes an incident.
//!
//! It does not know other instances, disks, sidecars or clocks.

mod activity;
mod ad_hoc;
mod arrive;
mod begin;
mod callback;
mod catch;
mod compensation;
mod condition;
mod cycle;
mod data;
mod join;
mod listen;
mod migrate;
mod moves;
mod rearm;
mod record;
mod repeat;
mod run;
mod scope;
mod set;
mod suspend;
mod throw;
mod user_task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};

use crate::compiled::Compiled;
use crate::id::{ActivationId, Digest, ElementId, InstanceId, ScopeId};
use crate::join::Join;
use crate::payload::Payload;
use crate::table::{NodeIx, Version};
use crate::token::{Product, Timestamp, Token};
use crate::weight::Weight;

pub use begin::{Began, timer_signal};
pub use record::{
    Activity, Assigned, Body, Compensating, Completed, Iteration, Listening, Looped, On, Reason, Resumes, Stay,
    Subscription,
};
pub use run::Run;
pub use user_task::OpenTask;

/// Where tables come from.
pub trait Tables {
    /// The ledger's table of a definition.
    fn table(&self, definition: Digest) -> Option<Arc<Compiled>>;
    /// The definition that a call activity of `caller` means.
    fn called(&self, caller: Digest, process: &str, version: &Version) -> Option<Digest>;
}

/// What to do. Records that changed are not effects: see [`Instance::take_changes`].
#[derive(Clone, Debug)]
pub enum Effect {
    /// Offer a token to a service.
    Offer(Box<Product>),
    /// Publish a message.
    Publish(Published),
    /// Tell everybody who waits for the signal, this instance too.
    Broadcast {
        /// Its name.
        name: String,
        /// What it carries.
        payload: Payload,
    },
    /// An element was passed; for people.
    Passed {
        /// The table that the element is in.
        table: Arc<Compiled>,
        /// The element.
        node: NodeIx,
        /// The token that passed it.
        token: Box<Token>,
        /// When it came.
        since: Timestamp,
        /// `completed`, `interrupted`, `error CODE`, ...
        status: String,
    },
    /// A join has fired; for people.
    Joined {
        /// The table that it is in.
        table: Arc<Compiled>,
        /// The join.
        node: NodeIx,
        /// When the first of its tokens came.
        since: Timestamp,
    },
    /// Everything has ended.
    Completed {
        /// The results of all ends.
        result: Payload,
        /// The last end event that a token reached, as `end_event` shows it.
        end_event: String,
        /// What the tokens have brought that cycles had let go, in the order in which they ended.
        timed: Vec<Timed>,
    },
    /// A failure that the model does not want to recover from. The token stays as an incident, and nothing else moves.
    Failed(ActivationId),
    /// A token stays as an incident.
    Incident(ActivationId),
    /// A rule was broken: a bug.
    Alarm(Box<Token>, &'static str),
}

/// The end of a token that a cycle had let go: one of the original's `timed_results`.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// The waits of the cycles, outermost first.
    pub pools: Vec<ActivationId>,
    /// The end event.
    pub element: ElementId,
    /// What the token brought.
    pub payload: Payload,
}

impl Timed {
    fn of(token: &Token) -> Option<Self> {
        let Token { pools, element, payload, .. } = token;
        let (pools, element, payload) = (pools.clone(), element.clone(), payload.clone());
        (!pools.is_empty()).then_some(Self { pools, element, payload })
    }
}

/// A message on its way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// Its name.
    pub name: String,
    /// Its correlation key.
    pub key: Option<String>,
    /// Its id: the same id is taken once.
    pub id: Option<String>,
    /// Milliseconds that it is kept for who does not wait yet.
    pub time_to_live: u64,
    /// What it carries.
    pub payload: Payload,
    /// It goes to the topic of its name, which keeps it in its log.
    pub topic: bool,
    /// What stands beside the payload, by name in lower case.
    pub headers: BTreeMap<String, String>,
}

/// The header of a message that names the instance it is of, as the original's.
pub const INSTANCE_HEADER: &str = "x-rexflow-iid";
/// The header of a message that names the deployment of that instance.
pub const DEPLOYMENT_HEADER: &str = "x-rexflow-did";

/// What one record was before it changed: what it was subscribed to.
pub type Changes = BTreeMap<ActivationId, Vec<Subscription>>;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Instance {
    id: InstanceId,
    stays: BTreeMap<ActivationId, Stay>,
    seen: HashSet<ActivationId>,
    children: HashMap<ScopeId, BTreeSet<ActivationId>>,
    ended: HashMap<ScopeId, Weight>,
    counts: HashMap<ScopeId, Counts>,
    joins: HashMap<(ScopeId, ElementId), Join>,
    /// Records that wait for an operator.
    halted: usize,
    /// Nothing goes on until an operator says so.
    suspended: bool,
    /// The same, because of a failure that the model does not want to recover from.
    failed: bool,
    order: u64,
    end_event: String,
    changes: Changes,
    new_seen: Vec<ActivationId>,
}

/// How many inner instances of a loop are open and done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) active: u32,
    pub(crate) done: u32,
}

impl Instance {
    /// Nothing has happened yet.
    pub fn new(id: InstanceId) -> Self {
        Self {
            id,
            stays: BTreeMap::new(),
            seen: HashSet::new(),
            children: HashMap::new(),
            ended: HashMap::new(),
            counts: HashMap::new(),
            joins: HashMap::new(),
            halted: 0,
            suspended: false,
            failed: false,
            order: 0,
            end_event: String::new(),
            changes: Changes::new(),
            new_seen: Vec::new(),
        }
    }

    /// From what was stored: records in any order, and ids that were here and are gone.
    pub fn load(
        id: InstanceId,
        stays: Vec<Stay>,
        seen: impl IntoIterator<Item = ActivationId>,
        tables: &dyn Tables,
    ) -> Self {
        let mut instance = Self::new(id);
        instance.seen.extend(seen);
        for stay in stays {
            instance.order = instance.order.max(stay.order);
            instance.insert(stay);
        }
        instance.rejoin(tables);
        instance
    }

    /// Its id.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// Every record, by activation.
    pub fn stays(&self) -> impl Iterator<Item = &Stay> {
        self.stays.values()
    }

    /// A record.
    pub fn stay(&self, activation: ActivationId) -> Option<&Stay> {
        self.stays.get(&activation)
    }

    /// Records that wait for an operator: incidents, and what an incident holds back.
    pub fn halted(&self) -> usize {
        self.halted
    }

    /// True when this activation was reported before.
    pub fn knows(&self, activation: ActivationId) -> bool {
        self.seen.contains(&activation) || self.stays.contains_key(&activation)
    }

    /// Ids that were here and are gone.
    pub fn seen(&self) -> impl Iterator<Item = ActivationId> {
        self.seen.iter().copied()
    }

    /// What tokens have brought so far that cycles had let go.
    pub fn timed(&self) -> Vec<Timed> {
        let root = self.root();
        let mut ended: Vec<&Stay> =
            self.stays.values().filter(|it| it.reason == Reason::Ended && it.token.scope == root).collect();
        ended.sort_by_key(|it| it.order);
        ended.iter().filter_map(|it| Timed::of(&it.token)).collect()
    }

    /// Timers that are waited for, each with its record.
    pub fn timers(&self) -> impl Iterator<Item = (&Stay, &Subscription)> {
        let timer = |it: &&Subscription| matches!(it.on, On::Timer { .. });
        self.stays.values().flat_map(move |stay| stay.subscriptions.iter().filter(timer).map(move |it| (stay, it)))
    }

    /// Joins that something waits at, with the flows nothing has come by.
    pub fn joins(&self) -> impl Iterator<Item = (&ElementId, &Join)> {
        self.joins.iter().filter(|(_, join)| !join.is_empty()).map(|((_, element), join)| (element, join))
    }

    /// The weight of the root scope that has ended.
    pub fn ended(&self) -> Weight {
        self.ended.get(&ActivationId::root(&self.id)).cloned().unwrap_or_else(Weight::zero)
    }

    /// The last end event that a token reached.
    pub fn end_event(&self) -> &str {
        &self.end_event
    }

    /// The records that changed since the last call, with what each was subscribed to before; and new ids that are gone.
    pub fn take_changes(&mut self) -> (Changes, Vec<ActivationId>) {
        (std::mem::take(&mut self.changes), std::mem::take(&mut self.new_seen))
    }

    /// True when no token can move without an operator: something is an incident, and nothing else can happen.
    pub fn is_stuck(&self) -> bool {
        if self.halted == 0 {
            return false;
        }
        let root = ActivationId::root(&self.id);
        // weight per scope that cannot move by itself; open scopes inside stand for their owner's weight
        let mut still: HashMap<ScopeId, Weight> = HashMap::new();
        for stay in self.stays.values() {
            match &stay.reason {
                Reason::Incident(_) | Reason::Held => {}
                Reason::Ended | Reason::Joining | Reason::Output { .. } | Reason::Reset(_) => {}
                Reason::Again(_) | Reason::Suspended => return false,
                Reason::Waiting => return false,
                Reason::Activity(activity) => match activity.body {
                    _ if activity.listening.is_some() && !self.has_incident_inside(stay.token.activation) => {
                        return false;
                    }
                    Body::Service if !self.has_incident_inside(stay.token.activation) => return false,
                    Body::Waits => return false,
                    _ => {}
                },
            }
            let sum = still.entry(stay.token.scope).or_insert_with(Weight::zero);
            *sum = sum.plus(&stay.token.weight);
        }
        let whole = |scope: ScopeId| {
            still.get(&scope).is_some_and(|sum| sum.is_one())
                || self.stays.get(&scope).is_some_and(|stay| match &stay.reason {
                    Reason::Activity(activity) => {
                        !matches!(activity.body, Body::Scope | Body::Call(_)) || activity.interrupted
                    }
                    _ => false,
                })
        };
        whole(root) && still.keys().filter(|s| **s != ActivationId(0)).all(|scope| whole(*scope))
    }

    pub(crate) fn has_incident_inside(&self, scope: ScopeId) -> bool {
        let inside = self.children.get(&scope);
        inside.is_some_and(|set| {
            set.iter().any(|a| matches!(self.stays.get(a).map(|s| &s.reason), Some(Reason::Incident(_))))
        })
    }

    /// True when no token of it can be with a sidecar: in every open scope the weights of what is here sum to one.
    pub fn is_whole(&self) -> bool {
        self.missing().is_empty()
    }

    /// Open scopes of which tokens are, or may be, with sidecars, and the weight of each that is here.
    pub fn missing(&self) -> BTreeMap<ScopeId, Weight> {
        let root = self.root();
        let mut here: BTreeMap<ScopeId, Weight> = [(root, Weight::zero())].into();
        for stay in self.stays.values() {
            if let Reason::Activity(activity) = &stay.reason {
                let scope = stay.token.activation;
                match activity.body {
                    // what an interrupting event sub-process has left of a scope is not counted
                    _ if activity.interrupted => drop(here.remove(&scope)),
                    Body::Scope | Body::Call(_) | Body::Service => {
                        here.entry(scope).or_insert_with(Weight::zero);
                    }
                    Body::Waits | Body::Loop(_) | Body::Listens => {}
                }
            }
        }
        for stay in self.stays.values() {
            if let Some(sum) = here.get_mut(&stay.token.scope) {
                *sum = sum.plus(&stay.token.weight);
            }
        }
        here.retain(|scope, sum| !sum.is_one() || self.compensates(*scope));
        here
    }

    /// A handler of its scope may be with a sidecar, without weight.
    fn compensates(&self, scope: ScopeId) -> bool {
        let stay = self.stays.get(&scope).map(|stay| &stay.reason);
        matches!(stay, Some(Reason::Activity(activity)) if activity.compensating.is_some())
    }

    pub(crate) fn root(&self) -> ScopeId {
        ActivationId::root(&self.id)
    }

    fn insert(&mut self, stay: Stay) {
        let (activation, scope) = (stay.token.activation, stay.token.scope);
        if stay.reason == Reason::Ended {
            let sum = self.ended.entry(scope).or_insert_with(Weight::zero);
            *sum = sum.plus(&stay.token.weight);
        }
        self.count(scope, &stay.reason, true);
        self.children.entry(scope).or_default().insert(activation);
        self.stays.insert(activation, stay);
    }

    fn count(&mut self, scope: ScopeId, reason: &Reason, more: bool) {
        let counts = match reason {
            Reason::Incident(_) | Reason::Held => {
                self.halted = if more { self.halted + 1 } else { self.halted.saturating_sub(1) };
                return;
            }
            Reason::Activity(activity) if activity.iteration.is_some() => {
                &mut self.counts.entry(scope).or_default().active
            }
            Reason::Output { .. } => &mut self.counts.entry(scope).or_default().done,
            _ => return,
        };
        *counts = if more { *counts + 1 } else { counts.saturating_sub(1) };
    }

    fn note(&mut self, activation: ActivationId) {
        if !self.changes.contains_key(&activation) {
            let before = self.stays.get(&activation).map(|s| s.subscriptions.clone()).unwrap_or_default();
            self.changes.insert(activation, before);
        }
    }

    /// Adds or replaces a record.
    pub(crate) fn put(&mut self, stay: Stay) {
        let activation = stay.token.activation;
        self.note(activation);
        if let Some(old) = self.stays.remove(&activation) {
            self.count(old.token.scope, &old.reason, false);
        }
        self.insert(stay);
    }

    /// Removes a record; what is reported of it again is known while its scope is open.
    pub(crate) fn take(&mut self, activation: ActivationId) -> Option<Stay> {
        self.note(activation);
        let stay = self.stays.remove(&activation)?;
        let scope = stay.token.scope;
        if let Some(set) = self.children.get_mut(&scope) {
            set.remove(&activation);
            if set.is_empty() {
                self.children.remove(&scope);
            }
        }
        self.count(scope, &stay.reason, false);
        Some(stay)
    }

    /// Notes an id that was reported and is gone.
    pub(crate) fn saw(&mut self, activation: ActivationId) {
        if self.seen.insert(activation) {
            self.new_seen.push(activation);
        }
    }

    /// Stays of a scope, in the order they came.
    pub(crate) fn inside(&self, scope: ScopeId) -> Vec<ActivationId> {
        let mut all: Vec<_> = self.children.get(&scope).into_iter().flatten().copied().collect();
        all.sort_by_key(|a| self.stays.get(a).map(|s| s.order));
        all
    }

    pub(crate) fn counts(&self, scope: ScopeId) -> Counts {
        self.counts.get(&scope).copied().unwrap_or_default()
    }

    pub(crate) fn join_at(&mut self, table: &Compiled, node: NodeIx, token: &Token) -> &mut Join {
        let table = table.table();
        let incoming = table.node(node).incoming.iter().map(|f| table.flow(*f).id.clone());
        self.joins.entry((token.scope, token.element.clone())).or_insert_with(|| Join::new(incoming))
    }

    pub(crate) fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }
}
