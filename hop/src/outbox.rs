//! The sender's half of the hop: every product until it is on its receiver's disk.
//!
//! The owner writes the record of an assignment first and calls [`Outbox::release`] when it is durable;
//! only then does an offer appear in [`Outbox::offers`]. When the receiver has accepted, the owner writes
//! DONE and calls [`Outbox::done`] when *that* is durable; only then does the watermark move.

mod choose;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::HashMap;
use routing::{ActivationId, Incarnation, Product, ServiceName, Timestamp, To, Token};

use crate::split::Splits;

/// Where a replica of a service is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What it is.
    pub incarnation: Incarnation,
    /// Where it is, `HOST:PORT`.
    pub address: String,
    /// It takes no new tokens.
    pub draining: bool,
}

/// A product and the replica chosen for it; what the record says.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The product; the record, the offers and the outbox share it.
    pub product: Arc<Product>,
    /// The replica; `None` when there is none to choose from yet.
    pub replica: Option<Incarnation>,
    /// The number of this assignment; 0 without a replica.
    pub seq: u64,
}

/// A token to be offered now.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// To whom.
    pub replica: Incarnation,
    /// Under which number.
    pub seq: u64,
    /// What; for the ledger, the product's destination matters too.
    pub product: Arc<Product>,
    /// The replica that has left, in whose place it is offered.
    pub instead_of: Option<Incarnation>,
}

/// Why a receiver does not take a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It lacks the token's table; it is fetching it, the sender may hand it over.
    UnknownTable,
    /// It is going.
    Draining,
    /// It holds too much; in so many milliseconds again.
    Full(u64),
    /// It does not serve that element.
    NotServed,
    /// The sender is no predecessor of the element.
    Forbidden,
}

/// For tests only: rules that can be switched off, to show that they are needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switches {
    /// Choose another replica whenever a link breaks.
    pub not_sticky: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: HashMap<ActivationId, Entry>,
    peers: HashMap<Incarnation, Peer>,
    endpoints: std::collections::HashMap<ServiceName, Vec<Endpoint>>,
    splits: Splits,
    unassigned: BTreeSet<ActivationId>,
    later: BTreeMap<(Timestamp, ActivationId), ()>,
    ready: Vec<ActivationId>,
    turn: usize,
    base: u64,
    again: Option<Timestamp>,
    switches: Switches,
}

/// How often a replica is sought for products that have none, milliseconds.
const SEEK_AGAIN: u64 = 5_000;

#[derive(Debug)]
struct Entry {
    product: Arc<Product>,
    replica: Option<Incarnation>,
    seq: u64,
    released: bool,
    accepted: bool,
    /// Offered in an earlier life of this process, or over a link of this one: the replica may hold it.
    exposed: bool,
    refused: BTreeSet<Incarnation>,
    instead_of: Option<Incarnation>,
}

#[derive(Debug, Default)]
struct Peer {
    next: u64,
    open: BTreeMap<u64, ActivationId>,
    /// Of `open`, those whose record is not durable yet; kept for the ledger only.
    unreleased: BTreeSet<u64>,
    linked: bool,
}

impl Outbox {
    /// The replica that stands for the ledger: one, whatever its address.
    pub const LEDGER: Incarnation = Incarnation(0);

    /// With rules switched off, for tests that show what they are for.
    pub fn with_switches(switches: Switches) -> Self {
        Self { switches, ..Self::default() }
    }

    /// Numbers start at `base`: one that is higher in every life of the owner never repeats a number.
    pub fn number_from(&mut self, base: u64) {
        self.base = base;
    }

    /// Takes over a product that a sender which has left had assigned to `replica`, and may have offered to it.
    pub fn adopt(&mut self, product: Product, replica: Incarnation, from: Incarnation) -> Assignment {
        let product = Arc::new(product);
        let activation = product.token.activation;
        let seq = self.number(replica, activation);
        let entry = Entry {
            product: Arc::clone(&product),
            replica: Some(replica),
            seq,
            released: false,
            accepted: false,
            exposed: true,
            refused: BTreeSet::new(),
            instead_of: Some(from),
        };
        self.entries.insert(activation, entry);
        Assignment { product, replica: Some(replica), seq }
    }

