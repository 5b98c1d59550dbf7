//! What the compiler accepts, refuses and makes of it.

// clippy knows tests by #[test]; what they share unwraps as they do
#![allow(clippy::unwrap_used)]

mod annotations;
mod catalogue;
mod compile;
mod compile_activities;
mod compile_events;
mod compile_gateways;
mod dmn;
mod drawn;
mod fixtures;
mod forms;
mod import;
mod input;
mod models;
mod mutation;
mod soundness;
