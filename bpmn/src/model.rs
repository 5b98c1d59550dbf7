//! The BPMN 2.0 metamodel as it is read from a file, under the standard's own names.
//!
//! The model is permissive: it holds every element of the standard and whatever extensions a
//! vendor put beside them, whether or not they can be executed, and it keeps dangling references
//! as the text they are. Checks come after (`lint`), and can so point at each mistake
//! with its id and place. Each flow element of a process, however deep in sub-processes, lives in
//! one list in document order and names the sub-process it belongs to, so nothing here recurses.

use std::collections::HashMap;

mod element;
mod event;
mod extension;
mod flow_node;
mod process;

pub(crate) use element::advance;
pub use element::{Attribute, Element, Namespace, Position, Text};
pub use event::{EventDefinition, EventDefinitionKind};
pub use extension::{Extensions, Header, IoMapping, TaskDefinition};
pub use flow_node::{FlowNode, FlowNodeKind, LoopCharacteristics};
pub use process::{Artifact, Association, DataElement, Expression, Lane, Process, SequenceFlow, TextAnnotation};

/// The root of a BPMN file (`bpmn:definitions`).
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    /// `id`, if given.
    pub id: Option<String>,
    /// `targetNamespace`.
    pub target_namespace: Option<String>,
    /// `expressionLanguage`: the language of expressions that name none.
    pub expression_language: Option<String>,
    /// Where the element starts.
    pub position: Position,
    /// The processes, in document order.
    pub processes: Vec<Process>,
    /// The collaborations (at most one in practice).
    pub collaborations: Vec<Collaboration>,
    /// `bpmn:message`.
    pub messages: Roots,
    /// `bpmn:error`; `code` holds `errorCode`.
    pub errors: Roots,
    /// `bpmn:signal`.
    pub signals: Roots,
    /// `bpmn:escalation`; `code` holds `escalationCode`.
    pub escalations: Roots,
    /// `bpmn:itemDefinition`.
    pub item_definitions: Roots,
    /// Event definitions at the root, for `eventDefinitionRef`.
    pub event_definitions: Vec<EventDefinition>,
    /// Global tasks, each as a process that does nothing but this task: so call activities find it.
    pub global_tasks: Vec<Process>,
    /// Every other root element (interface, correlationProperty, category, dataStore, import,
    /// global tasks, choreography ...) as it stands.
    pub others: Vec<Element>,
}

/// A root element that events and tasks refer to by id.
#[derive(Debug, Clone, Default)]
pub struct RootElement {
    /// `id`; generated if the file gives none.
    pub id: String,
    /// `name`.
    pub name: Option<String>,
    /// `errorCode` or `escalationCode`.
    pub code: Option<String>,
    /// `itemRef` or `structureRef`.
    pub structure_ref: Option<String>,
    /// Extension elements and foreign attributes.
    pub extensions: Extensions,
    /// Where the element starts.
    pub position: Position,
}

/// A collaboration: pools and the messages between them.
#[derive(Debug, Clone, Default)]
pub struct Collaboration {
    /// `id`, if given.
    pub id: Option<String>,
    /// Where the element starts.
    pub position: Position,
    /// The pools.
    pub participants: Vec<Participant>,
    /// The message flows.
    pub message_flows: Vec<MessageFlow>,
    /// Text annotations drawn outside the pools.
    pub annotations: Vec<TextAnnotation>,
    /// Associations drawn outside the pools.
    pub associations: Vec<Association>,
    /// Whatever else stands there (correlation keys, conversations, groups).
    pub others: Vec<Element>,
}

/// A pool.
#[derive(Debug, Clone, Default)]
pub struct Participant {
    /// `id`; generated if the file gives none.
    pub id: String,
    /// `name`.
    pub name: Option<String>,
    /// `processRef`; absent for a black box.
    pub process_ref: Option<String>,
    /// Where the element starts.
    pub position: Position,
}

/// A message flow between pools.
#[derive(Debug, Clone, Default)]
pub struct MessageFlow {
    /// `id`; generated if the file gives none.
    pub id: String,
    /// `name`.
    pub name: Option<String>,
    /// `sourceRef`.
    pub source: String,
    /// `targetRef`.
    pub target: String,
    /// `messageRef`.
    pub message_ref: Option<String>,
    /// Where the element starts.
    pub position: Position,
}

/// Root elements of one kind, found by id.
#[derive(Debug, Clone, Default)]
pub struct Roots {
    list: Vec<RootElement>,
    by_id: HashMap<String, usize>,
}

impl Roots {
    pub(crate) fn push(&mut self, element: RootElement) {
        self.by_id.entry(element.id.clone()).or_insert(self.list.len());
        self.list.push(element);
    }

    /// All of them, in document order.
    pub fn iter(&self) -> impl Iterator<Item = &RootElement> {
        self.list.iter()
    }

    /// The one that `reference` names: an id, or a QName whose prefix is ignored.
    pub fn find(&self, reference: &str) -> Option<&RootElement> {
        let index = self.by_id.get(reference).or_else(|| self.by_id.get(local_reference(reference)))?;
        self.list.get(*index)
    }
}

/// A QName reference without its prefix: BPMN refers to root elements by QName, and most
/// writers leave the prefix out.
pub(crate) fn local_reference(reference: &str) -> &str {
    reference.rsplit_once(':').map_or(reference, |(_, local)| local)
}
