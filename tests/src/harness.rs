//! A mesh of real processes for tests: flowd, `flow-sidecar`s and `flowctl` as their users start them, with
//! services on loopback that live in the test and remember what they were asked.
//!
//! Promises: the programs are those of the same target folder and profile as the running test, built once;
//! every process is ended by its own id when its handle is dropped, and what it said is printed when the test
//! fails; every wait has a deadline. Failures are panics, as in any test. It knows nothing of what the programs
//! do inside: it sees ports, output, exit codes and folders.
#![allow(clippy::unwrap_used, reason = "a harness of tests fails by panicking")]

mod events;
mod flowctl;
mod http;
mod load;
mod mesh;
mod model;
mod process;
mod programs;
mod service;
mod wait;

pub use events::Events;
pub use flowctl::{Flowctl, Ran};
pub use http::{Reply, post, request};
pub use load::Load;
pub use mesh::{Mesh, Sidecar};
pub use model::Model;
pub use process::{Process, Signal, free_port};
pub use programs::Programs;
pub use service::{Answer, Call, Service, raw_service};
pub use wait::{PATIENCE, eventually, full, number, seed};
