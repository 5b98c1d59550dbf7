//! Messages that are kept for who does not wait for them yet, ids that were taken, and what is still to be told.
//!
//! In the order of coming; limited in number. Knows their stored forms; who gets what is `message`'s.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost::Message as _;
use proto::convert::Malformed;
use proto::v1;
use routing::instance::Published;
use routing::{Digest, ProcessId, Timestamp};

use super::message::Posted;

/// Messages that are kept at most.
const MAX_KEPT: usize = 100_000;
/// Ids that are remembered at most.
const MAX_IDS: usize = 1_000_000;

/// A message that is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) message: Published,
    pub(super) expires: Timestamp,
    /// Processes that have had it.
    pub(super) taken: BTreeSet<ProcessId>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    kept: BTreeMap<u64, Kept>,
    names: HashMap<String, BTreeSet<u64>>,
    expiry: BTreeSet<(Timestamp, u64)>,
    posted: BTreeMap<u64, Posted>,
    ids: HashMap<Digest, Timestamp>,
    id_expiry: BTreeSet<(Timestamp, Digest)>,
}

impl Buffer {
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= MAX_KEPT || self.ids.len() >= MAX_IDS
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    pub(super) fn of_name(&self, name: &str) -> Vec<u64> {
        self.names.get(name).into_iter().flatten().copied().collect()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Kept> {
        self.kept.get(&number)
    }

    /// Keeps a message; gives its stored form.
    pub(super) fn add(&mut self, number: u64, kept: Kept) -> Vec<u8> {
        let bytes = encode_kept(&kept);
        self.names.entry(kept.message.name.clone()).or_default().insert(number);
        self.expiry.insert((kept.expires, number));
        self.kept.insert(number, kept);
        bytes
    }

    /// A process has had it; gives the stored form.
    pub(super) fn taken(&mut self, number: u64, process: &ProcessId) -> Option<Vec<u8>> {
        let kept = self.kept.get_mut(&number)?;
        kept.taken.insert(process.clone());
        Some(encode_kept(kept))
    }

    /// What an id is remembered as.
    pub(super) fn id(name: &str, key: Option<&str>, id: &str) -> Digest {
        let part = |text: &str| format!("{}:{text}", text.len());
        let key = key.map_or_else(|| "-".to_owned(), part);
        Digest::of(format!("{}{key}{}", part(name), part(id)).as_bytes())
    }

    /// False when it is known already.
    pub(super) fn remember(&mut self, id: Digest, until: Timestamp) -> bool {
        if self.ids.contains_key(&id) {
            return false;
        }
        self.ids.insert(id, until);
        self.id_expiry.insert((until, id));
        true
    }

    /// What is over at `now`: numbers of messages, and ids.
    pub(super) fn expire(&mut self, now: Timestamp) -> (Vec<u64>, Vec<Digest>) {
        let (mut numbers, mut ids) = (Vec::new(), Vec::new());
        while let Some((_, number)) = self.expiry.first().copied().filter(|(at, _)| *at <= now) {
            self.expiry.pop_first();
            if let Some(kept) = self.kept.remove(&number)
                && let Some(set) = self.names.get_mut(&kept.message.name)
            {
                set.remove(&number);
                if set.is_empty() {
                    self.names.remove(&kept.message.name);
                }
            }
            numbers.push(number);
        }
        while let Some((_, id)) = self.id_expiry.first().copied().filter(|(at, _)| *at <= now) {
            self.id_expiry.pop_first();
            self.ids.remove(&id);
            ids.push(id);
        }
        (numbers, ids)
    }

    /// When [`Buffer::expire`] has something to do.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        let messages = self.expiry.first().map(|(at, _)| *at);
        let ids = self.id_expiry.first().map(|(at, _)| *at);
        [messages, ids].into_iter().flatten().min()
    }

    /// The first that is still to be told.
    pub(super) fn next_posted(&self) -> Option<u64> {
        self.posted.keys().next().copied()
    }

    pub(super) fn take_posted(&mut self, number: u64) -> Option<Posted> {
        self.posted.remove(&number)
    }

    /// Something to be told next; gives its stored form.
    pub(super) fn add_posted(&mut self, number: u64, posted: Posted, now: Timestamp) -> Vec<u8> {
        let bytes = match &posted {
            Posted::Message(message) => v1::StoredMessage { posted: true, ..stored(message, now) },
            Posted::Signal(name, payload) => v1::StoredMessage {
                name: name.clone(),
                payload: Some(payload.clone().into()),
                signal: true,
                posted: true,
                ..v1::StoredMessage::default()
            },
        };
        self.posted.insert(number, posted);
        bytes.encode_to_vec()
    }

    /// From what was stored.
    pub(super) fn load(&mut self, number: u64, bytes: &[u8]) -> Result<(), Malformed> {
        let bad = Malformed { field: "stored message", why: "not protobuf" };
        let stored = v1::StoredMessage::decode(bytes).map_err(|_| bad)?;
        let payload = stored.payload.unwrap_or_default().into();
        if stored.signal {
            self.posted.insert(number, Posted::Signal(stored.name, payload));
            return Ok(());
        }
        let message = Published {
            name: stored.name,
            key: stored.key,
            id: stored.id,
            time_to_live: stored.time_to_live_ms,
            payload,
        };
        if stored.posted {
            self.posted.insert(number, Posted::Message(message));
        } else {
            let taken = stored.processes.into_iter().map(ProcessId::from).collect();
            self.add(number, Kept { message, expires: stored.expires_ms, taken });
        }
        Ok(())
    }
}

fn stored(message: &Published, expires: Timestamp) -> v1::StoredMessage {
    v1::StoredMessage {
        name: message.name.clone(),
        key: message.key.clone(),
        id: message.id.clone(),
        expires_ms: expires,
        payload: Some(message.payload.clone().into()),
        processes: Vec::new(),
        signal: false,
        posted: false,
        time_to_live_ms: message.time_to_live,
    }
}

fn encode_kept(kept: &Kept) -> Vec<u8> {
    let processes = kept.taken.iter().map(|it| it.as_str().to_owned()).collect();
    v1::StoredMessage { processes, ..stored(&kept.message, kept.expires) }.encode_to_vec()
}
