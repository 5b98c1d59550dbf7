//! Tasks that answer later: the token waits here, and goes on as if the answer had come to its sidecar.

use std::sync::Arc;

use super::{On, Reason, Run, Stay, Subscription};
use crate::callback::{Awaited, Callback, Refused};
use crate::compiled::Compiled;
use crate::id::{ActivationId, Digest};
use crate::mapping::Answer;
use crate::step::{self, Activity, Effect, Input};
use crate::table::{NodeIx, NodeKind, Trigger};
use crate::timer;
use crate::token::Token;

impl Run<'_> {
    /// A task has taken its work and calls back.
    pub(super) fn wait_for_callback(&mut self, token: Token, awaited: Awaited) {
        let Some((table, node)) = self.at(&token) else { return self.lost(token) };
        let on = On::Callback { at: awaited.until, hash: awaited.hash };
        let mut subscriptions = vec![Subscription { event: node, called: false, on }];
        if !table.table().node(node).guarded {
            subscriptions.extend(self.timers_of_sidecar(&table, node, &token));
        }
        self.stay(token, Reason::Waiting, subscriptions);
        self.stirred = true;
    }

    /// The boundary timers that the sidecar has waited for until now. They count from when the token was sent there.
    fn timers_of_sidecar(&self, table: &Arc<Compiled>, node: NodeIx, token: &Token) -> Vec<Subscription> {
        let mut all = Vec::new();
        for boundary in &table.table().node(node).boundaries {
            let NodeKind::Boundary(event) = &table.table().node(*boundary).kind else { continue };
            for trigger in &event.catch.triggers {
                if let Trigger::Timer(timer) = trigger
                    && let Ok(due) = timer::due(timer, &token.payload, token.emitted)
                {
                    let on = On::Timer { at: due.at.max(self.now), again: None };
                    all.push(Subscription { event: *boundary, called: false, on });
                }
            }
        }
        all
    }

    /// The task of `activation` calls back. What comes first counts; a heartbeat lets the time begin anew.
    ///
    /// # Errors
    /// It is not taken, and nothing has changed.
    pub fn called_back(mut self, activation: ActivationId, hash: Digest, with: Callback) -> Result<(), Refused> {
        let waiting = activation.returned();
        let Some(stay) = self.instance.stay(waiting) else {
            return Err(match self.instance.knows(waiting) {
                true => Refused::Over,
                false => Refused::Unknown(self.instance.id().clone()),
            });
        };
        let own = |it: &Subscription| matches!(it.on, On::Callback { hash: own, .. } if own == hash);
        if !stay.subscriptions.iter().any(|it| matches!(it.on, On::Callback { .. })) {
            return Err(Refused::Over);
        }
        if !stay.subscriptions.iter().any(own) {
            return Err(Refused::Forged);
        }
        let Some((table, node)) = self.at(&stay.token) else {
            return Err(Refused::Unknown(self.instance.id().clone()));
        };
        let NodeKind::Task(task) = &table.table().node(node).kind else { return Err(Refused::Over) };
        let until = self.now.saturating_add(task.callback_timeout);
        let Some(mut stay) = self.instance.take(waiting) else { return Err(Refused::Over) };
        if with == Callback::Heartbeat {
            for subscription in stay.subscriptions.iter_mut().filter(|it| own(it)) {
                subscription.on = On::Callback { at: until, hash };
            }
            self.instance.put(stay);
            return Ok(());
        }
        self.instance.saw(waiting);
        self.answered(&table, node, stay, with);
        self.settle();
        Ok(())
    }

    /// As the sidecar would have gone on with this answer.
    fn answered(&mut self, table: &Arc<Compiled>, node: NodeIx, stay: Stay, with: Callback) {
        let Stay { token, since, .. } = stay;
        let (attempts, now) = (token.attempts, self.now);
        let effects = match with {
            Callback::Result(payload) => step::complete(table, node, &token, attempts, (&payload, None), now),
            Callback::Error(code, payload) => {
                let answer = Answer { status: 400, error_code: Some(code), payload, ..Answer::default() };
                self.stepped(table, node, &token, answer)
            }
            Callback::Failure(why) => {
                let payload = crate::payload::Payload::json(&serde_json::Value::String(why));
                let answer = Answer { status: 500, payload, ..Answer::default() };
                self.stepped(table, node, &token, answer)
            }
            Callback::Heartbeat => return,
        };
        for effect in effects {
            match effect {
                Effect::Decided(decision) => {
                    self.passed(table, node, &token, since, &decision.status);
                    for passed in &decision.passed {
                        let here = Token { activation: passed.activation, parent: token.activation, ..token.clone() };
                        self.passed(table, passed.node, &here, now, "completed");
                    }
                    self.pending.extend(decision.products);
                }
                Effect::Again(at) => self.stay(token.clone(), Reason::Again(at), Vec::new()),
                Effect::Call(_) | Effect::Arm(..) => {}
            }
        }
    }

    fn stepped(&self, table: &Arc<Compiled>, node: NodeIx, token: &Token, answer: Answer) -> Vec<Effect> {
        // the call itself has been counted
        let attempts = token.attempts.saturating_sub(1);
        let mut activity = Activity { attempts, ..Activity::new(token, self.now) };
        let random = token.activation.0 as u64;
        step::step(table, node, &mut activity, token, Input::Answered(answer), self.now, random)
    }
}
