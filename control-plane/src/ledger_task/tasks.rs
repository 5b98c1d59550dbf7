//! What the rest of flowd asks of the ledger's loop about user tasks.

use routing::evaluate::Variables;
use routing::form::{Checked, Judgement};
use routing::{ActivationId, InstanceId};

use super::command::{Command, FoundTask, Refused, Wanted};
use super::handle::Handle;
use crate::ledger::{Actor, Answer, Listed, Seen, TaskAction};

impl Handle {
    /// The open user task that is meant.
    pub(crate) async fn find_task(&self, instance: Option<InstanceId>, task: String) -> Result<FoundTask, Refused> {
        self.ask(|reply| Command::FindTask(instance, task, reply)).await
    }

    /// The open user tasks that are wanted, in no order.
    pub(crate) async fn tasks(&self, wanted: Wanted) -> Result<Vec<Listed>, Refused> {
        self.ask(|reply| Command::Tasks(wanted, reply)).await
    }

    /// A user task with its form.
    pub(crate) async fn task_form(&self, instance: &InstanceId, task: ActivationId) -> Result<Option<Seen>, Refused> {
        self.ask(|reply| Command::TaskForm(instance.clone(), task, reply)).await
    }

    /// What would become of data; changes nothing.
    pub(crate) async fn check_task(
        &self,
        instance: &InstanceId,
        task: ActivationId,
        given: Variables,
        judgement: Judgement,
    ) -> Result<Option<Checked>, Refused> {
        self.ask(|reply| Command::CheckTask(instance.clone(), task, given, judgement, reply)).await
    }

    /// Somebody does something with a user task; answers when that is durable.
    pub(crate) async fn act_on_task(
        &self,
        instance: InstanceId,
        task: ActivationId,
        actor: Actor,
        action: TaskAction,
    ) -> Result<Answer, Refused> {
        self.ask(|reply| Command::Task(instance, task, actor, action, reply)).await
    }
}
