//! The content hash of a process: over the process and the root elements it refers to, in a form
//! that formatting, drawings, comments, the order of attributes and the choice of prefixes do not
//! change. Every edit that a reader of the process could notice does change it.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use super::tree::{Node, Tree};
use crate::model::{Attribute, Namespace, local_reference};

/// The root elements that processes refer to, each hashed once however many do.
pub(super) struct Roots<'t> {
    tree: &'t Tree,
    by_id: HashMap<&'t str, usize>,
    /// `correlationProperty` by what it names: the messages that it is read from do not name it.
    correlations: HashMap<usize, Vec<usize>>,
    known: HashMap<usize, Subtree>,
}

/// The hash of one subtree, and the root elements it names.
struct Subtree {
    hash: [u8; 32],
    names: BTreeSet<usize>,
}

impl<'t> Roots<'t> {
    pub(super) fn of(tree: &'t Tree) -> Self {
        let (mut by_id, mut properties) = (HashMap::new(), Vec::new());
        for root in tree.children(0) {
            let node = tree.node(root);
            let own = node.is_bpmn("process") || node.is_bpmn("collaboration");
            if let (false, Some(id)) = (own, node.attribute("id")) {
                by_id.entry(id).or_insert(root);
            }
            if node.is_bpmn("correlationProperty") {
                properties.push(root);
            }
            if node.is_bpmn("collaboration") {
                let keys = tree.children(root).filter(|it| tree.node(*it).is_bpmn("correlationKey"));
                by_id.extend(keys.filter_map(|it| Some((tree.node(it).attribute("id")?, it))));
            }
        }
        let mut roots = Self { tree, by_id, correlations: HashMap::new(), known: HashMap::new() };
        for property in properties {
            let subtree = roots.subtree(property);
            for named in &subtree.names {
                roots.correlations.entry(*named).or_default().push(property);
            }
            roots.known.insert(property, subtree);
        }
        roots
    }

    /// The hash of the process whose element is `at`.
    pub(super) fn digest(&mut self, at: usize) -> [u8; 32] {
        let process = self.subtree(at);
        let mut hash = Sha256::new();
        field(&mut hash, self.tree.node(0).attribute("expressionLanguage").unwrap_or_default());
        hash.update(process.hash);
        let mut found = process.names.clone();
        let mut pending: Vec<usize> = process.names.into_iter().collect();
        while let Some(root) = pending.pop() {
            if !self.known.contains_key(&root) {
                let subtree = self.subtree(root);
                self.known.insert(root, subtree);
            }
            let correlated = self.correlations.get(&root).into_iter().flatten();
            let names = self.known[&root].names.iter().chain(correlated).copied();
            pending.extend(names.filter(|it| found.insert(*it)));
        }
        for root in found {
            hash.update(self.known[&root].hash);
        }
        hash.finalize().into()
    }

    fn subtree(&self, at: usize) -> Subtree {
        let mut hash = Sha256::new();
        let mut names = BTreeSet::new();
        for index in at..self.tree.node(at).end {
            let node = self.tree.node(index);
            let parent = if index == at { 0 } else { node.parent - at };
            hash.update((parent as u64).to_be_bytes());
            element(&mut hash, node);
            let values = node.attributes.iter().map(|it| it.value.trim()).chain([node.text.trimmed()]);
            names.extend(values.filter_map(|it| self.named(it)));
        }
        Subtree { hash: hash.finalize().into(), names }
    }

    fn named(&self, value: &str) -> Option<usize> {
        self.by_id.get(value).or_else(|| self.by_id.get(local_reference(value))).copied()
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
