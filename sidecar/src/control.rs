//! The stream to flowd, or to one of several: kept open with back-off, reports and the rest up, tables and bindings down.
//!
//! Promises: the hello is the engine's word of the moment of connecting; messages of one stream go in
//! order, what has gathered goes as one (up to a size); nothing is sent over a stream that the engine has
//! not been told of. While flowd is away nothing gathers but hop records, up to a limit: reports stay in
//! the core's outbox and are given again at `Linked`. Nothing here blocks the engine.

mod outgoing;

use std::sync::Arc;
use std::time::Duration;

use proto::v1;
use proto::v1::control_client::ControlClient;
use routing::Timestamp;
use runtime::tls::{Connector, Expect, Tls};
use runtime::token::{AttachToken, Token};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use outgoing::Outgoing;

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
const OPEN_WITHIN: Duration = Duration::from_secs(5);
/// Messages that wait for the transport; the rest gathers in [`Outgoing`].
const QUEUE: usize = 2;
const WINDOW: u32 = 1 << 20;
/// A flowd that says nothing for twice so long, not even to a ping, is gone.
const ALIVE: Duration = Duration::from_secs(10);

/// What happened on the stream.
#[derive(Debug)]
pub(crate) enum Event {
    /// flowd can be reached: give the hello.
    Connecting(oneshot::Sender<v1::SidecarHello>),
    /// A message; the first one of a stream follows [`Event::Linked`].
    Message(Box<v1::FlowdMessage>),
    /// The stream is open.
    Linked,
    /// The stream is gone.
    Unlinked,
    /// No flowd could be reached; it goes on trying.
    Unreachable,
    /// The transport takes more of what is left over.
    Room,
}

enum Internal {
    Event(Event),
    Opened(mpsc::Sender<v1::SidecarMessage>),
}

/// The engine's end. Without an address (no flowd) it never says anything.
#[derive(Debug)]
pub(crate) struct Control {
    events: mpsc::Receiver<Internal>,
    stream: Option<mpsc::Sender<v1::SidecarMessage>>,
    /// What is to be sent, until the transport takes it.
    pub(crate) outgoing: Outgoing,
    /// The transport had no room for all that was due.
    left_over: bool,
    task: Option<AbortHandle>,
    again: Arc<Notify>,
    /// Keeps `events` open when there is no task.
    _report: mpsc::Sender<Internal>,
}

impl std::fmt::Debug for Internal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Event(event) => event.fmt(formatter),
            Self::Opened(_) => formatter.write_str("Opened"),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Control {
    pub(crate) fn new(flowd: Vec<String>, tls: Option<&Tls>, token: Option<&Token>) -> Self {
        let (report, events) = mpsc::channel(64);
        let connector = Connector::grpc(tls, Expect::matching(hop::identity::is_ledger));
        let attach = AttachToken::new(token);
        let again = Arc::<Notify>::default();
        let task = (!flowd.is_empty()).then(|| {
            let stream = Stream { addresses: flowd, connector, attach, report: report.clone(), again: again.clone() };
            tokio::spawn(stream.run()).abort_handle()
        });
        Self { events, stream: None, outgoing: Outgoing::default(), left_over: false, task, again, _report: report }
    }

    /// Ends the stream that is open and opens another: flowd says anew what is in force.
    pub(crate) fn reopen(&self) {
        if self.is_linked() {
            self.again.notify_one();
        }
    }

    pub(crate) fn is_linked(&self) -> bool {
        self.stream.is_some()
    }

    /// The next event. Safe to drop and call again.
    pub(crate) async fn next(&mut self) -> Event {
        let Self { events, stream, left_over, .. } = self;
        let left_over = stream.as_ref().filter(|_| *left_over);
        let internal = tokio::select! {
            internal = events.recv() => internal.expect("this struct holds a sender itself"),
            () = room(left_over) => return Event::Room,
        };
        self.noted(internal)
    }

    pub(crate) fn try_next(&mut self) -> Option<Event> {
        let internal = self.events.try_recv().ok()?;
        Some(self.noted(internal))
    }

    fn noted(&mut self, internal: Internal) -> Event {
        match internal {
            Internal::Opened(stream) => {
                self.stream = Some(stream);
                Event::Linked
            }
            Internal::Event(event) => {
                if matches!(event, Event::Unlinked) {
                    self.stream = None;
                    self.left_over = false;
                    self.outgoing.unlinked();
                }
                event
            }
        }
    }

    /// When [`Control::flush`] has something to do.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.outgoing.due().filter(|_| self.stream.is_some() && !self.left_over)
    }

    /// Hands over what has gathered and is due, as far as the transport takes it.
    pub(crate) fn flush(&mut self, now: Timestamp) {
        let Some(stream) = &self.stream else { return };
        while self.outgoing.is_due(now)
            && let Ok(permit) = stream.try_reserve()
        {
            permit.send(self.outgoing.message());
        }
        self.left_over = self.outgoing.is_due(now);
    }
}

