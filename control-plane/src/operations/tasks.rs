//! User tasks and their forms.

use std::time::Duration;

use routing::evaluate::Variables;
use routing::form::{Checked, Judgement};
use routing::{ActivationId, InstanceId, Payload};
use serde_json::Value;

use super::messages::{fits, limited, name};
use super::{Error, Operations, no_instance};
use crate::ledger::{Actor, Answer, Listed, Seen, TaskAction};

/// Which user tasks; all by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskSelection {
    pub(crate) instance: Option<InstanceId>,
    pub(crate) process: Option<String>,
    pub(crate) element: Option<String>,
    pub(crate) assignee: Option<String>,
    pub(crate) candidate_user: Option<String>,
    pub(crate) candidate_group: Option<String>,
    /// Those that nobody has.
    pub(crate) unassigned: bool,
    /// 0: no limit.
    pub(crate) limit: usize,
}

impl TaskSelection {
    fn has(&self, task: &Listed) -> bool {
        let assigned = &task.view.assigned;
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|it| it == found);
        let among = |wanted: &Option<String>, found: &[String]| wanted.as_ref().is_none_or(|it| found.contains(it));
        self.instance.as_ref().is_none_or(|it| *it == task.instance)
            && is(&self.process, task.process.as_str())
            && is(&self.element, task.view.element.as_str())
            && self.assignee.as_ref().is_none_or(|it| assigned.assignee.as_ref() == Some(it))
            && among(&self.candidate_user, &assigned.candidate_users)
            && among(&self.candidate_group, &assigned.candidate_groups)
            && !(self.unassigned && assigned.assignee.is_some())
    }
}

/// One user task, as a caller names it: by its id, or in an instance by its element.
#[derive(Clone, Debug)]
pub(crate) struct TaskName {
    pub(crate) task: String,
    pub(crate) instance: Option<InstanceId>,
}

/// How long listeners of a user task may take until who acts on it is told without their answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// When it is looked again whether they have answered.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// What listeners may deny.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Claim,
    Complete,
}

impl Asked {
    fn by(action: &TaskAction) -> Option<Self> {
        match action {
            TaskAction::Claim => Some(Self::Claim),
            TaskAction::Complete(_) => Some(Self::Complete),
            TaskAction::Unclaim | TaskAction::Save(_) | TaskAction::Fail(..) => None,
        }
    }

    /// The task is open: it would not be, or not without somebody, if they had agreed.
    fn is_denied(self, task: &Listed) -> bool {
        match self {
            Self::Claim => task.view.assigned.assignee.is_none(),
            Self::Complete => true,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Claim => "the claim of",
            Self::Complete => "the completion of",
        }
    }
}

/// What came of an action: the task, as it was if it is done, and what its data was judged to be.
pub(crate) type Acted = (Listed, Option<Checked>);

impl Operations {
    /// Open user tasks, oldest first.
    pub(crate) async fn tasks(&self, selection: TaskSelection) -> Result<Vec<Listed>, Error> {
        let (instance, limit) = (selection.instance.clone(), selection.limit);
        let mut tasks = self.ledger.tasks(Box::new(move |it| selection.has(it))).await?;
        tasks.sort_by_key(|it| (it.view.since, it.view.activation));
        if limit > 0 {
            tasks.truncate(limit);
        }
        match instance {
            Some(id) if tasks.is_empty() && self.ledger.get(&id).await?.is_none() => Err(no_instance(&id)),
            _ => Ok(tasks),
        }
    }

    /// A user task with its form.
    pub(crate) async fn task_form(&self, task: &TaskName) -> Result<Seen, Error> {
        let (instance, activation) = self.find(task).await?;
        self.ledger.task_form(&instance, activation).await?.ok_or_else(|| no_task(task))
    }

