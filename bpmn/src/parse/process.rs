//! A process: its flow elements, lanes, data and artifacts, sub-processes included.
//!
//! The tree lists a process in document order, so one pass over it meets a sub-process before
//! what stands in it, and no nesting needs a stack.

use std::collections::HashMap;

use super::canonical::Roots;
use super::tree::{Ids, Tree};
use super::{definitions, node};
use crate::model::{Artifact, DataElement, Expression, FlowNode, FlowNodeKind, Lane, Namespace, Process, SequenceFlow};

/// Builds the process whose element is `at`.
pub(super) fn build(tree: &Tree, at: usize, roots: &mut Roots<'_>, ids: &mut Ids) -> Process {
    let root = tree.node(at);
    let (id, id_given) = ids.of(root);
    let mut process = Process {
        id,
        id_given,
        name: root.owned("name"),
        executable: root.flag("isExecutable"),
        position: root.position,
        extensions: tree.extensions(at),
        content: roots.digest(at),
        ..Process::default()
    };
    let mut containers: HashMap<usize, Option<usize>> = HashMap::from([(at, None)]);
    for index in at + 1..root.end {
        if let Some(parent) = containers.get(&tree.node(index).parent).copied() {
            let before = process.nodes.len();
            add(tree, index, parent, &mut process, ids);
            let container = process.nodes.get(before);
            if container.is_some_and(|it| it.kind.is_container()) {
                containers.insert(index, Some(before));
            }
        }
    }
    connect_links(&mut process);
    process
}

/// A process that does nothing but the global task whose element is `at`.
pub(super) fn of_global_task(tree: &Tree, at: usize, roots: &mut Roots<'_>, ids: &mut Ids) -> Option<Process> {
    let root = tree.node(at);
    let kind = node::global_kind(tree, at)?;
    let (id, id_given) = ids.of(root);
    let event = |kind, name: &str| FlowNode::new(format!("{id}-{name}"), kind, root.position);
    let mut task = node::build(tree, at, kind, None, ids);
    task.id = format!("{id}-task");
    task.id_given = true;
    let flow = |from: &str, to: &str| SequenceFlow {
        id: format!("{id}-{from}-{to}"),
        id_given: true,
        source: format!("{id}-{from}"),
        target: format!("{id}-{to}"),
        position: root.position,
        ..SequenceFlow::default()
    };
    Some(Process {
        name: root.owned("name"),
        executable: Some(true),
        position: root.position,
        content: roots.digest(at),
        nodes: vec![
            event(FlowNodeKind::StartEvent { interrupting: true }, "start"),
            task,
            event(FlowNodeKind::EndEvent, "end"),
        ],
        flows: vec![flow("start", "task"), flow("task", "end")],
        id,
        id_given,
        ..Process::default()
    })
}

/// Draws a flow from each link throw event to the catch event of its name in the same scope.
fn connect_links(process: &mut Process) {
    let mut catches: HashMap<(Option<usize>, &str), usize> = HashMap::new();
    for (index, node) in process.nodes.iter().enumerate() {
        if let (FlowNodeKind::IntermediateCatchEvent, Some(name)) = (&node.kind, node.link()) {
            catches.entry((node.parent, name)).or_insert(index);
        }
    }
    let throws = process.nodes.iter().filter(|it| matches!(it.kind, FlowNodeKind::IntermediateThrowEvent));
    let links: Vec<SequenceFlow> = throws
        .filter_map(|throw| {
            let catch = &process.nodes[*catches.get(&(throw.parent, throw.link()?))?];
            Some(SequenceFlow {
                id: format!("{}-to-{}", throw.id, catch.id),
                id_given: true,
                source: throw.id.clone(),
                target: catch.id.clone(),
                parent: throw.parent,
                link: true,
                position: throw.position,
                ..SequenceFlow::default()
            })
        })
        .collect();
    process.flows.extend(links);
}

fn add(tree: &Tree, at: usize, parent: Option<usize>, process: &mut Process, ids: &mut Ids) {
    let it = tree.node(at);
    if it.namespace != Namespace::Bpmn {
        keep(tree, at, parent, process);
        return;
    }
    if let Some(kind) = node::kind(tree, at) {
        process.nodes.push(node::build(tree, at, kind, parent, ids));
        return;
    }
    match it.name.as_str() {
        "sequenceFlow" => process.flows.push(flow(tree, at, parent, ids)),
        "laneSet" if parent.is_none() => add_lanes(tree, at, process, ids),
        "dataObject" | "dataObjectReference" | "dataStoreReference" | "property" => {
            process.data.push(DataElement { id: it.owned("id"), parent, element: tree.element(at) });
        }
        "textAnnotation" => process.artifacts.push(Artifact::TextAnnotation(definitions::annotation(tree, at, ids))),
        "association" => process.artifacts.push(Artifact::Association(definitions::association(tree, at, ids))),
        "group" => process.artifacts.push(Artifact::Group(tree.element(at))),
        "documentation" if parent.is_none() => process.documentation.push(it.text.trimmed().to_owned()),
        _ => keep(tree, at, parent, process),
    }
}

/// What stands in a sub-process and is no flow element was kept with the sub-process itself.
fn keep(tree: &Tree, at: usize, parent: Option<usize>, process: &mut Process) {
    if parent.is_none() && !tree.node(at).is_bpmn("extensionElements") {
        process.details.push(tree.element(at));
    }
}

fn flow(tree: &Tree, at: usize, parent: Option<usize>, ids: &mut Ids) -> SequenceFlow {
    let it = tree.node(at);
    let (id, id_given) = ids.of(it);
    SequenceFlow {
        id,
        id_given,
        name: it.owned("name"),
        source: it.owned("sourceRef").unwrap_or_default(),
        target: it.owned("targetRef").unwrap_or_default(),
        condition: tree.child(at, "conditionExpression").map(|child| expression(tree, child)),
        parent,
        link: false,
        extensions: tree.extensions(at),
        position: it.position,
    }
}

/// The expression whose element is `at`.
pub(super) fn expression(tree: &Tree, at: usize) -> Expression {
    let it = tree.node(at);
    Expression {
        text: it.text.clone(),
        language: it.owned("language"),
        attributes: it.foreign_attributes(),
        position: it.position,
    }
}

/// All lanes below a lane set, nested ones included, in document order.
fn add_lanes(tree: &Tree, at: usize, process: &mut Process, ids: &mut Ids) {
    for index in at + 1..tree.node(at).end {
        let it = tree.node(index);
        if it.is_bpmn("lane") {
            process.lanes.push(Lane {
                id: ids.of(it).0,
                name: it.owned("name"),
                flow_nodes: tree
                    .children(index)
                    .filter(|child| tree.node(*child).is_bpmn("flowNodeRef"))
                    .map(|child| tree.node(child).text.trimmed().to_owned())
                    .collect(),
                position: it.position,
            });
        }
    }
}
