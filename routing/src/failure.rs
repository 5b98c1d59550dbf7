//! Why a token cannot move: what the operator sees, in the original's words
//! (`error_code`, `error_msg`, input and output of the failed element).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::ElementId;
use crate::payload::Payload;

/// Stable codes; the first five are the original's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureCode {
    /// The task answered with an error, after all attempts.
    FailedTask,
    /// The task could not be reached within its `down_timeout`.
    FailedConnection,
    /// The token's payload does not give what the task's inputs ask for.
    FailedContextInputParsing,
    /// The task's answer does not give what its outputs ask for.
    FailedContextOutputParsing,
    /// An operator cancelled the instance.
    CanceledInstance,
    /// A BPMN error that nothing catches.
    UncaughtError,
    /// No condition held and there is no default flow.
    NoMatchingFlow,
    /// A condition or mapping could not be evaluated.
    ExpressionFailed,
    /// A timer's date or duration could not be read.
    TimerFailed,
    /// No message came within the time that a catch event waits.
    CatchEventExpired,
    /// More folded steps than the budget without reaching a task or a wait.
    StepBudget,
    /// The payload is larger than allowed.
    PayloadTooLarge,
    /// A replica is gone for good with tokens on its disk.
    SidecarLost,
}

impl FailureCode {
    /// The code as it is written in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FailedTask => "FAILED_TASK",
            Self::FailedConnection => "FAILED_CONNECTION",
            Self::FailedContextInputParsing => "FAILED_CONTEXT_INPUT_PARSING",
            Self::FailedContextOutputParsing => "FAILED_CONTEXT_OUTPUT_PARSING",
            Self::CanceledInstance => "CANCELED_INSTANCE",
            Self::UncaughtError => "UNCAUGHT_ERROR",
            Self::NoMatchingFlow => "NO_MATCHING_FLOW",
            Self::ExpressionFailed => "EXPRESSION_FAILED",
            Self::TimerFailed => "TIMER_FAILED",
            Self::CatchEventExpired => "CATCH_EVENT_EXPIRED",
            Self::StepBudget => "STEP_BUDGET",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::SidecarLost => "SIDECAR_LOST",
        }
    }

    /// Every code, for documentation and for reading records.
    pub const ALL: [Self; 13] = [
        Self::FailedTask,
        Self::FailedConnection,
        Self::FailedContextInputParsing,
        Self::FailedContextOutputParsing,
        Self::CanceledInstance,
        Self::UncaughtError,
        Self::NoMatchingFlow,
        Self::ExpressionFailed,
        Self::TimerFailed,
        Self::CatchEventExpired,
        Self::StepBudget,
        Self::PayloadTooLarge,
        Self::SidecarLost,
    ];

    /// Reads what [`Self::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == text)
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What starting a failed element again repeats. A task that has answered is never called again for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// Enter the element with the token's payload: call the task.
    #[default]
    Call,
    /// Map the kept answer (the failure's `output`) into the token's payload, then leave.
    Map,
    /// Leave the element with the token's payload: evaluate its outgoing flows.
    Leave,
}

/// What went wrong at `element`. The element's input is the payload of the token that carries the failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Stable code.
    pub code: FailureCode,
    /// The BPMN error code, when the failure is an uncaught BPMN error.
    pub error_code: Option<String>,
    /// What was attempted, on what, and what to do.
    pub message: String,
    /// The failed element: the task, or the folded element behind it.
    pub element: ElementId,
    /// What starting again repeats.
    pub resume: Resume,
    /// Calls made.
    pub attempts: u32,
    /// HTTP status of the last answer, when there was one.
    pub status: Option<u16>,
    /// The last answer's body (bounded by the caller), when there was one.
    pub output: Option<Payload>,
}

impl Failure {
    /// A failure without an answer to show.
    pub fn new(code: FailureCode, element: &ElementId, message: impl Into<String>) -> Self {
        Self {
            code,
            error_code: None,
            message: message.into(),
            element: element.clone(),
            resume: Resume::Call,
            attempts: 0,
            status: None,
            output: None,
        }
    }
}
