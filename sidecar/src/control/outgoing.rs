//! What is to be told to flowd, gathered until the transport takes it, then cut into messages. Pure.
//!
//! Hop records, which nobody waits for, wait some milliseconds for company or go along with whatever goes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use prost::Message as _;
use proto::v1;
use routing::{HopRecord, Product, ServiceName, Timestamp};

/// Bytes of reports in one message, about.
const MESSAGE: usize = 1 << 20;
/// Hop records kept while flowd is away; older ones are dropped.
const HOPS: usize = 4_096;
/// How long hop records are gathered, milliseconds.
const HOPS_FOR: u64 = 10;
/// Hop records in one message.
const HOPS_AT_ONCE: usize = 1_024;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    rest: v1::SidecarMessage,
    reports: VecDeque<(u64, Arc<Product>)>,
    hops: VecDeque<HopRecord>,
    /// When the hop records are to go.
    hops_at: Option<Timestamp>,
    health: BTreeMap<ServiceName, v1::TaskHealth>,
    ready: bool,
}

impl Outgoing {
    pub(crate) fn report(&mut self, seq: u64, product: Arc<Product>) {
        self.reports.push_back((seq, product));
    }

    pub(crate) fn hop(&mut self, now: Timestamp, record: HopRecord) {
        self.hops_at.get_or_insert(now + HOPS_FOR);
        if self.hops.len() >= HOPS {
            self.hops.pop_front();
        }
        self.hops.push_back(record);
    }

    /// The newest word on a service replaces what has not been sent.
    pub(crate) fn health(&mut self, service: ServiceName, health: v1::TaskHealth) {
        self.health.insert(service, health);
    }

    pub(crate) fn table_ack(&mut self, ack: v1::TableAck) {
        self.rest.table_acks.push(ack);
        self.ready = true;
    }

    pub(crate) fn bindings_ack(&mut self, version: u64) {
        self.rest.bindings_ack = version;
        self.ready = true;
    }

    /// No call of a task runs, by the bindings of this version.
    pub(crate) fn quiet(&mut self, version: u64) {
        self.rest.quiet = version;
        self.ready = true;
    }

    pub(crate) fn whereabouts(&mut self, asked: v1::Whereabouts) {
        self.rest.whereabouts.push(asked);
        self.ready = true;
    }

    pub(crate) fn want_tables(&mut self, definition: Vec<u8>) {
        if !self.rest.want_tables.contains(&definition) {
            self.rest.want_tables.push(definition);
        }
        self.ready = true;
    }

    pub(crate) fn leave(&mut self, leave: v1::Leave) {
        self.rest.leave = Some(leave);
        self.ready = true;
    }

    /// True when there is something that should go at `now`.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let urgent = self.ready || !self.reports.is_empty() || !self.health.is_empty();
        urgent || self.hops_at.is_some_and(|at| at <= now || self.hops.len() >= HOPS_AT_ONCE)
    }

    /// When hop records go though there is nothing else.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.hops_at
    }

    /// The stream is gone: all of it but hop records is given again over the next one.
    pub(crate) fn unlinked(&mut self) {
        let (hops, hops_at) = (std::mem::take(&mut self.hops), self.hops_at);
        let want_tables = std::mem::take(&mut self.rest.want_tables);
        let ready = !want_tables.is_empty();
        *self = Self { hops, hops_at, ready, ..Self::default() };
        self.rest.want_tables = want_tables;
    }

    /// The next message. What was handed over must leave only after every report before it.
    pub(crate) fn message(&mut self) -> v1::SidecarMessage {
        let mut reports = Vec::new();
        let mut size = 0;
        while size < MESSAGE
            && let Some((seq, product)) = self.reports.pop_front()
        {
            let report = v1::Report { seq, product: Some(product.into()) };
            size += report.encoded_len();
            reports.push(report);
        }
        let mut message = std::mem::take(&mut self.rest);
        self.ready = false;
        if !self.reports.is_empty() && message.leave.is_some() {
            self.rest.leave = message.leave.take();
            self.ready = true;
        }
        message.reports = reports;
        let hops = self.hops.len().min(HOPS_AT_ONCE);
        message.hops = self.hops.drain(..hops).map(|it| v1::HopRecord::from(it).encode_to_vec().into()).collect();
        if self.hops.is_empty() {
            self.hops_at = None;
        }
        message.health = std::mem::take(&mut self.health).into_values().collect();
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(element: &str) -> HopRecord {
        HopRecord {
            instance: "i".into(),
            element: element.into(),
            name: String::new(),
            kind: "serviceTask".into(),
            activation: routing::ActivationId(1),
            parent: routing::ActivationId(0),
            started: 1,
            ended: 2,
            attempts: 1,
            status: "completed".into(),
            warnings: Vec::new(),
            trace_id: String::new(),
        }
    }

    #[test]
    fn hop_records_wait_for_company_or_go_along() {
        let mut outgoing = Outgoing::default();
        assert!(!outgoing.is_due(5_000) && outgoing.due().is_none());
        outgoing.hop(100, hop("a"));
        outgoing.hop(105, hop("b"));
        assert!(!outgoing.is_due(109) && outgoing.due() == Some(110) && outgoing.is_due(110));
        outgoing.table_ack(v1::TableAck::default());
        assert!(outgoing.is_due(105), "what is urgent does not wait");
        assert_eq!(outgoing.message().hops.len(), 2, "and takes them along");
        assert!(!outgoing.is_due(5_000) && outgoing.due().is_none());
        outgoing.hop(200, hop("c"));
        outgoing.unlinked();
        assert!(outgoing.is_due(210), "they outlive the stream");
    }
}
