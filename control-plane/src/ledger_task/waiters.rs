//! Those who wait for an instance to come to rest.

use foldhash::{HashMap, HashMapExt as _};
use std::sync::Arc;

use routing::InstanceId;
use tokio::sync::oneshot;

use super::command::Settled;
use crate::ledger::{InstanceView, State};

/// Dropped waits are swept out when so many have gathered at least.
const SWEEP: usize = 1024;

/// By instance. A wait that nobody is interested in any more is swept out in time.
#[derive(Debug)]
pub(super) struct Waiters {
    of: HashMap<InstanceId, Vec<oneshot::Sender<Settled>>>,
    sweep_at: usize,
}

impl Default for Waiters {
    fn default() -> Self {
        Self { of: HashMap::new(), sweep_at: SWEEP }
    }
}

impl Waiters {
    pub(super) fn add(&mut self, instance: InstanceId, waiter: oneshot::Sender<Settled>) {
        if self.of.len() >= self.sweep_at {
            self.of.retain(|_, waiters| {
                waiters.retain(|it| !it.is_closed());
                !waiters.is_empty()
            });
            self.sweep_at = (2 * self.of.len()).max(SWEEP);
        }
        self.of.entry(instance).or_default().push(waiter);
    }

    /// Takes out everyone who waits for `instance`.
    pub(super) fn take(&mut self, instance: &InstanceId) -> Vec<oneshot::Sender<Settled>> {
        self.of.remove(instance).unwrap_or_default()
    }

    /// Tells those who wait for it, if the instance has come to rest.
    pub(super) fn changed(&mut self, view: &Arc<InstanceView>) {
        if !has_settled(view) || self.of.is_empty() {
            return;
        }
        for waiter in self.take(&view.id) {
            // nobody listens when the wait has timed out
            let _ = waiter.send(Settled::Now(view.clone()));
        }
    }

    /// Nobody waits any more: flowd is going.
    pub(super) fn clear(&mut self) {
        self.of.clear();
    }
}

/// Ended, or waiting for an operator (`--wait` returns at the first incident).
pub(super) fn has_settled(view: &InstanceView) -> bool {
    view.state.is_closed() || view.state == State::Stopped || !view.incidents.is_empty()
}
