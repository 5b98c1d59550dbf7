//! Event definitions: the ten kinds of the standard (BPMN 2.0.2, 10.5.5).

use super::{Element, Expression, Extensions, Position};

/// What an event waits for, or what it does.
#[derive(Debug, Clone)]
pub struct EventDefinition {
    /// `id`, if given.
    pub id: Option<String>,
    /// Where the element starts.
    pub position: Position,
    /// The kind, with what belongs to it.
    pub kind: EventDefinitionKind,
    /// Extension elements and foreign attributes.
    pub extensions: Extensions,
    /// BPMN children that have no field here.
    pub details: Vec<Element>,
}

/// The ten kinds of event definition.
#[derive(Debug, Clone)]
pub enum EventDefinitionKind {
    /// `messageEventDefinition`.
    Message {
        /// `messageRef`.
        message_ref: Option<String>,
        /// `operationRef`.
        operation_ref: Option<String>,
    },
    /// `timerEventDefinition`.
    Timer {
        /// `timeDate`.
        date: Option<Box<Expression>>,
        /// `timeDuration`.
        duration: Option<Box<Expression>>,
        /// `timeCycle`.
        cycle: Option<Box<Expression>>,
    },
    /// `errorEventDefinition`.
    Error {
        /// `errorRef`; absent: any error.
        error_ref: Option<String>,
    },
    /// `escalationEventDefinition`.
    Escalation {
        /// `escalationRef`; absent: any escalation.
        escalation_ref: Option<String>,
    },
    /// `signalEventDefinition`.
    Signal {
        /// `signalRef`.
        signal_ref: Option<String>,
    },
    /// `conditionalEventDefinition`.
    Conditional {
        /// `condition`.
        condition: Option<Expression>,
    },
    /// `compensateEventDefinition`.
    Compensate {
        /// `activityRef`.
        activity_ref: Option<String>,
        /// `waitForCompletion`; true unless said otherwise.
        wait_for_completion: bool,
    },
    /// `linkEventDefinition`.
    Link {
        /// `name`: what pairs a throw with its catch.
        name: Option<String>,
    },
    /// `cancelEventDefinition`.
    Cancel,
    /// `terminateEventDefinition`.
    Terminate,
}

impl EventDefinitionKind {
    /// The word for messages: `message`, `timer` ...
    pub fn word(&self) -> &'static str {
        match self {
            Self::Message { .. } => "message",
            Self::Timer { .. } => "timer",
            Self::Error { .. } => "error",
            Self::Escalation { .. } => "escalation",
            Self::Signal { .. } => "signal",
            Self::Conditional { .. } => "conditional",
            Self::Compensate { .. } => "compensation",
            Self::Link { .. } => "link",
            Self::Cancel => "cancel",
            Self::Terminate => "terminate",
        }
    }
}

impl EventDefinition {
    /// A definition that stands in generic form, of a kind that an event can throw by reference.
    pub(crate) fn of_element(element: &Element) -> Option<Self> {
        let reference = |name: &str| element.attribute(name).map(str::to_owned);
        let kind = match element.name.as_str() {
            "messageEventDefinition" => {
                EventDefinitionKind::Message { message_ref: reference("messageRef"), operation_ref: None }
            }
            "errorEventDefinition" => EventDefinitionKind::Error { error_ref: reference("errorRef") },
            "escalationEventDefinition" => {
                EventDefinitionKind::Escalation { escalation_ref: reference("escalationRef") }
            }
            "signalEventDefinition" => EventDefinitionKind::Signal { signal_ref: reference("signalRef") },
            "compensateEventDefinition" => EventDefinitionKind::Compensate {
                activity_ref: reference("activityRef"),
                wait_for_completion: reference("waitForCompletion").as_deref() != Some("false"),
            },
            _ => return None,
        };
        let position = element.position;
        Some(Self { id: None, position, kind, extensions: Extensions::default(), details: Vec::new() })
    }
}
