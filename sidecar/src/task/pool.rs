//! Connections to tasks, kept while they are fresh.
//!
//! A connection is used by one call at a time. An idle one is dropped after [`FRESH`], which is
//! below the keep-alive time of common servers, so that a call hardly ever meets a connection that
//! the task is just closing. The task that drops them runs only while there are idle ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::exchange::Connection;

/// How long an idle connection is kept.
const FRESH: Duration = Duration::from_secs(2);
/// Idle connections kept for one task.
const MAX_IDLE: usize = 256;
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    idle: Arc<Mutex<Idle>>,
}

#[derive(Debug, Default)]
struct Idle {
    /// By authority; the freshest last.
    connections: HashMap<String, Vec<(Instant, Connection)>>,
    reaping: bool,
}

// === impl Pool ===

impl Pool {
    /// The freshest idle connection that is still open.
    pub(super) fn take(&self, authority: &str) -> Option<Connection> {
        loop {
            let (since, connection) = self.idle().connections.get_mut(authority)?.pop()?;
            if since.elapsed() < FRESH && connection.is_fresh() {
                return Some(connection);
            }
        }
    }

    pub(super) fn put(&self, authority: &str, connection: Connection) {
        let mut idle = self.idle();
        let entry = (Instant::now(), connection);
        match idle.connections.get_mut(authority) {
            Some(connections) if connections.len() >= MAX_IDLE => return,
            Some(connections) => connections.push(entry),
            None => {
                idle.connections.insert(authority.to_owned(), vec![entry]);
            }
        }
        if !std::mem::replace(&mut idle.reaping, true) {
            tokio::spawn(reap(Arc::downgrade(&self.idle)));
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Held for a push or a pop only, which leave it sound.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops connections that are no longer fresh; ends when there are none.
async fn reap(idle: Weak<Mutex<Idle>>) {
    loop {
        tokio::time::sleep(FRESH).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.connections.retain(|_, connections| {
            connections.retain(|(since, _)| since.elapsed() < FRESH);
            !connections.is_empty()
        });
        if idle.connections.is_empty() {
            idle.connections.shrink_to_fit();
            idle.reaping = false;
            return;
        }
    }
}
