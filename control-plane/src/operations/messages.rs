//! Messages, signals and user tasks.

use std::sync::Mutex;

use routing::instance::Published;
use routing::{DeploymentId, InstanceId, Payload, ProcessId};

use super::{Error, Operations, no_instance};
use crate::definitions::Deployment;
use crate::ledger::{Answer, Deployed, Receipt, TaskView};
use crate::ledger_task::Handle;
use crate::mesh::Mesh;

/// Bytes of a name, a key or an id.
const MAX_NAME: usize = 1024;
/// The longest time to live, milliseconds: a year.
const MAX_TIME_TO_LIVE: u64 = 366 * 24 * 3600 * 1000;
/// The largest payload of a message, bytes.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

/// An open user task.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) instance: InstanceId,
    pub(crate) deployment: DeploymentId,
    pub(crate) process: ProcessId,
    pub(crate) view: TaskView,
}

/// What the ledger was told last of what takes instances.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Option<(u64, Vec<Deployed>)>>);

impl Told {
    /// Tells the ledger if it has changed. Whoever starts something asks first, so that nobody acts on what is over.
    pub(crate) async fn tell(&self, mesh: &Mesh, ledger: &Handle) -> Result<(), Error> {
        let version = mesh.changed();
        let new = {
            let mut told = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if told.as_ref().is_some_and(|(of, _)| *of == version) {
                return Ok(());
            }
            let now = deployed(mesh);
            let same = told.as_ref().is_some_and(|(_, before)| *before == now);
            *told = Some((version, now.clone()));
            (!same).then_some(now)
        };
        match new {
            Some(new) => Ok(ledger.deployed(new).await?),
            None => Ok(()),
        }
    }
}

/// What takes instances, the newest last.
fn deployed(mesh: &Mesh) -> Vec<Deployed> {
    let mut all: Vec<Deployment> = mesh.deployments().into_iter().map(|(it, _)| it).collect();
    all.retain(|it| it.state.accepts());
    all.sort_by(|a, b| (a.applied, &a.definition.deployment).cmp(&(b.applied, &b.definition.deployment)));
    let of = |it: Deployment| Deployed {
        process: it.definition.process.clone(),
        deployment: it.definition.deployment.clone(),
        definition: it.definition.digest,
        tag: it.definition.version_tag.clone(),
        applied: it.applied,
        starts: it.definition.start_events.clone(),
        topics: it.topics.into_iter().map(|it| (it.topic, it.start_event)).collect(),
    };
    all.into_iter().map(of).collect()
}

impl Operations {
    /// Publishes a message.
    pub(crate) async fn publish(&self, message: Published) -> Result<Receipt, Error> {
        name("a message's name", &message.name)?;
        let texts = [("a correlation key", &message.key), ("a message's id", &message.id)];
        for (what, text) in texts {
            text.as_ref().map_or(Ok(()), |it| limited(what, it))?;
        }
        if message.time_to_live > MAX_TIME_TO_LIVE {
            return Err(Error::Invalid("a message lives for a year at most".to_owned()));
        }
        fits(&message.payload)?;
        self.told.tell(&self.mesh, &self.ledger).await?;
        receipt(self.ledger.publish(message).await?)
    }

    /// Broadcasts a signal.
    pub(crate) async fn signal(&self, signal: String, payload: Payload) -> Result<Receipt, Error> {
        name("a signal's name", &signal)?;
        fits(&payload)?;
        self.told.tell(&self.mesh, &self.ledger).await?;
        receipt(self.ledger.signal(signal, payload).await?)
    }

    /// Offers variables, a JSON object, to the conditional start events of one process or of all.
    pub(crate) async fn offer(&self, process: Option<ProcessId>, payload: Payload) -> Result<Receipt, Error> {
        fits(&payload)?;
        if !payload.to_json().is_some_and(|it| it.is_object()) {
            return Err(Error::Invalid("what is offered is no JSON object: variables have names".to_owned()));
        }
        self.told.tell(&self.mesh, &self.ledger).await?;
        receipt(self.ledger.offer(process, payload).await?)
    }

    /// Open user tasks, oldest first; of one instance, or of all.
    pub(crate) async fn tasks(&self, instance: Option<&InstanceId>) -> Result<Vec<Task>, Error> {
        let only = instance.cloned();
        let filter = move |it: &crate::ledger::InstanceView| {
            !it.tasks.is_empty() && only.as_ref().is_none_or(|only| *only == it.id)
        };
        let mut tasks = Vec::new();
        for view in self.ledger.open(Box::new(filter)).await? {
            let (instance, deployment, process) = (view.id, view.deployment, view.process);
            let task = |view| Task {
                instance: instance.clone(),
                deployment: deployment.clone(),
                process: process.clone(),
                view,
            };
            tasks.extend(view.tasks.into_iter().map(task));
        }
        tasks.sort_by_key(|it| (it.view.since, it.view.activation));
        match instance {
            Some(id) if tasks.is_empty() && self.ledger.get(id).await?.is_none() => Err(no_instance(id)),
            _ => Ok(tasks),
        }
    }

    /// Completes a user task, or fails it with a BPMN error; gives the task as it was.
    pub(crate) async fn complete(
        &self,
        instance: Option<InstanceId>,
        task: &str,
        result: Result<Payload, (String, Payload)>,
    ) -> Result<Task, Error> {
        match &result {
            Ok(payload) => fits(payload)?,
            Err((code, payload)) => {
                name("an error code", code)?;
                fits(payload)?;
            }
        }
        let found = self.ledger.find_task(instance, task.to_owned()).await?;
        let (instance, activation) = found.map_err(Error::NotFound)?;
        let open = self.tasks(Some(&instance)).await?;
        let open = open.into_iter().find(|it| it.view.activation == activation);
        match self.ledger.complete_task(instance, activation, result).await? {
            Answer::Done => open.ok_or_else(|| no_task(task)),
            Answer::WrongState(why) => Err(Error::WrongState(why)),
            _ => Err(no_task(task)),
        }
    }
}

fn no_task(task: &str) -> Error {
    Error::NotFound(format!("there is no open user task {task}; `flowctl ps -o wide` lists them"))
}

fn receipt(answer: Answer) -> Result<Receipt, Error> {
    match answer {
        Answer::Published(receipt) => Ok(receipt),
        Answer::WrongState(why) => Err(Error::WrongState(why)),
        _ => Err(Error::Busy),
    }
}

fn name(what: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::Invalid(format!("{what} must not be empty")));
    }
    limited(what, text)
}

fn limited(what: &str, text: &str) -> Result<(), Error> {
    if text.len() > MAX_NAME {
        return Err(Error::Invalid(format!("{what} has at most {MAX_NAME} bytes")));
    }
    Ok(())
}

fn fits(payload: &Payload) -> Result<(), Error> {
    match payload.body.len() {
        size if size > MAX_PAYLOAD => Err(Error::TooLarge { size, limit: MAX_PAYLOAD }),
        _ => Ok(()),
    }
}
