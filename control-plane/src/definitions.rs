//! What was applied: a process definition with its tables, and the deployment made of it.
//!
//! A [`Definition`] is immutable and content-addressed; it is stored with the very bytes of its tables, so a newer
//! flowd does not change a deployed process. A [`Deployment`] is a definition and how it fares ([`state`]).
//! Does not know how many sidecars there are: that is `mesh`.

mod claim;
pub(crate) mod record;
pub(crate) mod resolve;
pub(crate) mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bpmn::binding::{Annotations, GlobalProperties};
use bpmn::{ProcessDefinition, Workload};
use bytes::Bytes;
use routing::table::{CONNECTORS, NodeKind, Place, RoutingTable, TableError};
use routing::{Compiled, DeploymentId, Digest, ElementId, ProcessId, ServiceName, Timestamp};

pub(crate) use claim::Claim;
pub(crate) use state::State;

use crate::ingress::Route;

/// How long a deployment may take to be served, milliseconds, unless its annotation says otherwise (the original's).
pub(crate) const DEPLOYMENT_TIMEOUT: u64 = 180_000;
/// How long `wrapper` waits, milliseconds, unless the model says otherwise (the original's).
pub(crate) const WRAPPER_TIMEOUT: u64 = 10_000;

/// One version of a process, as it is pushed and run.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) deployment: DeploymentId,
    pub(crate) process: ProcessId,
    pub(crate) name: Option<String>,
    /// What call activities can ask for.
    pub(crate) version_tag: Option<String>,
    /// What a token names: the hash of `manifest`.
    pub(crate) digest: Digest,
    pub(crate) manifest: Bytes,
    pub(crate) ledger: Arc<Compiled>,
    pub(crate) ledger_bytes: Bytes,
    pub(crate) tasks: BTreeMap<ElementId, Task>,
    pub(crate) start_events: Vec<ElementId>,
    pub(crate) xml: Bytes,
    /// Milliseconds until a deployment that nobody serves is an error.
    pub(crate) timeout: u64,
    /// Milliseconds that the original's synchronous wrapper waits.
    pub(crate) wrapper_timeout: u64,
    /// The annotation's `user_opaque_metadata`, as JSON; empty if there is none.
    pub(crate) metadata: String,
    /// What an orchestrator runs for it; `None` if it was applied without one.
    pub(crate) workloads: Option<Vec<Workload>>,
}

/// A task of a definition.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) service: ServiceName,
    pub(crate) table: Bytes,
    /// Tasks whose sidecars get its tokens directly.
    pub(crate) successors: Vec<ElementId>,
}

/// Why a stored or compiled definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A table cannot be read.
    #[error("read the tables of {deployment}: {source}")]
    Table {
        /// Whose.
        deployment: DeploymentId,
        /// Why.
        source: TableError,
    },
    /// A stored record cannot be read.
    #[error("read what is stored of deployment {deployment}: {reason}; restore the store from a backup")]
    Record {
        /// Whose.
        deployment: String,
        /// Why.
        reason: String,
    },
}

/// The parts of a definition that its other fields are made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) deployment: DeploymentId,
    pub(crate) process: ProcessId,
    pub(crate) name: Option<String>,
    pub(crate) version_tag: Option<String>,
    pub(crate) manifest: Bytes,
    pub(crate) ledger: Bytes,
    pub(crate) tables: BTreeMap<ElementId, Bytes>,
    pub(crate) start_events: Vec<ElementId>,
    pub(crate) xml: Bytes,
    pub(crate) timeout: u64,
    pub(crate) wrapper_timeout: u64,
    pub(crate) metadata: String,
    pub(crate) orchestrated: bool,
}

impl Definition {
    /// From a verdict of `bpmn` on `xml`; for an orchestrator, or not.
    pub(crate) fn compiled(checked: &ProcessDefinition, xml: Bytes, orchestrated: bool) -> Result<Self, Error> {
        let global = global(&xml, &checked.process);
        Self::of(Parts {
            deployment: checked.deployment.clone(),
            process: checked.process.clone(),
            name: checked.name.clone(),
            version_tag: checked.version_tag.clone(),
            manifest: checked.manifest.to_bytes().into(),
            ledger: checked.ledger.bytes.clone().into(),
            tables: checked
                .tasks
                .iter()
                .map(|(element, table)| (element.clone(), table.bytes.clone().into()))
                .collect(),
            start_events: checked.start_events.clone(),
            xml,
            timeout: global.deployment_timeout.unwrap_or(DEPLOYMENT_TIMEOUT),
            wrapper_timeout: global.synchronous_wrapper_timeout.unwrap_or(WRAPPER_TIMEOUT),
            metadata: match global.user_opaque_metadata {
                map if map.is_empty() => String::new(),
                map => serde_json::Value::Object(map).to_string(),
            },
            orchestrated,
        })
    }

