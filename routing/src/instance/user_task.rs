//! User tasks (BPMN 10.3.3): what people see of them, evaluated when the task opens, who does them, and what they fill in; and the turns of
//! their life that listeners are told of.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Assigned, Body, Instance, Listening, Run, Tables};
use crate::compiled::Compiled;
use crate::evaluate::{self, Variables};
use crate::form::{self, About, Checked, Filled, Judgement};
use crate::id::{ActivationId, ElementId, ScopeId};
use crate::payload::Payload;
use crate::table::{Moment, NodeIx, NodeKind, Template, UserTask};
use crate::token::Timestamp;

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

/// A user task that waits for somebody, with what there is to judge what it is completed with.
#[derive(Debug)]
pub struct OpenTask<'a> {
    /// Where.
    pub element: &'a ElementId,
    /// Form, assignee and the rest.
    pub assigned: &'a Assigned,
    form: Option<Arc<form::Compiled>>,
    variables: Variables,
}

impl OpenTask<'_> {
    /// Whether there is a form that its data is judged by.
    pub fn has_form(&self) -> bool {
        self.form.is_some()
    }

    /// Its form with what the fields hold; `None`: it has none, or only its name is known.
    pub fn fill(&self, now: Timestamp) -> Option<Filled> {
        self.form.as_ref().map(|form| form.fill(&self.about(now)))
    }

    /// Judges data over what was saved; without a form any data will do.
    pub fn check(&self, given: &Variables, judgement: Judgement, now: Timestamp) -> Checked {
        let Some(form) = &self.form else {
            let mut draft = self.assigned.draft.clone();
            draft.extend(given.clone());
            return Checked { fields: Vec::new(), values: draft.clone(), draft };
        };
        form.check(&self.about(now), given, judgement)
    }

    fn about(&self, now: Timestamp) -> About<'_> {
        About { variables: &self.variables, draft: &self.assigned.draft, now }
    }
}

impl Instance {
    /// The user task that waits under this id.
    pub fn user_task(&self, tables: &dyn Tables, activation: ActivationId) -> Option<OpenTask<'_>> {
        let (stay, activity) = self.activity(activation)?;
        let assigned = activity.task.as_deref().filter(|_| activity.body == Body::Waits)?;
        let element = &stay.token.element;
        let table = tables.table(stay.token.definition)?;
        let NodeKind::UserTask(task) = &table.table().node(table.find(element.as_str())?).kind else { return None };
        let form = table.form(task, assigned.form.as_deref());
        // without a form nobody asks for them
        let variables = form.as_ref().map(|_| self.inner_view(&table, activation)).unwrap_or_default();
        Some(OpenTask { element, assigned, form, variables })
    }
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
                task.claimed = None;
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
            claimed: None,
            draft: Variables::new(),
        })
    }

    /// Somebody takes a user task, or gives it back; its listeners are asked before it is theirs. False when there is no such task.
    pub fn assign(mut self, activation: ActivationId, who: Option<&str>) -> bool {
        let now = self.now;
        let found = self.change_task(activation, |task| {
            task.assignee = who.map(str::to_owned);
            task.claimed = who.map(|_| now);
        });
        let at =
            self.activity(activation).filter(|_| found && who.is_some()).and_then(|(stay, _)| self.at(&stay.token));
        if at.is_some_and(|(table, node)| self.has_listeners(&table, node, Moment::Assigning)) {
            self.listen_on(activation, Moment::Assigning, Variables::new());
        }
        if found {
            self.settle();
        }
        found
    }

    /// What is filled in of a user task is kept. False when there is no such task.
    pub fn save_draft(mut self, activation: ActivationId, draft: Variables) -> bool {
        self.change_task(activation, |task| task.draft = draft)
    }

    fn change_task(&mut self, activation: ActivationId, change: impl FnOnce(&mut Assigned)) -> bool {
        let Some((stay, _)) = self.activity(activation).filter(|(_, it)| it.body == Body::Waits && it.task.is_some())
        else {
            return false;
        };
        let token = stay.token.clone();
        self.change(activation, &token, |activity| {
            if let Some(task) = &mut activity.task {
                change(task);
            }
        });
        true
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
