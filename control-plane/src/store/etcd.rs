//! The store in etcd: one flowd leads and writes, any number stand by and read.
//!
//! * Leading: a key attached to a lease, created in a transaction only where there was none. Its create revision is the
//!   term, and every transaction of the leader is guarded by it: whoever was deposed, however late it learns of it, writes
//!   nothing more. There is no lock. Standbys watch the key. See `session`.
//! * Writing: one task, one transaction at a time, groups packed to 128 operations and about 1 MiB. A transaction whose
//!   outcome is unknown (time-out, broken connection) is sent again, and takes effect once: each is guarded by the turn that
//!   the one before left. Repeating ends with the lease, and then for good. See `committer`.
//! * A value over 1 MiB lies in pieces beside the data; a group that no transaction can hold is first made durable as an
//!   intent, which the next leader carries out. Neither shows outside. See `layout`.
//! * Reading: linearizable, paged, each call with a time-out; an error names the endpoints and the caller may call again.
//!
//! It does not speak TLS to etcd and does not defragment it; the leader compacts the history (all of the cluster's) to the
//! last minutes.

mod committer;
mod layout;
mod session;

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use etcd_client::{Client, ConnectOptions, GetOptions, GetResponse, KvClient};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{
    layout::{Keys, Stored, prefix_end},
    session::Session,
};
use super::{Batch, Entry, Error, FORMAT_VERSION, Leadership, QUEUE, Store};

/// Time to live of the leader's lease: a standby takes over this long after the leader was last heard of.
pub const LEASE: Duration = Duration::from_secs(10);
/// Every call to etcd ends after this; a commit is then sent again.
const CALL: Duration = Duration::from_secs(3);
/// A read ends after this: longer, since its caller would have to begin again.
const READ: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(1);
/// Largest answer taken from etcd; a page of a scan that would exceed it is asked for again in halves.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// First page of a scan, in entries; pages grow and shrink with what the values weigh.
const FIRST_PAGE: usize = 64;
const LARGEST_PAGE: usize = 1024;
/// Reads of a chunked value that was replaced meanwhile begin again, this often.
const READ_ATTEMPTS: usize = 3;

/// A handle to the store in etcd.
#[derive(Clone, Debug)]
pub struct Etcd {
    cluster: Cluster,
    queue: mpsc::Sender<Pending>,
    leadership: watch::Receiver<Leadership>,
    life: Arc<Life>,
}

/// Ends the session with the last handle.
#[derive(Debug)]
struct Life {
    close: CancellationToken,
    ended: CancellationToken,
    _guard: DropGuard,
}

/// A batch and who waits for it.
#[derive(Debug)]
struct Pending {
    batch: Batch,
    done: oneshot::Sender<Result<(), Error>>,
}

impl Etcd {
    /// Connects, checks the format and stands for leadership from then on. `lease` is rounded up to whole seconds
    /// (etcd has a minimum of its own, 2 s by default). `advertise` is what standbys are told about this leader.
    pub async fn open(endpoints: &[String], prefix: &str, advertise: &str, lease: Duration) -> Result<Self, Error> {
        let cluster = Cluster::connect(endpoints, prefix).await?;
        cluster.check_format().await?;
        let (queue, commits) = mpsc::channel(QUEUE);
        let (state, leadership) = watch::channel(Leadership::Standby { leader: None });
        let (close, ended) = (CancellationToken::new(), CancellationToken::new());
        let session = Session::new(cluster.clone(), advertise, lease, state, commits, close.clone());
        let guard = ended.clone().drop_guard();
        tokio::spawn(async move {
            session.run().await;
            drop(guard);
        });
        let life = Arc::new(Life { _guard: close.clone().drop_guard(), close, ended });
        Ok(Self { cluster, queue, leadership, life })
    }

    fn refusal(&self) -> Option<Error> {
        match &*self.leadership.borrow() {
            Leadership::Leader { .. } => None,
            Leadership::Standby { leader } => Some(Error::NotLeader { leader: leader.clone() }),
            Leadership::Lost { reason } => Some(reason.clone()),
        }
    }