    /// Chooses a replica and a number for a product. The owner records the answer.
    pub fn assign(&mut self, product: Product) -> Assignment {
        self.turn = self.turn.wrapping_add(1);
        let replica = self.choose(&product, &BTreeSet::new());
        let activation = product.token.activation;
        let seq = replica.map_or(0, |r| self.number(r, activation));
        let product = Arc::new(product);
        let assignment = Assignment { product: Arc::clone(&product), replica, seq };
        let entry = Entry {
            product,
            replica,
            seq,
            released: false,
            accepted: false,
            exposed: false,
            refused: BTreeSet::new(),
            instead_of: None,
        };
        self.entries.insert(activation, entry);
        assignment
    }

    /// Takes an assignment from the journal: it may have been offered, so it is sticky.
    pub fn recover(&mut self, assignment: Assignment) {
        let Assignment { product, replica, seq } = assignment;
        let activation = product.token.activation;
        if let Some(replica) = replica {
            let peer = self.peers.entry(replica).or_default();
            peer.next = peer.next.max(seq + 1);
            peer.open.insert(seq, activation);
        }
        let entry = Entry {
            product,
            replica,
            seq,
            released: false,
            accepted: false,
            exposed: replica.is_some(),
            refused: BTreeSet::new(),
            instead_of: None,
        };
        self.entries.insert(activation, entry);
    }

    /// A recovered product is offered in the place of `from`, which has left.
    pub fn recover_adoption(&mut self, activation: ActivationId, from: Incarnation) {
        if let Some(entry) = self.entries.get_mut(&activation) {
            entry.instead_of = Some(from);
        }
    }

    /// Numbers of assignments to `replica` go on from here at least.
    pub fn recover_number(&mut self, replica: Incarnation, next: u64) {
        let peer = self.peers.entry(replica).or_default();
        peer.next = peer.next.max(next);
    }

    /// A record of a later choice, from the journal.
    pub fn recover_reassignment(&mut self, activation: ActivationId, replica: Option<Incarnation>, seq: u64) {
        if let Some(entry) = self.entries.remove(&activation) {
            self.unnumber(&entry);
            self.recover(Assignment { product: entry.product, replica, seq });
        }
    }

    /// The record of the assignment with this number is durable: the product may leave, unless it has another
    /// assignment by now, whose record is still on its way.
    pub fn durable(&mut self, activation: ActivationId, seq: u64) {
        if self.entries.get(&activation).is_some_and(|e| e.seq == seq) {
            self.release(activation);
        }
    }

    /// Whatever is recorded of this product is durable: it may leave.
    pub fn release(&mut self, activation: ActivationId) {
        let Some(entry) = self.entries.get_mut(&activation) else { return };
        entry.released = true;
        match entry.replica {
            None => {
                self.unassigned.insert(activation);
            }
            Some(replica) => {
                if let Some(peer) = self.peers.get_mut(&replica) {
                    peer.unreleased.remove(&entry.seq);
                    if peer.linked {
                        self.ready.push(activation);
                    }
                }
            }
        }
    }

    /// The offers to be sent now, oldest number first per replica.
    pub fn offers(&mut self) -> Vec<Offer> {
        let mut ready = std::mem::take(&mut self.ready);
        let entries = &mut self.entries;
        // the ledger acknowledges by "everything up to", so nothing overtakes what is not durable yet
        let gap = self.peers.get(&Self::LEDGER).and_then(|p| p.unreleased.first().copied());
        let mut offers: Vec<Offer> = ready
            .drain(..)
            .filter_map(|a| {
                let entry = entries.get_mut(&a)?;
                let replica = entry.replica?;
                if entry.accepted || !entry.released || !self.peers.get(&replica).is_some_and(|p| p.linked) {
                    return None;
                }
                if replica == Self::LEDGER && gap.is_some_and(|gap| entry.seq > gap) {
                    self.ready.push(a);
                    return None;
                }
                entry.exposed = true;
                Some(Offer {
                    replica,
                    seq: entry.seq,
                    product: Arc::clone(&entry.product),
                    instead_of: entry.instead_of,
                })
            })
            .collect();
        offers.sort_by_key(|o| (o.replica, o.seq));
        offers.dedup_by_key(|o| (o.replica, o.seq));
        offers
    }

    /// A link to `replica` has opened: everything unanswered is offered (again).
    pub fn linked(&mut self, replica: Incarnation) {
        let peer = self.peers.entry(replica).or_default();
        peer.linked = true;
        let open: Vec<ActivationId> = peer.open.values().copied().collect();
        self.ready.extend(open);
    }

