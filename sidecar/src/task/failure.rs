//! Why a call has no answer.

/// Why a call has no answer. What it means for the token is the caller's decision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// No connection could be made, so the task has seen nothing: it is down.
    #[error("the task cannot be reached at {authority}: {reason}")]
    Refused {
        /// Host and port.
        authority: String,
        /// What the system says.
        reason: String,
    },
    /// The connection broke; the task may have done its work.
    #[error("the task closed the connection before its answer was complete: {0}")]
    Reset(String),
    /// The answer was not complete by the deadline; the task may have done its work.
    #[error("the task did not answer in time")]
    TimedOut,
    /// The answer is larger than allowed.
    #[error("the task's answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// What came is not an HTTP answer.
    #[error("the task's answer is not HTTP: {0}")]
    Garbage(String),
    /// The call cannot be made as it is described.
    #[error("cannot call the task: {0}")]
    Invalid(String),
}
