//! Answers that count for a while, and how many of them: bounded by time and by count. Pure: the time is handed in.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// For how long an answer counts.
pub(super) const FRESH: Duration = Duration::from_secs(10);
/// For how long a good answer counts while whoever gives them is away.
pub(super) const STALE: Duration = Duration::from_secs(300);
/// Answers that are kept at most.
const MAX: usize = 1024;

/// Answers, with the time when they were given.
pub(super) struct Kept<K, V>(HashMap<K, (Duration, V)>);

impl<K: Eq + Hash + Clone, V: Clone> Kept<K, V> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// The answer, if it is not older than `age`.
    pub(super) fn get(&self, key: &K, now: Duration, age: Duration) -> Option<V> {
        let (at, value) = self.0.get(key)?;
        (now.saturating_sub(*at) < age).then(|| value.clone())
    }

    /// Keeps an answer; if there are too many the oldest goes.
    pub(super) fn put(&mut self, key: K, value: V, now: Duration) {
        if self.0.len() >= MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, (at, _)| now.saturating_sub(*at) < STALE);
            if self.0.len() >= MAX
                && let Some(oldest) = self.0.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| key.clone())
            {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(key, (now, value));
    }

    /// Forgets an answer that does not count any more.
    pub(super) fn forget(&mut self, key: &K) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_for_seconds_and_longer_only_for_who_asks_for_that() {
        let (mut kept, start) = (Kept::new(), Duration::from_secs(7));
        kept.put(1, 'a', start);
        let just = Duration::from_millis(1);
        assert_eq!(kept.get(&1, start + FRESH - just, FRESH), Some('a'));
        assert_eq!(kept.get(&1, start + FRESH, FRESH), None);
        assert_eq!(kept.get(&1, start + STALE - just, STALE), Some('a'));
        assert_eq!(kept.get(&1, start + STALE, STALE), None);
        kept.put(1, 'b', start + FRESH);
        assert_eq!(kept.get(&1, start + FRESH, FRESH), Some('b'));
        kept.forget(&1);
        assert_eq!(kept.get(&1, start + FRESH, STALE), None);
    }

    #[test]
    fn of_too_many_the_oldest_goes() {
        let mut kept = Kept::new();
        let at = |number: usize| Duration::from_millis(number as u64);
        for number in 0..MAX + 10 {
            kept.put(number, number, at(number));
            assert!(kept.0.len() <= MAX);
        }
        let now = at(MAX + 10);
        assert_eq!((kept.get(&9, now, FRESH), kept.get(&10, now, FRESH)), (None, Some(10)));
        // one that is there already takes no place of another
        kept.put(11, 0, now);
        assert_eq!(kept.get(&10, now, FRESH), Some(10));
    }
}