    /// The link to `replica` is gone; its assignments stay.
    pub fn unlinked(&mut self, replica: Incarnation) -> Vec<Assignment> {
        if let Some(peer) = self.peers.get_mut(&replica) {
            peer.linked = false;
        }
        if !self.switches.not_sticky || replica == Self::LEDGER {
            return Vec::new();
        }
        let moved: Vec<_> = self.assigned_to(replica).collect();
        moved.into_iter().filter_map(|a| self.choose_again(a)).collect()
    }

    /// A replica has left: nothing is assigned to it any more.
    pub fn left(&mut self, replica: Incarnation) {
        self.endpoints.values_mut().for_each(|list| list.retain(|e| e.incarnation != replica));
    }

    /// Which services do the work of others from now on; what is assigned already stays where it is.
    pub fn split(&mut self, splits: Splits) {
        self.splits = splits;
    }

    /// Which services do the work of others.
    pub fn splits(&self) -> &Splits {
        &self.splits
    }

    /// Where replicas are now. Gives the assignments that changed, to be recorded and then released:
    /// products that had no replica, and those whose replica is gone from the list and was never offered them.
    pub fn endpoints(&mut self, endpoints: std::collections::HashMap<ServiceName, Vec<Endpoint>>) -> Vec<Assignment> {
        self.endpoints = endpoints;
        let present: BTreeSet<Incarnation> = self.endpoints.values().flatten().map(|e| e.incarnation).collect();
        let mut gone: Vec<ActivationId> = self
            .entries
            .iter()
            .filter(|(_, e)| {
                !e.exposed && e.released && e.replica.is_some_and(|r| r != Self::LEDGER && !present.contains(&r))
            })
            .map(|(a, _)| *a)
            .collect();
        gone.sort_unstable();
        let waiting: Vec<ActivationId> = self.unassigned.iter().copied().chain(gone).collect();
        waiting.into_iter().filter_map(|a| self.choose_again(a)).collect()
    }

    /// A link to `replica` could not be opened. Products that it was never offered may go elsewhere; where
    /// there is nobody else they wait for it.
    pub fn unreachable(&mut self, replica: Incarnation) -> Vec<Assignment> {
        let movable: Vec<ActivationId> = self
            .assigned_to(replica)
            .filter(|a| self.entries.get(a).is_some_and(|e| !e.exposed && e.released))
            .collect();
        let elsewhere = |o: &Self, a: &ActivationId| {
            o.entries.get(a).is_some_and(|e| {
                let avoided = e.refused.iter().copied().chain([replica]).collect();
                o.choose(&e.product, &avoided).is_some()
            })
        };
        movable.into_iter().filter_map(|a| if elsewhere(self, &a) { self.avoid(a, replica) } else { None }).collect()
    }

    /// The receiver has it on disk. True when that is news: the owner records DONE.
    pub fn accepted(&mut self, activation: ActivationId) -> bool {
        match self.entries.get_mut(&activation) {
            Some(entry) if !entry.accepted => {
                entry.accepted = true;
                true
            }
            _ => false,
        }
    }

    /// The ledger has every report up to `seq`. Gives those that are news.
    pub fn acked(&mut self, replica: Incarnation, seq: u64) -> Vec<ActivationId> {
        let open: Vec<ActivationId> =
            self.peers.get(&replica).map(|p| p.open.range(..=seq).map(|(_, a)| *a).collect()).unwrap_or_default();
        let sent = |a: &ActivationId| self.entries.get(a).is_some_and(|e| e.exposed);
        let sent: Vec<ActivationId> = open.into_iter().filter(sent).collect();
        sent.into_iter().filter(|a| self.accepted(*a)).collect()
    }

    /// DONE is durable (or read from the journal): the product is forgotten and the watermark may move.
    pub fn done(&mut self, activation: ActivationId) {
        if let Some(entry) = self.entries.remove(&activation) {
            self.unnumber(&entry);
            self.unassigned.remove(&activation);
        }
    }

