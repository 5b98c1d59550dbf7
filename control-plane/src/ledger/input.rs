//! What happens to the ledger.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use hop::{Endpoint, Refusal, Splits};
use routing::callback::Callback;
use routing::instance::Published;
use routing::table::Timer;
use routing::{
    ActivationId, Compiled, DeploymentId, Digest, ElementId, HopRecord, Incarnation, InstanceId, Payload, ProcessId,
    Product, ServiceName, TraceContext,
};

use super::operate::{Operation, Operator};
use super::remains::Reopening;
use super::task::{Actor, TaskAction};
use super::{Consumed, Deployed, Leaving, Request};

/// A new instance.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its id, made by the caller from the time and random bits.
    pub instance: InstanceId,
    /// The version it runs on.
    pub deployment: DeploymentId,
    /// The process.
    pub process: ProcessId,
    /// The tables' digest.
    pub definition: Digest,
    /// Where it starts.
    pub start_event: ElementId,
    /// The initial payload.
    pub payload: Payload,
    /// Key and value pairs for who looks for it.
    pub metadata: BTreeMap<String, String>,
    /// The client's own key: the same key, the same instance.
    pub idempotency_key: Option<String>,
    /// An instance with that key that the caller found in the store.
    pub known: Option<InstanceId>,
    /// The caller's span.
    pub trace: TraceContext,
    /// Create it, and wait for `flowctl start`.
    pub stopped: bool,
    /// The user interface that is told of its user tasks and of its end.
    pub graphql_uri: Option<String>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The ledger's table of a definition.
    Definition(Digest, Arc<Compiled>),
    /// No instance runs on it any more and none will.
    Retired(Digest),
    /// What new instances and calls may run on, the newest last.
    Deployed(Vec<Deployed>),
    /// A client publishes a message.
    Publish(Request, Published),
    /// A broker's topic had a message.
    Consumed(Consumed),
    /// A broker's topic has begun anew: its offsets count from the start again.
    Renewed(String),
    /// A broker has these thrown messages.
    Produced(Vec<u64>),
    /// Hops that sidecars tell of, of instances whose processes may want them to be told.
    Hops(Vec<HopRecord>),
    /// These notices are over: delivered, or given up.
    Noticed(Vec<u64>),
    /// A client broadcasts a signal.
    Signal(Request, String, Payload),
    /// A client offers variables to the conditional start events of one process, or of all.
    Offer(Request, Option<ProcessId>, Payload),
    /// Somebody does something with a user task.
    Task(Request, InstanceId, ActivationId, Actor, TaskAction),
    /// A task calls back: the call's activation, the hash of the seal that it brings, and what it says.
    CalledBack(Request, InstanceId, ActivationId, Digest, Callback),
    /// A client starts an instance.
    Start(Request, Box<Start>),
    /// A sidecar's product for the ledger, with its number.
    Report(Incarnation, u64, Box<Product>),
    /// A link to a replica's hop port opened, went, or could not be opened.
    Linked(Incarnation),
    /// See [`Input::Linked`].
    Unlinked(Incarnation),
    /// See [`Input::Linked`].
    Unreachable(Incarnation),
    /// A replica's answers to offers.
    Answered(Incarnation, Vec<ActivationId>, Vec<(ActivationId, Refusal)>),
    /// Where replicas are.
    Endpoints(HashMap<ServiceName, Vec<Endpoint>>),
    /// Which services do the work of others.
    Splits(Splits),
    /// An operator cancels an instance, and why.
    Cancel(Request, InstanceId, Operator),
    /// An operator changes how an open instance goes on, and who and why.
    Operate(Request, InstanceId, Operator, Operation),
    /// An operator gives timers of a deployment's start events another time, and who and why.
    Rearm(Request, DeploymentId, Operator, Vec<(String, Timer)>),
    /// An operator runs an instance again that ended as ERROR.
    Reopen(Request, Box<Reopening>),
    /// An operator, or retention, forgets a closed instance.
    Delete(Request, InstanceId),
    /// A sidecar hands over what it holds.
    Leave(Request, Incarnation, Leaving),
    /// A sidecar asks what became of offers to a replica that has left.
    Whereabouts(Request, Incarnation, Vec<ActivationId>),
    /// A sidecar is here (again): which instances were closed early with tokens that may still be on their way.
    Tombstones(Request),
    /// The writes up to this mark are durable.
    Written(u64),
    /// Time has passed.
    Tick,
}
