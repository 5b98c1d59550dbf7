//! User tasks: what people see of them, evaluated once, when the task opens (BPMN 10.3.3), and the turns of their life that listeners are
//! told of.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Assigned, Body, Listening, Run};
use crate::compiled::Compiled;
use crate::evaluate::{self, Variables};
use crate::id::ScopeId;
use crate::payload::Payload;
use crate::table::{Moment, NodeIx, Template, UserTask};

/// What a listener calls the turns of a task's life.
fn action(on: Moment) -> Option<&'static str> {
    match on {
        Moment::Creating => Some("create"),
        Moment::Assigning => Some("assign"),
        Moment::Completing => Some("complete"),
        Moment::Start | Moment::End => None,
    }
}

/// What a listener of a user task sees of it, as the variable `userTask`.
pub(super) fn shown(listening: &Listening) -> Option<Value> {
    let (action, task) = (action(listening.on)?, listening.task.as_deref()?);
    Some(json!({
        "action": action,
        "formKey": task.form,
        "assignee": task.assignee,
        "candidateUsers": task.candidate_users,
        "candidateGroups": task.candidate_groups,
        "dueDate": task.due_date,
        "followUpDate": task.follow_up_date,
        "priority": task.priority,
    }))
}

fn result(values: &Variables) -> &Variables {
    values.get("result").and_then(Value::as_object).unwrap_or(values)
}

/// Why a listener denies.
pub(super) fn reason(values: &Variables) -> String {
    result(values).get("deniedReason").and_then(word).unwrap_or_default()
}

/// Takes the answer of a user task's listener, `{"denied": true}` or `{"corrections": {...}}`, perhaps within `result`; true when it denies.
/// Null corrects nothing, an empty text or list takes away.
pub(super) fn answered(listening: &mut Listening, values: &Variables) -> bool {
    let values = result(values);
    if values.get("denied") == Some(&Value::Bool(true)) {
        return listening.on != Moment::Creating;
    }
    let corrections = values.get("corrections").and_then(Value::as_object);
    if let (Some(corrections), Some(task)) = (corrections, &mut listening.task) {
        for (name, value) in corrections.iter().filter(|(_, value)| !value.is_null()) {
            match name.as_str() {
                "assignee" => task.assignee = word(value),
                "candidateUsers" => task.candidate_users = words(value),
                "candidateGroups" => task.candidate_groups = words(value),
                "dueDate" => task.due_date = word(value),
                "followUpDate" => task.follow_up_date = word(value),
                "priority" => task.priority = word(value),
                _ => {}
            }
        }
    }
    false
}

impl Run<'_> {
    /// A user task comes into being: its listeners are asked before anybody sees it.
    pub(super) fn open_user_task(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId, task: &UserTask) {
        let Some((stay, _)) = self.activity(scope) else { return };
        let token = stay.token.clone();
        let assigned = match self.assigned(table, task, &self.inner_view(table, scope)) {
            Ok(assigned) => assigned,
            Err(why) => return self.broken(scope, why),
        };
        self.change(scope, &token, |activity| activity.task = Some(Box::new(assigned)));
        if self.has_listeners(table, node, Moment::Creating) {
            return self.listen_on(scope, Moment::Creating, Variables::new());
        }
        self.created(table, node, scope);
    }

    pub(super) fn created(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId) {
        let assigned = self.activity(scope).and_then(|(_, it)| it.task.as_ref()?.assignee.as_ref()).is_some();
        if assigned && self.has_listeners(table, node, Moment::Assigning) {
            return self.listen_on(scope, Moment::Assigning, Variables::new());
        }
        self.opened(scope);
    }

    /// Somebody can complete it.
    pub(super) fn opened(&mut self, scope: ScopeId) {
        let Some((stay, _)) = self.activity(scope) else { return };
        let token = stay.token.clone();
        self.change(scope, &token, |activity| activity.body = Body::Waits);
    }

    /// Somebody completes what waits.
    pub(super) fn completing(&mut self, scope: ScopeId, payload: &Payload) {
        let Some((stay, _)) = self.activity(scope) else { return };
        match self.at(&stay.token) {
            Some((table, node)) if self.has_listeners(&table, node, Moment::Completing) => {
                self.listen_on(scope, Moment::Completing, super::data::variables(payload));
            }
            _ => self.finish_waiting(scope, Some(payload)),
        }
    }

    /// A listener has said no: the task is as it was.
    pub(super) fn denied(&mut self, scope: ScopeId, on: Moment) {
        let Some((stay, _)) = self.activity(scope) else { return };
        let token = stay.token.clone();
        self.change(scope, &token, |activity| {
            activity.listening = None;
            if let Some(task) = activity.task.as_mut().filter(|_| on == Moment::Assigning) {
                task.assignee = None;
            }
        });
        self.opened(scope);
    }

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
