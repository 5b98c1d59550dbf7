//! Sidecars that go: what they hand over, and what became of offers to them.

use std::collections::BTreeSet;

use hop::{Assignment, Outbox};
use prost::Message as _;
use proto::{convert, v1};
use routing::{Product, To};

use super::stored::key;
use super::{ActivationId, After, Answer, Arc, Incarnation, Ledger, Output, Pending, Request, Timestamp};

/// What a leaving sidecar hands over.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    /// Held, not decided.
    pub held: Vec<Product>,
    /// Decided, not accepted by their receivers.
    pub unfinished: Vec<Assignment>,
    /// Ids accepted whose senders have not released them.
    pub accepted: Vec<ActivationId>,
}

/// A replica that has left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Ids it had accepted.
    pub(super) taken: BTreeSet<ActivationId>,
    /// Its products that the ledger still offers in its place.
    pub(super) unfinished: BTreeSet<ActivationId>,
    pub(super) at: Timestamp,
}

impl Ledger {
    pub(super) fn leave(
        &mut self,
        now: Timestamp,
        request: Request,
        replica: Incarnation,
        leaving: Leaving,
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Answer(request, Answer::Done));
        if self.left.contains_key(&replica) {
            return;
        }
        let taken = leaving.accepted.iter().copied().chain(leaving.held.iter().map(|p| p.token.activation)).collect();
        self.outbox.left(replica);
        let mut left = Left { taken, unfinished: BTreeSet::new(), at: now };
        let mut pending = Pending::new();
        for Assignment { product, replica: to, .. } in leaving.unfinished {
            let product = Arc::unwrap_or_clone(product);
            match to {
                Some(Outbox::LEDGER) => self.report(now, product, out),
                Some(to) if !self.has_left(to) => {
                    left.unfinished.insert(product.token.activation);
                    self.adopt(product, to, replica);
                }
                Some(to) if self.was_taken(to, product.token.activation) => {}
                Some(_) | None => pending.push_back(product),
            }
        }
        for Product { token, to } in leaving.held {
            // offered anew under another id: nobody who remembers the old one may take it for done
            let to = if let To::Wait(_) = to { To::Ledger } else { to };
            pending.push_back(Product { token: token.anew(false, now), to });
        }
        self.place(now, pending, out);
        self.put(key::left(replica), encode(&left));
        let settled = left.unfinished.is_empty();
        self.left.insert(replica, left);
        self.offers_to_left(now, replica, out);
        if settled {
            out.push(Output::Settled(replica));
        }
    }

    fn adopt(&mut self, product: Product, replica: Incarnation, from: Incarnation) {
        let activation = product.token.activation;
        let assignment = self.outbox.adopt(product, replica, from);
        self.put(key::outbox(activation), super::send::encode(&assignment));
        self.releases.push(After::Release(activation, assignment.seq));
    }

    /// The ledger's own offers to a replica that has left: taken, or to be given to another.
    fn offers_to_left(&mut self, now: Timestamp, replica: Incarnation, out: &mut Vec<Output>) {
        let waiting: Vec<ActivationId> = self.outbox.assigned_to(replica).collect();
        for activation in waiting {
            if self.was_taken(replica, activation) {
                self.product_accepted(now, activation, out);
            } else {
                let moved = self.outbox.free(activation, replica);
                self.record_moves(moved.into_iter().collect());
            }
        }
    }

    pub(super) fn has_left(&self, replica: Incarnation) -> bool {
        self.left.contains_key(&replica)
    }

    fn was_taken(&self, replica: Incarnation, activation: ActivationId) -> bool {
        self.left.get(&replica).is_some_and(|l| l.taken.contains(&activation))
    }

    /// A replica that has not left gets no answer: its tokens stay where they are.
    pub(super) fn whereabouts(
        &mut self,
        request: Request,
        replica: Incarnation,
        activations: Vec<ActivationId>,
        out: &mut Vec<Output>,
    ) {
        let answer = match self.left.get(&replica) {
            Some(left) => Answer::Fates(activations.into_iter().map(|a| (a, left.taken.contains(&a))).collect()),
            None => Answer::NotFound,
        };
        out.push(Output::Answer(request, answer));
    }

    /// A product is done: was it the last of a replica that has left?
    pub(super) fn settle_left(&mut self, activation: ActivationId, out: &mut Vec<Output>) {
        for (replica, left) in &mut self.left {
            if left.unfinished.remove(&activation) && left.unfinished.is_empty() {
                out.push(Output::Settled(*replica));
            }
        }
    }
}

fn encode(left: &Left) -> Vec<u8> {
    let ids = |set: &BTreeSet<ActivationId>| set.iter().map(|a| convert::id_bytes(*a)).collect();
    v1::StoredLeft { taken: ids(&left.taken), unfinished: ids(&left.unfinished), at_ms: left.at }.encode_to_vec()
}

impl Left {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, convert::Malformed> {
        let bad = convert::Malformed { field: "stored left", why: "not protobuf" };
        let stored = v1::StoredLeft::decode(bytes).map_err(|_| bad)?;
        let ids = |list: Vec<Vec<u8>>| -> Result<BTreeSet<ActivationId>, convert::Malformed> {
            list.iter().map(|b| convert::activation(b)).collect()
        };
        Ok(Self { taken: ids(stored.taken)?, unfinished: ids(stored.unfinished)?, at: stored.at_ms })
    }
}
