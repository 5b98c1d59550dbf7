//! Every node and flow of a process in the table's form: the ledger's table, but for what [`super::guard`] decides.
//!
//! Reading a node ([`read`]) is total and tells what is wrong; putting the table together ([`all`]) is for models without errors only.

use std::collections::HashSet;

use routing::form::Form;
use routing::table::{
    Boundary, ConditionSource, Evaluation, Flow, Mapping, Marks, Node, NodeKind, Place, Start, Template,
};
use routing::{DeploymentId, Digest, ElementId, FlowId};

use super::source::Source;
use super::{activities, events, mapping, repeat, task};
use crate::binding::safe_name;
use crate::diagnostic::Diagnostic;
use crate::lint;
use crate::model::{Expression, FlowNode, FlowNodeKind};

/// What is wrong with single nodes.
pub(super) fn findings(source: &Source<'_>) -> Vec<Diagnostic> {
    for index in 0..source.graph.process.nodes.len() {
        read(source, index);
    }
    source.findings()
}

/// All nodes and flows, in document order; ends of activities that have no outgoing flow stand
/// behind the rest.
pub(super) fn all(source: &Source<'_>, deployment: &DeploymentId) -> (Vec<Node>, Vec<Flow>) {
    let mut nodes: Vec<Node> =
        (0..source.graph.process.nodes.len()).map(|index| node(source, index, deployment)).collect();
    let mut flows = flows(source);
    add_implicit_ends(&mut nodes, &mut flows);
    (nodes, flows)
}

/// What one node does and has.
struct Read {
    kind: Option<NodeKind>,
    mapping: Option<Box<Mapping>>,
    marks: Option<Box<Marks>>,
}

fn read(source: &Source<'_>, index: usize) -> Read {
    let kind = kind(source, index);
    let mapping = kind.as_ref().and_then(|it| activities::carries(it, || mapping::of(source, index)));
    Read { kind, mapping, marks: repeat::marks(source, index) }
}

fn node(source: &Source<'_>, index: usize, deployment: &DeploymentId) -> Node {
    let it = source.node(index);
    let Read { kind, mapping, marks } = read(source, index);
    Node {
        id: ElementId::from(it.id.as_str()),
        name: name(it).unwrap_or(&it.id).to_owned(),
        safe_name: safe(it, deployment),
        element: it.kind.element_name().to_owned(),
        kind: kind.expect("what cannot be read was reported as an error"),
        place: Place::Ledger,
        parent: it.parent.map(number),
        incoming: source.graph.incoming[index].iter().copied().map(number).collect(),
        outgoing: source.graph.outgoing[index].iter().copied().map(number).collect(),
        default: default(source, index).map(number),
        boundaries: source.graph.boundaries[index].iter().copied().map(number).collect(),
        guarded: false,
        mapping,
        marks,
        listeners: Vec::new(),
    }
}

