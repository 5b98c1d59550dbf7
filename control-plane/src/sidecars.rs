//! A sidecar as flowd knows it: what it serves, what it holds, how its tasks fare, and its mailbox.
//!
//! A [`Sidecar`] outlives its connection: one that is away keeps its address for a while, so that others can still
//! reach it. What is to be told to it gathers in its [`Mailbox`], coalesced, and is taken by its session when there is
//! room on the stream: nobody ever waits for a slow sidecar.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use proto::v1;
use routing::{Digest, Incarnation, InstanceId, ServiceName, Timestamp};
use runtime::tls::Identity;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::definitions::state::Health;

/// A sidecar that is away is forgotten after so long, milliseconds.
pub(crate) const REMEMBERED: u64 = 15 * 60_000;
/// The last addresses of sidecars lie below it in the store.
pub(crate) const STORED: &str = "d/p/";

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Sidecar {
    pub(crate) boot: u64,
    pub(crate) address: String,
    /// Name and URL as it was started.
    pub(crate) serves: BTreeMap<ServiceName, String>,
    pub(crate) version: String,
    /// The session that speaks for it; `None` while it is away.
    pub(crate) session: Option<u64>,
    /// When it was seen last.
    pub(crate) seen: Timestamp,
    /// It takes no new tokens: its pod is on its way out.
    pub(crate) draining: bool,
    pub(crate) tables: HashMap<Digest, TableState>,
    /// The bindings sent last over this session, and the version they carried.
    pub(crate) sent: Option<(u64, v1::Bindings)>,
    /// Everything up to this version of the mesh was sent over this session.
    pub(crate) told: u64,
    /// The version of the bindings in force there.
    pub(crate) acked: u64,
    /// No call of its tasks runs, by the bindings of this version that have it stand still.
    pub(crate) quiet: u64,
    pub(crate) health: HashMap<ServiceName, Probe>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Who it is, where that is known.
    pub(crate) identity: Option<Identity>,
    /// The pod that it is in, in a cluster.
    pub(crate) pod: Option<Pod>,
    /// That pod is gone, and its journal with it.
    pub(crate) gone: bool,
    /// Why it may not serve what it serves any more.
    pub(crate) refused: Option<String>,
    /// Why the mesh before its hop port is not proven, if that is still to be.
    pub(crate) unproven: Option<String>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// What a sidecar said to a definition's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableState {
    pub(crate) nonce: u64,
    /// When it was sent.
    pub(crate) sent: Instant,
    /// `None` until it answers; then why it refused, if it did.
    pub(crate) answer: Option<Result<(), String>>,
}

/// What a sidecar last found out about a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) health: Health,
    pub(crate) reason: String,
    pub(crate) latency: u64,
    /// Counts its reports, so that a forced probe sees a new one.
    pub(crate) count: u64,
}

impl Sidecar {
    pub(crate) fn is_connected(&self) -> bool {
        self.session.is_some()
    }

    /// Whether it has said yes to these tables.
    pub(crate) fn has_acked(&self, definition: Digest) -> bool {
        self.tables.get(&definition).is_some_and(|it| it.answer == Some(Ok(())))
    }

    /// Whether it has not said yes to everything that it was sent, and it is there to do so.
    pub(crate) fn is_stale(&self) -> bool {
        let behind = self.sent.as_ref().is_some_and(|(version, _)| *version > self.acked);
        self.is_connected() && (behind || self.tables.values().any(|it| it.answer != Some(Ok(()))))
    }

    /// Why it refused these tables, if it did.
    pub(crate) fn refusal(&self, definition: Digest) -> Option<&str> {
        match &self.tables.get(&definition)?.answer {
            Some(Err(reason)) => Some(reason),
            _ => None,
        }
    }
}

/// A sidecar's address, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) boot: u64,
    pub(crate) address: String,
    pub(crate) serves: BTreeMap<ServiceName, String>,
    pub(crate) version: String,
    pub(crate) seen: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_text")]
    pub(crate) identity: Option<Identity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Pod>,
}