    fn ended(&self) -> Error {
        match &*self.leadership.borrow() {
            Leadership::Lost { reason } => reason.clone(),
            Leadership::Standby { .. } | Leadership::Leader { .. } => Error::Closed,
        }
    }
}

impl Store for Etcd {
    async fn commit(&self, batch: Batch) -> Result<(), Error> {
        batch.check()?;
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let (done, answer) = oneshot::channel();
        if self.queue.send(Pending { batch, done }).await.is_err() {
            return Err(self.ended());
        }
        answer.await.unwrap_or_else(|_| Err(self.ended()))
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        for _ in 0..READ_ATTEMPTS {
            let mut answer = self.cluster.read(self.cluster.keys.data(key), None).await?;
            let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
            let Some(found) = answer.take_kvs().pop() else {
                return Ok(None);
            };
            if let Some(value) = self.cluster.resolve(key, found.into_key_value().1, revision).await? {
                return Ok(Some(value));
            }
        }
        Err(self.cluster.unavailable("read from", "the value kept changing while it was read"))
    }

    async fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, Error> {
        self.cluster.scan(prefix, after, limit).await
    }

    async fn size(&self) -> Result<u64, Error> {
        let mut maintenance = self.cluster.client.maintenance_client();
        let status = self.cluster.call("measure", Box::pin(maintenance.status())).await?;
        Ok(u64::try_from(status.db_size()).unwrap_or(0))
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    async fn close(&self) -> Result<(), Error> {
        self.life.close.cancel();
        self.life.ended.cancelled().await;
        Ok(())
    }
}

/// The connection, what is said about it in errors, and where keys lie.
#[derive(Clone)]
struct Cluster {
    /// Shared: it is large, and handles are cloned for every caller.
    client: Arc<Client>,
    endpoints: Arc<str>,
    keys: Keys,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("endpoints", &self.endpoints).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Cluster {
    async fn connect(endpoints: &[String], prefix: &str) -> Result<Self, Error> {
        let options = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_tcp_keepalive(Duration::from_secs(10))
            .with_keep_alive(Duration::from_secs(2), Duration::from_secs(2))
            .with_keep_alive_while_idle(true);
        let names: Arc<str> = endpoints.join(",").into();
        // Only prepares the connections; the first call opens them.
        let client = Client::connect(endpoints, Some(options)).await.map_err(|error| Error::Unavailable {
            attempted: "connect to",
            endpoints: names.to_string(),
            reason: error.to_string(),
        })?;
        Ok(Self { client: Arc::new(client), endpoints: names, keys: Keys::new(prefix) })
    }

    fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(ANSWER_BYTES)
    }

    fn unavailable(&self, attempted: &'static str, reason: impl ToString) -> Error {
        Error::Unavailable { attempted, endpoints: self.endpoints.to_string(), reason: reason.to_string() }
    }

    fn corrupt(&self, reason: impl ToString) -> Error {
        Error::Corrupt { place: format!("etcd://{}{}", self.endpoints, self.keys), reason: reason.to_string() }
    }

