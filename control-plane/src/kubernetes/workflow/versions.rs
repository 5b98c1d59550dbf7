//! What becomes of the versions of a Workflow that its spec does not name any more. Pure.
//!
//! An earlier version goes on until a later one takes instances; then it takes none any more, and is forgotten when its own have ended. One that never
//! took any goes at once.

use super::status::Seen;
use crate::definitions::State;

/// What is to be done with a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It takes no instances any more.
    Retire,
    /// It is forgotten.
    Renounce,
}

/// From each earlier version that takes instances to the later one of its process that does, too: what leads to the one from outside is to lead to the other.
pub(super) fn heirs<'a>(all: &'a [Seen], current: &[String]) -> Vec<(&'a str, &'a str)> {
    let takes = |it: &&Seen| it.state.accepts();
    let (new, old): (Vec<_>, Vec<_>) = all.iter().filter(takes).partition(|it| current.contains(&it.deployment));
    let heir = |old: &&'a Seen| new.iter().find(|it| it.process == old.process).map(|it| it.deployment.as_str());
    old.iter().filter_map(|it| Some((it.deployment.as_str(), heir(it)?))).collect()
}

/// What is to be done with those that are not `current`.
pub(super) fn steps<'a>(all: &'a [Seen], current: &[String]) -> Vec<(&'a str, Step)> {
    let (new, old): (Vec<_>, Vec<_>) = all.iter().partition(|it| current.contains(&it.deployment));
    let replaced = !new.is_empty() && new.len() == current.len() && new.iter().all(|it| it.state.accepts());
    let step = |it: &&'a Seen| {
        let step = match it.state {
            State::Stopped => Step::Renounce,
            State::Stopping if it.retired => return None,
            State::Starting | State::Error => Step::Retire,
            State::Running | State::Degraded | State::Stopping if replaced => Step::Retire,
            State::Running | State::Degraded | State::Stopping => return None,
        };
        Some((it.deployment.as_str(), step))
    };
    old.iter().filter_map(step).collect()
}

/// What is to be done with all of them when their Workflow is deleted.
pub(super) fn leave(all: &[Seen]) -> Vec<(&str, Step)> {
    let step = |it: &Seen| match it.state {
        State::Stopped => Some(Step::Renounce),
        State::Stopping => None,
        State::Starting | State::Running | State::Degraded | State::Error => Some(Step::Retire),
    };
    all.iter().filter_map(|it| Some((it.deployment.as_str(), step(it)?))).collect()
}
