//! User tasks and their forms.

use proto::v1;
use serde_json::Value;

use super::instant;
use crate::client::tasks::Tasks;
use crate::output::form::{Asked, Check, Field, Form, Judged, Verdict};
use crate::output::task::Task;

pub(in crate::client) fn list(selection: Tasks) -> v1::ListTasksRequest {
    let Tasks { instance, process, element, assignee, user, group, unassigned, limit } = selection;
    v1::ListTasksRequest {
        instance,
        limit,
        process,
        element,
        assignee,
        candidate_user: user,
        candidate_group: group,
        unassigned,
    }
}

pub(in crate::client) fn user_task(wire: v1::UserTask) -> Task {
    Task {
        id: wire.id,
        instance: wire.instance,
        process: wire.process,
        element: wire.element,
        name: wire.name,
        form: wire.form,
        assignee: wire.assignee,
        candidate_users: wire.candidate_users,
        candidate_groups: wire.candidate_groups,
        due_date: wire.due_date,
        follow_up_date: wire.follow_up_date,
        priority: wire.priority,
        since: instant(wire.since_ms),
        claimed: instant(wire.claimed_ms),
        has_draft: wire.has_draft,
    }
}

pub(in crate::client) fn form(wire: v1::TaskFormResponse) -> Form {
    Form {
        task: user_task(wire.task.unwrap_or_default()),
        known: wire.known,
        fields: wire.fields.into_iter().map(field).collect(),
        schema: json(&wire.schema),
    }
}

fn field(wire: v1::FormField) -> Field {
    let choices = wire.choices.into_iter().map(|it| (json(&it.value), it.label)).collect();
    Field {
        id: wire.id,
        kind: wire.r#type,
        order: wire.order,
        label: wire.label,
        description: wire.description,
        value: json(&wire.value),
        variant: wire.variant,
        encrypted: wire.encrypted,
        read_only: wire.read_only,
        hidden: wire.hidden,
        choices: Some(choices).filter(|_| wire.limited),
        checks: wire.checks.into_iter().map(check).collect(),
        rows: wire.rows.into_iter().map(field).collect(),
    }
}

fn check(wire: v1::FormCheck) -> Check {
    Check { name: wire.name, constraint: wire.constraint }
}

pub(in crate::client) fn judged(wire: v1::TaskDataResponse) -> Judged {
    let asked = |it: v1::CheckResult| Asked {
        check: check(it.check.unwrap_or_default()),
        wrong: Some(it.message).filter(|_| !it.passed),
    };
    let verdict =
        |it: v1::FieldCheck| Verdict { field: it.field, results: it.results.into_iter().map(asked).collect() };
    Judged {
        task: user_task(wire.task.unwrap_or_default()),
        passed: wire.passed,
        saved: false,
        fields: wire.fields.into_iter().map(verdict).collect(),
    }
}

/// Nothing, or what cannot be read, is null.
fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}
