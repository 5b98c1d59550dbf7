//! Ending in order: one [`DrainTrigger`], any number of [`DrainWatcher`]s.
//!
//! Promises: once triggered, every watcher (also one made later) sees it; [`DrainTrigger::drained`] waits
//! until all watchers are gone, at most for its deadline; dropping the last trigger drains too, so nothing
//! outlives its owner. A watcher that is held means "not finished": drop it when the work is done.
//! Does not abort anything but what [`run_with_deadline`] was given.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Makes a trigger and the first watcher of it.
#[must_use]
pub fn new() -> (DrainTrigger, DrainWatcher) {
    let (sender, receiver) = watch::channel(false);
    (DrainTrigger { sender: Arc::new(sender) }, DrainWatcher { receiver })
}

/// Starts the drain. Clones are the same trigger.
#[derive(Clone, Debug)]
pub struct DrainTrigger {
    sender: Arc<watch::Sender<bool>>,
}

impl DrainTrigger {
    /// Tells every watcher to finish. Telling it twice changes nothing.
    pub fn drain(&self) {
        self.sender.send_replace(true);
    }

    /// True once [`Self::drain`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.sender.borrow()
    }

    /// One more watcher.
    #[must_use]
    pub fn watch(&self) -> DrainWatcher {
        DrainWatcher { receiver: self.sender.subscribe() }
    }

    /// Drains, then waits until every watcher is dropped; false if `deadline` came first.
    pub async fn drained(&self, deadline: Duration) -> bool {
        self.drain();
        tokio::time::timeout(deadline, self.sender.closed()).await.is_ok()
    }
}

/// Sees the drain. Held by whatever has to finish first.
#[derive(Clone, Debug)]
pub struct DrainWatcher {
    receiver: watch::Receiver<bool>,
}

impl DrainWatcher {
    /// Returns when the drain has begun; at once if it has already. Safe to use in `select!`.
    pub async fn signaled(&mut self) {
        // An error means that the last trigger is gone, which is a drain too.
        let _ = self.receiver.wait_for(|draining| *draining).await;
    }

    /// True once the drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.receiver.borrow() || self.receiver.has_changed().is_err()
    }
}

/// How [`run_with_deadline`] ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The work ended by itself.
    Finished(T),
    /// The work had not ended `deadline` after the drain began, and was dropped.
    Forced,
}

/// Runs `work` until it ends; once the drain has begun it has `deadline` to do so, then it is dropped and
/// a warning names `what`. `work` watches the drain itself, with a watcher of its own.
pub async fn run_with_deadline<F: Future>(
    what: &str,
    mut drain: DrainWatcher,
    deadline: Duration,
    work: F,
) -> Outcome<F::Output> {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        output = &mut work => return Outcome::Finished(output),
        () = drain.signaled() => {}
    }
    match tokio::time::timeout(deadline, work).await {
        Ok(output) => Outcome::Finished(output),
        Err(_) => {
            tracing::warn!(what, ?deadline, "had not finished when the drain's deadline came; stopped");
            Outcome::Forced
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn late_watchers_see_the_drain() {
        let (trigger, mut watcher) = new();
        assert!(!watcher.is_draining());
        trigger.drain();
        watcher.signaled().await;
        let mut late = trigger.watch();
        late.signaled().await;
        assert!(late.is_draining() && trigger.is_draining());
    }

    #[tokio::test]
    async fn dropping_the_trigger_drains() {
        let (trigger, mut watcher) = new();
        drop(trigger);
        watcher.signaled().await;
        assert!(watcher.is_draining());
    }

    #[tokio::test(start_paused = true)]
    async fn drained_waits_for_watchers_until_the_deadline() {
        let (trigger, watcher) = new();
        assert!(!trigger.drained(Duration::from_secs(5)).await);
        drop(watcher);
        assert!(trigger.drained(Duration::from_secs(5)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_hangs_is_dropped_at_the_deadline() {
        let (trigger, watcher) = new();
        trigger.drain();
        let begun = tokio::time::Instant::now();
        let deadline = Duration::from_secs(3);
        let outcome = run_with_deadline("test", watcher, deadline, std::future::pending::<()>()).await;
        assert_eq!(outcome, Outcome::Forced);
        assert_eq!(begun.elapsed(), deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_in_time_is_finished() {
        let (trigger, watcher) = new();
        let mut own = watcher.clone();
        let work = async move {
            own.signaled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            7
        };
        let run = run_with_deadline("test", watcher, Duration::from_secs(3), work);
        trigger.drain();
        assert_eq!(run.await, Outcome::Finished(7));
    }
}
