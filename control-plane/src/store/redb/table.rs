//! The redb file under the store: opening it, reading it, and applying to it what the log has.
//!
//! redb commits in one phase: data, checksums and the new root go out under a single sync, and after a crash the root
//! whose checksums do not hold is passed over for the one before.

use std::{
    any::Any,
    fs, io,
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    thread,
};

use bytes::Bytes;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, StorageError,
    TableDefinition,
};
use runtime::journal::Lsn;

use super::super::{Entry, Error, FORMAT_VERSION};
use super::overlay::Changes;

const DATA: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("data");
const FORMAT: TableDefinition<'_, &str, u32> = TableDefinition::new("format");
/// Up to where the log has been applied, under the key `applied`.
const LOG: TableDefinition<'_, &str, u64> = TableDefinition::new("log");
const APPLIED: &str = "applied";
/// Pages kept in memory, in bytes.
const CACHE: usize = 32 * 1024 * 1024;
/// Files up to this size are read through and verified at every open, larger ones only after a crash.
const VERIFY: u64 = 64 * 1024 * 1024;
/// Keys applied before others may have the CPU: applying is never urgent.
const TURN: usize = 32;

/// The file, open until it is closed.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) path: PathBuf,
    /// `None` once closed. Held for reading during each transaction.
    database: RwLock<Option<Database>>,
}

impl Table {
    /// Opens or creates the file in a folder that is made if absent.
    pub(super) fn open(folder: &Path, path: PathBuf) -> Result<Self, Error> {
        let size = prepare(folder, &path)?;
        let database = guarded(&path, || {
            Database::builder()
                .set_cache_size(CACHE)
                .set_check_integrity_on_open(size > 0 && size <= VERIFY)
                .create(&path)
                .map_err(|error| open_error(&path, error))
        })?;
        // The name of a new file is durable only with its folder.
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| not_writable(folder, &error.to_string()))?;
        Self::checked(database, path)
    }

    /// The same on another medium.
    pub(super) fn open_backend(backend: impl StorageBackend, path: PathBuf) -> Result<Self, Error> {
        let database = guarded(&path, || {
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE);
            builder.create_with_backend(backend).map_err(|error| open_error(&path, error))
        })?;
        Self::checked(database, path)
    }

    fn checked(database: Database, path: PathBuf) -> Result<Self, Error> {
        guarded(&path, || check_format(&database, &path))?;
        Ok(Self { path, database: RwLock::new(Some(database)) })
    }

    /// Up to where the log has been applied.
    pub(super) fn applied(&self) -> Result<Lsn, Error> {
        self.with("read", |database| {
            let table = database.begin_read()?.open_table(LOG)?;
            Ok(Lsn(table.get(APPLIED)?.map_or(0, |it| it.value())))
        })
    }

    /// Makes changes durable that the log has up to `upto`.
    pub(super) fn apply(&self, changes: &Changes, upto: Lsn) -> Result<(), Error> {
        self.with("commit to", |database| {
            let transaction = database.begin_write()?;
            {
                let mut table = transaction.open_table(DATA)?;
                for (nth, key) in present(&table, changes)?.into_iter().enumerate() {
                    give_way(nth);
                    table.remove(&**key)?;
                }
                let values = changes.iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
                for (nth, (key, value)) in values.enumerate() {
                    give_way(nth);
                    table.insert(&**key, &**value)?;
                }
                transaction.open_table(LOG)?.insert(APPLIED, upto.0)?;
            }
            Ok(transaction.commit()?)
        })
    }

    /// Reads what is applied by now.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, Error> {
        self.with("read", read)
    }

    fn with<T>(
        &self,
        attempted: &'static str,
        act: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(Error::Closed)?;
        guarded(&self.path, || act(database).map_err(|error| self.told(attempted, error)))
    }

    fn told(&self, attempted: &'static str, error: redb::Error) -> Error {
        match error {
            redb::Error::Corrupted(reason) => corrupt(&self.path, &reason),
            error => self.failed(attempted, &error),
        }
    }

    /// An error of the system.
    pub(super) fn failed(&self, attempted: &'static str, reason: &impl ToString) -> Error {
        Error::Io { attempted, path: self.path.display().to_string(), reason: reason.to_string() }
    }

    /// Ends all use of the file.
    pub(super) fn close(&self) -> Result<(), Error> {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(database) = database else {
            return Ok(());
        };
        guarded(&self.path, || database.close().map_err(|error| self.failed("close", &error)))
    }
}

/// The value of a key.
pub(super) fn get(view: &ReadTransaction, key: &[u8]) -> Result<Option<Bytes>, redb::Error> {
    Ok(view.open_table(DATA)?.get(key)?.map(|value| Bytes::copy_from_slice(value.value())))
}

/// Entries in order, read as they are asked for.
pub(super) fn range(
    view: &ReadTransaction,
    prefix: &[u8],
    after: Option<&[u8]>,
) -> Result<impl Iterator<Item = Result<Entry, redb::Error>>, redb::Error> {
    let prefix = prefix.to_vec();
    let start = after.map_or(Bound::Included(prefix.as_slice()), Bound::Excluded);
    let range = view.open_table(DATA)?.range::<&[u8]>((start, Bound::Unbounded))?;
    let entries = range.map(|entry| {
        let (key, value) = entry?;
        Ok((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value())))
    });
    Ok(entries.take_while(move |entry| entry.as_ref().is_ok_and(|(key, _)| key.starts_with(&prefix)) || entry.is_err()))
}

/// The deleted keys that redb has. Most were put and deleted without ever reaching it, so one look
/// tells of all keys before the next one that is there.
fn present<'a>(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    changes: &'a Changes,
) -> Result<Vec<&'a Bytes>, redb::Error> {
    let mut present = Vec::new();
    let mut next: Option<Vec<u8>> = Some(Vec::new());
    for key in changes.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key) {
        if next.as_ref().is_some_and(|next| next.as_slice() < &**key) {
            let mut range = table.range::<&[u8]>(&**key..)?;
            next = range.next().transpose()?.map(|(key, _)| key.value().to_vec());
        }
        if next.as_ref().is_some_and(|next| next == key) {
            present.push(key);
        }
    }
    Ok(present)
}

fn give_way(nth: usize) {
    if nth % TURN == TURN - 1 {
        thread::yield_now();
    }
}

/// Makes the folder and says how large the file is (0 if absent).
fn prepare(folder: &Path, path: &Path) -> Result<u64, Error> {
    fs::create_dir_all(folder).map_err(|error| not_writable(folder, &error.to_string()))?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
        Ok(_) => Err(corrupt(path, "it is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(not_writable(path, &error.to_string())),
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
        transaction.open_table(LOG)?.insert(APPLIED, 0)?;
        transaction.open_table(DATA)?;
        transaction.commit()?;
        Ok(FORMAT_VERSION)
    })()
    .map_err(|error| match error {
        redb::Error::Io(error) => not_writable(path, &error.to_string()),
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
            _ => not_writable(path, &error.to_string()),
        },
        error => corrupt(path, &error.to_string()),
    }
}

pub(super) fn corrupt(path: &Path, reason: &str) -> Error {
    Error::Corrupt { place: path.display().to_string(), reason: reason.to_owned() }
}

pub(super) fn not_writable(path: &Path, reason: &str) -> Error {
    Error::NotWritable { path: path.display().to_string(), reason: reason.to_owned() }
}

/// redb trusts a file that was closed cleanly and may panic on one that was altered since; here that is an error.
fn guarded<T>(path: &Path, act: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(corrupt(path, &panic_message(&*panic))))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("reading it failed without a reason").to_owned()
}
