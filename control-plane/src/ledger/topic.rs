//! Topics: logs of messages that stand in the order of coming, for who listens later and for readers outside.
//!
//! A record is a kept message with an offset, so that it is stored and forgotten once, with the others. Offsets begin at one and are never
//! given again. A process that a topic starts listens from where the log ended when the process was first there, and until its
//! newest version does not, or its last deployment is deleted. Promises: what a log has had is in it until its retention is over. Who gets a message is `message`'s.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use proto::convert::Malformed;
use proto::v1;
use routing::instance::Published;
use routing::{Payload, ProcessId, Timestamp};

use super::stored::key;
use super::{Ledger, Output};

/// Topics at most.
const MAX_TOPICS: usize = 10_000;
/// Bytes of payloads that one topic keeps at most.
const MAX_BYTES: usize = 64 << 20;
/// Records of all topics together, and bytes of their payloads.
const MAX_ALL: usize = 50_000;
const MAX_ALL_BYTES: usize = 256 << 20;

/// What a topic keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds.
    pub age: u64,
    /// Records.
    pub count: usize,
}

impl Default for Retention {
    /// 72 hours, as long as the original's catch events; 10,000 records.
    fn default() -> Self {
        Self { age: 72 * 3_600_000, count: 10_000 }
    }
}

/// One record of a topic, for readers.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where it stands.
    pub offset: u64,
    /// When it came.
    pub published: Timestamp,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// What stands beside the payload.
    pub headers: BTreeMap<String, String>,
    /// What it carries.
    pub payload: Payload,
}

/// A topic as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// Its name.
    pub name: String,
    /// The offset of the oldest record; `next` if there is none.
    pub first: u64,
    /// The offset of the next record.
    pub next: u64,
    /// How many there are.
    pub records: usize,
    /// Processes that it starts.
    pub starts: Vec<ProcessId>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Topics {
    pub(super) retention: Retention,
    all: BTreeMap<String, Log>,
    /// The numbers of all records, as they came, and the bytes of each.
    sizes: BTreeMap<u64, usize>,
    bytes: usize,
}

#[derive(Debug)]
struct Log {
    next: u64,
    /// The number of the kept message at each offset.
    records: BTreeMap<u64, u64>,
    bytes: usize,
    listeners: BTreeMap<ProcessId, u64>,
}

impl Default for Log {
    fn default() -> Self {
        Self { next: 1, records: BTreeMap::new(), bytes: 0, listeners: BTreeMap::new() }
    }
}

impl Log {
    fn encode(&self) -> Vec<u8> {
        let listeners = self.listeners.iter().map(|(process, from)| (process.as_str().to_owned(), *from)).collect();
        v1::StoredTopic { next: self.next, listeners }.encode_to_vec()
    }
}

impl Topics {
    /// From what was stored.
    pub(super) fn load(&mut self, name: &str, bytes: &[u8]) -> Result<(), Malformed> {
        let bad = Malformed { field: "stored topic", why: "not protobuf" };
        let stored = v1::StoredTopic::decode(bytes).map_err(|_| bad)?;
        let log = self.all.entry(name.to_owned()).or_default();
        log.next = stored.next.max(log.next);
        log.listeners = stored.listeners.into_iter().map(|(process, from)| (process.into(), from)).collect();
        Ok(())
    }

    /// A stored record is in its log again.
    pub(super) fn recover(&mut self, name: &str, offset: u64, number: u64, bytes: usize) {
        let log = self.all.entry(name.to_owned()).or_default();
        log.next = log.next.max(offset + 1);
        self.insert(name, offset, number, bytes);
    }

    fn insert(&mut self, name: &str, offset: u64, number: u64, bytes: usize) {
        let log = self.all.entry(name.to_owned()).or_default();
        log.records.insert(offset, number);
        log.bytes += bytes;
        self.sizes.insert(number, bytes);
        self.bytes += bytes;
    }

    /// The oldest records that cannot stay: of one topic, then of all. The newest always stays.
    fn over(&self, name: &str) -> Vec<u64> {
        let mut over = Vec::new();
        let Some(log) = self.all.get(name) else { return over };
        let size = |number: &u64| self.sizes.get(number).copied().unwrap_or(0);
        let (mut count, mut bytes) = (log.records.len(), log.bytes);
        let mut oldest = log.records.values();
        while count > 1 && (count > self.retention.count.max(1) || bytes > MAX_BYTES) {
            let Some(number) = oldest.next() else { break };
            (count, bytes) = (count - 1, bytes - size(number));
            over.push(*number);
        }
        let gone: usize = over.iter().map(size).sum();
        let (mut count, mut bytes) = (self.sizes.len() - over.len(), self.bytes - gone);
        let of_one = over.len();
        for (number, size) in &self.sizes {
            if count <= MAX_ALL && bytes <= MAX_ALL_BYTES {
                break;
            }
            if !over[..of_one].contains(number) {
                (count, bytes) = (count - 1, bytes - size);
                over.push(*number);
            }
        }
        over
    }

