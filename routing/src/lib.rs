//! What a token does next.
//!
//! A process definition is compiled (by `bpmn`) into one [`RoutingTable`] per task and one for the
//! ledger. A [`Token`] names the element it is about to enter. [`step`] says what an activity does with
//! its token and with the task's answer; [`advance()`] evaluates everything that is *folded* behind an
//! element (gateways, conditional flows) and yields the [`Product`]s: tokens for the next hosted elements.
//!
//! Pure: no I/O, no clock, no randomness. Time and random numbers come in as arguments, so that the
//! sidecar, the ledger, the simulation and the tests run the very same semantics.

pub mod advance;
pub mod callback;
pub mod compiled;
pub mod condition;
mod connector;
pub mod decision;
pub mod evaluate;
pub mod evaluation;
pub mod failure;
pub mod form;
pub mod id;
pub mod instance;
pub mod join;
pub mod mapping;
pub mod payload;
pub mod record;
pub mod retry;
pub mod secret;
pub mod step;
pub mod table;
pub mod timer;
pub mod token;
pub mod weight;

pub use advance::{Advanced, Passed, advance};
pub use compiled::Compiled;
pub use failure::{Failure, FailureCode, Resume};
pub use id::{
    ActivationId, DeploymentId, Digest, ElementId, FlowId, Incarnation, InstanceId, ProcessId, ScopeId, ServiceName,
    hex,
};
pub use payload::{Payload, Written};
pub use record::HopRecord;
pub use table::RoutingTable;
pub use token::{Product, Timestamp, To, Token, TraceContext};
pub use weight::Weight;
