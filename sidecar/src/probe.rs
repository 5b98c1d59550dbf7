//! Probes a task periodically: is it UP or DOWN?
//!
//! A task is UP as soon as one probe succeeds (HTTP status below 400, or a TCP connection), and
//! DOWN after a number of failures in a row; before the first verdict it is unknown. A probe can
//! be asked for at once. It makes no connection beside its own and keeps none.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::task::{CallFailure, Fields, TaskClient, TaskRequest};

/// How to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// An HTTP request; UP if its status is below 400.
    Http {
        /// HTTP method.
        method: Method,
        /// Path behind the task's URL.
        path: String,
        /// Query without `?`; empty for none.
        query: String,
    },
    /// A TCP connection; UP if it is accepted.
    TcpConnect,
    /// Nothing: there is no task to ask, UP at once.
    Nothing,
}

/// What to ask, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// The task: `http://host:port`, for [`ProbeKind::Http`] with a path if it has one.
    pub base: String,
    /// How to ask.
    pub kind: ProbeKind,
    /// From one probe to the next.
    pub period: Duration,
    /// Limit for one probe.
    pub timeout: Duration,
    /// Before the first probe.
    pub initial_delay: Duration,
    /// Failures in a row that make a task DOWN; 0 counts as 1.
    pub failure_threshold: u32,
}

/// Whether a task can be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// No verdict yet.
    #[default]
    Unknown,
    /// The last probe succeeded, or not enough have failed since one did.
    Up,
    /// Enough probes have failed in a row.
    Down {
        /// What the last one said.
        reason: String,
    },
}

/// A probe, to be run by its owner.
#[derive(Debug)]
pub struct Probe {
    spec: ProbeSpec,
    client: TaskClient,
    health: watch::Sender<Health>,
    asked: mpsc::Receiver<oneshot::Sender<Health>>,
    failures: u32,
}

/// Looks at a probe and asks for one. Clones look at the same probe.
#[derive(Clone, Debug)]
pub struct ProbeHandle {
    health: watch::Receiver<Health>,
    ask: mpsc::Sender<oneshot::Sender<Health>>,
}

// === impl Probe ===

impl Probe {
    /// A probe that has not begun.
    pub fn new(spec: ProbeSpec, client: TaskClient) -> (Self, ProbeHandle) {
        let (health, seen) = watch::channel(Health::Unknown);
        let (ask, asked) = mpsc::channel(8);
        let probe = Self { spec, client, health, asked, failures: 0 };
        (probe, ProbeHandle { health: seen, ask })
    }

    /// Probes until `drain` completes or every handle is gone.
    pub async fn run(mut self, drain: impl Future<Output = ()>) {
        tokio::pin!(drain);
        let mut next = Instant::now() + self.spec.initial_delay;
        loop {
            let asked = tokio::select! {
                () = &mut drain => return,
                asked = self.asked.recv() => match asked {
                    Some(asked) => Some(asked),
                    None => return,
                },
                () = sleep_until(next) => None,
            };
            let result = tokio::select! {
                () = &mut drain => return,
                result = self.once() => result,
            };
            next = Instant::now() + self.spec.period;
            let verdict = self.judge(result);
            if let Some(asked) = asked {
                // Whoever asked may have gone.
                let _ = asked.send(verdict);
            }
        }
    }

    /// Takes one result into account; what it says by itself.
    fn judge(&mut self, result: Result<(), String>) -> Health {
        let verdict = match result {
            Ok(()) => Health::Up,
            Err(reason) => Health::Down { reason },
        };
        self.failures = match verdict {
            Health::Up => 0,
            Health::Down { .. } | Health::Unknown => self.failures.saturating_add(1),
        };
        if self.failures == 0 || self.failures >= self.spec.failure_threshold {
            self.health.send_if_modified(|health| {
                let news = *health != verdict;
                health.clone_from(&verdict);
                news
            });
        }
        verdict
    }

    async fn once(&self) -> Result<(), String> {
        match &self.spec.kind {
            ProbeKind::TcpConnect => self.connect().await,
            ProbeKind::Nothing => Ok(()),
            ProbeKind::Http { method, path, query } => {
                let path = match query.is_empty() {
                    true => path.clone(),
                    false => format!("{path}?{query}"),
                };
                let request = TaskRequest {
                    base: self.spec.base.clone(),
                    method: method.clone(),
                    path,
                    fields: Fields::default(),
                    body: Bytes::new(),
                    timeout: self.spec.timeout,
                    max_answer_bytes: 0,
                };
                let status = self.client.status(request).await.map_err(|error| error.to_string())?;
                match status.as_u16() < 400 {
                    true => Ok(()),
                    false => Err(format!("the task answers the probe with status {status}")),
                }
            }
        }
    }

    async fn connect(&self) -> Result<(), String> {
        let authority = crate::task::authority(&self.spec.base).map_err(|error| error.to_string())?;
        let refused = |reason: String| CallFailure::Refused { authority: authority.clone(), reason }.to_string();
        match timeout(self.spec.timeout, TcpStream::connect(&authority)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(refused(error.to_string())),
            Err(_) => Err(refused("no connection in time".into())),
        }
    }
}

// === impl ProbeHandle ===

impl ProbeHandle {
    /// The verdict, as it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Probes now, and says what this one probe found; unknown if the probe has ended.
    pub async fn probe_now(&self) -> Health {
        let (tell, told) = oneshot::channel();
        if self.ask.send(tell).await.is_err() {
            return Health::Unknown;
        }
        told.await.unwrap_or_default()
    }
}
