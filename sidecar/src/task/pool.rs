//! Connections to tasks, kept while they are fresh.
//!
//! A connection is used by one call at a time. An idle one is dropped after [`FRESH`], which is
//! below the keep-alive time of common servers, so that a call hardly ever meets a connection that
//! the task is just closing. The task that drops them runs only while there are idle ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::CallFailure;

/// How long an idle connection is kept.
const FRESH: Duration = Duration::from_secs(2);
/// Idle connections kept for one task.
const MAX_IDLE: usize = 256;
/// Read buffer of a connection, which also limits an answer's headers, in bytes.
const MAX_BUFFER: usize = 64 << 10;
/// Headers of an answer.
const MAX_HEADERS: usize = 100;
/// A connection that takes longer than this counts as refused.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection to a task; dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

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

// === impl Connection ===

impl Connection {
    pub(super) async fn open(authority: &str, deadline: Instant) -> Result<Self, CallFailure> {
        let refused = |reason: String| CallFailure::Refused { authority: authority.into(), reason };
        let limit = deadline.min(Instant::now() + CONNECT);
        let stream = match timeout_at(limit, TcpStream::connect(authority)).await {
            Ok(connected) => connected.map_err(|error| refused(error.to_string()))?,
            Err(_) => return Err(refused("no connection in time".into())),
        };
        // Without it small writes wait for acknowledgements; a socket that cannot is only slower.
        let _ = stream.set_nodelay(true);
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await?;
        let driver = tokio::spawn(async move {
            // Its error reaches the caller through the exchange.
            let _ = driver.await;
        });
        Ok(Self { sender, driver: driver.abort_handle() })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

// === impl Pool ===

impl Pool {
    /// The freshest idle connection that is still open.
    pub(super) async fn take(&self, authority: &str) -> Option<Connection> {
        loop {
            let (since, mut connection) = self.idle().connections.get_mut(authority)?.pop()?;
            if since.elapsed() < FRESH && connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    pub(super) fn put(&self, authority: &str, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
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
