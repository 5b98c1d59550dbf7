//! Where flowd keeps what has to survive it: an ordered map of byte keys to byte values.
//!
//! One trait, [`Store`], and two implementations that pass the same suite: [`redb::Redb`] (one folder, one flowd) and
//! `etcd::Etcd` (one flowd leads, others stand by). [`AnyStore`] is either of them, chosen at start by [`Location`].
//!
//! Promises, the same for both:
//! * [`Store::commit`] returns once every group of the batch is durable. A group is atomic; groups take effect in order,
//!   so a crash leaves a prefix of them. Batches take effect in the order in which their `commit` was first polled.
//! * A commit that fails is final for this handle ([`Leadership::Lost`]), and so is every commit queued behind it: nothing
//!   later can overtake a batch whose outcome is unknown. Whoever lost a store opens it anew and reads its state again.
//!   Short outages of etcd do not get this far: they are retried inside, as long as the lease lasts.
//! * What `commit` has returned is seen by every later `get` and `scan` of this process.
//!
//! It does not know what the keys mean, keeps no index, and does not encrypt.

mod any;
#[cfg(feature = "etcd")]
pub mod etcd;
pub mod redb;

use std::{
    fmt,
    future::Future,
    path::{Path, PathBuf},
    str::FromStr,
};

use bytes::Bytes;
use tokio::sync::watch;

pub use self::any::AnyStore;

/// The version of the layout that this flowd writes; it refuses to open a store with a higher one.
pub const FORMAT_VERSION: u32 = 1;
/// Longest key, in bytes.
pub const MAX_KEY: usize = 4096;
/// Longest value, in bytes.
pub const MAX_VALUE: usize = 256 * 1024 * 1024;
/// Batches that may wait for the one being committed; further calls of `commit` wait until there is room.
pub(crate) const QUEUE: usize = 256;

/// A key and its value, as `scan` returns them.
pub type Entry = (Bytes, Bytes);

/// One change: a value to put, or a key to delete. Both may be repeated without harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// 1 to [`MAX_KEY`] bytes.
    pub key: Bytes,
    /// `None` deletes the key; deleting what is absent is no error.
    pub value: Option<Bytes>,
}

impl Write {
    /// Puts `value` at `key`, whatever was there.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: Some(value.into()) }
    }

    /// Deletes `key`.
    pub fn delete(key: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: None }
    }

    fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// What one `commit` makes durable: groups, each atomic, in order. Within a group the last write of a key wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The groups, first to last.
    pub groups: Vec<Vec<Write>>,
}

impl Batch {
    /// A batch of a single atomic group.
    pub fn one(group: Vec<Write>) -> Self {
        Self { groups: vec![group] }
    }

    /// Adds one atomic group behind the others.
    pub fn push(&mut self, group: Vec<Write>) {
        self.groups.push(group);
    }

    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.groups.iter().all(Vec::is_empty)
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.groups.iter().flatten().map(Write::bytes).sum()
    }

    fn check(&self) -> Result<(), Error> {
        for write in self.groups.iter().flatten() {
            let (key, value) = (write.key.len(), write.value.as_ref().map_or(0, Bytes::len));
            if key == 0 || key > MAX_KEY || value > MAX_VALUE {
                return Err(Error::Limit { key, value });
            }
        }
        Ok(())
    }
}

/// Who may commit. A store in a folder leads from the start; in etcd one of several flowds does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// Another flowd leads, or nobody yet. Reads work, commits are refused.
    Standby {
        /// What the leader advertised about itself (where to forward calls), if known.
        leader: Option<String>,
    },
    /// This handle leads: it alone may commit.
    Leader {
        /// Grows with every change of leader; 0 for a store in a folder.
        term: u64,
    },
    /// Final: nothing can be committed through this handle any more. Open the store anew and read the state again.
    Lost {
        /// Why.
        reason: Error,
    },
}

