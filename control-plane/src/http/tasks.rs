//! User tasks over HTTP: `GET /tasks`, `GET /tasks/<id>`, `GET /tasks/<id>/form`, and `POST /tasks/<id>/` `claim`, `unclaim`, `save`,
//! `validate`, `complete` and `error?code=`, each with `?instance=`; who acts is `?by=`, in spite of somebody else's claim with `?force=true`.
//!
//! Answers have the shape of the other routes. Data that breaks a form is answered with 422 and every field with every reason; nothing was
//! changed then.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming as Body;
use routing::InstanceId;
use routing::form::{Asked, Check, Checked, Choice, Field, FieldCheck, Judgement, State};
use serde_json::{Value, json};

use super::messages::{bad, body};
use super::query::{decoded, pairs};
use super::{Answer, failed, json_answer, not_allowed, told};
use crate::ledger::{Actor, Listed, Seen, TaskAction};
use crate::operations::{Error, Operations, TaskName, TaskSelection};

/// Whether this module answers a path.
pub(super) fn answers(path: &str) -> bool {
    path == "/tasks" || path.starts_with("/tasks/")
}

pub(super) async fn answer(operations: &Operations, request: Request<Body>) -> Answer {
    let path = request.uri().path().to_owned();
    let segments: Vec<String> = path.trim_start_matches('/').split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let posts = *request.method() == Method::POST;
    let answered = match segments.as_slice() {
        ["tasks"] | ["tasks", _] | ["tasks", _, "form"] if !reads => return not_allowed("GET, HEAD"),
        ["tasks"] => list(operations, &request).await,
        ["tasks", id] => one(operations, id, &request).await,
        ["tasks", id, "form"] => form(operations, id, &request).await,
        ["tasks", _, "claim" | "unclaim" | "save" | "validate" | "complete" | "error"] if !posts => {
            return not_allowed("POST");
        }
        ["tasks", id, "claim"] => assign(operations, id, TaskAction::Claim, &request).await,
        ["tasks", id, "unclaim"] => assign(operations, id, TaskAction::Unclaim, &request).await,
        ["tasks", id, "save"] => save(operations, id, request).await,
        ["tasks", id, "validate"] => validate(operations, id, request).await,
        ["tasks", id, what @ ("complete" | "error")] => complete(operations, id, *what == "error", request).await,
        _ => Err(failed(
            StatusCode::NOT_FOUND,
            "not here; there are /tasks, /tasks/<ID> and /tasks/<ID>/form, claim, unclaim, save, validate, complete and error",
        )),
    };
    answered.unwrap_or_else(|refused| refused)
}

/// What a query says of one task.
struct Asks {
    task: TaskName,
    actor: Actor,
    code: String,
    draft: bool,
}

/// Reads a query; `known` are the parameters besides `instance`.
fn asks(id: &str, request: &Request<Body>, known: &[&str]) -> Result<Asks, String> {
    let task = TaskName { task: id.to_owned(), instance: None };
    let mut asks = Asks { task, actor: Actor::default(), code: String::new(), draft: false };
    for (key, value) in pairs(request.uri().query()) {
        match key.as_str() {
            "instance" => asks.task.instance = Some(InstanceId::from(value)),
            key if !known.contains(&key) => {
                let there = known.iter().map(|it| format!(", {it}")).collect::<String>();
                return Err(format!("there is no parameter {key:?} here; there are instance{there}"));
            }
            "by" => asks.actor.who = value,
            "force" => asks.actor.force = value == "true",
            "draft" => asks.draft = value == "true",
            _ => asks.code = value,
        }
    }
    Ok(asks)
}

async fn list(operations: &Operations, request: &Request<Body>) -> Result<Answer, Answer> {
    let mut selection = TaskSelection::default();
    for (key, value) in pairs(request.uri().query()) {
        match key.as_str() {
            "instance" => selection.instance = Some(InstanceId::from(value)),
            "process" => selection.process = Some(value),
            "element" => selection.element = Some(value),
            "assignee" => selection.assignee = Some(value),
            "candidate_user" => selection.candidate_user = Some(value),
            "candidate_group" => selection.candidate_group = Some(value),
            "unassigned" => selection.unassigned = value == "true",
            "limit" => selection.limit = value.parse().map_err(|_| bad(format!("limit={value} is no number")))?,
            other => {
                let there =
                    "instance, process, element, assignee, candidate_user, candidate_group, unassigned and limit";
                return Err(bad(format!("there is no parameter {other:?}; there are {there}")));
            }
        }
    }
    let tasks = operations.tasks(selection).await.map_err(|error| told(&error))?;
    let tasks: Vec<Value> = tasks.iter().map(task).collect();
    Ok(json_answer(StatusCode::OK, &json!({ "status": 0, "message": "Ok", "tasks": tasks })))
}

async fn one(operations: &Operations, id: &str, request: &Request<Body>) -> Result<Answer, Answer> {
    let asks = asks(id, request, &[]).map_err(bad)?;
    let seen = operations.task_form(&asks.task).await.map_err(|error| told(&error))?;
    Ok(json_answer(StatusCode::OK, &json!({ "status": 0, "message": "Ok", "task": task(&seen.task) })))
}

