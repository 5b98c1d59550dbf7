//! Which replica a product goes to, and under which number.

use std::collections::BTreeSet;
use std::sync::Arc;

use routing::{ActivationId, Incarnation, Product, ServiceName, To};

use super::{Assignment, Entry, Outbox};

impl Outbox {
    pub(super) fn avoid(&mut self, activation: ActivationId, replica: Incarnation) -> Option<Assignment> {
        self.entries.get_mut(&activation)?.refused.insert(replica);
        let again = self.choose_again(activation);
        if again.as_ref().is_some_and(|a| a.replica.is_none())
            && let Some(entry) = self.entries.get_mut(&activation)
        {
            // nobody else is there: whoever appears next may be asked, also one that refused before
            entry.refused.clear();
        }
        again
    }

    pub(super) fn choose_again(&mut self, activation: ActivationId) -> Option<Assignment> {
        self.turn = self.turn.wrapping_add(1);
        let entry = self.entries.get(&activation)?;
        let replica = self.choose(&entry.product, &entry.refused);
        if replica == entry.replica && replica.is_none() {
            return None;
        }
        let old = self.entries.remove(&activation)?;
        self.unnumber(&old);
        self.unassigned.remove(&activation);
        let seq = replica.map_or(0, |r| self.number(r, activation));
        let assignment = Assignment { product: Arc::clone(&old.product), replica, seq };
        self.entries.insert(activation, Entry { replica, seq, released: false, exposed: false, ..old });
        Some(assignment)
    }

    /// A replica of the service that is to do it; where that one has none, of one of the others that do its work.
    pub(super) fn choose(&self, product: &Product, refused: &BTreeSet<Incarnation>) -> Option<Incarnation> {
        let To::Service(service) = &product.to else { return Some(Self::LEDGER) };
        let chosen = self.splits.chosen(service, product.token.activation);
        let shares = self.splits.backends(service).filter(|(_, weight)| *weight > 0).map(|(backend, _)| backend);
        let others = std::iter::once(service).chain(shares).filter(|it| *it != chosen);
        std::iter::once(chosen).chain(others).find_map(|it| self.replica(it, refused))
    }

    /// Linked replicas before others, in turn; never one that drains or has refused this product.
    fn replica(&self, service: &ServiceName, refused: &BTreeSet<Incarnation>) -> Option<Incarnation> {
        let all = self.endpoints.get(service)?.iter();
        let candidates = all.filter(|e| !e.draining && !refused.contains(&e.incarnation)).map(|e| e.incarnation);
        let is_linked = |replica: &Incarnation| self.peers.get(replica).is_some_and(|peer| peer.linked);
        let mut linked = candidates.clone().filter(is_linked);
        match linked.clone().count() {
            0 => candidates.clone().nth(self.turn % candidates.count().max(1)),
            count => linked.nth(self.turn % count),
        }
    }

    /// Services, and those that do their work, with products that could be offered but for want of a replica that is
    /// there. What may be with a replica already is not among them: it waits for that one.
    pub fn seeking(&self) -> BTreeSet<ServiceName> {
        let linked = |replica: Incarnation| self.peers.get(&replica).is_some_and(|peer| peer.linked);
        let seeks = |it: &&Entry| it.released && !it.accepted && !it.exposed && !it.replica.is_some_and(linked);
        let mut seeking = BTreeSet::new();
        for entry in self.entries.values().filter(seeks) {
            let To::Service(service) = &entry.product.to else { continue };
            if seeking.insert(service.clone()) {
                seeking.extend(self.splits.backends(service).map(|(backend, _)| backend.clone()));
            }
        }
        seeking
    }

    pub(super) fn number(&mut self, replica: Incarnation, activation: ActivationId) -> u64 {
        let peer = self.peers.entry(replica).or_default();
        let seq = peer.next.max(self.base).max(1);
        peer.next = seq + 1;
        peer.open.insert(seq, activation);
        if replica == Self::LEDGER {
            peer.unreleased.insert(seq);
        }
        seq
    }

    pub(super) fn unnumber(&mut self, entry: &Entry) {
        if let Some(peer) = entry.replica.and_then(|r| self.peers.get_mut(&r)) {
            peer.open.remove(&entry.seq);
            peer.unreleased.remove(&entry.seq);
        }
    }
}
