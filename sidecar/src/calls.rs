//! Calls of tasks under way: what is sent, what its end means, and ending one early.
//!
//! Headers (the original's, and the design's §5.3): `Idempotency-Key`, `x-rexflow-iid`, `-did`, `-tid`,
//! `x-rexflow-attempt`, `x-rexflow-token-pool-id`, `x-rexflow-callback-url`, trace context as configured. The rest of the request is the mapping's. A connector calls strangers: they get
//! `Idempotency-Key` and `traceparent` only.

use std::collections::BTreeMap;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt as _};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use routing::mapping::Answer;
use routing::step::CallFailure;
use routing::table::{ConnectorKind, DataMapping, NodeKind};
use routing::{ActivationId, Payload, ServiceName};
use runtime::telemetry::{Propagators, TraceContext};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::connector::Connectors;
use crate::core::Call;
use crate::task::{self, Fields, TaskAnswer, TaskClient, TaskRequest};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const INSTANCE: HeaderName = HeaderName::from_static("x-rexflow-iid");
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-rexflow-did");
const ELEMENT: HeaderName = HeaderName::from_static("x-rexflow-tid");
const CALLBACK: HeaderName = HeaderName::from_static("x-rexflow-callback-url");
const ATTEMPT: HeaderName = HeaderName::from_static("x-rexflow-attempt");
const POOLS: HeaderName = HeaderName::from_static("x-rexflow-token-pool-id");

/// Ends that may wait for the engine.
const ENDS: usize = 1024;

/// The end of a call.
pub(crate) type Ended = (ActivationId, u32, Result<Answer, CallFailure>);

/// See the module's documentation. Dropping it aborts every call.
#[derive(Debug)]
pub(crate) struct Calls {
    client: TaskClient,
    connectors: Connectors,
    urls: BTreeMap<ServiceName, String>,
    swapped: std::collections::HashMap<ServiceName, String>,
    running: HashMap<ActivationId, (u32, AbortHandle)>,
    report: mpsc::Sender<Ended>,
    ended: mpsc::Receiver<Ended>,
    propagators: Propagators,
}

impl Calls {
    pub(crate) fn new(
        client: TaskClient,
        connectors: Connectors,
        urls: BTreeMap<ServiceName, String>,
        propagators: Propagators,
    ) -> Self {
        let (report, ended) = mpsc::channel(ENDS);
        Self {
            client,
            connectors,
            urls,
            swapped: std::collections::HashMap::new(),
            running: HashMap::new(),
            report,
            ended,
            propagators,
        }
    }

    /// Where the task of a service is now.
    pub(crate) fn url(&self, service: &ServiceName) -> Option<&str> {
        self.swapped.get(service).or_else(|| self.urls.get(service)).map(String::as_str)
    }

    /// Repoints services; complete: what is not named is where the sidecar was started with.
    pub(crate) fn swap(&mut self, urls: std::collections::HashMap<ServiceName, String>) {
        self.swapped = urls;
    }

    /// Calls the task; `trace` unless its span is that which the token came with.
    pub(crate) fn start(&mut self, call: Call, trace: Option<&TraceContext>) {
        let (activation, number) = (call.activation, call.number);
        let report = self.report.clone();
        if let Some(kind) = connector(&call) {
            let (connectors, own) = (self.connectors.clone(), self.strangers(&call, trace));
            let limit = usize::try_from(call.table.table().settings.max_payload).unwrap_or(usize::MAX);
            let task = tokio::spawn(async move {
                let result = connectors.call(kind, &call.request, own, limit).await;
                // Without an engine nobody waits for it.
                let _ = report.send((activation, number, result)).await;
            });
            self.running.insert(activation, (number, task.abort_handle()));
            return;
        }
        let request = self.request(&call, trace);
        let client = self.client.clone();
        let task = tokio::spawn(async move {
            let result = match client.call(request).await {
                Ok(answer) => Ok(answered(answer)),
                Err(failure) => Err(failed(failure)),
            };
            // Without an engine nobody waits for it.
            let _ = report.send((activation, number, result)).await;
        });
        self.running.insert(activation, (number, task.abort_handle()));
    }

    /// Ends a call whose answer is not wanted any more.
    pub(crate) fn abort(&mut self, activation: ActivationId) {
        if let Some((_, task)) = self.running.remove(&activation) {
            task.abort();
        }
    }

