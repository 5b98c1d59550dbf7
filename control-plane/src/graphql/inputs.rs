//! What is asked with: the original's input types.

use async_graphql::InputObject;

use super::types::{DataId, ExchangeId, TaskId, WorkflowDeploymentId, WorkflowInstanceId};

#[derive(InputObject)]
pub(super) struct MetaDataInput {
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(InputObject)]
pub(super) struct GetInstanceInput {
    pub(super) iid: Option<WorkflowInstanceId>,
    #[graphql(name = "meta_data")]
    pub(super) meta_data: Option<Vec<MetaDataInput>>,
}

#[derive(InputObject)]
pub(super) struct CreateWorkflowInstanceInput {
    pub(super) did: Option<WorkflowDeploymentId>,
    pub(super) graphql_uri: String,
    #[graphql(name = "meta_data")]
    pub(super) meta_data: Option<Vec<MetaDataInput>>,
    #[graphql(name = "create_stopped")]
    pub(super) create_stopped: Option<bool>,
}

#[derive(InputObject)]
pub(super) struct CancelWorkflowInstanceInput {
    pub(super) iid: WorkflowInstanceId,
}

#[derive(InputObject)]
pub(super) struct TaskFieldInput {
    pub(super) data_id: DataId,
    pub(super) data: Option<String>,
}

#[derive(InputObject)]
pub(super) struct TaskMutationFormInput {
    pub(super) iid: Option<WorkflowInstanceId>,
    pub(super) tid: TaskId,
    pub(super) reset: Option<bool>,
}

#[derive(InputObject)]
pub(super) struct TaskMutationValidateInput {
    pub(super) iid: WorkflowInstanceId,
    pub(super) tid: TaskId,
    pub(super) entire: Option<bool>,
    pub(super) fields: Vec<TaskFieldInput>,
}

#[derive(InputObject)]
pub(super) struct TaskMutationSaveInput {
    pub(super) iid: WorkflowInstanceId,
    pub(super) tid: TaskId,
    pub(super) fields: Vec<TaskFieldInput>,
}

#[derive(InputObject)]
pub(super) struct TaskMutationCompleteInput {
    pub(super) iid: WorkflowInstanceId,
    pub(super) tid: TaskId,
}

#[derive(InputObject)]
pub(super) struct TaskExchangeMutationFormInput {
    pub(super) xid: ExchangeId,
    pub(super) reset: Option<bool>,
}

#[derive(InputObject)]
pub(super) struct TaskExchangeMutationValidateInput {
    pub(super) xid: ExchangeId,
    pub(super) entire: Option<bool>,
    pub(super) fields: Vec<TaskFieldInput>,
}

#[derive(InputObject)]
pub(super) struct TaskExchangeMutationSaveInput {
    pub(super) xid: ExchangeId,
    pub(super) fields: Vec<TaskFieldInput>,
}

#[derive(InputObject)]
pub(super) struct TaskExchangeMutationCompleteInput {
    pub(super) xid: ExchangeId,
}
