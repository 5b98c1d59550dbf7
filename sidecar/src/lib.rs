//! The sidecar beside a task: accepts tokens, calls the task, evaluates what is folded behind it, hands
//! the products to the next sidecars, and reports to flowd.
//!
//! `core` holds the rules (pure), everything else is shell: it moves bytes and tells the time.

pub mod core;
pub mod record;
