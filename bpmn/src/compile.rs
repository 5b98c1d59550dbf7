//! The verdict on a file, and the routing tables of what it accepts.
//!
//! Gateways, conditions and boundary events are sliced into the tables of the tasks before them;
//! the ledger's table holds the whole process. The same model gives the same bytes, whatever its
//! formatting, drawing and prefixes.

mod activities;
mod connector;
mod correlation;
mod data;
mod decisions;
mod events;
mod forms;
mod guard;
mod linear;
mod listeners;
mod mapping;
mod mentions;
mod nodes;
mod repeat;
mod secrets;
mod slice;
mod source;
mod task;
mod topics;

pub(crate) use mentions::{Reading, Setting};
pub(crate) use source::Source;
pub(crate) use task::{Names, is_bound, says_service};

use std::collections::{BTreeMap, BTreeSet};

use routing::decision::Decisions;
use routing::form::Form;
use routing::table::{Durability, Host, Manifest, RoutingTable, Settings};
use routing::{DeploymentId, Digest, ElementId, ProcessId, ServiceName};

use crate::binding::{self, Annotations};
use crate::diagnostic::{self, Diagnostic};
use crate::graph::Graph;
use crate::lint;
use crate::model::{Namespace, Process};
use crate::parse::{Limits, parse};
use crate::soundness::Soundness;
use crate::workload;

/// What the verdict depends on besides the file.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What the file may cost.
    pub limits: Limits,
    /// Bindings given on the command line: task type, or element id, or `*`, to a URL.
    pub bindings: BTreeMap<String, String>,
    /// Names that some sidecar serves.
    pub served: BTreeSet<String>,
    /// Whether a task without a binding refuses the file (`apply`), or is only told (`validate`).
    pub missing_binding_is_error: bool,
    /// The DMN files applied with the model.
    pub decisions: Vec<Decisions>,
    /// The forms applied with it, each with the names that a model may know it by; of two of one name the later one counts.
    pub forms: Vec<Form>,
    /// Whether an orchestrator runs the services, each known as `<name>.<namespace>` ([`crate::workloads`]).
    pub cluster: bool,
}

impl Options {
    /// Whether tasks of this type, or the task of this id, have a service.
    pub fn is_bound(&self, name: &str) -> bool {
        self.bindings.contains_key(name) || self.bindings.contains_key("*") || self.served.contains(name)
    }
}

/// A file that can run.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Its executable processes, in document order.
    pub definitions: Vec<ProcessDefinition>,
    /// What is worth telling about it; none of it an error.
    pub warnings: Vec<Diagnostic>,
}

/// One version of a process, compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessDefinition {
    /// The process's id, or the one its annotation gives.
    pub process: ProcessId,
    /// The process's name.
    pub name: Option<String>,
    /// `zeebe:versionTag` or `camunda:versionTag`: what call activities can ask for.
    pub version_tag: Option<String>,
    /// `<process>-<8 hex of the content hash>`.
    pub deployment: DeploymentId,
    /// The content hash: over the process and what it refers to.
    pub content: Digest,
    /// The digest of the manifest's bytes: what a token names.
    pub digest: Digest,
    /// Which tables belong to it.
    pub manifest: Manifest,
    /// The ledger's table.
    pub ledger: Table,
    /// Each task's table.
    pub tasks: BTreeMap<ElementId, Table>,
    /// The elements where instances can start, in document order.
    pub start_events: Vec<ElementId>,
}

impl ProcessDefinition {
    /// The services that serve its tasks, each with the tasks it serves.
    pub fn services(&self) -> BTreeMap<ServiceName, Vec<ElementId>> {
        let mut services: BTreeMap<ServiceName, Vec<ElementId>> = BTreeMap::new();
        for node in &self.ledger.table.nodes {
            if let routing::table::NodeKind::Task(task) = &node.kind {
                services.entry(task.service.clone()).or_default().push(node.id.clone());
            }
        }
        services
    }
}

/// A routing table with the bytes that its digest is of.
#[derive(Clone, PartialEq)]
pub struct Table {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// What is stored and sent.
    pub bytes: Vec<u8>,
    /// What they say.
    pub table: RoutingTable,
}

impl Table {
    fn new(table: RoutingTable) -> Self {
        let bytes = table.to_bytes();
        Self { digest: Digest::of(&bytes), bytes, table }
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("digest", &self.digest).field("table", &self.table).finish_non_exhaustive()
    }
}

/// The verdict on a file.
///
/// # Errors
/// All findings, at least one of severity error, in the order of their places in the file.
pub fn check(xml: &[u8], options: &Options) -> Result<Checked, Vec<Diagnostic>> {
    let definitions = parse(xml, options.limits).map_err(|it| vec![*it])?;
    let mut findings = Vec::new();
    lint::definitions(&definitions, &mut findings);
    let nodes = definitions.processes.iter().flat_map(|process| process.nodes.iter().map(move |it| (process, it)));
    let places = nodes.map(|(process, it)| (it.id.as_str(), process.id.as_str())).collect();
    let mut accepted = Vec::new();
    let mut soundness = Soundness::new();
    for process in lint::executable(&definitions).into_iter().chain(&definitions.global_tasks) {
        let graph = Graph::of(process);
        // what is drawn belongs to the processes: a global task has no annotations
        let drawn = definitions.processes.iter().any(|it| std::ptr::eq(it, process));
        let annotations = match drawn {
            true => Annotations::read(&definitions, process, &mut findings),
            false => Annotations::none(process),
        };
        let cx = lint::Context {
            definitions: &definitions,
            process,
            places: &places,
            graph: &graph,
            annotations: &annotations,
            source: Source::new(&definitions, &graph, &annotations, options),
            options,
        };
        let mut own = Vec::new();
        lint::process(&cx, &mut own);
        own.append(&mut nodes::findings(&cx.source));
        if options.cluster {
            workload::findings(process, &annotations, &mut own);
        }
        lint::variables(&cx, &mut own);
        if !own.iter().any(Diagnostic::is_error) {
            soundness.process(&graph, &mut own);
        }
        findings.append(&mut own);
        accepted.push((graph, annotations));
    }
    diagnostic::sort(&mut findings);
    if findings.iter().any(Diagnostic::is_error) {
        return Err(findings);
    }
    let compiled =
        accepted.iter().map(|(graph, annotations)| compile(Source::new(&definitions, graph, annotations, options)));
    Ok(Checked { definitions: compiled.collect(), warnings: findings })
}

