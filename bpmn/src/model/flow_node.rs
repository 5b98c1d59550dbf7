//! Flow nodes: every kind of the standard, one variant each.
//!
//! There is no catch-all in any `match` over [`FlowNodeKind`]: a new kind makes the compiler name
//! each place that must decide about it.

use super::{Element, EventDefinition, EventDefinitionKind, Expression, Extensions, Position};

/// A node of the graph: event, activity or gateway.
#[derive(Debug, Clone)]
pub struct FlowNode {
    /// `id`; generated from kind and number if the file gives none.
    pub id: String,
    /// Whether the file gives the id.
    pub id_given: bool,
    /// `name`.
    pub name: Option<String>,
    /// Where the element starts.
    pub position: Position,
    /// The kind, with the attributes that only this kind has.
    pub kind: FlowNodeKind,
    /// The sub-process it stands in (index into [`super::Process::nodes`]); `None`: the process.
    pub parent: Option<usize>,
    /// Flows that `bpmn:incoming` names (redundant; the flows decide).
    pub incoming: Vec<String>,
    /// Flows that `bpmn:outgoing` names (redundant; the flows decide).
    pub outgoing: Vec<String>,
    /// `default`: the flow taken if no condition holds.
    pub default: Option<String>,
    /// The event definitions of an event; those at the root that it refers to stand behind its own.
    pub event_definitions: Vec<EventDefinition>,
    /// `eventDefinitionRef`: event definitions at the root, as written.
    pub event_definition_refs: Vec<String>,
    /// `parallelMultiple`.
    pub parallel_multiple: bool,
    /// Loop or multi-instance marker.
    pub loop_characteristics: Option<LoopCharacteristics>,
    /// `isForCompensation`.
    pub is_for_compensation: bool,
    /// `startQuantity` as written; absent: 1.
    pub start_quantity: Option<String>,
    /// `completionQuantity` as written; absent: 1.
    pub completion_quantity: Option<String>,
    /// Texts of `bpmn:documentation`.
    pub documentation: Vec<String>,
    /// Extension elements and foreign attributes.
    pub extensions: Extensions,
    /// Whatever else BPMN puts there (ioSpecification, data associations, properties, resources).
    pub details: Vec<Element>,
}

impl FlowNode {
    /// A node of which nothing is known but its id, its kind and its place.
    pub(crate) fn new(id: String, kind: FlowNodeKind, position: Position) -> Self {
        Self {
            id,
            id_given: true,
            name: None,
            position,
            kind,
            parent: None,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            default: None,
            event_definitions: Vec::new(),
            event_definition_refs: Vec::new(),
            parallel_multiple: false,
            loop_characteristics: None,
            is_for_compensation: false,
            start_quantity: None,
            completion_quantity: None,
            documentation: Vec::new(),
            extensions: Extensions::default(),
            details: Vec::new(),
        }
    }

    /// The name of its link, if it is a link event.
    pub fn link(&self) -> Option<&str> {
        self.event_definitions.iter().find_map(|it| match &it.kind {
            EventDefinitionKind::Link { name } => Some(name.as_deref().unwrap_or_default().trim()),
            _ => None,
        })
    }

    /// Whether one of its event definitions is of a kind.
    pub(crate) fn defines(&self, found: impl Fn(&EventDefinitionKind) -> bool) -> bool {
        self.event_definitions.iter().any(|it| found(&it.kind))
    }
}

/// The kinds of flow node (BPMN 2.0.2, 10.3, 10.5, 10.6, and 11.5 for choreographies).
#[derive(Debug, Clone)]
pub enum FlowNodeKind {
    /// `startEvent`.
    StartEvent {
        /// `isInterrupting` (of an event sub-process); true unless said otherwise.
        interrupting: bool,
    },
    /// `intermediateCatchEvent`.
    IntermediateCatchEvent,
    /// `intermediateThrowEvent`.
    IntermediateThrowEvent,
    /// `boundaryEvent`.
    BoundaryEvent {
        /// `attachedToRef`.
        attached_to: Option<String>,
        /// `cancelActivity`; true unless said otherwise.
        cancel_activity: bool,
    },
    /// `endEvent`.
    EndEvent,
    /// `task` (undefined).
    Task,
    /// `serviceTask`.
    ServiceTask {
        /// `operationRef`.
        operation_ref: Option<String>,
    },
    /// `sendTask`.
    SendTask {
        /// `messageRef`.
        message_ref: Option<String>,
        /// `operationRef`.
        operation_ref: Option<String>,
    },
    /// `receiveTask`.
    ReceiveTask {
        /// `messageRef`.
        message_ref: Option<String>,
        /// `instantiate`.
        instantiate: bool,
    },
    /// `userTask`.
    UserTask,
    /// `manualTask`.
    ManualTask,
    /// `businessRuleTask`.
    BusinessRuleTask,
    /// `scriptTask`.
    ScriptTask {
        /// `scriptFormat`.
        format: Option<String>,
        /// `script`.
        script: Option<Expression>,
    },
    /// `callActivity`.
    CallActivity {
        /// `calledElement`.
        called_element: Option<String>,
    },
    /// `subProcess`, embedded or an event sub-process.
    SubProcess {
        /// `triggeredByEvent`.
        triggered_by_event: bool,
    },
    /// `transaction`.
    Transaction,
    /// `adHocSubProcess`.
    AdHocSubProcess {
        /// `ordering="Sequential"`.
        sequential: bool,
        /// `cancelRemainingInstances`; true unless said otherwise.
        cancel_remaining: bool,
        /// `completionCondition`.
        completion_condition: Option<Expression>,
    },
    /// `exclusiveGateway`.
    ExclusiveGateway,
    /// `inclusiveGateway`.
    InclusiveGateway,
    /// `parallelGateway`.
    ParallelGateway,
    /// `complexGateway`.
    ComplexGateway {
        /// `activationCondition`.
        activation_condition: Option<Expression>,
    },
    /// `eventBasedGateway`.
    EventBasedGateway {
        /// `instantiate`.
        instantiate: bool,
        /// `eventGatewayType="Parallel"`.
        parallel: bool,
    },
    /// `choreographyTask`.
    ChoreographyTask,
    /// `subChoreography`.
    SubChoreography,
    /// `callChoreography`.
    CallChoreography,
}

