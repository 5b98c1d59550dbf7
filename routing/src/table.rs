//! The routing table: what one host (a task's sidecar, or the ledger) must know to move tokens on.
//!
//! A table is a slice of the process graph: the host's own element(s), their boundary events, every
//! *folded* node reachable from there (gateways, and whatever else needs neither a service nor a
//! memory), up to the next hosted elements, which appear as [`NodeKind::Elsewhere`]. The ledger's table
//! holds the whole process. Tables are immutable and content-addressed: the digest is that of their
//! JSON bytes. Nodes and flows are in document order and refer to each other by index.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
        let bad = self.nodes.iter().find(|n| {
            n.incoming.iter().chain(&n.outgoing).chain(&n.default).any(|f| *f >= flows)
                || n.boundaries.iter().chain(&n.parent).any(|b| *b >= nodes)
                || matches!(&n.kind, NodeKind::Boundary(b) if b.attached_to >= nodes)
        });
        if let Some(node) = bad {
            return Err(TableError::Index(node.id.clone()));
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
}

impl Default for Settings {
    fn default() -> Self {
        Self { durability: Durability::Fsync, recoverable: true, max_payload: 1 << 20, step_budget: 1_000 }
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
    /// None start event (BPMN 10.5.2).
    StartEvent,
    /// None end event (BPMN 10.5.3). For an activity or gateway without outgoing flows the compiler adds
    /// one, with a flow to it: both are called `<id>#end`, its `safe_name` is that of the activity.
    EndEvent,
    /// Terminate end event: closes the scope with every token in it.
    TerminateEndEvent,
    /// A task that a service does.
    Task(Box<Task>),
    /// Exclusive gateway (BPMN 10.6.2): the first true condition in document order, else the default.
    /// Folded; at the end of very long chains of gateways its place is the ledger, which passes it at once.
    ExclusiveGateway,
    /// Parallel gateway (BPMN 10.6.4): with several incoming flows it joins (at the ledger), then all outgoing are taken.
    ParallelGateway,
    /// An event on the boundary of an activity.
    Boundary(Boundary),
    /// Intermediate timer catch event.
    TimerCatchEvent(Timer),
    /// A hosted element that this table's host only sends to.
    Elsewhere,
}

/// An event attached to an activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boundary {
    /// The activity.
    pub attached_to: NodeIx,
    /// `cancelActivity`: the activity ends when this fires.
    pub interrupting: bool,
    /// What makes it fire.
    pub trigger: Trigger,
}

/// What makes a boundary event fire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trigger {
    /// A BPMN error: of this code, or any when `None`. A specific code wins over a catch-all.
    Error(Option<String>),
    /// Time, counted from the activity's activation.
    Timer(Timer),
}

/// A timer's definition: its text as in the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Timer {
    /// `timeDate`: an ISO 8601 instant; the past fires at once.
    Date(Template),
    /// `timeDuration`: an ISO 8601 duration.
    Duration(Template),
}

/// Text that is taken as it is, or computed from the payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Template {
    /// As it stands.
    Static(String),
    /// A FEEL expression over the payload (`=` prefix in the model).
    Feel(String),
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

/// How a task's service is called and what its answer means (design §6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Who serves it.
    pub service: ServiceName,
    /// Where it is without any sidecar's say: the annotation's host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// HTTP method.
    pub method: String,
    /// Path, perhaps with `{key}` templates (closure transport only).
    pub path: String,
    /// How payload, request and answer relate.
    pub data: DataMapping,
    /// Attempts and back-off.
    pub retry: RetryPolicy,
    /// Milliseconds for one call, body included.
    pub timeout: u64,
    /// Milliseconds that a task that is down is waited for.
    pub down_timeout: u64,
    /// Its health check; `None` is a TCP connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Keys for the annotation's other settings that orchestrators read (container, namespace, ...).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Where a service is by its annotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Host name.
    pub host: String,
    /// Port callers use.
    pub port: u16,
    /// Port the container listens on.
    pub target_port: u16,
}

/// How payload, request and answer relate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DataMapping {
    /// The payload is sent as it is; the answer replaces it, any content type (the original's dialect).
    Replace,
    /// The payload is sent as it is; a JSON object answer is merged into it, anything else needs `result_variable`.
    Merge {
        /// Where an answer goes as a whole.
        result_variable: Option<String>,
    },
    /// Closure transport: only declared inputs are sent, only declared outputs are kept.
    Closure {
        /// What the task gets.
        inputs: Vec<Parameter>,
        /// What of its answer is kept.
        outputs: Vec<Parameter>,
    },
}

/// One line of closure transport: `name` from `source` (either may be `.`), of a type, with a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Where the value goes; `.` is the whole.
    pub name: String,
    /// Where it comes from; `.` is the whole.
    pub source: String,
    /// What it must be.
    pub kind: ParameterKind,
    /// Raw JSON taken when the source is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
}

/// Types of closure transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ParameterKind {
    /// JSON string.
    String,
    /// JSON true or false.
    Boolean,
    /// JSON number.
    Double,
    /// JSON number without a fraction.
    Integer,
    /// JSON object.
    JsonObject,
    /// JSON array.
    JsonArray,
}

/// Attempts and back-off of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Calls in all, at least 1.
    pub attempts: u32,
    /// First back-off, milliseconds.
    pub initial: u64,
    /// Longest back-off, milliseconds.
    pub max: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, initial: 100, max: 10_000 }
    }
}

/// A health check by HTTP, times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Path.
    pub path: String,
    /// Method.
    pub method: String,
    /// Query string, without the question mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Between two checks.
    pub period: u64,
    /// For one check.
    pub timeout: u64,
    /// Before the first.
    pub initial_delay: u64,
    /// Failures in a row that make it DOWN.
    pub failure_threshold: u32,
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
