//! Topics that a broker beside flowd keeps: what is still to be produced to it, and how far each of them has been consumed.
//!
//! What instances throw to a topic is stored in the group of what threw it, under an id that it keeps, until the broker has it. What is
//! consumed comes in the order of its partition; what it does and the offset behind it are one atomic group, so that a message that
//! comes again changes nothing, and none is left out. Promises nothing of the order between partitions. Who gets a message is `message`'s.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use proto::convert::Malformed;
use proto::v1;
use routing::Timestamp;
use routing::instance::{INSTANCE_HEADER, Published};
use routing::table::{NodeKind, RoutingTable, Template, Trigger};

use super::buffer::{encode_posted, published};
use super::message::Posted;
use super::stored::key;
use super::{Ledger, Output};

/// How far a topic has been consumed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Since when it is listened to: a partition that nothing came of yet is read from the first message of that time or later.
    pub since: Timestamp,
    /// The offset of the next message, by partition.
    pub next: BTreeMap<u32, u64>,
}

/// A message that a topic had.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumed {
    /// The topic.
    pub topic: String,
    /// Of it, where there are several; else 0.
    pub partition: u32,
    /// Where it stood; the next one has a larger one.
    pub offset: u64,
    /// What it is; none if it is nothing that an instance can have.
    pub message: Option<Published>,
}

/// A message that is to be produced.
#[derive(Clone, Debug, PartialEq)]
pub struct Thrown {
    /// Grows in the order of throwing, through all lives.
    pub number: u64,
    /// The message; it has an id.
    pub message: Published,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Broker {
    /// Topics are at a broker.
    on: bool,
    outbox: BTreeMap<u64, Published>,
    positions: BTreeMap<String, Position>,
}

impl Broker {
    /// Whether topics are at a broker.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// From what was stored.
    pub(super) fn load_thrown(&mut self, number: u64, bytes: &[u8]) -> Result<(), Malformed> {
        let bad = Malformed { field: "thrown message", why: "not protobuf" };
        self.outbox.insert(number, published(v1::StoredMessage::decode(bytes).map_err(|_| bad)?));
        Ok(())
    }

    /// From what was stored.
    pub(super) fn load_position(&mut self, topic: &str, bytes: &[u8]) -> Result<(), Malformed> {
        let bad = Malformed { field: "position in a topic", why: "not protobuf" };
        let stored = v1::StoredPosition::decode(bytes).map_err(|_| bad)?;
        let position = Position { since: stored.since_ms, next: stored.next.into_iter().collect() };
        self.positions.insert(topic.to_owned(), position);
        Ok(())
    }
}

fn encode(position: &Position) -> Vec<u8> {
    let next = position.next.iter().map(|(partition, next)| (*partition, *next)).collect();
    v1::StoredPosition { since_ms: position.since, next }.encode_to_vec()
}

/// Topics that instances of a table wait for once they run; those that start instances are told by who listens.
fn awaited(table: &RoutingTable) -> impl Iterator<Item = String> + '_ {
    let triggers = |triggers: &[Trigger]| {
        let messages = triggers.iter().filter_map(|it| match it {
            Trigger::Message(message) if message.topic => Some(message.name.clone()),
            _ => None,
        });
        messages.collect::<Vec<_>>()
    };
    let names = table.nodes.iter().flat_map(move |node| match &node.kind {
        NodeKind::CatchEvent(catch) => triggers(&catch.triggers),
        NodeKind::Boundary(boundary) => triggers(&boundary.catch.triggers),
        NodeKind::StartEvent(start) if node.parent.is_some() => triggers(&start.catch.triggers),
        NodeKind::ReceiveTask(message) if message.topic => vec![message.name.clone()],
        NodeKind::StartEvent(_)
        | NodeKind::ReceiveTask(_)
        | NodeKind::EndEvent(_)
        | NodeKind::Task(_)
        | NodeKind::Evaluate(_)
        | NodeKind::UserTask(_)
        | NodeKind::SendTask(_)
        | NodeKind::CallActivity(_)
        | NodeKind::SubProcess(_)
        | NodeKind::ExclusiveGateway
        | NodeKind::InclusiveGateway
        | NodeKind::ParallelGateway
        | NodeKind::ComplexGateway { .. }
        | NodeKind::EventBasedGateway { .. }
        | NodeKind::ThrowEvent(_)
        | NodeKind::Link
        | NodeKind::Elsewhere => Vec::new(),
    });
    names.filter_map(|name| match name {
        Template::Static(name) => Some(name),
        Template::Feel(_) => None,
    })
}

