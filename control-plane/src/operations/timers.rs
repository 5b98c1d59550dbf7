//! Timers that flowd waits for: listed, and given another time.

use routing::InstanceId;
use routing::table::Timer;

use super::{Error, Operations};
use crate::ledger::{Answer, Operation, Operator, TimerView};

impl Operations {
    /// Timers of these instances and deployments (or processes), or of all; the next one due first.
    pub(crate) async fn timers(&self, of: &[String]) -> Result<Vec<TimerView>, Error> {
        let (mut named, mut unknown) = (Vec::new(), Vec::new());
        for id in of {
            if self.ledger.get(&InstanceId::from(id.as_str())).await?.is_some() {
                named.push(id.clone());
            } else if let Ok(deployment) = self.mesh.resolve(id) {
                named.push(deployment.definition.deployment.as_str().to_owned());
            } else {
                unknown.push(id.as_str());
            }
        }
        match unknown.as_slice() {
            [] => Ok(self.ledger.timers(named).await?),
            unknown => {
                Err(Error::NotFound(format!("there is neither an instance nor a deployment {}", unknown.join(", "))))
            }
        }
    }

    /// Gives timers of an open instance, or of a deployment's start events, another time: all of them, or none.
    pub(crate) async fn rearm(&self, id: &str, by: Operator, timers: Vec<(String, Timer)>) -> Result<(), Error> {
        let rearming = Operation::rearming(timers.clone()).map_err(|why| Error::Invalid(why.to_owned()))?;
        let instance = InstanceId::from(id);
        match self.operate(&instance, by.clone(), rearming).await {
            Err(Error::NotFound(_)) => {}
            done => return done,
        }
        let Ok(deployment) = self.mesh.resolve(id) else {
            return Err(Error::NotFound(format!("there is neither an instance nor a deployment {id}")));
        };
        match self.ledger.rearm(deployment.definition.deployment.clone(), by, timers).await? {
            Answer::WrongState(why) => Err(Error::WrongState(why)),
            _ => Ok(()),
        }
    }
}
