//! One side of the comparison: where its requests go, and which processes it needs.

use std::net::SocketAddr;

use super::http;
use super::process::Process;

/// The sides, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// flowd and three sidecars: the product.
    Mesh,
    /// The client calls the three services.
    Direct,
    /// The client calls three Envoys, each before one service.
    Envoy,
    /// A Restate service with three durable steps.
    Restate,
}

impl Kind {
    /// Its name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Direct => "direct",
            Self::Envoy => "envoy",
            Self::Restate => "restate",
        }
    }
}

/// One request of an instance.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Where it goes.
    pub(crate) address: SocketAddr,
    /// The whole request.
    pub(crate) request: Vec<u8>,
}

impl Step {
    /// A `POST` of `body`.
    pub(crate) fn post(address: SocketAddr, target: &str, body: &[u8]) -> Self {
        Self { address, request: http::request("POST", target, address, body) }
    }
}

/// A side that runs.
pub(crate) struct Side {
    /// Which one.
    pub(crate) kind: Kind,
    /// An instance is these requests, one after the other; each answer must be the payload again.
    pub(crate) steps: Vec<Step>,
    /// Its own processes; the services are not among them.
    pub(crate) processes: Vec<Process>,
}

impl Side {
    /// The ids of its own processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::pid).collect()
    }
}
