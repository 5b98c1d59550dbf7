//! What can go wrong with an expression: it does not parse, or its evaluation is stopped. Everything else in FEEL is null and a warning.

/// An expression that is not FEEL, or is too long or too deep to be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at offset {offset}: {message}")]
pub struct ParseError {
    /// Where, in bytes from the start of the source.
    pub offset: usize,
    /// What was found and what was expected.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into() }
    }
}

/// An evaluation that was stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The expression took more steps than `Env::fuel` allows.
    #[error("evaluation stopped after {0} steps: simplify the expression or raise its fuel")]
    Fuel(u64),
    /// Calls or values nest deeper than `Env::depth` allows.
    #[error("evaluation stopped: calls or values nest deeper than {0} levels")]
    Depth(u32),
    /// A string or list is larger than any expression may build.
    #[error("evaluation stopped: {0}")]
    Size(String),
    /// `assert` found its condition not true.
    #[error("assertion failed: {0}")]
    Assertion(String),
    /// A Python condition met what Python raises an exception for.
    #[error("python condition: {0}")]
    Python(String),
}
