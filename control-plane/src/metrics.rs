//! What flowd counts, for `/metrics`. Labels are names of the model, versions and results; never instances.

mod instances;

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram as Plain, exponential_buckets};
use prometheus_client::registry::Registry;
use runtime::memory::ResidentMemory;
use runtime::metrics::{Exposition, Family, Histogram};

pub(crate) use instances::Instances;

/// The counters. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) instances: Instances,
    pub(crate) mesh: Mesh,
    /// Sidecars whose pods are gone without a word.
    pub(crate) lost: Counter,
    pub(crate) hops: Family,
    pub(crate) joins: Family,
    pub(crate) timers: Histogram,
    pub(crate) commits: Histogram,
    pub(crate) batch: Plain,
    pub(crate) alarms: Counter,
    pub(crate) reports: Counter<u64, AtomicU64>,
    pub(crate) topics: Topics,
    pub(crate) notices: Notices,
}

/// Of notifications that are posted to addresses outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notices {
    pub(crate) waiting: Gauge,
    pub(crate) delivered: Counter,
    /// Calls that came to nothing.
    pub(crate) failed: Counter,
    /// Too many, or too old.
    pub(crate) given_up: Counter,
}

impl Notices {
    fn register(&self, registry: &mut Registry) {
        registry.register("notifications_waiting", "Notifications that were not taken yet", self.waiting.clone());
        registry.register("notifications_delivered", "Notifications that were taken", self.delivered.clone());
        registry.register("notifications_failed", "Calls by which a notification was not taken", self.failed.clone());
        let what = "Notifications that were given up: too many, or after a day";
        registry.register("notifications_given_up", what, self.given_up.clone());
    }
}

/// Of sidecars, and what they are sent.
#[derive(Clone, Debug)]
pub(crate) struct Mesh {
    sidecars: Gauge,
    /// Connected ones that have not acknowledged everything that they were sent.
    stale: Gauge,
    /// The version of the newest bindings.
    version: Gauge,
    /// From sending tables to their acknowledgement.
    pub(crate) pushes: Histogram,
}

/// Of topics at a broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics {
    /// 1 while the broker answers.
    pub(crate) connected: Gauge,
    /// Thrown messages that the broker does not have yet.
    pub(crate) outbox: Gauge,
    pub(crate) produced: Counter,
    pub(crate) consumed: Counter,
    /// Messages that the broker does not want, or that no instance can have.
    pub(crate) refused: Counter,
}

impl Topics {
    fn register(&self, registry: &mut Registry) {
        registry.register("topics_connected", "1 while the broker of topics answers", self.connected.clone());
        registry.register("topics_outbox", "Thrown messages that the broker does not have yet", self.outbox.clone());
        registry.register("topics_produced", "Messages produced to the broker", self.produced.clone());
        registry.register("topics_consumed", "Messages consumed from the broker", self.consumed.clone());
        let what = "Messages that the broker refused, or that no instance can have";
        registry.register("topics_refused", what, self.refused.clone());
    }
}

impl Mesh {
    fn new(pushes: &Family) -> Self {
        let (sidecars, stale, version) = Default::default();
        Self { sidecars, stale, version, pushes: pushes.with(&[]) }
    }

    /// As [`crate::mesh::Mesh::levels`] tells them.
    pub(crate) fn levels(&self, (version, connected, stale): (u64, usize, usize)) {
        self.version.set(i64::try_from(version).unwrap_or(i64::MAX));
        self.sidecars.set(i64::try_from(connected).unwrap_or(i64::MAX));
        self.stale.set(i64::try_from(stale).unwrap_or(i64::MAX));
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("sidecars_connected", "Sidecars connected", self.sidecars.clone());
        let stale = "Sidecars connected that have not acknowledged, or have refused, what they were sent last";
        registry.register("sidecars_stale", stale, self.stale.clone());
        registry.register("routing_table_version", "Version of the newest bindings", self.version.clone());
    }
}

impl Metrics {
    /// All of them at zero, and the page that shows them.
    pub(crate) fn new() -> (Self, Exposition) {
        let pushes = Family::new("flow_table_push_seconds", "From sending tables to a sidecar to its answer", &[]);
        let commits = Family::new("flow_ledger_commit_seconds", "Time until a batch of the ledger is durable", &[]);
        let timers = Family::new("flow_timer_lag_seconds", "How long after they were due timers have fired", &[]);
        let joins = "From the first token that came to a join until it fired";
        let metrics = Self {
            instances: Instances::new(),
            mesh: Mesh::new(&pushes),
            lost: Counter::default(),
            hops: hop::metrics::Hops::family(),
            joins: Family::long("flow_join_wait_seconds", joins, &["process", "join"]),
            timers: timers.with(&[]),
            commits: commits.with(&[]),
            batch: Plain::new(exponential_buckets(1.0, 2.0, 12)),
            alarms: Counter::default(),
            reports: Counter::default(),
            topics: Topics::default(),
            notices: Notices::default(),
        };
        let mut registry = Registry::with_prefix("flow");
        metrics.instances.register(&mut registry);
        metrics.mesh.register(&mut registry);
        registry.register("sidecars_lost", "Sidecars whose pods are gone without a word", metrics.lost.clone());
        registry.register("ledger_batch_groups", "Atomic groups in a batch of the ledger", metrics.batch.clone());
        registry.register("ledger_alarms", "Broken rules that the ledger saw: bugs", metrics.alarms.clone());
        registry.register("reports", "Reports taken from sidecars", metrics.reports.clone());
        metrics.topics.register(&mut registry);
        metrics.notices.register(&mut registry);
        registry.register_collector(Box::new(ResidentMemory));
        let (took, hops, joins) = (metrics.instances.took(), metrics.hops.clone(), metrics.joins.clone());
        (metrics, Exposition::new(registry, [took, hops, joins, timers, commits, pushes]))
    }
}
