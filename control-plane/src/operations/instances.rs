//! Instances: run, wait, start again, suspend, resume, migrate, cancel, delete.

use std::collections::BTreeMap;
use std::sync::Arc;

use routing::{InstanceId, Payload};
use runtime::outbound;
use runtime::telemetry::{SpanKind, TraceContext};
use tokio::sync::oneshot;

use super::{Error, Operations, no_instance};
use crate::definitions::{Definition, Deployment};
use crate::ledger::{Answer, InstanceView, Operation, Operator, Start, State, Target, key};
use crate::ledger_task::Settled;
use crate::store::Write;

/// Pairs of metadata that an instance may have, and bytes of each.
const MAX_METADATA: (usize, usize) = (64, 4096);
/// Bytes of a user interface's address.
const MAX_URI: usize = 2048;
/// Bytes of an idempotency key.
const MAX_KEY: usize = 1024;

/// An instance to start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    /// Deployment id, process id, or a unique part of a deployment id.
    pub(crate) id: String,
    pub(crate) payload: Payload,
    /// Empty: the only one.
    pub(crate) start_event: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) key: Option<String>,
    pub(crate) trace: TraceContext,
    pub(crate) stopped: bool,
    /// The user interface that is told of its user tasks and of its end.
    pub(crate) graphql_uri: Option<String>,
}

impl Operations {
    /// Starts an instance; answers when that is durable. With `settled`, its coming to rest is told there.
    pub(crate) async fn run(&self, run: Run, settled: Option<oneshot::Sender<Settled>>) -> Result<InstanceId, Error> {
        let deployment = self.accepting(&run.id)?;
        let definition = &deployment.definition;
        check(&run, definition)?;
        let start_event = match definition.start_events.iter().find(|it| it.as_str() == run.start_event) {
            Some(named) => named,
            None if run.start_event.is_empty() || definition.start_events.len() == 1 => {
                definition.only_start().ok_or_else(|| Error::ChooseStart(definition.start_events.clone()))?
            }
            None => {
                let (named, id) = (&run.start_event, &definition.deployment);
                let all = super::names(&definition.start_events);
                return Err(Error::Invalid(format!("{id} has no start event {named}; it has {all}")));
            }
        };
        let instance = InstanceId::from(format!("{}-{}", definition.deployment, uuid::Uuid::now_v7().simple()));
        let begun = self.clock.now().as_system_time();
        let mut span = self.tracer.span(format_args!("startEvent {start_event}"), SpanKind::Server, &run.trace, begun);
        if span.is_recording() {
            span.set("bpmn.process.id", definition.process.as_str());
            span.set("bpmn.process.version", definition.deployment.as_str());
            span.set("bpmn.process.instance.id", instance.as_str());
            span.set("bpmn.element.id", start_event.as_str());
            span.set("bpmn.element.type", "startEvent");
        }
        let trace = span.context();
        let start = Start {
            instance,
            deployment: definition.deployment.clone(),
            process: definition.process.clone(),
            definition: definition.digest,
            start_event: start_event.clone(),
            payload: run.payload,
            metadata: run.metadata,
            idempotency_key: run.key,
            known: None,
            trace: routing::TraceContext {
                traceparent: trace.traceparent(),
                tracestate: trace.tracestate().to_owned(),
                baggage: trace.baggage().to_owned(),
            },
            stopped: run.stopped,
            graphql_uri: run.graphql_uri,
        };
        self.told.tell(&self.mesh, &self.ledger).await?;
        let started = self.ledger.start(Box::new(start), settled).await;
        if let Err(error) = &started {
            tracing::debug!(%error, "an instance was not started");
            span.error("REFUSED");
        }
        span.end(self.clock.now().as_system_time());
        Ok(started?)
    }

    /// An instance, open or closed.
    pub(crate) async fn instance(&self, id: &InstanceId) -> Result<InstanceView, Error> {
        self.ledger.get(id).await?.ok_or_else(|| no_instance(id))
    }

    /// Waits until it has ended or waits for an operator.
    pub(crate) async fn wait(&self, id: &InstanceId) -> Result<Arc<InstanceView>, Error> {
        self.ledger.wait(id).await?.ok_or_else(|| no_instance(id))
    }

    /// Changes how an open instance goes on.
    pub(crate) async fn operate(&self, id: &InstanceId, by: Operator, operation: Operation) -> Result<(), Error> {
        match self.ledger.operate(id, by, operation).await? {
            Answer::NotFound => match self.ledger.get(id).await? {
                Some(closed) => Err(Error::WrongState(format!("{id} has ended already: it is {}", closed.state))),
                None => Err(no_instance(id)),
            },
            other => done(id, other),
        }
    }

