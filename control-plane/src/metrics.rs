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
    pub(crate) commits: Histogram,
    pub(crate) batch: Histogram,
    pub(crate) alarms: Counter,
    pub(crate) reports: Counter<u64, AtomicU64>,
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
            commits: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            alarms: Counter::default(),
            reports: Counter::default(),
        };
        let mut registry = Registry::with_prefix("flow");
        registry.register("instances_started", "Instances started", metrics.started.clone());
        registry.register("instances_ended", "Instances ended, by result", metrics.ended.clone());
        registry.register("instances_open", "Instances that have not ended", metrics.open.clone());
        registry.register("incidents", "Incidents that came up", metrics.incidents.clone());
        registry.register("sidecars_connected", "Sidecars connected", metrics.sidecars.clone());
        registry.register_with_unit(
            "ledger_commit",
            "Time until a batch of the ledger is durable",
            Unit::Seconds,
            metrics.commits.clone(),
        );
        registry.register("ledger_batch_groups", "Atomic groups in a batch of the ledger", metrics.batch.clone());
        registry.register("ledger_alarms", "Broken rules that the ledger saw: bugs", metrics.alarms.clone());
        registry.register("reports", "Reports taken from sidecars", metrics.reports.clone());
        registry.register_collector(Box::new(ResidentMemory));
        (metrics, Arc::new(registry))
    }
}
