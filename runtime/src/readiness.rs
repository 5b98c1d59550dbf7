//! What is still awaited before this process serves.
//!
//! Promises: ready exactly while no [`Pending`] guard is alive; the names of those that are can be read at any
//! time (`/ready` shows them). A part may become unready again by registering anew.
//! A process that registered nothing is ready: register before the first port is announced.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// The list of what is awaited. Clones are the same list.
#[derive(Clone, Debug)]
pub struct Readiness {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    next: AtomicU64,
    pending: watch::Sender<BTreeMap<u64, String>>,
}

impl Readiness {
    /// An empty list: ready.
    #[must_use]
    pub fn new() -> Self {
        let pending = watch::Sender::new(BTreeMap::new());
        Self { inner: Arc::new(Inner { next: AtomicU64::new(0), pending }) }
    }

    /// Not ready until the guard is dropped. `name` says to an operator what is awaited.
    #[must_use = "dropping the guard marks this part ready"]
    pub fn register(&self, name: impl Into<String>) -> Pending {
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        self.inner.pending.send_modify(|pending| {
            pending.insert(id, name.into());
        });
        Pending { id, readiness: self.clone() }
    }

    /// True when nothing is awaited.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.pending.borrow().is_empty()
    }

    /// What is awaited, in the order of registration.
    #[must_use]
    pub fn awaited(&self) -> Vec<String> {
        self.inner.pending.borrow().values().cloned().collect()
    }

    /// Returns once nothing is awaited.
    pub async fn ready(&self) {
        let mut pending = self.inner.pending.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = pending.wait_for(BTreeMap::is_empty).await;
    }

    /// Returns once something is awaited again.
    pub async fn unready(&self) {
        let mut pending = self.inner.pending.subscribe();
        let _ = pending.wait_for(|pending| !pending.is_empty()).await;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps its part unready; dropped when the part is ready.
#[derive(Debug)]
pub struct Pending {
    id: u64,
    readiness: Readiness,
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.readiness.inner.pending.send_modify(|pending| {
            let name = pending.remove(&self.id);
            let awaited: Vec<&String> = pending.values().collect();
            tracing::debug!(name, ?awaited, "ready");
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_when_the_last_guard_is_gone() {
        let readiness = Readiness::new();
        assert!(readiness.is_ready());
        let journal = readiness.register("journal");
        let tables = readiness.register("tables");
        assert_eq!(readiness.awaited(), ["journal", "tables"]);
        readiness.unready().await;
        drop(journal);
        assert_eq!(readiness.awaited(), ["tables"]);
        assert!(!readiness.is_ready());
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        drop(tables);
        waiting.await.unwrap();
        assert!(readiness.is_ready());
    }

    #[test]
    fn equal_names_are_different_guards() {
        let readiness = Readiness::new();
        let one = readiness.register("table");
        let two = readiness.register("table");
        drop(one);
        assert_eq!(readiness.awaited(), ["table"]);
        drop(two);
        assert!(readiness.is_ready());
    }
}
