//! What a service does: who serves it, and how it is called (design §6).
//!
//! A service task always is; other tasks and message throw events are where something in the model, or `--bind ID=URL`, says so.

use std::collections::{BTreeMap, BTreeSet};

use routing::table::{Address, CONNECTORS, DataMapping, Health, Parameter, ParameterKind, RetryPolicy, Task};
use routing::{DeploymentId, ServiceName};

use super::source::Source;
use super::{connector, mapping};
use crate::binding::{self, Annotations, Call, ParameterType, Service, TaskBinding, TypedTask};
use crate::model::{EventDefinitionKind, FlowNodeKind, Namespace, Process};
use crate::workload::Place;

/// Milliseconds for one call, unless the model says otherwise.
pub(super) const TIMEOUT: u64 = 30_000;
/// Milliseconds that a task that is down is waited for, unless the model says otherwise.
pub(super) const DOWN_TIMEOUT: u64 = 60_000;

/// What services are called: by host, or host and port where several share a host; in a cluster with their namespace.
pub(crate) struct Names {
    shared: BTreeSet<String>,
    places: BTreeMap<usize, Place>,
}

impl Names {
    /// Those of `process`; in a cluster when they belong to `deployment`.
    pub(crate) fn of(process: &Process, annotations: &Annotations, deployment: Option<&DeploymentId>) -> Self {
        let mut ports: BTreeMap<&str, BTreeSet<u16>> = BTreeMap::new();
        let mut places = BTreeMap::new();
        for index in 0..process.nodes.len() {
            let Some(service) = &annotations.elements[index].service else { continue };
            ports.entry(&service.host).or_default().insert(service.port);
            if let Some(deployment) = deployment {
                places.insert(index, Place::of(annotations, index, service, deployment));
            }
        }
        let shared = ports.into_iter().filter(|(_, ports)| ports.len() > 1);
        Self { shared: shared.map(|(host, _)| host.to_owned()).collect(), places }
    }

    /// The name of the service of the node at `index`.
    pub(crate) fn name(&self, index: usize, service: &Service) -> ServiceName {
        let port = self.shared.contains(&service.host).then_some(service.port);
        match (self.places.get(&index), port) {
            (Some(place), port) => place.service(port),
            (None, Some(port)) => ServiceName::from(format!("{}:{port}", service.host)),
            (None, None) => ServiceName::from(service.host.as_str()),
        }
    }
}

/// Whether a service does the activity or event at `index`.
pub(crate) fn is_bound(source: &Source<'_>, index: usize) -> bool {
    let node = source.node(index);
    match &node.kind {
        FlowNodeKind::ServiceTask { .. } => true,
        FlowNodeKind::Task
        | FlowNodeKind::SendTask { .. }
        | FlowNodeKind::BusinessRuleTask
        | FlowNodeKind::ScriptTask { .. } => says_service(source, index),
        FlowNodeKind::UserTask => {
            node.extensions.find(&Namespace::Zeebe, "userTask").is_none() && says_service(source, index)
        }
        FlowNodeKind::IntermediateThrowEvent | FlowNodeKind::EndEvent => {
            let message = |it: &EventDefinitionKind| matches!(it, EventDefinitionKind::Message { .. });
            node.event_definitions.len() == 1 && node.defines(message) && says_service(source, index)
        }
        _ => false,
    }
}

/// Whether the model, or whoever applies it, names a service for the node.
pub(crate) fn says_service(source: &Source<'_>, index: usize) -> bool {
    source.options.bindings.contains_key(&source.node(index).id) || bound(source, index) != TaskBinding::Unbound
}

/// The name of the service that serves the task at `index`.
pub(super) fn service(source: &Source<'_>, index: usize) -> ServiceName {
    let node = &source.graph.process.nodes[index];
    match bound(source, index) {
        TaskBinding::Annotated(service) => source.names.name(index, &service),
        TaskBinding::Typed(task) if task.native().is_some() => ServiceName::from(CONNECTORS),
        TaskBinding::Typed(task) => ServiceName::from(task.task_type),
        TaskBinding::Unbound => ServiceName::from(node.id.as_str()),
    }
}

/// The task's binding; its findings are lint's to report.
fn bound(source: &Source<'_>, index: usize) -> TaskBinding {
    let node = &source.graph.process.nodes[index];
    binding::of_task(node, index, source.annotations, &mut Vec::new())
}

