//! What flowd counts, for `/metrics`. Labels never contain instance ids.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use runtime::memory::ResidentMemory;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfProcess {
    pub(crate) process: String,
}

/// How instances of a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Ended {
    pub(crate) process: String,
    pub(crate) result: &'static str,
}

/// The counters. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) started: Family<OfProcess, Counter>,
    pub(crate) ended: Family<Ended, Counter>,
    pub(crate) open: Gauge,
    pub(crate) incidents: Counter,
    pub(crate) sidecars: Gauge,
    pub(crate) lost: Counter,
    pub(crate) commits: Histogram,
    pub(crate) batch: Histogram,
    pub(crate) alarms: Counter,
    pub(crate) reports: Counter<u64, AtomicU64>,
    pub(crate) topics: Topics,
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

impl Metrics {
    /// All of them at zero, and the registry that shows them.
    pub(crate) fn new() -> (Self, Arc<Registry>) {
        let metrics = Self {
            started: Family::default(),
            ended: Family::default(),
            open: Gauge::default(),
            incidents: Counter::default(),
            sidecars: Gauge::default(),
            lost: Counter::default(),
            commits: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            alarms: Counter::default(),
            reports: Counter::default(),
            topics: Topics::default(),
        };
        let mut registry = Registry::with_prefix("flow");
        registry.register("instances_started", "Instances started", metrics.started.clone());
        registry.register("instances_ended", "Instances ended, by result", metrics.ended.clone());
        registry.register("instances_open", "Instances that have not ended", metrics.open.clone());
        registry.register("incidents", "Incidents that came up", metrics.incidents.clone());
        registry.register("sidecars_connected", "Sidecars connected", metrics.sidecars.clone());
        registry.register("sidecars_lost", "Sidecars whose pods are gone without a word", metrics.lost.clone());
        registry.register_with_unit(
            "ledger_commit",
            "Time until a batch of the ledger is durable",
            Unit::Seconds,
            metrics.commits.clone(),
        );
        registry.register("ledger_batch_groups", "Atomic groups in a batch of the ledger", metrics.batch.clone());
        registry.register("ledger_alarms", "Broken rules that the ledger saw: bugs", metrics.alarms.clone());
        registry.register("reports", "Reports taken from sidecars", metrics.reports.clone());
        metrics.topics.register(&mut registry);
        registry.register_collector(Box::new(ResidentMemory));
        (metrics, Arc::new(registry))
    }
}
