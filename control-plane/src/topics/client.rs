//! What flowd asks of a broker's client, whichever it is, and the one that it was started with.
//!
//! A client promises: what `produce` says is placed is durable at the broker; a feed gives the messages of each partition in order and
//! leaves none out, from the position it was opened at. It may give one twice. It keeps trying to connect, by itself or with each call,
//! and never waits long: a call fails as [`Fault::Away`] instead. It decides nothing.

use routing::Incarnation;

use super::address::{Address, Error};
use crate::ledger::{Consumed, Position, Record, Thrown};
use crate::metrics::Topics as Metrics;

/// Why a broker did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// It is away, or does not answer in time: ask again.
    #[error("{0}")]
    Away(String),
    /// It will not, however often it is asked, until somebody changes something.
    #[error("{0}")]
    Refused(String),
    /// The topic is not the one that was consumed before: it has begun anew.
    #[error("the topic has begun anew")]
    Renewed,
}

/// Where a message is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) offset: u64,
    /// It was there before.
    pub(crate) known: bool,
}

/// A topic as a broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) first: u64,
    pub(crate) next: u64,
    pub(crate) records: u64,
}

/// See the module's documentation. Clones are the same client.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// See [`Feed`].
    type Feed: Feed;

    /// Produces messages, in order; what became of each.
    fn produce(&self, messages: &[Thrown]) -> impl Future<Output = Vec<Result<Placed, Fault>>> + Send;

    /// Follows a topic from a position; makes the topic if there is none.
    fn open(&self, topic: &str, from: &Position) -> impl Future<Output = Result<Self::Feed, Fault>> + Send;

    /// Records behind an offset, at most so many, and the offset of the next one that will come.
    fn read(
        &self,
        topic: &str,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<(Vec<Record>, u64), Fault>> + Send;

    /// Every topic.
    fn list(&self) -> impl Future<Output = Result<Vec<Listed>, Fault>> + Send;

    /// The topic is not followed any more: what the broker remembers of that may go.
    fn leave(&self, topic: &str) -> impl Future<Output = ()> + Send;
}

/// Messages of a topic as they come.
pub(crate) trait Feed: Send + 'static {
    /// The next ones; none after a while without any. Does not lose messages when it is dropped before it is done.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Consumed>, Fault>> + Send;

    /// The effect of all that was given so far is durable: the broker may know how far this flowd is.
    fn taken(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// What a client is made with.
pub(crate) struct Options {
    /// Whose consumers these are.
    pub(crate) incarnation: Incarnation,
    /// Milliseconds that topics made by flowd keep messages.
    pub(crate) retention: u64,
    pub(crate) metrics: Metrics,
}

/// Any of the clients that were built in.
#[derive(Clone)]
pub(crate) enum AnyClient {
    #[cfg(feature = "nats")]
    Nats(Box<super::nats::Nats>),
    #[cfg(feature = "kafka")]
    Kafka(super::kafka::Kafka),
}

/// Any feed.
pub(crate) enum AnyFeed {
    #[cfg(feature = "nats")]
    Nats(Box<super::nats::Feed>),
    #[cfg(feature = "kafka")]
    Kafka(super::kafka::Feed),
}

impl AnyClient {
    /// That there is a client for the address.
    pub(crate) fn check(address: &Address) -> Result<(), Error> {
        let built = match address.kind {
            super::address::Kind::Kafka => cfg!(feature = "kafka"),
            super::address::Kind::Nats => cfg!(feature = "nats"),
        };
        if built { Ok(()) } else { Err(Error::NotBuilt(address.kind.scheme())) }
    }

    /// A client for the address; it need not reach it yet.
    #[cfg_attr(
        not(any(feature = "kafka", feature = "nats")),
        allow(unused_variables, reason = "there is no client to make")
    )]
    pub(crate) async fn new(address: &Address, options: Options) -> anyhow::Result<Self> {
        match address.kind {
            #[cfg(feature = "nats")]
            super::address::Kind::Nats => Ok(Self::Nats(Box::new(super::nats::Nats::new(address, options).await?))),
            #[cfg(feature = "kafka")]
            super::address::Kind::Kafka => Ok(Self::Kafka(super::kafka::Kafka::new(address, options)?)),
            #[allow(unreachable_patterns, reason = "unless all were built in")]
            kind => Err(Error::NotBuilt(kind.scheme()).into()),
        }
    }
}

#[cfg_attr(not(any(feature = "kafka", feature = "nats")), allow(unused_variables, reason = "there is nobody to ask"))]
impl Client for AnyClient {
    type Feed = AnyFeed;

    async fn produce(&self, messages: &[Thrown]) -> Vec<Result<Placed, Fault>> {
        match *self {
            #[cfg(feature = "nats")]
            Self::Nats(ref client) => client.produce(messages).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(ref client) => client.produce(messages).await,
        }
    }

    async fn open(&self, topic: &str, from: &Position) -> Result<AnyFeed, Fault> {
        match *self {
            #[cfg(feature = "nats")]
            Self::Nats(ref client) => client.open(topic, from).await.map(|feed| AnyFeed::Nats(Box::new(feed))),
            #[cfg(feature = "kafka")]
            Self::Kafka(ref client) => client.open(topic, from).await.map(AnyFeed::Kafka),
        }
    }

    async fn read(&self, topic: &str, after: u64, limit: usize) -> Result<(Vec<Record>, u64), Fault> {
        match *self {
            #[cfg(feature = "nats")]
            Self::Nats(ref client) => client.read(topic, after, limit).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(ref client) => client.read(topic, after, limit).await,
        }
    }

    async fn list(&self) -> Result<Vec<Listed>, Fault> {
        match *self {
            #[cfg(feature = "nats")]
            Self::Nats(ref client) => client.list().await,
            #[cfg(feature = "kafka")]
            Self::Kafka(ref client) => client.list().await,
        }
    }

    async fn leave(&self, topic: &str) {
        match *self {
            #[cfg(feature = "nats")]
            Self::Nats(ref client) => client.leave(topic).await,
            #[cfg(feature = "kafka")]
            Self::Kafka(ref client) => client.leave(topic).await,
        }
    }
}

impl Feed for AnyFeed {
    async fn next(&mut self) -> Result<Vec<Consumed>, Fault> {
        match *self {
            #[cfg(feature = "nats")]
            Self::Nats(ref mut feed) => feed.next().await,
            #[cfg(feature = "kafka")]
            Self::Kafka(ref mut feed) => feed.next().await,
        }
    }

    async fn taken(&mut self) -> Result<(), Fault> {
        match *self {
            #[cfg(feature = "nats")]
            Self::Nats(ref mut feed) => feed.taken().await,
            #[cfg(feature = "kafka")]
            Self::Kafka(ref mut feed) => feed.taken().await,
        }
    }
}
