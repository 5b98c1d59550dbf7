//! All tests that need more than one crate, in one binary.
#![allow(clippy::unwrap_used, reason = "tests")]

mod acceptance;
mod bench;
mod elements;
mod example_models;
mod layering;
mod ledger_broker;
mod ledger_core;
mod ledger_groups;
mod ledger_messages;
mod ledger_notices;
mod ledger_operations;
mod ledger_tasks;
mod ledger_timers;
mod ledger_topics;
mod loss_windows;
mod sidecar_core;
mod simulation;
mod support_page;
mod untrusted;
