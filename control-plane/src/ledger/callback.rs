//! Tasks call back: what a call that has taken its work leads to, once.

use routing::callback::{Callback, Refused};
use routing::{ActivationId, Digest};

use super::{Answer, InstanceId, Ledger, Output, Request, Timestamp};

impl Ledger {
    /// The task of a call (its activation, and the hash of the seal that it brings) calls back.
    pub(super) fn called_back(
        &mut self,
        now: Timestamp,
        request: Request,
        instance: &InstanceId,
        (activation, hash): (ActivationId, Digest),
        with: Callback,
        out: &mut Vec<Output>,
    ) {
        let mut taken = Err(Refused::Unknown(instance.clone()));
        self.run(now, instance, out, |run| taken = run.called_back(activation, hash, with));
        let answer = match taken {
            Ok(()) => Answer::Done,
            Err(Refused::Unknown(_)) => Answer::NotFound,
            Err(refused @ Refused::Forged) => Answer::Forbidden(refused.to_string()),
            Err(refused @ Refused::Over) => Answer::WrongState(refused.to_string()),
        };
        out.push(Output::Answer(request, answer));
    }
}
