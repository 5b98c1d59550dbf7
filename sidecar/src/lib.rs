//! The sidecar beside a task: accepts tokens, calls the task, evaluates what is folded behind it, hands
//! the products to the next sidecars, and reports to flowd.
//!
//! [`core`] holds the rules (pure) and [`record`] what they write; the rest is shell: [`probe`] tells
//! whether the task can be called at all, [`task`] calls it, [`journal`] keeps what was decided.

pub mod core;
pub mod journal;
pub mod probe;
pub mod record;
pub mod task;