/// What repeats an activity.
#[derive(Debug, Clone)]
pub enum LoopCharacteristics {
    /// `standardLoopCharacteristics`.
    Standard {
        /// `testBefore`.
        test_before: bool,
        /// `loopMaximum` as written.
        maximum: Option<String>,
        /// `loopCondition`.
        condition: Option<Expression>,
        /// Where the element starts.
        position: Position,
    },
    /// `multiInstanceLoopCharacteristics`.
    MultiInstance {
        /// `isSequential`.
        sequential: bool,
        /// `loopCardinality`.
        cardinality: Option<Expression>,
        /// `completionCondition`.
        completion_condition: Option<Expression>,
        /// `behavior`: `None`, `One`, `All` or `Complex`.
        behavior: Option<String>,
        /// The element as it stands: data references, behaviour events, extensions.
        element: Box<Element>,
    },
}

impl LoopCharacteristics {
    /// Where the marker's element starts.
    pub fn position(&self) -> Position {
        match self {
            Self::Standard { position, .. } => *position,
            Self::MultiInstance { element, .. } => element.position,
        }
    }
}

impl FlowNodeKind {
    /// The element's name in the schema.
    pub fn element_name(&self) -> &'static str {
        match self {
            Self::StartEvent { .. } => "startEvent",
            Self::IntermediateCatchEvent => "intermediateCatchEvent",
            Self::IntermediateThrowEvent => "intermediateThrowEvent",
            Self::BoundaryEvent { .. } => "boundaryEvent",
            Self::EndEvent => "endEvent",
            Self::Task => "task",
            Self::ServiceTask { .. } => "serviceTask",
            Self::SendTask { .. } => "sendTask",
            Self::ReceiveTask { .. } => "receiveTask",
            Self::UserTask => "userTask",
            Self::ManualTask => "manualTask",
            Self::BusinessRuleTask => "businessRuleTask",
            Self::ScriptTask { .. } => "scriptTask",
            Self::CallActivity { .. } => "callActivity",
            Self::SubProcess { .. } => "subProcess",
            Self::Transaction => "transaction",
            Self::AdHocSubProcess { .. } => "adHocSubProcess",
            Self::ExclusiveGateway => "exclusiveGateway",
            Self::InclusiveGateway => "inclusiveGateway",
            Self::ParallelGateway => "parallelGateway",
            Self::ComplexGateway { .. } => "complexGateway",
            Self::EventBasedGateway { .. } => "eventBasedGateway",
            Self::ChoreographyTask => "choreographyTask",
            Self::SubChoreography => "subChoreography",
            Self::CallChoreography => "callChoreography",
        }
    }

    /// The kind in words, for messages: "service task".
    pub fn word(&self) -> &'static str {
        match self {
            Self::StartEvent { .. } => "start event",
            Self::IntermediateCatchEvent => "intermediate catch event",
            Self::IntermediateThrowEvent => "intermediate throw event",
            Self::BoundaryEvent { .. } => "boundary event",
            Self::EndEvent => "end event",
            Self::Task => "undefined task",
            Self::ServiceTask { .. } => "service task",
            Self::SendTask { .. } => "send task",
            Self::ReceiveTask { .. } => "receive task",
            Self::UserTask => "user task",
            Self::ManualTask => "manual task",
            Self::BusinessRuleTask => "business rule task",
            Self::ScriptTask { .. } => "script task",
            Self::CallActivity { .. } => "call activity",
            Self::SubProcess { triggered_by_event: true } => "event sub-process",
            Self::SubProcess { .. } => "sub-process",
            Self::Transaction => "transaction",
            Self::AdHocSubProcess { .. } => "ad-hoc sub-process",
            Self::ExclusiveGateway => "exclusive gateway",
            Self::InclusiveGateway => "inclusive gateway",
            Self::ParallelGateway => "parallel gateway",
            Self::ComplexGateway { .. } => "complex gateway",
            Self::EventBasedGateway { .. } => "event-based gateway",
            Self::ChoreographyTask => "choreography task",
            Self::SubChoreography => "sub-choreography",
            Self::CallChoreography => "call choreography",
        }
    }

    /// Whether it is an activity (a task, a call activity or some sub-process).
    pub fn is_activity(&self) -> bool {
        !self.is_event() && !self.is_gateway()
    }

    /// Whether it is an event.
    pub fn is_event(&self) -> bool {
        matches!(
            self,
            Self::StartEvent { .. }
                | Self::IntermediateCatchEvent
                | Self::IntermediateThrowEvent
                | Self::BoundaryEvent { .. }
                | Self::EndEvent
        )
    }

    /// Whether it is a gateway.
    pub fn is_gateway(&self) -> bool {
        matches!(
            self,
            Self::ExclusiveGateway
                | Self::InclusiveGateway
                | Self::ParallelGateway
                | Self::ComplexGateway { .. }
                | Self::EventBasedGateway { .. }
        )
    }

    /// Whether it holds flow elements of its own.
    pub fn is_container(&self) -> bool {
        matches!(
            self,
            Self::SubProcess { .. } | Self::Transaction | Self::AdHocSubProcess { .. } | Self::SubChoreography
        )
    }
}
