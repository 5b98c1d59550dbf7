//! The states of a deployment (design §6, Health). Pure: what its tasks look like goes in, the state comes out.
//!
//! STARTING until every task has a sidecar that has acknowledged its table; RUNNING when also every probe is UP;
//! DEGRADED when something is missing of what RUNNING asks for: it goes on accepting starts. STOPPED is asked for.

use std::fmt;

use routing::Timestamp;
use serde::{Deserialize, Serialize};

/// A task that is DOWN from the start makes the deployment DEGRADED after so long, milliseconds.
pub(crate) const GRACE: u64 = 5_000;

/// How a deployment fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum State {
    Starting,
    Running,
    Degraded,
    Stopping,
    Stopped,
    Error,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Degraded => "DEGRADED",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
            Self::Error => "ERROR",
        }
    }

    /// Whether instances may be started.
    pub(crate) fn accepts(self) -> bool {
        matches!(self, Self::Running | Self::Degraded)
    }

    /// Whether sidecars are to hold its tables.
    pub(crate) fn is_served(self) -> bool {
        self != Self::Stopped
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a task's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// Not probed yet.
    #[default]
    Unknown,
    /// Its probe succeeds, at one replica at least.
    Up,
    /// No replica's probe succeeds.
    Down,
}

impl Health {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Up => "UP",
            Self::Down => "DOWN",
        }
    }
}

/// A task, as its sidecars see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskView {
    pub(crate) element: String,
    pub(crate) service: String,
    /// Sidecars that serve it and are connected.
    pub(crate) replicas: u32,
    /// Those of them that have acknowledged its table.
    pub(crate) ready: u32,
    pub(crate) health: Health,
    /// Why a table was refused, or why the probe fails.
    pub(crate) reason: String,
    /// Its pods run another image than their Deployment has; empty when they do not.
    pub(crate) drift: String,
}

/// What a deployment that is to run comes to; `None` when it stays as it is. The text says why it is not RUNNING.
pub(crate) fn next(
    state: State,
    since: Timestamp,
    now: Timestamp,
    timeout: u64,
    tasks: &[TaskView],
) -> Option<(State, String)> {
    let missing = tasks.iter().find(|task| task.ready == 0);
    let down = tasks.iter().find(|task| task.health == Health::Down);
    let unknown = tasks.iter().find(|task| task.health == Health::Unknown);
    let age = now.saturating_sub(since);
    let settled = match (missing, down, unknown) {
        (None, None, None) => Some((State::Running, String::new())),
        _ => None,
    };
    let why = || missing.map(unserved).or_else(|| down.map(is_down)).or_else(|| unknown.map(unprobed));
    match state {
        State::Starting | State::Error => settled.or_else(|| match (missing, down) {
            (None, Some(task)) if age >= GRACE || state == State::Error => Some((State::Degraded, is_down(task))),
            (Some(task), _) if age >= timeout && state == State::Starting => {
                Some((State::Error, format!("{} within {} s (deployment_timeout)", unserved(task), timeout / 1000)))
            }
            _ => why().map(|why| (state, why)).filter(|_| state == State::Starting),
        }),
        State::Running => match (missing, down) {
            (None, None) => None,
            (Some(_), _) if age < GRACE => None,
            _ => why().map(|why| (State::Degraded, why)),
        },
        State::Degraded => settled.or_else(|| why().map(|why| (State::Degraded, why))),
        State::Stopping | State::Stopped => None,
    }
}

/// When [`next`] may answer otherwise though nothing has happened.
pub(crate) fn next_look(state: State, since: Timestamp, timeout: u64) -> Option<Timestamp> {
    match state {
        State::Starting => Some(since + timeout.min(GRACE)),
        State::Running => Some(since + GRACE),
        State::Degraded | State::Stopping | State::Stopped | State::Error => None,
    }
}

fn unserved(task: &TaskView) -> String {
    let TaskView { element, service, replicas, reason, .. } = task;
    match (replicas, reason.is_empty()) {
        (0, false) => format!("no sidecar serves task {element}: {reason}"),
        (0, true) => format!(
            "no sidecar serves task {element}: start one with `flow-sidecar --serve {service}=http://HOST:PORT`"
        ),
        (_, true) => format!("the sidecar of task {element} has not acknowledged its table yet"),
        (_, false) => format!("the sidecar of task {element} refused its table: {reason}"),
    }
}

fn is_down(task: &TaskView) -> String {
    format!("the service {} of task {} is DOWN: {}", task.service, task.element, task.reason)
}

fn unprobed(task: &TaskView) -> String {
    format!("the service {} of task {} has not been probed yet", task.service, task.element)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(ready: u32, health: Health) -> TaskView {
        let reason = "x".to_owned();
        TaskView {
            element: "a".into(),
            service: "s".into(),
            replicas: ready,
            ready,
            health,
            reason,
            drift: String::new(),
        }
    }

    fn after(state: State, age: u64, tasks: &[TaskView]) -> Option<State> {
        next(state, 1_000, 1_000 + age, 180_000, tasks).map(|(state, _)| state)
    }

    #[test]
    fn running_wants_every_task_served_and_up() {
        assert_eq!(after(State::Starting, 0, &[task(1, Health::Up)]), Some(State::Running));
        let half = [task(1, Health::Up), task(0, Health::Unknown)];
        assert_eq!(after(State::Starting, 0, &half), Some(State::Starting));
        assert_eq!(after(State::Starting, 200_000, &half), Some(State::Error));
        assert_eq!(after(State::Error, 1, &[task(1, Health::Up)]), Some(State::Running));
        assert_eq!(after(State::Starting, 0, &[]), Some(State::Running), "a process without tasks");
    }

    #[test]
    fn a_task_that_is_down_degrades_after_the_grace() {
        let down = [task(1, Health::Down)];
        assert_eq!(after(State::Starting, GRACE - 1, &down), Some(State::Starting));
        assert_eq!(after(State::Starting, GRACE, &down), Some(State::Degraded));
        assert_eq!(after(State::Running, 0, &down), Some(State::Degraded));
        assert_eq!(after(State::Degraded, 0, &[task(1, Health::Up)]), Some(State::Running));
    }

    #[test]
    fn a_sidecar_that_reconnects_in_time_is_not_missed() {
        let gone = [task(0, Health::Unknown)];
        assert_eq!(after(State::Running, GRACE - 1, &gone), None);
        assert_eq!(after(State::Running, GRACE, &gone), Some(State::Degraded));
        assert_eq!(after(State::Stopped, 1_000_000, &gone), None);
    }
}
