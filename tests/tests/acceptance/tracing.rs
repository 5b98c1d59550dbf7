//! One trace per instance: flowd's and the sidecars' spans over OTLP, children of the caller's trace, although the
//! tasks know nothing of tracing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use flow_tests::harness::{Answer, Mesh, Model, PATIENCE, Service, eventually};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use serde_json::json;
use tokio_stream::wrappers::TcpListenerStream;

/// The caller's trace and span.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A span with the name of the process that it comes from.
#[derive(Debug, Clone)]
struct Seen {
    process: String,
    span: Span,
}

impl Seen {
    fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    fn attribute(&self, name: &str) -> String {
        attribute(&self.span.attributes, name)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(attributes: &[KeyValue], name: &str) -> String {
    let value = attributes.iter().find(|it| it.key == name).and_then(|it| it.value.clone()?.value);
    match value {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Seen>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let mut spans = self.spans.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            let process = attribute(&resource.resource.unwrap_or_default().attributes, "service.name");
            let found = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(found.map(|span| Seen { process: process.clone(), span }));
        }
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self::default();
        let service = TraceServiceServer::new(collector.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, address)
    }

    /// The spans of one trace by name, once all of `names` are there.
    async fn trace(&self, trace: &str, names: &[&str]) -> BTreeMap<String, Vec<Seen>> {
        eventually("the spans", PATIENCE, async || {
            let mut found = BTreeMap::<String, Vec<Seen>>::new();
            for seen in self.spans.lock().unwrap().iter().filter(|seen| hex(&seen.span.trace_id) == trace) {
                found.entry(seen.span.name.clone()).or_default().push(seen.clone());
            }
            let missing: Vec<_> = names.iter().filter(|name| !found.contains_key(**name)).collect();
            if missing.is_empty() { Ok(found) } else { Err(format!("no {missing:?} in {:?}", found.keys())) }
        })
        .await
    }
}

/// A mesh that exports to the collector: first, a gateway, second, end.
async fn traced(collector: SocketAddr, second: &Service) -> (Mesh, Service, String) {
    let endpoint = format!("http://{collector}");
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "100")];
    let first = Service::adding("first", true).await;
    let mut mesh = Mesh::start_with(&[], &environment).await;
    mesh.sidecar(&[("first", &first.url())]).await;
    mesh.sidecar(&[("second", &second.url())]).await;
    let model =
        Model::new("traced").start("begin").typed("first", "first").exclusive("which", "on").typed("second", "second");
    let model = model.end("end").end("other").path(&["begin", "first", "which"]).when("off", "which", "other", "n > 5");
    let id = mesh.deploy(model.flow("on", "which", "second").path(&["second", "end"]).xml()).await;
    (mesh, first, id)
}

fn one<'a>(spans: &'a BTreeMap<String, Vec<Seen>>, name: &str) -> &'a Seen {
    match spans.get(name).map(Vec::as_slice) {
        Some([span]) => span,
        other => panic!("not one span `{name}`: {other:?}"),
    }
}

