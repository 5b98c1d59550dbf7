//! Who waits for messages: records by name and key, and the keys that a message comes with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use routing::instance::{On, Stay, Subscription};
use routing::{ActivationId, Digest, InstanceId, ProcessId};

use super::Timestamp;

/// Since when a record waits; earlier is first.
pub(super) type Place = (Timestamp, u64, InstanceId, ActivationId);

/// Records that wait for messages, by name and key; of each process, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) by_key: HashMap<(String, Option<String>), BTreeMap<ProcessId, BTreeSet<Place>>>,
    pub(super) places: HashMap<ActivationId, (Place, ProcessId)>,
    /// By name: expressions that give a message's key, how many use each, and a definition of theirs.
    pub(super) retrievals: HashMap<String, BTreeMap<String, (usize, Digest)>>,
}

impl Waiting {
    pub(super) fn add(&mut self, process: &ProcessId, instance: &InstanceId, stay: &Stay) {
        let place = (stay.since, stay.order, instance.clone(), stay.token.activation);
        for subscription in &stay.subscriptions {
            let On::Message { name, key, retrieval, .. } = &subscription.on else { continue };
            let of_process = self.by_key.entry((name.clone(), key.clone())).or_default();
            of_process.entry(process.clone()).or_default().insert(place.clone());
            self.places.insert(stay.token.activation, (place.clone(), process.clone()));
            if let Some(retrieval) = retrieval {
                let of_name = self.retrievals.entry(name.clone()).or_default();
                of_name.entry(retrieval.clone()).or_insert((0, stay.token.definition)).0 += 1;
            }
        }
    }

    pub(super) fn remove(&mut self, activation: ActivationId, before: &[Subscription]) {
        let Some((place, process)) = self.places.remove(&activation) else { return };
        for subscription in before {
            let On::Message { name, key, retrieval, .. } = &subscription.on else { continue };
            let at = (name.clone(), key.clone());
            if let Some(of_process) = self.by_key.get_mut(&at) {
                if let Some(set) = of_process.get_mut(&process) {
                    set.remove(&place);
                    if set.is_empty() {
                        of_process.remove(&process);
                    }
                }
                if of_process.is_empty() {
                    self.by_key.remove(&at);
                }
            }
            let Some((retrieval, of_name)) = retrieval.as_ref().zip(self.retrievals.get_mut(name)) else { continue };
            if let Some((count, _)) = of_name.get_mut(retrieval) {
                *count -= 1;
                if *count == 0 {
                    of_name.remove(retrieval);
                }
            }
            if of_name.is_empty() {
                self.retrievals.remove(name);
            }
        }
    }
}

/// The keys that a message has: its own, or what each retrieval makes of its payload; and the instance that its headers name.
pub(super) struct Keys {
    pub(super) own: Option<String>,
    pub(super) retrieved: BTreeMap<String, String>,
    pub(super) instance: Option<String>,
}

impl Keys {
    pub(super) fn fit(&self, name: &str, on: &On) -> bool {
        match on {
            On::Message { name: other, .. } if other != name => false,
            On::Message { key: None, .. } => true,
            On::Message { key: Some(key), retrieval, .. } => match (&self.own, retrieval) {
                (Some(own), _) => own == key,
                (None, Some(retrieval)) => self.retrieved.get(retrieval) == Some(key),
                (None, None) => self.instance.as_ref() == Some(key),
            },
            On::Timer { .. } | On::Expiry { .. } | On::Callback { .. } | On::Signal(_) | On::Conditional { .. } => {
                false
            }
        }
    }

    /// Where who waits for the message can stand.
    pub(super) fn addresses(&self) -> BTreeSet<Option<String>> {
        let all = self.retrieved.values().chain(&self.own).chain(&self.instance).cloned().map(Some);
        all.chain([None]).collect()
    }
}
