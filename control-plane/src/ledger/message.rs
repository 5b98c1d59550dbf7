//! Messages and signals: from who throws them to who waits for them.

use routing::instance::{On, Published, Subscription};
use routing::{ActivationId, InstanceId, Payload};

use super::{Ledger, Output, Timestamp};

impl Ledger {
    /// A record waits for a message of this name now.
    pub(super) fn subscribed(&mut self, name: &str, instance: &InstanceId, activation: ActivationId) {
        self.messages.entry(name.to_owned()).or_default().insert((instance.clone(), activation));
    }

    /// A message goes to who waits for it.
    pub(super) fn publish(&mut self, now: Timestamp, message: Published, out: &mut Vec<Output>) {
        let waiting: Vec<_> = self.messages.get(&message.name).into_iter().flatten().cloned().collect();
        for (instance, activation) in waiting {
            let Some(stay) = self.instances.get(&instance).and_then(|o| o.inner.stay(activation)) else { continue };
            let matches = |s: &&Subscription| match &s.on {
                On::Message { name, key, .. } => *name == message.name && (key.is_none() || *key == message.key),
                _ => false,
            };
            if let Some(what) = stay.subscriptions.iter().find(matches).cloned() {
                self.run(now, &instance, out, |run| {
                    run.fire(activation, &what, Some(&message.payload));
                });
                return;
            }
        }
    }

    /// A signal goes to everybody who waits for it.
    pub(super) fn broadcast(&mut self, now: Timestamp, name: &str, payload: &Payload, out: &mut Vec<Output>) {
        let waiting: Vec<_> = self.signals.get(name).into_iter().flatten().cloned().collect();
        for (instance, activation) in waiting {
            let Some(stay) = self.instances.get(&instance).and_then(|o| o.inner.stay(activation)) else { continue };
            let all: Vec<Subscription> =
                stay.subscriptions.iter().filter(|s| matches!(&s.on, On::Signal(n) if n == name)).cloned().collect();
            for what in all {
                self.run(now, &instance, out, |run| {
                    run.fire(activation, &what, Some(payload));
                });
            }
        }
    }
}
