//! The sender's half of the wire: one link to every replica that something is to be offered to.
//!
//! Used by sidecars and by flowd. The owner (one task) says which replicas it wants ([`Links::want`]),
//! hands over what its [`crate::Outbox`] says ([`Links::send`]), and takes events ([`Links::next`]):
//!
//! ```text
//! owner --want/send/hand_tables--> Links ==frames==> replica
//! owner <------------next--------- Links <=answers== replica
//! ```
//!
//! Promises:
//! * `Linked` comes before any answer, and every `Linked` is followed by `Unlinked` before the next one;
//! * a link opens only to the incarnation that is wanted: whoever else answers at its address counts as
//!   `Unreachable` and is named;
//! * `Unreachable` means that nothing was offered in that attempt;
//! * frames are numbered both ways; a gap or a repeat breaks the link;
//! * nothing sent is lost silently: what a broken link may have lost, the owner offers again at `Linked`;
//! * a replica that reads too slowly for [`QUEUE`] batches loses its link, memory does not grow;
//! * when the own certificate has been renewed, every link is opened anew with it;
//! * back-off between attempts, 100 ms to 2 s, with jitter; a link that is open costs no timer.
//!
//! It needs a tokio runtime (current thread is enough) and spawns one task per wanted replica.

mod frames;
mod greet;
mod session;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use proto::v1;
use routing::{ActivationId, Incarnation, ServiceName};
use runtime::tls::{Connector, Expect, Tls};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::identity::Accounts;
use crate::{Offer, Refusal};
pub use greet::greet;

use frames::Command;
use session::{Internal, Session};

/// Batches that may wait for a replica to read them.
pub const QUEUE: usize = 1024;
/// Events that may wait for the owner; then links are read more slowly.
const EVENTS: usize = 256;

/// Who sends.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its journal's incarnation (or the ledger's).
    pub incarnation: Incarnation,
    /// Counts its restarts: grows with every start of the process.
    pub boot: u64,
    /// True for flowd.
    pub ledger: bool,
    /// The services it serves; none for flowd.
    pub serves: BTreeSet<ServiceName>,
    /// Mutual TLS; plain TCP when `None`.
    pub tls: Option<Tls>,
    /// Who may serve what, under TLS.
    pub accounts: Accounts,
}

/// Where a replica is, and what it must be allowed to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it is; see [`crate::address`].
    pub address: String,
    /// Under TLS its identity must allow all of these; none: any identity of our CA.
    pub services: BTreeSet<ServiceName>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The link is open: offer everything that is unanswered.
    Linked(Incarnation),
    /// The link is gone; what was offered over it may or may not have arrived.
    Unlinked(Incarnation),
    /// A link could not be opened; nothing was offered. It is tried again while it is wanted.
    Unreachable {
        /// The replica that was wanted.
        replica: Incarnation,
        /// Another replica that answers at its address.
        found: Option<Incarnation>,
    },
    /// What a replica says about offers.
    Answered {
        /// The replica.
        replica: Incarnation,
        /// These are on its disk.
        accepted: Vec<ActivationId>,
        /// For each of them, for how many milliseconds it has been there.
        ago: Vec<u32>,
        /// These it does not hold.
        refused: Vec<(ActivationId, Refusal)>,
    },
}

/// See the module's documentation. Dropping it closes every link.
#[derive(Debug)]
pub struct Links {
    options: Arc<Options>,
    opened: Arc<AtomicU64>,
    slots: HashMap<Incarnation, Slot>,
    sessions: u64,
    events: mpsc::Receiver<(u64, Internal)>,
    report: mpsc::Sender<(u64, Internal)>,
    own: VecDeque<Event>,
}

