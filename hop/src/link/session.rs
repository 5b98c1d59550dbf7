//! One wanted replica: connect, say hello, read answers, begin again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proto::convert;
use proto::v1::hop_client::HopClient;
use proto::v1::{ReceiverFrame, SenderHello};
use routing::{ActivationId, Incarnation};
use runtime::tls::Connector;
use tokio::sync::mpsc;
use tonic::Streaming;

use super::frames::{Command, Frames};
use super::{Options, QUEUE};
use crate::address::{self, Address};
use crate::{Refusal, wire};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Bytes that may be on their way unread; an idle link keeps no buffer of that size.
const WINDOW: u32 = 1 << 20;

/// What a session tells [`super::Links`].
#[derive(Debug)]
pub(super) enum Internal {
    Opened(mpsc::Sender<Command>),
    Closed,
    Failed(Option<Incarnation>),
    Answered { accepted: Vec<ActivationId>, ago: Vec<u32>, refused: Vec<(ActivationId, Refusal)> },
}

pub(super) struct Session {
    pub(super) id: u64,
    pub(super) replica: Incarnation,
    pub(super) address: String,
    pub(super) connector: Connector,
    pub(super) options: Arc<Options>,
    pub(super) opened: Arc<AtomicU64>,
    pub(super) report: mpsc::Sender<(u64, Internal)>,
}

/// Why a link did not open.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Address(#[from] address::Malformed),
    #[error("{}", text(.0))]
    Connect(tonic::transport::Error),
    #[error("it refuses the link: {}", .0.message())]
    Refused(tonic::Status),
    #[error("it sent no hello in time")]
    TimedOut,
    #[error("its first frame is no hello")]
    NoHello,
    #[error("another replica, {0}, answers there")]
    Other(Incarnation),
}

struct Opened {
    commands: mpsc::Sender<Command>,
    frames: Streaming<ReceiverFrame>,
}

impl Session {
    /// Until the owner does not want it any more (the task is aborted) or is gone.
    pub(super) async fn run(self) {
        let mut backoff = BACKOFF_MIN;
        let mut told = false;
        loop {
            let mut renewals = self.connector.renewals();
            match self.open().await {
                Ok(opened) => {
                    tracing::debug!(replica = %self.replica, address = self.address, "linked");
                    (backoff, told) = (BACKOFF_MIN, false);
                    if self.tell(Internal::Opened(opened.commands)).await.is_err() {
                        return;
                    }
                    let renewed = tokio::select! {
                        why = self.read(opened.frames) => {
                            tracing::info!(replica = %self.replica, address = self.address, why, "the link is gone");
                            false
                        }
                        () = renewals.next() => {
                            tracing::debug!(replica = %self.replica, "opening the link anew with the new certificate");
                            true
                        }
                    };
                    if self.tell(Internal::Closed).await.is_err() {
                        return;
                    }
                    if renewed {
                        continue;
                    }
                }
                Err(failed) => {
                    if !std::mem::replace(&mut told, true) {
                        let (replica, address) = (self.replica, &self.address);
                        tracing::warn!(%replica, address, %failed, "no link to a replica; trying again");
                    }
                    let found = if let Failed::Other(found) = failed { Some(found) } else { None };
                    if self.tell(Internal::Failed(found)).await.is_err() {
                        return;
                    }
                }
            }
            tokio::time::sleep(self.jittered(backoff)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn tell(&self, internal: Internal) -> Result<(), ()> {
        self.report.send((self.id, internal)).await.map_err(|_| ())
    }

    async fn open(&self) -> Result<Opened, Failed> {
        let endpoint = self.address.parse::<Address>()?.endpoint();
        let endpoint = endpoint.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let connecting = endpoint.connect_with_connector(self.connector.clone());
        let channel = within(connecting).await?.map_err(Failed::Connect)?;
        let mut client = HopClient::new(channel)
            .max_decoding_message_size(proto::MAX_MESSAGE)
            .max_encoding_message_size(proto::MAX_MESSAGE);
        let (commands, receiver) = mpsc::channel(QUEUE);
        let answer = within(client.link(Frames::new(self.hello(), receiver))).await?;
        let mut frames = answer.map_err(Failed::Refused)?.into_inner();
        let first = within(frames.message()).await?.map_err(Failed::Refused)?;
        let first = first.filter(|frame| frame.n == 1).ok_or(Failed::NoHello)?;
        let found = convert::incarnation(&first.hello.ok_or(Failed::NoHello)?.incarnation);
        match found.map_err(|_| Failed::NoHello)? {
            found if found == self.replica => Ok(Opened { commands, frames }),
            found => Err(Failed::Other(found)),
        }
    }

    fn hello(&self) -> SenderHello {
        SenderHello {
            incarnation: convert::incarnation_bytes(self.options.incarnation),
            boot: self.options.boot,
            link: self.opened.fetch_add(1, Ordering::Relaxed) + 1,
            ledger: self.options.ledger,
            serves: self.options.serves.iter().map(|service| service.as_str().to_owned()).collect(),
        }
    }

    /// Passes answers on until the link ends; says why it did.
    async fn read(&self, mut frames: Streaming<ReceiverFrame>) -> String {
        let mut n = 1;
        loop {
            let frame = match frames.message().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return "the replica closed it".to_owned(),
                Err(status) => return status.message().to_owned(),
            };
            n += 1;
            if frame.n != n {
                return format!("frame {} came where {n} was due", frame.n);
            }
            let accepted: Result<Vec<_>, _> = frame.accepted.iter().map(|id| convert::activation(id)).collect();
            let refused: Result<Vec<_>, _> = frame.refused.iter().map(wire::refusal_in).collect();
            let internal = match (accepted, refused) {
                (Ok(accepted), Ok(refused)) => {
                    let mut ago = frame.accepted_ago_ms;
                    ago.resize(accepted.len(), 0);
                    Internal::Answered { accepted, ago, refused }
                }
                (Err(malformed), _) | (_, Err(malformed)) => return malformed.to_string(),
            };
            if self.tell(internal).await.is_err() {
                return "nobody wants it any more".to_owned();
            }
        }
    }

    /// Three quarters to all of it, spread over senders and attempts.
    fn jittered(&self, backoff: Duration) -> Duration {
        let attempt = self.opened.load(Ordering::Relaxed).wrapping_add(self.id << 32);
        let mixed = (attempt ^ self.options.incarnation.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        backoff - backoff / 4 * (mixed as u32) / (1 << 16)
    }
}

async fn within<F: Future>(work: F) -> Result<F::Output, Failed> {
    tokio::time::timeout(wire::HELLO_WITHIN, work).await.map_err(|_| Failed::TimedOut)
}

/// The whole chain: tonic's own text is "transport error".
pub(super) fn text(error: &tonic::transport::Error) -> String {
    let mut cause = std::error::Error::source(error);
    let mut text = String::new();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = if text.starts_with("cannot") || text.starts_with("no trust") { None } else { inner.source() };
    }
    if text.is_empty() { error.to_string() } else { text }
}
