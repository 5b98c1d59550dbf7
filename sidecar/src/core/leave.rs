//! Going: finish what runs, hand the rest to the ledger; and asking after replicas that have gone.

use hop::Origin;
use routing::step::CallFailure;
use routing::table::Place;
use routing::{Product, To};

use super::{ActivationId, After, Core, Incarnation, Input, Leaving, Output, Record, Timestamp, Token};

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

    /// Hands over everything that is left. Nothing is decided here from now on, also not after a crash:
    /// the record of it is durable before [`Output::Leave`] comes, which is repeated with every new stream
    /// to flowd until [`super::Input::Left`]. The journal is of no use afterwards.
    pub fn leave(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if std::mem::replace(&mut self.gone, true) {
            return;
        }
        self.draining = true;
        self.tell_accepted(now, out);
        let mut calling: Vec<ActivationId> = self.held.iter().filter(|(_, h)| h.calling).map(|(a, _)| *a).collect();
        calling.sort_unstable();
        out.extend(calling.into_iter().map(Output::Abort));
        self.write(Record::Leaving, After::Leave, out);
        self.leaving = Some(self.everything(now));
    }

    /// What is handed over: the same, whether asked before a crash or after it.
    fn everything(&self, now: Timestamp) -> Leaving {
        // what was not recorded was not accepted either: its sender still has it and may go elsewhere
        // it is for the service of the model, whoever was to do it here
        let held = self.held.values().filter(|h| h.recorded).map(|h| {
            let place = &h.table.table().node(h.node).place;
            let service = if let Place::Service(service) = place { service } else { &h.service };
            let token = Token { attempts: h.activity.attempts, ..Token::clone(&h.token) };
            Product { token, to: To::Service(service.clone()) }
        });
        let orphans =
            self.orphans.iter().map(|(token, _, _)| Product { token: Token::clone(token), to: To::Wait(now) });
        let mut held: Vec<Product> = held.chain(orphans).collect();
        held.sort_by_key(|p| p.token.activation);
        let mut unfinished: Vec<_> = self.outbox.entries().collect();
        unfinished.sort_by_key(|a| a.product.token.activation);
        let accepted = self.recorded_ids().map(|(a, _)| a).collect();
        Leaving { held, unfinished, accepted }
    }

    /// Remembered ids that a record exists of, on disk or on its way there.
    pub(super) fn recorded_ids(&self) -> impl Iterator<Item = (ActivationId, &[Origin])> {
        self.inbox.remembered().into_iter().filter(|(a, _)| self.held.get(a).is_none_or(|h| h.recorded))
    }

    pub(super) fn leave_durably(&mut self, out: &mut Vec<Output>) {
        out.extend(self.leaving.clone().map(Output::Leave));
    }

    /// After a crash: it was leaving, so it goes on leaving.
    pub(super) fn leave_again(&mut self, now: Timestamp) {
        self.leaving = Some(self.everything(now));
    }

    pub(super) fn handle_gone(&mut self, now: Timestamp, input: &Input, out: &mut Vec<Output>) {
        match input {
            Input::Written(mark) => self.written(now, *mark, out),
            Input::LedgerLinked if self.after.is_empty() => self.leave_durably(out),
            Input::Left => out.push(Output::Drained),
            _ => {}
        }
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
