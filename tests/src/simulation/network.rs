//! Links between processes: numbered frames, as the hop and the control stream have them. A gap or a repeat
//! ends a link; each side learns of an end in its own time.

use std::collections::BTreeMap;
use std::sync::Arc;

use hop::Refusal;
use routing::{ActivationId, Digest, Incarnation, InstanceId, Product, Token};
use sidecar::core::{Bindings, Closed, Leaving};

use super::faults::Fault;
use super::world::{Event, FLOWD, Proc, World};

/// A link's number, never used again.
pub(super) type LinkId = u64;

/// What travels.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    Hello { incarnation: Incarnation, boot: u64, link: u64, draining: bool },
    Welcome(Incarnation),
    Offers(u64, Vec<(u64, Token)>, Vec<Incarnation>),
    Tables(Vec<Digest>),
    Accepted(ActivationId),
    Refused(ActivationId, Refusal),
    Report(u64, Arc<Product>),
    Want(Digest),
    Whereabouts(Incarnation, Vec<ActivationId>),
    Leaving(Box<Leaving>),
    Draining,
    Acked(u64),
    Bindings(Box<Bindings>),
    Closed(Vec<Closed>),
    AllClosed(Vec<Closed>),
    Reopened(InstanceId),
    Fates(Incarnation, Vec<(ActivationId, bool)>),
    Left,
}

/// One link. Side 0 opened it, side 1 was called.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) ends: [Proc; 2],
    pub(super) lives: [u64; 2],
    pub(super) control: bool,
    /// Whom side 0 wants to reach; on hop links.
    pub(super) wanted: Incarnation,
    sent: [u64; 2],
    got: [u64; 2],
    closed: [bool; 2],
    last_at: [u64; 2],
}

/// The links of one process to replicas' hop ports.
#[derive(Debug, Default)]
pub(super) struct Peers {
    pub(super) links: BTreeMap<Incarnation, Peer>,
    pub(super) addresses: BTreeMap<Incarnation, Proc>,
    pub(super) opened: u64,
}

#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) link: Option<LinkId>,
    pub(super) open: bool,
    pub(super) retry_at: u64,
}

impl World {
    /// Calls `to`; `Event::Refused` follows when nothing listens there.
    pub(super) fn connect(&mut self, from: Proc, to: Proc, control: bool, wanted: Incarnation, hello: Frame) -> LinkId {
        self.links_made += 1;
        let id = self.links_made;
        let lives = [self.life(from), self.life(to)];
        let link = Link {
            ends: [from, to],
            lives,
            control,
            wanted,
            sent: [0; 2],
            got: [0; 2],
            closed: [false; 2],
            last_at: [0; 2],
        };
        self.links.insert(id, link);
        if self.is_up(to) {
            self.send(id, 0, hello);
            self.after(3_000_000, Event::NotOpened(id));
        } else {
            let wait = self.random.between(50, 2_000);
            self.after(wait, Event::NotOpened(id));
        }
        id
    }

