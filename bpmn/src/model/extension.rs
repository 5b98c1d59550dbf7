//! Extension elements: kept as they stand, with typed access to what the compiler reads.
//!
//! Nothing is dropped: an extension without an accessor here is still in
//! [`Extensions::elements`], so that a check can name it.

use super::{Attribute, Element, Namespace, Position};

/// The extension elements of one BPMN element, and its attributes in foreign namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The children of `bpmn:extensionElements`.
    pub elements: Vec<Element>,
    /// Attributes in other namespaces than BPMN (`camunda:asyncBefore` ...).
    pub attributes: Vec<Attribute>,
}

/// `zeebe:taskDefinition`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDefinition<'a> {
    /// `type`: the name under which the task's service is bound.
    pub task_type: Option<&'a str>,
    /// `retries`: how often a failed call is made, as written.
    pub retries: Option<&'a str>,
    /// Where the element starts.
    pub position: Position,
}

/// `zeebe:header`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// `key`.
    pub key: &'a str,
    /// `value`.
    pub value: &'a str,
    /// Where the element starts.
    pub position: Position,
}

/// One input or output of `zeebe:ioMapping`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoMapping<'a> {
    /// Whether it is an output.
    pub output: bool,
    /// `source`: an expression if it starts with `=`.
    pub source: &'a str,
    /// `target`: the variable's name.
    pub target: &'a str,
    /// Where the element starts.
    pub position: Position,
}

impl Extensions {
    /// The first extension element in `namespace` called `name`.
    pub fn find(&self, namespace: &Namespace, name: &str) -> Option<&Element> {
        self.elements.iter().find(|it| it.namespace == *namespace && it.name == name)
    }

    /// `zeebe:taskDefinition`, if there is one.
    pub fn task_definition(&self) -> Option<TaskDefinition<'_>> {
        let element = self.find(&Namespace::Zeebe, "taskDefinition")?;
        Some(TaskDefinition {
            task_type: element.attribute("type"),
            retries: element.attribute("retries"),
            position: element.position,
        })
    }

    /// The headers of `zeebe:taskHeaders`.
    pub fn task_headers(&self) -> Vec<Header<'_>> {
        Self::headers_of(self.find(&Namespace::Zeebe, "taskHeaders"))
    }

    /// The headers that such elements hold.
    pub(crate) fn headers_of<'e>(headers: impl IntoIterator<Item = &'e Element>) -> Vec<Header<'e>> {
        headers
            .into_iter()
            .flat_map(|it| it.children_named(&Namespace::Zeebe, "header"))
            .map(|it| Header {
                key: it.attribute("key").unwrap_or_default(),
                value: it.attribute("value").unwrap_or_default(),
                position: it.position,
            })
            .collect()
    }

    /// The inputs and outputs of `zeebe:ioMapping`.
    pub fn io_mappings(&self) -> Vec<IoMapping<'_>> {
        let mapping = self.find(&Namespace::Zeebe, "ioMapping");
        mapping
            .into_iter()
            .flat_map(|it| &it.children)
            .map(|it| IoMapping {
                output: it.name == "output",
                source: it.attribute("source").unwrap_or_default(),
                target: it.attribute("target").unwrap_or_default(),
                position: it.position,
            })
            .collect()
    }

    /// The value of the foreign attribute `name`.
    pub fn attribute(&self, namespace: &Namespace, name: &str) -> Option<&str> {
        self.attributes.iter().find(|it| it.namespace == *namespace && it.name == name).map(|it| it.value.as_str())
    }
}
