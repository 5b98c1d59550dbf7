//! Tasks that call back.

use std::time::Duration;

use routing::callback::Callback;
use routing::{ActivationId, Digest, InstanceId};

use super::{Error, Operations, no_instance};
use crate::ledger::Answer;

/// How long a callback is held that comes before the task's own answer has come here.
const EARLY: Duration = Duration::from_secs(5);
/// How often it is asked for meanwhile.
const ASK: Duration = Duration::from_millis(50);

impl Operations {
    /// The task of a call calls back, with the seal of its address.
    pub(crate) async fn called_back(
        &self,
        instance: &InstanceId,
        activation: ActivationId,
        seal: &str,
        with: Callback,
    ) -> Result<(), Error> {
        let call = (activation, Digest::of(seal.as_bytes()));
        let until = tokio::time::Instant::now() + EARLY;
        let mut drain = self.drain.clone();
        loop {
            match self.ledger.called_back(instance, call, with.clone()).await? {
                Answer::Done => return Ok(()),
                Answer::Forbidden(why) => return Err(Error::Forbidden(why)),
                Answer::WrongState(why) => return Err(Error::WrongState(why)),
                _ => {}
            }
            match self.ledger.get(instance).await? {
                None => return Err(no_instance(instance)),
                Some(view) if view.state.is_closed() => {
                    return Err(Error::WrongState(format!("{instance} has ended already: it is {}", view.state)));
                }
                Some(_) => {}
            }
            let early = Error::Unavailable(format!(
                "no call of {instance} waits for this callback yet: call back once the call itself has been answered"
            ));
            tokio::select! {
                () = tokio::time::sleep(ASK), if tokio::time::Instant::now() < until => {}
                () = drain.signaled() => return Err(early),
                else => return Err(early),
            }
        }
    }
}
