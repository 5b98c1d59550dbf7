//! A process and what stands in it besides flow nodes.

use super::{Element, Extensions, FlowNode, Position, Text};

/// A process: flow nodes, sequence flows, data and artifacts, in document order.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// `id`; generated if the file gives none.
    pub id: String,
    /// Whether the file gives the id.
    pub id_given: bool,
    /// `name`.
    pub name: Option<String>,
    /// `isExecutable`, if given.
    pub executable: Option<bool>,
    /// Where the element starts.
    pub position: Position,
    /// All flow nodes, those in sub-processes included.
    pub nodes: Vec<FlowNode>,
    /// All sequence flows, those in sub-processes included.
    pub flows: Vec<SequenceFlow>,
    /// Lanes, nested ones included.
    pub lanes: Vec<Lane>,
    /// Data objects, data object references, data store references, properties.
    pub data: Vec<DataElement>,
    /// Text annotations, associations, groups.
    pub artifacts: Vec<Artifact>,
    /// Texts of `bpmn:documentation`.
    pub documentation: Vec<String>,
    /// Extension elements and foreign attributes.
    pub extensions: Extensions,
    /// Whatever else BPMN puts there (ioSpecification, resources, correlation subscriptions).
    pub details: Vec<Element>,
    /// SHA-256 over the process and the root elements it refers to, whatever their formatting,
    /// drawing and prefixes.
    pub content: [u8; 32],
}

/// A sequence flow.
#[derive(Debug, Clone, Default)]
pub struct SequenceFlow {
    /// `id`; generated if the file gives none.
    pub id: String,
    /// Whether the file gives the id.
    pub id_given: bool,
    /// `name`.
    pub name: Option<String>,
    /// `sourceRef`.
    pub source: String,
    /// `targetRef`.
    pub target: String,
    /// `conditionExpression`.
    pub condition: Option<Expression>,
    /// The sub-process it stands in; `None`: the process.
    pub parent: Option<usize>,
    /// Not in the file: it connects a link throw event with the catch event of its name (BPMN 10.5.5).
    pub link: bool,
    /// Extension elements and foreign attributes.
    pub extensions: Extensions,
    /// Where the element starts.
    pub position: Position,
}

/// An expression as written, with where it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expression {
    /// The text.
    pub text: Text,
    /// `language`, if given.
    pub language: Option<String>,
    /// Attributes in foreign namespaces (`camunda:resource` ...).
    pub attributes: Vec<super::Attribute>,
    /// Where the element starts.
    pub position: Position,
}

impl Expression {
    /// The place of the byte at `offset` of the trimmed text, else of the element.
    pub fn position_of(&self, offset: usize) -> Position {
        self.text.position_of(offset).unwrap_or(self.position)
    }
}

/// A lane of a pool: drawn, never executed.
#[derive(Debug, Clone, Default)]
pub struct Lane {
    /// `id`; generated if the file gives none.
    pub id: String,
    /// `name`.
    pub name: Option<String>,
    /// `flowNodeRef`.
    pub flow_nodes: Vec<String>,
    /// Where the element starts.
    pub position: Position,
}

/// A data object, data object reference, data store reference or property.
#[derive(Debug, Clone)]
pub struct DataElement {
    /// `id`, if given.
    pub id: Option<String>,
    /// The sub-process it stands in; `None`: the process.
    pub parent: Option<usize>,
    /// The element as it stands.
    pub element: Element,
}

/// A text annotation.
#[derive(Debug, Clone, Default)]
pub struct TextAnnotation {
    /// `id`; generated if the file gives none.
    pub id: String,
    /// `bpmn:text`.
    pub text: Text,
    /// Where the element starts.
    pub position: Position,
}

/// An association between any two things.
#[derive(Debug, Clone, Default)]
pub struct Association {
    /// `id`; generated if the file gives none.
    pub id: String,
    /// `sourceRef`.
    pub source: String,
    /// `targetRef`.
    pub target: String,
    /// Where the element starts.
    pub position: Position,
}

/// An artifact of a process.
#[derive(Debug, Clone)]
pub enum Artifact {
    /// `textAnnotation`.
    TextAnnotation(TextAnnotation),
    /// `association`.
    Association(Association),
    /// `group`, as it stands.
    Group(Element),
}

impl Process {
    /// Whether it holds nothing to execute (a pool drawn as a black box).
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.flows.is_empty()
    }

    /// The text annotations.
    pub fn annotations(&self) -> impl Iterator<Item = &TextAnnotation> {
        self.artifacts.iter().filter_map(|it| match it {
            Artifact::TextAnnotation(annotation) => Some(annotation),
            Artifact::Association(_) | Artifact::Group(_) => None,
        })
    }

    /// The associations.
    pub fn associations(&self) -> impl Iterator<Item = &Association> {
        self.artifacts.iter().filter_map(|it| match it {
            Artifact::Association(association) => Some(association),
            Artifact::TextAnnotation(_) | Artifact::Group(_) => None,
        })
    }
}
