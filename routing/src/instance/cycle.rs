//! Cycles at catch events, as in the original's dialect: each firing has a token of its own, the last one takes what is left.

use std::sync::Arc;

use super::{On, Run, Subscription};
use crate::compiled::Compiled;
use crate::id::ActivationId;
use crate::payload::Payload;
use crate::table::NodeIx;
use crate::token::Token;
use crate::weight::Weight;

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
        let Ok(Some(next)) = cycle.next(*at) else { return false };
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
}
