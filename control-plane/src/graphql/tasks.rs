//! User tasks: `form`, `validate`, `save`, `complete`, by instance and element as the original has them, and by the id of an entry.
//!
//! Of several entries of one element the oldest is meant where only the element is said. A form can be looked at before its task is entered;
//! nothing can be saved for it then.

use async_graphql::{Context, Object, Result};
use routing::InstanceId;
use routing::evaluate::Variables;
use routing::form::{Asked, Check, Checked, Compiled, Expression, Field, FieldCheck, Filled, Judgement, Kind};
use routing::table::NodeKind;
use serde_json::Value;
use std::sync::Arc;

use super::Bridge;
use super::inputs::{
    TaskExchangeMutationCompleteInput, TaskExchangeMutationFormInput, TaskExchangeMutationSaveInput,
    TaskExchangeMutationValidateInput, TaskFieldInput, TaskMutationCompleteInput, TaskMutationFormInput,
    TaskMutationSaveInput, TaskMutationValidateInput,
};
use super::instances::{iid, said};
use super::types::{
    DataId, DataType, ExchangeId, FieldInitializer, FieldInitializerType, FieldValidationResult, OperationStatus,
    TaskCompletePayload, TaskFieldData, TaskFormPayload, TaskId, TaskSavePayload, TaskValidatePayload, TextVariant,
    ValidationType, Validator, ValidatorResult, WorkflowInstanceId,
};
use crate::definitions::Definition;
use crate::ledger::{Actor, Listed, Seen, TaskAction};
use crate::operations::{Error, TaskName, TaskSelection};

pub(super) struct TaskMutation;

#[Object]
impl TaskMutation {
    async fn form(&self, ctx: &Context<'_>, input: TaskMutationFormInput) -> Result<Option<TaskFormPayload>> {
        let bridge = ctx.data::<Bridge>()?;
        let TaskMutationFormInput { iid: of, tid, reset } = input;
        let entered = match &of {
            Some(of) => bridge.entered(of, &tid).await?,
            None => None,
        };
        if let Some(seen) = entered {
            return Ok(Some(filled(seen, reset.unwrap_or(false))));
        }
        let form = bridge.form_of(of.as_ref(), &tid).await?;
        Ok(Some(TaskFormPayload {
            iid: of,
            tid,
            xid: None,
            status: if form.is_some() { OperationStatus::Success } else { OperationStatus::Failure },
            fields: form
                .flatten()
                .map(|it| it.form().fields.iter().map(|it| field(it, it.data.as_ref())).collect())
                .unwrap_or_default(),
        }))
    }

    async fn validate(
        &self,
        ctx: &Context<'_>,
        input: TaskMutationValidateInput,
    ) -> Result<Option<TaskValidatePayload>> {
        let bridge = ctx.data::<Bridge>()?;
        let TaskMutationValidateInput { iid: of, tid, entire, fields } = input;
        match bridge.entered(&of, &tid).await? {
            Some(seen) => bridge.validate(&seen, fields, entire).await.map(Some),
            None => Ok(Some(TaskValidatePayload {
                iid: of,
                tid,
                xid: None,
                status: OperationStatus::Failure,
                passed: false,
                results: Vec::new(),
            })),
        }
    }

    async fn save(&self, ctx: &Context<'_>, input: TaskMutationSaveInput) -> Result<Option<TaskSavePayload>> {
        let bridge = ctx.data::<Bridge>()?;
        let TaskMutationSaveInput { iid: of, tid, fields } = input;
        match bridge.entered(&of, &tid).await? {
            Some(seen) => bridge.save(&seen, fields).await.map(Some),
            None => Ok(Some(TaskSavePayload {
                iid: of,
                tid,
                xid: None,
                status: OperationStatus::Failure,
                passed: false,
                results: Vec::new(),
            })),
        }
    }

