//! Conversions between the wire (`flow.v1`) and what flowctl shows. Pure.

pub(super) mod task;

use std::collections::HashMap;

use jiff::Timestamp;
use proto::v1;
use serde_json::Value;

use super::{Description, Operation, Resource, Selection};
use crate::args::kind::Kind;
use crate::exit::Exit;
use crate::output::apply::{Deployed, File, Status};
use crate::output::deployment::{Condition, Deployment, Ingress, Task};
use crate::output::describe::Sidecar;
use crate::output::diagnostic::{Diagnostic, Severity, has_errors};
use crate::output::instance::{Body, Failed, Instance, State, Waiting};
use crate::output::message::Receipt;
use crate::output::report::Outcome;
use crate::output::timer::Timer;
use crate::output::{instance, probe, swap, trace};
use crate::payload::Payload;

pub(super) fn list(selection: Selection) -> v1::ListRequest {
    let Selection { ids, metadata, deployment, limit } = selection;
    v1::ListRequest { ids, metadata, deployment, limit }
}

pub(super) fn operate(operation: &Operation, kind: Kind, id: &str) -> v1::OperateRequest {
    let mut request = v1::OperateRequest { ids: vec![id.to_owned()], ..v1::OperateRequest::default() };
    match operation {
        Operation::Start { same_key, force, payload: new, by } => {
            (request.who, request.reason) = (by.who.clone(), by.why.clone());
            (request.same_key, request.force) = (*same_key, *force);
            request.payload = new.clone().map(payload);
        }
        Operation::Stop { force, by } => {
            request.force = *force;
            (request.who, request.reason) = (by.who.clone(), by.why.clone());
        }
        Operation::Set { values, scope, by } => {
            request.payload = Some(payload(values.clone()));
            request.scope = scope.clone();
            (request.who, request.reason) = (by.who.clone(), by.why.clone());
        }
        Operation::Modify { moves, values, by } => {
            request.moves = moves.iter().cloned().map(|(from, to)| v1::Move { from, to }).collect();
            request.payload = values.clone().map(payload);
            (request.who, request.reason) = (by.who.clone(), by.why.clone());
        }
        Operation::Migrate { to, names, by } => {
            request.moves = names.iter().cloned().map(|(from, to)| v1::Move { from, to }).collect();
            request.to = to.clone();
            (request.who, request.reason) = (by.who.clone(), by.why.clone());
        }
        Operation::Rearm { timers, by } => {
            let setting = |(timer, spec)| v1::TimerSetting { timer, spec, ..v1::TimerSetting::default() };
            request.timers = timers.iter().cloned().map(setting).collect();
            (request.who, request.reason) = (by.who.clone(), by.why.clone());
        }
        Operation::Delete { force } => request.force = *force,
        Operation::Suspend(by) | Operation::Resume(by) => {
            (request.who, request.reason) = (by.who.clone(), by.why.clone());
        }
    }
    let kind = match kind {
        Kind::Deployment => v1::Kind::Deployment,
        Kind::Instance => v1::Kind::Instance,
    };
    v1::OperateRequest { kind: kind.into(), ..request }
}

pub(super) fn file(name: &str, answer: v1::ApplyResponse) -> File {
    let diagnostics: Vec<Diagnostic> = answer.diagnostics.into_iter().map(diagnostic).collect();
    let status = match answer.status.as_str() {
        _ if has_errors(&diagnostics) => Status::Refused,
        "created" => Status::Created,
        "unchanged" => Status::Unchanged,
        "valid" => Status::Valid,
        "refused" => Status::Refused,
        _ => Status::Error,
    };
    let deployments = answer.deployments.into_iter();
    File {
        file: name.to_owned(),
        status,
        message: answer.message,
        deployments: deployments.map(|deployed| Deployed { id: deployed.id, process: deployed.process }).collect(),
        diagnostics,
    }
}

fn diagnostic(wire: v1::Diagnostic) -> Diagnostic {
    let severity = match wire.severity.as_str() {
        "warning" => Severity::Warning,
        "info" => Severity::Info,
        // What this flowctl does not know it takes for the gravest.
        _ => Severity::Error,
    };
    Diagnostic {
        rule: wire.rule,
        severity,
        element: Some(wire.element).filter(|element| !element.is_empty()),
        line: wire.line,
        column: wire.column,
        message: wire.message,
        help: wire.help,
    }
}

