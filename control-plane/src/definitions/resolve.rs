//! From what an operator typed to a deployment: its id, a process id (the newest that runs), or a unique part of an id.

use std::collections::BTreeSet;

use routing::{DeploymentId, Timestamp};

use super::{Deployment, State};

/// Why nothing, or not one thing, is meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unresolved {
    /// Nothing matches.
    #[error("no deployment matches {0:?}; `flowctl ps -d` lists them")]
    Unknown(String),
    /// Several match.
    #[error("{text:?} matches {}; give the whole id", candidates.iter().map(DeploymentId::as_str).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// What was typed.
        text: String,
        /// What it may mean.
        candidates: BTreeSet<DeploymentId>,
    },
}

/// The deployment that `text` means.
pub(crate) fn resolve<'a>(
    deployments: impl Iterator<Item = &'a Deployment> + Clone,
    text: &str,
) -> Result<&'a Deployment, Unresolved> {
    let id = |it: &&Deployment| it.definition.deployment.as_str() == text;
    if let Some(exact) = deployments.clone().find(id) {
        return Ok(exact);
    }
    let of_process = deployments.clone().filter(|it| it.definition.process.as_str() == text);
    if let Some(newest) = of_process.max_by_key(|it| preference(it)) {
        return Ok(newest);
    }
    let mut like = deployments.filter(|it| !text.is_empty() && it.definition.deployment.as_str().contains(text));
    match (like.next(), like.next()) {
        (None, _) => Err(Unresolved::Unknown(text.to_owned())),
        (Some(only), None) => Ok(only),
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(like);
            let candidates = all.map(|it| it.definition.deployment.clone()).collect();
            Err(Unresolved::Ambiguous { text: text.to_owned(), candidates })
        }
    }
}

/// Of several versions of a process: one that takes instances, then the newest.
fn preference(deployment: &Deployment) -> (u8, Timestamp) {
    let rank = match deployment.state {
        State::Running | State::Degraded => 2,
        State::Starting => 1,
        State::Stopping | State::Stopped | State::Error => 0,
    };
    (rank, deployment.applied)
}
