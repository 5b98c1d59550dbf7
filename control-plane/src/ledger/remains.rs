//! What remains of an instance that ended as ERROR, and how it is run again from there.
//!
//! The token whose failure ended it is kept as an incident; every other token, timer and open activity stays as and where it was. Tokens that
//! sidecars had come back with what they carry, and are kept beside. An operator may run the instance again: it is open as before, the failed
//! elements start as new generations, and the other branches go on from where they were stopped, with the idempotency keys of the calls that
//! were cut off. So it can complete, however often it fails again.

use prost::Message as _;
use proto::convert::Malformed;
use proto::v1;
use routing::instance::{Instance, Reason, Stay};
use routing::{ActivationId, Failure, InstanceId, Payload, Product};

use super::arrive::Known;
use super::close::Tombstone;
use super::instance::{InstanceView, Open, State, Timed};
use super::operate::Operator;
use super::stored::{encode_instance, encode_stay, key, read_stay, store_stay};
use super::{Answer, Ledger, Output, Request, Timestamp};

/// An instance that is to be run again, as it was found in the store.
#[derive(Clone, Debug)]
pub struct Reopening {
    /// Its record.
    pub view: InstanceView,
    /// Every entry under [`key::remains`] of it.
    pub remains: Vec<(Vec<u8>, Vec<u8>)>,
    /// Who wants it, and why.
    pub by: Operator,
    /// What its failed elements are to go on with instead.
    pub payload: Option<Payload>,
    /// Whether tasks see the idempotency keys of the failed calls.
    pub same_key: bool,
}

impl Ledger {
    /// An instance that ended as ERROR is open again.
    pub(super) fn reopen(&mut self, now: Timestamp, request: Request, reopening: Reopening, out: &mut Vec<Output>) {
        let answer = self.try_reopen(now, reopening, out).unwrap_or_else(|refused| refused);
        out.push(Output::Answer(request, answer));
    }

    fn try_reopen(&mut self, now: Timestamp, reopening: Reopening, out: &mut Vec<Output>) -> Result<Answer, Answer> {
        let Reopening { view, remains, by, payload, same_key } = reopening;
        let id = view.id.clone();
        if self.instances.contains_key(&id) {
            return Err(Answer::WrongState(format!("{id} is open already")));
        }
        if view.state != State::Error {
            return Err(Answer::WrongState(format!("{id} has ended already: it is {}", view.state)));
        }
        if !self.tables.contains_key(&view.definition) {
            let deployment = &view.deployment;
            let what =
                format!("the deployment {deployment} of {id} is deleted; apply the same file again, and try again");
            return Err(Answer::WrongState(what));
        }
        let Some(kept) = Kept::read(&view, &remains)
            .map_err(|error| Answer::WrongState(format!("what remains of {id} cannot be read: {error}")))?
        else {
            return Err(Answer::WrongState(format!("nothing remains of {id}: it ended before flowd kept that")));
        };
        let inner = self.as_closed(&id, &kept);
        if !self.has_all(&inner, &view, &kept) {
            return Err(Answer::Busy);
        }
        self.open_again(&view, &kept, inner, &remains, out);
        for product in kept.came_back {
            self.run(now, &id, out, |run| run.report(product));
        }
        if let Some(open) = self.instances.get_mut(&id) {
            open.inner.reopen();
        }
        let answer = self.start_again(now, &id, by, payload.as_ref(), same_key, out);
        self.run(now, &id, out, |run| run.go_on());
        self.index_all_times(&id);
        self.changed(&id, out);
        Ok(answer)
    }

    /// Its tokens as they were when it was closed.
    fn as_closed(&self, id: &InstanceId, kept: &Kept) -> Instance {
        let known = Known { tables: &self.tables, processes: &self.processes };
        Instance::load(id.clone(), kept.stays.clone(), kept.seen.iter().copied(), &known)
    }

    /// What came back is in the store a moment later than here: whether the store was read late enough. Once all of it has come back there is
    /// no tombstone any more, and what was read must be whole.
    fn has_all(&self, closed: &Instance, view: &InstanceView, kept: &Kept) -> bool {
        if let Some(tombstone) = self.tombstones.get(&view.id) {
            let read = |it: &ActivationId| kept.came_back.iter().any(|product| product.token.activation == *it);
            return tombstone.back.iter().all(read);
        }
        let mut tombstone = Tombstone::of(closed, view.definition, true);
        for product in &kept.came_back {
            tombstone.takes(&product.token);
        }
        tombstone.is_over()
    }

