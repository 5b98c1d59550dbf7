//! What is answered: the original's types.

use async_graphql::{Enum, SimpleObject, scalar};
use serde::{Deserialize, Serialize};

/// An instance's id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WorkflowInstanceId(pub(super) String);
scalar!(WorkflowInstanceId, "WorkflowInstanceId");

/// A deployment's id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WorkflowDeploymentId(pub(super) String);
// the original's spelling
scalar!(WorkflowDeploymentId, "WorkflowDeployemntId");

/// A user task's element.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TaskId(pub(super) String);
scalar!(TaskId, "TaskId");

/// One entry of a user task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ExchangeId(pub(super) String);
scalar!(ExchangeId, "ExchangeId");

/// A field.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DataId(pub(super) String);
scalar!(DataId, "DataId");

#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkflowStatus {
    Completed,
    Error,
    Running,
    Start,
    Starting,
    Stopped,
    Stopping,
    Unknown,
}

impl WorkflowStatus {
    /// Something has happened.
    pub(super) fn begun(self) -> Self {
        match self {
            Self::Starting => Self::Running,
            other => other,
        }
    }
}

#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskStatus {
    Up,
    Down,
}

#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperationStatus {
    Success,
    Failure,
}

#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExchangeState {
    Started,
    Saved,
    Complete,
}

#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValidationType {
    Boolean,
    Interval,
    Required,
    Percentage,
    Positive,
    Regex,
}

#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DataType {
    Copy,
    Text,
    Currency,
    Integer,
    Float,
    Boolean,
    Percentage,
    Table,
    Workflow,
}

#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextVariant {
    #[graphql(name = "BODY1")]
    Body1,
    #[graphql(name = "BODY2")]
    Body2,
    #[graphql(name = "H1")]
    H1,
    #[graphql(name = "H2")]
    H2,
    #[graphql(name = "H3")]
    H3,
    #[graphql(name = "H4")]
    H4,
    #[graphql(name = "H5")]
    H5,
    #[graphql(name = "H6")]
    H6,
    #[graphql(name = "SUBTITLE1")]
    Subtitle1,
    #[graphql(name = "SUBTITLE2")]
    Subtitle2,
}

#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldInitializerType {
    Text,
    Eval,
}

#[derive(SimpleObject, Clone, Debug)]
#[graphql(rename_fields = "snake_case")]
pub(super) struct Task {
    pub(super) iid: Option<WorkflowInstanceId>,
    pub(super) tid: TaskId,
    pub(super) data: Vec<TaskFieldData>,
    pub(super) status: TaskStatus,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct TaskFieldData {
    pub(super) data_id: DataId,
    #[graphql(name = "type")]
    pub(super) kind: DataType,
    pub(super) order: i32,
    pub(super) label: Option<String>,
    pub(super) data: Option<String>,
    pub(super) variant: Option<TextVariant>,
    pub(super) default: Option<FieldInitializer>,
    pub(super) encrypted: bool,
    pub(super) validators: Vec<Validator>,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct FieldInitializer {
    #[graphql(name = "type")]
    pub(super) kind: FieldInitializerType,
    pub(super) value: String,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct Validator {
    #[graphql(name = "type")]
    pub(super) kind: ValidationType,
    pub(super) constraint: Option<String>,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct ValidatorResult {
    pub(super) validator: Validator,
    pub(super) passed: bool,
    pub(super) message: Option<String>,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct FieldValidationResult {
    pub(super) data_id: DataId,
    pub(super) passed: bool,
    pub(super) results: Vec<ValidatorResult>,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct MetaData {
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct ExchangeInfo {
    pub(super) xid: ExchangeId,
    #[graphql(name = "xid_state")]
    pub(super) xid_state: ExchangeState,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct TaskExchangeInfo {
    pub(super) tid: TaskId,
    #[graphql(name = "xid_list")]
    pub(super) xid_list: Vec<ExchangeInfo>,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct WorkflowInstanceInfo {
    pub(super) iid: WorkflowInstanceId,
    #[graphql(name = "iid_status")]
    pub(super) iid_status: WorkflowStatus,
    #[graphql(name = "meta_data")]
    pub(super) meta_data: Option<Vec<MetaData>>,
    pub(super) graphql_uri: Option<String>,
    #[graphql(name = "tid_list")]
    pub(super) tid_list: Vec<TaskExchangeInfo>,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct GetInstancePayload {
    pub(super) did: WorkflowDeploymentId,
    #[graphql(name = "did_status")]
    pub(super) did_status: WorkflowStatus,
    #[graphql(name = "iid_list")]
    pub(super) iid_list: Vec<WorkflowInstanceInfo>,
    pub(super) tasks: Vec<TaskId>,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct CreateInstancePayload {
    pub(super) did: WorkflowDeploymentId,
    pub(super) iid: WorkflowInstanceId,
    pub(super) status: OperationStatus,
    pub(super) tasks: Vec<TaskId>,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct CancelInstancePayload {
    pub(super) did: WorkflowDeploymentId,
    pub(super) iid: WorkflowInstanceId,
    #[graphql(name = "iid_status")]
    pub(super) iid_status: WorkflowStatus,
    pub(super) status: OperationStatus,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct TaskFormPayload {
    pub(super) iid: Option<WorkflowInstanceId>,
    pub(super) tid: TaskId,
    pub(super) xid: Option<ExchangeId>,
    pub(super) status: OperationStatus,
    pub(super) fields: Vec<TaskFieldData>,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct TaskValidatePayload {
    pub(super) iid: WorkflowInstanceId,
    pub(super) tid: TaskId,
    pub(super) xid: Option<ExchangeId>,
    pub(super) status: OperationStatus,
    pub(super) passed: bool,
    pub(super) results: Vec<FieldValidationResult>,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct TaskSavePayload {
    pub(super) iid: WorkflowInstanceId,
    pub(super) tid: TaskId,
    pub(super) xid: Option<ExchangeId>,
    pub(super) status: OperationStatus,
    pub(super) passed: bool,
    pub(super) results: Vec<FieldValidationResult>,
}

#[derive(SimpleObject, Clone, Debug)]
pub(super) struct TaskCompletePayload {
    pub(super) iid: WorkflowInstanceId,
    pub(super) tid: TaskId,
    pub(super) xid: Option<ExchangeId>,
    pub(super) status: OperationStatus,
}
