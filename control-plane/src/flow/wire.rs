//! From what flowd knows to the messages of `flow.v1`.

use std::collections::HashMap;

use bytes::Bytes;
use proto::v1;
use routing::payload::JSON;
use routing::table::{NodeKind, Timer};
use routing::{Failure, FailureCode, Payload};

use crate::definitions::state::TaskView;
use crate::definitions::{Definition, Deployment};
use crate::ingress::{Lead, Route};
use crate::kubernetes::objects::Rollout;
use crate::ledger::{InstanceView, Receipt, State, TimerView};
use crate::mesh::{Past, Share};
use crate::operations::{Applied, Error, Operations, Probed, Resource, SwapOutcome, Swapped, instance_name};

/// What an instance is started with: an empty object unless there is something.
pub(super) fn payload(payload: Option<v1::Payload>) -> Payload {
    match payload {
        Some(it) if !(it.body.is_empty() && it.content_type.is_empty()) => it.into(),
        _ => Payload { content_type: JSON.to_owned(), body: Bytes::from_static(b"{}") },
    }
}

pub(super) fn applied(applied: Applied) -> v1::ApplyResponse {
    let Applied { verdict, message, deployments, diagnostics } = applied;
    let diagnostic = |it: bpmn::Diagnostic| v1::Diagnostic {
        rule: it.rule.to_owned(),
        severity: match it.severity {
            bpmn::Severity::Error => "error",
            bpmn::Severity::Warning => "warning",
            bpmn::Severity::Info => "info",
        }
        .to_owned(),
        element: it.element.unwrap_or_default(),
        line: it.line,
        column: it.column,
        message: it.message,
        help: it.help,
    };
    v1::ApplyResponse {
        status: verdict.as_str().to_owned(),
        message,
        deployments: deployments.into_iter().map(|(id, process)| v1::AppliedDeployment { id, process }).collect(),
        diagnostics: diagnostics.into_iter().map(diagnostic).collect(),
    }
}

/// An instance as operators see it.
pub(crate) fn instance(operations: &Operations, view: &InstanceView) -> v1::Instance {
    let deployment = operations.mesh.deployment(view.deployment.as_str());
    let definition = deployment.as_ref().map(|it| it.definition.as_ref());
    let incident = |it: &crate::ledger::IncidentView| v1::Incident {
        id: it.activation.to_string(),
        element: it.failure.element.as_str().to_owned(),
        name: instance_name(definition, it.failure.element.as_str()),
        since_ms: it.since,
        record: Some(record(view, definition, &it.failure, &it.input)),
    };
    let waiting = |it: &crate::ledger::WaitView| v1::WaitingElement {
        element: it.element.as_str().to_owned(),
        kind: kind(definition, it.element.as_str()),
        reason: it.reason.clone(),
    };
    v1::Instance {
        id: view.id.as_str().to_owned(),
        deployment: view.deployment.as_str().to_owned(),
        process: view.process.as_str().to_owned(),
        state: view.state.as_str().to_owned(),
        result: view.result.clone().map(Into::into),
        end_event: view.end_event.clone(),
        error: failure_record(view, definition),
        started_ms: view.started,
        ended_ms: view.ended.unwrap_or(0),
        start_event: view.start_event.as_str().to_owned(),
        metadata: view.metadata.clone().into_iter().collect(),
        incidents: view.incidents.iter().map(incident).collect(),
        waiting: view.waiting.iter().map(waiting).collect(),
        trace_id: view.trace.traceparent.split('-').nth(1).unwrap_or_default().to_owned(),
        tasks: view.tasks.iter().map(|it| super::task::of(view, it)).collect(),
        operations: view.operations.iter().map(|it| it.clone().into()).collect(),
        timed_results: view.timed.results.iter().map(|it| it.clone().into()).collect(),
        timed_left_out: view.timed.left_out,
        missing_weight: if view.state.is_closed() { String::new() } else { view.missing.to_string() },
    }
}

/// A timer that is waited for.
pub(super) fn timer(timer: TimerView) -> v1::Timer {
    let TimerView { instance, deployment, process, element, name, kind, activation, due, again, operations } = timer;
    let again = again.filter(|it| it.left != Some(0));
    v1::Timer {
        instance: instance.map(|it| it.as_str().to_owned()).unwrap_or_default(),
        deployment: deployment.as_str().to_owned(),
        process: process.as_str().to_owned(),
        element: element.as_str().to_owned(),
        name,
        kind,
        activation: activation.map(|it| it.to_string()).unwrap_or_default(),
        due_ms: due,
        left: again.as_ref().and_then(|it| it.left),
        every: again.map(|it| it.every).unwrap_or_default(),
        operations: operations.into_iter().map(Into::into).collect(),
    }
}

