//! Going: finish what runs, hand the rest to the ledger; and asking after replicas that have gone.

use routing::step::CallFailure;
use routing::{Product, To};

use super::{ActivationId, Core, Incarnation, Leaving, Output, Timestamp, Token};

/// How often the ledger is asked after a replica that has left, milliseconds.
pub(super) const ASK_AGAIN: u64 = 5_000;

impl Core {
    pub(super) fn go_if_drained(&mut self, out: &mut Vec<Output>) {
        if self.draining && !self.gone && self.held.is_empty() && self.orphans.is_empty() && self.outbox.is_empty() {
            self.flush_lazy(out);
            out.push(Output::Drained);
        }
    }

    /// True when no task is being called: nothing is gained by waiting longer.
    pub fn is_idle(&self) -> bool {
        self.held.values().all(|h| !h.calling)
    }

    /// Hands over everything that is left. Nothing is decided here from now on.
    pub fn leave(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if std::mem::replace(&mut self.gone, true) {
            return;
        }
        let calling: Vec<ActivationId> = self.held.iter().filter(|(_, h)| h.calling).map(|(a, _)| *a).collect();
        out.extend(calling.into_iter().map(Output::Abort));
        let offer = |token: Token, service| Product { token, to: To::Service(service) };
        let mut held: Vec<Product> = Vec::new();
        // what was not recorded was not accepted either: its sender still has it and may go elsewhere
        for (_, h) in self.held.drain().filter(|(_, h)| h.recorded) {
            held.push(offer(Token { attempts: h.activity.attempts, ..h.token }, h.service));
        }
        held.extend(self.orphans.drain(..).map(|(token, _, _)| Product { token, to: To::Wait(now) }));
        let unfinished = self.outbox.entries().collect();
        let accepted = self.inbox.remembered().map(|(a, _)| a).collect();
        out.push(Output::Leave(Leaving { held, unfinished, accepted }));
    }

    pub(super) fn ask_whereabouts(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.asked = None;
        let left: Vec<Incarnation> = self.left.iter().copied().collect();
        for replica in left {
            let waiting: Vec<ActivationId> = self.outbox.assigned_to(replica).collect();
            if !waiting.is_empty() {
                self.asked = Some(now);
                out.push(Output::Whereabouts(replica, waiting));
            }
        }
    }

    /// What a call is told when the process goes before its answer.
    pub fn interrupted_call() -> CallFailure {
        CallFailure::Broken("the sidecar is going".into())
    }
}