    /// Calls under way.
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// The next end. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Ended {
        let ended = self.ended.recv().await.expect("this struct holds a sender itself");
        self.noted(ended)
    }

    pub(crate) fn try_next(&mut self) -> Option<Ended> {
        let ended = self.ended.try_recv().ok()?;
        Some(self.noted(ended))
    }

    fn noted(&mut self, ended: Ended) -> Ended {
        if self.running.get(&ended.0).is_some_and(|(number, _)| *number == ended.1) {
            self.running.remove(&ended.0);
        }
        ended
    }

    fn request(&self, call: &Call, trace: Option<&TraceContext>) -> TaskRequest {
        let settings = &call.table.table().settings;
        TaskRequest {
            base: self.url(&call.service).unwrap_or_default().to_owned(),
            method: Method::from_bytes(call.request.method.as_bytes()).unwrap_or(Method::POST),
            path: call.request.path.clone(),
            fields: self.fields(call, trace),
            body: call.request.body.clone(),
            timeout: Duration::from_millis(call.timeout),
            max_answer_bytes: usize::try_from(settings.max_payload).unwrap_or(usize::MAX),
        }
    }

    /// The headers of a call to who is no part of the mesh.
    fn strangers(&self, call: &Call, trace: Option<&TraceContext>) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(2);
        self.propagate(call, trace, |name, value| {
            if let (true, Ok(value)) = (*name == TRACEPARENT && !value.is_empty(), HeaderValue::from_str(value)) {
                headers.insert(TRACEPARENT, value);
            }
        });
        if let Ok(key) = HeaderValue::from_str(&format!("\"{}\"", call.token.key)) {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        headers
    }

    fn fields(&self, call: &Call, trace: Option<&TraceContext>) -> Fields {
        let mut fields = Fields::default();
        fields.put(&CONTENT_TYPE, &call.request.content_type);
        fields.put(&IDEMPOTENCY_KEY, &format!("\"{}\"", call.token.key));
        fields.put(&INSTANCE, call.token.instance.as_str());
        fields.put(&DEPLOYMENT, call.table.table().deployment.as_str());
        fields.put(&ELEMENT, call.token.element.as_str());
        fields.put(&CALLBACK, call.callback.as_deref().unwrap_or_default());
        fields.put(&ATTEMPT, &(call.attempt + 1).to_string());
        if !call.token.pools.is_empty() {
            let pools: Vec<String> = call.token.pools.iter().map(ToString::to_string).collect();
            fields.put(&POOLS, &pools.join(","));
        }
        self.propagate(call, trace, |name, value| fields.put(name, value));
        fields
    }

    fn propagate(&self, call: &Call, trace: Option<&TraceContext>, put: impl FnMut(&HeaderName, &str)) {
        let routing::TraceContext { traceparent, tracestate, baggage } = &call.token.trace;
        match trace {
            Some(trace) => self.propagators.each(trace, put),
            None => self.propagators.pass_on([traceparent, tracestate, baggage], put),
        }
    }
}

/// What the task is when it is a connector.
fn connector(call: &Call) -> Option<ConnectorKind> {
    // nobody else's requests may hold secrets: the usual call is not searched for
    call.request.secrets?;
    let table = call.table.table();
    match &table.node(table.find(call.token.element.as_str())?).kind {
        NodeKind::Task(task) => match &task.data {
            DataMapping::Connector(connector) => Some(connector.kind),
            _ => None,
        },
        _ => None,
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.running.values().for_each(|(_, task)| task.abort());
    }
}

fn answered(answer: TaskAnswer) -> Answer {
    let TaskAnswer { status, content_type, error_code, asynchronous, retry_after, body } = answer;
    Answer {
        status: status.as_u16(),
        error_code,
        asynchronous,
        retry_after: retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        payload: Payload { content_type, body },
        called: None,
    }
}

/// Only a task that was never reached is down; everything else may have done its work.
fn failed(failure: task::CallFailure) -> CallFailure {
    match failure {
        task::CallFailure::Refused { .. } => CallFailure::Down(failure.to_string()),
        task::CallFailure::TimedOut => CallFailure::TimedOut,
        task::CallFailure::TooLarge { .. } => CallFailure::TooLarge,
        task::CallFailure::Reset(_) | task::CallFailure::Garbage(_) | task::CallFailure::Invalid(_) => {
            CallFailure::Broken(failure.to_string())
        }
    }
}