/// Timers and what they are to be set to.
pub(super) fn timers(settings: Vec<v1::TimerSetting>) -> Result<Vec<(String, Timer)>, String> {
    let one = |v1::TimerSetting { timer, spec, r#type }: v1::TimerSetting| {
        let kind = Some(r#type).filter(|it| !it.is_empty());
        Timer::written(kind.as_deref(), &spec).map(|it| (timer, it))
    };
    settings.into_iter().map(one).collect()
}

/// What became of a message or signal.
pub(super) fn published(receipt: &Receipt) -> v1::PublishResponse {
    let names = |all: &[routing::InstanceId]| all.iter().map(|it| it.as_str().to_owned()).collect();
    v1::PublishResponse {
        instances: names(&receipt.instances),
        started: names(&receipt.started),
        buffered: receipt.buffered,
        known: receipt.known,
    }
}

/// What was applied beside a model.
pub(super) fn resources(resources: Vec<v1::Resource>) -> Vec<Resource> {
    resources.into_iter().map(|it| Resource { name: it.name, content: it.content }).collect()
}

/// Why an instance is where it is: its failure, or that somebody cancelled it.
pub(crate) fn failure_record(view: &InstanceView, definition: Option<&Definition>) -> Option<v1::FailureRecord> {
    match (&view.failure, view.state) {
        (_, State::Cancelled) => {
            let reason = if view.reason.is_empty() { String::new() } else { format!(" ({})", view.reason) };
            Some(v1::FailureRecord {
                error_code: FailureCode::CanceledInstance.as_str().to_owned(),
                error_msg: format!("Instance {} cancelled{reason}.", view.id),
                ..v1::FailureRecord::default()
            })
        }
        (Some((failure, input)), _) => Some(record(view, definition, failure, input)),
        (None, _) => None,
    }
}

fn record(
    view: &InstanceView,
    definition: Option<&Definition>,
    failure: &Failure,
    input: &Payload,
) -> v1::FailureRecord {
    let element = failure.element.as_str();
    let header = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let input_headers = HashMap::from([
        header("content-type", &input.content_type),
        header("x-rexflow-tid", element),
        header("x-rexflow-iid", view.id.as_str()),
        header("x-rexflow-did", view.deployment.as_str()),
    ]);
    let mut output_headers = HashMap::new();
    output_headers.extend(failure.status.map(|it| ("status".to_owned(), it.to_string())));
    output_headers.extend(failure.output.as_ref().map(|it| header("content-type", &it.content_type)));
    v1::FailureRecord {
        error_code: failure.code.as_str().to_owned(),
        error_msg: failure.message.clone(),
        failed_task_id: element.to_owned(),
        failed_task_name: instance_name(definition, element),
        input: Some(input.clone().into()),
        input_headers,
        output: failure.output.clone().map(Into::into),
        output_headers,
    }
}

fn kind(definition: Option<&Definition>, element: &str) -> String {
    let table = definition.map(|it| it.ledger.table());
    let node = table.and_then(|table| table.find(element).map(|ix| table.node(ix)));
    node.map(|it| it.element.clone()).unwrap_or_default()
}

pub(super) async fn deployment(
    operations: &Operations,
    deployment: &Deployment,
    tasks: &[TaskView],
) -> Result<v1::Deployment, Error> {
    let definition = &deployment.definition;
    let running = operations.ledger.open_on(&definition.deployment).await?;
    Ok(v1::Deployment {
        id: definition.deployment.as_str().to_owned(),
        process: definition.process.as_str().to_owned(),
        name: definition.name.clone().unwrap_or_default(),
        state: deployment.state.as_str().to_owned(),
        tasks: tasks.iter().map(|it| task(operations, deployment, it)).collect(),
        start_events: definition.start_events.iter().map(|it| it.as_str().to_owned()).collect(),
        applied_ms: deployment.applied,
        running: running as u64,
        message: deployment.message.clone(),
        user_opaque_metadata: definition.metadata.clone(),
        workflow: deployment.claim.as_ref().map(|it| it.workflow.clone()).unwrap_or_default(),
        ingress: (deployment.ingress.iter()).map(|it| ingress(operations, it)).collect(),
    })
}

fn ingress(operations: &Operations, route: &Route) -> v1::IngressRoute {
    let Lead { gateway, message } = operations.mesh.lead(route);
    let Route { host, path, start_event } = route.clone();
    v1::IngressRoute { host, path, start_event: start_event.as_str().to_owned(), gateway, message }
}

fn task(operations: &Operations, deployment: &Deployment, view: &TaskView) -> v1::Task {
    let service = routing::ServiceName::from(view.service.as_str());
    let swapped = operations.mesh.swapped().remove(&service);
    let bound = || deployment.bound(&view.element.as_str().into(), &service);
    v1::Task {
        element: view.element.clone(),
        name: instance_name(Some(&deployment.definition), &view.element),
        service: view.service.clone(),
        health: view.health.as_str().to_owned(),
        reason: view.reason.clone(),
        replicas: view.replicas,
        ready_replicas: view.ready,
        url: swapped.or_else(bound).or_else(|| declared(deployment, &view.element)).unwrap_or_default(),
        conditions: conditions(view),
    }
}

fn conditions(view: &TaskView) -> Vec<v1::Condition> {
    let drift = (!view.drift.is_empty())
        .then(|| v1::Condition { r#type: "ImageDrift".to_owned(), message: view.drift.clone() });
    drift.into_iter().collect()
}

/// Where the model itself says that a task's service is.
fn declared(deployment: &Deployment, element: &str) -> Option<String> {
    let ledger = &deployment.definition.ledger;
    let node = ledger.table().node(ledger.find(element)?);
    let NodeKind::Task(task) = &node.kind else { return None };
    task.address.as_ref().map(|at| format!("http://{}:{}", at.host, at.port))
}

/// The sidecars that serve a deployment.
pub(super) fn sidecars(operations: &Operations, deployment: &Deployment) -> Vec<v1::Sidecar> {
    let services = deployment.definition.services();
    let shown = operations.mesh.sidecars(|incarnation, it| {
        let serves = it.serves.keys().any(|name| services.contains(name));
        serves.then(|| v1::Sidecar {
            incarnation: incarnation.to_string(),
            hop_address: it.address.clone(),
            serves: it.serves.keys().map(|name| name.as_str().to_owned()).collect(),
            version: it.version.clone(),
            connected: it.is_connected(),
            bindings_version: it.acked,
            tables: it.tables.values().filter(|table| table.answer == Some(Ok(()))).count() as u32,
        })
    });
    shown.into_iter().flatten().collect()
}

pub(super) fn probed(operations: &Operations, probed: Probed) -> v1::Probed {
    let Probed { id, tasks, error } = probed;
    let deployment = operations.mesh.deployment(&id);
    let tasks = match &deployment {
        Some(deployment) => tasks.iter().map(|it| task(operations, deployment, it)).collect(),
        None => Vec::new(),
    };
    v1::Probed { id, tasks, error }
}

pub(super) fn swap(outcome: SwapOutcome) -> v1::SwapResponse {
    let swapped = |it: Swapped| {
        let Swapped { incarnation, address, service, url, error } = it;
        v1::Swapped { incarnation, hop_address: address, service, url, error }
    };
    let rollout = |in_place, (service, it): (routing::ServiceName, Rollout)| v1::Rollout {
        workload: it.workload,
        service: service.as_str().to_owned(),
        image: it.image,
        error: it.lacks,
        in_place,
    };
    let in_place = outcome.in_place.into_iter().map(|it| rollout(true, it));
    v1::SwapResponse {
        sidecars: outcome.sidecars.into_iter().map(swapped).collect(),
        rollouts: outcome.rollouts.into_iter().map(|it| rollout(false, it)).chain(in_place).collect(),
        shares: outcome.shares.into_iter().map(share).collect(),
    }
}

fn share(share: Share) -> v1::Share {
    let Share { service, backend, weight, replicas, behind } = share;
    let error = match (behind.is_empty(), replicas) {
        (false, _) => format!("not in force yet at {}; they take it when they go on", behind.join(", ")),
        (true, 0) if weight > 0 => format!("no sidecar of {backend} is connected: {service} does all of it"),
        (true, _) => String::new(),
    };
    v1::Share {
        service: service.as_str().to_owned(),
        backend: backend.as_str().to_owned(),
        weight: weight.into(),
        replicas: u32::try_from(replicas).unwrap_or(u32::MAX),
        error,
    }
}

pub(super) fn past_swap((service, Past { at, to }): (routing::ServiceName, Past)) -> v1::PastSwap {
    v1::PastSwap { service: service.as_str().to_owned(), at_ms: at, to }
}

/// The original's numbers: -1 not there, -2 not in this state, -3 the store.
pub(super) fn operated(id: String, done: Result<String, Error>) -> v1::Operated {
    let (status, message) = match done {
        Ok(message) => (0, message),
        Err(error) => {
            let status = match &error {
                Error::NotFound(_) => -1,
                Error::WrongState(_) | Error::NotRunning { .. } | Error::ChooseStart(_) | Error::Invalid(_) => -2,
                Error::Unfit(_) => -2,
                Error::TooLarge { .. } | Error::Forbidden(_) => -2,
                Error::Busy | Error::Unavailable(_) | Error::Store(_) => -3,
            };
            (status, error.to_string())
        }
    };
    v1::Operated { id, status, message }
}
