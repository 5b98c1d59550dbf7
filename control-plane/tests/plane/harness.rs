//! A flowd in this process on free ports, and what the tests ask of it.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use flow_control_plane::{App, Config};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use proto::v1;
use proto::v1::flow_client::FlowClient;
use runtime::drain::{self, DrainTrigger};
use serde_json::Value;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// How long anything may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// A process with one task, served by `approve`.
pub(super) fn one_task(id: &str) -> String {
    format!(
        r#"<?xml version="1.0"?>
<bpmn:definitions xmlns:bpmn="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="urn:test">
  <bpmn:process id="{id}" name="Orders" isExecutable="true">
    <bpmn:startEvent id="begin"/>
    <bpmn:serviceTask id="check" name="Check order"/>
    <bpmn:endEvent id="end" name="All done"/>
    <bpmn:sequenceFlow id="f1" sourceRef="begin" targetRef="check"/>
    <bpmn:sequenceFlow id="f2" sourceRef="check" targetRef="end"/>
    <bpmn:textAnnotation id="service"><bpmn:text>rexflow:
  service:
    host: approve</bpmn:text></bpmn:textAnnotation>
    <bpmn:association id="a1" sourceRef="check" targetRef="service"/>
    <bpmn:textAnnotation id="global"><bpmn:text>rexflow_global_properties:
  recoverable: true
  user_opaque_metadata:
    team: orders</bpmn:text></bpmn:textAnnotation>
  </bpmn:process>
</bpmn:definitions>"#
    )
}

/// A process without tasks, with two start events: it ends as it begins.
pub(super) fn no_task(id: &str) -> String {
    format!(
        r#"<?xml version="1.0"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="urn:test">
  <process id="{id}" isExecutable="true">
    <startEvent id="one"/>
    <startEvent id="two"/>
    <endEvent id="end"/>
    <sequenceFlow id="f1" sourceRef="one" targetRef="end"/>
    <sequenceFlow id="f2" sourceRef="two" targetRef="end"/>
  </process>
</definitions>"#
    )
}

/// flowd, as it runs.
pub(super) struct Plane {
    pub(super) grpc: std::net::SocketAddr,
    pub(super) http: std::net::SocketAddr,
    trigger: DrainTrigger,
    running: JoinHandle<anyhow::Result<()>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An HTTP answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

impl Plane {
    pub(super) async fn start(folder: &Path) -> Self {
        Self::with(Config::local(folder)).await
    }

    pub(super) async fn with(config: Config) -> Self {
        let (trigger, _) = drain::new();
        let bound = App::build(config, trigger.clone()).await.unwrap();
        let (grpc, http, readiness) = (bound.grpc, bound.http, bound.readiness());
        let running = tokio::spawn(bound.run());
        tokio::time::timeout(DEADLINE, readiness.ready()).await.unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { grpc, http, trigger, running, client }
    }

    /// Drains it and waits for its end.
    pub(super) async fn stop(self) {
        self.trigger.drain();
        tokio::time::timeout(DEADLINE, self.running).await.unwrap().unwrap().unwrap();
    }

    pub(super) async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.grpc)).unwrap().connect().await.unwrap()
    }

    pub(super) async fn flow(&self) -> FlowClient<Channel> {
        FlowClient::new(self.channel().await)
    }

    pub(super) async fn apply(&self, xml: &str) -> v1::ApplyResponse {
        let request = v1::ApplyRequest { bpmn_xml: xml.to_owned().into(), ..v1::ApplyRequest::default() };
        self.flow().await.apply(request).await.unwrap().into_inner()
    }

    pub(super) async fn deployment(&self, id: &str) -> Option<v1::Deployment> {
        let request = v1::ListRequest { ids: vec![id.to_owned()], ..v1::ListRequest::default() };
        let mut list = self.flow().await.list_deployments(request).await.ok()?.into_inner();
        list.message().await.unwrap()
    }

    /// Waits until a deployment is in `state`.
    pub(super) async fn state(&self, id: &str, state: &str) -> v1::Deployment {
        let mut last = None;
        let reached = async {
            loop {
                last = self.deployment(id).await;
                if let Some(it) = last.as_ref().filter(|it| it.state == state) {
                    return it.clone();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(DEADLINE, reached).await {
            Ok(deployment) => deployment,
            Err(_) => panic!("{id} is not {state}"),
        }
    }

    pub(super) async fn run(&self, id: &str, body: &str) -> Result<v1::Instance, tonic::Status> {
        let payload = Some(v1::Payload { content_type: "application/json".into(), body: body.to_owned().into() });
        let request = v1::RunRequest { id: id.to_owned(), payload, ..v1::RunRequest::default() };
        self.flow().await.run(request).await.map(tonic::Response::into_inner)
    }

    pub(super) async fn wait(&self, instance: &str) -> v1::Instance {
        let timeout_ms = DEADLINE.as_millis() as u64;
        let request = v1::WaitRequest { instance: instance.to_owned(), timeout_ms };
        self.flow().await.wait(request).await.unwrap().into_inner()
    }

    pub(super) async fn operate(&self, verb: &str, kind: v1::Kind, id: &str, force: bool) -> v1::Operated {
        let request =
            v1::OperateRequest { kind: kind.into(), ids: vec![id.to_owned()], force, ..v1::OperateRequest::default() };
        let mut flow = self.flow().await;
        let answer = match verb {
            "start" => flow.start(request).await,
            "stop" => flow.stop(request).await,
            "delete" => flow.delete(request).await,
            other => panic!("no verb {other}"),
        };
        answer.unwrap().into_inner().results.pop().unwrap()
    }

    pub(super) async fn request(&self, request: http::Request<Full<Bytes>>) -> Answer {
        let answer = tokio::time::timeout(DEADLINE, self.client.request(request)).await.unwrap().unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.request(http::Request::get(self.url(path)).body(Full::default()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        let request = http::Request::post(self.url(path)).header("content-type", "application/json");
        self.request(request.body(Full::new(body.into())).unwrap()).await
    }
}
