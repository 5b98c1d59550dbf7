//! `flow.v1.Flow`: operators' service, thin over `operations`.

mod task;
mod wire;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use proto::v1;
use proto::v1::flow_server::{Flow, FlowServer};
use routing::InstanceId;
use routing::form::Judgement;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

pub(crate) use wire::{failure_record, instance};

use crate::ledger::{Actor, Operation, Operator, TaskAction};
use crate::operations::{Again, Apply, Error, Gate, Operations, Run, Selection, Swap, SwapTo};
use crate::security::rights::Right;
use crate::security::{self, Target, permit};

/// The longest that one call may wait; whoever wants to wait longer asks again.
const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);
/// How long a swap waits for pods to be replaced when its caller does not say.
const ROLLED_WITHIN: Duration = Duration::from_secs(120);

/// The service.
pub(crate) struct Service {
    gate: Gate,
    /// Where the data is, for `version`.
    store: String,
}

impl Service {
    /// As a tonic service.
    pub(crate) fn server(gate: Gate, store: String) -> FlowServer<Self> {
        FlowServer::new(Self { gate, store })
            .max_decoding_message_size(proto::MAX_MESSAGE)
            .max_encoding_message_size(proto::MAX_MESSAGE)
    }

    fn pass(&self) -> Result<&Operations, Status> {
        self.gate.pass().map_err(status)
    }
}

/// The status that tells an error.
pub(crate) fn status(error: Error) -> Status {
    let message = error.to_string();
    match error {
        Error::NotFound(_) => Status::not_found(message),
        Error::Forbidden(_) => Status::permission_denied(message),
        Error::WrongState(_) | Error::NotRunning { .. } => Status::failed_precondition(message),
        Error::Invalid(_) | Error::Unfit(_) | Error::ChooseStart(_) | Error::TooLarge { .. } => {
            Status::invalid_argument(message)
        }
        Error::Busy => Status::resource_exhausted(message),
        Error::Unavailable(_) => Status::unavailable(message),
        Error::Store(_) => Status::internal(message),
    }
}

fn target(kind: v1::Kind) -> Target {
    match kind {
        v1::Kind::Deployment => Target::Workflow,
        v1::Kind::Instance => Target::Instance,
    }
}

/// What is asked, with who asks it.
fn signed(mut request: Request<v1::OperateRequest>) -> v1::OperateRequest {
    request.get_mut().who = security::signed(request.extensions(), &request.get_ref().who);
    request.into_inner()
}

type Answers<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

impl Service {
    fn selection(&self, request: v1::ListRequest) -> Result<Selection, Status> {
        let v1::ListRequest { ids, metadata, deployment, limit } = request;
        let deployment = match deployment.as_str() {
            "" => None,
            text => {
                // history outlives its deployment
                let resolved = self.pass()?.mesh.resolve(text).map(|it| it.definition.deployment.clone());
                Some(resolved.unwrap_or_else(|_| text.into()))
            }
        };
        let metadata = metadata.into_iter().collect();
        Ok(Selection { ids, metadata, deployment, limit: limit as usize })
    }

