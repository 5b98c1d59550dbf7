//! Suspended instances: what comes from outside is taken in, and no token goes on to another element. An instance that a failure has closed is
//! kept in the same way, so that it can be run again.
//!
//! A token that would move stays with [`Reason::Suspended`] where it was about to go: an answer that a service gives, a message, a user
//! task that somebody completes take effect on the element that they are for and no further. Timers are the shell's to hold back.

use super::{Instance, Reason, Run};
use crate::token::{Product, To, Token};

/// How long a token that a sidecar has given back waits until it is offered again, milliseconds.
const GIVEN_BACK: u64 = 500;

impl Instance {
    /// True while no token goes on.
    pub fn is_suspended(&self) -> bool {
        self.suspended || self.failed
    }

    /// A failure closes it: tokens stop where they are. False if one has closed it before.
    pub fn fail(&mut self) -> bool {
        !std::mem::replace(&mut self.failed, true)
    }

    /// True when a failure has closed it.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// It is run again; [`Run::go_on`] moves the tokens that have stopped.
    pub fn reopen(&mut self) {
        self.failed = false;
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

    /// A sidecar has let go of a token that it had not decided on, because it was told that the instance is closed: it was, and is open again.
    /// The sidecar may not have heard that yet, so the token is not offered at once.
    pub(super) fn given_back(&mut self, token: Token) {
        let token = token.anew(false, self.now);
        if self.instance.is_suspended() {
            self.park(token);
        } else {
            self.stay(token, Reason::Again(self.now + GIVEN_BACK), Vec::new());
        }
    }

    /// A token stops before the element that it was about to enter.
    pub(super) fn park(&mut self, token: Token) {
        if self.is_open(token.scope) {
            self.stay(token, Reason::Suspended, Vec::new());
        }
    }
}
