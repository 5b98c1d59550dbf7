//! The XML elements of a file as a flat list in document order.
//!
//! A subtree is a contiguous range of the list, so walking needs neither recursion nor a stack.

use crate::model::{Attribute, Element, Extensions, Namespace, Position, Text};

/// One XML element.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) namespace: Namespace,
    pub(super) name: String,
    pub(super) attributes: Vec<Attribute>,
    pub(super) text: Text,
    pub(super) parent: usize,
    /// The index after the last descendant.
    pub(super) end: usize,
    pub(super) position: Position,
}

impl Node {
    /// The value of the BPMN attribute `name`.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|it| it.name == name && matches!(it.namespace, Namespace::None | Namespace::Bpmn))
            .map(|it| it.value.trim())
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.attribute(name).map(str::to_owned)
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.attribute(name)? {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    pub(super) fn is_bpmn(&self, name: &str) -> bool {
        self.namespace == Namespace::Bpmn && self.name == name
    }

    /// Attributes of other namespaces than BPMN and XML Schema instance.
    pub(super) fn foreign_attributes(&self) -> Vec<Attribute> {
        self.attributes
            .iter()
            .filter(|it| !matches!(it.namespace, Namespace::None | Namespace::Bpmn | Namespace::SchemaInstance))
            .cloned()
            .collect()
    }
}

/// All elements of a file; the root is number 0.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

impl Tree {
    pub(super) fn node(&self, at: usize) -> &Node {
        &self.nodes[at]
    }

    /// The direct children of `at`, in document order.
    pub(super) fn children(&self, at: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.nodes[at].end;
        let mut next = at + 1;
        std::iter::from_fn(move || {
            (next < end).then(|| {
                let child = next;
                next = self.nodes[child].end;
                child
            })
        })
    }

    /// The first direct child of `at` in BPMN's namespace called `name`.
    pub(super) fn child(&self, at: usize, name: &str) -> Option<usize> {
        self.children(at).find(|it| self.node(*it).is_bpmn(name))
    }

    /// The subtree at `at` in generic form; built from the leaves up, without recursion.
    pub(super) fn element(&self, at: usize) -> Element {
        let mut pending: Vec<Vec<Element>> = vec![Vec::new(); self.nodes[at].end - at];
        for index in (at + 1..self.nodes[at].end).rev() {
            let element = self.shallow(index, std::mem::take(&mut pending[index - at]));
            pending[self.nodes[index].parent - at].push(element);
        }
        self.shallow(at, std::mem::take(&mut pending[0]))
    }

    fn shallow(&self, at: usize, mut children: Vec<Element>) -> Element {
        children.reverse();
        let node = self.node(at);
        Element {
            namespace: node.namespace.clone(),
            name: node.name.clone(),
            attributes: node.attributes.clone(),
            text: node.text.clone(),
            children,
            position: node.position,
        }
    }

    /// Extension elements and foreign attributes of `at`.
    pub(super) fn extensions(&self, at: usize) -> Extensions {
        let holder = self.child(at, "extensionElements");
        Extensions {
            elements: holder.into_iter().flat_map(|it| self.children(it)).map(|it| self.element(it)).collect(),
            attributes: self.node(at).foreign_attributes(),
        }
    }
}

/// Generates ids for elements that have none: from the kind and a number, so that they depend on
/// neither formatting nor prefixes.
#[derive(Debug, Default)]
pub(super) struct Ids {
    generated: usize,
}

impl Ids {
    /// The id of `node`, and whether the file gives it.
    pub(super) fn of(&mut self, node: &Node) -> (String, bool) {
        match node.attribute("id") {
            Some(id) if !id.is_empty() => (id.to_owned(), true),
            _ => {
                self.generated += 1;
                (format!("{}-{}", node.name, self.generated), false)
            }
        }
    }
}
