//! Between the ledger and a broker: produces what instances throw, and feeds the ledger what topics have.
//!
//! ```text
//! ledger (thrown, stored) --> produce --> broker, then forgotten in the ledger
//! broker --> feed of a topic --> ledger (effect and offset, one group), then told to the broker
//! ```
//!
//! Promises: a message leaves the ledger's outbox only when the broker has it; the broker hears of an offset only when it is durable
//! here. While the broker is away everything else goes on: what is thrown waits in the store. Decides nothing about messages.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::drain::DrainWatcher;
use tokio_util::task::AbortOnDropHandle;

use super::client::{Client, Fault, Feed as _};
use crate::ledger::{Consumed, Thrown};
use crate::ledger_task::{Handle, Refused};
use crate::metrics::Topics as Metrics;

/// Messages produced at a time.
const BATCH: usize = 128;
/// When messages that the broker refused are tried again.
const REFUSED_AGAIN: Duration = Duration::from_secs(60);
/// How long to wait when the ledger has no room.
const FULL: Duration = Duration::from_secs(1);

/// How long to wait before the next try: ever longer, up to ten seconds, and never as long as somebody else.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(10);

    /// As if so many tries had failed already.
    pub(crate) fn after(tries: usize) -> Self {
        Self { tries: u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX) }
    }

    /// The next wait; `random` is between 0 and 1.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let full = Self::FIRST.saturating_mul(1 << self.tries.min(10)).min(Self::LONGEST);
        self.tries = self.tries.saturating_add(1);
        full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.next(rand::random())).await;
    }
}

/// What both directions work with.
pub(crate) struct Pump<C> {
    pub(crate) client: C,
    pub(crate) ledger: Handle,
    pub(crate) metrics: Metrics,
}

impl<C: Client> Clone for Pump<C> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), ledger: self.ledger.clone(), metrics: self.metrics.clone() }
    }
}

impl<C: Client> Pump<C> {
    /// Runs both directions until the drain, or until the ledger has ended.
    pub(crate) async fn run(self, mut drain: DrainWatcher) {
        let producing = self.clone();
        tokio::select! {
            () = drain.signaled() => {}
            // the ledger has ended, and flowd with it
            _ = producing.produce() => {}
            _ = self.follow() => {}
        }
    }

    async fn produce(&self) -> Result<(), Refused> {
        let mut throws = self.ledger.throws();
        let (mut after, mut backoff) = (0, Backoff::default());
        loop {
            throws.mark_unchanged();
            let (batch, left) = self.ledger.thrown(after, BATCH).await?;
            self.metrics.outbox.set(i64::try_from(left).unwrap_or(i64::MAX));
            let Some(last) = batch.last().map(|it| it.number) else {
                tokio::select! {
                    changed = throws.changed() => if changed.is_err() { return Err(Refused::Going) },
                    () = tokio::time::sleep(REFUSED_AGAIN), if left > 0 => after = 0,
                }
                continue;
            };
            let results = self.client.produce(&batch).await;
            let (placed, away) = self.sorted(&batch, results);
            self.metrics.produced.inc_by(placed.len() as u64);
            if !placed.is_empty() {
                self.ledger.produced(placed).await?;
            }
            match away {
                None => (after, backoff) = (last, Backoff::default()),
                Some(why) => {
                    self.away("produce to a topic", &why);
                    backoff.wait().await;
                }
            }
        }
    }

    /// The numbers of what the broker has, and why it has not had all it could.
    fn sorted(
        &self,
        batch: &[Thrown],
        results: Vec<Result<super::client::Placed, Fault>>,
    ) -> (Vec<u64>, Option<String>) {
        let (mut placed, mut away) = (Vec::new(), None);
        if results.len() < batch.len() {
            away = Some("it did not answer for all messages".to_owned());
        }
        for (Thrown { number, message }, result) in batch.iter().zip(results) {
            match result {
                Ok(_) => placed.push(*number),
                Err(Fault::Away(why)) => away = Some(why),
                Err(fault @ (Fault::Refused(_) | Fault::Renewed)) => {
                    self.metrics.refused.inc();
                    tracing::error!(topic = message.name, id = message.id, why = %fault, "the broker refuses a message; it is kept and tried again");
                }
            }
        }
        if !placed.is_empty() {
            self.metrics.connected.set(1);
        }
        (placed, away)
    }