/// Compiles a process that lint has nothing against.
fn compile(mut source: Source<'_>) -> ProcessDefinition {
    let (process, annotations) = (source.graph.process, source.annotations);
    let content = content(&source);
    let id = annotations.global.id.as_deref().unwrap_or(&process.id);
    let deployment = DeploymentId::from(format!("{id}-{}", content.short()));
    source.names = Names::of(process, annotations, source.options.cluster.then_some(&deployment));
    let source = &source;
    let (mut nodes, flows) = nodes::all(source, &deployment);
    let listeners = listeners::add(source, &mut nodes);
    let mut whole = RoutingTable {
        format: RoutingTable::FORMAT,
        process: ProcessId::from(id),
        deployment: deployment.clone(),
        host: Host::Ledger,
        settings: Settings { listeners, ..settings(source) },
        predecessors: Vec::new(),
        decisions: decisions::needed(&source.files, &nodes),
        forms: forms::needed(source, &nodes),
        nodes,
        flows,
    };
    guard::decide(&mut whole);
    linear::decide(&mut whole);
    slice::host_long_chains(&mut whole);
    let tasks: BTreeMap<ElementId, Table> =
        slice::tasks(&whole).into_iter().map(|(element, table)| (element, Table::new(table))).collect();
    let ledger = Table::new(whole);
    let manifest = Manifest {
        deployment: deployment.clone(),
        ledger: ledger.digest,
        tasks: tasks.iter().map(|(element, table)| (element.clone(), table.digest)).collect(),
    };
    ProcessDefinition {
        process: ProcessId::from(id),
        name: process.name.clone(),
        version_tag: version_tag(process),
        deployment,
        content,
        digest: Digest::of(&manifest.to_bytes()),
        manifest,
        ledger,
        tasks,
        start_events: start_events(process),
    }
}

/// The hash of the process and all that its version consists of: what it refers to in its file, the decisions and forms that it uses,
/// and which of its elements are bound to services from outside.
fn content(source: &Source<'_>) -> Digest {
    let nodes = 0..source.graph.process.nodes.len();
    let mut used: Vec<Digest> = nodes.clone().filter_map(|it| nodes::decision_file(source, it)).collect();
    used.extend(nodes.clone().flat_map(|it| nodes::forms(source, it)));
    let outside = nodes.filter(|it| {
        let node = source.node(*it);
        let service = matches!(node.kind, crate::model::FlowNodeKind::ServiceTask { .. });
        !service && source.options.bindings.contains_key(&node.id) && is_bound(source, *it)
    });
    used.extend(outside.map(|it| Digest::of(source.node(it).id.as_bytes())));
    if used.is_empty() {
        return Digest(source.graph.process.content);
    }
    used.sort_unstable();
    used.dedup();
    let mut bytes = source.graph.process.content.to_vec();
    used.iter().for_each(|it| bytes.extend(it.0));
    Digest::of(&bytes)
}

/// Where instances begin: start events, instantiating receive tasks and event-based gateways.
fn start_events(process: &Process) -> Vec<ElementId> {
    use crate::model::FlowNodeKind as K;
    let starts = (process.nodes.iter()).filter(|it| {
        let begins = matches!(
            it.kind,
            K::StartEvent { .. }
                | K::ReceiveTask { instantiate: true, .. }
                | K::EventBasedGateway { instantiate: true, .. }
        );
        it.parent.is_none() && begins
    });
    starts.map(|it| ElementId::from(it.id.as_str())).collect()
}

fn version_tag(process: &Process) -> Option<String> {
    let zeebe = process.extensions.find(&Namespace::Zeebe, "versionTag").and_then(|it| it.attribute("value"));
    let tag = zeebe.or_else(|| process.extensions.attribute(&Namespace::Camunda, "versionTag"))?.trim();
    (!tag.is_empty()).then(|| tag.to_owned())
}

fn settings(source: &Source<'_>) -> Settings {
    let annotations = source.annotations;
    Settings {
        data: data::of(source),
        durability: match annotations.global.durability {
            binding::Durability::Fsync => Durability::Fsync,
            binding::Durability::Os => Durability::Os,
            binding::Durability::None => Durability::None,
        },
        recoverable: annotations.global.recoverable.unwrap_or(!annotations.dialect),
        notifications: annotations.global.notifications.clone(),
        webhook: annotations.global.webhook.clone(),
        notify_hops: annotations.global.notify_hops,
        metadata: annotations.global.metadata.clone(),
        ..Settings::default()
    }
}
