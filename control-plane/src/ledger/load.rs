//! From store to state. Every open instance, product, timer and tombstone is in memory afterwards.

use hop::Assignment;
use prost::Message as _;
use proto::convert::Malformed;
use proto::v1;
use routing::instance::{Instance, Stay};
use routing::{ActivationId, Incarnation, InstanceId};

use super::arrive::Known;
use super::close::Tombstone;
use super::instance::Open;
use super::leave::Left;
use super::stored::{decode_instance, decode_stay, key};
use super::{Arc, Compiled, Digest, HashMap, Ledger, Output, Timestamp};

/// The prefixes that [`Ledger::load`] must be given, in this order.
const LOADED: [&[u8]; 14] = [
    key::OPEN,
    key::TOKEN,
    key::SEEN,
    key::OUTBOX,
    key::IDEMPOTENCY,
    key::LEFT,
    key::TOMBSTONE,
    key::MESSAGE,
    key::MESSAGE_ID,
    key::START,
    key::TOPIC,
    key::THROWN,
    key::POSITION,
    key::NOTICE,
];

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
        ledger.look_who_tells_hops();
        let mut stays: HashMap<InstanceId, Vec<Stay>> = HashMap::new();
        let mut seen: HashMap<InstanceId, Vec<ActivationId>> = HashMap::new();
        for (key, value) in entries {
            match key.get(..2) {
                Some(key::OPEN) => ledger.load_instance(&value)?,
                Some(key::TOKEN) => {
                    let stay = decode_stay(&value)?;
                    stays.entry(stay.token.instance.clone()).or_default().push(stay);
                }
                Some(key::SEEN) => {
                    let (instance, activation) = seen_key(&key)?;
                    seen.entry(instance).or_default().push(activation);
                }
                Some(key::OUTBOX) => ledger.load_product(&value)?,
                Some(key::LEFT) => {
                    let replica = text(&key[2..])?.parse().map_err(|_| bad("left replica"))?;
                    ledger.left.insert(replica, Left::decode(&value)?);
                }
                Some(key::TOMBSTONE) => {
                    let instance = InstanceId::from(text(&key[2..])?);
                    ledger.tombstones.insert(instance, Tombstone::decode(&value)?);
                }
                Some(key::MESSAGE) => {
                    let number = number(&key)?;
                    ledger.exchange.buffer.load(number, &value)?;
                    if let Some(kept) = ledger.exchange.buffer.get(number)
                        && let Some(place) = kept.place
                    {
                        let (name, bytes) = (&kept.message.name, kept.message.payload.body.len());
                        ledger.exchange.topics.recover(name, place.offset, number, bytes);
                    }
                }
                Some(key::MESSAGE_ID) => ledger.load_message_id(&key, &value)?,
                Some(key::TOPIC) => ledger.exchange.topics.load(text(&key[2..])?, &value)?,
                Some(key::THROWN) => ledger.broker.load_thrown(number(&key)?, &value)?,
                Some(key::POSITION) => ledger.broker.load_position(text(&key[2..])?, &value)?,
                Some(key::NOTICE) => ledger.notices.load(number(&key)?, &value)?,
                Some(key::START) => ledger.exchange.starts.load(&value)?,
                _ => {}
            }
        }
        ledger.load_records(stays, &seen);
        ledger.recover_announced();
        ledger.forget_finished_leavers();
        Ok(ledger)
    }

    /// Lets unanswered products leave again.
    pub fn begin(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let products: Vec<ActivationId> = self.outbox.entries().map(|a| a.product.token.activation).collect();
        products.into_iter().for_each(|p| self.outbox.release(p));
        let mut instances: Vec<InstanceId> = self.instances.keys().cloned().collect();
        instances.sort_unstable();
        instances.iter().for_each(|i| self.settle_state(i, out));
        // metrics know them from the beginning
        self.instances.values_mut().for_each(|open| open.halted = open.inner.halted());
        self.take_back_thrown();
        let mut effects = Vec::new();
        self.recover_timers(now, &mut effects);
        self.handle(now, super::Input::Tick, out);
        // behind the writes that they wait for
        out.append(&mut effects);
    }

    fn load_instance(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let view = decode_instance(value)?;
        if let Some(key) = &view.idempotency_key {
            self.keys.insert(key.clone(), view.id.clone());
        }
        if let Some(key) = &view.correlation_key {
            self.exchange.singletons.insert((view.process.clone(), key.clone()), view.id.clone());
        }
        self.instances.insert(view.id.clone(), Open::new(view));
        Ok(())
    }

    fn load_message_id(&mut self, key: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let id = serde_json::from_value(text(&key[2..])?.into()).map_err(|_| bad("message id"))?;
        let until = value.try_into().map_err(|_| bad("message id"))?;
        self.exchange.buffer.remember(id, u64::from_be_bytes(until));
        Ok(())
    }

    fn load_product(&mut self, value: &[u8]) -> Result<(), Malformed> {
        let entry = v1::OutboxEntry::decode(value).map_err(|_| bad("not protobuf"))?;
        let product = entry.product.ok_or(bad("no product"))?;
        let replica = Incarnation::from_bytes(&entry.replica);
        self.outbox.recover(Assignment { product: Arc::new(product.try_into()?), replica, seq: entry.seq });
        Ok(())
    }

    fn load_records(
        &mut self,
        mut stays: HashMap<InstanceId, Vec<Stay>>,
        seen: &HashMap<InstanceId, Vec<ActivationId>>,
    ) {
        let ids: Vec<InstanceId> = self.instances.keys().cloned().collect();
        for id in ids {
            let own = stays.remove(&id).unwrap_or_default();
            let gone = seen.get(&id).cloned().unwrap_or_default();
            own.iter().for_each(|stay| self.index(&id, stay));
            let known = Known { tables: &self.tables, processes: &self.processes };
            let Some(open) = self.instances.get_mut(&id) else { continue };
            open.stored = own.iter().map(|s| s.token.activation).collect();
            open.inner = Instance::load(id.clone(), own, gone.iter().copied(), &known);
            open.inner.set_suspended(open.state == super::State::Suspended);
            open.stored_seen = gone;
        }
    }

    fn forget_finished_leavers(&mut self) {
        for (replica, left) in &mut self.left {
            left.unfinished.retain(|a| self.outbox.token(*a).is_some());
            left.unfinished.iter().for_each(|a| self.outbox.recover_adoption(*a, *replica));
        }
    }
}

fn seen_key(key: &[u8]) -> Result<(InstanceId, ActivationId), Malformed> {
    let key = text(&key[2..])?;
    let (instance, activation) = key.rsplit_once('/').ok_or(bad("no activation in the key"))?;
    Ok((instance.into(), activation.parse().map_err(|_| bad("no activation in the key"))?))
}

/// The number that a key ends with.
fn number(key: &[u8]) -> Result<u64, Malformed> {
    u64::from_str_radix(text(&key[2..])?, 16).map_err(|_| bad("message number"))
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| bad("a key that is not text"))
}

fn bad(why: &'static str) -> Malformed {
    Malformed { field: "store", why }
}
