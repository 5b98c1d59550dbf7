//! From store to state. Every open instance, product, timer and tombstone is in memory afterwards.

use hop::Assignment;
use prost::Message as _;
use proto::convert::{self, Malformed};
use proto::v1;
use routing::join::Join;
use routing::{ActivationId, Incarnation, InstanceId, Weight};

use super::close::Tombstone;
use super::instance::Open;
use super::leave::Left;
use super::stored::{Reason, Stay, decode_instance, key};
use super::{Arc, Compiled, Digest, HashMap, Ledger, Output, Timestamp};

/// The prefixes that [`Ledger::load`] must be given, in this order.
const LOADED: [&[u8]; 7] = [key::OPEN, key::TOKEN, key::SEEN, key::OUTBOX, key::IDEMPOTENCY, key::LEFT, key::TOMBSTONE];

impl Ledger {
    /// The prefixes of the store that hold open state; of idempotency keys those of open instances are enough.
    pub fn prefixes() -> &'static [&'static [u8]] {
        &LOADED
    }

    /// The state that these keys and values describe: everything under [`Ledger::prefixes`], prefix by prefix.
    pub fn load(
        boot: u64,
        tables: HashMap<Digest, Arc<Compiled>>,
        entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<Self, Malformed> {
        let mut ledger = Self::new(boot);
        ledger.tables = tables;
        let mut stays: Vec<Stay> = Vec::new();
        for (key, value) in entries {
            match key.get(..2) {
                Some(key::OPEN) => ledger.load_instance(&value)?,
                Some(key::TOKEN) => stays.push(Stay::decode(&value)?),
                Some(key::SEEN) => ledger.load_seen(&key)?,
                Some(key::OUTBOX) => ledger.load_product(&value)?,
                Some(key::LEFT) => {
                    let replica = text(&key[2..])?.parse().map_err(|_| bad("left replica"))?;
                    ledger.left.insert(replica, Left::decode(&value)?);
                }
                Some(key::TOMBSTONE) => {
                    let definition = convert::digest(&value)?;
                    let tombstone = Tombstone { definition, back: Weight::zero() };
                    ledger.tombstones.insert(InstanceId::from(text(&key[2..])?), tombstone);
                }
                _ => {}
            }
        }
        stays.sort_by_key(|s| s.order);
        stays.into_iter().for_each(|s| ledger.load_stay(s));
        ledger.forget_finished_leavers();
        Ok(ledger)
    }

    /// Lets unanswered products leave again.
    pub fn begin(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let products: Vec<ActivationId> = self.outbox.entries().map(|a| a.product.token.activation).collect();
        products.into_iter().for_each(|p| self.outbox.release(p));
        let mut instances: Vec<InstanceId> = self.instances.keys().cloned().collect();
        instances.sort_unstable();
        instances.iter().for_each(|i| self.settle_state(now, i, out));
        self.handle(now, super::Input::Tick, out);
    }

    fn load_instance(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let view = decode_instance(value)?;
        if let Some(key) = &view.idempotency_key {
            self.keys.insert(key.clone(), view.id.clone());
        }
        self.instances.insert(view.id.clone(), Open::new(view));
        Ok(())
    }

    fn load_seen(&mut self, key: &[u8]) -> Result<(), Malformed> {
        let key = text(&key[2..])?;
        let (instance, activation) = key.rsplit_once('/').ok_or(bad("no activation in the key"))?;
        let activation = activation.parse().map_err(|_| bad("no activation in the key"))?;
        if let Some(open) = self.instances.get_mut(instance) {
            open.seen.insert(activation);
        }
        Ok(())
    }

    fn load_product(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let entry = v1::OutboxEntry::decode(value).map_err(|_| bad("not protobuf"))?;
        let product = entry.product.ok_or(bad("no product"))?.try_into()?;
        let replica = Incarnation::from_bytes(&entry.replica);
        self.outbox.recover(Assignment { product, replica, seq: entry.seq });
        Ok(())
    }

    fn load_stay(&mut self, stay: Stay) {
        let Some(open) = self.instances.get_mut(&stay.token.instance) else { return };
        open.order = open.order.max(stay.order);
        match &stay.reason {
            Reason::Ended => {
                open.ended = open.ended.plus(&stay.token.weight);
            }
            Reason::Joining => {
                let table = self.tables.get(&stay.token.definition);
                let incoming = table.and_then(|t| {
                    let node = t.find(stay.token.element.as_str())?;
                    Some(
                        t.table().node(node).incoming.iter().map(|f| t.table().flow(*f).id.clone()).collect::<Vec<_>>(),
                    )
                });
                let join = open.joins.entry((stay.token.scope, stay.token.element.clone()));
                join.or_insert_with(|| Join::new(incoming.unwrap_or_default())).arrive(stay.token.clone());
            }
            Reason::Timer(at) | Reason::Again(at) => {
                self.timers.insert((*at, stay.token.activation, stay.token.instance.clone()));
            }
            Reason::Incident(_) | Reason::Held => {}
        }
        open.stays.insert(stay.token.activation, stay);
    }

    fn forget_finished_leavers(&mut self) {
        for (replica, left) in &mut self.left {
            left.unfinished.retain(|a| self.outbox.token(*a).is_some());
            left.unfinished.iter().for_each(|a| self.outbox.recover_adoption(*a, *replica));
        }
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| bad("a key that is not text"))
}

fn bad(why: &'static str) -> Malformed {
    Malformed { field: "store", why }
}