/// Returns when the transport has room for what is left over.
async fn room(stream: Option<&mpsc::Sender<v1::SidecarMessage>>) {
    let room = match stream {
        Some(stream) => stream.reserve().await.is_ok(),
        None => false,
    };
    if !room {
        // Nothing to send, or the stream is gone: its event comes.
        std::future::pending::<()>().await;
    }
}

struct Stream {
    /// Of one flowd or several; at least one.
    addresses: Vec<String>,
    connector: Connector,
    attach: AttachToken,
    report: mpsc::Sender<Internal>,
    again: Arc<Notify>,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0} is no HOST:PORT: {1}; check --flowd")]
    Address(String, tonic::transport::Error),
    #[error("{}", chain(.0))]
    Connect(tonic::transport::Error),
    #[error("flowd refuses it: {}", .0.message())]
    Refused(tonic::Status),
    #[error("no answer in time")]
    TimedOut,
    #[error("this sidecar is going")]
    Gone,
}

impl Stream {
    async fn run(self) {
        let mut backoff = BACKOFF_MIN;
        let mut told = false;
        for address in self.addresses.iter().cycle() {
            let mut renewals = self.connector.renewals();
            let opened = self.open(address).await;
            let failed = opened.is_err();
            match opened {
                Ok((stream, messages)) => {
                    tracing::info!(flowd = address, "connected to flowd");
                    (backoff, told) = (BACKOFF_MIN, false);
                    if self.report.send(Internal::Opened(stream)).await.is_err() {
                        return;
                    }
                    let why = tokio::select! {
                        biased;
                        () = self.again.notified() => "it is opened anew".to_owned(),
                        () = renewals.next() => "the certificate was renewed; it is opened anew".to_owned(),
                        why = self.read(messages) => why,
                    };
                    tracing::warn!(flowd = address, why, "the stream to flowd is gone; tokens go on without it");
                    if self.report.send(Internal::Event(Event::Unlinked)).await.is_err() {
                        return;
                    }
                }
                Err(Failed::Gone) => return,
                Err(failed) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(flowd = address, %failed, "cannot reach flowd; trying again");
                    }
                }
            }
            if self.addresses.last() != Some(address) {
                continue;
            }
            if failed && self.report.send(Internal::Event(Event::Unreachable)).await.is_err() {
                return;
            }
            let jitter = f64::from(rand::random::<u8>()) / 1024.0;
            tokio::time::sleep(backoff.mul_f64(0.75 + jitter)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn open(
        &self,
        address: &str,
    ) -> Result<(mpsc::Sender<v1::SidecarMessage>, Streaming<v1::FlowdMessage>), Failed> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.map_err(|error| Failed::Address(address.to_owned(), error))?;
        let endpoint = endpoint
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .http2_keep_alive_interval(ALIVE)
            .keep_alive_timeout(ALIVE)
            .keep_alive_while_idle(true);
        let connecting = endpoint.connect_with_connector(self.connector.clone());
        let channel = within(connecting).await?.map_err(Failed::Connect)?;
        let (ask, asked) = oneshot::channel();
        let connecting = Internal::Event(Event::Connecting(ask));
        self.report.send(connecting).await.map_err(|_| Failed::Gone)?;
        let hello = asked.await.map_err(|_| Failed::Gone)?;
        let (stream, messages) = mpsc::channel(QUEUE);
        let first = v1::SidecarMessage { hello: Some(hello), ..Default::default() };
        let outgoing = tokio_stream::once(first).chain(ReceiverStream::new(messages));
        let mut client = ControlClient::with_interceptor(channel, self.attach.clone())
            .max_decoding_message_size(proto::MAX_MESSAGE)
            .max_encoding_message_size(proto::MAX_MESSAGE);
        let answer = within(client.attach(outgoing)).await?.map_err(Failed::Refused)?;
        Ok((stream, answer.into_inner()))
    }

    async fn read(&self, mut messages: Streaming<v1::FlowdMessage>) -> String {
        loop {
            match messages.message().await {
                Ok(Some(message)) => {
                    let event = Internal::Event(Event::Message(Box::new(message)));
                    if self.report.send(event).await.is_err() {
                        return "this sidecar is going".to_owned();
                    }
                }
                Ok(None) => return "flowd closed it".to_owned(),
                Err(status) => return status.message().to_owned(),
            }
        }
    }
}

async fn within<F: Future>(work: F) -> Result<F::Output, Failed> {
    tokio::time::timeout(OPEN_WITHIN, work).await.map_err(|_| Failed::TimedOut)
}

/// The first cause that speaks for people: tonic's own text is "transport error".
pub(crate) fn chain(error: &tonic::transport::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = if text.starts_with("cannot") || text.starts_with("no trust") { None } else { inner.source() };
    }
    text
}
