//! Seeking replicas by name while flowd is away: only for what could be sent and has nobody that it could be sent to.
//!
//! What is found is added to what flowd has said last, and goes when flowd says anew. Whoever may have a token already keeps it, found or not.

use std::io;
use std::net::SocketAddr;

use routing::{ServiceName, Timestamp};

use super::{Engine, Input};
use crate::config::HopTls;

/// From one look at what is to be sent to the next, milliseconds.
const LOOK: u64 = 1_000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Seek {
    /// When to look next.
    next: Timestamp,
    /// When there will be something to do, though nothing happens.
    due: Option<Timestamp>,
}

impl Seek {
    /// When [`Engine::seek_step`] has something to do though nothing happens.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.due
    }
}

impl Engine {
    /// Asks for the names of what is sought.
    pub(super) fn seek_step(&mut self, now: Timestamp) {
        if self.greeted || self.parts.core.unanswered() == 0 {
            self.seek.due = None;
            return;
        }
        if now < self.seek.next {
            self.seek.due = Some(self.seek.next);
            return;
        }
        self.seek.next = now + LOOK;
        let directory = &self.parts.directory;
        let seeking = self.parts.core.seeking().into_iter();
        let named = seeking.filter_map(|service| Some((directory.name(&service)?.to_owned(), service)));
        let named: Vec<(String, ServiceName)> = named.collect();
        for (name, service) in &named {
            self.parts.names.ask(service, name, now);
        }
        // an answer wakes the engine by itself
        let due = self.parts.names.due(named.iter().map(|(_, service)| service));
        self.seek.due = due.map(|due| due.max(self.seek.next));
    }

    /// What DNS says of a service.
    pub(super) fn named(&mut self, service: &ServiceName, answer: io::Result<Vec<SocketAddr>>) {
        let Some(found) = self.parts.names.heard(service, answer, super::now()) else { return };
        let Some(name) = self.parts.directory.name(service) else { return };
        let address = |it: SocketAddr| match self.parts.config.hop_tls {
            // the mesh routes by the name
            HopTls::Mesh => format!("{name}@{it}"),
            HopTls::Own => it.to_string(),
        };
        let addresses: Vec<String> = found.into_iter().map(address).collect();
        let count = addresses.len();
        if self.parts.directory.resolve(service, addresses) {
            tracing::info!(%service, count, "flowd is away; replicas by DNS");
            self.inputs.push(Input::Bindings(self.parts.directory.bindings()));
            self.drop_links();
        }
    }

    /// flowd is back, and says where replicas are.
    pub(super) fn found_again(&mut self) {
        self.parts.names.forget();
        self.seek = Seek::default();
    }
}
