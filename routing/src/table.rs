//! The routing table: what one host (a task's sidecar, or the ledger) must know to move tokens on.
//!
//! A table is a slice of the process graph: the host's own element(s), their boundary events, every
//! *folded* node reachable from there (gateways, and whatever else needs neither a service nor a
//! memory), up to the next hosted elements, which appear as [`NodeKind::Elsewhere`]. The ledger's table
//! holds the whole process. Tables are immutable and content-addressed: the digest is that of their
//! JSON bytes. Nodes and flows are in document order and refer to each other by index.

mod activity;
mod connector;
mod event;
pub mod listener;
mod task;

pub use activity::{
    AdHoc, Behavior, Call, Collected, Evaluation, Mapping, Marks, MultiInstance, Repeat, SubProcess, UserTask, Version,
};
pub use connector::{CONNECTORS, Connector, ConnectorKind, SECRETS};
pub use event::{
    Boundary, Catch, Filter, Filtered, MAX_TOPIC, Message, MessageThrow, Recovery, Start, Throw, Timer, Trigger,
    is_topic,
};
pub use listener::{Listener, Moment};
pub use task::{Address, DataMapping, Health, Parameter, ParameterKind, RetryPolicy, Task};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decision::Decisions;
use crate::form::Form;
use crate::id::{DeploymentId, Digest, ElementId, FlowId, ProcessId, ServiceName};

/// Index of a node in [`RoutingTable::nodes`].
pub type NodeIx = u32;
/// Index of a flow in [`RoutingTable::flows`].
pub type FlowIx = u32;

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoutingTable {
    /// Format of this structure; a reader refuses what is newer than [`RoutingTable::FORMAT`].
    pub format: u32,
    /// The process.
    pub process: ProcessId,
    /// The version of it.
    pub deployment: DeploymentId,
    /// Who this table is for.
    pub host: Host,
    /// What holds for the whole process.
    pub settings: Settings,
    /// The elements that may send to this host's element (empty: only the ledger).
    pub predecessors: Vec<Predecessor>,
    /// Flow nodes, in document order.
    pub nodes: Vec<Node>,
    /// Sequence flows, in document order.
    pub flows: Vec<Flow>,
    /// The DMN files whose decisions are used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decisions>,
    /// The forms of user tasks; the ledger's table has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forms: Vec<Form>,
}

impl RoutingTable {
    /// The newest format this code reads.
    pub const FORMAT: u32 = 1;

    /// The node of an element.
    pub fn find(&self, element: &str) -> Option<NodeIx> {
        self.nodes.iter().position(|n| n.id.as_str() == element).map(|i| i as NodeIx)
    }

    /// A node by index; indexes come from this same table and are checked when it is loaded.
    pub fn node(&self, ix: NodeIx) -> &Node {
        &self.nodes[ix as usize]
    }

    /// A flow by index.
    pub fn flow(&self, ix: FlowIx) -> &Flow {
        &self.flows[ix as usize]
    }

    /// The bytes that the digest is of.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a table has only string keys and finite numbers")
    }

    /// Reads bytes that came from outside: checks the format and every index.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TableError> {
        let table: Self = serde_json::from_slice(bytes).map_err(|e| TableError::Unreadable(e.to_string()))?;
        if table.format > Self::FORMAT {
            return Err(TableError::Newer(table.format));
        }
        table.check_indexes()?;
        Ok(table)
    }

    fn check_indexes(&self) -> Result<(), TableError> {
        let (nodes, flows) = (self.nodes.len() as u32, self.flows.len() as u32);
        let compensated = |t: &Throw| matches!(t, Throw::Compensation { activity: Some(a), .. } if *a >= nodes);
        let bad = self.nodes.iter().find(|n| {
            n.incoming.iter().chain(&n.outgoing).chain(&n.default).any(|f| *f >= flows)
                || n.boundaries.iter().chain(&n.parent).any(|b| *b >= nodes)
                || n.marks.as_ref().and_then(|m| m.compensation).is_some_and(|h| h >= nodes)
                || n.listeners.iter().any(|it| it.node >= nodes)
                || matches!(&n.kind, NodeKind::Boundary(b) if b.attached_to >= nodes)
                || matches!(&n.kind, NodeKind::EndEvent(t) | NodeKind::ThrowEvent(t) if t.iter().any(compensated))
        });
        if let Some(node) = bad {
            return Err(TableError::Index(node.id.clone()));
        }
        let settings = &self.settings;
        if settings.data.iter().any(|it| it.scope.is_some_and(|it| it >= nodes))
            || settings.listeners.iter().any(|it| it.node >= nodes)
        {
            return Err(TableError::Index(ElementId::from(self.process.as_str())));
        }
        match self.flows.iter().find(|f| f.source >= nodes || f.target >= nodes) {
            Some(flow) => Err(TableError::Index(ElementId::from(flow.id.as_str()))),
            None => Ok(()),
        }
    }
}

