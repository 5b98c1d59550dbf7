//! flowd, the control plane: compiles and deploys processes, keeps the ledger, tells sidecars what to hold.
//!
//! # Layout
//! * [`ledger`]: the rules of instances, joins, timers and incidents; pure. [`store`]: where it is kept.
//! * `ledger_task`: the one loop that runs the ledger over the store and the links to sidecars.
//! * `definitions`, `sidecars`, `mesh`: what is deployed, who serves it, what each sidecar should hold; `steward`
//!   writes down what comes of it.
//! * `control`: the stream to each sidecar. `trace`: hop records for people.
//! * `operations`: what operators can do, once; `flow` (flow.v1), `daemon` (the original's service) and `http` are thin
//!   over it. `security`: who may call.
//! * `legible`: payloads inside of JSON that people read.
//! * `graphql`: the original's GraphQL, over `operations`. `notices`: what is posted to addresses outside.
//! * `topics`: topics for the world outside, flowd's own or a broker's.
//! * [`kubernetes`]: the containers of tasks in a cluster, and the sidecars beside them.
//! * [`config`], [`app`]: flags to a running process.

pub mod app;
pub mod config;
mod control;
mod daemon;
mod definitions;
mod flow;
mod graphql;
mod http;
mod ingress;
pub mod kubernetes;
pub mod ledger;
mod ledger_task;
mod legible;
mod mesh;
mod metrics;
mod notices;
mod operations;
mod retention;
mod security;
mod sidecars;
mod standby;
mod steward;
pub mod store;
mod topics;
mod trace;

pub use app::{App, Bound};
pub use config::Config;
