//! What operators ask for: cancel, start again, delete.

use routing::{Payload, Resume, Timestamp};

use super::instance::State;
use super::stored::{Reason, Stay, key};
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
        let waiting: Vec<Stay> = open.incidents().cloned().collect();
        if waiting.is_empty() {
            let why =
                format!("Can only start instances in STOPPED state, {instance} is {} and has no incident", open.state);
            out.push(Output::Answer(request, Answer::WrongState(why)));
            return;
        }
        for stay in waiting {
            self.resume(now, stay, payload.as_ref(), same_key, out);
        }
        self.settle_state(now, instance, out);
        out.push(Output::Answer(request, Answer::Done));
    }

    fn resume(&mut self, now: Timestamp, stay: Stay, payload: Option<&Payload>, same_key: bool, out: &mut Vec<Output>) {
        let mut token = stay.token;
        let Some(table) = self.tables.get(&token.definition).cloned() else { return };
        let Some(node) = table.find(token.element.as_str()) else { return };
        self.forget(&token.instance.clone(), token.activation);
        let (resume, output) = match stay.reason {
            Reason::Incident(failure) => (failure.resume, failure.output),
            Reason::Ended | Reason::Joining | Reason::Timer(_) | Reason::Again(_) | Reason::Held => {
                (Resume::Leave, None)
            }
        };
        match resume {
            Resume::Map => {
                let answer = payload.cloned().or(output).unwrap_or_default();
                self.map_answer(now, &table, node, &token.anew(!same_key, now), &answer, out);
            }
            Resume::Call | Resume::Leave => {
                if let Some(payload) = payload {
                    token.written.replaced(&token.payload, payload);
                    token.payload = payload.clone();
                }
                token.attempts = 0;
                let token = token.anew(!same_key, now);
                if resume == Resume::Leave {
                    self.leave_element(now, &table, node, &token, out);
                } else {
                    self.place(now, [routing::Product { token, to: routing::To::Ledger }].into(), out);
                }
            }
        }
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
