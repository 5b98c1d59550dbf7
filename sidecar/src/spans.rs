//! The span tree of a token's way (`hop` CLIENT at the sender, `task` CONSUMER from arrival to decision,
//! the call CLIENT per attempt, folded elements INTERNAL), as children of the instance's trace.
//!
//! When nothing is exported nothing is kept here, and contexts pass through as they came. Names hold the
//! element's name, never an id of an instance; payloads are never looked at.

use foldhash::{HashMap, HashMapExt as _};

use hop::Offer;
use hop::spans::{Hops, at, carried, context, describe};
use routing::mapping::Answer;
use routing::step::CallFailure;
use routing::{ActivationId, ElementId, HopRecord, Timestamp};
use runtime::telemetry::{Span, SpanKind, TraceContext, Tracer};

use crate::core::Call;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Spans {
    tracer: Tracer,
    tasks: HashMap<ActivationId, (ElementId, Span)>,
    calls: HashMap<ActivationId, Span>,
    hops: Hops,
}

impl Spans {
    pub(crate) fn new(tracer: Tracer) -> Self {
        let hops = Hops::new(tracer.clone());
        Self { tracer, tasks: HashMap::new(), calls: HashMap::new(), hops }
    }

    /// A call begins (and the task's span, at the first). Gives the context for the request when that is not the token's own, and the
    /// one that the token's products travel under, likewise.
    pub(crate) fn calling(
        &mut self,
        call: &Call,
        now: Timestamp,
    ) -> (Option<TraceContext>, Option<routing::TraceContext>) {
        if !self.tracer.is_exporting() {
            return (None, None);
        }
        let trace = context(&call.token.trace);
        let mut begun = None;
        if !self.tasks.contains_key(&call.activation) {
            let span = self.task_span(call, &trace);
            begun = Some(carried(span.context()));
            self.tasks.insert(call.activation, (call.token.element.clone(), span));
        }
        let parent = self.tasks.get(&call.activation).map_or(&trace, |(_, span)| span.context());
        let name = format_args!("{} {}", call.request.method, path(&call.request.path));
        let mut span = self.tracer.span(name, SpanKind::Client, parent, at(now));
        if span.is_recording() {
            span.set("http.request.method", call.request.method.as_str());
            span.set("url.path", path(&call.request.path));
            span.set("bpmn.attempt", call.attempt + 1);
            if call.attempt > 0 {
                span.set("http.request.resend_count", call.attempt);
            }
            describe(&mut span, &call.token);
        }
        let headers = span.context().clone();
        self.calls.insert(call.activation, span);
        (Some(headers), begun)
    }

    fn task_span(&self, call: &Call, parent: &TraceContext) -> Span {
        let table = call.table.table();
        let node = table.find(call.token.element.as_str()).map(|node| table.node(node));
        let name = node.map_or(call.token.element.as_str(), |node| node.name.as_str());
        let mut span = self.tracer.span(format_args!("task {name}"), SpanKind::Consumer, parent, at(call.arrived));
        if span.is_recording() {
            describe(&mut span, &call.token);
            span.set("bpmn.process.id", table.process.as_str());
            span.set("bpmn.element.type", node.map_or("", |node| node.element.as_str()));
            span.set("bpmn.element.name", name);
        }
        span
    }

    /// A call has ended.
    pub(crate) fn called(&mut self, activation: ActivationId, result: &Result<Answer, CallFailure>, now: Timestamp) {
        let Some(mut span) = self.calls.remove(&activation) else { return };
        match result {
            Ok(answer) => {
                span.set("http.response.status_code", answer.status);
                if answer.status >= 400 {
                    span.error(&answer.status.to_string());
                }
            }
            Err(failure) => span.error(kind(failure)),
        }
        span.end(at(now));
    }

    /// A call was ended by us.
    pub(crate) fn aborted(&mut self, activation: ActivationId, now: Timestamp) {
        if let Some(mut span) = self.calls.remove(&activation) {
            span.error("aborted");
            span.end(at(now));
        }
    }

    /// An element was passed, or a task has decided.
    pub(crate) fn passed(&mut self, record: &HopRecord) {
        if self.tasks.is_empty() {
            return;
        }
        if self.tasks.get(&record.activation).is_some_and(|(element, _)| *element == record.element) {
            self.decided(record);
            return;
        }
        let Some((_, task)) = self.tasks.get(&record.parent).or_else(|| self.tasks.get(&record.activation)) else {
            return;
        };
        let name = format_args!("{} {}", short(&record.kind), record.name);
        let mut span = self.tracer.span(name, SpanKind::Internal, task.context(), at(record.started));
        if span.is_recording() {
            span.set("bpmn.process.instance.id", record.instance.as_str());
            span.set("bpmn.process.version", record.instance.deployment().as_str());
            span.set("bpmn.element.id", record.element.as_str());
            span.set("bpmn.element.type", record.kind.as_str());
        }
        span.end(at(record.ended));
    }

    fn decided(&mut self, record: &HopRecord) {
        let Some((_, mut span)) = self.tasks.remove(&record.activation) else { return };
        if span.is_recording() {
            span.set("bpmn.attempts", record.attempts);
            span.set("bpmn.status", record.status.as_str());
        }
        match record.status.split_once(' ') {
            Some(("incident", code)) => span.error(code),
            // Caught: the process goes on as it is modelled.
            Some(("error", code)) => span.event(at(record.ended), "bpmn.error", &[("bpmn.error.code", code)]),
            _ => {}
        }
        span.end(at(record.ended));
    }

    /// A token is offered.
    pub(crate) fn offered(&mut self, offer: &mut Offer, now: Timestamp) {
        self.hops.offered(offer, now);
    }

    /// A token is on its receiver's disk.
    pub(crate) fn accepted(&mut self, activation: ActivationId, now: Timestamp) {
        self.hops.accepted(activation, now);
    }
}

/// `gateway` for every kind of gateway, so that an operation list stays short; else the BPMN word.
fn short(kind: &str) -> &str {
    if kind.ends_with("Gateway") { "gateway" } else { kind }
}

/// Without the query, which may hold data.
fn path(target: &str) -> &str {
    target.split('?').next().unwrap_or(target)
}

fn kind(failure: &CallFailure) -> &'static str {
    match failure {
        CallFailure::Down(_) => "connection_refused",
        CallFailure::Broken(_) | CallFailure::Unanswered { .. } => "connection_broken",
        CallFailure::TimedOut => "timeout",
        CallFailure::TooLarge => "answer_too_large",
        CallFailure::Impossible(_) => "impossible",
    }
}
