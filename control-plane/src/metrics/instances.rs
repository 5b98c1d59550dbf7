//! Instances: begun, ended, open, and what of them waits for an operator.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use routing::InstanceId;
use runtime::metrics::{Exemplar, Family};
use runtime::telemetry::sampled_trace;

use crate::ledger::{InstanceView, State};

/// A version of a process: `version` is its deployment's id, as everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Version {
    process: String,
    version: String,
}

impl Version {
    fn of(instance: &InstanceId) -> Self {
        let deployment = instance.deployment();
        Self { process: deployment.process().to_owned(), version: deployment.as_str().to_owned() }
    }
}

/// How instances of a version ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    process: String,
    version: String,
    result: &'static str,
}

/// See the module's documentation. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Instances {
    started: Labelled<Version, Counter>,
    completed: Labelled<Ended, Counter>,
    active: Labelled<Version, Gauge>,
    incidents: Labelled<Version, Counter>,
    waiting: Labelled<Version, Gauge>,
    took: Family,
}

impl Instances {
    pub(super) fn new() -> Self {
        let took = "From the start of an instance to its end";
        Self {
            started: Labelled::default(),
            completed: Labelled::default(),
            active: Labelled::default(),
            incidents: Labelled::default(),
            waiting: Labelled::default(),
            took: Family::long("flow_instance_duration_seconds", took, &["process", "version"]),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("instances_started", "Instances started", self.started.clone());
        registry.register("instances_completed", "Instances ended, by result", self.completed.clone());
        registry.register("instances_active", "Instances that have not ended", self.active.clone());
        registry.register("incidents", "Incidents that came up", self.incidents.clone());
        registry.register("incidents_open", "Tokens that wait for an operator", self.waiting.clone());
    }

    pub(super) fn took(&self) -> Family {
        self.took.clone()
    }

    /// One that was open when this flowd began to lead, with so many tokens that wait for an operator.
    pub(crate) fn found(&self, instance: &InstanceId, halted: usize) {
        let version = Version::of(instance);
        self.active.get_or_create_owned(&version).inc();
        if halted > 0 {
            self.waiting.get_or_create_owned(&version).inc_by(i64::try_from(halted).unwrap_or(i64::MAX));
        }
    }

    /// One has begun.
    pub(crate) fn started(&self, instance: &InstanceId) {
        let version = Version::of(instance);
        self.started.get_or_create_owned(&version).inc();
        // a rate of failures is none while there were none
        for result in ["completed", "error", "cancelled"] {
            let Version { process, version } = version.clone();
            self.completed.get_or_create_owned(&Ended { process, version, result });
        }
        self.active.get_or_create_owned(&version).inc();
    }

    /// One that had ended is open again.
    pub(crate) fn reopened(&self, instance: &InstanceId) {
        self.active.get_or_create_owned(&Version::of(instance)).inc();
    }

    /// One has ended. Its trace is the exemplar, where traces are exported.
    pub(crate) fn ended(&self, view: &InstanceView, traced: bool) {
        let Version { process, version } = Version::of(&view.id);
        let ended = view.ended.unwrap_or(view.started);
        let took = Duration::from_millis(ended.saturating_sub(view.started));
        let histogram = self.took.with(&[&process, &version]);
        match sampled_trace(&view.trace.traceparent).filter(|_| traced) {
            Some(trace) => histogram.observe_in(took, Exemplar { trace, at: ended }),
            None => histogram.observe(took),
        }
        let labels = Ended { process: process.clone(), version: version.clone(), result: result(view.state) };
        self.completed.get_or_create_owned(&labels).inc();
        self.active.get_or_create_owned(&Version { process, version }).dec();
    }

    /// So many tokens of an instance waited for an operator, and so many do now.
    pub(crate) fn halted(&self, instance: &InstanceId, before: usize, now: usize) {
        let version = Version::of(instance);
        let more = |from: usize, to: usize| to.saturating_sub(from);
        self.incidents.get_or_create_owned(&version).inc_by(more(before, now) as u64);
        let waiting = self.waiting.get_or_create_owned(&version);
        waiting.inc_by(more(before, now) as i64);
        waiting.dec_by(more(now, before) as i64);
    }
}

fn result(state: State) -> &'static str {
    match state {
        State::Completed => "completed",
        State::Error => "error",
        State::Cancelled => "cancelled",
        State::Starting | State::Running | State::Stopped | State::Suspended => "open",
    }
}
