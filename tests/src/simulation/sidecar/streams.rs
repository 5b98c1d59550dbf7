//! The links of a simulated sidecar: its control stream, the replicas it offers to, and who offers to it.

use ::sidecar::core::{Bindings, Input, Sender};
use routing::{ActivationId, Incarnation};

use super::tables_of;
use crate::simulation::network::{Frame, LinkId};
use crate::simulation::world::{Event, FLOWD, Proc, World};

impl World {
    pub(in crate::simulation) fn connect_control(&mut self, proc: Proc) {
        let now = self.now;
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        if process.control.is_some() || process.control_retry > now {
            return;
        }
        process.control_retry = now + 300_000;
        process.peers.opened += 1;
        let (link, draining) = (process.peers.opened, process.core.is_draining());
        let (incarnation, boot) = self.identity(proc);
        let hello = Frame::Hello { incarnation, boot, link, draining };
        self.after(300_001, Event::Tick(proc, self.life(proc)));
        let id = self.connect(proc, FLOWD, true, Incarnation(0), hello);
        if let Some(process) = self.hosts[proc].process.as_mut() {
            process.control = Some(id);
        }
    }

    pub(in crate::simulation) fn sidecar_frame(&mut self, proc: Proc, id: LinkId, side: usize, frame: Frame) {
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        match frame {
            Frame::Hello { incarnation, boot, link, .. } => self.sender_hello(proc, id, incarnation, (boot, link)),
            Frame::Welcome(incarnation) => {
                let Some(link) = self.links.get(&id) else { return };
                if link.control {
                    process.control_open = true;
                    for digest in process.wants.clone() {
                        self.send(id, 0, Frame::Want(digest));
                    }
                    self.sidecar_handle(proc, Input::LedgerLinked);
                } else if link.wanted == incarnation {
                    if let Some(peer) = process.peers.links.get_mut(&incarnation) {
                        peer.open = true;
                    }
                    self.sidecar_handle(proc, Input::PeerLinked(incarnation));
                } else {
                    self.end(id, side);
                }
            }
            Frame::Offers(watermark, offers, replaced) => {
                self.sidecar_handle(proc, Input::Replaced(id, replaced));
                self.sidecar_handle(proc, Input::Offered(id, watermark, offers));
            }
            Frame::Tables(digests) => {
                for digest in digests {
                    self.hosts[proc].tables.insert(digest);
                    if let Some(process) = self.hosts[proc].process.as_mut() {
                        process.wants.remove(&digest);
                    }
                    self.sidecar_handle(proc, Input::Tables(digest, tables_of(digest)));
                }
            }
            Frame::Accepted(activation) => self.answered(proc, id, vec![activation], vec![]),
            Frame::Refused(activation, why) => self.answered(proc, id, vec![], vec![(activation, why)]),
            Frame::Acked(seq) => self.sidecar_handle(proc, Input::LedgerAcked(seq)),
            Frame::Bindings(bindings) => self.learn(proc, *bindings),
            Frame::Closed(instances) => self.sidecar_handle(proc, Input::Closed(instances)),
            Frame::AllClosed(instances) => self.sidecar_handle(proc, Input::AllClosed(instances)),
            Frame::Reopened(instance) => self.sidecar_handle(proc, Input::Reopened(vec![instance])),
            Frame::Fates(replica, fates) => self.sidecar_handle(proc, Input::Fates(replica, fates)),
            Frame::Left => self.left(proc),
            Frame::Report(..) | Frame::Want(_) | Frame::Whereabouts(..) | Frame::Leaving(_) | Frame::Draining => {}
        }
    }

    fn answered(&mut self, proc: Proc, id: LinkId, yes: Vec<ActivationId>, no: Vec<(ActivationId, hop::Refusal)>) {
        let Some(replica) = self.links.get(&id).map(|l| l.wanted) else { return };
        self.sidecar_handle(proc, Input::PeerAnswered(replica, yes, no));
    }

    /// A sender says hello: an older link of it, or one that is late, is void.
    fn sender_hello(&mut self, proc: Proc, id: LinkId, sender: Incarnation, number: (u64, u64)) {
        let own = self.hosts[proc].incarnation;
        let from = self.links.get(&id).map(|l| l.ends[0]);
        let Some(process) = self.hosts[proc].process.as_mut() else { return };
        let newest = process.newest.entry(sender).or_default();
        if *newest >= number {
            return self.end(id, 1);
        }
        *newest = number;
        let ledger = from == Some(FLOWD);
        let serves = from.map(|f| self.hosts[f].serves.clone()).unwrap_or_default();
        self.sidecar_handle(proc, Input::Linked(id, Sender { incarnation: sender, ledger, serves }));
        self.send(id, 1, Frame::Welcome(own));
    }

    pub(in crate::simulation) fn learn(&mut self, proc: Proc, bindings: Bindings) {
        self.hosts[proc].bindings = Some(bindings.clone());
        if let Some(process) = self.hosts[proc].process.as_mut() {
            let found = bindings.endpoints.values().flatten();
            process.peers.addresses = found.filter_map(|e| Some((e.incarnation, e.address.parse().ok()?))).collect();
        }
        self.sidecar_handle(proc, Input::Bindings(bindings));
    }

    pub(in crate::simulation) fn sidecar_unlinked(
        &mut self,
        proc: Proc,
        id: LinkId,
        side: usize,
        wanted: Incarnation,
        control: bool,
    ) {
        if side == 1 {
            return self.sidecar_handle(proc, Input::Unlinked(id));
        }
        if control {
            let Some(process) = self.hosts[proc].process.as_mut().filter(|p| p.control == Some(id)) else { return };
            process.control = None;
            self.after(100_000, Event::Tick(proc, self.lives[proc]));
            let Some(process) = self.hosts[proc].process.as_mut() else { return };
            if std::mem::take(&mut process.control_open) {
                self.sidecar_handle(proc, Input::LedgerUnlinked);
            }
            return;
        }
        match self.peer_ended(proc, id, wanted) {
            Some(true) => self.sidecar_handle(proc, Input::PeerUnlinked(wanted)),
            Some(false) => self.unreachable(proc, wanted),
            None => {}
        }
    }

    pub(in crate::simulation) fn unreachable(&mut self, proc: Proc, replica: Incarnation) {
        if proc == FLOWD {
            self.flowd_handle(control_plane::ledger::Input::Unreachable(replica));
        } else {
            self.sidecar_handle(proc, Input::PeerUnreachable(replica));
        }
    }
}
