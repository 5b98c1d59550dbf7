//! A flowd that answers by rote: what it says depends on the ids it is asked about.

use std::net::TcpListener;
use std::sync::Mutex;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use proto::v1;
use proto::v1::flow_server::{Flow, FlowServer};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Starts one on a free port; it ends with the test program.
pub(crate) fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it is bound").port();
    listener.set_nonblocking(true).expect("it can be polled");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it is a listener");
            let server = tonic::transport::Server::builder().add_service(FlowServer::new(Rote::default()));
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.expect("it serves");
        });
    });
    port
}

/// Keeps the payload of the last `run`, for `wait` to answer with.
#[derive(Default)]
struct Rote {
    body: Mutex<Vec<u8>>,
}

type Answer<T> = Result<Response<T>, Status>;
type Streamed<T> = BoxStream<'static, Result<T, Status>>;

fn absent() -> Status {
    Status::unimplemented("not by rote")
}

fn instance(id: &str, state: &str, result: Option<v1::Payload>) -> v1::Instance {
    v1::Instance { id: id.into(), state: state.into(), result, started_ms: 1, ..Default::default() }
}

fn stuck() -> v1::Instance {
    let record = v1::FailureRecord { error_code: "FAILED_TASK".into(), ..Default::default() };
    let incident = v1::Incident { record: Some(record), ..Default::default() };
    v1::Instance { incidents: vec![incident], ..instance("stuck-1", "STOPPED", None) }
}

fn operated(request: Request<v1::OperateRequest>) -> Answer<v1::OperateResponse> {
    let results = request.into_inner().ids.into_iter().map(|id| {
        let (status, message) = match id.as_str() {
            "gone-1" => (-1, "there is no such instance"),
            "busy" => (-2, "it has 3 running instances"),
            _ => (0, "Stopped."),
        };
        v1::Operated { id, status, message: message.into() }
    });
    Ok(Response::new(v1::OperateResponse { results: results.collect() }))
}

#[tonic::async_trait]
impl Flow for Rote {
    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Answer<v1::ApplyResponse> {
        if request.into_inner().bpmn_xml.starts_with(b"<unchanged") {
            let deployments = vec![v1::AppliedDeployment { id: "order-1a2b3c4d".into(), process: "order".into() }];
            let answer = v1::ApplyResponse { status: "unchanged".into(), deployments, ..Default::default() };
            return Ok(Response::new(answer));
        }
        let found = v1::Diagnostic {
            rule: "empty-process".into(),
            severity: "error".into(),
            line: 2,
            column: 3,
            message: "the process is empty".into(),
            ..Default::default()
        };
        let diagnostics = vec![found];
        Ok(Response::new(v1::ApplyResponse { status: "refused".into(), diagnostics, ..Default::default() }))
    }

    async fn validate(&self, _: Request<v1::ValidateRequest>) -> Answer<v1::ApplyResponse> {
        Err(absent())
    }

    async fn run(&self, request: Request<v1::RunRequest>) -> Answer<v1::Instance> {
        let request = request.into_inner();
        if request.id == "gone" {
            return Err(Status::not_found("no deployment matches gone"));
        }
        let body = request.payload.map(|payload| payload.body).unwrap_or_default();
        *self.body.lock().expect("nobody panics with it") = body.to_vec();
        Ok(Response::new(instance(&format!("{}-1", request.id), "STARTING", None)))
    }

    async fn wait(&self, request: Request<v1::WaitRequest>) -> Answer<v1::Instance> {
        match request.into_inner().instance.as_str() {
            "slow-1" => Err(Status::deadline_exceeded("slow-1 is RUNNING")),
            "stuck-1" => Ok(Response::new(stuck())),
            id => {
                let body = self.body.lock().expect("nobody panics with it").clone();
                let result = v1::Payload { content_type: "application/json".into(), body: body.into() };
                Ok(Response::new(instance(id, "COMPLETED", Some(result))))
            }
        }
    }

    type ListDeploymentsStream = Streamed<v1::Deployment>;
    async fn list_deployments(&self, _: Request<v1::ListRequest>) -> Answer<Self::ListDeploymentsStream> {
        Err(absent())
    }

    type ListInstancesStream = Streamed<v1::Instance>;
    async fn list_instances(&self, request: Request<v1::ListRequest>) -> Answer<Self::ListInstancesStream> {
        let ids = request.into_inner().ids;
        let mut items = Vec::new();
        if ids.is_empty() || ids.iter().any(|id| id == "order-1") {
            items.push(Ok(instance("order-1", "COMPLETED", None)));
        }
        if ids.iter().any(|id| id == "slow-1") {
            items.push(Ok(instance("slow-1", "RUNNING", None)));
        }
        if ids.iter().any(|id| id == "gone-1") {
            items.push(Err(Status::not_found("there is no instance gone-1")));
        }
        Ok(Response::new(stream::iter(items).boxed()))
    }

