//! What must be right in a cluster for the mesh to work there, before it is installed and after: each line with what to do.
//!
//! * [`before`]: what an installation needs; [`after`]: what it has made, and whether it works.
//!
//! Changes nothing: a pod that is made to see whether it gets its sidecar is a dry run. What cannot be looked at is a line of its own, never
//! silence.

pub(crate) mod after;
pub(crate) mod before;

use crate::cluster::Error;
use crate::output::check::{Finding, State};

/// How a line ends, when it is not right.
#[derive(Debug)]
pub(crate) struct Wrong {
    state: State,
    detail: String,
    fix: String,
}

/// What is right (a detail worth telling, or nothing), or what is wrong with it.
pub(crate) type Verdict = Result<String, Wrong>;

impl Wrong {
    /// The mesh does not work until it is mended.
    pub(crate) fn failed(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Failed, detail: detail.into(), fix: fix.into() }
    }

    /// The mesh works, and somebody should look.
    pub(crate) fn warning(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Warning, detail: detail.into(), fix: fix.into() }
    }

    /// It cannot be looked at, or there is nothing yet; what to do if that is not as it should be.
    pub(crate) fn skipped(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { state: State::Skipped, detail: detail.into(), fix: fix.into() }
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        match error {
            // who may not look sees neither good nor bad
            Error::Forbidden(_) => Self::skipped(error.to_string(), error.fix()),
            _ => Self::failed(error.to_string(), error.fix()),
        }
    }
}

/// The line of one check.
pub(crate) fn line(section: &'static str, what: impl Into<String>, verdict: Verdict) -> Finding {
    let (state, detail, fix) = match verdict {
        Ok(detail) => (State::Ok, detail, String::new()),
        Err(Wrong { state, detail, fix }) => (state, detail, fix),
    };
    Finding { section, what: what.into(), state, detail, fix }
}

/// The first few names, and how many there are.
fn shortened(names: &[String]) -> String {
    let more = if names.len() > 3 { ", ..." } else { "" };
    format!("{}{more}", names[..names.len().min(3)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    /// It is not right, for this reason, and there is this to do.
    pub(super) fn wrong(verdict: Verdict, detail: &str, fix: &str) {
        let found = verdict.expect_err("it is not right");
        assert!(found.detail.contains(detail), "{found:?}");
        assert!(found.fix.contains(fix), "{found:?}");
    }
}
