//! The original's `FlowDaemon` service, so that its Python flowctl works against this flowd unchanged.
//!
//! Answers are a status, a message and JSON in a string: 0 and "Ok", or -1 and `Type(reason)` when a call failed as a
//! whole; what concerns one id is inside the JSON. States that the original does not know are told as the nearest it
//! does: DEGRADED is RUNNING. Thin over `operations`.

pub(crate) mod answer;

use std::collections::BTreeMap;

use bytes::Bytes;
use proto::rexflow::flow_daemon_server::{FlowDaemon, FlowDaemonServer};
use proto::rexflow::{
    ApplyRequest, DeleteRequest, FlowdResult, ProbeRequest, PsRequest, RequestKind, RunRequest, StartRequest,
    StopRequest, UpdateRequest, ValidateRequest,
};
use routing::payload::JSON;
use routing::{InstanceId, Payload};
use serde_json::{Map, Value, json};
use tonic::{Request, Response, Status};

use crate::ledger::Operator;
use crate::operations::{Again, Apply, Error, Gate, Operations, Run, Selection, Verdict};
use crate::security::{self, Target, permit};

/// Instances shown when none is named.
const MAX_SHOWN: usize = 10_000;

/// The service.
pub(crate) struct Service {
    gate: Gate,
}

impl Service {
    /// As a tonic service.
    pub(crate) fn server(gate: Gate) -> FlowDaemonServer<Self> {
        FlowDaemonServer::new(Self { gate })
            .max_decoding_message_size(proto::MAX_MESSAGE)
            .max_encoding_message_size(proto::MAX_MESSAGE)
    }

    fn pass(&self) -> Result<&Operations, Raised> {
        Ok(self.gate.pass()?)
    }
}

/// A call that failed as a whole: an exception of the original.
struct Raised(String);

impl Raised {
    fn new(kind: &str, message: impl std::fmt::Display) -> Self {
        Self(format!("{kind}({message})"))
    }
}

impl From<Error> for Raised {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::NotFound(_) => "KeyError",
            Error::WrongState(_) | Error::NotRunning { .. } => "AssertionError",
            Error::Forbidden(_) => "PermissionError",
            Error::ChooseStart(_) | Error::Invalid(_) | Error::Unfit(_) | Error::TooLarge { .. } => "ValueError",
            Error::Busy | Error::Unavailable(_) => "ConnectionError",
            Error::Store(_) => "IOError",
        };
        Self::new(kind, error)
    }
}

fn target(kind: RequestKind) -> Target {
    match kind {
        RequestKind::Deployment => Target::Workflow,
        RequestKind::Instance => Target::Instance,
    }
}

/// The original has no say in it.
fn operator<T>(request: &Request<T>) -> Operator {
    Operator { who: security::signed(request.extensions(), ""), why: String::new() }
}

type Reply = Result<Response<FlowdResult>, Status>;

fn reply(result: Result<Value, Raised>) -> Reply {
    Ok(Response::new(match result {
        Ok(data) => FlowdResult { status: 0, message: "Ok".to_owned(), data: data.to_string() },
        Err(Raised(message)) => FlowdResult { status: -1, message, data: "{}".to_owned() },
    }))
}

impl Service {
    async fn applied(&self, request: ApplyRequest) -> Result<Value, Raised> {
        let apply = Apply { xml: Bytes::from(request.bpmn_xml), stopped: request.stopped, ..Apply::default() };
        let applied = self.pass()?.apply(apply).await?;
        match applied.verdict {
            Verdict::Unchanged => Err(Raised::new("AssertionError", "Workflow ID already exists!")),
            Verdict::Created | Verdict::Refused | Verdict::Valid => Ok(answer::applied(&applied)),
        }
    }

    async fn deleted(&self, request: DeleteRequest) -> Result<Value, Raised> {
        let operations = self.pass()?;
        let mut results = Map::new();
        for id in &request.ids {
            let done = match request.kind() {
                RequestKind::Deployment => operations.delete_deployment(id, request.force).await.map(drop),
                RequestKind::Instance => {
                    operations.delete_instance(&InstanceId::from(id.as_str()), request.force).await
                }
            };
            let (result, message) = match done {
                Ok(()) => (0, format!("Successfully deleted {id}.")),
                Err(error @ Error::NotFound(_)) => (-1, error.to_string()),
                Err(error @ (Error::Store(_) | Error::Busy | Error::Unavailable(_))) => (-3, error.to_string()),
                Err(error) => (-2, error.to_string()),
            };
            results.insert(id.clone(), json!({ "result": result, "message": message }));
        }
        Ok(Value::Object(results))
    }

