//! Listeners: services that are called when an element begins or ends, or at a turn of a user task's life. They are Camunda 8's execution and
//! task listeners; the standard has none.
//!
//! A listener is a node of its own, of the kind task, that no flow leads to: it has a table and a binding like any task, and the ledger holds
//! whoever it listens to until it has answered.

use serde::{Deserialize, Serialize};

use super::NodeIx;

/// A listener of an element, or of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// When it is called.
    pub on: Moment,
    /// The task that stands for it.
    pub node: NodeIx,
}

/// When a listener is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Moment {
    /// Before the element does anything, with its inputs mapped.
    Start,
    /// When it is done, with its outputs mapped, before its token leaves; of a process, when all its tokens have ended.
    End,
    /// A user task has come into being, before anybody sees it.
    Creating,
    /// It has an assignee.
    Assigning,
    /// Somebody completes it.
    Completing,
}

/// The listeners of one moment, in the order of the model.
pub fn at(listeners: &[Listener], on: Moment) -> impl Iterator<Item = NodeIx> + '_ {
    listeners.iter().filter(move |it| it.on == on).map(|it| it.node)
}
