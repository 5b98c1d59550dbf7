//! One open instance, and what people may see of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use super::operate::Operated;
use routing::instance::{Assigned, Body, Instance, On, Reason, Stay, Timed as EndOfTimed};
use routing::{
    ActivationId, Compiled, DeploymentId, Digest, ElementId, Failure, InstanceId, Payload, ProcessId, Timestamp,
    TraceContext, Weight,
};

/// States of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Accepted; its first token has not reached a sidecar yet.
    Starting,
    /// Tokens move.
    Running,
    /// Every token has ended.
    Completed,
    /// Nothing can move until `flowctl start`; inputs are kept.
    Stopped,
    /// Nothing goes on until `flowctl resume`; what comes from outside is kept.
    Suspended,
    /// Closed by a failure that its model does not want to recover from.
    Error,
    /// Closed by an operator.
    Cancelled,
}

impl State {
    const ALL: [Self; 7] =
        [Self::Starting, Self::Running, Self::Completed, Self::Stopped, Self::Suspended, Self::Error, Self::Cancelled];

    /// As scripts see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Stopped => "STOPPED",
            Self::Suspended => "SUSPENDED",
            Self::Error => "ERROR",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Reads what [`State::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// True when it has ended for good.
    pub fn is_closed(self) -> bool {
        matches!(self, Self::Completed | Self::Error | Self::Cancelled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An instance as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceView {
    /// Its id.
    pub id: InstanceId,
    /// The version it runs on.
    pub deployment: DeploymentId,
    /// The process.
    pub process: ProcessId,
    /// The tables' digest.
    pub definition: Digest,
    /// Its state.
    pub state: State,
    /// Where it started.
    pub start_event: ElementId,
    /// When.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Key and value pairs.
    pub metadata: BTreeMap<String, String>,
    /// The span everything of it is under.
    pub trace: TraceContext,
    /// The client's key.
    pub idempotency_key: Option<String>,
    /// What it was started with.
    pub input: Payload,
    /// What it ended with.
    pub result: Option<Payload>,
    /// The last end event that a token reached.
    pub end_event: String,
    /// Why it is in ERROR, or its first incident, with the failed element's input.
    pub failure: Option<(Failure, Payload)>,
    /// Why it was cancelled.
    pub reason: String,
    /// The key of the message that started it: no other starts the process while it is open.
    pub correlation_key: Option<String>,
    /// The user interface that is told of its user tasks and of its end.
    pub graphql_uri: Option<String>,
    /// What operators did to it, oldest first.
    pub operations: Vec<Operated>,
    /// What waits for an operator.
    pub incidents: Vec<IncidentView>,
    /// Of tokens that cycles had let go, in the order in which they ended.
    pub timed: Timed,
    /// What else waits at the ledger.
    pub waiting: Vec<WaitView>,
    /// Open user tasks.
    pub tasks: Vec<TaskView>,
    /// The weight that has not come back yet.
    pub missing: Weight,
}

/// What tokens have brought that cycles had let go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timed {
    /// The first of them, as many as are kept.
    pub results: Vec<TimedResult>,
    /// How many more there were.
    pub left_out: u64,
}

/// The end of a token that a cycle had let go.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedResult {
    /// The waits of the cycles, outermost first.
    pub pools: Vec<ActivationId>,
    /// The end event, as `end_event` shows it.
    pub end_event: String,
    /// What the token brought.
    pub payload: Payload,
}

/// Results of one instance that are kept, and their bytes.
const MAX_TIMED: (usize, usize) = (1024, 4 << 20);

impl Timed {
    pub(super) fn of(ended: Vec<EndOfTimed>, table: Option<&Compiled>) -> Self {
        let (most, mut bytes) = MAX_TIMED;
        let mut timed = Self::default();
        for EndOfTimed { pools, element, payload } in ended {
            let fits = payload.body.len() <= bytes && timed.results.len() < most;
            if !fits || timed.left_out > 0 {
                timed.left_out += 1;
                continue;
            }
            bytes -= payload.body.len();
            let node = table.and_then(|it| it.find(element.as_str()).map(|ix| it.table().node(ix)));
            let end_event = node.map_or_else(|| element.as_str().to_owned(), |it| it.safe_name.clone());
            timed.results.push(TimedResult { pools, end_event, payload });
        }
        timed
    }
}

/// A token that waits for an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentView {
    /// Which.
    pub activation: ActivationId,
    /// Why.
    pub failure: Failure,
    /// The element's input.
    pub input: Payload,
    /// Since when.
    pub since: Timestamp,
}

/// A user task that waits for somebody.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// Its id.
    pub activation: ActivationId,
    /// Where.
    pub element: ElementId,
    /// The element's name.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
    /// Form, assignee and the rest.
    pub assigned: Assigned,
}

/// A token that waits for something else.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitView {
    /// Where.
    pub element: ElementId,
    /// The record; zero of a join.
    pub activation: ActivationId,
    /// For what: `waits for flow F2`, `due 1700000000000`.
    pub reason: String,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) deployment: DeploymentId,
    pub(super) state: State,
    /// Everything but what is derived from the fields below.
    pub(super) base: InstanceView,
    pub(super) inner: Instance,
    /// The records that the store has, to be removed when the instance closes.
    pub(super) stored: BTreeSet<ActivationId>,
    /// The gone ids that the store has.
    pub(super) stored_seen: Vec<ActivationId>,
    /// User tasks that its user interface was told of.
    pub(super) announced: BTreeSet<ActivationId>,
    /// Tokens that wait for an operator, as metrics were told.
    pub(super) halted: usize,
}

impl Open {
    pub(super) fn new(base: InstanceView) -> Self {
        Self {
            deployment: base.deployment.clone(),
            state: base.state,
            inner: Instance::new(base.id.clone()),
            base,
            stored: BTreeSet::new(),
            stored_seen: Vec::new(),
            announced: BTreeSet::new(),
            halted: 0,
        }
    }

    pub(super) fn incidents(&self) -> impl Iterator<Item = &Stay> {
        self.inner.stays().filter(|s| matches!(s.reason, Reason::Incident(_) | Reason::Held))
    }

    /// Definitions that were called and have not returned.
    pub(super) fn definitions(&self) -> impl Iterator<Item = Digest> {
        self.inner.stays().filter_map(|stay| match &stay.reason {
            Reason::Activity(activity) => match activity.body {
                Body::Call(definition) => Some(definition),
                Body::Service | Body::Waits | Body::Scope | Body::Loop(_) | Body::Listens => None,
            },
            _ => None,
        })
    }

    /// Open user tasks.
    pub(super) fn tasks<'a>(
        &'a self,
        tables: &'a HashMap<Digest, Arc<Compiled>>,
    ) -> impl Iterator<Item = TaskView> + 'a {
        self.inner.stays().filter_map(|stay| {
            let Reason::Activity(activity) = &stay.reason else { return None };
            let (element, table) = (&stay.token.element, tables.get(&stay.token.definition));
            let node = table.and_then(|it| it.find(element.as_str()).map(|ix| it.table().node(ix)));
            Some(TaskView {
                activation: stay.token.activation,
                element: element.clone(),
                name: node.map_or_else(|| element.as_str().to_owned(), |it| it.name.clone()),
                since: stay.since,
                assigned: activity.task.as_deref().filter(|_| activity.body == Body::Waits)?.clone(),
            })
        })
    }

    pub(super) fn view(&self, tables: &HashMap<Digest, Arc<Compiled>>) -> InstanceView {
        let mut view = self.base.clone();
        view.state = self.state;
        view.missing = self.inner.ended().missing();
        view.tasks = self.tasks(tables).collect();
        view.timed = Timed::of(self.inner.timed(), tables.get(&view.definition).map(Arc::as_ref));
        for stay in self.inner.stays() {
            if let Reason::Incident(failure) = &stay.reason {
                view.incidents.push(IncidentView {
                    activation: stay.token.activation,
                    failure: (**failure).clone(),
                    input: stay.token.payload.clone(),
                    since: stay.since,
                });
            }
            view.waiting.extend(waits(stay, tables));
        }
        for (element, join) in self.inner.joins() {
            let missing: Vec<&str> = join.missing().map(|f| f.as_str()).collect();
            if !missing.is_empty() {
                let reason = format!("waits for flow {}", missing.join(", "));
                view.waiting.push(WaitView { element: element.clone(), activation: ActivationId(0), reason });
            }
        }
        view.waiting.sort_by(|a, b| (&a.element, &a.reason).cmp(&(&b.element, &b.reason)));
        view.failure = view.failure.or_else(|| view.incidents.first().map(|i| (i.failure.clone(), i.input.clone())));
        view
    }
}

/// What a record waits for, in words.
fn waits(stay: &Stay, tables: &HashMap<Digest, Arc<Compiled>>) -> Vec<WaitView> {
    let view = |element: &ElementId, reason: String| WaitView {
        element: element.clone(),
        activation: stay.token.activation,
        reason,
    };
    let mut all = Vec::new();
    match &stay.reason {
        Reason::Again(at) => all.push(view(&stay.token.element, format!("due {at}"))),
        Reason::Suspended => {
            all.push(view(&stay.token.element, "suspended: `flowctl resume` lets it go on".to_owned()))
        }
        Reason::Held => all.push(view(&stay.token.element, "created stopped: `flowctl start` lets it go".to_owned())),
        Reason::Activity(activity) if activity.body == Body::Waits && stay.subscriptions.is_empty() => {
            all.push(view(&stay.token.element, "waits for `flowctl complete`".to_owned()));
        }
        _ => {}
    }
    let table = tables.get(&stay.token.definition);
    for subscription in &stay.subscriptions {
        let node = table.filter(|_| !subscription.called).map(|t| &t.table().node(subscription.event).id);
        let element = node.unwrap_or(&stay.token.element);
        let reason = match &subscription.on {
            On::Timer { at, .. } => format!("due {at}"),
            On::Message { name, key: Some(key), .. } => format!("waits for message {name} with key {key}"),
            On::Message { name, key: None, .. } => format!("waits for message {name}"),
            On::Expiry { at } => format!("until {at}"),
            On::Callback { at, .. } => format!("waits for its callback until {at}"),
            On::Signal(name) => format!("waits for signal {name}"),
            On::Conditional { condition, .. } => format!("waits until {condition}"),
        };
        all.push(view(element, reason));
    }
    all
}