    async fn list(&self, request: v1::ListRequest, watch: bool) -> Result<Response<Answers<v1::Instance>>, Status> {
        let operations = self.pass()?.clone();
        let selection = self.selection(request)?;
        let list = operations.instances(selection, watch).await.map_err(status)?;
        let answers = ReceiverStream::new(list).map(move |it| match it {
            Ok(view) => Ok(instance(&operations, &view)),
            Err(error) => Err(status(error)),
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn assign(&self, request: v1::TaskRequest, action: TaskAction) -> Result<Response<v1::UserTask>, Status> {
        let v1::TaskRequest { task, instance, by, force } = request;
        let acted = self.pass()?.act_on_task(&task::named(task, instance), Actor { who: by, force }, action).await;
        Ok(Response::new(task::listed(&acted.map_err(status)?.0)))
    }

    /// The same operation on every instance that the request names.
    async fn operate(
        &self,
        request: v1::OperateRequest,
        operation: Operation,
        done: &str,
    ) -> Result<Response<v1::OperateResponse>, Status> {
        let operations = self.pass()?;
        if request.kind() != v1::Kind::Instance {
            return Err(Status::invalid_argument("only instances can be suspended and resumed"));
        }
        let by = Operator { who: request.who, why: request.reason };
        let mut results = Vec::new();
        for id in request.ids {
            let operated = operations.operate(&InstanceId::from(id.as_str()), by.clone(), operation.clone()).await;
            results.push(wire::operated(id, operated.map(|()| done.to_owned())));
        }
        Ok(Response::new(v1::OperateResponse { results }))
    }
}

#[tonic::async_trait]
impl Flow for Service {
    type ListDeploymentsStream = Answers<v1::Deployment>;
    type ListInstancesStream = Answers<v1::Instance>;
    type WatchInstancesStream = Answers<v1::Instance>;
    type TraceStream = Answers<v1::HopRecord>;
    type ListTimersStream = Answers<v1::Timer>;

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Result<Response<v1::ApplyResponse>, Status> {
        let v1::ApplyRequest { file: _, bpmn_xml, stopped, bindings, resources } = request.into_inner();
        let (bindings, resources) = (bindings.into_iter().collect(), wire::resources(resources));
        let apply = Apply { xml: bpmn_xml, stopped, bindings, resources };
        let applied = self.pass()?.apply(apply).await.map_err(status)?;
        Ok(Response::new(wire::applied(applied)))
    }

    async fn validate(&self, request: Request<v1::ValidateRequest>) -> Result<Response<v1::ApplyResponse>, Status> {
        let v1::ValidateRequest { file: _, bpmn_xml, resources } = request.into_inner();
        let validated = self.pass()?.validate(bpmn_xml, wire::resources(resources)).await.map_err(status)?;
        Ok(Response::new(wire::applied(validated)))
    }

    async fn run(&self, request: Request<v1::RunRequest>) -> Result<Response<v1::Instance>, Status> {
        let v1::RunRequest { id, payload, stopped, start_event, metadata, idempotency_key, trace } =
            request.into_inner();
        let trace = trace.unwrap_or_default();
        let run = Run {
            id,
            payload: wire::payload(payload),
            start_event,
            metadata: metadata.into_iter().collect::<BTreeMap<_, _>>(),
            key: (!idempotency_key.is_empty()).then_some(idempotency_key),
            trace: runtime::telemetry::TraceContext::parse(&trace.traceparent, &trace.tracestate, &trace.baggage),
            stopped,
            graphql_uri: None,
        };
        let operations = self.pass()?;
        let id = operations.run(run, None).await.map_err(status)?;
        let view = operations.instance(&id).await.map_err(status)?;
        Ok(Response::new(instance(operations, &view)))
    }

    async fn wait(&self, request: Request<v1::WaitRequest>) -> Result<Response<v1::Instance>, Status> {
        let v1::WaitRequest { instance: id, timeout_ms } = request.into_inner();
        let operations = self.pass()?;
        let id = InstanceId::from(id);
        let limit = Duration::from_millis(timeout_ms).min(MAX_WAIT);
        match tokio::time::timeout(limit, operations.wait(&id)).await {
            Ok(settled) => {
                let view = settled.map_err(status)?;
                Ok(Response::new(instance(operations, &view)))
            }
            Err(_) => Err(Status::deadline_exceeded(format!("{id} has not ended within {limit:?}; it goes on"))),
        }
    }

    async fn list_deployments(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<Self::ListDeploymentsStream>, Status> {
        let operations = self.pass()?;
        let v1::ListRequest { ids, limit, .. } = request.into_inner();
        let limit = if limit == 0 { usize::MAX } else { limit as usize };
        let mut answers = Vec::new();
        for (deployment, tasks) in operations.deployments(&ids).map_err(status)?.into_iter().take(limit) {
            answers.push(Ok(wire::deployment(operations, &deployment, &tasks).await.map_err(status)?));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(answers))))
    }

    async fn list_instances(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<Self::ListInstancesStream>, Status> {
        self.list(request.into_inner(), false).await
    }

    async fn watch_instances(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<Self::WatchInstancesStream>, Status> {
        self.list(request.into_inner(), true).await
    }

    async fn describe(&self, request: Request<v1::DescribeRequest>) -> Result<Response<v1::Description>, Status> {
        let operations = self.pass()?;
        let id = request.get_ref().id.clone();
        if let Ok(view) = operations.instance(&InstanceId::from(id.as_str())).await {
            permit(&request, Target::Instance).await?;
            let what = Some(v1::description::What::Instance(instance(operations, &view)));
            return Ok(Response::new(v1::Description { what, ..v1::Description::default() }));
        }
        permit(&request, Target::Workflow).await?;
        let (deployment, tasks) = match operations.deployments(std::slice::from_ref(&id)).map_err(status)?.pop() {
            Some(found) => found,
            None => return Err(Status::not_found(format!("there is neither a deployment nor an instance {id}"))),
        };
        let sidecars = wire::sidecars(operations, &deployment);
        let bpmn_xml = String::from_utf8_lossy(&deployment.definition.xml).into_owned();
        let deployment = wire::deployment(operations, &deployment, &tasks).await.map_err(status)?;
        let what = Some(v1::description::What::Deployment(deployment));
        Ok(Response::new(v1::Description { what, bpmn_xml, sidecars }))
    }

    async fn trace(&self, request: Request<v1::TraceRequest>) -> Result<Response<Self::TraceStream>, Status> {
        let operations = self.pass()?;
        let id = request.into_inner().instance;
        let hops = operations.hops.of(&id);
        if hops.is_empty() {
            // tells an unknown instance from one whose hops have left the ring
            operations.instance(&InstanceId::from(id)).await.map_err(status)?;
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(hops.into_iter().map(Ok)))))
    }

    async fn start(&self, request: Request<v1::OperateRequest>) -> Result<Response<v1::OperateResponse>, Status> {
        let operations = self.pass()?;
        permit(&request, target(request.get_ref().kind())).await?;
        let request = signed(request);
        let (kind, same_key, force) = (request.kind(), request.same_key, request.force);
        let payload = request.payload.map(routing::Payload::from);
        let by = Operator { who: request.who, why: request.reason };
        let mut results = Vec::new();
        for id in request.ids {
            let done = match kind {
                v1::Kind::Deployment if force => {
                    Err(Error::Invalid("only instances are started with force".to_owned()))
                }
                v1::Kind::Deployment => operations.start_deployment(&id).await.map(|_| "Started."),
                v1::Kind::Instance => {
                    let again = Again { payload: payload.clone(), same_key, force };
                    let done = operations.start_again(&InstanceId::from(id.as_str()), by.clone(), again).await;
                    done.map(|()| "Retry Succeeded.")
                }
            };
            results.push(wire::operated(id, done.map(str::to_owned)));
        }
        Ok(Response::new(v1::OperateResponse { results }))
    }

    async fn stop(&self, request: Request<v1::OperateRequest>) -> Result<Response<v1::OperateResponse>, Status> {
        let operations = self.pass()?;
        permit(&request, target(request.get_ref().kind())).await?;
        let request = signed(request);
        let (kind, force) = (request.kind(), request.force);
        let by = Operator { who: request.who, why: request.reason };
        let mut results = Vec::new();
        for id in request.ids {
            let done = match kind {
                v1::Kind::Deployment => operations.stop_deployment(&id, force).await.map(drop),
                v1::Kind::Instance => operations.cancel(&InstanceId::from(id.as_str()), by.clone()).await,
            };
            results.push(wire::operated(id, done.map(|()| "Stopped.".to_owned())));
        }
        Ok(Response::new(v1::OperateResponse { results }))
    }

    async fn suspend(&self, request: Request<v1::OperateRequest>) -> Result<Response<v1::OperateResponse>, Status> {
        self.operate(signed(request), Operation::Suspend, "Suspended.").await
    }

    async fn resume(&self, request: Request<v1::OperateRequest>) -> Result<Response<v1::OperateResponse>, Status> {
        self.operate(signed(request), Operation::Resume, "Resumed.").await
    }

    async fn set(&self, request: Request<v1::OperateRequest>) -> Result<Response<v1::OperateResponse>, Status> {
        let mut request = signed(request);
        let payload = wire::payload(request.payload.take());
        let scope = Some(std::mem::take(&mut request.scope)).filter(|it| !it.is_empty());
        let set = Operation::set(scope, &payload).map_err(Status::invalid_argument)?;
        self.operate(request, set, "Set.").await
    }

    async fn modify(&self, request: Request<v1::OperateRequest>) -> Result<Response<v1::OperateResponse>, Status> {
        let mut request = signed(request);
        let moves = std::mem::take(&mut request.moves).into_iter().map(|it| (it.from, it.to)).collect();
        let values = request.payload.take().map(routing::Payload::from);
        let moving = Operation::moving(moves, values.as_ref()).map_err(Status::invalid_argument)?;
        self.operate(request, moving, "Moved.").await
    }

    async fn migrate(&self, request: Request<v1::OperateRequest>) -> Result<Response<v1::OperateResponse>, Status> {
        let mut request = signed(request);
        let names = std::mem::take(&mut request.moves).into_iter().map(|it| (it.from, it.to)).collect();
        let migrating = self.pass()?.migration(&request.to, names).await.map_err(status)?;
        self.operate(request, migrating, "Migrated.").await
    }

    async fn delete(&self, request: Request<v1::OperateRequest>) -> Result<Response<v1::OperateResponse>, Status> {
        let operations = self.pass()?;
        permit(&request, target(request.get_ref().kind())).await?;
        let request = request.into_inner();
        let (kind, force) = (request.kind(), request.force);
        let mut results = Vec::new();
        for id in request.ids {
            let done = match kind {
                v1::Kind::Deployment => operations.delete_deployment(&id, force).await.map(drop),
                v1::Kind::Instance => operations.delete_instance(&InstanceId::from(id.as_str()), force).await,
            };
            let message = format!("Successfully deleted {id}.");
            results.push(wire::operated(id, done.map(|()| message)));
        }
        Ok(Response::new(v1::OperateResponse { results }))
    }

    async fn probe(&self, request: Request<v1::ProbeRequest>) -> Result<Response<v1::ProbeResponse>, Status> {
        let operations = self.pass()?;
        let probed = operations.probe(&request.into_inner().ids).await;
        let results = probed.into_iter().map(|it| wire::probed(operations, it)).collect();
        Ok(Response::new(v1::ProbeResponse { results }))
    }

    async fn list_timers(
        &self,
        request: Request<v1::ListTimersRequest>,
    ) -> Result<Response<Self::ListTimersStream>, Status> {
        let v1::ListTimersRequest { ids, limit } = request.into_inner();
        let limit = if limit == 0 { usize::MAX } else { limit as usize };
        let timers = self.pass()?.timers(&ids).await.map_err(status)?;
        let timers = timers.into_iter().take(limit).map(|it| Ok(wire::timer(it)));
        Ok(Response::new(Box::pin(tokio_stream::iter(timers))))
    }

    async fn rearm(&self, request: Request<v1::OperateRequest>) -> Result<Response<v1::OperateResponse>, Status> {
        let request = signed(request);
        let timers = wire::timers(request.timers).map_err(Status::invalid_argument)?;
        let by = Operator { who: request.who, why: request.reason };
        let mut results = Vec::new();
        for id in request.ids {
            let done = self.pass()?.rearm(&id, by.clone(), timers.clone()).await;
            results.push(wire::operated(id, done.map(|()| "Rearmed.".to_owned())));
        }
        Ok(Response::new(v1::OperateResponse { results }))
    }

    async fn publish(&self, request: Request<v1::PublishRequest>) -> Result<Response<v1::PublishResponse>, Status> {
        let v1::PublishRequest { name, key, id, time_to_live_ms: time_to_live, payload } = request.into_inner();
        let (id, payload) = ((!id.is_empty()).then_some(id), wire::payload(payload));
        let message = routing::instance::Published { name, key, id, time_to_live, payload, ..Default::default() };
        let receipt = self.pass()?.publish(message).await.map_err(status)?;
        Ok(Response::new(wire::published(&receipt)))
    }

    async fn signal(&self, request: Request<v1::SignalRequest>) -> Result<Response<v1::PublishResponse>, Status> {
        let v1::SignalRequest { name, payload } = request.into_inner();
        let receipt = self.pass()?.signal(name, wire::payload(payload)).await.map_err(status)?;
        Ok(Response::new(wire::published(&receipt)))
    }

    async fn offer(&self, request: Request<v1::OfferRequest>) -> Result<Response<v1::PublishResponse>, Status> {
        let v1::OfferRequest { process, payload } = request.into_inner();
        let process = (!process.is_empty()).then(|| process.into());
        let receipt = self.pass()?.offer(process, wire::payload(payload)).await.map_err(status)?;
        Ok(Response::new(wire::published(&receipt)))
    }

    async fn list_tasks(
        &self,
        request: Request<v1::ListTasksRequest>,
    ) -> Result<Response<v1::ListTasksResponse>, Status> {
        let tasks = self.pass()?.tasks(task::selection(request.into_inner())).await.map_err(status)?;
        Ok(Response::new(v1::ListTasksResponse { tasks: tasks.iter().map(task::listed).collect() }))
    }

    async fn get_task(&self, request: Request<v1::TaskRequest>) -> Result<Response<v1::UserTask>, Status> {
        let v1::TaskRequest { task, instance, .. } = request.into_inner();
        let seen = self.pass()?.task_form(&task::named(task, instance)).await.map_err(status)?;
        Ok(Response::new(task::listed(&seen.task)))
    }

    async fn task_form(&self, request: Request<v1::TaskRequest>) -> Result<Response<v1::TaskFormResponse>, Status> {
        let v1::TaskRequest { task, instance, .. } = request.into_inner();
        let seen = self.pass()?.task_form(&task::named(task, instance)).await.map_err(status)?;
        Ok(Response::new(task::form(&seen)))
    }

    async fn claim_task(&self, request: Request<v1::TaskRequest>) -> Result<Response<v1::UserTask>, Status> {
        self.assign(request.into_inner(), TaskAction::Claim).await
    }

    async fn unclaim_task(&self, request: Request<v1::TaskRequest>) -> Result<Response<v1::UserTask>, Status> {
        self.assign(request.into_inner(), TaskAction::Unclaim).await
    }

    async fn save_task(&self, request: Request<v1::TaskDataRequest>) -> Result<Response<v1::TaskDataResponse>, Status> {
        let v1::TaskDataRequest { task, instance, payload, by, force, .. } = request.into_inner();
        let (actor, payload) = (Actor { who: by, force }, wire::payload(payload));
        let saved = self.pass()?.save_task(&task::named(task, instance), actor, &payload).await;
        let (task, checked) = saved.map_err(status)?;
        Ok(Response::new(task::checked(&task, &checked.unwrap_or_default())))
    }

    async fn validate_task(
        &self,
        request: Request<v1::TaskDataRequest>,
    ) -> Result<Response<v1::TaskDataResponse>, Status> {
        let v1::TaskDataRequest { task, instance, payload, draft, .. } = request.into_inner();
        let (payload, judgement) = (wire::payload(payload), if draft { Judgement::Draft } else { Judgement::Whole });
        let checked = self.pass()?.check_task(&task::named(task, instance), &payload, judgement).await;
        let (task, checked) = checked.map_err(status)?;
        Ok(Response::new(task::checked(&task, &checked)))
    }

    async fn complete_task(&self, request: Request<v1::CompleteTaskRequest>) -> Result<Response<v1::UserTask>, Status> {
        let v1::CompleteTaskRequest { task, instance, payload, error_code, by, force } = request.into_inner();
        let payload = wire::payload(payload);
        let action = match error_code.as_str() {
            "" => TaskAction::Complete(payload),
            _ => TaskAction::Fail(error_code, payload),
        };
        let acted = self.pass()?.act_on_task(&task::named(task, instance), Actor { who: by, force }, action).await;
        Ok(Response::new(task::listed(&acted.map_err(status)?.0)))
    }

    async fn swap(&self, request: Request<v1::SwapRequest>) -> Result<Response<v1::SwapResponse>, Status> {
        if request.get_ref().commit || !request.get_ref().image.is_empty() {
            // what runs in the cluster is for whoever may bring models
            security::needs(&request, Right::RUN_IMAGES).await?;
        }
        let v1::SwapRequest { task, url, deployment, undo, image, timeout_ms, service, weight, in_place, commit } =
            request.into_inner();
        let weight = if weight == 0 { hop::WHOLE } else { u8::try_from(weight).unwrap_or(u8::MAX) };
        let to = match (undo, commit, url.is_empty(), image.is_empty(), service.is_empty()) {
            (false, false, false, true, true) => SwapTo::Url(url),
            (false, false, true, false, true) if in_place => SwapTo::InPlace(image),
            (false, false, true, false, true) => SwapTo::Image(image),
            (false, false, true, true, false) => SwapTo::Service(service.into(), weight),
            (true, false, true, true, true) => SwapTo::Undone,
            (false, true, true, true, true) => SwapTo::Committed,
            _ => {
                return Err(Status::invalid_argument(
                    "give either a URL, or a service, or an image, or undo, or commit",
                ));
            }
        };
        let within = if timeout_ms == 0 { ROLLED_WITHIN } else { Duration::from_millis(timeout_ms).min(MAX_WAIT) };
        let swap = Swap { task, to, deployment: (!deployment.is_empty()).then_some(deployment), within };
        let outcome = self.pass()?.swap(swap).await.map_err(status)?;
        Ok(Response::new(wire::swap(outcome)))
    }

    async fn list_swaps(
        &self,
        request: Request<v1::ListSwapsRequest>,
    ) -> Result<Response<v1::ListSwapsResponse>, Status> {
        let v1::ListSwapsRequest { task, deployment } = request.into_inner();
        let deployment = (!deployment.is_empty()).then_some(deployment);
        let swaps = self.pass()?.swaps(&task, deployment.as_deref()).map_err(status)?;
        Ok(Response::new(v1::ListSwapsResponse { swaps: swaps.into_iter().map(wire::past_swap).collect() }))
    }

    async fn update(&self, request: Request<v1::UpdateRequest>) -> Result<Response<v1::OperateResponse>, Status> {
        let updated = self.pass()?.update(&request.into_inner().spec).await.map_err(status)?;
        let results = updated.into_iter().map(|it| wire::operated(it.id, it.done)).collect();
        Ok(Response::new(v1::OperateResponse { results }))
    }

    async fn version(&self, _: Request<v1::Empty>) -> Result<Response<v1::VersionResponse>, Status> {
        Ok(Response::new(v1::VersionResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: self.store.clone(),
            leading: self.gate.pass().is_ok(),
        }))
    }
}
