//! Products on their way to sidecars.

use hop::{Assignment, Refusal};
use prost::Message as _;
use proto::{convert, v1};

use super::instance::State;
use super::stored::key;
use super::{ActivationId, After, Arc, Endpoint, HashMap, Incarnation, LAZY, Ledger, Output, ServiceName, Timestamp};

impl Ledger {
    pub(super) fn linked(&mut self, replica: Incarnation, out: &mut Vec<Output>) {
        self.peers.insert(replica);
        self.outbox.linked(replica);
        out.push(Output::Send(replica, self.outbox.watermark(replica), Vec::new()));
    }

    pub(super) fn unlinked(&mut self, replica: Incarnation) {
        self.peers.remove(&replica);
        let moved = self.outbox.unlinked(replica);
        self.record_moves(moved);
    }

    pub(super) fn unreachable(&mut self, replica: Incarnation) {
        let moved = self.outbox.unreachable(replica);
        self.record_moves(moved);
    }

    pub(super) fn endpoints(&mut self, mut endpoints: HashMap<ServiceName, Vec<Endpoint>>) {
        endpoints.values_mut().for_each(|list| list.retain(|e| !self.has_left(e.incarnation)));
        let moved = self.outbox.endpoints(endpoints);
        self.record_moves(moved);
    }

    pub(super) fn record_moves(&mut self, moved: Vec<Assignment>) {
        for assignment in moved {
            let activation = assignment.product.token.activation;
            self.put(key::outbox(activation), encode(&assignment));
            self.releases.push(After::Release(activation, assignment.seq));
        }
    }

    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        replica: Incarnation,
        accepted: Vec<ActivationId>,
        refused: Vec<(ActivationId, Refusal)>,
        out: &mut Vec<Output>,
    ) {
        for activation in accepted {
            self.product_accepted(now, activation, out);
        }
        for (activation, why) in refused {
            if why == Refusal::UnknownTable
                && let Some(token) = self.outbox.token(activation)
            {
                out.push(Output::HandTables(replica, token.definition, token.element.clone()));
            }
            let moved = self.outbox.refused(activation, replica, why, now);
            self.record_moves(moved.into_iter().collect());
        }
    }

    pub(super) fn product_accepted(&mut self, now: Timestamp, activation: ActivationId, out: &mut Vec<Output>) {
        let instance = self.outbox.token(activation).map(|t| t.instance.clone());
        if !self.outbox.accepted(activation) {
            return;
        }
        self.lazy.push(((key::outbox(activation), None), After::Done(activation)));
        self.lazy_since.get_or_insert(now);
        if let Some(instance) = instance
            && self.instances.get(&instance).is_some_and(|o| o.state == State::Starting)
        {
            self.set_state(&instance, State::Running, out);
        }
    }

    pub(super) fn product_done(&mut self, now: Timestamp, activation: ActivationId, out: &mut Vec<Output>) {
        let replica = self.outbox.entry_replica(activation);
        self.outbox.done(activation);
        if let Some(replica) = replica {
            self.quiet_peers.insert(replica);
            self.quiet_since.get_or_insert(now);
        }
        self.settle_left(activation, out);
    }

    pub(super) fn send_ready(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut offers = self.outbox.offers().into_iter().peekable();
        while let Some(first) = offers.next() {
            let replica = first.replica;
            let mut batch = vec![first];
            while let Some(next) = offers.next_if(|o| o.replica == replica) {
                batch.push(next);
            }
            self.quiet_peers.remove(&replica);
            out.push(Output::Send(replica, self.outbox.watermark(replica), batch));
        }
        if self.quiet_since.is_some_and(|at| at + 2 * LAZY <= now) {
            self.quiet_since = None;
            for replica in std::mem::take(&mut self.quiet_peers) {
                if self.peers.contains(&replica) {
                    out.push(Output::Send(replica, self.outbox.watermark(replica), Vec::new()));
                }
            }
        }
    }
}

pub(super) fn encode(assignment: &Assignment) -> Vec<u8> {
    v1::OutboxEntry {
        product: Some(Arc::clone(&assignment.product).into()),
        replica: assignment.replica.map(convert::incarnation_bytes).unwrap_or_default(),
        seq: assignment.seq,
    }
    .encode_to_vec()
}
