//! What is durable in the log and not yet in redb: an ordered map over it. Pure.
//!
//! Commits go into the active map. [`Overlay::freeze`] sets it aside for being applied, while the next one fills;
//! [`Overlay::thaw`] drops what has been applied. A deletion is an entry too, since redb may have the key.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::super::{Batch, Entry, Write};

/// Keys with their values, or `None` where they were deleted.
pub(super) type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// What an entry takes beside its key and value, about.
const ENTRY: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Overlay {
    active: Changes,
    /// Bytes of the active map.
    bytes: usize,
    frozen: Option<Arc<Changes>>,
}

impl Overlay {
    /// Takes a batch, in order.
    pub(super) fn commit(&mut self, batch: Batch) {
        for Write { key, value } in batch.groups.into_iter().flatten() {
            let added = ENTRY + key.len() + value.as_ref().map_or(0, Bytes::len);
            let keys = key.len();
            let removed = match self.active.insert(key, value) {
                Some(before) => ENTRY + keys + before.map_or(0, |it| it.len()),
                None => 0,
            };
            self.bytes = self.bytes + added - removed;
        }
    }

    /// Bytes that the active map takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether everything is in redb.
    pub(super) fn is_empty(&self) -> bool {
        self.active.is_empty() && self.frozen.is_none()
    }

    /// Sets the active map aside; what is frozen already must have been thawed.
    pub(super) fn freeze(&mut self) -> Arc<Changes> {
        let frozen = Arc::new(std::mem::take(&mut self.active));
        self.bytes = 0;
        debug_assert!(self.frozen.is_none(), "what was frozen has not been applied");
        self.frozen = Some(Arc::clone(&frozen));
        frozen
    }

    /// What was frozen is in redb.
    pub(super) fn thaw(&mut self) -> Option<Arc<Changes>> {
        self.frozen.take()
    }

    /// What is known of a key: `Some(None)` when it was deleted, `None` when redb knows.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let frozen = || self.frozen.as_ref().and_then(|it| it.get(key));
        self.active.get(key).or_else(frozen).cloned()
    }

    /// What is known of the keys with `prefix` behind `after`, in order, until there are `limit` values.
    pub(super) fn range(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Bytes, Option<Bytes>)> {
        let start = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let bounds = (start, Bound::Unbounded);
        let active = self.active.range::<[u8], _>(bounds);
        let frozen = self.frozen.iter().flat_map(|it| it.range::<[u8], _>(bounds));
        let known = merged(active, frozen);
        let mut found = Vec::new();
        let mut values = 0;
        for (key, value) in known.take_while(|(key, _)| key.starts_with(prefix)) {
            if values == limit {
                break;
            }
            values += usize::from(value.is_some());
            found.push((key.clone(), value.clone()));
        }
        found
    }
}

/// Lays what [`Overlay::range`] found over entries of redb in the same order; up to `limit` of both.
pub(super) fn laid_over<E>(
    over: Vec<(Bytes, Option<Bytes>)>,
    below: impl Iterator<Item = Result<Entry, E>>,
    limit: usize,
) -> Result<Vec<Entry>, E> {
    let mut over = over.into_iter().peekable();
    let mut below = below.peekable();
    let mut entries = Vec::new();
    while entries.len() < limit {
        let order = match (over.peek(), below.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (Some((key, _)), Some(Ok((other, _)))) => key.cmp(other),
            (_, Some(_)) => Ordering::Greater,
        };
        if order.is_eq() {
            // the newer one counts
            let _ = below.next();
        }
        if order.is_le() {
            entries.extend(over.next().and_then(|(key, value)| Some((key, value?))));
        } else if let Some(entry) = below.next() {
            entries.push(entry?);
        }
    }
    Ok(entries)
}

/// Both iterators in order; where both have a key, the first one's entry.
fn merged<'a, V: 'a>(
    first: impl Iterator<Item = (&'a Bytes, V)>,
    second: impl Iterator<Item = (&'a Bytes, V)>,
) -> impl Iterator<Item = (&'a Bytes, V)> {
    let (mut first, mut second) = (first.peekable(), second.peekable());
    std::iter::from_fn(move || {
        let order = match (first.peek(), second.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        if order.is_eq() {
            let _ = second.next();
        }
        if order.is_le() { first.next() } else { second.next() }
    })
}