    async fn complete(
        &self,
        ctx: &Context<'_>,
        input: TaskMutationCompleteInput,
    ) -> Result<Option<TaskCompletePayload>> {
        let bridge = ctx.data::<Bridge>()?;
        let TaskMutationCompleteInput { iid: of, tid } = input;
        match bridge.entered(&of, &tid).await? {
            Some(seen) => bridge.complete(&seen).await.map(Some),
            None => Ok(Some(TaskCompletePayload { iid: of, tid, xid: None, status: OperationStatus::Failure })),
        }
    }

    async fn exchange(&self) -> Option<TaskExchangeMutation> {
        Some(TaskExchangeMutation)
    }
}

pub(super) struct TaskExchangeMutation;

#[Object]
impl TaskExchangeMutation {
    async fn form(&self, ctx: &Context<'_>, input: TaskExchangeMutationFormInput) -> Result<Option<TaskFormPayload>> {
        let seen = ctx.data::<Bridge>()?.entry(&input.xid).await?;
        Ok(Some(filled(seen, input.reset.unwrap_or(false))))
    }

    async fn validate(
        &self,
        ctx: &Context<'_>,
        input: TaskExchangeMutationValidateInput,
    ) -> Result<Option<TaskValidatePayload>> {
        let bridge = ctx.data::<Bridge>()?;
        let seen = bridge.entry(&input.xid).await?;
        bridge.validate(&seen, input.fields, input.entire).await.map(Some)
    }

    async fn save(&self, ctx: &Context<'_>, input: TaskExchangeMutationSaveInput) -> Result<Option<TaskSavePayload>> {
        let bridge = ctx.data::<Bridge>()?;
        let seen = bridge.entry(&input.xid).await?;
        bridge.save(&seen, input.fields).await.map(Some)
    }

    async fn complete(
        &self,
        ctx: &Context<'_>,
        input: TaskExchangeMutationCompleteInput,
    ) -> Result<Option<TaskCompletePayload>> {
        let bridge = ctx.data::<Bridge>()?;
        let seen = bridge.entry(&input.xid).await?;
        bridge.complete(&seen).await.map(Some)
    }
}

impl Bridge {
    /// The oldest open entry of an element.
    async fn entered(&self, of: &WorkflowInstanceId, tid: &TaskId) -> Result<Option<Seen>> {
        let instance = InstanceId::from(of.0.as_str());
        let selection = TaskSelection {
            instance: Some(instance),
            element: Some(tid.0.clone()),
            limit: 1,
            ..TaskSelection::default()
        };
        match self.operations.tasks(selection).await.map_err(said)?.first() {
            Some(task) => self.entry(&ExchangeId(task.view.activation.to_string())).await.map(Some),
            None => Ok(None),
        }
    }

    async fn entry(&self, xid: &ExchangeId) -> Result<Seen> {
        self.operations.task_form(&TaskName { task: xid.0.clone(), instance: None }).await.map_err(said)
    }

    /// The form of an element; the inner `None`: it has none. The outer: there is no such user task.
    async fn form_of(&self, of: Option<&WorkflowInstanceId>, tid: &TaskId) -> Result<Option<Option<Arc<Compiled>>>> {
        let view = match of {
            Some(of) => Some(self.operations.instance(&InstanceId::from(of.0.as_str())).await.map_err(said)?),
            None => None,
        };
        let deployment = self.deployment(None, view.as_ref().map(|it| &it.deployment))?;
        Ok(static_form(&deployment.definition, tid))
    }

    async fn validate(
        &self,
        seen: &Seen,
        fields: Vec<TaskFieldInput>,
        entire: Option<bool>,
    ) -> Result<TaskValidatePayload> {
        let judgement = if entire == Some(true) { Judgement::Whole } else { Judgement::Draft };
        let data = routing::Payload::json(&Value::Object(given(seen, fields)));
        let (task, checked) = self.operations.check_task(&named(seen), &data, judgement).await.map_err(said)?;
        Ok(TaskValidatePayload {
            iid: iid(&task.instance),
            tid: tid(&task),
            xid: xid(&task),
            status: OperationStatus::Success,
            passed: checked.passed(),
            results: results(&checked),
        })
    }

