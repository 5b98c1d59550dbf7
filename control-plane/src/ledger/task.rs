//! User tasks: found, completed, failed with a BPMN error.

use routing::table::NodeKind;
use routing::{ActivationId, InstanceId, Payload};

use super::{Answer, Ledger, Output, Request, Timestamp};

impl Ledger {
    /// The open user task that is meant: by its activation, or in an instance by its element where that is one task.
    ///
    /// # Errors
    /// What to give instead.
    pub fn find_task(&self, instance: Option<&InstanceId>, task: &str) -> Result<(InstanceId, ActivationId), String> {
        let unknown = || format!("there is no open user task {task}; `flowctl ps -o wide` lists them");
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

    /// Somebody has done a user task, or failed it with a BPMN error.
    pub(super) fn complete_task(
        &mut self,
        now: Timestamp,
        request: Request,
        task: (&InstanceId, ActivationId),
        result: Result<Payload, (String, Payload)>,
        out: &mut Vec<Output>,
    ) {
        let (instance, activation) = task;
        let found = self.instances.get(instance).and_then(|it| it.inner.stay(activation));
        let node = found.and_then(|stay| {
            let table = self.tables.get(&stay.token.definition)?;
            Some(table.table().node(table.find(stay.token.element.as_str())?))
        });
        let answer = match node {
            None => Answer::NotFound,
            Some(node) if !matches!(node.kind, NodeKind::UserTask(_)) => {
                Answer::WrongState(format!("{} is a {}, not a user task", node.id, node.element))
            }
            Some(_) => {
                let mut done = false;
                self.run(now, instance, out, |run| {
                    done = match &result {
                        Ok(payload) => run.complete_task(activation, payload),
                        Err((code, payload)) => run.fail_task(activation, code, payload),
                    };
                });
                if done { Answer::Done } else { Answer::NotFound }
            }
        };
        out.push(Output::Answer(request, answer));
    }
}
