//! The store in a folder: one redb file, one flowd.
//!
//! A thread of its own takes whatever batches have gathered, writes them in one transaction with one sync and answers all
//! of them: alone a commit costs one sync, under load the transactions grow by themselves. Reads run on tokio's blocking
//! threads, a few at a time, against the last committed state, and never wait for a sync.
//!
//! redb commits in one phase: data, checksums and the new root go out under a single sync, and after a crash the root whose
//! checksums do not hold is passed over for the one before. An I/O error, a full disk included, ends the handle.
//!
//! It does not compact the file (freed pages are reused) and does not take backups.

use std::{
    any::Any,
    fs, io,
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    thread,
};

use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError, TableDefinition};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{Batch, Entry, Error, FORMAT_VERSION, Leadership, QUEUE, Store};

/// The file in the folder.
pub const FILE: &str = "store.redb";

const DATA: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("data");
const FORMAT: TableDefinition<'_, &str, u32> = TableDefinition::new("format");
/// Pages kept in memory, in bytes.
const CACHE: usize = 32 * 1024 * 1024;
/// Files up to this size are read through and verified at every open, larger ones only after a crash.
const VERIFY: u64 = 64 * 1024 * 1024;
/// One transaction takes no further batch once it has this many bytes.
const TRANSACTION_BYTES: usize = 16 * 1024 * 1024;
/// Reads at the same time; each occupies a thread.
const READERS: usize = 4;

/// A handle to the store in a folder.
#[derive(Clone, Debug)]
pub struct Redb {
    file: Arc<File>,
    queue: mpsc::Sender<Command>,
    leadership: watch::Receiver<Leadership>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// `None` once closed. Held for reading during each transaction.
    database: RwLock<Option<Database>>,
    readers: Semaphore,
}

#[derive(Debug)]
enum Command {
    Commit(Batch, oneshot::Sender<Result<(), Error>>),
    Close(oneshot::Sender<Result<(), Error>>),
}

impl Redb {
    /// Opens or creates the store in `folder`.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let folder = folder.to_path_buf();
        let path = folder.join(FILE);
        blocking(&path.clone(), move || {
            let size = prepare(&folder, &path)?;
            let database = guarded(&path, || {
                Database::builder()
                    .set_cache_size(CACHE)
                    .set_check_integrity_on_open(size > 0 && size <= VERIFY)
                    .create(&path)
                    .map_err(|error| open_error(&path, error))
            })?;
            // The name of a new file is durable only with its folder.
            fs::File::open(&folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|error| not_writable(&folder, &error))?;
            Self::start(database, path)
        })
        .await
    }

    /// A store on another medium than a file, for tests that lose power. `name` stands for the path in messages.
    #[doc(hidden)]
    pub async fn open_backend(backend: impl StorageBackend, name: &str) -> Result<Self, Error> {
        let path = PathBuf::from(name);
        blocking(&path.clone(), move || {
            let database = guarded(&path, || {
                let mut builder = Database::builder();
                builder.set_cache_size(CACHE);
                builder.create_with_backend(backend).map_err(|error| open_error(&path, error))
            })?;
            Self::start(database, path)
        })
        .await
    }

    fn start(database: Database, path: PathBuf) -> Result<Self, Error> {
        guarded(&path, || check_format(&database, &path))?;
        let file = Arc::new(File { path, database: RwLock::new(Some(database)), readers: Semaphore::new(READERS) });
        let (queue, commands) = mpsc::channel(QUEUE);
        let (state, leadership) = watch::channel(Leadership::Leader { term: 0 });
        let writer = Writer { file: Arc::clone(&file), commands, state };
        thread::Builder::new()
            .name("flow-store".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| not_writable(&file.path, &error))?;
        Ok(Self { file, queue, leadership })
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<Result<(), Error>>) -> Command) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        if self.queue.send(command(done)).await.is_err() {
            return Err(self.ended());
        }
        answer.await.unwrap_or_else(|_| Err(self.ended()))
    }

    fn ended(&self) -> Error {
        match &*self.leadership.borrow() {
            Leadership::Lost { reason } => reason.clone(),
            Leadership::Standby { .. } | Leadership::Leader { .. } => Error::Closed,
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let _turn = self.file.readers.acquire().await.map_err(|_| Error::Closed)?;
        let file = Arc::clone(&self.file);
        blocking(&self.file.path, move || file.with("read", read)).await
    }
}

impl Store for Redb {
    async fn commit(&self, batch: Batch) -> Result<(), Error> {
        batch.check()?;
        self.ask(|done| Command::Commit(batch, done)).await
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let key = key.to_vec();
        self.read(move |database| {
            let table = database.begin_read()?.open_table(DATA)?;
            Ok(table.get(key.as_slice())?.map(|value| Bytes::copy_from_slice(value.value())))
        })
        .await
    }

    async fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Entry>, Error> {
        let prefix = prefix.to_vec();
        // A key before the prefix is no bound at all; one behind it leaves nothing, which the check below notices.
        let after = after.filter(|after| *after >= prefix.as_slice()).map(<[u8]>::to_vec);
        self.read(move |database| {
            let table = database.begin_read()?.open_table(DATA)?;
            let start = after.as_deref().map_or(Bound::Included(prefix.as_slice()), Bound::Excluded);
            let mut entries = Vec::new();
            for entry in table.range::<&[u8]>((start, Bound::Unbounded))?.take(limit) {
                let (key, value) = entry?;
                if !key.value().starts_with(&prefix) {
                    break;
                }
                entries.push((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value())));
            }
            Ok(entries)
        })
        .await
    }

    async fn size(&self) -> Result<u64, Error> {
        let file = Arc::clone(&self.file);
        blocking(&self.file.path, move || {
            fs::metadata(&file.path).map(|metadata| metadata.len()).map_err(|error| file.failed("measure", &error))
        })
        .await
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    async fn close(&self) -> Result<(), Error> {
        match self.ask(Command::Close).await {
            Err(Error::Closed) => Ok(()),
            other => other,
        }
    }
}

