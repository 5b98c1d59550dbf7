//! Topics at a broker beside flowd, for the world outside: what is published goes straight there, and is read from there.

use std::collections::BTreeMap;
use std::sync::Arc;

use routing::instance::Published;
use tokio::sync::broadcast;

use super::client::{AnyClient, Client as _, Fault};
use super::{Broker, named};
use crate::ledger::{Receipt, Record, Thrown, TopicView};
use crate::ledger_task::Handle;
use crate::operations::{Error, MAX_PAYLOAD};

/// See the module's documentation.
pub(crate) struct Beside {
    pub(crate) client: AnyClient,
    pub(crate) ledger: Handle,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(why) => Self::Unavailable(format!("the broker of topics is away: {why}")),
            Fault::Refused(why) => Self::Invalid(why),
            Fault::Renewed => Self::Unavailable("the topic has begun anew; ask again".to_owned()),
        }
    }
}

impl Broker for Beside {
    async fn publish(&self, mut message: Published) -> Result<Receipt, Error> {
        named(&message.name)?;
        let size = message.payload.body.len();
        if size > MAX_PAYLOAD {
            return Err(Error::TooLarge { size, limit: MAX_PAYLOAD });
        }
        if message.id.as_ref().is_some_and(|it| it.len() > super::message::MAX_HEADER) {
            return Err(Error::Invalid(format!("a message's id has at most {} bytes", super::message::MAX_HEADER)));
        }
        message.id.get_or_insert_with(|| uuid::Uuid::now_v7().simple().to_string());
        let message = Thrown { number: 0, message: Published { topic: true, ..message } };
        let placed = self.client.produce(&[message]).await.pop();
        let placed = placed.ok_or_else(|| Error::Unavailable("the broker of topics did not answer".to_owned()))??;
        Ok(Receipt { known: placed.known, offset: Some(placed.offset), ..Receipt::default() })
    }

    async fn read(&self, topic: &str, after: u64, limit: usize) -> Result<(Vec<Record>, u64), Error> {
        named(topic)?;
        Ok(self.client.read(topic, after, limit).await?)
    }

    async fn list(&self) -> Result<Vec<TopicView>, Error> {
        let own = self.ledger.topics().await?;
        let mut starts: BTreeMap<String, _> = own.into_iter().map(|it| (it.name, it.starts)).collect();
        let listed = self.client.list().await?.into_iter().map(|it| TopicView {
            starts: starts.remove(&it.name).unwrap_or_default(),
            name: it.name,
            first: it.first,
            next: it.next,
            records: usize::try_from(it.records).unwrap_or(usize::MAX),
        });
        Ok(listed.collect())
    }

    fn appended(&self) -> Option<broadcast::Receiver<Arc<str>>> {
        None
    }
}
