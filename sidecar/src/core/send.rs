//! Products on their way: links to replicas, their answers, the watermark.

use hop::{Assignment, Outbox, Refusal};

use super::{ActivationId, After, Bindings, Core, Incarnation, Output, Record, Timestamp};

impl Core {
    pub(super) fn peer_linked(&mut self, replica: Incarnation, out: &mut Vec<Output>) {
        self.peers.insert(replica);
        self.outbox.linked(replica);
        // the first frame carries the watermark, also when there is nothing to offer
        if replica != Outbox::LEDGER {
            out.push(Output::Send(replica, self.outbox.watermark(replica), Vec::new()));
        }
    }

    pub(super) fn peer_unlinked(&mut self, replica: Incarnation, out: &mut Vec<Output>) {
        self.peers.remove(&replica);
        let moved = self.outbox.unlinked(replica);
        self.record_moves(moved, out);
    }

    pub(super) fn peer_unreachable(&mut self, replica: Incarnation, out: &mut Vec<Output>) {
        let moved = self.outbox.unreachable(replica);
        self.record_moves(moved, out);
    }

    pub(super) fn record_moves(&mut self, moved: Vec<Assignment>, out: &mut Vec<Output>) {
        for Assignment { product, replica, seq } in moved {
            let activation = product.token.activation;
            self.write(Record::Reassigned { activation, replica, seq }, After::Release(activation, seq), out);
        }
    }

    pub(super) fn peer_answered(
        &mut self,
        now: Timestamp,
        replica: Incarnation,
        accepted: Vec<ActivationId>,
        refused: Vec<(ActivationId, Refusal)>,
        out: &mut Vec<Output>,
    ) {
        for activation in accepted {
            self.product_accepted(now, activation);
        }
        for (activation, why) in refused {
            if why == Refusal::UnknownTable
                && let Some(token) = self.outbox.token(activation)
            {
                out.push(Output::HandTables(replica, token.definition, token.element.clone()));
            }
            let moved = self.outbox.refused(activation, replica, why, now);
            self.record_moves(moved.into_iter().collect(), out);
        }
    }

    pub(super) fn product_accepted(&mut self, now: Timestamp, activation: ActivationId) {
        if self.outbox.accepted(activation) {
            self.write_lazily(now, Record::Done(activation), Some(After::Done(activation)));
        }
    }

    pub(super) fn ledger_acked(&mut self, now: Timestamp, seq: u64) {
        for activation in self.outbox.acked(Outbox::LEDGER, seq) {
            self.write_lazily(now, Record::Done(activation), Some(After::Done(activation)));
        }
    }

    pub(super) fn bindings(&mut self, now: Timestamp, bindings: Bindings, out: &mut Vec<Output>) {
        for replica in &bindings.settled {
            let forgotten = self.inbox.settled(*replica);
            if !forgotten.is_empty() {
                self.write_lazily(now, Record::Released { sender: *replica, watermark: u64::MAX }, None);
            }
        }
        let mut endpoints = bindings.endpoints;
        let left = &bindings.left;
        endpoints.values_mut().for_each(|list| list.retain(|e| !left.contains(&e.incarnation)));
        self.left = bindings.left;
        self.callbacks = bindings.callbacks;
        self.settled = bindings.settled;
        self.replaced.retain(|replica| !self.settled.contains(replica));
        let moved = self.outbox.endpoints(endpoints);
        self.record_moves(moved, out);
        self.ask_whereabouts(now, out);
    }

    pub(super) fn fates(
        &mut self,
        now: Timestamp,
        replica: Incarnation,
        fates: Vec<(ActivationId, bool)>,
        out: &mut Vec<Output>,
    ) {
        for (activation, taken) in fates {
            if taken {
                self.product_accepted(now, activation);
            } else {
                let moved = self.outbox.free(activation, replica);
                self.record_moves(moved.into_iter().collect(), out);
            }
        }
    }

    /// Offers what is ready, each replica's in one frame with the watermark.
    pub(super) fn send_ready(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut offers = self.outbox.offers().into_iter().peekable();
        while let Some(first) = offers.next() {
            let replica = first.replica;
            if replica == Outbox::LEDGER {
                out.push(Output::Report(first.seq, first.product));
                continue;
            }
            let mut batch = vec![first];
            while let Some(next) = offers.next_if(|o| o.replica == replica) {
                batch.push(next);
            }
            self.quiet_peers.remove(&replica);
            out.push(Output::Send(replica, self.outbox.watermark(replica), batch));
        }
        if self.quiet_since.is_some_and(|at| at + 2 * self.config.lazy_for <= now) {
            self.quiet_since = None;
            for replica in std::mem::take(&mut self.quiet_peers) {
                if self.peers.contains(&replica) {
                    out.push(Output::Send(replica, self.outbox.watermark(replica), Vec::new()));
                }
            }
        }
    }

    /// The watermark for `replica` has moved: it goes with the next offers, or alone when there are none.
    pub(super) fn note_watermark(&mut self, now: Timestamp, replica: Option<Incarnation>) {
        if let Some(replica) = replica.filter(|r| *r != Outbox::LEDGER) {
            self.quiet_peers.insert(replica);
            self.quiet_since.get_or_insert(now);
        }
    }
}
