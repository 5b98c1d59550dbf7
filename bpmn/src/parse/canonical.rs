//! The content hash of a process: over the process and the root elements it refers to, in a form
//! that formatting, drawings, comments, the order of attributes and the choice of prefixes do not
//! change. Every edit that a reader of the process could notice does change it.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};

use super::tree::{Node, Tree};
use crate::model::{Attribute, Namespace, local_reference};

/// The hash of the process whose element is `at`.
pub(super) fn digest(tree: &Tree, at: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    let language = tree.node(0).attribute("expressionLanguage");
    field(&mut hash, language.unwrap_or_default());
    subtree(&mut hash, tree, at);
    for referenced in references(tree, at) {
        subtree(&mut hash, tree, referenced);
    }
    hash.finalize().into()
}

/// The root elements that the process refers to, directly or through others, in document order.
fn references(tree: &Tree, process: usize) -> Vec<usize> {
    let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
    for root in tree.children(0) {
        let node = tree.node(root);
        let own = node.is_bpmn("process") || node.is_bpmn("collaboration");
        if let (false, Some(id)) = (own, node.attribute("id")) {
            by_id.entry(id).or_insert(root);
        }
    }
    let mut found = HashSet::new();
    let mut pending = vec![process];
    while let Some(at) = pending.pop() {
        for node in &tree.nodes[at..tree.node(at).end] {
            let values = node.attributes.iter().map(|it| it.value.trim());
            for value in values.chain([node.text.trimmed()]) {
                let named = by_id.get(value).or_else(|| by_id.get(local_reference(value)));
                if let Some(root) = named.filter(|root| found.insert(**root)) {
                    pending.push(*root);
                }
            }
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_unstable();
    found
}

fn subtree(hash: &mut Sha256, tree: &Tree, at: usize) {
    for index in at..tree.node(at).end {
        let node = tree.node(index);
        let inside = index - at;
        let parent = if inside == 0 { 0 } else { node.parent - at };
        hash.update((parent as u64).to_be_bytes());
        element(hash, node);
    }
}

fn element(hash: &mut Sha256, node: &Node) {
    field(hash, node.namespace.label());
    field(hash, &node.name);
    let mut attributes: Vec<_> =
        node.attributes.iter().map(|it| (it.namespace.label(), it.name.as_str(), value(it))).collect();
    attributes.sort_unstable();
    hash.update((attributes.len() as u64).to_be_bytes());
    for (namespace, name, value) in attributes {
        field(hash, namespace);
        field(hash, name);
        field(hash, value);
    }
    field(hash, node.text.trimmed());
}

/// The value; where it is a QName, without its prefix.
fn value(attribute: &Attribute) -> &str {
    let value = attribute.value.trim();
    let is_name = attribute.namespace == Namespace::SchemaInstance
        || (attribute.namespace == Namespace::None && attribute.name.ends_with("Ref"));
    if is_name { local_reference(value) } else { value }
}

fn field(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}
