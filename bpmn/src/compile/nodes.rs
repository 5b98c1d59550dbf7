//! Every node and flow of a process in the table's form: the ledger's table.
//!
//! Called only for models that lint accepts, so references resolve and every kind is executable;
//! what could not be compiled would have been refused.

use std::collections::HashSet;

use routing::table::{
    Boundary, Catch, ConditionSource, Flow, Node, NodeKind, Place, Start, Template, Throw, Timer, Trigger,
};
use routing::{DeploymentId, ElementId, FlowId};

use super::task::{self, Names};
use crate::binding::{Annotations, safe_name};
use crate::graph::Graph;
use crate::lint;
use crate::model::{Definitions, EventDefinitionKind, Expression, FlowNode, FlowNodeKind};

/// What compiling one process looks at.
pub(super) struct Source<'a> {
    pub(super) definitions: &'a Definitions,
    pub(super) graph: &'a Graph<'a>,
    pub(super) annotations: &'a Annotations,
    pub(super) names: Names,
}

/// All nodes and flows, in document order; ends of activities that have no outgoing flow stand
/// behind the rest.
pub(super) fn all(
    definitions: &Definitions,
    graph: &Graph<'_>,
    annotations: &Annotations,
    deployment: &DeploymentId,
) -> (Vec<Node>, Vec<Flow>) {
    let source = Source { definitions, graph, annotations, names: Names::of(graph, annotations) };
    let mut nodes: Vec<Node> = (0..graph.process.nodes.len()).map(|index| node(&source, index, deployment)).collect();
    let mut flows = flows(&source);
    add_implicit_ends(&source, &mut nodes, &mut flows);
    (nodes, flows)
}

fn node(source: &Source<'_>, index: usize, deployment: &DeploymentId) -> Node {
    let it = &source.graph.process.nodes[index];
    let kind = kind(source, index);
    Node {
        id: ElementId::from(it.id.as_str()),
        name: name(it).unwrap_or(&it.id).to_owned(),
        safe_name: safe(it, deployment),
        element: it.kind.element_name().to_owned(),
        place: place(source, index, &kind),
        kind,
        parent: it.parent.map(number),
        incoming: source.graph.incoming[index].iter().copied().map(number).collect(),
        outgoing: source.graph.outgoing[index].iter().copied().map(number).collect(),
        default: default(source, index).map(number),
        boundaries: source.graph.boundaries[index].iter().copied().map(number).collect(),
        guarded: false,
        mapping: None,
        marks: None,
    }
}

/// Indexes fit: the parser's limit on elements is far below.
fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a file within the limits has fewer than 2^32 elements")
}

fn name(node: &FlowNode) -> Option<&str> {
    node.name.as_deref().map(str::trim).filter(|it| !it.is_empty())
}

/// The original's name of the element: of its name, else its id; unnamed starts were told apart
/// by the deployment.
fn safe(node: &FlowNode, deployment: &DeploymentId) -> String {
    match name(node).map(safe_name).filter(|it| !it.is_empty()) {
        Some(safe) => safe,
        None if matches!(node.kind, FlowNodeKind::StartEvent { .. }) => {
            safe_name(&format!("start-{}-{deployment}", node.id))
        }
        None => node.id.clone(),
    }
}

fn kind(source: &Source<'_>, index: usize) -> NodeKind {
    let it = &source.graph.process.nodes[index];
    match &it.kind {
        FlowNodeKind::StartEvent { .. } => NodeKind::StartEvent(Start { catch: Catch::default(), interrupting: true }),
        FlowNodeKind::EndEvent if it.event_definitions.is_empty() => NodeKind::EndEvent(Vec::new()),
        FlowNodeKind::EndEvent => NodeKind::EndEvent(vec![Throw::Terminate]),
        FlowNodeKind::ServiceTask { .. } => NodeKind::Task(Box::new(task::compile(source, index))),
        FlowNodeKind::ExclusiveGateway => NodeKind::ExclusiveGateway,
        FlowNodeKind::ParallelGateway => NodeKind::ParallelGateway,
        FlowNodeKind::IntermediateCatchEvent => NodeKind::CatchEvent(single(Trigger::Timer(timer(it)))),
        FlowNodeKind::BoundaryEvent { cancel_activity, .. } => NodeKind::Boundary(Boundary {
            attached_to: number(source.graph.attached[index].expect("lint refuses what is not attached")),
            interrupting: *cancel_activity,
            catch: single(trigger(source, it)),
        }),
        FlowNodeKind::IntermediateThrowEvent
        | FlowNodeKind::Task
        | FlowNodeKind::SendTask { .. }
        | FlowNodeKind::ReceiveTask { .. }
        | FlowNodeKind::UserTask
        | FlowNodeKind::ManualTask
        | FlowNodeKind::BusinessRuleTask
        | FlowNodeKind::ScriptTask { .. }
        | FlowNodeKind::CallActivity { .. }
        | FlowNodeKind::SubProcess { .. }
        | FlowNodeKind::Transaction
        | FlowNodeKind::AdHocSubProcess { .. }
        | FlowNodeKind::InclusiveGateway
        | FlowNodeKind::ComplexGateway { .. }
        | FlowNodeKind::EventBasedGateway { .. }
        | FlowNodeKind::ChoreographyTask
        | FlowNodeKind::SubChoreography
        | FlowNodeKind::CallChoreography => unreachable!("lint refuses {}", it.kind.element_name()),
    }
}

