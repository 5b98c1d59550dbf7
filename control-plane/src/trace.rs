//! What instances went through, for people: hop records in a bounded ring, the oldest instances leave first.
//!
//! Best effort by design (§3): in memory only, never part of a decision.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use proto::v1::HopRecord;

/// Records kept in all.
const MAX_RECORDS: usize = 200_000;
/// Records kept of one instance; of a longer one the first.
const MAX_OF_INSTANCE: usize = 2_000;

/// The ring. Handles share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hops {
    ring: Arc<Mutex<Ring>>,
}

#[derive(Debug, Default)]
struct Ring {
    of: HashMap<String, Vec<HopRecord>>,
    order: VecDeque<String>,
    records: usize,
}

impl Hops {
    /// Keeps these records.
    pub(crate) fn add(&self, records: impl IntoIterator<Item = HopRecord>) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        records.into_iter().for_each(|record| ring.add(record));
    }

    /// The records of an instance, in the order of beginning.
    pub(crate) fn of(&self, instance: &str) -> Vec<HopRecord> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = ring.of.get(instance).cloned().unwrap_or_default();
        records.sort_by_key(|it| (it.started_ms, it.ended_ms));
        records
    }
}

impl Ring {
    fn add(&mut self, record: HopRecord) {
        match self.of.get_mut(&record.instance) {
            Some(records) if records.len() >= MAX_OF_INSTANCE => return,
            // a sidecar that lost its stream sends what it is not sure of again
            Some(records) if records.iter().any(|it| same(it, &record)) => return,
            Some(records) => records.push(record),
            None => {
                self.order.push_back(record.instance.clone());
                self.of.insert(record.instance.clone(), vec![record]);
            }
        }
        self.records += 1;
        while self.records > MAX_RECORDS {
            let Some(oldest) = self.order.pop_front() else { return };
            self.records -= self.of.remove(&oldest).map_or(0, |it| it.len());
        }
    }
}

fn same(a: &HopRecord, b: &HopRecord) -> bool {
    a.activation == b.activation && a.element == b.element && a.ended_ms == b.ended_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(instance: usize, activation: u64) -> HopRecord {
        HopRecord {
            instance: instance.to_string(),
            activation: activation.to_be_bytes().to_vec().into(),
            started_ms: activation,
            ..HopRecord::default()
        }
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
}