/// The service task at `index`.
pub(super) fn compile(source: &Source<'_>, index: usize) -> Task {
    let annotation = &source.annotations.elements[index];
    let bound = bound(source, index);
    let typed = match &bound {
        TaskBinding::Typed(task) => task.clone(),
        TaskBinding::Annotated(_) | TaskBinding::Unbound => TypedTask::default(),
    };
    let call = &annotation.call;
    Task {
        service: service(source, index),
        address: address(&bound),
        method: call.method.clone().or(typed.method.clone()).unwrap_or_else(|| "POST".to_owned()),
        path: call.path.clone().or(typed.path.clone()).unwrap_or_else(|| "/".to_owned()),
        data: data(source, index, &bound, &typed),
        retry: retry(source.annotations, call, &typed),
        timeout: call.timeout.or(typed.timeout).unwrap_or(TIMEOUT),
        down_timeout: call.down_timeout.unwrap_or(DOWN_TIMEOUT),
        asynchronous: is_asynchronous(&bound),
        callback_timeout: call.callback_timeout.or(typed.callback_timeout).unwrap_or(routing::callback::TIMEOUT),
        health: annotation.health.clone().map(health),
        labels: labels(source, index, &typed),
        listener: false,
    }
}

/// The annotation's, and which connector it is.
fn labels(source: &Source<'_>, index: usize, typed: &TypedTask) -> BTreeMap<String, String> {
    let mut labels = source.annotations.elements[index].labels.clone();
    if typed.native().is_some() {
        labels.insert("connector".to_owned(), typed.task_type.clone());
    }
    labels
}

fn address(bound: &TaskBinding) -> Option<Address> {
    match bound {
        TaskBinding::Annotated(service) => {
            Some(Address { host: service.host.clone(), port: service.port, target_port: service.target_port })
        }
        TaskBinding::Typed(_) | TaskBinding::Unbound => None,
    }
}

/// The original's dialect replaces the payload; Camunda 8's tasks merge into the variables.
fn data(source: &Source<'_>, index: usize, bound: &TaskBinding, typed: &TypedTask) -> DataMapping {
    let node = source.node(index);
    if let Some(kind) = typed.native() {
        return DataMapping::Connector(Box::new(connector::compile(source, index, kind)));
    }
    let connector = binding::connector_element(node).filter(|_| typed.connector);
    let of_connector = connector.and_then(|it| it.children_named(&Namespace::Camunda, "inputOutput").next());
    let mapped = match of_connector {
        Some(io) => mapping::camunda(source, node, io).filter(|it| !it.inputs.is_empty() || !it.outputs.is_empty()),
        None => mapping::of(source, index),
    };
    let replaces = match bound {
        TaskBinding::Annotated(_) if source.annotations.global.closure_transport => {
            let (inputs, outputs) = binding::parameters(node, &mut Vec::new());
            return DataMapping::Closure {
                inputs: inputs.into_iter().map(parameter).collect(),
                outputs: outputs.into_iter().map(parameter).collect(),
            };
        }
        // of a callback the original updates the payload
        TaskBinding::Annotated(service) => !service.asynchronous,
        TaskBinding::Typed(task) => task.connector,
        TaskBinding::Unbound => source.annotations.dialect,
    };
    if let Some(mapped) = mapped {
        return DataMapping::Mapped {
            inputs: mapped.inputs,
            result_variable: typed.result_variable.clone(),
            outputs: mapped.outputs,
            inputs_only: typed.connector,
        };
    }
    if replaces { DataMapping::Replace } else { DataMapping::Merge { result_variable: typed.result_variable.clone() } }
}

fn is_asynchronous(bound: &TaskBinding) -> bool {
    match bound {
        TaskBinding::Annotated(service) => service.asynchronous,
        TaskBinding::Typed(task) => task.asynchronous && task.native().is_none(),
        TaskBinding::Unbound => false,
    }
}

fn parameter(parameter: binding::Parameter) -> Parameter {
    Parameter {
        name: parameter.name,
        source: parameter.source,
        kind: match parameter.kind {
            ParameterType::String => ParameterKind::String,
            ParameterType::Boolean => ParameterKind::Boolean,
            ParameterType::Double => ParameterKind::Double,
            ParameterType::Integer => ParameterKind::Integer,
            ParameterType::JsonObject => ParameterKind::JsonObject,
            ParameterType::JsonArray => ParameterKind::JsonArray,
        },
        default: parameter.default,
    }
}

/// The task's own attempts, else the process's, else the dialect's 1, else 3.
fn retry(annotations: &Annotations, call: &Call, typed: &TypedTask) -> RetryPolicy {
    let usual = RetryPolicy::default();
    let dialect = annotations.dialect.then_some(1);
    let own = call.total_attempts.or(typed.attempts);
    let initial = call.initial_backoff.unwrap_or(usual.initial);
    RetryPolicy {
        attempts: own.or(annotations.global.total_attempts).or(dialect).unwrap_or(usual.attempts),
        initial,
        max: call.max_backoff.unwrap_or(usual.max).max(initial),
    }
}

fn health(health: binding::Health) -> Health {
    Health {
        path: health.path,
        method: health.method,
        query: health.query,
        period: health.period,
        timeout: health.timeout,
        initial_delay: health.initial_delay,
        failure_threshold: health.failure_threshold,
    }
}
