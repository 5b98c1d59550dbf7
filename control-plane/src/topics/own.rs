//! flowd's own topics: the ledger's log, written in the same atomic group as what a message does to instances.

use std::sync::Arc;

use routing::instance::Published;
use tokio::sync::broadcast;

use super::{Broker, named};
use crate::ledger::{Receipt, Record, TopicView};
use crate::operations::{Error, Operations};

/// See the module's documentation.
#[derive(Clone)]
pub(crate) struct Own(pub(crate) Operations);

impl Broker for Own {
    async fn publish(&self, message: Published) -> Result<Receipt, Error> {
        named(&message.name)?;
        self.0.publish(Published { topic: true, ..message }).await
    }

    async fn read(&self, topic: &str, after: u64, limit: usize) -> Result<(Vec<Record>, u64), Error> {
        named(topic)?;
        Ok(self.0.ledger.records(topic, after, limit).await?)
    }

    async fn list(&self) -> Result<Vec<TopicView>, Error> {
        Ok(self.0.ledger.topics().await?)
    }

    fn appended(&self) -> Option<broadcast::Receiver<Arc<str>>> {
        Some(self.0.ledger.appended())
    }
}
