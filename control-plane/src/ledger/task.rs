//! User tasks: listed, found, claimed, filled in, completed, failed with a BPMN error.
//!
//! Data that breaks its form changes nothing, and every reason is told. Who acts is not known here: a name is what the caller says it is.

use routing::evaluate::Variables;
use routing::form::{Checked, Filled, Judgement};
use routing::instance::OpenTask;
use routing::table::NodeKind;
use routing::{ActivationId, DeploymentId, InstanceId, Payload, ProcessId, Timestamp};
use serde_json::Value;

use super::arrive::Known;
use super::instance::InstanceView;
use super::operate::Operator;
use super::{Answer, Ledger, Output, Request, TaskView};

/// Who acts on a user task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actor {
    /// As the caller says; empty: unsaid.
    pub who: String,
    /// Even though somebody else has claimed it.
    pub force: bool,
}

/// What is done with a user task.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskAction {
    /// The actor takes it.
    Claim,
    /// Nobody has it any more.
    Unclaim,
    /// What is filled in is kept for later.
    Save(Variables),
    /// It is done.
    Complete(Payload),
    /// It fails with a BPMN error of this code.
    Fail(String, Payload),
}

/// An open user task, and what it is of.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The instance.
    pub instance: InstanceId,
    /// The version it runs on.
    pub deployment: DeploymentId,
    /// The process.
    pub process: ProcessId,
    /// The task.
    pub view: TaskView,
}

impl Listed {
    fn new(of: &InstanceView, view: TaskView) -> Self {
        Self { instance: of.id.clone(), deployment: of.deployment.clone(), process: of.process.clone(), view }
    }
}

/// A user task with its form.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The task.
    pub task: Listed,
    /// Its form with what the fields hold; `None`: it has none, or only its name is known.
    pub form: Option<Filled>,
}

impl Ledger {
    /// The open user task that is meant: by its activation, or in an instance by its element where that is one task.
    ///
    /// # Errors
    /// What to give instead.
    pub fn find_task(&self, instance: Option<&InstanceId>, task: &str) -> Result<(InstanceId, ActivationId), String> {
        let unknown = || format!("there is no open user task {task}; `flowctl tasks` lists them");
        if let Ok(activation) = task.parse::<ActivationId>()
            && let Some(found) = self.instance_of(instance, activation)
        {
            return Ok((found, activation));
        }
        let Some(open) = instance.and_then(|it| self.instances.get(it)) else { return Err(unknown()) };
        let mut of_element = open.tasks(&self.tables).filter(|it| it.element.as_str() == task);
        match (of_element.next(), of_element.next()) {
            (Some(only), None) => Ok((open.base.id.clone(), only.activation)),
            (Some(_), Some(_)) => Err(format!("element {task} has several open tasks in {}: give an id", open.base.id)),
            (None, _) => Err(unknown()),
        }
    }

    fn instance_of(&self, instance: Option<&InstanceId>, activation: ActivationId) -> Option<InstanceId> {
        match instance {
            Some(id) => self.instances.get(id)?.inner.stay(activation).map(|_| id.clone()),
            None => self.instances.iter().find(|(_, it)| it.inner.stay(activation).is_some()).map(|(id, _)| id.clone()),
        }
    }

    /// Every open user task, in no order.
    pub fn user_tasks(&self) -> impl Iterator<Item = Listed> {
        self.instances.values().flat_map(|open| open.tasks(&self.tables).map(|it| Listed::new(&open.base, it)))
    }

    /// A user task with its form.
    pub fn task_form(&self, now: Timestamp, instance: &InstanceId, task: ActivationId) -> Option<Seen> {
        let open = self.instances.get(instance)?;
        let form = self.open_task(instance, task)?.fill(now);
        let view = open.tasks(&self.tables).find(|it| it.activation == task)?;
        Some(Seen { task: Listed::new(&open.base, view), form })
    }

    /// What would become of data; changes nothing.
    pub fn check_task(
        &self,
        now: Timestamp,
        instance: &InstanceId,
        task: ActivationId,
        given: &Variables,
        judgement: Judgement,
    ) -> Option<Checked> {
        Some(self.open_task(instance, task)?.check(given, judgement, now))
    }

