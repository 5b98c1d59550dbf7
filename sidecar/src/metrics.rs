//! What a sidecar counts, for `/metrics`. Labels are names of the model and of services, never instances.

use foldhash::{HashMap, HashMapExt as _};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use routing::mapping::Answer;
use routing::step::CallFailure;
use routing::{ActivationId, ElementId, ServiceName};
use runtime::memory::ResidentMemory;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    hop_duration: Family<To, Histogram, Buckets>,
    refused: Family<Reason, Counter>,
    requests: Family<Request, Counter>,
    task_duration: Family<Task, Histogram, Buckets>,
    task_up: Family<Service, Gauge>,
    inflight: Gauge,
    held: Gauge,
    unanswered: Gauge,
    remembered: Gauge,
    tables: Gauge,
    flowd: Gauge,
    journal: Histogram,
    offered: HashMap<ActivationId, (Instant, ElementId)>,
    calling: HashMap<ActivationId, (Instant, ElementId)>,
}

/// What the engine holds now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Levels {
    pub(crate) inflight: usize,
    pub(crate) held: usize,
    pub(crate) unanswered: usize,
    pub(crate) remembered: usize,
    pub(crate) tables: usize,
    pub(crate) flowd: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct To {
    to: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Task {
    task: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Service {
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    task: String,
    code_class: &'static str,
    outcome: &'static str,
}

/// From half a millisecond to half a minute.
#[derive(Clone, Debug)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.000_5, 3.0, 11))
    }
}

impl Metrics {
    /// Registers everything in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let flow = registry.sub_registry_with_prefix("flow");
        let hop_duration = Family::new_with_constructor(Buckets);
        let task_duration = Family::new_with_constructor(Buckets);
        let (requests, refused, task_up) = (Family::default(), Family::default(), Family::default());
        let seconds = Unit::Seconds;
        let hop_help = "From offering a token to its receiver's word that it is durable there";
        flow.register_with_unit("hop_duration", hop_help, seconds.clone(), hop_duration.clone());
        flow.register_with_unit("task_duration", "Calls of the task", seconds.clone(), task_duration.clone());
        flow.register("task_requests", "Calls of the task, by status class and outcome", requests.clone());
        flow.register("offers_refused", "Offers that were not taken here", refused.clone());
        flow.register("task_up", "1 while the task's probe succeeds", task_up.clone());
        let journal = Buckets.new_metric();
        let journal_help = "From appending records to their being durable";
        flow.register_with_unit("journal_write", journal_help, seconds, journal.clone());
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            flow.register(name, help, gauge.clone());
            gauge
        };
        let metrics = Self {
            inflight: gauge("task_inflight", "Calls of tasks under way"),
            held: gauge("tokens_held", "Tokens accepted and not decided"),
            unanswered: gauge("tokens_unanswered", "Tokens decided and not yet accepted by their receivers"),
            remembered: gauge("ids_remembered", "Activation ids remembered for the sake of repeated offers"),
            tables: gauge("definitions_known", "Definitions whose tables are here"),
            flowd: gauge("control_connected", "1 while the stream to flowd is open"),
            hop_duration,
            refused,
            requests,
            task_duration,
            task_up,
            journal,
            offered: HashMap::new(),
            calling: HashMap::new(),
        };
        registry.register_collector(Box::new(ResidentMemory));
        metrics
    }

    pub(crate) fn offered(&mut self, activation: ActivationId, to: &ElementId) {
        self.offered.entry(activation).or_insert_with(|| (Instant::now(), to.clone()));
    }

    /// A receiver says that a token has been durable there for as long as `ago`.
    pub(crate) fn accepted(&mut self, activation: ActivationId, ago: Duration) {
        if let Some((since, to)) = self.offered.remove(&activation) {
            let label = To { to: to.as_str().to_owned() };
            self.hop_duration.get_or_create(&label).observe(since.elapsed().saturating_sub(ago).as_secs_f64());
        }
    }

    pub(crate) fn refused(&self, why: hop::Refusal) {
        let reason = match why {
            hop::Refusal::UnknownTable => "unknown_table",
            hop::Refusal::Draining => "draining",
            hop::Refusal::Full(_) => "full",
            hop::Refusal::NotServed => "not_served",
            hop::Refusal::Forbidden => "forbidden",
        };
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn calling(&mut self, activation: ActivationId, element: &ElementId) {
        self.calling.insert(activation, (Instant::now(), element.clone()));
    }

    pub(crate) fn aborted(&mut self, activation: ActivationId) {
        self.calling.remove(&activation);
    }

    pub(crate) fn called(&mut self, activation: ActivationId, result: &Result<Answer, CallFailure>) {
        let Some((since, element)) = self.calling.remove(&activation) else { return };
        let task = element.as_str().to_owned();
        let (code_class, outcome) = match result {
            Ok(answer) => match answer.status / 100 {
                2 => ("2xx", "completed"),
                3 => ("3xx", "error"),
                4 => ("4xx", "error"),
                _ => ("5xx", "failed"),
            },
            Err(CallFailure::Down(_)) => ("none", "down"),
            Err(CallFailure::Broken(_) | CallFailure::Unanswered { .. }) => ("none", "broken"),
            Err(CallFailure::TimedOut) => ("none", "timeout"),
            Err(CallFailure::TooLarge) => ("none", "too_large"),
            Err(CallFailure::Impossible(_)) => ("none", "impossible"),
        };
        self.requests.get_or_create(&Request { task: task.clone(), code_class, outcome }).inc();
        self.task_duration.get_or_create(&Task { task }).observe(since.elapsed().as_secs_f64());
    }

    pub(crate) fn task_up(&self, service: &ServiceName, up: bool) {
        self.task_up.get_or_create(&Service { service: service.as_str().to_owned() }).set(up.into());
    }

    pub(crate) fn journal_write(&self, took: Duration) {
        self.journal.observe(took.as_secs_f64());
    }

    pub(crate) fn levels(&self, levels: Levels) {
        let set = |gauge: &Gauge, value: usize| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.inflight, levels.inflight);
        set(&self.held, levels.held);
        set(&self.unanswered, levels.unanswered);
        set(&self.remembered, levels.remembered);
        set(&self.tables, levels.tables);
        set(&self.flowd, levels.flowd.into());
    }
}
