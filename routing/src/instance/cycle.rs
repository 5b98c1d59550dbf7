//! Cycles at catch events, as in the original's dialect: each firing has a token of its own, the last one takes what is left. And what
//! becomes of timers that came due while the ledger was away.

use std::sync::Arc;

use super::{On, Run, Subscription};
use crate::compiled::Compiled;
use crate::failure::{Failure, FailureCode};
use crate::id::ActivationId;
use crate::payload::Payload;
use crate::table::{NodeIx, Recovery};
use crate::timer::Cycle;
use crate::token::{Timestamp, Token};
use crate::weight::Weight;

/// Cycles that a token says it is of, at most: it carries them from task to task.
const MAX_POOLS: usize = 32;
/// Firings of one catch event at most.
const MAX_FIRINGS: u32 = 1024;

/// That a catch event which forks a token at each firing does so a bounded number of times.
///
/// # Errors
/// It does not, and what to do.
pub(super) fn bounded(subscriptions: &[Subscription]) -> Result<(), String> {
    for subscription in subscriptions {
        if let On::Timer { again: Some(cycle), .. } = &subscription.on
            && cycle.left.is_none_or(|left| left >= MAX_FIRINGS)
        {
            return Err(format!(
                "set the timer: a catch event fires up to {MAX_FIRINGS} times; give it a count, such as R3/PT10S"
            ));
        }
    }
    Ok(())
}

impl Run<'_> {
    /// A catch event has fired and will again: a token with a part of the weight leaves. False when it was the last time.
    pub(super) fn caught_again(
        &mut self,
        activation: ActivationId,
        what: &Subscription,
        table: &Arc<Compiled>,
        payload: Option<&Payload>,
    ) -> bool {
        let On::Timer { at, again: Some(cycle) } = &what.on else { return false };
        let Ok(Some(next)) = cycle.next(*at) else {
            self.last_of_cycle(activation);
            return false;
        };
        let Some(mut stay) = self.instance.take(activation) else { return false };
        let mut shares = stay.token.weight.split(2).into_iter();
        let nth = self.instance.next_order() as u32;
        let forked = ActivationId::product(&stay.token.instance, activation, stay.token.element.as_str(), nth);
        let token = Token {
            activation: forked,
            key: forked,
            parent: activation,
            weight: shares.next().unwrap_or_else(Weight::zero),
            // the branches part here: what each writes from now on is its own
            written: stay.token.written.forked(),
            pools: let_go(&stay.token, activation),
            emitted: self.now,
            ..stay.token.clone()
        };
        stay.token.weight = shares.next().unwrap_or_else(Weight::zero);
        stay.token.written = stay.token.written.forked();
        for subscription in stay.subscriptions.iter_mut().filter(|it| *it == what) {
            subscription.on = On::Timer { at: next.at, again: next.again.clone() };
        }
        let (node, since): (NodeIx, _) = (what.event, stay.since);
        self.instance.put(stay);
        self.fired_since(table, node, token, payload, since);
        true
    }

    /// The token itself goes with the last firing, and is of the cycle like the others.
    fn last_of_cycle(&mut self, activation: ActivationId) {
        let Some(mut stay) = self.instance.take(activation) else { return };
        stay.token.pools = let_go(&stay.token, activation);
        self.instance.put(stay);
    }

    /// A timer came due while the ledger was away, and its event is not to fire for that.
    pub fn missed(mut self, activation: ActivationId, what: &Subscription, recovery: Recovery) {
        let waits = self.instance.stay(activation).is_some_and(|stay| stay.subscriptions.contains(what));
        let On::Timer { at, again } = &what.on else { return };
        if !waits {
            return;
        }
        match recovery {
            Recovery::Fire => drop(self.fire_one(activation, what, None)),
            Recovery::Forget => self.forget(activation, what, *at, again.as_ref()),
            Recovery::Fail => self.too_late(activation, *at),
        }
        self.settle();
    }

    /// The firings that were missed do not happen. Where no other one comes the token ends here.
    fn forget(&mut self, activation: ActivationId, what: &Subscription, at: Timestamp, again: Option<&Cycle>) {
        let Some(mut stay) = self.instance.take(activation) else { return };
        if let Some(next) = again.and_then(|cycle| cycle.next_after(at, self.now)) {
            for subscription in stay.subscriptions.iter_mut().filter(|it| *it == what) {
                subscription.on = On::Timer { at: next.at, again: next.again.clone() };
            }
            return self.instance.put(stay);
        }
        stay.subscriptions.retain(|it| it != what);
        if !stay.subscriptions.is_empty() {
            return self.instance.put(stay);
        }
        self.instance.saw(activation);
        if let Some((table, node)) = self.at(&stay.token) {
            self.passed(&table, node, &stay.token, stay.since, "forgotten");
        }
        // its weight is back, and it brings nothing
        let token = Token { written: stay.token.written.forked(), ..stay.token };
        self.end_token(token);
    }

    /// The token waits for an operator, who has it wait at the event anew; or the instance ends.
    fn too_late(&mut self, activation: ActivationId, at: Timestamp) {
        let Some(stay) = self.instance.take(activation) else { return };
        self.instance.saw(activation);
        let due = crate::timer::written(at);
        let why = format!("the timer was due at {due}, while flowd was away (timer_recovery_policy: fail)");
        self.incident(stay.token.clone(), Failure::new(FailureCode::CanceledInstance, &stay.token.element, why));
    }
}

/// The cycles that have let it go, with this one. Of a process that goes round through a cycle only the last ones are kept.
fn let_go(token: &Token, by: ActivationId) -> Vec<ActivationId> {
    let before = token.pools.len().saturating_sub(MAX_POOLS - 1);
    token.pools.iter().skip(before).copied().chain([by]).collect()
}