    /// Data that does not fit is a success that did not pass, as clients of the original expect; nothing is saved.
    async fn save(&self, seen: &Seen, fields: Vec<TaskFieldInput>) -> Result<TaskSavePayload> {
        let data = routing::Payload::json(&Value::Object(given(seen, fields)));
        let checked = match self.operations.save_task(&named(seen), Actor::default(), &data).await {
            Ok((_, checked)) => checked.unwrap_or_default(),
            Err(Error::Unfit(checked)) => *checked,
            Err(error) => return Err(said(error)),
        };
        Ok(TaskSavePayload {
            iid: iid(&seen.task.instance),
            tid: tid(&seen.task),
            xid: xid(&seen.task),
            status: OperationStatus::Success,
            passed: checked.passed(),
            results: results(&checked),
        })
    }

    /// A form that is not filled in as it should be is an error that says why.
    async fn complete(&self, seen: &Seen) -> Result<TaskCompletePayload> {
        let action = TaskAction::Complete(routing::Payload::json(&Value::Object(Variables::new())));
        let status = match self.operations.act_on_task(&named(seen), Actor::default(), action).await {
            Ok(_) => OperationStatus::Success,
            // somebody else was first
            Err(Error::NotFound(_)) => OperationStatus::Failure,
            Err(error) => return Err(said(error)),
        };
        Ok(TaskCompletePayload { iid: iid(&seen.task.instance), tid: tid(&seen.task), xid: xid(&seen.task), status })
    }
}

fn static_form(definition: &Definition, tid: &TaskId) -> Option<Option<Arc<Compiled>>> {
    let ledger = &definition.ledger;
    match &ledger.table().node(ledger.find(&tid.0)?).kind {
        NodeKind::UserTask(task) => Some(ledger.form(task, None)),
        _ => None,
    }
}

fn named(seen: &Seen) -> TaskName {
    TaskName { task: seen.task.view.activation.to_string(), instance: Some(seen.task.instance.clone()) }
}

fn tid(task: &Listed) -> TaskId {
    TaskId(task.view.element.as_str().to_owned())
}

fn xid(task: &Listed) -> Option<ExchangeId> {
    Some(ExchangeId(task.view.activation.to_string()))
}

/// All data is text there; what holds lists is JSON.
fn given(seen: &Seen, fields: Vec<TaskFieldInput>) -> Variables {
    let kind = |id: &str| {
        let form = seen.form.as_ref().map(|it| it.form.form());
        form.and_then(|it| it.fields.iter().find(|it| it.id == id)).map_or(Kind::Any, |it| it.kind)
    };
    let value = |it: TaskFieldInput| {
        let value = match it.data {
            None => Value::Null,
            Some(text) => match kind(&it.data_id.0) {
                Kind::Choices | Kind::Rows => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                _ => Value::String(text),
            },
        };
        (it.data_id.0, value)
    };
    fields.into_iter().map(value).collect()
}

/// A form with what its fields hold; with `reset`, what they begin with where that is computed.
fn filled(seen: Seen, reset: bool) -> TaskFormPayload {
    let Seen { task, form } = seen;
    let fields = form.map(|it| shown(&it, reset)).unwrap_or_default();
    TaskFormPayload {
        iid: Some(iid(&task.instance)),
        tid: tid(&task),
        xid: xid(&task),
        status: OperationStatus::Success,
        fields,
    }
}

fn shown(filled: &Filled, reset: bool) -> Vec<TaskFieldData> {
    let fields = filled.form.form().fields.iter().zip(&filled.states);
    let there = fields.filter(|(_, state)| !state.hidden);
    there
        .map(|(it, state)| field(it, Some(if reset && it.default.is_some() { &state.initial } else { &state.value })))
        .collect()
}