#[tokio::test]
async fn one_instance_is_one_trace_below_the_caller_s_with_a_span_per_hop_and_call() {
    let (collector, address) = Collector::start().await;
    let second = Service::adding("second", true).await;
    let (mesh, first, id) = traced(address, &second).await;
    let parent = format!("00-{TRACE}-{CALLER}-01");
    let reply = mesh.post_start(&id, "?wait=60s", &[("traceparent", &parent)], &json!({"n": 1})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let instance = reply.header("x-rexflow-iid");

    let names =
        ["startEvent begin", "hop first", "task first", "gateway which", "hop second", "task second", "endEvent end"];
    let spans = collector.trace(TRACE, &names).await;
    let begin = one(&spans, "startEvent begin");
    assert_eq!((begin.parent().as_str(), begin.span.kind()), (CALLER, SpanKind::Server), "{begin:?}");
    assert_eq!(one(&spans, "hop first").parent(), begin.id());
    let task = one(&spans, "task first");
    assert_eq!(task.parent(), one(&spans, "hop first").id(), "the task's span is a child of the hop's");
    assert_eq!(task.span.kind(), SpanKind::Consumer);
    assert_eq!(one(&spans, "gateway which").parent(), task.id());
    assert_eq!(one(&spans, "hop second").parent(), task.id());
    assert_eq!(one(&spans, "task second").parent(), one(&spans, "hop second").id());
    assert_eq!(one(&spans, "endEvent end").parent(), begin.id(), "the end is the instance's, which may have several");

    for (task, service) in [("task first", &first), ("task second", &second)] {
        let calls: Vec<_> = spans["POST /"].iter().filter(|call| call.parent() == one(&spans, task).id()).collect();
        let [call] = calls.as_slice() else { panic!("not one call below {task}: {calls:?}") };
        assert_eq!(call.span.kind(), SpanKind::Client);
        assert_eq!(call.attribute("http.response.status_code"), "200");
        let calls = service.calls();
        let seen = format!("00-{TRACE}-{}-01", call.id());
        assert_eq!(calls[0].header("traceparent"), seen, "the task's own spans nest below the call");
    }
    for name in ["hop first", "task first", "hop second", "task second"] {
        let span = one(&spans, name);
        assert_eq!(span.attribute("bpmn.process.instance.id"), instance, "{span:?}");
        assert_eq!(span.attribute("bpmn.process.version"), id, "{span:?}");
        assert_eq!(span.attribute("bpmn.element.id"), name.split_once(' ').unwrap().1, "{span:?}");
    }
    assert_eq!(task.attribute("bpmn.process.id"), "traced");
    assert_eq!(task.attribute("bpmn.element.type"), "serviceTask");
    assert_eq!(one(&spans, "hop second").attribute("bpmn.flow.id"), "on");
    for (name, process) in [("startEvent begin", "flowd"), ("task first", "flow-sidecar"), ("endEvent end", "flowd")] {
        assert_eq!(one(&spans, name).process, process, "{name}");
    }
    let listed = mesh.instance(instance).await;
    assert_eq!(listed["trace_id"], TRACE, "the instance names its trace: {listed}");
    assert!(spans.keys().all(|name| !name.contains(instance)), "no name holds an id: {:?}", spans.keys());
}

#[tokio::test]
async fn a_failed_call_is_an_error_and_its_repetition_a_span_of_its_own() {
    let (collector, address) = Collector::start().await;
    let second = Service::start(|call| async move {
        if call.header("x-rexflow-attempt") == "1" {
            Answer::Other(503, "text/plain", "not yet".into())
        } else {
            Answer::Json(json!({"second": true}))
        }
    })
    .await;
    let (mesh, _first, id) = traced(address, &second).await;
    // B3, as older meshes send it.
    let b3 = format!("{TRACE}-{CALLER}-1");
    let reply = mesh.post_start(&id, "?wait=60s", &[("b3", &b3)], &json!({"n": 1})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let spans = collector.trace(TRACE, &["task second", "endEvent end"]).await;
    let task = one(&spans, "task second").id();
    let mut calls: Vec<_> = spans["POST /"].iter().filter(|call| call.parent() == task).collect();
    calls.sort_by_key(|call| call.span.start_time_unix_nano);
    let statuses: Vec<_> = calls.iter().map(|call| call.attribute("http.response.status_code")).collect();
    assert_eq!(statuses, ["503", "200"]);
    let status = calls[0].span.status.clone().unwrap_or_default();
    assert_eq!(status.code(), StatusCode::Error, "{:?}", calls[0]);
    assert_eq!(calls[1].attribute("http.request.resend_count"), "1");
}

#[tokio::test]
async fn a_caller_that_does_not_sample_is_not_recorded_and_the_trace_goes_on_through_the_tasks() {
    let (collector, address) = Collector::start().await;
    let second = Service::adding("second", true).await;
    let (mesh, first, id) = traced(address, &second).await;
    let parent = format!("00-{TRACE}-{CALLER}-00");
    let reply = mesh.post_start(&id, "?wait=60s", &[("traceparent", &parent)], &json!({"n": 1})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    for service in [&first, &second] {
        let calls = service.calls();
        let seen = calls[0].header("traceparent");
        assert!(seen.contains(TRACE) && seen.ends_with("-00"), "{seen}");
    }
    // An instance without a caller's trace is exported; it ends the wait for what must not come.
    let own = mesh.complete(&id, &json!({"n": 1})).await["trace_id"].as_str().unwrap().to_owned();
    collector.trace(&own, &["startEvent begin", "task second", "endEvent end"]).await;
    let spans = collector.spans.lock().unwrap();
    assert!(spans.iter().all(|seen| hex(&seen.span.trace_id) != TRACE), "{spans:?}");
}
