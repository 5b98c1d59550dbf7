//! Suspended instances: what comes from outside is taken in, and no token goes on to another element.
//!
//! A token that would move stays with [`Reason::Suspended`] where it was about to go: an answer that a service gives, a message, a user
//! task that somebody completes take effect on the element that they are for and no further. Timers are the shell's to hold back.

use super::{Instance, Reason, Run};
use crate::token::{Product, To, Token};

impl Instance {
    /// True while no token goes on.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Tokens stop, or may go on; [`Run::go_on`] moves those that have stopped.
    pub fn set_suspended(&mut self, suspended: bool) {
        self.suspended = suspended;
    }
}

impl Run<'_> {
    /// The instance is resumed: the tokens that it stopped go on, in the order in which they came.
    pub fn go_on(mut self) {
        self.instance.set_suspended(false);
        let mut stopped: Vec<_> = (self.instance.stays())
            .filter(|stay| stay.reason == Reason::Suspended)
            .map(|stay| (stay.order, stay.token.activation))
            .collect();
        stopped.sort_unstable();
        for (_, activation) in stopped {
            if let Some(stay) = self.instance.take(activation) {
                // the ledger offers what is a service's
                self.pending.push_back(Product { token: stay.token, to: To::Ledger });
                self.instance.saw(activation);
            }
        }
        self.stirred = true;
        self.settle();
    }

    /// A token stops before the element that it was about to enter.
    pub(super) fn park(&mut self, token: Token) {
        if self.is_open(token.scope) {
            self.stay(token, Reason::Suspended, Vec::new());
        }
    }
}