    fn away(&self, what: &str, why: &str) {
        if self.metrics.connected.set(0) != 0 {
            tracing::warn!(what, why, "the broker of topics is away");
        } else {
            tracing::debug!(what, why, "the broker of topics is still away");
        }
    }

    /// Keeps a follower for each topic that is listened to.
    async fn follow(self) -> Result<(), Refused> {
        let mut listens = self.ledger.listens();
        let mut followers: BTreeMap<String, AbortOnDropHandle<()>> = BTreeMap::new();
        loop {
            listens.mark_unchanged();
            let positions = self.ledger.positions().await?;
            let over: Vec<String> = followers.keys().filter(|it| !positions.contains_key(*it)).cloned().collect();
            for topic in over {
                followers.remove(&topic);
                self.client.leave(&topic).await;
            }
            for topic in positions.into_keys() {
                followers.entry(topic.clone()).or_insert_with(|| {
                    let own = self.clone();
                    AbortOnDropHandle::new(tokio::spawn(async move {
                        // it ends when nobody listens any more, or with the ledger
                        let _ = own.topic(&topic).await;
                    }))
                });
            }
            listens.changed().await.map_err(|_| Refused::Going)?;
        }
    }

    async fn topic(&self, topic: &str) -> Result<(), Refused> {
        let mut backoff = Backoff::default();
        loop {
            let positions = self.ledger.positions().await?;
            let Some(position) = positions.get(topic) else { return Ok(()) };
            let fault = match self.client.open(topic, position).await {
                Ok(feed) => self.feed(feed, &mut backoff).await?,
                Err(fault) => fault,
            };
            match &fault {
                Fault::Away(why) => self.away("follow a topic", why),
                Fault::Refused(why) => tracing::error!(topic, why, "a topic cannot be followed"),
                Fault::Renewed => {
                    tracing::warn!(topic, "a topic has begun anew: it is read from its first message on");
                    self.ledger.renewed(topic).await?;
                }
            }
            backoff.wait().await;
        }
    }

    /// Feeds the ledger until the feed breaks.
    async fn feed(&self, mut feed: C::Feed, backoff: &mut Backoff) -> Result<Fault, Refused> {
        loop {
            let messages = match feed.next().await {
                Ok(messages) => messages,
                Err(fault) => return Ok(fault),
            };
            *backoff = Backoff::default();
            self.metrics.connected.set(1);
            if messages.is_empty() {
                continue;
            }
            self.take(messages).await?;
            if let Err(fault) = feed.taken().await {
                return Ok(fault);
            }
        }
    }

    async fn take(&self, mut messages: Vec<Consumed>) -> Result<(), Refused> {
        for lost in messages.iter().filter(|it| it.message.is_none()) {
            self.metrics.refused.inc();
            tracing::error!(
                topic = lost.topic,
                partition = lost.partition,
                offset = lost.offset,
                "a message is too large for any instance: left out"
            );
        }
        loop {
            let taken = self.ledger.consume(messages.clone()).await?;
            self.metrics.consumed.inc_by(taken as u64);
            if taken >= messages.len() {
                return Ok(());
            }
            messages.drain(..taken);
            tracing::warn!("too many messages are kept already: topics wait");
            tokio::time::sleep(FULL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_never_too_long() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..12).map(|n| backoff.next(f64::from(n % 2))).collect();
        assert_eq!((waits[0], waits[1]), (Duration::from_millis(50), Duration::from_millis(200)));
        assert_eq!((waits[10], waits[11]), (Backoff::LONGEST / 2, Backoff::LONGEST));
        assert!(waits.chunks(2).collect::<Vec<_>>().is_sorted_by(|a, b| a[0] <= b[0]));
    }
}
