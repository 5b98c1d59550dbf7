//! What flowd says, and what it is told besides reports.

use std::collections::HashMap;

use hop::Splits;
use hop::identity::Listed;
use proto::{convert, v1};
use routing::table::CONNECTORS;
use routing::{ActivationId, Digest, Incarnation, InstanceId, ServiceName};

use super::{End, Engine, Input};
use crate::capture::Capture;
use crate::control::Event;
use crate::core::Closed;
use crate::probe::Health;

fn closed(tombstone: v1::Tombstone) -> Closed {
    let v1::Tombstone { instance, kept } = tombstone;
    Closed { instance: InstanceId::from(instance), kept }
}

impl Engine {
    pub(super) fn flowd_event(&mut self, event: Event) {
        match event {
            Event::Connecting(reply) => {
                let hello = v1::SidecarHello {
                    definitions: self.parts.tables.definitions().collect(),
                    watermark: self.parts.core.ledger_watermark(),
                    unproven: self.parts.capture.as_ref().is_some_and(Capture::is_wanted),
                    ..self.parts.hello.clone()
                };
                // Without a taker the stream has been given up.
                let _ = reply.send(hello);
            }
            Event::Linked | Event::Room | Event::Unreachable => {}
            Event::Unlinked => {
                if std::mem::take(&mut self.greeted) {
                    self.quiesce.alone(super::now());
                    self.inputs.push(Input::LedgerUnlinked);
                }
            }
            Event::Message(message) => self.message(*message),
        }
    }

    fn message(&mut self, message: v1::FlowdMessage) {
        let v1::FlowdMessage {
            hello,
            tables,
            bindings,
            acked,
            tombstones,
            left,
            fates,
            probe_now,
            retired,
            proof,
            reopened,
        } = message;
        if left {
            self.sent_off();
            return;
        }
        // before anything else moves: tokens of closed instances go nowhere
        let closed: Vec<Closed> = tombstones.into_iter().map(closed).collect();
        if !self.greeted {
            self.inputs.push(Input::AllClosed(closed));
        } else if !closed.is_empty() {
            self.inputs.push(Input::Closed(closed));
        }
        if !reopened.is_empty() {
            self.inputs.push(Input::Reopened(reopened.into_iter().map(InstanceId::from).collect()));
        }
        if !self.greeted {
            let version = hello.map(|hello| hello.version);
            tracing::debug!(?version, "flowd has greeted");
            self.greet();
        }
        if let Some(bindings) = &bindings {
            // before tables: they may be of work that is done here for other services
            self.split(bindings);
        }
        tables.iter().for_each(|push| self.pushed(push));
        if let Some(bindings) = bindings {
            self.bind(&bindings);
        }
        if acked > 0 {
            self.inputs.push(Input::LedgerAcked(acked));
        }
        self.fates(&fates);
        if probe_now {
            self.parts.probes.probe_now();
        }
        self.retired(&retired);
        if let (Some(capture), Some(proof)) = (&self.parts.capture, &proof) {
            capture.told(proof);
        }
    }

    /// flowd says that this incarnation is gone: as asked, or (after a lost answer) in an earlier life.
    fn sent_off(&mut self) {
        if self.is_leaving() {
            self.inputs.push(Input::Left);
        } else {
            tracing::warn!("flowd says that this sidecar has left; beginning anew with an empty journal");
            self.end = Some(End::Reborn);
        }
    }

    fn greet(&mut self) {
        self.greeted = true;
        self.found_again();
        self.parts.pending = None;
        for definition in &self.wanted {
            self.parts.control.outgoing.want_tables(convert::digest_bytes(*definition));
        }
        for (service, health) in self.parts.probes.current() {
            self.tell_health(&service, &health);
        }
        self.leave_again();
        self.inputs.push(Input::LedgerLinked);
    }

    fn pushed(&mut self, push: &v1::TablePush) {
        let Some(bundle) = &push.bundle else { return };
        let taken = self.parts.tables.take(bundle);
        let error = match taken {
            Ok((definition, served)) => {
                tracing::info!(%definition, elements = served.len(), "tables from flowd");
                self.learn(definition, served);
                String::new()
            }
            Err(error) => {
                tracing::warn!(%error, "refused tables from flowd; the old ones stay");
                error.to_string()
            }
        };
        let ack = v1::TableAck { definition: bundle.definition.clone(), nonce: push.nonce, error };
        self.parts.control.outgoing.table_ack(ack);
    }