    /// Sends from one side of a link; nothing happens when that side knows that it has ended.
    pub(super) fn send(&mut self, id: LinkId, side: usize, frame: Frame) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if link.closed[side] {
            return;
        }
        link.sent[side] += 1;
        let (n, ends) = (link.sent[side], link.ends);
        let faults = &mut self.faults;
        let mut delay = self.random.between(20, 400);
        if faults.hit(Fault::FrameLate, &mut self.random) {
            delay += self.random.between(50_000, 4_000_000);
        }
        let fifo = !faults.hit(Fault::FrameOvertakes, &mut self.random);
        let at = if fifo { (self.now + delay).max(link.last_at[side]) } else { self.now + delay + 2_000 };
        if fifo {
            link.last_at[side] = at;
        }
        let cut = self.partitions.contains(&(ends[0].min(ends[1]), ends[0].max(ends[1])));
        if cut || self.faults.hit(Fault::FrameLost, &mut self.random) {
            let late = self.random.between(200_000, 2_000_000);
            self.after(late, Event::Ended(id, 0));
            self.after(late + 1_000, Event::Ended(id, 1));
            return;
        }
        if self.faults.hit(Fault::FrameTwice, &mut self.random) {
            self.at(at + 50, Event::Frame(id, 1 - side, n, frame.clone()));
        }
        self.at(at, Event::Frame(id, 1 - side, n, frame));
    }

    /// A frame has come to one side.
    pub(super) fn deliver(&mut self, id: LinkId, side: usize, n: u64, frame: Frame) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let to = link.ends[side];
        if link.closed[side] || link.lives[side] != self.lives[to] || !self.is_up(to) {
            return;
        }
        let Some(link) = self.links.get_mut(&id) else { return };
        if n != link.got[side] + 1 {
            self.end(id, side);
            return;
        }
        link.got[side] = n;
        if to == FLOWD { self.flowd_frame(id, side, frame) } else { self.sidecar_frame(to, id, side, frame) }
    }

    /// One side ends a link; the other hears of it later.
    pub(super) fn end(&mut self, id: LinkId, side: usize) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if std::mem::replace(&mut link.closed[side], true) {
            return;
        }
        let (to, life, wanted, control) = (link.ends[side], link.lives[side], link.wanted, link.control);
        let late = if self.faults.hit(Fault::HalfOpen, &mut self.random) { 1_500_000 } else { 2_000 };
        let wait = self.random.between(20, late);
        self.after(wait, Event::Ended(id, 1 - side));
        if self.lives[to] == life && self.is_up(to) {
            if to == FLOWD {
                self.flowd_unlinked(id, side, wanted, control)
            } else {
                self.sidecar_unlinked(to, id, side, wanted, control)
            }
        }
        if self.links.get(&id).is_some_and(|l| l.closed == [true; 2]) {
            self.links.remove(&id);
        }
    }

    /// A link was not opened in time, or there was nobody.
    pub(super) fn not_opened(&mut self, id: LinkId) {
        let Some(link) = self.links.get(&id) else { return };
        if link.got[0] == 0 {
            self.end(id, 0);
        }
    }

    /// A process is gone: its links end, seen from the other sides.
    pub(super) fn end_all(&mut self, proc: Proc) {
        let ids: Vec<(LinkId, usize)> = self
            .links
            .iter()
            .flat_map(|(id, l)| [(*id, 0), (*id, 1)].into_iter().filter(|(_, s)| l.ends[*s] == proc))
            .collect();
        for (id, side) in ids {
            self.end(id, side);
        }
    }

    /// Opens links to the replicas that a process has something for.
    pub(super) fn connect_wanted(&mut self, proc: Proc) {
        let mut wanted: Vec<Incarnation> = match proc {
            FLOWD => self.flowd.process.as_ref().map(|p| p.ledger.wanted_peers().collect()).unwrap_or_default(),
            _ => self.hosts[proc].process.as_ref().map(|p| p.core.wanted_peers().collect()).unwrap_or_default(),
        };
        if !self.faults.on
            && let Some(peers) = self.peers(proc)
        {
            wanted.extend(peers.addresses.keys().copied());
        }
        wanted.sort_unstable();
        wanted.dedup();
        for replica in wanted {
            self.connect_to(proc, replica);
        }
    }

    fn connect_to(&mut self, proc: Proc, replica: Incarnation) {
        let now = self.now;
        let own = self.identity(proc);
        let Some(peers) = self.peers(proc) else { return };
        let address = peers.addresses.get(&replica).copied();
        let peer = peers.links.entry(replica).or_default();
        if peer.link.is_some() || peer.retry_at > now {
            return;
        }
        peer.retry_at = now + 200_000;
        self.after(200_001, Event::Tick(proc, self.life(proc)));
        match address {
            Some(to) => {
                let Some(peers) = self.peers(proc) else { return };
                peers.opened += 1;
                let hello = Frame::Hello { incarnation: own.0, boot: own.1, link: peers.opened, draining: false };
                let id = self.connect(proc, to, false, replica, hello);
                if let Some(peers) = self.peers(proc) {
                    peers.links.entry(replica).or_default().link = Some(id);
                }
            }
            None => self.unreachable(proc, replica),
        }
    }

    /// A link of ours has ended: was it ever open?
    pub(super) fn peer_ended(&mut self, proc: Proc, id: LinkId, replica: Incarnation) -> Option<bool> {
        let peer = self.peers(proc)?.links.get_mut(&replica).filter(|p| p.link == Some(id))?;
        peer.link = None;
        Some(std::mem::take(&mut peer.open))
    }
}
