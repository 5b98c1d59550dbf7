//! User tasks: what people see of them, evaluated once, when the task opens (BPMN 10.3.3).

use serde_json::Value;

use super::{Assigned, Run};
use crate::compiled::Compiled;
use crate::evaluate::{self, Variables};
use crate::table::{Template, UserTask};

impl Run<'_> {
    /// Form, assignee and the rest over the variables that the task sees.
    pub(super) fn assigned(&self, table: &Compiled, task: &UserTask, seen: &Variables) -> Result<Assigned, String> {
        let scope = Value::Object(seen.clone());
        let value = |template: &Option<Template>| match template {
            Some(template) => evaluate::value(table, template, &scope, self.now).map(Some),
            None => Ok(None),
        };
        let text = |template| value(template).map(|it: Option<Value>| it.as_ref().and_then(word));
        let list = |template| value(template).map(|it: Option<Value>| it.as_ref().map(words).unwrap_or_default());
        Ok(Assigned {
            form: text(&task.form)?,
            assignee: text(&task.assignee)?,
            candidate_users: list(&task.candidate_users)?,
            candidate_groups: list(&task.candidate_groups)?,
            due_date: text(&task.due_date)?,
            follow_up_date: text(&task.follow_up_date)?,
            priority: text(&task.priority)?,
        })
    }
}

/// Null is nobody.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.trim().to_owned()).filter(|it| !it.is_empty()),
        other => Some(other.to_string()),
    }
}

/// A list, or a text with commas.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().filter_map(word).collect(),
        Value::String(text) => text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect(),
        other => word(other).into_iter().collect(),
    }
}
