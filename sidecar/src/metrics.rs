//! What a sidecar counts, for `/metrics`. Labels are names of the model and of services, never instances.
//!
//! What is counted for every token goes by handles that were made when its task was seen first (`series`): no lock, no allocation. Durations
//! have the trace that they were measured in as exemplar, where traces are exported.

mod series;

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};
use hop::Refusal;
use hop::metrics::Hops;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as Labelled;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use routing::mapping::Answer;
use routing::step::CallFailure;
use routing::{ActivationId, Compiled, Digest, ElementId, ServiceName, Timestamp, Token};
use runtime::memory::ResidentMemory;
use runtime::metrics::{Exemplar, Exposition, Family, Histogram};
use runtime::telemetry::sampled_trace;

use crate::core::Call;
use series::{OfTask, Series};

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    series: Series,
    refused: [Counter; REASONS.len()],
    task_up: Labelled<Service, Gauge>,
    journal: Histogram,
    gauges: Gauges,
    /// Traces are exported: they can be found by an exemplar.
    traced: bool,
    hops: Hops,
    calling: HashMap<ActivationId, Calling>,
}

#[derive(Clone, Debug)]
struct Calling {
    since: Instant,
    of: Arc<OfTask>,
    trace: Option<u128>,
}

/// What the engine holds now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Levels {
    pub(crate) inflight: usize,
    pub(crate) queued: usize,
    pub(crate) held: usize,
    pub(crate) unanswered: usize,
    pub(crate) remembered: usize,
    pub(crate) tables: usize,
    /// Of the bindings in force; 0 until flowd has sent some.
    pub(crate) version: u64,
    pub(crate) flowd: bool,
}

#[derive(Clone, Debug, Default)]
struct Gauges {
    inflight: Gauge,
    queued: Gauge,
    held: Gauge,
    unanswered: Gauge,
    remembered: Gauge,
    tables: Gauge,
    version: Gauge,
    flowd: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Service {
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

const REASONS: [&str; 5] = ["unknown_table", "draining", "full", "not_served", "forbidden"];

/// Which of [`REASONS`] it is.
fn reason(why: Refusal) -> usize {
    match why {
        Refusal::UnknownTable => 0,
        Refusal::Draining => 1,
        Refusal::Full(_) => 2,
        Refusal::NotServed => 3,
        Refusal::Forbidden => 4,
    }
}

impl Metrics {
    /// All of them at zero, and the page that shows them; `traced` if traces are exported.
    pub(crate) fn new(traced: bool) -> (Self, Exposition) {
        let mut registry = Registry::default();
        let flow = registry.sub_registry_with_prefix("flow");
        let refused = Labelled::<Reason, Counter>::default();
        flow.register("offers_refused", "Offers that were not taken here, by reason", refused.clone());
        let task_up = Labelled::default();
        flow.register("task_up", "1 while the task's probe succeeds", task_up.clone());
        let gauges = Gauges::default();
        gauges.register(flow);
        let series = Series::new(flow);
        registry.register_collector(Box::new(ResidentMemory));
        let help = "From appending records to the journal to their being durable";
        let journal = Family::new("flow_journal_fsync_seconds", help, &[]);
        let hops = Hops::family();
        let metrics = Self {
            refused: REASONS.map(|reason| refused.get_or_create_owned(&Reason { reason })),
            task_up,
            journal: journal.with(&[]),
            gauges,
            traced,
            hops: Hops::new(hops.clone(), traced),
            calling: HashMap::new(),
            series,
        };
        let page = Exposition::new(registry, [hops, metrics.series.family(), journal]);
        (metrics, page)
    }

    /// Tables of tasks that are served here: whose hops go out by which flows.
    pub(crate) fn learn<'a>(
        &mut self,
        definition: Digest,
        served: impl IntoIterator<Item = (&'a ElementId, &'a Compiled)>,
    ) {
        self.series.learn(definition, served);
    }

    /// No instance runs on these definitions any more.
    pub(crate) fn retired(&mut self, definitions: &[Digest]) {
        self.series.retired(definitions);
        self.hops.retired(definitions);
    }

    /// A token is offered, perhaps again.
    pub(crate) fn offered(&mut self, token: &Token) {
        let Self { hops, series, .. } = self;
        hops.offered(token, || series.sender(token));
    }

    /// A receiver says that a token has been durable there for as long as `ago`.
    pub(crate) fn accepted(&mut self, activation: ActivationId, ago: Duration, now: Timestamp) {
        self.hops.accepted(activation, ago, now);
    }

    pub(crate) fn refused(&self, why: Refusal) {
        self.refused[reason(why)].inc();
    }

    /// A call begins.
    pub(crate) fn calling(&mut self, call: &Call) {
        let of = self.series.task(&call.token, call.table.table().process.as_str());
        of.attempt(call.attempt > 0);
        let trace = if self.traced { sampled_trace(&call.token.trace.traceparent) } else { None };
        self.calling.insert(call.activation, Calling { since: Instant::now(), of, trace });
    }

    pub(crate) fn aborted(&mut self, activation: ActivationId) {
        self.calling.remove(&activation);
    }

    /// A call has ended.
    pub(crate) fn called(&mut self, activation: ActivationId, result: &Result<Answer, CallFailure>, now: Timestamp) {
        let Some(Calling { since, of, trace }) = self.calling.remove(&activation) else { return };
        of.ended(result);
        match trace {
            Some(trace) => of.took.observe_in(since.elapsed(), Exemplar { trace, at: now }),
            None => of.took.observe(since.elapsed()),
        }
    }

    pub(crate) fn task_up(&self, service: &ServiceName, up: bool) {
        self.task_up.get_or_create(&Service { service: service.as_str().to_owned() }).set(up.into());
    }

    pub(crate) fn journal_write(&self, took: Duration) {
        self.journal.observe(took);
    }

    pub(crate) fn levels(&self, levels: Levels) {
        let count = |gauge: &Gauge, value: usize| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        let Gauges { inflight, queued, held, unanswered, remembered, tables, version, flowd } = &self.gauges;
        count(inflight, levels.inflight);
        count(queued, levels.queued);
        count(held, levels.held);
        count(unanswered, levels.unanswered);
        count(remembered, levels.remembered);
        count(tables, levels.tables);
        version.set(i64::try_from(levels.version).unwrap_or(i64::MAX));
        flowd.set(levels.flowd.into());
    }
}

impl Gauges {
    fn register(&self, flow: &mut Registry) {
        let Self { inflight, queued, held, unanswered, remembered, tables, version, flowd } = self;
        for (name, help, gauge) in [
            ("task_inflight", "Calls of tasks under way", inflight),
            ("task_queue_depth", "Calls that wait for a place at their task", queued),
            ("tokens_held", "Tokens accepted and not decided", held),
            ("tokens_unanswered", "Tokens decided and not yet accepted by their receivers", unanswered),
            ("ids_remembered", "Activation ids remembered for the sake of repeated offers", remembered),
            ("definitions_known", "Definitions whose tables are here", tables),
            ("routing_table_version", "Version of the bindings in force, as flowd counts them", version),
            ("control_connected", "1 while the stream to flowd is open", flowd),
        ] {
            flow.register(name, help, gauge.clone());
        }
    }
}
