//! Ends of instances: by weight, or early.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use prost::Message as _;
use proto::convert::{self, Malformed};
use proto::v1;
use routing::instance::{Instance, Reason, Timed};
use routing::{ActivationId, Failure, Payload, Product, ScopeId, Token, Weight};

use super::instance::State;
use super::stored::{encode_instance, key};
use super::{Arc, Digest, InstanceId, Ledger, MAX_KEYS, Measure, Output, Timestamp, remains};

/// An instance closed early: what has come back of it since.
#[derive(Debug)]
pub(super) struct Tombstone {
    pub(super) definition: Digest,
    /// It ended as ERROR and can be run again: what comes back is kept.
    pub(super) kept: bool,
    /// Open scopes of which something is missing, and the weight of each that is here; unknown after a restart.
    missing: Option<BTreeMap<ScopeId, Weight>>,
    /// What was here when it was closed, and may be reported again.
    known: HashSet<ActivationId>,
    /// What has come back since.
    pub(super) back: BTreeSet<ActivationId>,
}

impl Tombstone {
    /// Of an instance as it is when it is closed.
    pub(super) fn of(instance: &Instance, definition: Digest, kept: bool) -> Self {
        let known = instance.stays().map(|it| it.token.activation).chain(instance.seen()).collect();
        Self { definition, kept, missing: Some(instance.missing()), known, back: BTreeSet::new() }
    }

    fn encode(&self) -> Vec<u8> {
        [&self.definition.0[..], &[u8::from(self.kept)]].concat()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        // without the last byte: of a build that kept nothing
        let (definition, kept) = bytes.split_at_checked(32).unwrap_or((bytes, &[]));
        let definition = convert::digest(definition)?;
        Ok(Self { definition, kept: kept == [1], missing: None, known: HashSet::new(), back: BTreeSet::new() })
    }

    /// A token of it comes back. True the first time.
    pub(super) fn takes(&mut self, token: &Token) -> bool {
        if self.known.contains(&token.activation) || !self.back.insert(token.activation) {
            return false;
        }
        if let Some(missing) = &mut self.missing {
            if let Some(here) = missing.get_mut(&token.scope) {
                *here = here.plus(&token.weight);
            }
            missing.retain(|_, here| !here.is_one());
        }
        true
    }

    /// Nothing of it is on its way any more.
    pub(super) fn is_over(&self) -> bool {
        self.missing.as_ref().is_some_and(BTreeMap::is_empty)
    }
}

/// How an instance ends.
struct Ending {
    state: State,
    result: Option<Payload>,
    end_event: String,
    failure: Option<(Failure, Payload)>,
    reason: String,
    timed: Vec<Timed>,
}

impl Ledger {
    /// Every token has ended.
    pub(super) fn completed(
        &mut self,
        now: Timestamp,
        instance: &InstanceId,
        (result, end_event, timed): (Payload, String, Vec<Timed>),
        out: &mut Vec<Output>,
    ) {
        let ending = Ending { result: Some(result), end_event, timed, ..self.ending(instance, State::Completed) };
        self.close(now, instance, ending, out);
    }

    /// A failure that the model does not want to recover from: of the token that stays as this incident.
    pub(super) fn fail(
        &mut self,
        now: Timestamp,
        instance: &InstanceId,
        activation: ActivationId,
        out: &mut Vec<Output>,
    ) {
        let Some(open) = self.instances.get(instance) else { return };
        let stay = open.inner.stay(activation);
        let failure = stay.and_then(|stay| match &stay.reason {
            Reason::Incident(failure) => Some(((**failure).clone(), stay.token.payload.clone())),
            _ => None,
        });
        let kept = remains::encode(&open.inner, activation);
        self.put(key::remains(instance), kept);
        let ending = Ending { failure, ..self.ending(instance, State::Error) };
        self.close(now, instance, ending, out);
    }

    pub(super) fn cancelled(&mut self, now: Timestamp, instance: &InstanceId, reason: String, out: &mut Vec<Output>) {
        let ending = Ending { reason, ..self.ending(instance, State::Cancelled) };
        self.close(now, instance, ending, out);
    }

    fn ending(&self, instance: &InstanceId, state: State) -> Ending {
        let inner = self.instances.get(instance).map(|it| &it.inner);
        let end_event = inner.map(|it| it.end_event().to_owned()).unwrap_or_default();
        let timed = inner.map(Instance::timed).unwrap_or_default();
        Ending { state, result: None, end_event, failure: None, reason: String::new(), timed }
    }

    /// One record, first wins: from here on the instance is only in the store.
    fn close(&mut self, now: Timestamp, instance: &InstanceId, ending: Ending, out: &mut Vec<Output>) {
        let Some(open) = self.instances.remove(instance) else { return };
        if open.halted > 0 {
            out.push(Output::Measured(Measure::Incidents(instance.clone(), open.halted, 0)));
        }
        let mut view = open.base;
        (view.state, view.ended, view.result) = (ending.state, Some(now), ending.result);
        (view.end_event, view.failure, view.reason) = (ending.end_event, ending.failure, ending.reason);
        view.timed = super::instance::Timed::of(ending.timed, self.tables.get(&view.definition).map(Arc::as_ref));
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
        if ending.state != State::Completed {
            let tombstone = Tombstone::of(&open.inner, view.definition, ending.state == State::Error);
            if !tombstone.is_over() {
                self.bury(instance, tombstone, out);
            }
        }
        if let Some(k) = &view.correlation_key {
            let singleton = (view.process.clone(), k.clone());
            if self.exchange.singletons.get(&singleton) == Some(instance) {
                self.exchange.singletons.remove(&singleton);
                self.exchange.freed.push(singleton);
            }
        }
        if let Some(k) = &view.idempotency_key {
            self.closed_keys.push_back(k.clone());
            if self.closed_keys.len() > MAX_KEYS
                && let Some(oldest) = self.closed_keys.pop_front()
            {
                self.keys.remove(&oldest);
            }
        }
        self.announce_end(now, &view, out);
        out.push(Output::Changed(Box::new(view)));
    }

    /// Tokens of a closed instance may be on their way: sidecars are told until all its weight is back.
    fn bury(&mut self, instance: &InstanceId, tombstone: Tombstone, out: &mut Vec<Output>) {
        self.put(key::tombstone(instance), tombstone.encode());
        out.push(Output::Tombstone(instance.clone(), tombstone.kept));
        self.tombstones.insert(instance.clone(), tombstone);
    }

    /// The instance is forgotten: it will not be run again.
    pub(super) fn keep_no_more(&mut self, instance: &InstanceId) {
        let Some(tombstone) = self.tombstones.get_mut(instance).filter(|it| it.kept) else { return };
        tombstone.kept = false;
        let bytes = tombstone.encode();
        self.put(key::tombstone(instance), bytes);
    }

    /// A token of an instance that is closed, or expired: its weight is back, and nothing else of it counts unless the instance can be run
    /// again.
    pub(super) fn came_back_late(&mut self, product: Product) {
        let (instance, activation) = (product.token.instance.clone(), product.token.activation);
        let Some(tombstone) = self.tombstones.get_mut(&instance) else { return };
        let first = tombstone.takes(&product.token);
        let (kept, over) = (tombstone.kept, tombstone.is_over());
        if first && kept {
            self.put(key::came_back(&instance, activation), v1::Product::from(product).encode_to_vec());
        }
        if over {
            self.tombstones.remove(&instance);
            self.remove(key::tombstone(&instance));
        }
    }
}