/// Design §3: where each element runs.
fn place(source: &Source<'_>, index: usize, kind: &NodeKind) -> Place {
    match kind {
        NodeKind::Task(task) => Place::Service(task.service.clone()),
        NodeKind::ExclusiveGateway => Place::Folded,
        NodeKind::ParallelGateway if source.graph.incoming[index].len() < 2 => Place::Folded,
        NodeKind::Boundary(boundary) => {
            let activity = boundary.attached_to as usize;
            match &source.graph.process.nodes[activity].kind {
                FlowNodeKind::ServiceTask { .. } => Place::Service(task::service(source, activity)),
                _ => Place::Ledger,
            }
        }
        NodeKind::Link => Place::Folded,
        NodeKind::StartEvent(_)
        | NodeKind::EndEvent(_)
        | NodeKind::Evaluate(_)
        | NodeKind::UserTask(_)
        | NodeKind::ReceiveTask(_)
        | NodeKind::SendTask(_)
        | NodeKind::CallActivity(_)
        | NodeKind::SubProcess(_)
        | NodeKind::InclusiveGateway
        | NodeKind::ParallelGateway
        | NodeKind::ComplexGateway { .. }
        | NodeKind::EventBasedGateway { .. }
        | NodeKind::CatchEvent(_)
        | NodeKind::ThrowEvent(_)
        | NodeKind::Elsewhere => Place::Ledger,
    }
}

fn single(trigger: Trigger) -> Catch {
    Catch { triggers: vec![trigger], parallel: false }
}

fn default(source: &Source<'_>, index: usize) -> Option<usize> {
    let process = source.graph.process;
    source.graph.default(index).or_else(|| lint::implicit_default(process, source.graph, source.annotations, index))
}

fn trigger(source: &Source<'_>, node: &FlowNode) -> Trigger {
    match node.event_definitions.first().map(|it| &it.kind) {
        Some(EventDefinitionKind::Error { error_ref }) => {
            let error = error_ref.as_deref().and_then(|it| source.definitions.errors.find(it));
            Trigger::Error(error.and_then(|it| it.code.clone()))
        }
        _ => Trigger::Timer(timer(node)),
    }
}

fn timer(node: &FlowNode) -> Timer {
    match node.event_definitions.first().map(|it| &it.kind) {
        Some(EventDefinitionKind::Timer { date: Some(date), .. }) => Timer::Date(template(date)),
        Some(EventDefinitionKind::Timer { duration: Some(duration), .. }) => Timer::Duration(template(duration)),
        _ => unreachable!("lint refuses every other event than timers with a date or a duration"),
    }
}

fn template(expression: &Expression) -> Template {
    let text = expression.text.trimmed();
    match text.strip_prefix('=') {
        Some(feel) => Template::Feel(feel.trim().to_owned()),
        None => Template::Static(text.to_owned()),
    }
}

fn flows(source: &Source<'_>) -> Vec<Flow> {
    let flows = source.graph.process.flows.iter().zip(&source.graph.ends);
    flows
        .map(|(flow, ends)| {
            let (from, to) = ends.expect("lint refuses flows whose ends do not exist");
            Flow {
                id: FlowId::from(flow.id.as_str()),
                source: number(from),
                target: number(to),
                condition: flow.condition.as_ref().map(|it| condition(source, it)),
            }
        })
        .collect()
}

fn condition(source: &Source<'_>, expression: &Expression) -> ConditionSource {
    match lint::language_of(source.definitions, source.annotations, expression) {
        Ok((lint::Language::Feel, text)) => ConditionSource::Feel(text.trim().to_owned()),
        Ok((lint::Language::Python, text)) => ConditionSource::Python(text.trim().to_owned()),
        Err(language) => unreachable!("lint refuses conditions in {language}"),
    }
}

/// An activity without outgoing flows ends its token there: an end event of its own says so.
fn add_implicit_ends(source: &Source<'_>, nodes: &mut Vec<Node>, flows: &mut Vec<Flow>) {
    let mut taken: HashSet<String> = nodes.iter().map(|it| it.id.as_str().to_owned()).collect();
    for index in 0..nodes.len() {
        let activity = source.graph.process.nodes[index].kind.is_activity();
        if !activity || !nodes[index].outgoing.is_empty() {
            continue;
        }
        let mut id = format!("{}-end", nodes[index].id);
        while !taken.insert(id.clone()) {
            id.push_str("-end");
        }
        let (flow, end) = (number(flows.len()), number(nodes.len()));
        nodes[index].outgoing.push(flow);
        flows.push(Flow {
            id: FlowId::from(format!("{}-to-end", nodes[index].id)),
            source: number(index),
            target: end,
            condition: None,
        });
        nodes.push(Node {
            id: ElementId::from(id),
            name: nodes[index].name.clone(),
            safe_name: nodes[index].safe_name.clone(),
            element: "endEvent".to_owned(),
            kind: NodeKind::EndEvent(Vec::new()),
            place: Place::Ledger,
            parent: nodes[index].parent,
            incoming: vec![flow],
            outgoing: Vec::new(),
            default: None,
            boundaries: Vec::new(),
            guarded: false,
            mapping: None,
            marks: None,
        });
    }
}
