//! What operators ask for: cancel, start again, delete.

use routing::{Payload, Timestamp};

use super::instance::State;
use super::stored::key;
use super::{Answer, InstanceId, Ledger, Output, Request};

impl Ledger {
    pub(super) fn cancel(
        &mut self,
        now: Timestamp,
        request: Request,
        instance: &InstanceId,
        reason: String,
        out: &mut Vec<Output>,
    ) {
        if !self.instances.contains_key(instance) {
            out.push(Output::Answer(request, Answer::NotFound));
            return;
        }
        self.cancelled(now, instance, reason, out);
        out.push(Output::Answer(request, Answer::Done));
    }

    /// Starts every incident of the instance again, each from the failed element, as often as it takes.
    pub(super) fn restart(
        &mut self,
        now: Timestamp,
        request: Request,
        instance: &InstanceId,
        payload: Option<Payload>,
        same_key: bool,
        out: &mut Vec<Output>,
    ) {
        let Some(open) = self.instances.get(instance) else {
            out.push(Output::Answer(request, Answer::NotFound));
            return;
        };
        let waiting: Vec<_> = open.incidents().map(|s| s.token.activation).collect();
        if waiting.is_empty() {
            let why =
                format!("Can only start instances in STOPPED state, {instance} is {} and has no incident", open.state);
            out.push(Output::Answer(request, Answer::WrongState(why)));
            return;
        }
        for stay in waiting {
            self.run(now, instance, out, |run| run.resume(stay, payload.as_ref(), same_key));
        }
        out.push(Output::Answer(request, Answer::Done));
    }

    /// Forgets a closed instance. One that is open must be stopped first.
    pub(super) fn delete(&mut self, request: Request, instance: &InstanceId, out: &mut Vec<Output>) {
        let state = self.instances.get(instance).map(|o| o.state);
        let answer = match state {
            Some(State::Stopped) => {
                let (mut effects, now) = (Vec::new(), self.instances.get(instance).map_or(0, |o| o.base.started));
                self.cancelled(now, instance, "deleted".to_owned(), &mut effects);
                out.extend(effects.into_iter().filter(|e| matches!(e, Output::Tombstone(..) | Output::Changed(_))));
                Answer::Done
            }
            Some(state) => Answer::WrongState(format!("{instance} is {state}; `flowctl stop -i {instance}` it first")),
            None => Answer::Done,
        };
        if answer == Answer::Done {
            self.remove(key::closed(instance));
            self.keys.retain(|_, i| i != instance);
        }
        out.push(Output::Answer(request, answer));
    }
}
