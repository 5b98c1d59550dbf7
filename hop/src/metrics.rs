//! How long hops take: from the first offer of a token until it is on its receiver's disk. Both daemons offer, so it is here.
//!
//! A hop is found by what its token says, without a lock or an allocation once it has been made before; its trace is the exemplar, where traces
//! are exported. Labels are names of the model, never instances.

use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};
use routing::{ActivationId, Digest, ElementId, FlowId, Timestamp, Token};
use runtime::metrics::{Exemplar, Family, Histogram};
use runtime::telemetry::sampled_trace;

/// The hops that one sender has under way, and the histograms of those that it has made.
#[derive(Clone, Debug)]
pub struct Hops {
    family: Family,
    traced: bool,
    known: HashMap<Digest, Receivers>,
    under_way: HashMap<ActivationId, (Instant, Histogram, Option<u128>)>,
}

/// By the element that tokens go to; few flows lead to one.
type Receivers = HashMap<ElementId, Vec<(Option<FlowId>, Histogram)>>;

impl Hops {
    /// `flow_hop_duration_seconds`.
    pub fn family() -> Family {
        let help = "From offering a token to its receiver's word that it is durable there";
        Family::new("flow_hop_duration_seconds", help, &["process", "from", "to"])
    }

    /// None under way; `traced` if traces are exported.
    pub fn new(family: Family, traced: bool) -> Self {
        Self { family, traced, known: HashMap::new(), under_way: HashMap::new() }
    }

    /// A token is offered, perhaps again. `from` tells the process and the element that it leaves; asked once for each hop of a model.
    pub fn offered(&mut self, token: &Token, from: impl FnOnce() -> (String, String)) {
        if self.under_way.contains_key(&token.activation) {
            return;
        }
        let histogram = self.histogram(token, from);
        let trace = if self.traced { sampled_trace(&token.trace.traceparent) } else { None };
        self.under_way.insert(token.activation, (Instant::now(), histogram, trace));
    }

    fn histogram(&mut self, token: &Token, from: impl FnOnce() -> (String, String)) -> Histogram {
        let receivers = self.known.entry(token.definition).or_default();
        let known = receivers.get(&token.element).and_then(|hops| hops.iter().find(|(flow, _)| *flow == token.flow));
        if let Some((_, known)) = known {
            return known.clone();
        }
        let (process, from) = from();
        let made = self.family.with(&[&process, &from, token.element.as_str()]);
        receivers.entry(token.element.clone()).or_default().push((token.flow.clone(), made.clone()));
        made
    }

    /// A receiver says that a token has been durable there for as long as `ago`.
    pub fn accepted(&mut self, activation: ActivationId, ago: Duration, now: Timestamp) {
        let Some((since, histogram, trace)) = self.under_way.remove(&activation) else { return };
        let took = since.elapsed().saturating_sub(ago);
        match trace {
            Some(trace) => histogram.observe_in(took, Exemplar { trace, at: now }),
            None => histogram.observe(took),
        }
    }

    /// No instance runs on these definitions any more.
    pub fn retired(&mut self, definitions: &[Digest]) {
        definitions.iter().for_each(|it| drop(self.known.remove(it)));
    }
}

/// The process that a token's instance is of, without its table.
pub fn process_of(token: &Token) -> String {
    token.instance.deployment().process().to_owned()
}
