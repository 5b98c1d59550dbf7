//! The sidecar beside a task: accepts tokens, calls the task, evaluates what is folded behind it, hands
//! the products to the next sidecars, and reports to flowd.
//!
//! # Layout
//! * [`core`] holds the rules (pure), [`record`] what they write;
//! * `engine` is the loop around them, [`app`] what opens and closes everything, [`config`] what it is told;
//! * [`runtime::journal`] keeps what was decided, [`tables`] what the process looks like, [`directory`] where others are, [`names`] what DNS says of it;
//! * [`task`] calls the task (`calls`: with which headers), [`probe`] tells whether it can be called at all;
//! * [`lifecycle`] is what an orchestrator asks of it;
//! * [`identity`] is who it is, in a cluster; `capture` whether a mesh stands before its hop port;
//! * `control` is the stream to flowd; `spans`, `metrics` and `log` are for people.

pub mod app;
pub mod callback;
mod calls;
mod capture;
pub mod config;
pub mod connector;
mod control;
pub mod core;
pub mod directory;
mod engine;
pub mod identity;
pub mod lifecycle;
mod log;
mod metrics;
pub mod names;
pub mod probe;
mod probes;
pub mod record;
mod spans;
pub mod tables;
pub mod task;
