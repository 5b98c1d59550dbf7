//! The root, its root elements and collaborations.

use std::collections::HashMap;

use super::canonical::Roots;
use super::tree::{Ids, Tree};
use super::{events, process};
use crate::model::{
    Association, Collaboration, Definitions, EventDefinition, MessageFlow, Namespace, Participant, RootElement,
    TextAnnotation, local_reference,
};

/// Builds the model from a tree whose root is `bpmn:definitions`.
pub(super) fn build(tree: &Tree) -> Definitions {
    let root = tree.node(0);
    let mut ids = Ids::default();
    let mut roots = Roots::of(tree);
    let mut definitions = Definitions {
        id: root.owned("id"),
        target_namespace: root.owned("targetNamespace"),
        expression_language: root.owned("expressionLanguage"),
        position: root.position,
        ..Definitions::default()
    };
    for at in tree.children(0) {
        add_root_element(tree, at, &mut definitions, &mut roots, &mut ids);
    }
    resolve_event_definitions(&mut definitions);
    definitions
}

/// Gives each event the definitions at the root that it refers to; those that do not exist stay
/// references only.
fn resolve_event_definitions(definitions: &mut Definitions) {
    let roots: HashMap<&str, &EventDefinition> =
        definitions.event_definitions.iter().filter_map(|it| Some((it.id.as_deref()?, it))).collect();
    for node in definitions.processes.iter_mut().flat_map(|it| &mut it.nodes) {
        for reference in &node.event_definition_refs {
            let found = roots.get(reference.as_str()).or_else(|| roots.get(local_reference(reference)));
            // the id stays that of the root
            let own = found.map(|it| EventDefinition { id: None, ..(*it).clone() });
            node.event_definitions.extend(own);
        }
    }
}

fn add_root_element(tree: &Tree, at: usize, definitions: &mut Definitions, roots: &mut Roots<'_>, ids: &mut Ids) {
    let node = tree.node(at);
    if node.namespace != Namespace::Bpmn {
        definitions.others.push(tree.element(at));
        return;
    }
    match node.name.as_str() {
        "process" => definitions.processes.push(process::build(tree, at, roots, ids)),
        "collaboration" => definitions.collaborations.push(collaboration(tree, at, ids)),
        "message" => definitions.messages.push(root_element(tree, at, ids)),
        "error" => definitions.errors.push(root_element(tree, at, ids)),
        "signal" => definitions.signals.push(root_element(tree, at, ids)),
        "escalation" => definitions.escalations.push(root_element(tree, at, ids)),
        "itemDefinition" => definitions.item_definitions.push(root_element(tree, at, ids)),
        _ => match events::definition(tree, at) {
            Some(event) => definitions.event_definitions.push(event),
            None => {
                definitions.global_tasks.extend(process::of_global_task(tree, at, roots, ids));
                definitions.others.push(tree.element(at));
            }
        },
    }
}

fn root_element(tree: &Tree, at: usize, ids: &mut Ids) -> RootElement {
    let node = tree.node(at);
    RootElement {
        id: ids.of(node).0,
        name: node.owned("name"),
        code: node.owned("errorCode").or_else(|| node.owned("escalationCode")),
        structure_ref: node.owned("itemRef").or_else(|| node.owned("structureRef")),
        extensions: tree.extensions(at),
        position: node.position,
    }
}

fn collaboration(tree: &Tree, at: usize, ids: &mut Ids) -> Collaboration {
    let node = tree.node(at);
    let mut collaboration = Collaboration { id: node.owned("id"), position: node.position, ..Collaboration::default() };
    for child in tree.children(at) {
        let it = tree.node(child);
        match it.name.as_str() {
            _ if it.namespace != Namespace::Bpmn => {
                collaboration.others.push(tree.element(child));
            }
            "participant" => collaboration.participants.push(Participant {
                id: ids.of(it).0,
                name: it.owned("name"),
                process_ref: it.owned("processRef"),
                position: it.position,
            }),
            "messageFlow" => collaboration.message_flows.push(MessageFlow {
                id: ids.of(it).0,
                name: it.owned("name"),
                source: it.owned("sourceRef").unwrap_or_default(),
                target: it.owned("targetRef").unwrap_or_default(),
                message_ref: it.owned("messageRef"),
                position: it.position,
            }),
            "textAnnotation" => collaboration.annotations.push(annotation(tree, child, ids)),
            "association" => collaboration.associations.push(association(tree, child, ids)),
            _ => collaboration.others.push(tree.element(child)),
        }
    }
    collaboration
}

/// A text annotation, in a collaboration or a process.
pub(super) fn annotation(tree: &Tree, at: usize, ids: &mut Ids) -> TextAnnotation {
    let node = tree.node(at);
    TextAnnotation {
        id: ids.of(node).0,
        text: tree.child(at, "text").map(|it| tree.node(it).text.clone()).unwrap_or_default(),
        position: node.position,
    }
}

/// An association, in a collaboration or a process.
pub(super) fn association(tree: &Tree, at: usize, ids: &mut Ids) -> Association {
    let node = tree.node(at);
    Association {
        id: ids.of(node).0,
        source: node.owned("sourceRef").unwrap_or_default(),
        target: node.owned("targetRef").unwrap_or_default(),
        position: node.position,
    }
}