fn field(field: &Field, value: Option<&Value>) -> TaskFieldData {
    TaskFieldData {
        data_id: DataId(field.id.clone()),
        kind: data_type(field.kind),
        order: i32::try_from(field.order).unwrap_or(i32::MAX),
        label: field.label.clone(),
        data: value.and_then(text),
        variant: field.variant.as_deref().and_then(variant),
        default: field.default.as_ref().map(initializer),
        encrypted: field.encrypted,
        validators: field.checks.iter().map(validator).collect(),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The original's type that holds as much.
fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Copy => DataType::Copy,
        Kind::Workflow => DataType::Workflow,
        Kind::Currency => DataType::Currency,
        Kind::Integer => DataType::Integer,
        Kind::Float => DataType::Float,
        Kind::Boolean | Kind::Checkbox => DataType::Boolean,
        Kind::Percentage => DataType::Percentage,
        Kind::Table | Kind::Choices | Kind::Rows => DataType::Table,
        Kind::Text | Kind::Date | Kind::Time | Kind::DateTime | Kind::Choice | Kind::Any => DataType::Text,
    }
}

fn variant(name: &str) -> Option<TextVariant> {
    Some(match name {
        "BODY1" => TextVariant::Body1,
        "BODY2" => TextVariant::Body2,
        "H1" => TextVariant::H1,
        "H2" => TextVariant::H2,
        "H3" => TextVariant::H3,
        "H4" => TextVariant::H4,
        "H5" => TextVariant::H5,
        "H6" => TextVariant::H6,
        "SUBTITLE1" => TextVariant::Subtitle1,
        "SUBTITLE2" => TextVariant::Subtitle2,
        _ => return None,
    })
}

fn initializer(default: &Expression) -> FieldInitializer {
    match default {
        Expression::Text(text) => FieldInitializer { kind: FieldInitializerType::Text, value: text.clone() },
        Expression::Feel(source) => FieldInitializer { kind: FieldInitializerType::Eval, value: format!("={source}") },
        Expression::Python(source) => FieldInitializer { kind: FieldInitializerType::Eval, value: source.clone() },
    }
}

/// The original's validator that asks as much.
fn validator(check: &Check) -> Validator {
    let (kind, constraint) = match check {
        Check::Required(_) => (ValidationType::Required, check.constraint()),
        Check::Positive => (ValidationType::Positive, None),
        Check::Percentage => (ValidationType::Percentage, None),
        Check::Interval(_) => (ValidationType::Interval, check.constraint()),
        Check::Boolean => (ValidationType::Boolean, None),
        Check::Regex(_) => (ValidationType::Regex, check.constraint()),
        Check::Contains(pattern) => (ValidationType::Regex, Some(format!(".*?(?:{pattern})"))),
        Check::MinLength(count) => (ValidationType::Regex, Some(format!("^.{{{count},}}$"))),
        Check::MaxLength(count) => (ValidationType::Regex, Some(format!("^.{{0,{count}}}$"))),
        Check::Decimals(count) => (ValidationType::Regex, Some(format!(r"^-?\d*(\.\d{{0,{count}}})?$"))),
    };
    Validator { kind, constraint }
}

fn results(checked: &Checked) -> Vec<FieldValidationResult> {
    let of_field = |it: &FieldCheck| FieldValidationResult {
        data_id: DataId(it.field.clone()),
        passed: it.passed(),
        results: it.results.iter().map(result).collect(),
    };
    checked.fields.iter().map(of_field).collect()
}

fn result(asked: &Asked) -> ValidatorResult {
    let kind = match asked.check {
        "REQUIRED" => ValidationType::Required,
        "POSITIVE" => ValidationType::Positive,
        "PERCENTAGE" => ValidationType::Percentage,
        "INTERVAL" => ValidationType::Interval,
        "BOOLEAN" => ValidationType::Boolean,
        // what a type asks: numbers, booleans, anything else
        "TYPE" => match asked.constraint.as_deref() {
            Some("CURRENCY" | "INTEGER" | "FLOAT" | "PERCENTAGE") => ValidationType::Interval,
            Some("BOOLEAN" | "CHECKBOX") => ValidationType::Boolean,
            _ => ValidationType::Regex,
        },
        _ => ValidationType::Regex,
    };
    let constraint = asked.constraint.clone().filter(|_| asked.check != "TYPE");
    ValidatorResult {
        validator: Validator { kind, constraint },
        passed: asked.wrong.is_none(),
        message: asked.wrong.clone(),
    }
}
