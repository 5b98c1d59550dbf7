//! Spans over OTLP to a receiver in this process: names, parents, links, attributes, times, sampling, flush.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flow_runtime::drain;
use flow_runtime::telemetry::{Sampler, Settings, SpanKind, TraceContext, Tracer, Tracing};
use flow_runtime::tls::{Incoming, Limits};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as OtlpSpan;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

const DEADLINE: Duration = Duration::from_secs(10);

/// A collector that hands on what it gets.
struct Receiver {
    requests: mpsc::UnboundedSender<ExportTraceServiceRequest>,
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let _ = self.requests.send(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn receiver() -> (SocketAddr, mpsc::UnboundedReceiver<ExportTraceServiceRequest>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (trigger, watcher) = drain::new();
    let incoming = Incoming::new(listener, None, Limits::default(), watcher).expect("it is bound");
    let address = incoming.local_addr();
    let (requests, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let _alive = trigger;
        let service = TraceServiceServer::new(Receiver { requests });
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await
    });
    (address, received)
}

fn settings(address: SocketAddr) -> Settings {
    Settings {
        endpoint: Some(format!("http://{address}")),
        service: "flow-sidecar".to_owned(),
        attributes: vec![("deployment.environment.name".to_owned(), "test".to_owned())],
        timeout: Some(Duration::from_secs(2)),
        ..Settings::default()
    }
}

fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

fn attribute(span: &OtlpSpan, key: &str) -> Option<Value> {
    span.attributes.iter().find(|pair| pair.key == key)?.value.as_ref()?.value.clone()
}

fn string(text: &str) -> Option<Value> {
    Some(Value::StringValue(text.to_owned()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hop with a failed task call in it, joined with another trace.
fn hop_and_call(tracer: &Tracer, parent: &TraceContext, other: &TraceContext) -> TraceContext {
    let links = [other.clone(), TraceContext::default()];
    let name = format_args!("hop {}", "Check stock");
    let mut hop = tracer.linked_span(name, SpanKind::Internal, parent, at(1_000), &links);
    assert!(hop.is_recording());
    hop.set("bpmn.element.id", "Task_1");
    hop.set("bpmn.attempt", 2_u32);
    let context = hop.context().clone();
    let mut call = tracer.span("POST /", SpanKind::Client, &context, at(1_010));
    call.event(at(1_015), "retry", &[("reason", "503")]);
    call.error("HTTP_503");
    call.end(at(1_020));
    hop.end(at(1_030));
    context
}

/// The runtime of this test has one thread, like the daemons': nothing may wait for the exporter on it.
#[tokio::test]
async fn spans_arrive_as_they_were_made() {
    let (address, mut received) = receiver().await;
    let tracing = Tracing::start(&settings(address)).unwrap();
    let tracer = tracing.tracer();
    assert!(tracer.is_exporting());
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = TraceContext::parse(&format!("00-{trace}-00f067aa0ba902b7-01"), "a=1", "k=v");
    let other = TraceContext::parse(&format!("00-{}-00000000000000aa-01", "1".repeat(32)), "", "");
    let context = hop_and_call(&tracer, &parent, &other);
    assert_eq!((context.trace_id().as_str(), context.tracestate(), context.baggage()), (trace, "a=1", "k=v"));

    tracing.shutdown(DEADLINE).await.unwrap();
    let request = received.recv().await.unwrap();
    let [resource] = request.resource_spans.as_slice() else { panic!("{request:?}") };
    let attributes = &resource.resource.as_ref().unwrap().attributes;
    for (key, value) in [("service.name", "flow-sidecar"), ("deployment.environment.name", "test")] {
        let found = attributes.iter().find(|pair| pair.key == key).unwrap();
        assert_eq!(found.value.as_ref().unwrap().value, string(value));
    }
    let mut spans: Vec<OtlpSpan> = resource.scope_spans.iter().flat_map(|scope| scope.spans.clone()).collect();
    spans.sort_by_key(|span| span.start_time_unix_nano);
    let [hop, call] = spans.as_slice() else { panic!("{spans:?}") };
    check_hop(hop, trace, &context);
    check_call(call, hop);
}

fn check_hop(hop: &OtlpSpan, trace: &str, context: &TraceContext) {
    assert_eq!(hop.name, "hop Check stock");
    assert_eq!(hex(&hop.trace_id), trace);
    assert_eq!(hex(&hop.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(context.traceparent(), format!("00-{trace}-{}-01", hex(&hop.span_id)));
    assert_eq!(hop.trace_state, "a=1");
    assert_eq!(hop.kind, 1, "internal");
    assert_eq!((hop.start_time_unix_nano, hop.end_time_unix_nano), (1_000_000_000, 1_030_000_000));
    assert_eq!(attribute(hop, "bpmn.element.id"), string("Task_1"));
    assert_eq!(attribute(hop, "bpmn.attempt"), Some(Value::IntValue(2)));
    let [link] = hop.links.as_slice() else { panic!("{:?}", hop.links) };
    assert_eq!((hex(&link.trace_id), hex(&link.span_id)), ("1".repeat(32), "00000000000000aa".to_owned()));
}

fn check_call(call: &OtlpSpan, hop: &OtlpSpan) {
    assert_eq!((call.name.as_str(), call.kind), ("POST /", 3), "client");
    assert_eq!((&call.trace_id, &call.parent_span_id), (&hop.trace_id, &hop.span_id));
    assert_eq!(call.status.as_ref().map_or(0, |status| status.code), 2, "error");
    assert_eq!(attribute(call, "error.type"), string("HTTP_503"));
    let [event] = call.events.as_slice() else { panic!("{:?}", call.events) };
    assert_eq!((event.name.as_str(), event.time_unix_nano), ("retry", 1_015_000_000));
}

#[tokio::test]
async fn the_decision_of_the_caller_and_the_sampler_are_kept() {
    let (address, mut received) = receiver().await;
    let sampler = Sampler { ratio: 0.0, parent_based: true };
    let tracing = Tracing::start(&Settings { sampler, ..settings(address) }).unwrap();
    let tracer = tracing.tracer();
    let parent = |flags: &str| TraceContext::parse(&format!("00-{}-00000000000000aa-{flags}", "1".repeat(32)), "", "");
    let unsampled = tracer.span("no", SpanKind::Server, &parent("00"), at(0));
    assert!(!unsampled.is_recording());
    assert_eq!(unsampled.context(), &parent("00"));
    let root = tracer.span("no", SpanKind::Server, &TraceContext::default(), at(0));
    assert!(!root.is_recording() && root.context().has_trace() && !root.context().is_sampled());
    tracer.span("yes", SpanKind::Server, &parent("01"), at(0)).end(at(1));
    tracing.shutdown(DEADLINE).await.unwrap();
    let request = received.recv().await.unwrap();
    let names: Vec<String> = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .map(|span| span.name)
        .collect();
    assert_eq!(names, ["yes"]);
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_up_the_end() {
    // Takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tracing = Tracing::start(&settings(silent.local_addr().unwrap())).unwrap();
    let tracer = tracing.tracer();
    tracer.span("lost", SpanKind::Internal, &TraceContext::default(), at(0)).end(at(1));
    let begun = std::time::Instant::now();
    assert!(tracing.shutdown(Duration::from_millis(200)).await.is_err());
    assert!(begun.elapsed() < DEADLINE);
    let after = tracer.span("after", SpanKind::Internal, &TraceContext::default(), at(0));
    assert!(!after.is_recording() && after.context().has_trace());
}

#[tokio::test]
async fn a_bad_endpoint_is_named() {
    for endpoint in ["https://collector:4317", "not a uri"] {
        let settings = Settings { endpoint: Some(endpoint.to_owned()), ..Settings::default() };
        let error = Tracing::start(&settings).unwrap_err().to_string();
        assert!(error.contains(endpoint) && error.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{error}");
    }
}
