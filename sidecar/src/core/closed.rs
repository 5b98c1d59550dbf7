//! Instances that were closed early, as flowd has said: their tokens go back to it, undecided.

use std::collections::{HashMap, VecDeque};

use routing::{InstanceId, Timestamp};

use super::{Core, Output};

/// Closed instances that are remembered; flowd repeats them when it is asked.
const MAX_CLOSED: usize = 100_000;

/// An instance that was closed early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Which.
    pub instance: InstanceId,
    /// It may be run again: its tokens are given back with what they carry.
    pub kept: bool,
}

/// Every instance that is known to be closed.
#[derive(Debug, Default)]
pub(super) struct AllClosed {
    kept: HashMap<InstanceId, bool>,
    order: VecDeque<InstanceId>,
}

impl AllClosed {
    pub(super) fn has(&self, instance: &InstanceId) -> bool {
        self.kept.contains_key(instance)
    }

    /// Whether what is given back of it is kept.
    pub(super) fn keeps(&self, instance: &InstanceId) -> bool {
        self.kept.get(instance) == Some(&true)
    }

    /// True if it was not known.
    fn add(&mut self, Closed { instance, kept }: Closed) -> bool {
        if self.kept.insert(instance.clone(), kept).is_some() {
            return false;
        }
        self.order.push_back(instance);
        if self.order.len() > MAX_CLOSED
            && let Some(oldest) = self.order.pop_front()
        {
            self.kept.remove(&oldest);
        }
        true
    }

    fn remove(&mut self, instances: &[InstanceId]) {
        self.kept.retain(|instance, _| !instances.contains(instance));
        self.order.retain(|instance| !instances.contains(instance));
    }
}

impl Core {
    /// What is held of them is given back. `all`: there are no others, what was known of some before is over.
    pub(super) fn closed(&mut self, now: Timestamp, closed: Vec<Closed>, all: bool, out: &mut Vec<Output>) {
        if all {
            self.closed = AllClosed::default();
        }
        for closed in closed {
            let instance = closed.instance.clone();
            if !self.closed.add(closed) {
                continue;
            }
            let held = self.held.iter().filter(|(_, held)| held.token.instance == instance);
            let mut dropped: Vec<_> = held.map(|(activation, _)| *activation).collect();
            dropped.sort_unstable();
            for activation in dropped {
                if let Some(held) = self.take_out(now, activation, out) {
                    self.give_back(held.token, Some(held.origin), &held.table, now, out);
                }
            }
        }
    }

    pub(super) fn reopened(&mut self, instances: &[InstanceId]) {
        self.closed.remove(instances);
    }
}
