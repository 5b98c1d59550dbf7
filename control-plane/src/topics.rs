//! Topics as the world outside sees them: published to, read in order, listed; and the broker beside flowd that may keep them.
//!
//! [`Broker`] is the seam: [`own::Own`] is flowd's own log in the ledger, [`beside::Beside`] a broker that takes its place by the same
//! three calls. What a broker must promise: `publish` returns once the message is durable; `read` gives records in the order of
//! their offsets, each at least once to who asks from an offset on. How a message finds instances is the ledger's, never a broker's;
//! what is between the two is `pump`'s.
#![cfg_attr(
    not(any(feature = "kafka", feature = "nats")),
    allow(dead_code, unused_variables, unreachable_code, reason = "no broker's client is built in")
)]

pub(crate) mod address;
pub(crate) mod beside;
pub(crate) mod client;
#[cfg(feature = "kafka")]
mod kafka;
pub(crate) mod message;
#[cfg(feature = "nats")]
mod nats;
pub(crate) mod own;
pub(crate) mod pump;

use std::sync::Arc;

use routing::instance::Published;
use routing::table::{MAX_TOPIC, is_topic};
use tokio::sync::broadcast;

use crate::ledger::{Receipt, Record, TopicView};
use crate::operations::{Error, Operations};

/// Where topics are. See the module's documentation.
pub(crate) trait Broker {
    /// Publishes a message to the topic of its name.
    fn publish(&self, message: Published) -> impl Future<Output = Result<Receipt, Error>> + Send;

    /// Records behind an offset, at most so many, and the offset of the next one that will come.
    fn read(
        &self,
        topic: &str,
        after: u64,
        limit: usize,
    ) -> impl Future<Output = Result<(Vec<Record>, u64), Error>> + Send;

    /// Every topic.
    fn list(&self) -> impl Future<Output = Result<Vec<TopicView>, Error>> + Send;

    /// The names of topics as records are appended from now on; who lags behind reads anew. `None`: nobody says so, ask now and then.
    fn appended(&self) -> Option<broadcast::Receiver<Arc<str>>>;
}

/// Where this flowd's topics are.
pub(crate) enum Topics {
    Own(own::Own),
    Beside(Box<beside::Beside>),
}

impl Topics {
    /// As it was started.
    pub(crate) fn of(operations: &Operations) -> Self {
        match &operations.broker {
            None => Self::Own(own::Own(operations.clone())),
            Some(client) => {
                let (client, ledger) = (client.clone(), operations.ledger.clone());
                Self::Beside(Box::new(beside::Beside { client, ledger }))
            }
        }
    }
}

impl Broker for Topics {
    async fn publish(&self, message: Published) -> Result<Receipt, Error> {
        match self {
            Self::Own(own) => own.publish(message).await,
            Self::Beside(beside) => beside.publish(message).await,
        }
    }

    async fn read(&self, topic: &str, after: u64, limit: usize) -> Result<(Vec<Record>, u64), Error> {
        match self {
            Self::Own(own) => own.read(topic, after, limit).await,
            Self::Beside(beside) => beside.read(topic, after, limit).await,
        }
    }

    async fn list(&self) -> Result<Vec<TopicView>, Error> {
        match self {
            Self::Own(own) => own.list().await,
            Self::Beside(beside) => beside.list().await,
        }
    }

    fn appended(&self) -> Option<broadcast::Receiver<Arc<str>>> {
        match self {
            Self::Own(own) => own.appended(),
            Self::Beside(beside) => beside.appended(),
        }
    }
}

/// That a topic can have this name.
pub(crate) fn named(name: &str) -> Result<(), Error> {
    if is_topic(name) {
        return Ok(());
    }
    let rule = format!("letters, digits, '-', '_' and '.', at most {MAX_TOPIC} of them");
    Err(Error::Invalid(format!("{name:?} is no name of a topic: {rule}")))
}