    /// What would become of data for a user task; changes nothing.
    pub(crate) async fn check_task(
        &self,
        task: &TaskName,
        data: &Payload,
        judgement: Judgement,
    ) -> Result<(Listed, Checked), Error> {
        let given = object(data)?;
        let (instance, activation) = self.find(task).await?;
        let open = self.listed(&instance, activation).await?.ok_or_else(|| no_task(task))?;
        let checked = self.ledger.check_task(&instance, activation, given, judgement).await?;
        Ok((open, checked.ok_or_else(|| no_task(task))?))
    }

    /// Keeps what is filled in of a user task's form.
    pub(crate) async fn save_task(&self, task: &TaskName, actor: Actor, data: &Payload) -> Result<Acted, Error> {
        let given = object(data)?;
        self.act_on_task(task, actor, TaskAction::Save(given)).await
    }

    /// Claims, gives back, completes or fails a user task.
    pub(crate) async fn act_on_task(&self, task: &TaskName, actor: Actor, action: TaskAction) -> Result<Acted, Error> {
        limited("a name", &actor.who)?;
        match &action {
            TaskAction::Complete(payload) => fits(payload)?,
            TaskAction::Fail(code, payload) => {
                name("an error code", code)?;
                fits(payload)?;
            }
            TaskAction::Claim | TaskAction::Unclaim | TaskAction::Save(_) => {}
        }
        let (instance, activation) = self.find(task).await?;
        let before = self.listed(&instance, activation).await?;
        let asked = Asked::by(&action);
        let checked = match self.ledger.act_on_task(instance.clone(), activation, actor, action).await? {
            Answer::Done => None,
            Answer::Checked(checked) if checked.passed() => Some(*checked),
            Answer::Checked(checked) => return Err(Error::Unfit(checked)),
            Answer::WrongState(why) => return Err(Error::WrongState(why)),
            Answer::Invalid(why) => return Err(Error::Invalid(why)),
            _ => return Err(no_task(task)),
        };
        let after = match asked {
            None => self.listed(&instance, activation).await?,
            Some(asked) => self.answered(&instance, activation, asked).await?,
        };
        Ok((after.or(before).ok_or_else(|| no_task(task))?, checked))
    }

    /// The task once its listeners have answered, or as it is known by then; none if it is over.
    ///
    /// # Errors
    /// A listener denied it.
    async fn answered(
        &self,
        instance: &InstanceId,
        activation: ActivationId,
        asked: Asked,
    ) -> Result<Option<Listed>, Error> {
        let until = tokio::time::Instant::now() + ANSWERED_WITHIN;
        loop {
            match self.listed(instance, activation).await? {
                Some(task) if asked.is_denied(&task) => {
                    let (element, what) = (&task.view.element, asked.what());
                    return Err(Error::WrongState(format!(
                        "a listener denied {what} {element}; `flowctl trace {instance}` has its reason"
                    )));
                }
                Some(task) => return Ok(Some(task)),
                None => {}
            }
            // it is there and not listed: a listener is asked
            let held = self.ledger.find_task(Some(instance.clone()), activation.to_string()).await?.is_ok();
            if !held || tokio::time::Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Which open user task a caller means.
    async fn find(&self, task: &TaskName) -> Result<(InstanceId, ActivationId), Error> {
        self.ledger.find_task(task.instance.clone(), task.task.clone()).await?.map_err(Error::NotFound)
    }

    async fn listed(&self, instance: &InstanceId, activation: ActivationId) -> Result<Option<Listed>, Error> {
        Ok(self.ledger.task_form(instance, activation).await?.map(|it| it.task))
    }
}

/// Data for a form.
fn object(data: &Payload) -> Result<Variables, Error> {
    fits(data)?;
    match data.to_json() {
        Some(Value::Object(given)) => Ok(given),
        _ => Err(Error::Invalid("give the fields of the form as a JSON object".to_owned())),
    }
}

fn no_task(TaskName { task, .. }: &TaskName) -> Error {
    Error::NotFound(format!("there is no open user task {task}; `flowctl tasks` lists them"))
}
