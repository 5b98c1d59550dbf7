//! Ends of instances: by weight, or early.

use routing::{ActivationId, Failure, Payload, Token, Weight};

use super::instance::State;
use super::stored::{encode_instance, key};
use super::{Digest, InstanceId, Ledger, MAX_KEYS, Output, Timestamp};

/// An instance closed early: what has come back of it since.
#[derive(Debug)]
pub(super) struct Tombstone {
    pub(super) definition: Digest,
    pub(super) back: Weight,
}

/// How an instance ends.
struct Ending {
    state: State,
    result: Option<Payload>,
    end_event: String,
    failure: Option<(Failure, Payload)>,
    reason: String,
    /// Of the root scope's token that failed, which is no record.
    failed: Weight,
}

impl Ledger {
    /// Every token has ended.
    pub(super) fn completed(
        &mut self,
        now: Timestamp,
        instance: &InstanceId,
        result: Payload,
        end_event: String,
        out: &mut Vec<Output>,
    ) {
        let ending = Ending { result: Some(result), end_event, ..self.ending(instance, State::Completed) };
        self.close(now, instance, ending, out);
    }

    /// A failure that the model does not want to recover from.
    pub(super) fn fail(&mut self, now: Timestamp, token: Token, failure: Failure, out: &mut Vec<Output>) {
        let instance = token.instance.clone();
        let recorded = self.instances.get(&instance).is_some_and(|it| it.inner.stay(token.activation).is_some());
        let counts = token.scope == ActivationId::root(&instance) && !recorded;
        let failed = if counts { token.weight } else { Weight::zero() };
        let ending = Ending { failure: Some((failure, token.payload)), failed, ..self.ending(&instance, State::Error) };
        self.close(now, &instance, ending, out);
    }

    pub(super) fn cancelled(&mut self, now: Timestamp, instance: &InstanceId, reason: String, out: &mut Vec<Output>) {
        let ending = Ending { reason, ..self.ending(instance, State::Cancelled) };
        self.close(now, instance, ending, out);
    }

    fn ending(&self, instance: &InstanceId, state: State) -> Ending {
        let end_event = self.instances.get(instance).map(|o| o.inner.end_event().to_owned()).unwrap_or_default();
        Ending { state, result: None, end_event, failure: None, reason: String::new(), failed: Weight::zero() }
    }

    /// One record, first wins: from here on the instance is only in the store.
    fn close(&mut self, now: Timestamp, instance: &InstanceId, ending: Ending, out: &mut Vec<Output>) {
        let Some(open) = self.instances.remove(instance) else { return };
        let mut view = open.base;
        (view.state, view.ended, view.result) = (ending.state, Some(now), ending.result);
        (view.end_event, view.failure, view.reason) = (ending.end_event, ending.failure, ending.reason);
        view.missing = Weight::zero();
        self.put(key::closed(instance), encode_instance(&view));
        self.put(key::by_end(now, instance), Vec::new());
        self.remove(key::open(instance));
        for activation in &open.stored {
            self.remove(key::token(instance, *activation));
        }
        for activation in &open.stored_seen {
            self.remove(key::seen(instance, *activation));
        }
        let subscribed: Vec<_> = (open.inner.stays())
            .filter(|s| !s.subscriptions.is_empty())
            .map(|s| (s.token.activation, s.subscriptions.clone()))
            .collect();
        for (activation, subscriptions) in subscribed {
            self.unindex(instance, activation, &subscriptions);
        }
        let root = ActivationId::root(instance);
        let own = open.inner.stays().filter(|s| s.token.scope == root);
        let at_rest = own.fold(ending.failed, |sum, s| sum.plus(&s.token.weight));
        if ending.state != State::Completed {
            self.bury(instance, view.definition, at_rest, out);
        }
        if let Some(k) = &view.correlation_key {
            let singleton = (view.process.clone(), k.clone());
            self.exchange.singletons.remove(&singleton);
            self.exchange.freed.push(singleton);
        }
        if let Some(k) = &view.idempotency_key {
            self.closed_keys.push_back(k.clone());
            if self.closed_keys.len() > MAX_KEYS
                && let Some(oldest) = self.closed_keys.pop_front()
            {
                self.keys.remove(&oldest);
            }
        }
        out.push(Output::Changed(Box::new(view)));
    }

    /// Tokens of a closed instance may be on their way: sidecars are told until all its weight is back.
    fn bury(&mut self, instance: &InstanceId, definition: Digest, back: Weight, out: &mut Vec<Output>) {
        if back.is_one() {
            return;
        }
        self.put(key::tombstone(instance), definition.0.to_vec());
        self.tombstones.insert(instance.clone(), Tombstone { definition, back });
        out.push(Output::Tombstone(instance.clone(), definition));
    }

    /// A token of an instance that is closed, or expired: its weight is back, nothing else of it counts.
    pub(super) fn came_back_late(&mut self, token: &Token) {
        let Some(tombstone) = self.tombstones.get_mut(&token.instance) else { return };
        tombstone.back = tombstone.back.plus(&token.weight);
        if tombstone.back.is_one() {
            self.tombstones.remove(&token.instance);
            self.remove(key::tombstone(&token.instance));
        }
    }
}
