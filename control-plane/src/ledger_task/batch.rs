//! What one commit carries, and what goes once it is durable.

use crate::ledger::Output;
use crate::store::Write;

/// Something that goes when everything written before it is durable.
pub(super) enum Effect {
    /// Of the ledger.
    Ledger(Output),
    /// The answer to a question, made when it was asked.
    Reply(Box<dyn FnOnce() + Send>),
}

/// Writes and effects, in the order in which they came.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) groups: Vec<Vec<Write>>,
    /// The mark of the last group; 0 without any.
    pub(super) mark: u64,
    pub(super) effects: Vec<Effect>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.mark == 0 && self.effects.is_empty()
    }

    /// Adds a write, or an effect behind the writes so far.
    pub(super) fn take(&mut self, output: Output) {
        match output {
            Output::Write(mark, changes) => {
                let write =
                    |(key, value): (Vec<u8>, Option<Vec<u8>>)| Write { key: key.into(), value: value.map(Into::into) };
                self.groups.push(changes.into_iter().map(write).collect());
                self.mark = mark;
            }
            effect => self.effects.push(Effect::Ledger(effect)),
        }
    }
}
