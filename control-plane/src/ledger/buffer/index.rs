//! Kept messages by the keys they may be waited for with: their own, the instance they are of, or what a retrieval makes of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use routing::Digest;
use routing::instance::{INSTANCE_HEADER, Published};

/// See the module's documentation. What it finds is a candidate: whoever asks compares again.
#[derive(Debug, Default)]
pub(super) struct Index {
    keys: HashMap<(String, String), BTreeSet<u64>>,
    by_name: HashMap<String, BTreeMap<String, Retrieval>>,
    retrieved: HashMap<u64, Vec<(String, String)>>,
}

/// One expression that gives keys, and a definition that has it.
#[derive(Debug)]
struct Retrieval {
    definition: Digest,
    keys: HashMap<String, BTreeSet<u64>>,
}

impl Index {
    pub(super) fn add(&mut self, number: u64, message: &Published) {
        for key in own(message) {
            self.keys.entry((message.name.clone(), key.clone())).or_default().insert(number);
        }
    }

    pub(super) fn remove(&mut self, number: u64, message: &Published) {
        for key in own(message) {
            let at = (message.name.clone(), key.clone());
            if let Some(set) = self.keys.get_mut(&at) {
                set.remove(&number);
                if set.is_empty() {
                    self.keys.remove(&at);
                }
            }
        }
        for (retrieval, key) in self.retrieved.remove(&number).unwrap_or_default() {
            let of_name = self.by_name.get_mut(&message.name);
            let Some(known) = of_name.and_then(|it| it.get_mut(&retrieval)) else { continue };
            if let Some(set) = known.keys.get_mut(&key) {
                set.remove(&number);
                if set.is_empty() {
                    known.keys.remove(&key);
                }
            }
        }
    }

    pub(super) fn fitting(&self, name: &str, key: &str, retrieval: Option<&str>) -> Vec<u64> {
        let own = self.keys.get(&(name.to_owned(), key.to_owned()));
        let known = retrieval.and_then(|it| self.by_name.get(name)?.get(it)?.keys.get(key));
        let all: BTreeSet<u64> = own.into_iter().chain(known).flatten().copied().collect();
        all.into_iter().collect()
    }

    pub(super) fn retrieves(&mut self, name: &str, retrieval: &str, definition: Digest) -> bool {
        let of_name = self.by_name.entry(name.to_owned()).or_default();
        if let Some(known) = of_name.get_mut(retrieval) {
            known.definition = definition;
            return false;
        }
        of_name.insert(retrieval.to_owned(), Retrieval { definition, keys: HashMap::new() });
        true
    }

    pub(super) fn retrievals(&self, name: &str) -> Vec<(String, Digest)> {
        let of_name = self.by_name.get(name).into_iter().flatten();
        of_name.map(|(retrieval, known)| (retrieval.clone(), known.definition)).collect()
    }

    pub(super) fn retrieved(&mut self, number: u64, name: &str, retrieval: &str, key: String) {
        let Some(known) = self.by_name.get_mut(name).and_then(|it| it.get_mut(retrieval)) else { return };
        known.keys.entry(key.clone()).or_default().insert(number);
        self.retrieved.entry(number).or_default().push((retrieval.to_owned(), key));
    }
}

fn own(message: &Published) -> impl Iterator<Item = &String> {
    message.key.iter().chain(message.headers.get(INSTANCE_HEADER))
}
