//! Standing still for flowd: no call of a task is started while the container beside this sidecar is made anew.
//!
//! Tokens are taken meanwhile, are on disk, and wait. flowd says when it begins and when it ends, and is told when the last call has ended. Nobody
//! else may end it but a drain, which finishes what is here, and time: a flowd that is gone cannot say that the task is back.

use proto::v1;
use routing::Timestamp;

use super::{Engine, Input, Phase};

/// How long a sidecar stands still without flowd, milliseconds: longer than the next flowd takes to lead.
const ALONE: u64 = 30_000;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Quiesce {
    on: bool,
    /// flowd knows that no call runs.
    told: bool,
    /// It goes on then if flowd is still away.
    until: Option<Timestamp>,
}

impl Quiesce {
    /// When [`Engine::quiesce_step`] has something to do though nothing happens.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.until
    }

    /// flowd is away.
    pub(super) fn alone(&mut self, now: Timestamp) {
        self.until = self.on.then(|| now + ALONE);
    }
}

impl Engine {
    /// As flowd's bindings have it.
    pub(super) fn quiesce(&mut self, bindings: &v1::Bindings) {
        let on = bindings.quiesce && matches!(self.phase, Phase::Running);
        if self.quiesce.on != on {
            tracing::info!(on, "flowd has the task stand still, or go on");
            self.inputs.push(Input::Quiesce(on));
        }
        self.quiesce = Quiesce { on, told: false, until: None };
    }

    /// Calls go on, whatever flowd says.
    pub(super) fn go_on(&mut self) {
        if std::mem::take(&mut self.quiesce).on {
            self.inputs.push(Input::Quiesce(false));
        }
    }

    /// Tells whoever waits for it that no call runs; after the outputs of a batch, so that none is about to begin.
    pub(super) fn quiesce_step(&mut self, now: Timestamp) {
        if self.quiesce.until.is_some_and(|at| at <= now) {
            tracing::warn!("flowd has been away since it had the task stand still; going on without it");
            self.go_on();
        }
        let still = self.quiesce.on || !matches!(self.phase, Phase::Running);
        let quiet = still && self.parts.calls.running() == 0;
        self.parts.quiet.set(quiet);
        if quiet && self.quiesce.on && self.greeted && !std::mem::replace(&mut self.quiesce.told, true) {
            self.parts.control.outgoing.quiet(self.bindings_version);
        }
    }
}