/// An identity is stored as its URI.
mod as_text {
    use runtime::tls::Identity;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(identity: &Option<Identity>, to: S) -> Result<S::Ok, S::Error> {
        match identity {
            Some(identity) => to.serialize_some(identity.as_str()),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Identity>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|it| it.parse().map_err(D::Error::custom)).transpose()
    }
}

impl Remembered {
    pub(crate) fn of(sidecar: &Sidecar) -> Self {
        Self {
            boot: sidecar.boot,
            address: sidecar.address.clone(),
            serves: sidecar.serves.clone(),
            version: sidecar.version.clone(),
            seen: sidecar.seen,
            identity: sidecar.identity.clone(),
            pod: sidecar.pod.clone(),
        }
    }

    pub(crate) fn key(incarnation: Incarnation) -> String {
        format!("{STORED}{incarnation}")
    }

    pub(crate) fn into_sidecar(self) -> Sidecar {
        let Self { boot, address, serves, version, seen, identity, pod } = self;
        Sidecar {
            boot,
            address,
            serves,
            version,
            session: None,
            seen,
            draining: false,
            tables: HashMap::new(),
            sent: None,
            told: 0,
            acked: 0,
            quiet: 0,
            health: HashMap::new(),
            mailbox: Arc::default(),
            identity,
            pod,
            gone: false,
            refused: None,
            unproven: None,
        }
    }
}

/// What waits to be told to a sidecar.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    letters: Mutex<Letters>,
    arrived: Notify,
}

/// The contents of a [`Mailbox`].
#[derive(Debug, Default)]
pub(crate) struct Letters {
    /// Reports up to it are durable.
    pub(crate) acked: Option<u64>,
    /// Closed instances, and whether what is given back of each is kept.
    closed: BTreeMap<InstanceId, bool>,
    /// Closed instances that are open again.
    pub(crate) reopened: BTreeSet<InstanceId>,
    pub(crate) left: bool,
    pub(crate) fates: Vec<v1::Fate>,
    pub(crate) probe: bool,
    /// Definitions that it asked for.
    pub(crate) wanted: Vec<Digest>,
    /// What came of connecting to its hop port.
    pub(crate) proof: Option<v1::Proof>,
}

impl Letters {
    /// All instances that were closed before the sidecar came.
    pub(crate) fn closed_before(&mut self, all: Vec<(InstanceId, bool)>) {
        self.closed.extend(all);
    }

    /// An instance is closed.
    pub(crate) fn close(&mut self, instance: InstanceId, kept: bool) {
        self.reopened.remove(&instance);
        self.closed.insert(instance, kept);
    }

    /// A closed instance is open again.
    pub(crate) fn reopen(&mut self, instance: InstanceId) {
        self.closed.remove(&instance);
        self.reopened.insert(instance);
    }

    /// As they are told.
    pub(crate) fn tombstones(&self) -> Vec<v1::Tombstone> {
        self.closed.iter().map(|(it, kept)| v1::Tombstone { instance: it.to_string(), kept: *kept }).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.acked.is_none() && !self.is_urgent()
    }

    /// Somebody waits for it: anything but acknowledgements, which only let a sidecar forget.
    fn is_urgent(&self) -> bool {
        !(self.closed.is_empty()
            && self.reopened.is_empty()
            && !self.left
            && self.fates.is_empty()
            && !self.probe
            && self.wanted.is_empty()
            && self.proof.is_none())
    }
}

impl Mailbox {
    /// Adds to what waits.
    pub(crate) fn post(&self, add: impl FnOnce(&mut Letters)) {
        add(&mut self.letters.lock().unwrap_or_else(PoisonError::into_inner));
        self.arrived.notify_one();
    }

    /// Reports up to `seq` are durable. Wakes the reader up once; what comes until it takes this goes along.
    pub(crate) fn acked(&self, seq: u64) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let before = letters.acked;
        letters.acked = before.max(Some(seq));
        drop(letters);
        if before.is_none() {
            self.arrived.notify_one();
        }
    }

    /// Something waits that should not wait for company.
    pub(crate) fn is_urgent(&self) -> bool {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).is_urgent()
    }

    /// Takes everything that waits.
    pub(crate) fn take(&self) -> Letters {
        std::mem::take(&mut self.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns once something was posted.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}