    async fn shown(&self, request: PsRequest) -> Result<Value, Raised> {
        let operations = self.pass()?;
        let mut shown = Map::new();
        if request.kind() == RequestKind::Deployment {
            let all = match request.ids.as_slice() {
                [] => operations.deployments(&[])?,
                // one that was deleted is not told, as the original's scripts expect
                ids => ids
                    .iter()
                    .filter_map(|id| operations.deployments(std::slice::from_ref(id)).ok())
                    .flatten()
                    .collect(),
            };
            for (deployment, _) in all {
                shown.insert(deployment.definition.deployment.to_string(), answer::deployment(&deployment));
            }
            return Ok(Value::Object(shown));
        }
        for id in &request.ids {
            shown.insert(id.clone(), json!({}));
        }
        let metadata: BTreeMap<String, String> = request.metadata.into_iter().map(|it| (it.key, it.value)).collect();
        let filtered = !metadata.is_empty();
        if request.ids.is_empty() {
            let selection = Selection { metadata, limit: MAX_SHOWN, ..Selection::default() };
            let mut list = operations.instances(selection, false).await?;
            while let Some(view) = list.recv().await {
                let view = view?;
                shown.insert(view.id.to_string(), answer::instance(operations, &view));
            }
            return Ok(Value::Object(shown));
        }
        let selection = Selection { metadata, ..Selection::default() };
        for id in &request.ids {
            match operations.instance(&InstanceId::from(id.as_str())).await {
                Ok(view) if selection.has(&view) => {
                    shown.insert(id.clone(), answer::instance(operations, &view));
                }
                Ok(_) if filtered => {
                    shown.remove(id);
                }
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Value::Object(shown))
    }

    async fn probed(&self, request: ProbeRequest) -> Result<Value, Raised> {
        let operations = self.pass()?;
        if request.ids.is_empty() && operations.deployments(&[])?.is_empty() {
            return Ok(json!({ "result": "No workflows exist" }));
        }
        let probed = operations.probe(&request.ids).await;
        Ok(Value::Array(probed.iter().map(|it| answer::probed(operations, it)).collect()))
    }

    async fn ran(&self, request: RunRequest) -> Result<Value, Raised> {
        let RunRequest { workflow_id, args, stopped, start_event_id, metadata } = request;
        let body = args.into_iter().next().filter(|it| !it.trim().is_empty()).unwrap_or_else(|| "{}".to_owned());
        let run = Run {
            id: workflow_id,
            payload: Payload { content_type: JSON.to_owned(), body: body.into() },
            start_event: start_event_id,
            metadata: metadata.into_iter().map(|it| (it.key, it.value)).collect(),
            stopped,
            ..Run::default()
        };
        match self.pass()?.run(run, None).await {
            Ok(id) => Ok(json!({ "id": id.as_str(), "message": "Ok", "status": 0 })),
            Err(Error::NotRunning { deployment, state, .. }) => {
                let message = format!("Deployment {deployment} is not RUNNING. b'{state}'");
                let id = deployment.as_str();
                Ok(json!({ id: { "result": -1, "message": message } }))
            }
            Err(error @ Error::ChooseStart(_)) => Ok(json!({ "status": -1, "message": error.to_string() })),
            Err(error) => Err(error.into()),
        }
    }

    async fn started(&self, request: StartRequest, by: Operator) -> Result<Value, Raised> {
        let again = || Again { force: request.force, ..Again::default() };
        let operations = self.pass()?;
        let mut results = Map::new();
        for id in &request.ids {
            let result = match request.kind() {
                RequestKind::Deployment => match operations.start_deployment(id).await {
                    Ok(_) => json!({ "status": 0, "message": "Started." }),
                    Err(error) => json!({ "status": -1, "message": error.to_string() }),
                },
                RequestKind::Instance => {
                    match operations.start_again(&InstanceId::from(id.as_str()), by.clone(), again()).await {
                        Ok(()) => json!({ "status": 0, "message": "Retry Succeeded." }),
                        Err(Error::WrongState(_)) => {
                            return Err(Raised::new("AssertionError", "Can only start instances in STOPPED state"));
                        }
                        Err(error) => json!({ "status": -1, "message": error.to_string() }),
                    }
                }
            };
            results.insert(id.clone(), result);
        }
        Ok(Value::Object(results))
    }

    async fn stopped(&self, request: StopRequest, by: Operator) -> Result<Value, Raised> {
        let operations = self.pass()?;
        let mut results = Map::new();
        for id in &request.ids {
            let done = match request.kind() {
                RequestKind::Deployment => operations.stop_deployment(id, request.force).await.map(drop),
                RequestKind::Instance => operations.cancel(&InstanceId::from(id.as_str()), by.clone()).await,
            };
            let result = match done {
                Ok(()) => json!({ "status": 0, "message": "Stopped." }),
                Err(error) => json!({ "status": -1, "message": error.to_string() }),
            };
            results.insert(id.clone(), result);
        }
        Ok(Value::Object(results))
    }
}

#[tonic::async_trait]
impl FlowDaemon for Service {
    async fn apply_workflow(&self, request: Request<ApplyRequest>) -> Reply {
        reply(self.applied(request.into_inner()).await)
    }

    async fn delete_workflow(&self, request: Request<DeleteRequest>) -> Reply {
        permit(&request, target(request.get_ref().kind())).await?;
        reply(self.deleted(request.into_inner()).await)
    }

    async fn ps_query(&self, request: Request<PsRequest>) -> Reply {
        permit(&request, target(request.get_ref().kind())).await?;
        reply(self.shown(request.into_inner()).await)
    }

    async fn probe_workflow(&self, request: Request<ProbeRequest>) -> Reply {
        reply(self.probed(request.into_inner()).await)
    }

    async fn run_workflow(&self, request: Request<RunRequest>) -> Reply {
        reply(self.ran(request.into_inner()).await)
    }

    async fn start_workflow(&self, request: Request<StartRequest>) -> Reply {
        permit(&request, target(request.get_ref().kind())).await?;
        let by = operator(&request);
        reply(self.started(request.into_inner(), by).await)
    }

    async fn stop_workflow(&self, request: Request<StopRequest>) -> Reply {
        permit(&request, target(request.get_ref().kind())).await?;
        let by = operator(&request);
        reply(self.stopped(request.into_inner(), by).await)
    }

    async fn update_workflow(&self, request: Request<UpdateRequest>) -> Reply {
        let updated = async { Ok(answer::updated(&self.pass()?.update(&request.into_inner().update_spec).await?)) };
        reply(updated.await)
    }

    async fn validate_workflow(&self, request: Request<ValidateRequest>) -> Reply {
        let validated = async {
            let xml = Bytes::from(request.into_inner().bpmn_xml);
            Ok(answer::applied(&self.pass()?.validate(xml, Vec::new()).await?))
        };
        reply(validated.await)
    }
}