    /// What takes instances to another version of their process: a deployment id, a process id, or a unique part of a deployment id.
    pub(crate) async fn migration(&self, to: &str, names: Vec<(String, String)>) -> Result<Operation, Error> {
        let deployment = self.accepting(to)?;
        let Definition { process, deployment, digest, .. } = &*deployment.definition;
        let to = Target { process: process.clone(), deployment: deployment.clone(), definition: *digest };
        let migrating = Operation::migrating(to, names).map_err(|why| Error::Invalid(why.to_owned()))?;
        self.told.tell(&self.mesh, &self.ledger).await?;
        Ok(migrating)
    }

    /// The deployment that is meant, which takes instances.
    pub(super) fn accepting(&self, id: &str) -> Result<Deployment, Error> {
        let deployment = self.mesh.resolve(id)?;
        if deployment.state.accepts() {
            return Ok(deployment);
        }
        let (state, message) = (deployment.state, deployment.message);
        Err(Error::NotRunning { deployment: deployment.definition.deployment.clone(), state, message })
    }

    /// Cancels an open instance.
    pub(crate) async fn cancel(&self, id: &InstanceId, by: impl Into<Operator>) -> Result<(), Error> {
        match self.ledger.cancel(id, by.into()).await? {
            Answer::NotFound => match self.ledger.get(id).await? {
                Some(closed) => Err(Error::WrongState(format!("{id} has ended already: it is {}", closed.state))),
                None => Err(no_instance(id)),
            },
            other => done(id, other),
        }
    }

    /// Forgets a closed or stopped instance; with force any.
    pub(crate) async fn delete_instance(&self, id: &InstanceId, force: bool) -> Result<(), Error> {
        let view = self.instance(id).await?;
        if force && !view.state.is_closed() && view.state != State::Stopped {
            self.cancel(id, "deleted with --force").await?;
        }
        let _one = self.history.lock().await;
        done(id, self.ledger.delete(id).await?)?;
        let mut writes: Vec<Write> = view.ended.map(|at| Write::delete(key::by_end(at, id))).into_iter().collect();
        writes.extend(self.forget_remains(id).await?);
        writes.extend(view.idempotency_key.map(|it| Write::delete(key::idempotency(&it))));
        self.commit(writes).await
    }
}

/// The name of an instance's element in its model.
pub(crate) fn instance_name(definition: Option<&Definition>, element: &str) -> String {
    let table = definition.map(|it| it.ledger.table());
    let node = table.and_then(|table| table.find(element).map(|ix| table.node(ix)));
    node.map_or_else(|| element.to_owned(), |node| node.name.clone())
}

fn check(run: &Run, definition: &Definition) -> Result<(), Error> {
    let (size, limit) = (run.payload.body.len(), definition.max_payload());
    if size > limit {
        return Err(Error::TooLarge { size, limit });
    }
    let (pairs, bytes) = MAX_METADATA;
    if run.metadata.len() > pairs || run.metadata.iter().any(|(key, value)| key.len() + value.len() > bytes) {
        return Err(Error::Invalid(format!("metadata may have {pairs} pairs of {bytes} bytes each")));
    }
    if let Some(uri) = &run.graphql_uri {
        if uri.len() > MAX_URI {
            return Err(Error::Invalid(format!("the graphqlUri may have {MAX_URI} bytes")));
        }
        outbound::Target::parse(uri)
            .map_err(|why| Error::Invalid(format!("the graphqlUri cannot be called: {why}")))?;
    }
    match &run.key {
        Some(key) if key.is_empty() || key.len() > MAX_KEY => {
            Err(Error::Invalid(format!("an idempotency key has 1 to {MAX_KEY} bytes")))
        }
        _ => Ok(()),
    }
}

pub(super) fn done(id: &InstanceId, answer: Answer) -> Result<(), Error> {
    match answer {
        Answer::Done | Answer::Started(_) | Answer::Fates(_) | Answer::Tombstones(_) | Answer::Published(_) => Ok(()),
        Answer::Busy => Err(Error::Busy),
        Answer::NotFound => Err(no_instance(id)),
        Answer::WrongState(why) => Err(Error::WrongState(why)),
        Answer::Forbidden(why) => Err(Error::Forbidden(why)),
        Answer::Invalid(why) => Err(Error::Invalid(why)),
        Answer::Checked(checked) if checked.passed() => Ok(()),
        Answer::Checked(checked) => Err(Error::Unfit(checked)),
    }
}