    pub(crate) fn of(parts: Parts) -> Result<Self, Error> {
        let unreadable = |source| Error::Table { deployment: parts.deployment.clone(), source };
        let ledger = Compiled::from_bytes(&parts.ledger, Digest::of(&parts.ledger)).map_err(unreadable)?;
        let mut tasks = BTreeMap::new();
        for node in &ledger.table().nodes {
            let (NodeKind::Task(task), Some(bytes)) = (&node.kind, parts.tables.get(&node.id)) else { continue };
            let table = RoutingTable::from_bytes(bytes).map_err(unreadable)?;
            let task = Task { service: task.service.clone(), table: bytes.clone(), successors: successors(&table) };
            tasks.insert(node.id.clone(), task);
        }
        let workloads = || bpmn::workloads(&parts.xml, parts.process.as_str(), &parts.deployment);
        let workloads = parts.orchestrated.then(workloads);
        Ok(Self {
            workloads,
            deployment: parts.deployment,
            process: parts.process,
            name: parts.name,
            version_tag: parts.version_tag,
            digest: Digest::of(&parts.manifest),
            manifest: parts.manifest,
            ledger: Arc::new(ledger),
            ledger_bytes: parts.ledger,
            tasks,
            start_events: parts.start_events,
            xml: parts.xml,
            timeout: parts.timeout,
            wrapper_timeout: parts.wrapper_timeout,
            metadata: parts.metadata,
        })
    }

    /// The largest payload it takes, bytes.
    pub(crate) fn max_payload(&self) -> usize {
        usize::try_from(self.ledger.table().settings.max_payload).unwrap_or(usize::MAX)
    }

    /// The names that its tasks are served under.
    pub(crate) fn services(&self) -> BTreeSet<&ServiceName> {
        self.tasks.values().map(|task| &task.service).collect()
    }

    /// From a service to each that gets its tokens directly.
    pub(crate) fn edges(&self) -> BTreeSet<(ServiceName, ServiceName)> {
        let from = self.tasks.values().flat_map(|task| task.successors.iter().map(move |it| (&task.service, it)));
        let to = |(from, element): (&ServiceName, &ElementId)| {
            let to = self.tasks.get(element)?;
            Some((from.clone(), to.service.clone()))
        };
        from.filter_map(to).collect()
    }

    /// The elements that are user tasks, in document order.
    pub(crate) fn user_tasks(&self) -> impl Iterator<Item = &ElementId> {
        let nodes = self.ledger.table().nodes.iter();
        nodes.filter(|it| matches!(it.kind, NodeKind::UserTask(_))).map(|it| &it.id)
    }

    /// The start event to use when none is named.
    pub(crate) fn only_start(&self) -> Option<&ElementId> {
        match self.start_events.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

/// Hosted elements that a task's host only sends to, and that a service does.
fn successors(table: &RoutingTable) -> Vec<ElementId> {
    let elsewhere = table.nodes.iter().filter(|node| matches!(node.kind, NodeKind::Elsewhere));
    elsewhere.filter(|node| matches!(node.place, Place::Service(_))).map(|node| node.id.clone()).collect()
}

/// The global annotation of a process that was accepted already.
fn global(xml: &[u8], process: &ProcessId) -> GlobalProperties {
    let Ok(definitions) = bpmn::parse(xml, bpmn::Limits::default()) else { return GlobalProperties::default() };
    let all = definitions.processes.iter();
    let mut read = all.map(|it| (it.id.clone(), Annotations::read(&definitions, it, &mut Vec::new()).global));
    let own = read.find(|(id, global)| global.id.as_deref().unwrap_or(id) == process.as_str());
    own.map(|(_, global)| global).unwrap_or_default()
}

/// A topic that starts a deployment's instances, by an operator's wish.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Listening {
    pub(crate) topic: String,
    pub(crate) start_event: ElementId,
}

/// A definition, and how it fares.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) definition: Arc<Definition>,
    pub(crate) state: State,
    /// When it came into this state.
    pub(crate) since: Timestamp,
    pub(crate) applied: Timestamp,
    /// URLs given with apply: by element id, task type, or `*`.
    pub(crate) bindings: BTreeMap<String, String>,
    /// Where it is reached from outside.
    pub(crate) ingress: Vec<Route>,
    /// Topics that start it, beside those of its model.
    pub(crate) topics: Vec<Listening>,
    /// Why it is not RUNNING; empty when it is.
    pub(crate) message: String,
    /// The Workflow that it is of; none: flowctl's.
    pub(crate) claim: Option<Claim>,
}

impl Deployment {
    /// One that was applied now.
    pub(crate) fn new(
        definition: Arc<Definition>,
        bindings: BTreeMap<String, String>,
        stopped: bool,
        now: Timestamp,
    ) -> Self {
        let (state, message) = match stopped {
            true => (State::Stopped, "applied with --stopped".to_owned()),
            false => (State::Starting, "waits for its sidecars".to_owned()),
        };
        Self {
            definition,
            state,
            since: now,
            applied: now,
            bindings,
            ingress: Vec::new(),
            topics: Vec::new(),
            message,
            claim: None,
        }
    }

    /// The URL that apply gave for a task, if any; connectors call what the model says.
    pub(crate) fn bound(&self, element: &ElementId, service: &ServiceName) -> Option<String> {
        if service.as_str() == CONNECTORS {
            return None;
        }
        let named = |name: &str| self.bindings.get(name).cloned();
        let url = named(element.as_str()).or_else(|| named(service.as_str())).or_else(|| named("*"))?;
        Some(url.replace("{type}", service.as_str()))
    }
}