#[derive(Debug)]
struct Slot {
    target: Target,
    session: u64,
    commands: Option<mpsc::Sender<Command>>,
    task: AbortHandle,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Links {
    /// No link yet.
    pub fn new(options: Options) -> Self {
        let (report, events) = mpsc::channel(EVENTS);
        Self {
            options: Arc::new(options),
            opened: Arc::default(),
            slots: HashMap::new(),
            sessions: 0,
            events,
            report,
            own: VecDeque::new(),
        }
    }

    /// Keeps a link to `replica` from now on. The same again changes nothing; another target closes the
    /// old link ([`Event::Unlinked`] if it was open) and opens a new one.
    pub fn want(&mut self, replica: Incarnation, target: Target) {
        if self.slots.get(&replica).is_some_and(|slot| slot.target == target) {
            return;
        }
        self.unwant(replica);
        self.open(replica, target);
    }

    /// Closes the link and stops trying ([`Event::Unlinked`] follows if it was open).
    pub fn unwant(&mut self, replica: Incarnation) {
        if self.slots.remove(&replica).is_some_and(|slot| slot.commands.is_some()) {
            self.own.push_back(Event::Unlinked(replica));
        }
    }

    /// The replicas that are wanted.
    pub fn wanted(&self) -> impl Iterator<Item = Incarnation> {
        self.slots.keys().copied()
    }

    /// Where the link to `replica` leads, or is tried.
    pub fn target(&self, replica: Incarnation) -> Option<&Target> {
        self.slots.get(&replica).map(|slot| &slot.target)
    }

    /// True between [`Event::Linked`] and [`Event::Unlinked`].
    pub fn is_linked(&self, replica: Incarnation) -> bool {
        self.slots.get(&replica).is_some_and(|slot| slot.commands.is_some())
    }

    /// Offers, with the watermark of everything that is DONE; no offers only move the watermark. What is
    /// sent to a replica without an open link is dropped: it is offered again at [`Event::Linked`].
    pub fn send(&mut self, replica: Incarnation, watermark: u64, offers: Vec<Offer>) {
        self.command(replica, Command::Offers { watermark, offers });
    }

    /// Hands tables to a replica that refused for want of them. Dropped without an open link.
    pub fn hand_tables(&mut self, replica: Incarnation, bundle: v1::TableBundle) {
        self.command(replica, Command::Tables(bundle));
    }

    /// The next event. Safe to drop and call again (for `select!`).
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.own.pop_front() {
                return event;
            }
            let (session, internal) = self.events.recv().await.expect("this struct holds a sender itself");
            if let Some(event) = self.noted(session, internal) {
                return event;
            }
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.own.pop_front() {
                return Some(event);
            }
            let (session, internal) = self.events.try_recv().ok()?;
            if let Some(event) = self.noted(session, internal) {
                return Some(event);
            }
        }
    }

    fn command(&mut self, replica: Incarnation, command: Command) {
        let Some(slot) = self.slots.get_mut(&replica) else { return };
        let Some(commands) = &slot.commands else { return };
        match commands.try_send(command) {
            // Closed: its `Unlinked` is on the way.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                let target = slot.target.clone();
                tracing::warn!(%replica, address = target.address, "a replica does not read; opening a new link");
                self.unwant(replica);
                self.open(replica, target);
            }
        }
    }

    fn open(&mut self, replica: Incarnation, target: Target) {
        self.sessions += 1;
        let session = Session {
            id: self.sessions,
            replica,
            address: target.address.clone(),
            connector: self.connector(&target),
            options: self.options.clone(),
            opened: self.opened.clone(),
            report: self.report.clone(),
        };
        let task = tokio::spawn(session.run()).abort_handle();
        self.slots.insert(replica, Slot { target, session: self.sessions, commands: None, task });
    }

    fn connector(&self, target: &Target) -> Connector {
        let (services, accounts) = (target.services.clone(), self.options.accounts.clone());
        let expect = Expect::matching(move |peer| services.iter().all(|service| accounts.may_serve(peer, service)));
        Connector::grpc(self.options.tls.as_ref(), expect)
    }

    /// Events of a link that is not wanted any more say nothing.
    fn noted(&mut self, session: u64, internal: Internal) -> Option<Event> {
        let (replica, slot) = self.slots.iter_mut().find(|(_, slot)| slot.session == session)?;
        let replica = *replica;
        Some(match internal {
            Internal::Opened(commands) => {
                slot.commands = Some(commands);
                Event::Linked(replica)
            }
            Internal::Closed => {
                slot.commands = None;
                Event::Unlinked(replica)
            }
            Internal::Failed(found) => Event::Unreachable { replica, found },
            Internal::Answered { accepted, ago, refused } => Event::Answered { replica, accepted, ago, refused },
        })
    }
}