/// Why bytes are not a table.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TableError {
    /// Not the JSON of a table.
    #[error("read a routing table: {0}")]
    Unreadable(String),
    /// Written by a newer flowd.
    #[error("read a routing table of format {0}, this build knows {known}: upgrade it", known = RoutingTable::FORMAT)]
    Newer(u32),
    /// An index points outside of the table.
    #[error("read a routing table: element or flow {0} refers outside of the table")]
    Index(ElementId),
}

/// Who a table is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Host {
    /// The sidecar beside this task.
    Task(ElementId),
    /// flowd's ledger: the whole process.
    Ledger,
}

/// A task whose sidecar may offer tokens to this table's host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// The sending element.
    pub element: ElementId,
    /// The service that serves it; a sidecar of that name may send.
    pub service: ServiceName,
}

/// What holds for a whole process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// When a record counts as written.
    pub durability: Durability,
    /// False (the original's default in its dialect): an uncaught failure closes the instance as ERROR.
    pub recoverable: bool,
    /// Largest payload, in bytes.
    pub max_payload: u64,
    /// Folded steps that one decision may take.
    pub step_budget: u32,
    /// Something in the process looks at its variables from beside (conditional events, event sub-processes, non-interrupting boundary
    /// events): they live at the ledger, every task is guarded, and each token carries a copy (design §4).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub homed: bool,
    /// An instance never has more than one token at a time: nothing is merged, so what is written is not noted. Called by another process
    /// it is a part of that one's instance, and then it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub linear: bool,
    /// Variables that the process and its scopes begin with: properties and data objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<Data>,
    /// What is called when all tokens of the process have ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Listener>,
    /// The topic that is told of each state of an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notifications: Option<String>,
    /// The address that is told of each state of an instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Topic and webhook are told of each hop, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub notify_hops: bool,
    /// Metadata of an instance that says nothing else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            recoverable: true,
            max_payload: 1 << 20,
            step_budget: 1_000,
            homed: false,
            linear: false,
            data: Vec::new(),
            listeners: Vec::new(),
            notifications: None,
            webhook: None,
            notify_hops: false,
            metadata: BTreeMap::new(),
        }
    }
}

/// When a journal record counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When fdatasync has returned.
    #[default]
    Fsync,
    /// When the operating system has it.
    Os,
    /// At once.
    None,
}

/// A flow node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// BPMN id.
    pub id: ElementId,
    /// BPMN name, or the id.
    pub name: String,
    /// The original's k8s-safe form of the name, or the id; what `end_event` shows.
    pub safe_name: String,
    /// BPMN element name (`serviceTask`), for people.
    pub element: String,
    /// What it does.
    pub kind: NodeKind,
    /// Where it runs.
    pub place: Place,
    /// The sub-process it is in; `None` at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<NodeIx>,
    /// Incoming flows, document order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incoming: Vec<FlowIx>,
    /// Outgoing flows, document order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outgoing: Vec<FlowIx>,
    /// The default flow, one of `outgoing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<FlowIx>,
    /// Boundary events attached to it, document order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boundaries: Vec<NodeIx>,
    /// Its activation is held by the ledger, which has it done (a service's sidecar gives the token back), loops it, feeds its boundary
    /// events, and remembers it for compensation. Every activity whose place is the ledger is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guarded: bool,
    /// What it reads and writes besides the whole payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Box<Mapping>>,
    /// What an activity may have besides: loops, quantities, compensation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<Box<Marks>>,
    /// What is called when it begins and ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Listener>,
}

impl Node {
    /// Whether it is a listener of another element.
    pub fn is_listener(&self) -> bool {
        matches!(&self.kind, NodeKind::Task(task) if task.listener)
    }
}

