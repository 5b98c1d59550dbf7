//! What instances went through, for people: hop records in a bounded ring, the oldest instances leave first.
//!
//! Best effort by design (§3): in memory only, never part of a decision. Records are kept as the bytes in which
//! they come and read when somebody asks: of most nobody ever does.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message as _;
use proto::v1::HopRecord;

/// Records kept in all.
const MAX_RECORDS: usize = 200_000;
/// Records kept of one instance; of a longer one the first.
const MAX_OF_INSTANCE: usize = 2_000;
/// What a record begins with: the field `instance`.
const INSTANCE: u8 = 0x0a;

/// The ring. Handles share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hops {
    ring: Arc<Mutex<Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    /// By the hash of the instance's id.
    of: HashMap<u64, Vec<Box<[u8]>>>,
    order: VecDeque<u64>,
    records: usize,
    hasher: RandomState,
}

impl Hops {
    /// Keeps these records, each a `flow.v1.HopRecord`; what is none is dropped. Those that were not here before are given back.
    pub(crate) fn add<R: AsRef<[u8]>>(&self, records: impl IntoIterator<Item = R>) -> Vec<R> {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        records.into_iter().filter(|record| ring.add(record.as_ref())).collect()
    }

    /// The records of an instance, in the order of beginning.
    pub(crate) fn of(&self, instance: &str) -> Vec<HopRecord> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = ring.of.get(&ring.hasher.hash_one(instance.as_bytes()));
        let records = kept.into_iter().flatten().filter_map(|it| HopRecord::decode(&**it).ok());
        let mut records: Vec<HopRecord> = records.filter(|it| it.instance == instance).collect();
        records.sort_by_key(|it| (it.started_ms, it.ended_ms));
        records
    }
}

impl Ring {
    /// True if it is new.
    fn add(&mut self, record: &[u8]) -> bool {
        let Some(instance) = instance(record) else { return false };
        let hash = self.hasher.hash_one(instance);
        match self.of.entry(hash) {
            Entry::Occupied(mut kept) => {
                let kept = kept.get_mut();
                // a sidecar that lost its stream sends what it is not sure of again
                if kept.iter().any(|it| **it == *record) {
                    return false;
                }
                if kept.len() >= MAX_OF_INSTANCE {
                    return true;
                }
                kept.push(record.into());
            }
            Entry::Vacant(free) => {
                self.order.push_back(hash);
                free.insert(vec![record.into()]);
            }
        }
        self.records += 1;
        while self.records > MAX_RECORDS {
            let Some(oldest) = self.order.pop_front() else { break };
            self.records -= self.of.remove(&oldest).map_or(0, |it| it.len());
        }
        true
    }
}

/// The instance that an encoded record is of, without reading the rest.
fn instance(record: &[u8]) -> Option<&[u8]> {
    let mut rest = record.strip_prefix(&[INSTANCE])?;
    let length = prost::decode_length_delimiter(&mut rest).ok()?;
    rest.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(instance: usize, activation: u64) -> Vec<u8> {
        let record = HopRecord {
            instance: instance.to_string(),
            activation: activation.to_be_bytes().to_vec(),
            started_ms: activation,
            ..HopRecord::default()
        };
        record.encode_to_vec()
    }

    #[test]
    fn the_ring_is_bounded_and_drops_the_oldest_instance() {
        let hops = Hops::default();
        hops.add((0..MAX_OF_INSTANCE as u64 + 5).map(|n| record(0, n)));
        assert_eq!(hops.of("0").len(), MAX_OF_INSTANCE);
        hops.add((1..=MAX_RECORDS / 2).flat_map(|instance| [record(instance, 1), record(instance, 0)]));
        assert!(hops.of("0").is_empty());
        let newest = hops.of(&(MAX_RECORDS / 2).to_string());
        assert_eq!(newest.iter().map(|it| it.started_ms).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn what_is_sent_twice_is_kept_once() {
        let hops = Hops::default();
        hops.add([record(1, 7), record(1, 7)]);
        assert_eq!(hops.of("1").len(), 1);
    }

    #[test]
    fn what_is_no_record_is_dropped() {
        let hops = Hops::default();
        hops.add([vec![], vec![INSTANCE], vec![INSTANCE, 9, b'1'], vec![INSTANCE, 1, b'1', 0xff], vec![0xff; 9]]);
        assert!(hops.of("1").is_empty());
    }
}