    fn open_task(&self, instance: &InstanceId, task: ActivationId) -> Option<OpenTask<'_>> {
        let known = Known { tables: &self.tables, processes: &self.processes };
        self.instances.get(instance)?.inner.user_task(&known, task)
    }

    /// Somebody does something with a user task.
    pub(super) fn act_on_task(
        &mut self,
        now: Timestamp,
        request: Request,
        task: (&InstanceId, ActivationId),
        actor: Actor,
        action: TaskAction,
        out: &mut Vec<Output>,
    ) {
        let answer = match self.judged(now, task, &actor, action) {
            Ok(judged) => self.carry_out_on_task(now, task, actor, judged, out),
            Err(refused) => refused,
        };
        out.push(Output::Answer(request, answer));
    }

    /// Whether it may be done; what is to be done then.
    fn judged(
        &self,
        now: Timestamp,
        (instance, activation): (&InstanceId, ActivationId),
        actor: &Actor,
        action: TaskAction,
    ) -> Result<Judged, Answer> {
        let Some(task) = self.open_task(instance, activation) else {
            return Err(self.no_task(instance, activation));
        };
        let element = task.element.as_str().to_owned();
        let asks = !actor.who.is_empty() || action == TaskAction::Claim;
        let other = task.assigned.assignee.as_ref().filter(|it| asks && !actor.force && **it != actor.who);
        if let Some(other) = other {
            return Err(Answer::WrongState(format!(
                "task {activation} ({element}) is {other}'s; `--force` does it all the same"
            )));
        }
        let act = match action {
            TaskAction::Claim if actor.who.is_empty() => {
                return Err(Answer::Invalid("say who claims the task".to_owned()));
            }
            TaskAction::Claim => Act::Assign(true),
            TaskAction::Unclaim => Act::Assign(false),
            TaskAction::Save(given) => {
                let checked = task.check(&given, Judgement::Draft, now);
                if !checked.passed() {
                    return Err(Answer::Checked(Box::new(checked)));
                }
                self.fits(instance, &checked.draft)?;
                Act::Save(checked)
            }
            TaskAction::Complete(payload) => Act::Complete(completing(&task, payload, now)?),
            TaskAction::Fail(code, payload) => Act::Fail(code, payload),
        };
        Ok(Judged { element, act })
    }

    fn carry_out_on_task(
        &mut self,
        now: Timestamp,
        (instance, activation): (&InstanceId, ActivationId),
        actor: Actor,
        Judged { element, act }: Judged,
        out: &mut Vec<Output>,
    ) -> Answer {
        let what = match &act {
            Act::Assign(true) => Some("claim"),
            Act::Assign(false) => Some("unclaim"),
            Act::Complete(_) => Some("complete").filter(|_| !actor.who.is_empty()),
            Act::Fail(..) => Some("fail").filter(|_| !actor.who.is_empty()),
            Act::Save(_) => None,
        };
        if let Some(what) = what {
            let by = Operator { who: actor.who.clone(), why: String::new() };
            // recorded first: the instance may end by it
            self.record_operation(now, instance, by, &format!("{what} {element}"), out);
        }
        let (mut done, mut answer) = (false, Answer::Done);
        self.run(now, instance, out, |run| {
            done = match act {
                Act::Assign(takes) => run.assign(activation, takes.then_some(actor.who.as_str())),
                Act::Save(checked) => {
                    let done = run.save_draft(activation, checked.draft.clone());
                    answer = Answer::Checked(Box::new(checked));
                    done
                }
                Act::Complete(payload) => run.complete_task(activation, &payload),
                Act::Fail(code, payload) => run.fail_task(activation, &code, &payload),
            };
        });
        if done { answer } else { Answer::NotFound }
    }

    /// A draft is no larger than a payload may be.
    fn fits(&self, instance: &InstanceId, draft: &Variables) -> Result<(), Answer> {
        let table = self.instances.get(instance).and_then(|it| self.tables.get(&it.base.definition));
        let limit = table.map_or(u64::MAX, |it| it.table().settings.max_payload);
        let size = Payload::json(&Value::Object(draft.clone())).body.len() as u64;
        if size > limit {
            return Err(Answer::Invalid(format!("the draft would have {size} bytes, the limit is {limit}")));
        }
        Ok(())
    }

    /// What is there instead of a user task.
    fn no_task(&self, instance: &InstanceId, activation: ActivationId) -> Answer {
        let found = self.instances.get(instance).and_then(|it| it.inner.stay(activation));
        let node = found.and_then(|stay| {
            let table = self.tables.get(&stay.token.definition)?;
            Some(table.table().node(table.find(stay.token.element.as_str())?))
        });
        match node {
            Some(node) if !matches!(node.kind, NodeKind::UserTask(_)) => {
                Answer::WrongState(format!("{} is a {}, not a user task", node.id, node.element))
            }
            Some(_) | None => Answer::NotFound,
        }
    }
}

/// What may be done.
struct Judged {
    element: String,
    act: Act,
}

enum Act {
    /// To the actor, or to nobody.
    Assign(bool),
    Save(Checked),
    Complete(Payload),
    Fail(String, Payload),
}

/// What a task writes that is completed with a payload.
fn completing(task: &OpenTask<'_>, payload: Payload, now: Timestamp) -> Result<Payload, Answer> {
    if !task.has_form() && task.assigned.draft.is_empty() {
        return Ok(payload);
    }
    let Some(Value::Object(given)) = payload.to_json() else {
        return Err(Answer::Invalid(format!("{} takes its fields as a JSON object", task.element)));
    };
    let checked = task.check(&given, Judgement::Whole, now);
    match checked.passed() {
        true => Ok(Payload::json(&Value::Object(checked.values))),
        false => Err(Answer::Checked(Box::new(checked))),
    }
}