    /// One call, with its time-out.
    async fn call<T>(
        &self,
        attempted: &'static str,
        call: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Error> {
        self.call_within(CALL, attempted, call).await
    }

    async fn call_within<T>(
        &self,
        limit: Duration,
        attempted: &'static str,
        call: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, Error> {
        match timeout(limit, call).await {
            Ok(answer) => answer.map_err(|error| self.unavailable(attempted, reason(&error))),
            Err(_) => Err(self.unavailable(attempted, format!("no answer within {} s", limit.as_secs()))),
        }
    }

    async fn read(&self, key: Vec<u8>, options: Option<GetOptions>) -> Result<GetResponse, Error> {
        let mut kv = self.kv();
        self.call_within(READ, "read from", Box::pin(kv.get(key, options))).await
    }

    /// The version that the store was written with; `None` if it is new.
    async fn check_format(&self) -> Result<Option<u32>, Error> {
        let answer = self.read(self.keys.format(), None).await?;
        let Some(found) = answer.kvs().first() else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(found.value()).into_owned();
        match text.parse::<u32>() {
            Ok(version @ 1..=FORMAT_VERSION) => Ok(Some(version)),
            Ok(found) if found > FORMAT_VERSION => {
                Err(Error::NewerFormat { place: format!("etcd://{}{}", self.endpoints, self.keys), found })
            }
            _ => Err(self.corrupt(format!("its format version is `{text}`"))),
        }
    }

    /// The value behind what is stored at `key`; `None` if its pieces have been replaced since.
    async fn resolve(&self, key: &[u8], stored: Vec<u8>, revision: i64) -> Result<Option<Bytes>, Error> {
        let shown = || String::from_utf8_lossy(key).into_owned();
        let (generation, pieces, bytes) = match Stored::decode(stored) {
            Some(Stored::Inline(value)) => return Ok(Some(value)),
            Some(Stored::Chunked { generation, pieces, bytes }) => (generation, pieces, bytes),
            None => {
                return Err(self.corrupt(format!("the value of `{}` has an unknown form", shown())));
            }
        };
        let mut value = Vec::new();
        for piece in 0..pieces {
            let at = GetOptions::new().with_revision(revision);
            let answer = match self.read(self.keys.piece(key, generation, piece), Some(at)).await {
                // The history of that moment is compacted away: the caller reads anew.
                Err(Error::Unavailable { reason, .. }) if reason.contains("compacted") => {
                    return Ok(None);
                }
                other => other?,
            };
            let Some(found) = answer.kvs().first() else {
                return Err(self.corrupt(format!("piece {piece} of {pieces} of `{}` is missing", shown())));
            };
            value.extend_from_slice(found.value());
        }
        if value.len() as u64 != bytes {
            return Err(self.corrupt(format!("`{}` has {} bytes instead of {bytes}", shown(), value.len())));
        }
        Ok(Some(value.into()))
    }

    async fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, Error> {
        let first = self.keys.data(prefix);
        let Some(end) = prefix_end(&first) else {
            return Ok(Vec::new());
        };
        let mut start = match after {
            Some(after) if after >= prefix => behind(self.keys.data(after)),
            _ => first,
        };
        let (mut entries, mut page) = (Vec::new(), FIRST_PAGE);
        while entries.len() < limit && start < end {
            let want = page.min(limit - entries.len());
            let options = GetOptions::new().with_range(end.clone()).with_limit(i64::try_from(want).unwrap_or(1));
            let mut answer = match self.read(start.clone(), Some(options)).await {
                // A page that is too large for us is no failure; a single entry always fits.
                Err(Error::Unavailable { reason, .. }) if want > 1 && reason.contains("message length too large") => {
                    page = want.div_ceil(4);
                    continue;
                }
                other => other?,
            };
            let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
            let (found, more) = (answer.take_kvs(), answer.more());
            let bytes: usize = found.iter().map(|entry| entry.value().len()).sum();
            page = next_page(want, bytes);
            for entry in found {
                let (full, stored) = entry.into_key_value();
                start = behind(full.clone());
                let key =
                    self.keys.strip(&full).ok_or_else(|| self.corrupt("a key outside the prefix was returned"))?;
                let value = match self.resolve(&key, stored, revision).await? {
                    Some(value) => value,
                    None => {
                        return Err(self.unavailable("read from", "the values changed while they were read"));
                    }
                };
                entries.push((key, value));
            }
            if !more {
                break;
            }
        }
        Ok(entries)
    }
}

/// Pages double while they are light, so that a scan of small values needs few round trips.
fn next_page(entries: usize, bytes: usize) -> usize {
    if bytes > ANSWER_BYTES / 4 { entries.div_ceil(2) } else { (entries * 2).min(LARGEST_PAGE) }
}

/// The first key behind `key`.
fn behind(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// What is worth saying about an error of the client: the status message without its metadata.
fn reason(error: &etcd_client::Error) -> String {
    match error {
        etcd_client::Error::GRpcStatus(status) => {
            format!("{} ({:?})", status.message(), status.code())
        }
        other => other.to_string(),
    }
}