pub(super) fn instance(wire: v1::Instance) -> Instance {
    let incidents = u32::try_from(wire.incidents.len()).unwrap_or(u32::MAX);
    let record = wire.error.or_else(|| wire.incidents.into_iter().find_map(|incident| incident.record));
    let waiting = wire.waiting.into_iter();
    Instance {
        id: wire.id,
        deployment: wire.deployment,
        process: wire.process,
        state: state(&wire.state),
        incidents,
        result: body(wire.result),
        end_event: wire.end_event,
        error: record.map(failure),
        started: instant(wire.started_ms),
        ended: instant(wire.ended_ms),
        metadata: wire.metadata.into_iter().collect(),
        start_event: wire.start_event,
        waiting: waiting
            .map(|place| Waiting { element: place.element, kind: place.kind, reason: place.reason })
            .collect(),
        tasks: wire.tasks.into_iter().map(task::user_task).collect(),
        operations: wire.operations.into_iter().map(operation).collect(),
        timed_results: wire.timed_results.into_iter().map(timed).collect(),
        timed_left_out: wire.timed_left_out,
        trace_id: wire.trace_id,
    }
}

fn timed(wire: v1::TimedResult) -> instance::Timed {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect();
    let pools = wire.pools.iter().map(|id| hex(id)).collect();
    instance::Timed { pools, end_event: wire.end_event, result: body(wire.payload) }
}

pub(super) fn timer(wire: v1::Timer) -> Timer {
    Timer {
        instance: wire.instance,
        deployment: wire.deployment,
        element: wire.element,
        name: wire.name,
        kind: wire.kind,
        activation: wire.activation,
        due: instant(wire.due_ms),
        left: if wire.every.is_empty() { Some(0) } else { wire.left },
        every: wire.every,
        operations: wire.operations.into_iter().map(operation).collect(),
    }
}

fn operation(wire: v1::Operation) -> instance::Operation {
    instance::Operation { at: instant(wire.at_ms), what: wire.what, by: wire.who, reason: wire.why }
}

pub(super) fn receipt(wire: v1::PublishResponse) -> Receipt {
    let v1::PublishResponse { instances, started, buffered, known } = wire;
    Receipt { instances, started, buffered, known }
}

pub(super) fn payload(payload: Payload) -> v1::Payload {
    v1::Payload { content_type: payload.content_type, body: payload.bytes.into() }
}

pub(super) fn resource((name, content): &Resource) -> v1::Resource {
    v1::Resource { name: name.clone(), content: content.clone().into() }
}

fn state(word: &str) -> State {
    match word {
        "STARTING" => State::Starting,
        "RUNNING" => State::Running,
        "COMPLETED" => State::Completed,
        "STOPPED" => State::Stopped,
        "SUSPENDED" => State::Suspended,
        "ERROR" => State::Error,
        "CANCELLED" => State::Cancelled,
        _ => State::Unknown,
    }
}

fn failure(wire: v1::FailureRecord) -> Failed {
    Failed {
        code: wire.error_code,
        message: wire.error_msg,
        element: wire.failed_task_id,
        name: wire.failed_task_name,
        input: body(wire.input),
        input_headers: sorted(wire.input_headers),
        output: body(wire.output),
        output_headers: sorted(wire.output_headers),
    }
}

fn body(wire: Option<v1::Payload>) -> Body {
    wire.map(|payload| Body { bytes: payload.body.to_vec(), content_type: payload.content_type }).unwrap_or_default()
}

fn sorted(map: HashMap<String, String>) -> std::collections::BTreeMap<String, String> {
    map.into_iter().collect()
}

/// Milliseconds since 1970; 0 is never.
fn instant(milliseconds: u64) -> Option<Timestamp> {
    let milliseconds = i64::try_from(milliseconds).ok().filter(|time| *time > 0)?;
    Timestamp::from_millisecond(milliseconds).ok()
}

pub(super) fn deployment(wire: v1::Deployment) -> Deployment {
    Deployment {
        id: wire.id,
        process: wire.process,
        state: wire.state,
        reason: wire.message,
        tasks: wire.tasks.into_iter().map(task).collect(),
        start_events: wire.start_events,
        running: wire.running,
        applied: instant(wire.applied_ms),
        metadata: metadata(wire.user_opaque_metadata),
        ingress: wire.ingress.into_iter().map(ingress).collect(),
        workflow: wire.workflow,
    }
}

