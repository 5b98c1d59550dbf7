//! What has changed of what sidecars are told, by service: a sidecar that none of it concerns has nothing put together for it.
//!
//! Says too much at times, never too little. What a sidecar is told depends on the services that it does, on those that they exchange tokens with, and
//! on whoever may do the work of any of them; see `MeshState::concerns`.

use std::collections::HashMap;

use routing::ServiceName;

use crate::definitions::{Deployment, State};

/// Services that are told apart; whatever changes when there are more of them concerns everybody.
const SERVICES: usize = 100_000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct News {
    version: u64,
    /// The version that concerned everybody last.
    all: u64,
    /// The version that concerned a service last, if that is newer.
    of: HashMap<ServiceName, u64>,
}

impl News {
    /// Versions begin here.
    pub(super) fn from(version: u64) -> Self {
        Self { version, all: version, of: HashMap::new() }
    }

    /// Grows with whatever sidecars are to be told; the version of the next bindings that are sent.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Something has changed for everybody.
    pub(super) fn for_all(&mut self) {
        self.version += 1;
        self.all = self.version;
        self.of.clear();
    }

    /// Something about these services has changed.
    pub(super) fn of<'a>(&mut self, services: impl IntoIterator<Item = &'a ServiceName>) {
        self.version += 1;
        for service in services {
            if self.of.len() >= SERVICES && !self.of.contains_key(service) {
                self.all = self.version;
                return self.of.clear();
            }
            self.of.insert(service.clone(), self.version);
        }
    }

    /// A deployment is about to be in another state, which its sidecars are told if they are to hold its tables in one of both only.
    pub(super) fn of_state(&mut self, deployment: &Deployment, to: State) {
        if deployment.state.is_served() != to.is_served() {
            self.of(deployment.definition.services());
        }
    }

    /// Whether anything about any of these has changed since `told`.
    pub(super) fn since<'a>(&self, told: u64, services: impl IntoIterator<Item = &'a ServiceName>) -> bool {
        self.all > told || services.into_iter().any(|it| self.of.get(it).is_some_and(|of| *of > told))
    }
}

#[cfg(test)]
mod tests;
