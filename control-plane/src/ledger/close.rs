//! Ends of instances: by weight, or early.

use routing::payload::merge;
use routing::{Failure, Payload, Token, Weight};

use super::instance::State;
use super::stored::{Reason, encode_instance, key};
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
}

impl Ledger {
    /// A token has ended; the instance is complete when all its weight has.
    pub(super) fn end(&mut self, now: Timestamp, token: Token, out: &mut Vec<Output>) {
        let instance = token.instance.clone();
        let end_event = self.safe_name(&token);
        let Some(open) = self.instances.get_mut(&instance) else { return };
        open.ended = open.ended.plus(&token.weight);
        let (whole, exceeds) = (open.ended.is_one(), open.ended.exceeds_one());
        open.base.end_event = end_event;
        if exceeds {
            self.alarm(&token, "brings more weight than the instance has", out);
        }
        if whole && self.instances.get(&instance).is_some_and(|o| o.stays.is_empty()) {
            let ending = Ending { result: Some(token.payload), ..self.ending(&instance, State::Completed) };
            return self.close(now, &instance, ending, out);
        }
        self.stay(now, token, Reason::Ended);
        if whole {
            let result = self.merged(&instance);
            let ending = Ending { result: Some(result), ..self.ending(&instance, State::Completed) };
            self.close(now, &instance, ending, out);
        } else {
            self.settle_state(now, &instance, out);
        }
    }

    /// Terminate end event: the instance is over, whatever else is on its way.
    pub(super) fn terminate(&mut self, now: Timestamp, token: Token, end_event: &str, out: &mut Vec<Output>) {
        let instance = token.instance.clone();
        let Some(open) = self.instances.get_mut(&instance) else { return };
        open.ended = open.ended.plus(&token.weight);
        open.base.end_event = end_event.to_owned();
        self.stay(now, token, Reason::Ended);
        let result = self.merged(&instance);
        let ending = Ending { result: Some(result), ..self.ending(&instance, State::Completed) };
        self.close(now, &instance, ending, out);
    }

    /// A failure that the model does not want to recover from.
    pub(super) fn fail(&mut self, now: Timestamp, token: Token, failure: Failure, out: &mut Vec<Output>) {
        let instance = token.instance.clone();
        let ending = Ending { failure: Some((failure, token.payload)), ..self.ending(&instance, State::Error) };
        self.close(now, &instance, ending, out);
    }

    pub(super) fn cancelled(&mut self, now: Timestamp, instance: &InstanceId, reason: String, out: &mut Vec<Output>) {
        let ending = Ending { reason, ..self.ending(instance, State::Cancelled) };
        self.close(now, instance, ending, out);
    }

    fn ending(&self, instance: &InstanceId, state: State) -> Ending {
        let end_event = self.instances.get(instance).map(|o| o.base.end_event.clone()).unwrap_or_default();
        Ending { state, result: None, end_event, failure: None, reason: String::new() }
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
        for activation in open.stays.keys() {
            self.remove(key::token(instance, *activation));
        }
        for activation in &open.seen {
            self.remove(key::seen(instance, *activation));
        }
        let at_rest = open.stays.values().fold(Weight::zero(), |sum, s| sum.plus(&s.token.weight));
        if ending.state != State::Completed || !open.ended.is_one() {
            self.bury(instance, view.definition, at_rest, out);
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

    /// The results of several ends, by the end events' document order (design §4).
    fn merged(&self, instance: &InstanceId) -> Payload {
        let Some(open) = self.instances.get(instance) else { return Payload::default() };
        let table = self.tables.get(&open.definition);
        let mut ends: Vec<&Token> =
            open.stays.values().filter(|s| s.reason == Reason::Ended).map(|s| &s.token).collect();
        ends.sort_by_key(|t| (table.and_then(|table| table.find(t.element.as_str())), t.activation));
        let branches: Vec<_> = ends.iter().map(|t| (&t.payload, &t.written)).collect();
        if branches.is_empty() { Payload::default() } else { merge(&branches).0 }
    }

    fn safe_name(&self, token: &Token) -> String {
        let table = self.tables.get(&token.definition);
        let node = table.and_then(|t| t.find(token.element.as_str()).map(|n| t.table().node(n)));
        node.map_or_else(|| token.element.as_str().to_owned(), |n| n.safe_name.clone())
    }
}
