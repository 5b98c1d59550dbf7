//! Spans with explicit times, that cost nothing when nobody records them.

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, Span as SdkSpan};

use super::context::{Parent, TraceContext};
use super::propagation::Propagators;
use super::settings::Sampler;

/// Makes spans. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tracer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    sdk: Option<SdkTracer>,
    sampler: Sampler,
    propagators: Propagators,
    ids: RandomIdGenerator,
}

impl Tracer {
    pub(super) fn new(sdk: Option<SdkTracer>, sampler: Sampler, propagators: Propagators) -> Self {
        Self { inner: Arc::new(Inner { sdk, sampler, propagators, ids: RandomIdGenerator::default() }) }
    }

    /// One that exports nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::new(None, Sampler::default(), Propagators::default())
    }

    /// What goes into the headers of outgoing requests.
    #[must_use]
    pub fn propagators(&self) -> Propagators {
        self.inner.propagators
    }

    /// True if spans are exported at all.
    #[must_use]
    pub fn is_exporting(&self) -> bool {
        self.inner.sdk.is_some()
    }

    /// A span that began at `start`, as a child of `parent` (without a trace: the root of a new one). `name` is only
    /// formatted when the span is recorded: give `format_args!(..)`.
    #[must_use]
    pub fn span(&self, name: impl Display, kind: SpanKind, parent: &TraceContext, start: SystemTime) -> Span {
        self.linked_span(name, kind, parent, start, &[])
    }

    /// The same with links to other spans (what a join waited for, the span before a long wait).
    #[must_use]
    pub fn linked_span(
        &self,
        name: impl Display,
        kind: SpanKind,
        parent: &TraceContext,
        start: SystemTime,
        links: &[TraceContext],
    ) -> Span {
        let Some(sdk) = self.inner.sdk.as_ref().filter(|_| self.may_record(parent)) else {
            return Span { recorded: None, context: self.passed_on(parent) };
        };
        let mut text = String::new();
        // Writing to a string fails only if the name's own formatting does; a part of it is name enough.
        let _ = write!(text, "{name}");
        let mut builder = SpanBuilder::from_name(text).with_kind(kind).with_start_time(start);
        if !links.is_empty() {
            let links = links.iter().filter_map(span_context);
            builder = builder.with_links(links.map(Link::with_context).collect());
        }
        let cx = match span_context(parent) {
            Some(remote) => Context::new().with_remote_span_context(remote),
            None => Context::new(),
        };
        self.started(sdk.build_with_context(builder, &cx), parent)
    }

    /// False if the decision is made already, and is no.
    fn may_record(&self, parent: &TraceContext) -> bool {
        !(self.inner.sampler.parent_based && parent.has_trace() && !parent.is_sampled())
    }

    fn started(&self, span: SdkSpan, parent: &TraceContext) -> Span {
        let own = span.span_context();
        if !span.is_recording() {
            // Not sampled (or shut down): nobody will ever see this span, so the context stays the parent's.
            return Span { recorded: None, context: self.passed_on(parent) };
        }
        let flags = own.trace_flags().to_u8();
        let ids = (own.trace_id(), own.span_id());
        let context = parent.at(Parent {
            trace_id: u128::from_be_bytes(ids.0.to_bytes()),
            span_id: u64::from_be_bytes(ids.1.to_bytes()),
            flags,
        });
        Span { recorded: Some(Box::new(span)), context }
    }

    /// The parent's context, or that of a new trace, so that all hops share one trace id. The sampled flag of a new
    /// trace is the sampler's: whoever records further on is not kept from it.
    fn passed_on(&self, parent: &TraceContext) -> TraceContext {
        if parent.has_trace() {
            return parent.clone();
        }
        let trace_id = u128::from_be_bytes(self.inner.ids.new_trace_id().to_bytes());
        let span_id = u64::from_be_bytes(self.inner.ids.new_span_id().to_bytes());
        let sampled = self.inner.sampler.samples_root(trace_id) && self.inner.sdk.is_none();
        match Parent::new(trace_id, span_id, sampled) {
            Some(root) => parent.at(root),
            None => parent.clone(),
        }
    }
}

fn span_context(context: &TraceContext) -> Option<SpanContext> {
    let parent = context.parent?;
    Some(SpanContext::new(
        TraceId::from_bytes(parent.trace_id.to_be_bytes()),
        SpanId::from_bytes(parent.span_id.to_be_bytes()),
        TraceFlags::new(parent.flags),
        true,
        trace_state(context.tracestate()),
    ))
}

fn trace_state(header: &str) -> TraceState {
    let members = header.split(',').filter_map(|member| member.trim().split_once('='));
    TraceState::from_key_value(members).unwrap_or_default()
}

/// A span that has begun. Without [`Span::end`] it ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    // Boxed: spans wait in maps beside what they measure, and mostly there is none.
    recorded: Option<Box<SdkSpan>>,
    context: TraceContext,
}

impl Span {
    /// True if somebody will see it. Attributes that cost something to make are worth asking.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.recorded.is_some()
    }

    /// The context to carry on: that of this span, or the parent's if it is not recorded.
    #[must_use]
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Sets an attribute.
    pub fn set(&mut self, key: &'static str, value: impl AttributeValue) {
        if let Some(span) = &mut self.recorded {
            span.set_attribute(KeyValue::new(key, value.into_value()));
        }
    }

    /// Something happened at `at`.
    pub fn event(&mut self, at: SystemTime, name: &'static str, attributes: &[(&'static str, &str)]) {
        if let Some(span) = &mut self.recorded {
            let attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, (*value).to_owned()));
            span.add_event_with_timestamp(name, at, attributes.collect());
        }
    }

    /// Links another span.
    pub fn link(&mut self, other: &TraceContext) {
        if let (Some(span), Some(other)) = (&mut self.recorded, span_context(other)) {
            span.add_link(other, Vec::new());
        }
    }

    /// The span failed: its status becomes error, and `error.type` is `kind` (a code of few values, no message).
    pub fn error(&mut self, kind: &str) {
        if let Some(span) = &mut self.recorded {
            span.set_attribute(KeyValue::new("error.type", kind.to_owned()));
            span.set_status(Status::error(kind.to_owned()));
        }
    }

    /// The span ended at `at`.
    pub fn end(mut self, at: SystemTime) {
        if let Some(mut span) = self.recorded.take() {
            span.end_with_timestamp(at);
        }
    }
}

/// What an attribute may hold; converted only when the span is recorded.
pub trait AttributeValue {
    /// As OpenTelemetry has it.
    fn into_value(self) -> Value;
}

impl AttributeValue for &str {
    fn into_value(self) -> Value {
        self.to_owned().into()
    }
}

impl AttributeValue for String {
    fn into_value(self) -> Value {
        self.into()
    }
}

impl AttributeValue for bool {
    fn into_value(self) -> Value {
        self.into()
    }
}

impl AttributeValue for f64 {
    fn into_value(self) -> Value {
        self.into()
    }
}

macro_rules! integer_attributes {
    ($($integer:ty),*) => {$(
        impl AttributeValue for $integer {
            fn into_value(self) -> Value {
                i64::try_from(self).unwrap_or(i64::MAX).into()
            }
        }
    )*};
}

integer_attributes!(u16, u32, u64, usize, i32, i64);