impl Ledger {
    /// Topics are at a broker from now on; said before [`Ledger::begin`].
    pub fn set_broker(&mut self) {
        self.broker.on = true;
    }

    /// Without a broker: what was to be produced is told here.
    pub(super) fn take_back_thrown(&mut self) {
        if self.broker.on {
            return;
        }
        for (number, message) in std::mem::take(&mut self.broker.outbox) {
            self.remove(key::thrown(number));
            self.post(Posted::Message(message));
        }
        let topics: Vec<String> = std::mem::take(&mut self.broker.positions).into_keys().collect();
        topics.iter().for_each(|topic| self.remove(key::position(topic)));
    }

    /// An instance has thrown it: it stays until it is produced.
    pub(super) fn throw(&mut self, now: Timestamp, mut message: Published, out: &mut Vec<Output>) {
        let number = self.next_number();
        let from = message.headers.get(INSTANCE_HEADER).map_or("flowd", String::as_str);
        message.id.get_or_insert_with(|| format!("{from}.{number:x}"));
        self.put(key::thrown(number), encode_posted(&message, now));
        self.broker.outbox.insert(number, message);
        out.push(Output::Thrown);
    }

    /// The broker has these.
    pub(super) fn produced(&mut self, numbers: Vec<u64>) {
        for number in numbers {
            if self.broker.outbox.remove(&number).is_some() {
                self.remove(key::thrown(number));
            }
        }
    }

    /// A topic had it.
    pub(super) fn consumed(&mut self, now: Timestamp, consumed: Consumed, out: &mut Vec<Output>) {
        let Consumed { topic, partition, offset, message } = consumed;
        let Some(position) = self.broker.positions.get_mut(&topic) else { return };
        if position.next.get(&partition).is_some_and(|next| offset < *next) {
            return;
        }
        position.next.insert(partition, offset + 1);
        let stored = encode(position);
        self.put(key::position(&topic), stored);
        let Some(message) = message else { return };
        if message.id.is_some()
            && let Some(oldest) = self.exchange.buffer.make_room_for_an_id()
        {
            self.remove(key::message_id(oldest));
        }
        self.deliver(now, Published { topic: true, ..message }, out);
    }

    /// The topic is another one of the same name, which nothing was consumed of.
    pub(super) fn renewed(&mut self, topic: &str) {
        let Some(position) = self.broker.positions.get_mut(topic) else { return };
        position.next.clear();
        let stored = encode(position);
        self.put(key::position(topic), stored);
    }

    /// Who listens has changed: a topic is listened to from now on, or not any more.
    pub(super) fn follow_topics(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if !self.broker.on || !self.exchange.listening {
            return;
        }
        let mut wanted: BTreeSet<String> = self.tables.values().flat_map(|it| awaited(it.table())).collect();
        wanted.extend(self.exchange.topics.listened());
        let over: Vec<String> = self.broker.positions.keys().filter(|it| !wanted.contains(*it)).cloned().collect();
        let new: Vec<String> = wanted.into_iter().filter(|it| !self.broker.positions.contains_key(it)).collect();
        if over.is_empty() && new.is_empty() {
            return;
        }
        for topic in over {
            self.broker.positions.remove(&topic);
            self.remove(key::position(&topic));
        }
        for topic in new {
            let position = Position { since: now, ..Position::default() };
            self.put(key::position(&topic), encode(&position));
            self.broker.positions.insert(topic, position);
        }
        out.push(Output::Listening);
    }

    /// Whether there is room for a message that a topic had; if not, it is to come again.
    pub fn has_room(&self) -> bool {
        !self.exchange.buffer.is_full_of_messages()
    }

    /// What is to be produced behind a number, at most so many, and how many there are in all.
    pub fn thrown(&self, after: u64, limit: usize) -> (Vec<Thrown>, usize) {
        let behind = self.broker.outbox.range(after.saturating_add(1)..).take(limit);
        let thrown = behind.map(|(number, message)| Thrown { number: *number, message: message.clone() });
        (thrown.collect(), self.broker.outbox.len())
    }

    /// The topics that are listened to, and how far each has been consumed.
    pub fn positions(&self) -> &BTreeMap<String, Position> {
        &self.broker.positions
    }
}