/// The thread that commits.
struct Writer {
    file: Arc<File>,
    commands: mpsc::Receiver<Command>,
    state: watch::Sender<Leadership>,
}

impl Writer {
    fn run(mut self) {
        while let Some(first) = self.commands.blocking_recv() {
            let (batches, waiting, close) = self.gather(first);
            if !batches.is_empty() {
                let outcome = self.file.with("commit to", |database| write(database, &batches));
                if let Err(reason) = &outcome {
                    // Before the answers, so that whoever sees one also sees that it is final.
                    tracing::error!(error = %reason, "the store has failed");
                    self.state.send_replace(Leadership::Lost { reason: reason.clone() });
                    self.commands.close();
                }
                for done in waiting {
                    // A caller that has gone does not need the answer.
                    let _ = done.send(outcome.clone());
                }
            }
            if let Some(done) = close {
                self.commands.close();
                let _ = done.send(self.file.close());
            }
            if matches!(*self.state.borrow(), Leadership::Lost { .. }) {
                break;
            }
        }
        // Those still queued learn from their dropped channels why (`Redb::ended`).
        if let Err(error) = self.file.close() {
            tracing::warn!(%error, "the store was not closed cleanly and will be verified when it is opened again");
        }
    }

    /// Whatever waits, up to a bound; a `Close` ends the gathering.
    #[expect(clippy::type_complexity, reason = "a local triple, taken apart at once")]
    fn gather(
        &mut self,
        first: Command,
    ) -> (Vec<Batch>, Vec<oneshot::Sender<Result<(), Error>>>, Option<oneshot::Sender<Result<(), Error>>>) {
        let (mut batches, mut waiting, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Commit(batch, done) => {
                    bytes += batch.bytes();
                    batches.push(batch);
                    waiting.push(done);
                }
                Command::Close(done) => return (batches, waiting, Some(done)),
            }
            next = (bytes < TRANSACTION_BYTES).then(|| self.commands.try_recv().ok()).flatten();
        }
        (batches, waiting, None)
    }
}

impl File {
    fn with<T>(
        &self,
        attempted: &'static str,
        act: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(Error::Closed)?;
        guarded(&self.path, || {
            act(database).map_err(|error| match error {
                redb::Error::Corrupted(reason) => corrupt(&self.path, &reason),
                error => self.failed(attempted, &error),
            })
        })
    }

    fn failed(&self, attempted: &'static str, reason: &impl ToString) -> Error {
        Error::Io { attempted, path: self.path.display().to_string(), reason: reason.to_string() }
    }

    fn close(&self) -> Result<(), Error> {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(database) = database else {
            return Ok(());
        };
        guarded(&self.path, || database.close().map_err(|error| self.failed("close", &error)))
    }
}

fn write(database: &Database, batches: &[Batch]) -> Result<(), redb::Error> {
    if batches.iter().all(Batch::is_empty) {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(DATA)?;
        for write in batches.iter().flat_map(|batch| &batch.groups).flatten() {
            match &write.value {
                Some(value) => drop(table.insert(&*write.key, &**value)?),
                None => drop(table.remove(&*write.key)?),
            }
        }
    }
    Ok(transaction.commit()?)
}

/// Makes the folder and says how large the file is (0 if absent).
fn prepare(folder: &Path, path: &Path) -> Result<u64, Error> {
    fs::create_dir_all(folder).map_err(|error| not_writable(folder, &error))?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
        Ok(_) => Err(corrupt(path, "it is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(not_writable(path, &error)),
    }
}

fn check_format(database: &Database, path: &Path) -> Result<(), Error> {
    let found = (|| -> Result<u32, redb::Error> {
        let transaction = database.begin_write()?;
        let found = transaction.open_table(FORMAT)?.get("version")?.map(|version| version.value());
        if let Some(found) = found {
            transaction.abort()?;
            return Ok(found);
        }
        transaction.open_table(FORMAT)?.insert("version", FORMAT_VERSION)?;
        transaction.open_table(DATA)?;
        transaction.commit()?;
        Ok(FORMAT_VERSION)
    })()
    .map_err(|error| match error {
        redb::Error::Io(error) => not_writable(path, &error),
        error => corrupt(path, &error.to_string()),
    })?;
    match found {
        0 => Err(corrupt(path, "its format version is 0")),
        1..=FORMAT_VERSION => Ok(()),
        found => Err(Error::NewerFormat { place: path.display().to_string(), found }),
    }
}

fn open_error(path: &Path, error: DatabaseError) -> Error {
    let name = path.display().to_string();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Error::Locked { path: name },
        DatabaseError::Storage(StorageError::Io(error)) => match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
                corrupt(path, &error.to_string())
            }
            _ => not_writable(path, &error),
        },
        error => corrupt(path, &error.to_string()),
    }
}

fn corrupt(path: &Path, reason: &str) -> Error {
    Error::Corrupt { place: path.display().to_string(), reason: reason.to_owned() }
}

fn not_writable(path: &Path, error: &io::Error) -> Error {
    Error::NotWritable { path: path.display().to_string(), reason: error.to_string() }
}

/// redb trusts a file that was closed cleanly and may panic on one that was altered since; here that is an error.
fn guarded<T>(path: &Path, act: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(corrupt(path, &panic_message(&*panic))))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("reading it failed without a reason").to_owned()
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
