//! Messages that are kept for who does not wait for them yet, ids that were taken, and what is still to be told.
//!
//! In the order of coming; limited in number. Knows their stored forms; who gets what is `message`'s.

mod index;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost::Message as _;
use proto::convert::Malformed;
use proto::v1;
use routing::instance::Published;
use routing::{Digest, ProcessId, Timestamp};

use super::message::Posted;
use index::Index;

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
    /// Of a topic's message.
    pub(super) place: Option<Place>,
}

/// Where a message stands in its topic's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) published: Timestamp,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    kept: BTreeMap<u64, Kept>,
    names: HashMap<String, BTreeSet<u64>>,
    index: Index,
    expiry: BTreeSet<(Timestamp, u64)>,
    posted: BTreeMap<u64, Posted>,
    ids: HashMap<Digest, Timestamp>,
    id_expiry: BTreeSet<(Timestamp, Digest)>,
}

impl Buffer {
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= MAX_KEPT || self.ids.len() >= MAX_IDS
    }

    pub(super) fn is_full_of_messages(&self) -> bool {
        self.kept.len() >= MAX_KEPT
    }

    /// The id that would be forgotten first, if there is no room for another one; it is forgotten now.
    pub(super) fn make_room_for_an_id(&mut self) -> Option<Digest> {
        if self.ids.len() < MAX_IDS {
            return None;
        }
        let (_, id) = self.id_expiry.pop_first()?;
        self.ids.remove(&id);
        Some(id)
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
        self.index.add(number, &kept.message);
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

    /// Forgets a message before its time.
    pub(super) fn drop_kept(&mut self, number: u64) -> Option<Kept> {
        let kept = self.kept.remove(&number)?;
        self.expiry.remove(&(kept.expires, number));
        self.index.remove(number, &kept.message);
        if let Some(set) = self.names.get_mut(&kept.message.name) {
            set.remove(&number);
            if set.is_empty() {
                self.names.remove(&kept.message.name);
            }
        }
        Some(kept)
    }

    /// What may fit who waits for the name with a key; everything without one. Oldest first.
    pub(super) fn fitting(&self, name: &str, key: Option<&str>, retrieval: Option<&str>) -> Vec<u64> {
        match key {
            Some(key) => self.index.fitting(name, key, retrieval),
            None => self.of_name(name),
        }
    }

    /// From now on the keys that `retrieval` makes of messages of the name are known; true if they were not.
    pub(super) fn retrieves(&mut self, name: &str, retrieval: &str, definition: Digest) -> bool {
        self.index.retrieves(name, retrieval, definition)
    }

    /// The retrievals whose keys are to be told of each message of the name.
    pub(super) fn retrievals(&self, name: &str) -> Vec<(String, Digest)> {
        self.index.retrievals(name)
    }

    /// The key that a retrieval makes of a message.
    pub(super) fn index(&mut self, number: u64, name: &str, retrieval: &str, key: String) {
        self.index.retrieved(number, name, retrieval, key);
    }

    /// What is over at `now`: messages, and ids.
    pub(super) fn expire(&mut self, now: Timestamp) -> (Vec<(u64, Kept)>, Vec<Digest>) {
        let (mut numbers, mut ids) = (Vec::new(), Vec::new());
        while let Some((_, number)) = self.expiry.first().copied().filter(|(at, _)| *at <= now) {
            match self.drop_kept(number) {
                Some(kept) => numbers.push((number, kept)),
                None => drop(self.expiry.pop_first()),
            }
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
            Posted::Message(message) => encode_posted(message, now),
            Posted::Signal(name, payload) => v1::StoredMessage {
                name: name.clone(),
                payload: Some(payload.clone().into()),
                signal: true,
                posted: true,
                ..v1::StoredMessage::default()
            }
            .encode_to_vec(),
        };
        self.posted.insert(number, posted);
        bytes
    }

    /// From what was stored.
    pub(super) fn load(&mut self, number: u64, bytes: &[u8]) -> Result<(), Malformed> {
        let bad = Malformed { field: "stored message", why: "not protobuf" };
        let stored = v1::StoredMessage::decode(bytes).map_err(|_| bad)?;
        if stored.signal {
            let payload = stored.payload.unwrap_or_default().into();
            self.posted.insert(number, Posted::Signal(stored.name, payload));
        } else if stored.posted {
            self.posted.insert(number, Posted::Message(published(stored)));
        } else {
            let taken = stored.processes.iter().map(|it| ProcessId::from(it.as_str())).collect();
            let place = Place { offset: stored.offset, published: stored.published_ms };
            let place = Some(place).filter(|it| it.offset != 0);
            let expires = stored.expires_ms;
            self.add(number, Kept { message: published(stored), expires, taken, place });
        }
        Ok(())
    }
}

/// The message that was stored.
pub(super) fn published(stored: v1::StoredMessage) -> Published {
    Published {
        name: stored.name,
        key: stored.key,
        id: stored.id,
        time_to_live: stored.time_to_live_ms,
        payload: stored.payload.unwrap_or_default().into(),
        topic: stored.topic,
        headers: stored.headers.into_iter().collect(),
    }
}

/// The stored form of a message that is still to be told.
pub(super) fn encode_posted(message: &Published, now: Timestamp) -> Vec<u8> {
    v1::StoredMessage { posted: true, ..stored(message, now) }.encode_to_vec()
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
        topic: message.topic,
        headers: message.headers.clone().into_iter().collect(),
        ..v1::StoredMessage::default()
    }
}

fn encode_kept(kept: &Kept) -> Vec<u8> {
    let processes = kept.taken.iter().map(|it| it.as_str().to_owned()).collect();
    let (offset, published_ms) = kept.place.map_or((0, 0), |it| (it.offset, it.published));
    v1::StoredMessage { processes, offset, published_ms, ..stored(&kept.message, kept.expires) }.encode_to_vec()
}