async fn form(operations: &Operations, id: &str, request: &Request<Body>) -> Result<Answer, Answer> {
    let asks = asks(id, request, &[]).map_err(bad)?;
    let Seen { task: seen, form } = operations.task_form(&asks.task).await.map_err(|error| told(&error))?;
    let (fields, schema) = match &form {
        None => (Value::Null, None),
        Some(filled) => {
            let form = filled.form.form();
            let fields = form.fields.iter().zip(&filled.states).map(|(it, state)| field(it, state)).collect();
            (Value::Array(fields), form.source.as_ref())
        }
    };
    let answer = json!({ "status": 0, "message": "Ok", "task": task(&seen), "fields": fields, "schema": schema });
    Ok(json_answer(StatusCode::OK, &answer))
}

async fn assign(
    operations: &Operations,
    id: &str,
    action: TaskAction,
    request: &Request<Body>,
) -> Result<Answer, Answer> {
    let asks = asks(id, request, &["by", "force"]).map_err(bad)?;
    let (task, _) = operations.act_on_task(&asks.task, asks.actor, action).await.map_err(|error| told(&error))?;
    Ok(json_answer(StatusCode::OK, &json!({ "status": 0, "message": "Ok", "task": self::task(&task) })))
}

async fn save(operations: &Operations, id: &str, request: Request<Body>) -> Result<Answer, Answer> {
    let asks = asks(id, &request, &["by", "force"]).map_err(bad)?;
    let data = body(request).await?;
    let saved = operations.save_task(&asks.task, asks.actor, &data).await;
    let (_, checked) = saved.map_err(|error| unfit(&error))?;
    Ok(judged(StatusCode::OK, "Ok", &checked.unwrap_or_default()))
}

async fn validate(operations: &Operations, id: &str, request: Request<Body>) -> Result<Answer, Answer> {
    let asks = asks(id, &request, &["draft"]).map_err(bad)?;
    let data = body(request).await?;
    let judgement = if asks.draft { Judgement::Draft } else { Judgement::Whole };
    let checked = operations.check_task(&asks.task, &data, judgement).await;
    let (_, checked) = checked.map_err(|error| told(&error))?;
    Ok(judged(StatusCode::OK, "Ok", &checked))
}

async fn complete(operations: &Operations, id: &str, fails: bool, request: Request<Body>) -> Result<Answer, Answer> {
    let asks = asks(id, &request, if fails { &["by", "force", "code"] } else { &["by", "force"] }).map_err(bad)?;
    if fails && asks.code.is_empty() {
        return Err(bad("give the BPMN error's ?code=".to_owned()));
    }
    let payload = body(request).await?;
    let action = if fails { TaskAction::Fail(asks.code, payload) } else { TaskAction::Complete(payload) };
    let acted = operations.act_on_task(&asks.task, asks.actor, action).await;
    let (done, _) = acted.map_err(|error| unfit(&error))?;
    let answer = json!({
        "status": 0,
        "message": "Ok",
        "id": done.view.activation.to_string(),
        "instance": done.instance.as_str(),
    });
    Ok(json_answer(StatusCode::OK, &answer))
}

/// A user task as scripts see it.
fn task(task: &Listed) -> Value {
    let (view, assigned) = (&task.view, &task.view.assigned);
    json!({
        "id": view.activation.to_string(),
        "instance": task.instance.as_str(),
        "deployment": task.deployment.as_str(),
        "process": task.process.as_str(),
        "element": view.element.as_str(),
        "name": view.name,
        "form": assigned.form,
        "assignee": assigned.assignee,
        "candidate_users": assigned.candidate_users,
        "candidate_groups": assigned.candidate_groups,
        "due_date": assigned.due_date,
        "follow_up_date": assigned.follow_up_date,
        "priority": assigned.priority,
        "since_ms": view.since,
        "claimed_ms": assigned.claimed,
        "has_draft": !assigned.draft.is_empty(),
    })
}

fn field(field: &Field, state: &State) -> Value {
    let choice = |it: &Choice| json!({ "value": it.value, "label": it.label });
    let check = |it: &Check| json!({ "type": it.name(), "constraint": it.constraint() });
    let rows: Vec<Value> = field.rows.iter().map(|it| self::field(it, &State::default())).collect();
    json!({
        "id": field.id,
        "type": field.kind.as_str(),
        "order": field.order,
        "label": field.label,
        "description": field.description,
        "value": state.value,
        "variant": field.variant,
        "encrypted": field.encrypted,
        "read_only": state.read_only,
        "hidden": state.hidden,
        "choices": state.choices.as_ref().map(|all| all.iter().map(choice).collect::<Vec<_>>()),
        "validators": field.checks.iter().map(check).collect::<Vec<_>>(),
        "rows": rows,
    })
}

/// What data was judged to be.
fn judged(status: StatusCode, message: &str, checked: &Checked) -> Answer {
    let result = |it: &Asked| {
        json!({
            "type": it.check,
            "constraint": it.constraint,
            "passed": it.wrong.is_none(),
            "message": it.wrong,
        })
    };
    let field = |it: &FieldCheck| {
        let results: Vec<Value> = it.results.iter().map(result).collect();
        json!({ "field": it.field, "passed": it.passed(), "results": results })
    };
    let fields: Vec<Value> = checked.fields.iter().map(field).collect();
    let code = if status == StatusCode::OK { 0 } else { -1 };
    json_answer(status, &json!({ "status": code, "message": message, "passed": checked.passed(), "fields": fields }))
}

/// An error; of data that breaks a form with every reason.
fn unfit(error: &Error) -> Answer {
    match error {
        Error::Unfit(checked) => judged(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string(), checked),
        error => told(error),
    }
}
