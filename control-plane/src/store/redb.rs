//! The store in a folder: a log, a redb file behind it, one flowd.
//!
//! ```text
//! commit: log (one write, one sync) -> overlay in memory        get, scan: overlay over redb
//!                                        `-- now and then, in large transactions --> redb, and the log's start goes
//! ```
//!
//! A commit is durable once it is in the log (`runtime::journal`); alone it costs one sync, under load batches share one.
//! Opening applies to redb what the log still holds, so a crash at any moment leaves what was committed. Reads of what is
//! in redb run on tokio's blocking threads, a few at a time, and never wait for a sync. An I/O error, a full disk
//! included, ends the handle.
//!
//! It does not compact the file (freed pages are reused) and does not take backups.

mod log;
mod overlay;
mod record;
mod table;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use redb::{ReadableDatabase, StorageBackend};
use runtime::journal::{Disk, Folder};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::{
    table::Table,
    writer::{Answer, Command, Shared},
};
use super::{Batch, Entry, Error, Leadership, QUEUE, Store};

/// The redb file in the folder.
pub const FILE: &str = "store.redb";
/// The log's folder in the folder.
pub const LOG: &str = "log";

/// A segment of the log is left for the next one at this size.
const SEGMENT_BYTES: u64 = 32 << 20;
/// Zeros written ahead of the log's end, in steps.
const AHEAD_BYTES: u64 = 1 << 20;
/// Bytes in the log from which on it is applied, however little of it is left to apply.
const LOG_BYTES: u64 = 64 << 20;
/// Bytes in the overlay from which on they are applied.
const APPLY_BYTES: usize = 8 << 20;
/// Reads at the same time; each occupies a thread.
const READERS: usize = 4;

/// A handle to the store in a folder.
#[derive(Clone)]
pub struct Redb {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Command>,
    readers: Arc<Semaphore>,
}

impl Redb {
    /// Opens or creates the store in `folder`.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let folder = folder.to_path_buf();
        let path = folder.join(FILE);
        blocking(&path.clone(), move || {
            let table = Table::open(&folder, path)?;
            let disk = Folder::open(&folder.join(LOG)).map_err(log::told)?;
            Self::start(table, disk, APPLY_BYTES)
        })
        .await
    }

    /// A store on other media than files, for tests that lose power: redb's, the log's, and how many bytes are worth
    /// a transaction. `name` stands for the path in messages.
    #[doc(hidden)]
    pub async fn open_backend<D>(
        backend: impl StorageBackend,
        disk: D,
        apply_bytes: usize,
        name: &str,
    ) -> Result<Self, Error>
    where
        D: Disk + Send + 'static,
        D::File: Send,
    {
        let path = PathBuf::from(name);
        blocking(&path.clone(), move || Self::start(Table::open_backend(backend, path)?, disk, apply_bytes)).await
    }

    fn start<D>(table: Table, disk: D, apply_bytes: usize) -> Result<Self, Error>
    where
        D: Disk + Send + 'static,
        D::File: Send,
    {
        let place = PathBuf::from(disk.place(""));
        let (log, records) = log::open(disk, table.applied()?)?;
        let batches: Option<Vec<Batch>> = records.into_iter().map(record::decode).collect();
        let batches = batches.ok_or_else(|| table::corrupt(&place, "a record that is no batch"))?;
        let shared = Arc::new(Shared::new(table, log, apply_bytes));
        shared.replay(batches)?;
        let (queue, commands) = mpsc::channel(QUEUE);
        let started = writer::start(&shared, commands);
        started.map_err(|error| shared.table.failed("start the threads of", &error))?;
        Ok(Self { shared, queue, readers: Arc::new(Semaphore::new(READERS)) })
    }

    async fn ask(&self, command: impl FnOnce(Answer) -> Command) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.shared.queue();
        if self.queue.send(command(done)).await.is_err() {
            return Err(self.shared.ended());
        }
        answer.await.unwrap_or_else(|_| Err(self.shared.ended()))
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _turn = self.readers.acquire().await.map_err(|_| Error::Closed)?;
        let shared = Arc::clone(&self.shared);
        blocking(&self.shared.table.path, move || read(&shared)).await
    }
}

impl Store for Redb {
    async fn commit(&self, batch: Batch) -> Result<(), Error> {
        batch.check()?;
        match self.shared.at_once(batch) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                // the store's thread lets go of the files; if its queue is full it finds out by itself
                self.shared.queue();
                let _ = self.queue.try_send(Command::Close(oneshot::channel().0));
                Err(error)
            }
            Err(batch) => self.ask(|done| Command::Commit(batch, done)).await,
        }
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let known = self.shared.overlay().get(key);
        if let Some(known) = known {
            return Ok(known);
        }
        let key = key.to_vec();
        self.read(move |shared| shared.table.read(|database| table::get(&database.begin_read()?, &key))).await
    }

    async fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, Error> {
        let prefix = prefix.to_vec();
        // A key before the prefix is no bound at all; one behind it leaves nothing.
        let after = after.filter(|after| *after >= prefix.as_slice()).map(<[u8]>::to_vec);
        self.read(move |shared| {
            shared.table.read(|database| {
                // both as they are at this moment: what is applied meanwhile is in both
                let overlay = shared.overlay();
                let view = database.begin_read()?;
                let over = overlay.range(&prefix, after.as_deref(), limit);
                drop(overlay);
                overlay::laid_over(over, table::range(&view, &prefix, after.as_deref())?, limit)
            })
        })
        .await
    }

    async fn size(&self) -> Result<u64, Error> {
        self.read(|shared| {
            let file = std::fs::metadata(&shared.table.path);
            let file = file.map_err(|error| shared.table.failed("measure", &error))?;
            Ok(file.len() + shared.log_bytes())
        })
        .await
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership()
    }

    async fn close(&self) -> Result<(), Error> {
        match self.ask(Command::Close).await {
            Err(Error::Closed) => Ok(()),
            other => other,
        }
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb").field("path", &self.shared.table.path).finish_non_exhaustive()
    }
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    act: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(act).await.unwrap_or_else(|error| {
        // The work itself is guarded; what is left is a runtime that is shutting down.
        Err(Error::Io { attempted: "use", path: path.display().to_string(), reason: error.to_string() })
    })
}