    /// The instance is as it was before it was closed, and nothing of it moves yet.
    fn open_again(
        &mut self,
        closed: &InstanceView,
        kept: &Kept,
        inner: Instance,
        remains: &[(Vec<u8>, Vec<u8>)],
        out: &mut Vec<Output>,
    ) {
        let id = closed.id.clone();
        self.remove(key::closed(&id));
        closed.ended.iter().for_each(|at| self.remove(key::by_end(*at, &id)));
        remains.iter().for_each(|(key, _)| self.remove(key.clone()));
        if self.tombstones.remove(&id).is_some() {
            self.remove(key::tombstone(&id));
        }
        let view = InstanceView {
            state: State::Running,
            ended: None,
            result: None,
            failure: None,
            reason: String::new(),
            timed: Timed::default(),
            ..closed.clone()
        };
        if let Some(key) = &view.idempotency_key {
            self.keys.insert(key.clone(), id.clone());
        }
        if let Some(key) = &view.correlation_key {
            // another may have been started with the key meanwhile: that one stays the one
            self.exchange.singletons.entry((view.process.clone(), key.clone())).or_insert_with(|| id.clone());
        }
        self.put(key::open(&id), encode_instance(&view));
        for stay in &kept.stays {
            self.put(key::token(&id, stay.token.activation), encode_stay(stay));
        }
        for activation in &kept.seen {
            self.put(key::seen(&id, *activation), Vec::new());
        }
        let mut open = Open::new(view);
        open.inner = inner;
        open.inner.fail();
        open.stored = kept.stays.iter().map(|stay| stay.token.activation).collect();
        open.stored_seen.clone_from(&kept.seen);
        self.instances.insert(id.clone(), open);
        kept.stays.iter().for_each(|stay| self.index(&id, stay));
        out.push(Output::Reopened(id));
    }
}

/// The remains, read.
#[derive(Debug, Default)]
struct Kept {
    stays: Vec<Stay>,
    seen: Vec<ActivationId>,
    came_back: Vec<Product>,
}

impl Kept {
    fn read(view: &InstanceView, remains: &[(Vec<u8>, Vec<u8>)]) -> Result<Option<Self>, Malformed> {
        let bad = |_| Malformed { field: "remains", why: "not protobuf" };
        let base = key::remains(&view.id);
        let Some((_, bytes)) = remains.iter().find(|(key, _)| *key == base) else { return Ok(None) };
        let v1::StoredRemains { tokens, failed, seen } = v1::StoredRemains::decode(&bytes[..]).map_err(bad)?;
        let mut kept = Self::default();
        for token in tokens {
            kept.stays.push(read_stay(token)?);
        }
        if let (Some(failed), Some((failure, input))) = (failed, &view.failure) {
            kept.stays.push(filled(read_stay(failed)?, failure, input));
        }
        for id in seen {
            kept.seen.push(proto::convert::activation(&id)?);
        }
        for (_, bytes) in remains.iter().filter(|(key, _)| *key != base) {
            kept.came_back.push(v1::Product::decode(&bytes[..]).map_err(bad)?.try_into()?);
        }
        Ok(Some(kept))
    }
}

/// The stored form of what an instance has when the failure of a token ends it.
pub(super) fn encode(inner: &Instance, failed: ActivationId) -> Vec<u8> {
    let (mut tokens, mut seen) = (Vec::new(), Vec::new());
    let mut last = None;
    for stay in inner.stays() {
        if stay.token.activation == failed {
            last = Some(store_stay(&emptied(stay)));
        } else {
            tokens.push(store_stay(stay));
        }
    }
    seen.extend(inner.seen().map(proto::convert::id_bytes));
    seen.sort_unstable();
    v1::StoredRemains { tokens, failed: last, seen }.encode_to_vec()
}

/// Payload and failure are in the instance's record already.
fn emptied(stay: &Stay) -> Stay {
    let token = routing::Token { payload: Payload::default(), ..stay.token.clone() };
    Stay { token, reason: Reason::Held, ..stay.clone() }
}

fn filled(stay: Stay, failure: &Failure, input: &Payload) -> Stay {
    let token = routing::Token { payload: input.clone(), ..stay.token };
    Stay { token, reason: Reason::Incident(Box::new(failure.clone())), ..stay }
}

/// The entries of the store that belong to an instance's remains have keys that are this, or begin with it and a slash.
pub fn is_of(entry: &[u8], instance: &InstanceId) -> bool {
    let base = key::remains(instance);
    entry.strip_prefix(&base[..]).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}
