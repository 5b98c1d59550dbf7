//! One open instance, and what people may see of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use routing::join::Join;
use routing::table::RoutingTable;
use routing::{
    ActivationId, DeploymentId, Digest, ElementId, Failure, InstanceId, Payload, ProcessId, ScopeId, Timestamp,
    TraceContext, Weight,
};

use super::stored::{Reason, Stay};

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
    /// Closed by a failure that its model does not want to recover from.
    Error,
    /// Closed by an operator.
    Cancelled,
}

impl State {
    const ALL: [Self; 6] =
        [Self::Starting, Self::Running, Self::Completed, Self::Stopped, Self::Error, Self::Cancelled];

    /// As scripts see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Stopped => "STOPPED",
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
    /// What waits for an operator.
    pub incidents: Vec<IncidentView>,
    /// What else waits at the ledger.
    pub waiting: Vec<WaitView>,
    /// The weight that has not come back yet.
    pub missing: Weight,
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

/// A token that waits for something else.
#[derive(Clone, Debug, PartialEq)]
pub struct WaitView {
    /// Where.
    pub element: ElementId,
    /// For what: `waits for flow F2`, `due 1700000000000`.
    pub reason: String,
}

#[derive(Debug)]
pub(super) struct Open {
    pub(super) deployment: DeploymentId,
    pub(super) definition: Digest,
    pub(super) state: State,
    /// Everything but what is derived from the fields below.
    pub(super) base: InstanceView,
    pub(super) stays: BTreeMap<ActivationId, Stay>,
    pub(super) joins: HashMap<(ScopeId, ElementId), Join>,
    pub(super) seen: HashSet<ActivationId>,
    pub(super) ended: Weight,
    pub(super) order: u64,
}

impl Open {
    pub(super) fn new(base: InstanceView) -> Self {
        Self {
            deployment: base.deployment.clone(),
            definition: base.definition,
            state: base.state,
            base,
            stays: BTreeMap::new(),
            joins: HashMap::new(),
            seen: HashSet::new(),
            ended: Weight::zero(),
            order: 0,
        }
    }

    /// True when this activation was reported before.
    pub(super) fn knows(&self, activation: ActivationId) -> bool {
        self.seen.contains(&activation) || self.stays.contains_key(&activation)
    }

    pub(super) fn incidents(&self) -> impl Iterator<Item = &Stay> {
        self.stays.values().filter(|s| matches!(s.reason, Reason::Incident(_) | Reason::Held))
    }

    /// True when no token can move without an operator.
    pub(super) fn is_stuck(&self) -> bool {
        let mut still = Weight::zero();
        let mut incidents = 0;
        for stay in self.stays.values() {
            match stay.reason {
                Reason::Incident(_) | Reason::Held => {
                    incidents += 1;
                    still = still.plus(&stay.token.weight);
                }
                Reason::Ended | Reason::Joining => still = still.plus(&stay.token.weight),
                Reason::Timer(_) | Reason::Again(_) => return false,
            }
        }
        incidents > 0 && still.is_one()
    }

    pub(super) fn view(&self, table: Option<&RoutingTable>) -> InstanceView {
        let mut view = self.base.clone();
        view.state = self.state;
        view.missing = self.ended.missing();
        for (activation, stay) in &self.stays {
            match &stay.reason {
                Reason::Incident(failure) => view.incidents.push(IncidentView {
                    activation: *activation,
                    failure: (**failure).clone(),
                    input: stay.token.payload.clone(),
                    since: stay.since,
                }),
                Reason::Timer(at) | Reason::Again(at) => {
                    view.waiting.push(WaitView { element: stay.token.element.clone(), reason: format!("due {at}") });
                }
                Reason::Held => {
                    let reason = "created stopped: `flowctl start` lets it go".to_owned();
                    view.waiting.push(WaitView { element: stay.token.element.clone(), reason });
                }
                Reason::Ended | Reason::Joining => {}
            }
        }
        for ((_, element), join) in &self.joins {
            let missing: Vec<&str> = join.missing().map(|f| f.as_str()).collect();
            if !join.is_empty() {
                view.waiting.push(WaitView {
                    element: element.clone(),
                    reason: format!("waits for flow {}", missing.join(", ")),
                });
            }
        }
        view.waiting.sort_by(|a, b| (&a.element, &a.reason).cmp(&(&b.element, &b.reason)));
        view.failure = view.failure.or_else(|| view.incidents.first().map(|i| (i.failure.clone(), i.input.clone())));
        debug_assert!(table.is_none_or(|t| t.deployment == view.deployment));
        view
    }
}
