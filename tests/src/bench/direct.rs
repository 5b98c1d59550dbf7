//! The floor: a client that calls the three services itself. Nothing is durable, nothing is between.

use std::net::SocketAddr;

use super::side::{Kind, Side, Step};

/// Needs no process of its own.
pub(crate) fn start(services: &[SocketAddr], payload: &[u8]) -> Side {
    let steps = services.iter().map(|service| Step::post(*service, "/", payload)).collect();
    Side { kind: Kind::Direct, steps, processes: Vec::new() }
}