    pub(super) fn split(&mut self, bindings: &v1::Bindings) {
        if bindings.version >= self.bindings_version {
            let splits = Splits::from_wire(&bindings.splits);
            self.parts.tables.split(splits.clone());
            self.inputs.push(Input::Splits(splits));
        }
    }

    /// Takes new bindings into force, then acknowledges them: calls that start from now on go by them.
    fn bind(&mut self, bindings: &v1::Bindings) {
        if bindings.version < self.bindings_version {
            return;
        }
        if let Err(error) = self.rebind(bindings) {
            tracing::warn!(%error, "bindings from flowd cannot be used; the old ones stay");
            return;
        }
        self.quiesce(bindings);
        if let Err(error) = self.parts.tables.keep_bindings(bindings) {
            tracing::warn!(%error, "bindings are in force and will be unknown after a restart without flowd");
        }
        self.bindings_version = bindings.version;
        self.parts.control.outgoing.bindings_ack(bindings.version);
    }

    pub(super) fn rebind(&mut self, bindings: &v1::Bindings) -> Result<(), convert::Malformed> {
        self.parts.directory.push(bindings)?;
        self.list(&bindings.accounts);
        let mut urls: HashMap<ServiceName, String> = HashMap::new();
        for v1::Service { name, url } in
            bindings.urls.iter().filter(|service| !service.url.is_empty() && service.name != CONNECTORS)
        {
            match crate::config::callable(url) {
                Ok(()) => {
                    urls.insert(name.as_str().into(), url.clone());
                }
                Err(why) => tracing::warn!(service = name, url, why, "flowd swaps to a URL that cannot be called"),
            }
        }
        self.parts.calls.swap(urls);
        let services: Vec<ServiceName> = self.parts.config.serves.keys().cloned().collect();
        services.iter().for_each(|service| self.probe(service));
        self.inputs.push(Input::Bindings(self.parts.directory.bindings()));
        self.drop_links();
        Ok(())
    }

    /// Who may serve what, where flowd says so.
    fn list(&self, accounts: &[v1::Account]) {
        if accounts.is_empty() {
            return;
        }
        let mut listed = Listed::new();
        for v1::Account { service, identities } in accounts {
            // what is no identity is nobody's
            let identities = identities.iter().filter_map(|it| it.parse().ok());
            listed.entry(service.as_str().into()).or_default().extend(identities);
        }
        self.parts.accounts.list(listed);
    }

    /// Fates name no replica: it is the one that was asked after.
    fn fates(&mut self, fates: &[v1::Fate]) {
        let mut by_replica: HashMap<Incarnation, Vec<(ActivationId, bool)>> = HashMap::new();
        for fate in fates {
            let Ok(activation) = convert::activation(&fate.activation) else { continue };
            if let Some(replica) = self.asked.remove(&activation) {
                by_replica.entry(replica).or_default().push((activation, fate.taken));
            }
        }
        self.inputs.extend(by_replica.into_iter().map(|(replica, fates)| Input::Fates(replica, fates)));
    }

    fn retired(&mut self, retired: &[Vec<u8>]) {
        let definitions: Vec<Digest> = retired.iter().filter_map(|digest| convert::digest(digest).ok()).collect();
        if !definitions.is_empty() {
            self.parts.tables.retire(&definitions);
            self.parts.metrics.retired(&definitions);
            self.inputs.push(Input::Retired(definitions));
        }
    }

    pub(super) fn tell_health(&mut self, service: &ServiceName, health: &Health) {
        use v1::task_health::Health as Wire;
        let (wire, reason) = match health {
            Health::Unknown => (Wire::Unknown, String::new()),
            Health::Up => (Wire::Up, String::new()),
            Health::Down { reason } => (Wire::Down, reason.clone()),
        };
        let said = v1::TaskHealth { service: service.as_str().to_owned(), health: wire.into(), reason, latency_us: 0 };
        self.parts.control.outgoing.health(service.clone(), said);
    }
}
