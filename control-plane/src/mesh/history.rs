//! What services were swapped to, and when: the last swaps of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use routing::{ServiceName, Timestamp};

use super::Mesh;
use crate::store::Write;

/// Past swaps lie below it in the store, by service.
pub(crate) const STORED: &str = "d/h/";
/// So many are kept of each service.
const KEPT: usize = 20;

/// A swap that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Past {
    /// Milliseconds since 1970.
    pub(crate) at: Timestamp,
    /// What was said, for people.
    pub(crate) to: String,
}

/// By service, newest first.
pub(crate) type History = BTreeMap<ServiceName, VecDeque<Past>>;

impl Mesh {
    /// Services are swapped. Gives what makes it durable.
    pub(crate) fn record_swap(&self, services: &BTreeSet<ServiceName>, to: &str, now: Timestamp) -> Vec<Write> {
        let mut state = self.lock();
        let record = |service: &ServiceName| {
            let past = state.history.entry(service.clone()).or_default();
            past.push_front(Past { at: now, to: to.to_owned() });
            past.truncate(KEPT);
            let stored = serde_json::to_vec(past).expect("a record of strings and numbers");
            Write::put(format!("{STORED}{service}"), stored)
        };
        services.iter().map(record).collect()
    }

    /// Past swaps of these services, newest first.
    pub(crate) fn past_swaps(&self, services: &BTreeSet<ServiceName>) -> Vec<(ServiceName, Past)> {
        let state = self.lock();
        let of = |service: &ServiceName| state.history.get(service).cloned().unwrap_or_default();
        let all = services.iter().flat_map(|it| of(it).into_iter().map(|past| (it.clone(), past)));
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(_, past)| std::cmp::Reverse(past.at));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::Stored;

    #[test]
    fn the_last_swaps_are_kept_newest_first() {
        let mesh = Mesh::new(Stored::default(), 0);
        let services = BTreeSet::from([ServiceName::from("pay")]);
        for at in 1..=KEPT as u64 + 1 {
            assert_eq!(mesh.record_swap(&services, &format!("image pay:{at}"), at).len(), 1);
        }
        let past = mesh.past_swaps(&services);
        assert_eq!((past.len(), past[0].1.at, past[KEPT - 1].1.at), (KEPT, 21, 2));
        assert!(mesh.past_swaps(&BTreeSet::from(["other".into()])).is_empty());
    }
}
