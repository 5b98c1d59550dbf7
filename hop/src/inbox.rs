//! The receiver's half of the hop: which activations it has taken, and from whom.
//!
//! An id is remembered from the offer until every sender that offered it has said, by its watermark,
//! that it will not offer it again. Never by age or count.

use std::collections::BTreeMap;

use foldhash::HashMap;

use routing::{ActivationId, Incarnation};

/// Who offered an activation, and under which number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The sender.
    pub sender: Incarnation,
    /// Its number for this assignment.
    pub seq: u64,
}

/// What an offer turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Never offered before.
    New,
    /// Taken, not yet on disk.
    Taken,
    /// On disk: accept it again.
    Durable,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Inbox {
    known: HashMap<ActivationId, Memory>,
    senders: HashMap<Incarnation, Sender>,
}

#[derive(Debug, Default)]
struct Memory {
    origins: Vec<Origin>,
    durable: bool,
}

#[derive(Debug, Default)]
struct Sender {
    numbers: BTreeMap<u64, ActivationId>,
    watermark: u64,
}

impl Inbox {
    /// Looks an offer up without taking it.
    pub fn seen(&self, activation: ActivationId) -> Seen {
        match self.known.get(&activation) {
            None => Seen::New,
            Some(memory) if memory.durable => Seen::Durable,
            Some(_) => Seen::Taken,
        }
    }

    /// Takes an offer, or notes that this sender too has offered it.
    pub fn take(&mut self, activation: ActivationId, origin: Origin) {
        let memory = self.known.entry(activation).or_default();
        if memory.origins.contains(&origin) {
            return;
        }
        // the same sender under a newer number: the older one is void
        let sender = self.senders.entry(origin.sender).or_default();
        memory.origins.retain(|o| {
            let stale = o.sender == origin.sender;
            if stale {
                sender.numbers.remove(&o.seq);
            }
            !stale
        });
        memory.origins.push(origin);
        sender.numbers.insert(origin.seq, activation);
    }

    /// The record of it is on disk: whoever offered it may be told.
    pub fn durable(&mut self, activation: ActivationId) -> Vec<Origin> {
        match self.known.get_mut(&activation) {
            Some(memory) => {
                memory.durable = true;
                memory.origins.clone()
            }
            None => Vec::new(),
        }
    }

    /// Forgets what `sender` will never offer again. Gives the ids that nobody may offer any more, and
    /// whether anything changed (worth a record).
    pub fn released(&mut self, sender: Incarnation, watermark: u64) -> (Vec<ActivationId>, bool) {
        let entry = self.senders.entry(sender).or_default();
        entry.watermark = entry.watermark.max(watermark);
        let keep = entry.numbers.split_off(&(watermark.saturating_add(1)));
        let gone = std::mem::replace(&mut entry.numbers, keep);
        let changed = !gone.is_empty();
        (self.drop_origins(sender, gone), changed)
    }

    /// `sender` is gone for good and nobody offers in its name.
    pub fn settled(&mut self, sender: Incarnation) -> Vec<ActivationId> {
        let gone = self.senders.remove(&sender).map(|s| s.numbers).unwrap_or_default();
        self.drop_origins(sender, gone)
    }

    fn drop_origins(&mut self, sender: Incarnation, gone: BTreeMap<u64, ActivationId>) -> Vec<ActivationId> {
        let mut forgotten = Vec::new();
        for (seq, activation) in gone {
            let Some(memory) = self.known.get_mut(&activation) else { continue };
            memory.origins.retain(|o| *o != Origin { sender, seq });
            if memory.origins.is_empty() {
                self.known.remove(&activation);
                forgotten.push(activation);
            }
        }
        forgotten
    }

    /// Every remembered id, in order, with who offered it: also those whose record is still on its way
    /// to the disk.
    pub fn remembered(&self) -> Vec<(ActivationId, &[Origin])> {
        let mut all: Vec<_> = self.known.iter().map(|(a, m)| (*a, m.origins.as_slice())).collect();
        all.sort_unstable_by_key(|(a, _)| *a);
        all
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// True when nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ActivationId = ActivationId(1);
    const S: Incarnation = Incarnation(7);
    const T: Incarnation = Incarnation(8);

    #[test]
    fn an_id_is_remembered_until_every_sender_released_it() {
        let mut inbox = Inbox::default();
        inbox.take(A, Origin { sender: S, seq: 3 });
        inbox.take(A, Origin { sender: T, seq: 1 });
        inbox.durable(A);
        assert_eq!(inbox.released(S, 2), (vec![], false));
        assert_eq!(inbox.released(S, 3), (vec![], true));
        assert_eq!(inbox.seen(A), Seen::Durable);
        assert_eq!(inbox.settled(T), vec![A]);
        assert_eq!(inbox.seen(A), Seen::New);
    }

    #[test]
    fn an_offer_under_a_newer_number_replaces_the_older() {
        let mut inbox = Inbox::default();
        inbox.take(A, Origin { sender: S, seq: 1 });
        inbox.take(A, Origin { sender: S, seq: 5 });
        assert_eq!(inbox.released(S, 4), (vec![], false));
        assert_eq!(inbox.seen(A), Seen::Taken);
        assert_eq!(inbox.released(S, 5).0, vec![A]);
    }

    #[test]
    fn the_watermark_of_an_idle_sender_forgets_nothing_newer() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.released(S, 9), (vec![], false));
        inbox.take(A, Origin { sender: S, seq: 10 });
        assert_eq!(inbox.released(S, 9), (vec![], false));
        assert_eq!(inbox.len(), 1);
    }
}
