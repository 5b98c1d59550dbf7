//! How the program ends: the exit codes scripts rely on, and the error that carries one.
//!
//! Everything that goes wrong is an [`anyhow::Error`]; if a [`Failure`] is in its chain the process ends
//! with that code and prints its hint, else with [`Exit::Error`]. Nothing else chooses an exit code.

use std::process::ExitCode;

/// Exit codes of flowctl. Fixed: programs of other people look at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Everything asked for has happened.
    Ok = 0,
    /// Something asked for did not happen.
    Error = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The deployment, instance or element does not exist.
    NotFound = 3,
    /// It did not happen in the time allowed.
    TimedOut = 4,
    /// The instance ended otherwise than by completing, or waits as an incident.
    NotCompleted = 5,
    /// The model has diagnostics of severity error, or data does not fit a form (EX_DATAERR).
    Invalid = 65,
}

impl Exit {
    /// The graver of two outcomes of one command: the first one that is not [`Exit::Ok`].
    pub(crate) fn and(self, later: Exit) -> Exit {
        if self == Exit::Ok { later } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A failure whose exit code is not plain 1, or for which there is advice to give.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What was attempted, on what, and what was wrong.
    pub(crate) message: String,
    /// What to do next; empty if there is nothing to say.
    pub(crate) hint: String,
}

impl Failure {
    /// A failure without advice.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: String::new() }
    }

    /// A command line that cannot be carried out.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// The exit code an error stands for.
///
/// A reader that has gone away (`flowctl ps | head`) is no failure.
pub(crate) fn code_of(error: &anyhow::Error) -> Exit {
    let reader_gone = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(reader_gone) {
        return Exit::Ok;
    }
    find(error).map_or(Exit::Error, |failure| failure.exit)
}

/// What to do next about an error; empty if nobody said.
pub(crate) fn hint_of(error: &anyhow::Error) -> &str {
    find(error).map_or("", |failure| failure.hint.as_str())
}

fn find(error: &anyhow::Error) -> Option<&Failure> {
    error.chain().find_map(|cause| cause.downcast_ref::<Failure>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_failure_keeps_its_code_under_context() {
        let error =
            anyhow::Error::new(Failure::new(Exit::NotFound, "no instance x").hint("look")).context("while waiting");
        assert_eq!(code_of(&error), Exit::NotFound);
        assert_eq!(hint_of(&error), "look");
    }

    #[test]
    fn any_other_error_is_one() {
        assert_eq!(code_of(&anyhow::anyhow!("broken")), Exit::Error);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let gone: Result<(), _> = Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        let error = gone.context("while writing the answer").expect_err("it is an error");
        assert_eq!(code_of(&error), Exit::Ok);
    }

    #[test]
    fn the_first_failure_of_a_command_decides() {
        assert_eq!(Exit::Ok.and(Exit::NotFound).and(Exit::Error), Exit::NotFound);
    }
}
