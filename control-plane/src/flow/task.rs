//! User tasks and forms as messages of `flow.v1`.

use proto::v1;
use routing::InstanceId;
use routing::form::{Asked, Check, Checked, Choice, Field, FieldCheck, State};
use serde_json::Value;

use crate::ledger::{InstanceView, Listed, Seen, TaskView};
use crate::operations::{TaskName, TaskSelection};

/// Empty is none.
fn some(text: String) -> Option<String> {
    Some(text).filter(|it| !it.is_empty())
}

pub(super) fn named(task: String, instance: String) -> TaskName {
    TaskName { task, instance: some(instance).map(InstanceId::from) }
}

pub(super) fn selection(request: v1::ListTasksRequest) -> TaskSelection {
    let v1::ListTasksRequest {
        instance,
        limit,
        process,
        element,
        assignee,
        candidate_user,
        candidate_group,
        unassigned,
    } = request;
    TaskSelection {
        instance: some(instance).map(InstanceId::from),
        process: some(process),
        element: some(element),
        assignee: some(assignee),
        candidate_user: some(candidate_user),
        candidate_group: some(candidate_group),
        unassigned,
        limit: limit as usize,
    }
}

/// A task of an instance.
pub(super) fn of(view: &InstanceView, task: &TaskView) -> v1::UserTask {
    let (instance, deployment, process) = (view.id.clone(), view.deployment.clone(), view.process.clone());
    listed(&Listed { instance, deployment, process, view: task.clone() })
}

/// A user task as operators see it.
pub(super) fn listed(task: &Listed) -> v1::UserTask {
    let (view, assigned) = (&task.view, task.view.assigned.clone());
    v1::UserTask {
        id: view.activation.to_string(),
        instance: task.instance.as_str().to_owned(),
        deployment: task.deployment.as_str().to_owned(),
        process: task.process.as_str().to_owned(),
        element: view.element.as_str().to_owned(),
        name: view.name.clone(),
        form: assigned.form.unwrap_or_default(),
        assignee: assigned.assignee.unwrap_or_default(),
        candidate_users: assigned.candidate_users,
        candidate_groups: assigned.candidate_groups,
        due_date: assigned.due_date.unwrap_or_default(),
        follow_up_date: assigned.follow_up_date.unwrap_or_default(),
        priority: assigned.priority.unwrap_or_default(),
        since_ms: view.since,
        claimed_ms: assigned.claimed.unwrap_or(0),
        has_draft: !assigned.draft.is_empty(),
    }
}

/// A task with its form.
pub(super) fn form(seen: &Seen) -> v1::TaskFormResponse {
    let task = Some(listed(&seen.task));
    let Some(filled) = &seen.form else {
        return v1::TaskFormResponse { task, ..v1::TaskFormResponse::default() };
    };
    let form = filled.form.form();
    v1::TaskFormResponse {
        task,
        known: true,
        fields: form.fields.iter().zip(&filled.states).map(|(it, state)| field(it, state)).collect(),
        schema: form.source.as_ref().map(json).unwrap_or_default(),
    }
}

fn field(field: &Field, state: &State) -> v1::FormField {
    v1::FormField {
        id: field.id.clone(),
        r#type: field.kind.as_str().to_owned(),
        order: field.order,
        label: field.label.clone().unwrap_or_default(),
        description: field.description.clone().unwrap_or_default(),
        value: json(&state.value),
        variant: field.variant.clone().unwrap_or_default(),
        encrypted: field.encrypted,
        read_only: state.read_only,
        hidden: state.hidden,
        choices: state.choices.iter().flatten().map(choice).collect(),
        limited: state.choices.is_some(),
        checks: field.checks.iter().map(check).collect(),
        rows: field.rows.iter().map(|it| self::field(it, &State::default())).collect(),
    }
}

fn choice(choice: &Choice) -> v1::FormChoice {
    v1::FormChoice { value: json(&choice.value), label: choice.label.clone() }
}

fn check(check: &Check) -> v1::FormCheck {
    v1::FormCheck { name: check.name().to_owned(), constraint: check.constraint() }
}

/// What data was judged to be.
pub(super) fn checked(task: &Listed, checked: &Checked) -> v1::TaskDataResponse {
    let result = |it: &Asked| v1::CheckResult {
        check: Some(v1::FormCheck { name: it.check.to_owned(), constraint: it.constraint.clone() }),
        passed: it.wrong.is_none(),
        message: it.wrong.clone().unwrap_or_default(),
    };
    let field =
        |it: &FieldCheck| v1::FieldCheck { field: it.field.clone(), results: it.results.iter().map(result).collect() };
    v1::TaskDataResponse {
        task: Some(listed(task)),
        passed: checked.passed(),
        fields: checked.fields.iter().map(field).collect(),
    }
}

fn json(value: &Value) -> Vec<u8> {
    value.to_string().into()
}