/// Indexes fit: the parser's limit on elements is far below.
pub(super) fn number(index: usize) -> u32 {
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

/// What a node does; `None` if it cannot be said, which is reported, here or by lint.
fn kind(source: &Source<'_>, index: usize) -> Option<NodeKind> {
    let it = source.node(index);
    Some(match &it.kind {
        FlowNodeKind::StartEvent { interrupting } => {
            NodeKind::StartEvent(Start { catch: events::catch(source, index), interrupting: *interrupting })
        }
        FlowNodeKind::IntermediateThrowEvent | FlowNodeKind::EndEvent if task::is_bound(source, index) => {
            NodeKind::Task(Box::new(task::compile(source, index)))
        }
        FlowNodeKind::EndEvent => NodeKind::EndEvent(events::throws(source, index)),
        FlowNodeKind::IntermediateThrowEvent | FlowNodeKind::IntermediateCatchEvent if it.link().is_some() => {
            NodeKind::Link
        }
        FlowNodeKind::IntermediateThrowEvent => NodeKind::ThrowEvent(events::throws(source, index)),
        FlowNodeKind::IntermediateCatchEvent => NodeKind::CatchEvent(events::catch(source, index)),
        FlowNodeKind::BoundaryEvent { cancel_activity, .. } => NodeKind::Boundary(Boundary {
            attached_to: number(source.graph.attached[index]?),
            interrupting: *cancel_activity,
            catch: events::catch(source, index),
        }),
        FlowNodeKind::ExclusiveGateway => NodeKind::ExclusiveGateway,
        FlowNodeKind::InclusiveGateway => NodeKind::InclusiveGateway,
        FlowNodeKind::ParallelGateway => NodeKind::ParallelGateway,
        FlowNodeKind::ComplexGateway { activation_condition } => {
            let condition = activation_condition.as_ref().filter(|it| !it.text.trimmed().is_empty());
            NodeKind::ComplexGateway { activation: condition.and_then(|condition| source.feel(it, condition)) }
        }
        FlowNodeKind::EventBasedGateway { instantiate, parallel } => {
            NodeKind::EventBasedGateway { parallel: *parallel, instantiate: *instantiate }
        }
        FlowNodeKind::ChoreographyTask | FlowNodeKind::SubChoreography | FlowNodeKind::CallChoreography => return None,
        FlowNodeKind::Task
        | FlowNodeKind::ServiceTask { .. }
        | FlowNodeKind::SendTask { .. }
        | FlowNodeKind::ReceiveTask { .. }
        | FlowNodeKind::UserTask
        | FlowNodeKind::ManualTask
        | FlowNodeKind::BusinessRuleTask
        | FlowNodeKind::ScriptTask { .. }
        | FlowNodeKind::CallActivity { .. }
        | FlowNodeKind::SubProcess { .. }
        | FlowNodeKind::Transaction
        | FlowNodeKind::AdHocSubProcess { .. } => return activities::kind(source, index),
    })
}

fn default(source: &Source<'_>, index: usize) -> Option<usize> {
    let process = source.graph.process;
    source.graph.default(index).or_else(|| lint::implicit_default(process, source.graph, source.annotations, index))
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

/// An activity without outgoing flows ends its token there: an end event of its own says so. What a compensation handler
/// does next is the affair of who throws.
fn add_implicit_ends(nodes: &mut Vec<Node>, flows: &mut Vec<Flow>) {
    let mut taken: HashSet<String> = nodes.iter().map(|it| it.id.as_str().to_owned()).collect();
    for index in 0..nodes.len() {
        let compensates = nodes[index].marks.as_ref().is_some_and(|it| it.for_compensation);
        if !super::guard::ends_implicitly(&nodes[index].kind) || compensates || !nodes[index].outgoing.is_empty() {
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
            listeners: Vec::new(),
        });
    }
}

/// The digest of the file of the decision that the node makes.
pub(super) fn decision_file(source: &Source<'_>, index: usize) -> Option<Digest> {
    let decides = matches!(source.node(index).kind, FlowNodeKind::BusinessRuleTask);
    match decides.then(|| kind(source, index))?? {
        NodeKind::Evaluate(evaluation) => match *evaluation {
            Evaluation::Decision { file, .. } => file,
            Evaluation::Nothing | Evaluation::Script { .. } => None,
        },
        _ => None,
    }
}

/// The digests of the forms beside the model that the node may show. One that stands in the model is of its content already.
pub(super) fn forms(source: &Source<'_>, index: usize) -> Vec<Digest> {
    let shows = matches!(source.node(index).kind, FlowNodeKind::UserTask);
    let Some(NodeKind::UserTask(task)) = shows.then(|| kind(source, index)).flatten() else { return Vec::new() };
    match task.form {
        Some(Template::Feel(_)) => source.options.forms.iter().map(Form::digest).collect(),
        Some(Template::Static(_)) | None => task.fields.into_iter().collect(),
    }
}