    /// A record is gone.
    pub(super) fn forget(&mut self, name: &str, offset: u64, bytes: usize) {
        if let Some(log) = self.all.get_mut(name)
            && let Some(number) = log.records.remove(&offset)
        {
            log.bytes = log.bytes.saturating_sub(bytes);
            self.bytes = self.bytes.saturating_sub(self.sizes.remove(&number).unwrap_or(0));
        }
    }

    /// Whether a process was there to be started by the record at `offset`.
    pub(super) fn listens(&self, name: &str, process: &ProcessId, offset: u64) -> bool {
        self.all.get(name).and_then(|log| log.listeners.get(process)).is_some_and(|from| offset >= *from)
    }

    /// Topics that start instances.
    pub(super) fn listened(&self) -> impl Iterator<Item = String> + '_ {
        self.all.iter().filter(|(_, log)| !log.listeners.is_empty()).map(|(name, _)| name.clone())
    }

    /// True when the topic is there, or there is room for it.
    pub(super) fn has_room(&self, name: &str) -> bool {
        self.all.len() < MAX_TOPICS || self.all.contains_key(name)
    }
}

impl Ledger {
    /// Sets what topics keep from now on.
    pub fn set_retention(&mut self, retention: Retention) {
        self.exchange.topics.retention = retention;
    }

    /// Gives the message its place in the log; what the log may not keep any more is forgotten. `None`: there are too many topics.
    pub(super) fn append(&mut self, number: u64, message: &Published, out: &mut Vec<Output>) -> Option<u64> {
        if !self.exchange.topics.has_room(&message.name) {
            out.push(Output::Alarm(format!("topic {}: there are too many topics", message.name)));
            return None;
        }
        let topics = &mut self.exchange.topics;
        let log = topics.all.entry(message.name.clone()).or_default();
        let offset = log.next;
        log.next += 1;
        let stored = log.encode();
        topics.insert(&message.name, offset, number, message.payload.body.len());
        let over = topics.over(&message.name);
        self.put(key::topic(&message.name), stored);
        for number in over {
            self.forget_record(number);
        }
        out.push(Output::Appended(message.name.clone()));
        Some(offset)
    }

    fn forget_record(&mut self, number: u64) {
        self.remove(key::message(number));
        let Some(kept) = self.exchange.buffer.drop_kept(number) else { return };
        if let Some(place) = kept.place {
            self.exchange.topics.forget(&kept.message.name, place.offset, kept.message.payload.body.len());
        }
    }

    /// A process is started by the topic: by what comes from now on, if it was not there before.
    pub(super) fn listen(&mut self, name: &str, process: &ProcessId) {
        if !self.exchange.topics.has_room(name) {
            return;
        }
        let log = self.exchange.topics.all.entry(name.to_owned()).or_default();
        if log.listeners.contains_key(process) {
            return;
        }
        log.listeners.insert(process.clone(), log.next);
        let stored = log.encode();
        self.put(key::topic(name), stored);
    }

    /// Processes without a deployment do not listen any more.
    pub(super) fn retire_listeners(&mut self) {
        let left: BTreeSet<ProcessId> = self.tables.values().map(|it| it.table().process.clone()).collect();
        self.stop_listening(|_, process| !left.contains(process));
    }

    /// What comes from now on is not for these processes any more.
    pub(super) fn stop_listening(&mut self, ends: impl Fn(&str, &ProcessId) -> bool) {
        let mut changed = Vec::new();
        for (name, log) in &mut self.exchange.topics.all {
            let before = log.listeners.len();
            log.listeners.retain(|process, _| !ends(name, process));
            if log.listeners.len() != before {
                changed.push((key::topic(name), log.encode()));
            }
        }
        changed.into_iter().for_each(|(at, stored)| self.put(at, stored));
    }

    /// Records of a topic behind an offset, at most so many, and the offset of the next one; nothing of a topic that is not there.
    pub fn records(&self, name: &str, after: u64, limit: usize) -> (Vec<Record>, u64) {
        let Some(log) = self.exchange.topics.all.get(name) else { return (Vec::new(), 1) };
        let read = |(offset, number): (&u64, &u64)| {
            let kept = self.exchange.buffer.get(*number)?;
            Some(Record {
                offset: *offset,
                published: kept.place.map_or(0, |it| it.published),
                id: kept.message.id.clone(),
                headers: kept.message.headers.clone(),
                payload: kept.message.payload.clone(),
            })
        };
        (log.records.range(after.saturating_add(1)..).take(limit).filter_map(read).collect(), log.next)
    }

    /// Every topic, by name.
    pub fn topics(&self) -> Vec<TopicView> {
        let view = |(name, log): (&String, &Log)| TopicView {
            name: name.clone(),
            first: log.records.keys().next().copied().unwrap_or(log.next),
            next: log.next,
            records: log.records.len(),
            starts: log.listeners.keys().cloned().collect(),
        };
        self.exchange.topics.all.iter().map(view).collect()
    }
}
