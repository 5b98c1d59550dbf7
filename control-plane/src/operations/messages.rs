//! Messages, signals and offered variables.

use std::sync::Mutex;

use routing::instance::Published;
use routing::{Payload, ProcessId};

use super::{Error, Operations};
use crate::definitions::Deployment;
use crate::ledger::{Answer, Deployed, Receipt};
use crate::ledger_task::Handle;
use crate::mesh::Mesh;

/// Bytes of a name, a key or an id.
const MAX_NAME: usize = 1024;
/// The longest time to live, milliseconds: a year.
const MAX_TIME_TO_LIVE: u64 = 366 * 24 * 3600 * 1000;
/// The largest payload of a message, bytes.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

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
}

fn receipt(answer: Answer) -> Result<Receipt, Error> {
    match answer {
        Answer::Published(receipt) => Ok(receipt),
        Answer::WrongState(why) => Err(Error::WrongState(why)),
        _ => Err(Error::Busy),
    }
}

pub(super) fn name(what: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::Invalid(format!("{what} must not be empty")));
    }
    limited(what, text)
}

pub(super) fn limited(what: &str, text: &str) -> Result<(), Error> {
    if text.len() > MAX_NAME {
        return Err(Error::Invalid(format!("{what} has at most {MAX_NAME} bytes")));
    }
    Ok(())
}

pub(super) fn fits(payload: &Payload) -> Result<(), Error> {
    match payload.body.len() {
        size if size > MAX_PAYLOAD => Err(Error::TooLarge { size, limit: MAX_PAYLOAD }),
        _ => Ok(()),
    }
}