/// Where an element runs (design §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// Evaluated by whoever sends the token: no hop.
    Folded,
    /// A sidecar of this service.
    Service(ServiceName),
    /// flowd's ledger.
    Ledger,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NodeKind {
    /// Start event (BPMN 10.5.2) of the process, a sub-process, or an event sub-process.
    StartEvent(Start),
    /// End event (BPMN 10.5.3): a token ends here, after its throws in document order. For an activity or gateway without outgoing flows the
    /// compiler adds one, with a flow to it: both are called `<id>-end`, its `safe_name` is that of the activity.
    EndEvent(Vec<Throw>),
    /// An activity that a service does: service, send, business rule and script tasks, message throw events and user tasks that are bound to one.
    Task(Box<Task>),
    /// An activity that only evaluates: FEEL script, decision, manual and undefined task.
    Evaluate(Box<Evaluation>),
    /// User task (BPMN 10.3.3): waits until somebody completes it.
    UserTask(Box<UserTask>),
    /// Receive task (BPMN 10.3.3): waits for a message.
    ReceiveTask(Box<Message>),
    /// Send task without a service: throws a message.
    SendTask(Box<MessageThrow>),
    /// Call activity (BPMN 10.3.6).
    CallActivity(Box<Call>),
    /// Sub-process of any kind (BPMN 10.3.5, 10.7); what is inside names it as parent.
    SubProcess(Box<SubProcess>),
    /// Exclusive gateway (BPMN 10.6.2): the first true condition in document order, else the default.
    /// Folded; at the end of very long chains of gateways its place is the ledger, which passes it at once.
    ExclusiveGateway,
    /// Inclusive gateway (BPMN 10.6.3): every true condition, else the default; with several incoming flows it joins first.
    InclusiveGateway,
    /// Parallel gateway (BPMN 10.6.4): with several incoming flows it joins (at the ledger), then all outgoing are taken.
    ParallelGateway,
    /// Complex gateway (BPMN 10.6.5): fires when its condition over `activationCount` and the variables holds, and resets when the
    /// tokens it waits for have come or died.
    ComplexGateway {
        /// `activationCondition`, FEEL.
        activation: Option<String>,
    },
    /// Event-based gateway (BPMN 10.6.6).
    EventBasedGateway {
        /// `eventGatewayType` parallel: all its events are waited for.
        parallel: bool,
        /// `instantiate`: its events start instances.
        instantiate: bool,
    },
    /// An event on the boundary of an activity (BPMN 10.5.6).
    Boundary(Boundary),
    /// Intermediate catch event (BPMN 10.5.4).
    CatchEvent(Catch),
    /// Intermediate throw event; folded when it throws nothing.
    ThrowEvent(Vec<Throw>),
    /// Half of a link (BPMN 10.5.5): a throw that a flow of the compiler's connects to its catch. Folded.
    Link,
    /// A hosted element that this table's host only sends to.
    Elsewhere,
}

impl NodeKind {
    /// A sub-process that an event starts (BPMN 10.3.5).
    pub(crate) fn is_event_sub_process(&self) -> bool {
        matches!(self, Self::SubProcess(kind) if **kind == SubProcess::Event)
    }

    /// A task, a sub-process or a call (BPMN 10.3).
    pub fn is_activity(&self) -> bool {
        match self {
            Self::Task(_)
            | Self::Evaluate(_)
            | Self::UserTask(_)
            | Self::ReceiveTask(_)
            | Self::SendTask(_)
            | Self::CallActivity(_)
            | Self::SubProcess(_) => true,
            Self::StartEvent(_)
            | Self::EndEvent(_)
            | Self::ExclusiveGateway
            | Self::InclusiveGateway
            | Self::ParallelGateway
            | Self::ComplexGateway { .. }
            | Self::EventBasedGateway { .. }
            | Self::Boundary(_)
            | Self::CatchEvent(_)
            | Self::ThrowEvent(_)
            | Self::Link
            | Self::Elsewhere => false,
        }
    }

    /// A gateway that splits or joins (BPMN 10.6), not one that waits for events.
    pub(crate) fn is_gateway(&self) -> bool {
        matches!(
            self,
            Self::ExclusiveGateway | Self::InclusiveGateway | Self::ParallelGateway | Self::ComplexGateway { .. }
        )
    }
}

/// Text that is taken as it is, or computed from the variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Template {
    /// As it stands.
    Static(String),
    /// A FEEL expression (`=` prefix in the model).
    Feel(String),
}

/// One value that goes from one place to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The variable, perhaps a dotted path into it.
    pub target: String,
    /// The value.
    pub source: Template,
}

/// A variable that a scope begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// The sub-process; `None` is the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<NodeIx>,
    /// The variable.
    pub name: String,
    /// Its first value; without one it is null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Template>,
}

/// A sequence flow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// BPMN id.
    pub id: FlowId,
    /// Where it leaves.
    pub source: NodeIx,
    /// Where it leads.
    pub target: NodeIx,
    /// When it is taken; `None` is always (or by default).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionSource>,
}

/// A condition's language and text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ConditionSource {
    /// FEEL, without a leading `=`.
    Feel(String),
    /// The safe subset of the original's Python conditions, over `req_json`.
    Python(String),
}

/// Names every table of a definition; its digest is the definition's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version.
    pub deployment: DeploymentId,
    /// The ledger's table.
    pub ledger: Digest,
    /// Each task's table.
    pub tasks: BTreeMap<ElementId, Digest>,
}

impl Manifest {
    /// The bytes that the definition's digest is of.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest has only string keys")
    }

    /// Reads a manifest and checks that it is the one a token names.
    pub fn from_bytes(bytes: &[u8], definition: Digest) -> Result<Self, TableError> {
        if Digest::of(bytes) != definition {
            return Err(TableError::Unreadable("the manifest's hash is not the definition's".into()));
        }
        serde_json::from_slice(bytes).map_err(|e| TableError::Unreadable(e.to_string()))
    }
}
