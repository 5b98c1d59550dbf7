//! Either store behind one type, so that nothing above is generic over it and nothing on the hot path is boxed.

use bytes::Bytes;
use tokio::sync::watch;

#[cfg(feature = "etcd")]
use super::etcd::Etcd;
use super::{Batch, Entry, Error, Leadership, Location, Store, redb::Redb};

/// The store that `--data-dir` or `--store` named.
#[derive(Clone, Debug)]
pub enum AnyStore {
    /// In a folder.
    Redb(Redb),
    /// In etcd.
    #[cfg(feature = "etcd")]
    Etcd(Etcd),
}

macro_rules! either {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Self::Redb($store) => $call,
            #[cfg(feature = "etcd")]
            Self::Etcd($store) => $call,
        }
    };
}

impl AnyStore {
    /// Opens the store. `advertise` is what standbys learn about this flowd once it leads: the address to forward to.
    /// A store in a folder leads at once; one in etcd stands by until [`Store::leadership`] says otherwise.
    pub async fn open(location: &Location, advertise: &str) -> Result<Self, Error> {
        match location {
            Location::Folder(folder) => Ok(Self::Redb(Redb::open(folder).await?)),
            #[cfg(feature = "etcd")]
            Location::Etcd { endpoints, prefix } => {
                Ok(Self::Etcd(Etcd::open(endpoints, prefix, advertise, super::etcd::LEASE).await?))
            }
            #[cfg(not(feature = "etcd"))]
            Location::Etcd { .. } => {
                let _ = advertise;
                Err(Error::Location {
                    text: location.to_string(),
                    reason: "this flowd was built without the feature `etcd`".to_owned(),
                })
            }
        }
    }
}

impl Store for AnyStore {
    async fn commit(&self, batch: Batch) -> Result<(), Error> {
        either!(self, store => store.commit(batch).await)
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        either!(self, store => store.get(key).await)
    }

    async fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, Error> {
        either!(self, store => store.scan(prefix, after, limit).await)
    }

    async fn size(&self) -> Result<u64, Error> {
        either!(self, store => store.size().await)
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        either!(self, store => store.leadership())
    }

    async fn close(&self) -> Result<(), Error> {
        either!(self, store => store.close().await)
    }
}