/// What can go wrong with a store. Every message names the place and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `--store` was not understood.
    #[error("cannot use `{text}` as a store: {reason}; write etcd://HOST:PORT[,HOST:PORT...][/PREFIX]")]
    Location {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder or file cannot be created or written.
    #[error("cannot write the store {path}: {reason}; make it writable for this user, or choose another --data-dir")]
    NotWritable {
        /// The file or folder.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Another process has the file open.
    #[error("the store {path} is in use by another process; stop that flowd, or choose another --data-dir")]
    Locked {
        /// The file.
        path: String,
    },
    /// What is stored cannot be read back.
    #[error(
        "the store {place} is damaged or not a store of flowd: {reason}; restore it from a backup, or move it away to begin with an empty one"
    )]
    Corrupt {
        /// The file, or the endpoints and key.
        place: String,
        /// What was found.
        reason: String,
    },
    /// Written by a newer flowd.
    #[error(
        "the store {place} has format {found}, and this flowd reads up to {FORMAT_VERSION}; start a newer flowd on it"
    )]
    NewerFormat {
        /// The file, or the endpoints.
        place: String,
        /// The version found.
        found: u32,
    },
    /// The file system failed under a store that had been open.
    #[error(
        "cannot {attempted} the store {path}: {reason}; nothing was acknowledged; put that right and start flowd again"
    )]
    Io {
        /// "commit to", "read" ...
        attempted: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// etcd did not answer, or refused. Reads may simply be called again.
    #[error("cannot {attempted} etcd at {endpoints}: {reason}; check that it runs and can be reached from here")]
    Unavailable {
        /// "read from", "commit to" ...
        attempted: &'static str,
        /// All endpoints that were tried.
        endpoints: String,
        /// What the client or server said.
        reason: String,
    },
    /// A commit on a standby.
    #[error("this flowd stands by and cannot write; the leader is {}", leader.as_deref().unwrap_or("not known yet"))]
    NotLeader {
        /// What the leader advertised, if known.
        leader: Option<String>,
    },
    /// Another flowd has taken over, or may have: the lease is gone.
    #[error("this flowd no longer leads ({reason}); nothing more was written; open the store anew to stand by")]
    Fenced {
        /// How it was noticed.
        reason: String,
    },
    /// A key or value out of bounds.
    #[error(
        "cannot store a key of {key} and a value of {value} bytes: keys have 1 to {MAX_KEY} bytes, values up to {MAX_VALUE}"
    )]
    Limit {
        /// Bytes of the key.
        key: usize,
        /// Bytes of the value.
        value: usize,
    },
    /// The handle was closed.
    #[error("the store has been closed; open it anew")]
    Closed,
}

/// An ordered, durable map. Handles are cheap to clone and share one store.
pub trait Store: Clone + Send + Sync + 'static {
    /// Makes the batch durable. See the module for what is promised; an empty batch waits for those before it.
    fn commit(&self, batch: Batch) -> impl Future<Output = Result<(), Error>> + Send;

    /// The value of `key`.
    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;

    /// Up to `limit` entries whose keys begin with `prefix`, in ascending order of keys, behind the key `after`.
    /// Fewer than `limit` means that there are no more. The caller's `limit` bounds the memory taken.
    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, Error>> + Send;

    /// Bytes that the store occupies (the file; the whole etcd database, which others may share).
    fn size(&self) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Whether this handle may commit, as it changes.
    fn leadership(&self) -> watch::Receiver<Leadership>;

    /// Finishes the commits that wait, then lets go: the file is closed cleanly, the lease given back at once.
    fn close(&self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Where the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder for redb; created if absent.
    Folder(PathBuf),
    /// `etcd://host:port[,host:port][/prefix]`.
    Etcd {
        /// `host:port` of each member; one that answers is enough.
        endpoints: Vec<String>,
        /// All keys lie below it; two meshes may share one etcd under different prefixes.
        prefix: String,
    },
}

impl Location {
    /// The prefix when the address names none.
    pub const DEFAULT_PREFIX: &'static str = "/flow";

    /// The folder of `--data-dir`.
    pub fn folder(path: impl AsRef<Path>) -> Self {
        Self::Folder(path.as_ref().to_path_buf())
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Location { text: text.to_owned(), reason: reason.to_owned() };
        let rest = text.strip_prefix("etcd://").ok_or_else(|| wrong("it does not begin with etcd://"))?;
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let endpoints: Vec<String> = hosts.split(',').map(str::to_owned).collect();
        for endpoint in &endpoints {
            let (host, port) = endpoint.rsplit_once(':').ok_or_else(|| wrong("a port is missing"))?;
            if host.is_empty() || host.contains(['@', '?', '#']) {
                return Err(wrong("a host is missing or malformed"));
            }
            if port.parse::<u16>().is_err() {
                return Err(wrong("a port is not a number from 0 to 65535"));
            }
        }
        let path = path.trim_matches('/');
        if path.contains(['?', '#']) {
            return Err(wrong("options behind `?` or `#` are not supported"));
        }
        let prefix = if path.is_empty() { Self::DEFAULT_PREFIX.to_owned() } else { format!("/{path}") };
        Ok(Self::Etcd { endpoints, prefix })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Etcd { endpoints, prefix } => write!(f, "etcd://{}{prefix}", endpoints.join(",")),
        }
    }
}
