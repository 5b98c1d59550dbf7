//! From journal to state, and from state to a checkpoint.

use std::collections::HashMap;

use hop::{Assignment, Origin};
use routing::step::{self, Activity};
use routing::{InstanceId, Token};

use super::{ActivationId, After, Arc, Config, Core, Output, Record, Timestamp};

impl Core {
    /// The state that the journal's records describe. Held tokens start again at [`Core::begin`].
    pub fn recover(config: Config, records: impl IntoIterator<Item = Record>) -> Self {
        let mut core = Self::new(config);
        let mut held: HashMap<ActivationId, (Arc<Token>, Origin, Timestamp)> = HashMap::new();
        let mut order = Vec::new();
        for record in records {
            match record {
                Record::Accepted { token, origin, activated } => {
                    core.inbox.take(token.activation, origin);
                    core.inbox.durable(token.activation);
                    order.push(token.activation);
                    held.insert(token.activation, (token, origin, activated));
                }
                Record::Decided { activation, instance: _, origin, products } => {
                    held.remove(&activation);
                    if let Some(origin) = origin {
                        core.inbox.take(activation, origin);
                        core.inbox.durable(activation);
                    }
                    products.into_iter().for_each(|p| core.outbox.recover(p));
                }
                Record::Reassigned { activation, replica, seq } => {
                    core.outbox.recover_reassignment(activation, replica, seq)
                }
                Record::Done(activation) => core.outbox.done(activation),
                Record::Released { sender, watermark: u64::MAX } => {
                    core.inbox.settled(sender);
                }
                Record::Released { sender, watermark } => {
                    core.inbox.released(sender, watermark);
                }
                Record::Numbered { replica, next } => core.outbox.recover_number(replica, next),
                Record::Leaving => core.gone = true,
            }
        }
        core.orphans = order.into_iter().filter_map(|a| held.remove(&a)).collect();
        core
    }

    /// Starts again what was held, and lets unanswered products leave.
    pub fn begin(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.gone {
            return self.leave_again(now);
        }
        let products: Vec<ActivationId> = self.outbox.entries().map(|a| a.product.token.activation).collect();
        products.into_iter().for_each(|p| self.outbox.release(p));
        for (token, origin, activated) in std::mem::take(&mut self.orphans) {
            self.resume(now, token, origin, activated, out);
        }
        self.tick(now, out);
    }

    /// A recorded token goes on; without its table it waits for it.
    pub(super) fn resume(
        &mut self,
        now: Timestamp,
        token: Arc<Token>,
        origin: Origin,
        activated: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let table = self.tables.get(&token.definition).and_then(|t| t.get(&token.element)).cloned();
        let Some((table, node)) = table.and_then(|t| t.find(token.element.as_str()).map(|n| (t, n))) else {
            out.push(Output::WantTables(token.definition));
            self.orphans.push((token, origin, activated));
            return;
        };
        if self.closed.has(&token.instance) {
            self.give_back(token, Some(origin), &table, now, out);
            return;
        }
        let activation = token.activation;
        let activity = Activity { activated, ..Activity::new(&token, now) };
        self.insert(token, origin, table, node, activity, true);
        self.step(now, activation, step::Input::Activated, out);
    }

    /// Everything that is alive, as records that recover to the same state.
    pub fn checkpoint(&self) -> Vec<Record> {
        let mut numbers: Vec<_> = self.outbox.numbers().collect();
        numbers.sort_unstable();
        let numbered = numbers.into_iter().map(|(replica, next)| Record::Numbered { replica, next });
        let mut recorded: Vec<_> = self.held.values().filter(|h| h.recorded).collect();
        recorded.sort_by_key(|h| h.token.activation);
        let held = recorded.into_iter().map(|h| Record::Accepted {
            token: h.token.clone(),
            origin: h.origin,
            activated: h.activity.activated,
        });
        let orphans = self.orphans.iter().map(|(token, origin, activated)| Record::Accepted {
            token: token.clone(),
            origin: *origin,
            activated: *activated,
        });
        let mut products: Vec<Assignment> = self.outbox.entries().collect();
        products.sort_by_key(|a| a.product.token.activation);
        let outbox = (!products.is_empty()).then(|| Record::Decided {
            activation: ActivationId::default(),
            instance: InstanceId::from(""),
            origin: None,
            products,
        });
        // also those decided a moment ago: this replaces records that are not yet durable, too
        let decided = self.recorded_ids().flat_map(|(activation, origins)| {
            origins.iter().map(move |origin| Record::Decided {
                activation,
                instance: InstanceId::from(""),
                origin: Some(*origin),
                products: Vec::new(),
            })
        });
        // a DONE on its way to the disk is replaced, too, and will be taken for durable
        let done = self.after.iter().filter_map(|(_, after)| match after {
            After::Done(product) => Some(Record::Done(*product)),
            After::Accept(_) | After::Decided(..) | After::Release(..) | After::Leave => None,
        });
        let leaving = self.gone.then_some(Record::Leaving);
        numbered.chain(decided).chain(held).chain(orphans).chain(outbox).chain(done).chain(leaving).collect()
    }
}