    type WatchInstancesStream = Streamed<v1::Instance>;
    async fn watch_instances(&self, _: Request<v1::ListRequest>) -> Answer<Self::WatchInstancesStream> {
        Err(absent())
    }

    async fn describe(&self, _: Request<v1::DescribeRequest>) -> Answer<v1::Description> {
        Err(absent())
    }

    type TraceStream = Streamed<v1::HopRecord>;
    async fn trace(&self, _: Request<v1::TraceRequest>) -> Answer<Self::TraceStream> {
        Err(absent())
    }

    async fn start(&self, request: Request<v1::OperateRequest>) -> Answer<v1::OperateResponse> {
        operated(request)
    }

    async fn stop(&self, request: Request<v1::OperateRequest>) -> Answer<v1::OperateResponse> {
        operated(request)
    }

    async fn suspend(&self, request: Request<v1::OperateRequest>) -> Answer<v1::OperateResponse> {
        operated(request)
    }

    async fn resume(&self, request: Request<v1::OperateRequest>) -> Answer<v1::OperateResponse> {
        operated(request)
    }

    async fn delete(&self, request: Request<v1::OperateRequest>) -> Answer<v1::OperateResponse> {
        operated(request)
    }

    async fn probe(&self, _: Request<v1::ProbeRequest>) -> Answer<v1::ProbeResponse> {
        Err(absent())
    }

    async fn publish(&self, _: Request<v1::PublishRequest>) -> Answer<v1::PublishResponse> {
        Err(absent())
    }

    async fn signal(&self, _: Request<v1::SignalRequest>) -> Answer<v1::PublishResponse> {
        Err(absent())
    }

    async fn offer(&self, _: Request<v1::OfferRequest>) -> Answer<v1::PublishResponse> {
        Err(absent())
    }

    async fn list_tasks(&self, _: Request<v1::ListTasksRequest>) -> Answer<v1::ListTasksResponse> {
        Err(absent())
    }

    async fn complete_task(&self, _: Request<v1::CompleteTaskRequest>) -> Answer<v1::UserTask> {
        Err(absent())
    }

    async fn get_task(&self, _: Request<v1::TaskRequest>) -> Answer<v1::UserTask> {
        Err(absent())
    }

    async fn task_form(&self, _: Request<v1::TaskRequest>) -> Answer<v1::TaskFormResponse> {
        Err(absent())
    }

    async fn claim_task(&self, _: Request<v1::TaskRequest>) -> Answer<v1::UserTask> {
        Err(absent())
    }

    async fn unclaim_task(&self, _: Request<v1::TaskRequest>) -> Answer<v1::UserTask> {
        Err(absent())
    }

    async fn save_task(&self, _: Request<v1::TaskDataRequest>) -> Answer<v1::TaskDataResponse> {
        Err(absent())
    }

    async fn validate_task(&self, _: Request<v1::TaskDataRequest>) -> Answer<v1::TaskDataResponse> {
        Err(absent())
    }

    async fn list_swaps(&self, _: Request<v1::ListSwapsRequest>) -> Answer<v1::ListSwapsResponse> {
        Err(absent())
    }

    async fn swap(&self, _: Request<v1::SwapRequest>) -> Answer<v1::SwapResponse> {
        Err(absent())
    }

    async fn set(&self, request: Request<v1::OperateRequest>) -> Answer<v1::OperateResponse> {
        operated(request)
    }

    async fn modify(&self, request: Request<v1::OperateRequest>) -> Answer<v1::OperateResponse> {
        operated(request)
    }

    async fn migrate(&self, request: Request<v1::OperateRequest>) -> Answer<v1::OperateResponse> {
        operated(request)
    }

    type ListTimersStream = Streamed<v1::Timer>;
    async fn list_timers(&self, _: Request<v1::ListTimersRequest>) -> Answer<Self::ListTimersStream> {
        Err(absent())
    }

    async fn rearm(&self, request: Request<v1::OperateRequest>) -> Answer<v1::OperateResponse> {
        operated(request)
    }

    async fn update(&self, request: Request<v1::UpdateRequest>) -> Answer<v1::OperateResponse> {
        let documents = request.into_inner().spec;
        let results = documents.split("---").map(|it| match it.contains("expose_ingress") {
            true => v1::Operated { id: "order".into(), status: 0, message: "Exposed.".into() },
            false => v1::Operated { id: "order".into(), status: -2, message: "Provided action not supported.".into() },
        });
        Ok(Response::new(v1::OperateResponse { results: results.collect() }))
    }

    async fn version(&self, _: Request<v1::Empty>) -> Answer<v1::VersionResponse> {
        Err(absent())
    }
}
