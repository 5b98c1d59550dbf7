//! The sidecar beside a task: journal, task calls and probes.
//!
//! Modules point down the list: [`journal`] keeps what was decided, [`task`] calls the task's
//! container, [`probe`] tells whether the task can be called at all.

pub mod journal;
