//! Instances: `getInstances`, `createInstance`, `cancelInstance`.

use std::collections::BTreeMap;

use async_graphql::{Context, Error, Object, Result};
use routing::{InstanceId, Payload};
use serde_json::json;

use super::Bridge;
use super::inputs::{CancelWorkflowInstanceInput, CreateWorkflowInstanceInput, GetInstanceInput, MetaDataInput};
use super::tasks::TaskMutation;
use super::types::{
    CancelInstancePayload, CreateInstancePayload, ExchangeId, ExchangeInfo, ExchangeState, GetInstancePayload,
    MetaData, OperationStatus, TaskExchangeInfo, TaskId, WorkflowDeploymentId, WorkflowInstanceId,
    WorkflowInstanceInfo, WorkflowStatus,
};
use crate::definitions::{self, Definition, Deployment};
use crate::ledger::{InstanceView, State};
use crate::operations::{Error as Refused, Run, Selection};

/// What a list of instances weighs among the fields of a document.
const LIST: usize = 50;
/// Instances that one answer has.
const MAX_SHOWN: usize = 10_000;

pub(super) struct Query;

#[Object]
impl Query {
    async fn version(&self) -> Option<String> {
        Some(env!("CARGO_PKG_VERSION").to_owned())
    }

    #[graphql(name = "getInstances", complexity = "LIST + child_complexity")]
    async fn get_instances(
        &self,
        ctx: &Context<'_>,
        input: Option<GetInstanceInput>,
    ) -> Result<Option<GetInstancePayload>> {
        let bridge = ctx.data::<Bridge>()?;
        let (iid, metadata) = match input {
            Some(GetInstanceInput { iid, meta_data }) => (iid, pairs(meta_data)),
            None => (None, BTreeMap::new()),
        };
        let one = match &iid {
            Some(id) => Some(bridge.operations.instance(&InstanceId::from(id.0.as_str())).await.map_err(said)?),
            None => None,
        };
        let deployment = bridge.deployment(None, one.as_ref().map(|it| &it.deployment))?;
        let mut found = Vec::new();
        match one {
            Some(view) => found.push(info(&view)),
            None => {
                let of = Some(deployment.definition.deployment.clone());
                let selection = Selection { metadata, deployment: of, limit: MAX_SHOWN, ..Selection::default() };
                let mut list = bridge.operations.instances(selection, false).await.map_err(said)?;
                while let Some(view) = list.recv().await {
                    found.push(info(&*view.map_err(said)?));
                }
            }
        }
        Ok(Some(GetInstancePayload {
            did: did(&deployment.definition),
            did_status: status_of(&deployment),
            iid_list: found,
            tasks: tasks(&deployment.definition),
        }))
    }
}

pub(super) struct Mutation;

#[Object]
impl Mutation {
    #[graphql(name = "createInstance")]
    async fn create_instance(
        &self,
        ctx: &Context<'_>,
        input: CreateWorkflowInstanceInput,
    ) -> Result<Option<CreateInstancePayload>> {
        let bridge = ctx.data::<Bridge>()?;
        let CreateWorkflowInstanceInput { did: wanted, graphql_uri, meta_data, create_stopped } = input;
        let deployment = bridge.deployment(wanted.as_ref().map(|it| it.0.as_str()), None)?;
        let run = Run {
            id: deployment.definition.deployment.as_str().to_owned(),
            payload: Payload::json(&json!({})),
            metadata: pairs(meta_data),
            stopped: create_stopped.unwrap_or(false),
            graphql_uri: Some(graphql_uri).filter(|it| !it.trim().is_empty()),
            ..Run::default()
        };
        let id = bridge.operations.run(run, None).await.map_err(said)?;
        Ok(Some(CreateInstancePayload {
            did: did(&deployment.definition),
            iid: iid(&id),
            status: OperationStatus::Success,
            tasks: tasks(&deployment.definition),
        }))
    }

