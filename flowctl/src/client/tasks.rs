//! What flowctl asks about user tasks and their forms.

use proto::v1;
use tonic::Code;

use super::failure::failed;
use super::{Client, wire};
use crate::output::form::{Form, Judged};
use crate::output::task::Task;
use crate::payload::Payload;

/// Which user tasks; what is empty restricts nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tasks {
    pub(crate) instance: String,
    pub(crate) process: String,
    pub(crate) element: String,
    pub(crate) assignee: String,
    /// A candidate.
    pub(crate) user: String,
    /// A group of candidates.
    pub(crate) group: String,
    pub(crate) unassigned: bool,
    /// 0: no limit.
    pub(crate) limit: u32,
}

/// One user task: by its id, or in an instance by its element; and who acts on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskOf {
    pub(crate) task: String,
    /// Empty: the id is enough.
    pub(crate) instance: String,
    /// Empty: unsaid.
    pub(crate) by: String,
    pub(crate) force: bool,
}

impl TaskOf {
    fn request(self) -> v1::TaskRequest {
        let Self { task, instance, by, force } = self;
        v1::TaskRequest { task, instance, by, force }
    }

    fn with(self, payload: Payload) -> v1::TaskDataRequest {
        let Self { task, instance, by, force } = self;
        v1::TaskDataRequest { task, instance, payload: Some(wire::payload(payload)), by, force, draft: false }
    }
}

impl Client {
    /// Open user tasks, oldest first.
    pub(crate) async fn tasks(&mut self, tasks: Tasks) -> anyhow::Result<Vec<Task>> {
        let answer = self.flow.list_tasks(wire::task::list(tasks)).await;
        let answer = answer.map_err(|status| failed(&self.place, "cannot list tasks", status))?;
        Ok(answer.into_inner().tasks.into_iter().map(wire::task::user_task).collect())
    }

    /// Somebody takes a user task.
    pub(crate) async fn claim(&mut self, task: TaskOf) -> anyhow::Result<Task> {
        let attempt = format!("cannot claim {}", task.task);
        let answer = self.flow.claim_task(task.request()).await;
        Ok(wire::task::user_task(answer.map_err(|status| failed(&self.place, &attempt, status))?.into_inner()))
    }

    /// Somebody gives a user task back.
    pub(crate) async fn unclaim(&mut self, task: TaskOf) -> anyhow::Result<Task> {
        let attempt = format!("cannot give {} back", task.task);
        let answer = self.flow.unclaim_task(task.request()).await;
        Ok(wire::task::user_task(answer.map_err(|status| failed(&self.place, &attempt, status))?.into_inner()))
    }

    /// The form of a user task with what its fields hold.
    pub(crate) async fn form(&mut self, task: TaskOf) -> anyhow::Result<Form> {
        let attempt = format!("cannot show the form of {}", task.task);
        let answer = self.flow.task_form(task.request()).await;
        Ok(wire::task::form(answer.map_err(|status| failed(&self.place, &attempt, status))?.into_inner()))
    }

    /// What flowd would say to data for a user task.
    pub(crate) async fn check(&mut self, task: TaskOf, data: Payload) -> anyhow::Result<Judged> {
        self.judge(task, data, false).await
    }

    async fn judge(&mut self, task: TaskOf, data: Payload, draft: bool) -> anyhow::Result<Judged> {
        let attempt = format!("cannot check data for {}", task.task);
        let answer = self.flow.validate_task(v1::TaskDataRequest { draft, ..task.with(data) }).await;
        Ok(wire::task::judged(answer.map_err(|status| failed(&self.place, &attempt, status))?.into_inner()))
    }

    /// Keeps what is filled in of a user task's form; if it does not fit, nothing is kept, which is an answer too.
    pub(crate) async fn save(&mut self, task: TaskOf, data: Payload) -> anyhow::Result<Judged> {
        let attempt = format!("cannot save data for {}", task.task);
        match self.flow.save_task(task.clone().with(data.clone())).await {
            Ok(answer) => Ok(Judged { saved: true, ..wire::task::judged(answer.into_inner()) }),
            Err(status) => self.refused(task, data, true, &attempt, status).await,
        }
    }

    /// Completes a user task; gives it as it was, or why its data does not fit and nothing was done.
    pub(crate) async fn complete(&mut self, task: TaskOf, data: Payload) -> anyhow::Result<Result<Task, Judged>> {
        let attempt = format!("cannot complete {}", task.task);
        let TaskOf { task: id, instance, by, force } = task.clone();
        let payload = Some(wire::payload(data.clone()));
        let request = v1::CompleteTaskRequest { task: id, instance, payload, by, force, error_code: String::new() };
        match self.flow.complete_task(request).await {
            Ok(answer) => Ok(Ok(wire::task::user_task(answer.into_inner()))),
            Err(status) => self.refused(task, data, false, &attempt, status).await.map(Err),
        }
    }

    /// Fails a user task with a BPMN error; gives it as it was.
    pub(crate) async fn fail(&mut self, task: TaskOf, error_code: String, data: Payload) -> anyhow::Result<Task> {
        let attempt = format!("cannot fail {}", task.task);
        let TaskOf { task, instance, by, force } = task;
        let payload = Some(wire::payload(data));
        let request = v1::CompleteTaskRequest { task, instance, payload, by, force, error_code };
        let answer = self.flow.complete_task(request).await;
        Ok(wire::task::user_task(answer.map_err(|status| failed(&self.place, &attempt, status))?.into_inner()))
    }

    /// Every reason why data was refused, or the error if that is not why.
    async fn refused(
        &mut self,
        task: TaskOf,
        data: Payload,
        draft: bool,
        attempt: &str,
        status: tonic::Status,
    ) -> anyhow::Result<Judged> {
        let error = failed(&self.place, attempt, status.clone());
        if status.code() != Code::InvalidArgument {
            return Err(error);
        }
        match self.judge(task, data, draft).await {
            Ok(judged) if !judged.passed => Ok(judged),
            Ok(_) | Err(_) => Err(error),
        }
    }
}