    /// The receiver said no, and does not hold it. Gives a changed assignment to be recorded.
    pub fn refused(
        &mut self,
        activation: ActivationId,
        by: Incarnation,
        why: Refusal,
        now: Timestamp,
    ) -> Option<Assignment> {
        let entry = self.entries.get_mut(&activation)?;
        if entry.replica != Some(by) || entry.accepted {
            return None;
        }
        let wait = match why {
            Refusal::Draining | Refusal::NotServed | Refusal::Forbidden => {
                entry.exposed = false;
                return self.avoid(activation, by);
            }
            Refusal::UnknownTable => 50,
            Refusal::Full(ms) => ms.clamp(5, 10_000),
        };
        self.later.insert((now + wait, activation), ());
        None
    }

    /// Gives up a replica that has left: it never took this product.
    pub fn free(&mut self, activation: ActivationId, by: Incarnation) -> Option<Assignment> {
        let entry = self.entries.get_mut(&activation)?;
        if entry.replica != Some(by) || entry.accepted {
            return None;
        }
        entry.exposed = false;
        self.avoid(activation, by)
    }

    /// Offers again what was to wait until `now`, and seeks replicas for products that have none: whoever
    /// refused may have changed its mind. Gives changed assignments to be recorded.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Assignment> {
        while let Some(((at, activation), ())) = self.later.first_key_value().map(|(k, v)| (*k, *v)) {
            if at > now {
                break;
            }
            self.later.remove(&(at, activation));
            self.ready.push(activation);
        }
        if self.unassigned.is_empty() {
            self.again = None;
            return Vec::new();
        }
        if *self.again.get_or_insert(now + SEEK_AGAIN) > now {
            return Vec::new();
        }
        self.again = Some(now + SEEK_AGAIN);
        let waiting: Vec<ActivationId> = self.unassigned.iter().copied().collect();
        waiting.into_iter().filter_map(|a| self.choose_again(a)).collect()
    }

    /// When [`Outbox::tick`] has something to do.
    pub fn next_tick(&self) -> Option<Timestamp> {
        let later = self.later.first_key_value().map(|((at, _), ())| *at);
        later.into_iter().chain(self.again).min()
    }

    /// Every number up to it is DONE on this disk; what is sent along to `replica`.
    pub fn watermark(&self, replica: Incarnation) -> u64 {
        let Some(peer) = self.peers.get(&replica) else { return 0 };
        // numbers of earlier lives that are not open any more are done
        peer.open.first_key_value().map_or(peer.next.max(self.base).max(1), |(seq, _)| *seq) - 1
    }

    /// Products that are to go, or have gone unanswered, to `replica`.
    pub fn assigned_to(&self, replica: Incarnation) -> impl Iterator<Item = ActivationId> {
        self.peers.get(&replica).into_iter().flat_map(|p| p.open.values().copied())
    }

    /// Replicas that have something to get.
    pub fn wanted(&self) -> impl Iterator<Item = Incarnation> {
        self.peers.iter().filter(|(r, p)| **r != Self::LEDGER && !p.open.is_empty()).map(|(r, _)| *r)
    }

    /// Everything that is not done, for a checkpoint or for leaving.
    pub fn entries(&self) -> impl Iterator<Item = Assignment> {
        self.entries.values().map(|e| Assignment { product: Arc::clone(&e.product), replica: e.replica, seq: e.seq })
    }

    /// The replica that a product is assigned to.
    pub fn entry_replica(&self, activation: ActivationId) -> Option<Incarnation> {
        self.entries.get(&activation)?.replica
    }

    /// The token of a product that is not done.
    pub fn token(&self, activation: ActivationId) -> Option<&Token> {
        self.entries.get(&activation).map(|e| &e.product.token)
    }

    /// The next number for each replica, for a checkpoint.
    pub fn numbers(&self) -> impl Iterator<Item = (Incarnation, u64)> {
        self.peers.iter().map(|(r, p)| (*r, p.next))
    }

    /// How many products are not done.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when every product is done.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many products wait for a replica to appear.
    pub fn unassigned(&self) -> usize {
        self.unassigned.len()
    }

    /// Products of `service` that wait for a replica to appear.
    pub fn waiting_for(&self) -> BTreeSet<ServiceName> {
        let service = |a: &ActivationId| match &self.entries.get(a)?.product.to {
            To::Service(name) => Some(name.clone()),
            To::Ledger | To::Incident(_) | To::Wait(_) | To::Callback(_) | To::Cancelled => None,
        };
        self.unassigned.iter().filter_map(service).collect()
    }
}

#[cfg(test)]
mod tests;