    /// An instance that has ended stays as it is, which is no failure.
    #[graphql(name = "cancelInstance")]
    async fn cancel_instance(
        &self,
        ctx: &Context<'_>,
        input: CancelWorkflowInstanceInput,
    ) -> Result<Option<CancelInstancePayload>> {
        let bridge = ctx.data::<Bridge>()?;
        let id = InstanceId::from(input.iid.0.as_str());
        match bridge.operations.cancel(&id, "").await {
            // one that has ended, or is not there, cannot be cancelled, and need not be
            Ok(()) | Err(Refused::WrongState(_) | Refused::NotFound(_)) => {}
            Err(error) => return Err(said(error)),
        }
        let after = match bridge.operations.instance(&id).await {
            Ok(view) => Some(view),
            Err(Refused::NotFound(_)) => None,
            Err(error) => return Err(said(error)),
        };
        let (deployment, iid_status, status) = match &after {
            Some(view) => (view.deployment.as_str().to_owned(), status(view.state), OperationStatus::Success),
            None => {
                let called = bridge.deployment.as_ref().map(|it| it.definition.deployment.as_str().to_owned());
                (called.unwrap_or_default(), WorkflowStatus::Unknown, OperationStatus::Failure)
            }
        };
        Ok(Some(CancelInstancePayload { did: WorkflowDeploymentId(deployment), iid: input.iid, iid_status, status }))
    }

    async fn tasks(&self) -> Option<TaskMutation> {
        Some(TaskMutation)
    }
}

/// What the client is told of an error.
pub(super) fn said(error: Refused) -> Error {
    Error::new(error.to_string())
}

fn pairs(pairs: Option<Vec<MetaDataInput>>) -> BTreeMap<String, String> {
    pairs.into_iter().flatten().map(|it| (it.key, it.value)).collect()
}

fn did(definition: &Definition) -> WorkflowDeploymentId {
    WorkflowDeploymentId(definition.deployment.as_str().to_owned())
}

pub(super) fn iid(id: &InstanceId) -> WorkflowInstanceId {
    WorkflowInstanceId(id.as_str().to_owned())
}

/// The elements that are user tasks, in document order.
fn tasks(definition: &Definition) -> Vec<TaskId> {
    definition.user_tasks().map(|it| TaskId(it.as_str().to_owned())).collect()
}

fn info(view: &InstanceView) -> WorkflowInstanceInfo {
    let pair = |(key, value): (&String, &String)| MetaData { key: key.clone(), value: value.clone() };
    let mut entered: Vec<TaskExchangeInfo> = Vec::new();
    for task in &view.tasks {
        let saved = !task.assigned.draft.is_empty();
        let exchange = ExchangeInfo {
            xid: ExchangeId(task.activation.to_string()),
            xid_state: if saved { ExchangeState::Saved } else { ExchangeState::Started },
        };
        match entered.iter_mut().find(|it| it.tid.0 == task.element.as_str()) {
            Some(known) => known.xid_list.push(exchange),
            None => entered
                .push(TaskExchangeInfo { tid: TaskId(task.element.as_str().to_owned()), xid_list: vec![exchange] }),
        }
    }
    WorkflowInstanceInfo {
        iid: iid(&view.id),
        // there an instance whose user task is entered has started
        iid_status: if entered.is_empty() { status(view.state) } else { status(view.state).begun() },
        meta_data: (!view.metadata.is_empty()).then(|| view.metadata.iter().map(pair).collect()),
        graphql_uri: view.graphql_uri.clone(),
        tid_list: entered,
    }
}

/// The nearest that the original knows: there a cancelled instance is one that failed.
fn status(state: State) -> WorkflowStatus {
    match state {
        State::Starting => WorkflowStatus::Starting,
        State::Running => WorkflowStatus::Running,
        State::Completed => WorkflowStatus::Completed,
        State::Stopped | State::Suspended => WorkflowStatus::Stopped,
        State::Error | State::Cancelled => WorkflowStatus::Error,
    }
}

fn status_of(deployment: &Deployment) -> WorkflowStatus {
    match deployment.state {
        definitions::State::Starting => WorkflowStatus::Starting,
        definitions::State::Running | definitions::State::Degraded => WorkflowStatus::Running,
        definitions::State::Stopping => WorkflowStatus::Stopping,
        definitions::State::Stopped => WorkflowStatus::Stopped,
        definitions::State::Error => WorkflowStatus::Error,
    }
}