fn ingress(wire: v1::IngressRoute) -> Ingress {
    let v1::IngressRoute { host, path, start_event, gateway, message } = wire;
    Ingress { host, path, start_event, gateway, message }
}

fn metadata(text: String) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn task(wire: v1::Task) -> Task {
    Task {
        element: wire.element,
        name: wire.name,
        service: wire.service,
        health: wire.health,
        reason: wire.reason,
        replicas: wire.replicas,
        ready_replicas: wire.ready_replicas,
        url: wire.url,
        conditions: wire.conditions.into_iter().map(condition).collect(),
    }
}

fn condition(wire: v1::Condition) -> Condition {
    Condition { kind: wire.r#type, message: wire.message }
}

pub(super) fn description(wire: v1::Description) -> Option<Description> {
    let sidecars = wire.sidecars.into_iter().map(sidecar).collect();
    Some(match wire.what? {
        v1::description::What::Deployment(wire) => Description::Deployment(Box::new(deployment(wire)), sidecars),
        v1::description::What::Instance(wire) => Description::Instance(Box::new(instance(wire))),
    })
}

fn sidecar(wire: v1::Sidecar) -> Sidecar {
    Sidecar {
        incarnation: wire.incarnation,
        hop_address: wire.hop_address,
        serves: wire.serves,
        version: wire.version,
        connected: wire.connected,
    }
}

pub(super) fn hop(wire: v1::HopRecord) -> trace::Hop {
    trace::Hop {
        element: wire.element,
        name: wire.name,
        kind: wire.kind,
        started: instant(wire.started_ms),
        ended: instant(wire.ended_ms),
        attempts: wire.attempts,
        status: wire.status,
        warnings: wire.warnings,
    }
}

/// The outcome for the one id that was asked for.
pub(super) fn outcome(kind: Kind, id: String, wire: v1::OperateResponse) -> Outcome {
    match wire.results.into_iter().next() {
        None => Outcome { kind, id, exit: Exit::Error, message: "flowd says nothing about it".to_owned() },
        Some(it) if it.id.is_empty() => operated(kind, v1::Operated { id, ..it }),
        Some(it) => operated(kind, it),
    }
}

/// What became of one thing.
pub(super) fn operated(kind: Kind, operated: v1::Operated) -> Outcome {
    let exit = match operated.status {
        0 => Exit::Ok,
        -1 => Exit::NotFound,
        _ => Exit::Error,
    };
    Outcome { kind, id: operated.id, exit, message: operated.message }
}

pub(super) fn probes(wire: v1::ProbeResponse) -> probe::List {
    let (found, missing): (Vec<_>, Vec<_>) = wire.results.into_iter().partition(|probed| probed.error.is_empty());
    probe::List {
        probes: found.into_iter().map(probed).collect(),
        missing: missing.into_iter().map(|probed| probed.id).collect(),
    }
}

fn probed(wire: v1::Probed) -> probe::Probe {
    let health = |task: v1::Task| probe::Health {
        element: task.element,
        name: task.name,
        status: task.health,
        detail: task.reason,
    };
    probe::Probe { deployment: wire.id, tasks: wire.tasks.into_iter().map(health).collect() }
}

pub(super) fn swap(task: String, wire: v1::SwapResponse) -> swap::Swap {
    let sidecar = |swapped: v1::Swapped| swap::Sidecar {
        incarnation: swapped.incarnation,
        hop_address: swapped.hop_address,
        service: swapped.service,
        url: swapped.url,
        error: swapped.error,
    };
    let rollout = |it: v1::Rollout| swap::Rollout {
        workload: it.workload,
        service: it.service,
        image: it.image,
        error: it.error,
        in_place: it.in_place,
    };
    let share = |it: v1::Share| swap::Share {
        service: it.service,
        backend: it.backend,
        weight: it.weight,
        replicas: it.replicas,
        error: it.error,
    };
    swap::Swap {
        task,
        sidecars: wire.sidecars.into_iter().map(sidecar).collect(),
        rollouts: wire.rollouts.into_iter().map(rollout).collect(),
        shares: wire.shares.into_iter().map(share).collect(),
    }
}

pub(super) fn swaps(wire: v1::ListSwapsResponse) -> swap::History {
    let past = |it: v1::PastSwap| swap::Past { at: instant(it.at_ms), service: it.service, to: it.to };
    swap::History { swaps: wire.swaps.into_iter().map(past).collect() }
}

#[cfg(test)]
mod tests;
