//! The receiver's half of the wire: the hop port, as a tonic service and the events of its links.
//!
//! ```text
//! sender ==frames==> Service --events--> Receiver::next   (the owner, one task)
//! sender <=answers== Service <---------- Receiver::answer
//! ```
//!
//! Promises: `Linked` comes first and `Unlinked` last; frames of a link come in order and without a gap,
//! else the link breaks; a link older than its sender's newest is refused, and one that is replaced is
//! closed; under TLS a sender is who its certificate says, and may serve what it claims
//! ([`crate::identity`]); answers of one call of [`Receiver::answer`] (and whatever else waits) go in one frame.
//! It does not know what an offer means.

mod service;

use std::collections::{BTreeSet, HashMap, VecDeque};

use proto::v1;
use proto::v1::hop_server::HopServer;
use routing::{ActivationId, Incarnation, ServiceName, Token};
use tokio::sync::{mpsc, oneshot, watch};

use crate::Refusal;
use crate::identity::Accounts;
pub use service::Service;

/// Answers (batches) that may wait for a sender to read them; more close its link.
const ANSWERS: usize = 1024;
/// Events that may wait for the owner; then links are read more slowly.
const EVENTS: usize = 64;

/// A connection by which a sender offers; numbered in the order of opening.
pub type Link = u64;

/// Who offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Which journal (or ledger) it speaks for.
    pub incarnation: Incarnation,
    /// True for flowd.
    pub ledger: bool,
    /// The services it serves, as its identity allows.
    pub serves: BTreeSet<ServiceName>,
}

/// Who receives.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its journal's incarnation.
    pub incarnation: Incarnation,
    /// Counts its restarts.
    pub boot: u64,
    /// The services it serves, for the hello.
    pub serves: BTreeSet<ServiceName>,
    /// Who may serve what, under TLS.
    pub accounts: Accounts,
    /// Links are refused until it says `true`; `None`: never for that reason.
    pub open: Option<watch::Receiver<bool>>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A sender has connected.
    Linked(Link, Sender),
    /// Offers (perhaps none) and the sender's watermark.
    Offered(Link, u64, Vec<(u64, Token)>),
    /// The sender offers in the place of these replicas, which have left: their own offers are void from here on.
    Replaced(Link, Vec<Incarnation>),
    /// The sender hands over a table that it was told is missing. Unchecked bytes.
    Tables(Link, v1::TableBundle),
    /// The connection is gone.
    Unlinked(Link),
}

/// The owner's end. Dropping it closes every link.
#[derive(Debug)]
pub struct Receiver {
    events: mpsc::Receiver<Internal>,
    links: HashMap<Link, Slot>,
    newest: HashMap<Incarnation, Link>,
    own: VecDeque<Event>,
}

#[derive(Debug)]
struct Slot {
    sender: Incarnation,
    answers: mpsc::Sender<Answers>,
    /// Dropped with the slot: the reader of the link ends.
    _open: oneshot::Sender<()>,
}

#[derive(Debug, Default)]
struct Answers {
    accepted: Vec<(ActivationId, u32)>,
    refused: Vec<(ActivationId, Refusal)>,
}

#[derive(Debug)]
enum Internal {
    Opened { link: Link, sender: Sender, answers: mpsc::Sender<Answers>, open: oneshot::Sender<()> },
    Event(Event),
}

/// The service for the hop port's tonic server, and its owner's end.
pub fn new(options: Options) -> (HopServer<Service>, Receiver) {
    let (report, events) = mpsc::channel(EVENTS);
    let service = HopServer::new(Service::new(options, report))
        .max_decoding_message_size(proto::MAX_MESSAGE)
        .max_encoding_message_size(proto::MAX_MESSAGE);
    let receiver = Receiver { events, links: HashMap::new(), newest: HashMap::new(), own: VecDeque::new() };
    (service, receiver)
}

impl Receiver {
    /// The next event; `None` once the service is gone. Safe to drop and call again (for `select!`).
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.own.pop_front() {
                return Some(event);
            }
            let internal = self.events.recv().await?;
            if let Some(event) = self.noted(internal) {
                return Some(event);
            }
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.own.pop_front() {
                return Some(event);
            }
            let internal = self.events.try_recv().ok()?;
            if let Some(event) = self.noted(internal) {
                return Some(event);
            }
        }
    }

    /// Tells a sender what became of its offers: those that are on disk, each for how many milliseconds, and those
    /// that are not taken. Nothing happens when the link is gone: it offers again.
    pub fn answer(&mut self, link: Link, accepted: Vec<(ActivationId, u32)>, refused: Vec<(ActivationId, Refusal)>) {
        let Some(slot) = self.links.get(&link) else { return };
        if let Err(mpsc::error::TrySendError::Full(_)) = slot.answers.try_send(Answers { accepted, refused }) {
            tracing::warn!(sender = %slot.sender, "a sender does not read its answers; closing its link");
            self.close(link);
        }
    }

    /// Links that are open.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    fn close(&mut self, link: Link) {
        if let Some(slot) = self.links.remove(&link) {
            if self.newest.get(&slot.sender) == Some(&link) {
                self.newest.remove(&slot.sender);
            }
            self.own.push_back(Event::Unlinked(link));
        }
    }

    fn noted(&mut self, internal: Internal) -> Option<Event> {
        match internal {
            Internal::Opened { link, sender, answers, open } => {
                if let Some(older) = self.newest.get(&sender.incarnation).copied() {
                    self.close(older);
                }
                self.newest.insert(sender.incarnation, link);
                self.links.insert(link, Slot { sender: sender.incarnation, answers, _open: open });
                self.own.push_back(Event::Linked(link, sender));
                self.own.pop_front()
            }
            Internal::Event(Event::Unlinked(link)) => {
                self.close(link);
                self.own.pop_front()
            }
            Internal::Event(event) => {
                let (Event::Offered(link, ..)
                | Event::Replaced(link, _)
                | Event::Tables(link, _)
                | Event::Linked(link, _)
                | Event::Unlinked(link)) = &event;
                // What was read before its link was closed here is void.
                self.links.contains_key(link).then_some(event)
            }
        }
    }
}
