//! The span of a hop: from the first offer of a token until it is on its receiver's disk. Both daemons offer, so it
//! is here, with what every span of a token says and how a token carries its trace.
//!
//! When nothing is exported nothing is kept, and contexts pass through as they came. Names hold the element's id,
//! never an instance's; payloads are never looked at.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foldhash::{HashMap, HashMapExt as _};
use routing::{ActivationId, Timestamp, Token};
use runtime::telemetry::{Span, SpanKind, TraceContext, Tracer};

use crate::Offer;

/// The spans of the hops that one sender has under way.
#[derive(Debug)]
pub struct Hops {
    tracer: Tracer,
    open: HashMap<ActivationId, Span>,
}

impl Hops {
    /// None under way.
    pub fn new(tracer: Tracer) -> Self {
        Self { tracer, open: HashMap::new() }
    }

    /// A token is offered: it travels under the hop's span, the same one when it is offered again.
    pub fn offered(&mut self, offer: &mut Offer, now: Timestamp) {
        if !self.tracer.is_exporting() {
            return;
        }
        let token = &mut Arc::make_mut(&mut offer.product).token;
        let tracer = &self.tracer;
        let span = self.open.entry(token.activation).or_insert_with(|| {
            let name = format_args!("hop {}", token.element);
            let mut span = tracer.span(name, SpanKind::Client, &context(&token.trace), at(now));
            describe(&mut span, token);
            span
        });
        token.trace = carried(span.context());
    }

    /// A token is on its receiver's disk.
    pub fn accepted(&mut self, activation: ActivationId, now: Timestamp) {
        if let Some(span) = self.open.remove(&activation) {
            span.end(at(now));
        }
    }
}

/// What every span of a token says of it.
pub fn describe(span: &mut Span, token: &Token) {
    if !span.is_recording() {
        return;
    }
    span.set("bpmn.process.instance.id", token.instance.as_str());
    span.set("bpmn.process.version", token.instance.deployment().as_str());
    span.set("bpmn.element.id", token.element.as_str());
    span.set("bpmn.token.id", token.activation.to_string());
    if let Some(flow) = &token.flow {
        span.set("bpmn.flow.id", flow.as_str());
    }
}

/// The trace that a token travels in.
pub fn context(trace: &routing::TraceContext) -> TraceContext {
    TraceContext::parse(&trace.traceparent, &trace.tracestate, &trace.baggage)
}

/// The same as a token carries it.
pub fn carried(context: &TraceContext) -> routing::TraceContext {
    routing::TraceContext {
        traceparent: context.traceparent(),
        tracestate: context.tracestate().to_owned(),
        baggage: context.baggage().to_owned(),
    }
}

/// A token's time as a span has it.
pub fn at(time: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(time)
}
