//! The journal: opaque records on disk before anything that follows from them is said aloud.
//!
//! ```text
//! append(records) --queue--> writer thread: one write, one fdatasync --> durable() = Lsn
//! ```
//!
//! Promises: an append is on disk entirely or not at all; records come back in order; whatever
//! [`Journal::durable`] has published survives a crash of process and machine (mode `fsync`);
//! a torn tail is cut off silently, damage to anything that was synced is an error that names file
//! and offset. A failed fsync is never retried: the journal ends with [`Status::Failed`] and the
//! process must stop. An idle journal burns no CPU.
//!
//! It does not know what a record means, and it never decides when to checkpoint, or to forget what is
//! durable elsewhere: that is the caller's, by [`Journal::bytes`]. Framing, segments and recovery are the
//! synchronous [`Log`] over the trait [`Disk`], which a simulation, or an owner with a thread of its own,
//! drives directly; this file adds the thread alone.

mod direct;
mod disk;
mod frame;
mod log;
mod pace;
mod recovery;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::watch;

pub use disk::{Disk, DiskFile, Folder};
pub use log::Log;
pub use pace::{FAST_SYNC, Pace};
use writer::{AtOnce, Command, Shared, Writing};

/// Position of a record: the first record ever appended has 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// Incarnation of a replica: 128 random bits made when its journal is created.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(pub u128);

/// What "durable" means for an append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On the disk (fdatasync): survives the machine.
    #[default]
    Fsync,
    /// Handed to the operating system: survives the process.
    Os,
    /// Not written at all. Checkpoints still are, so that old state does not come back.
    None,
}

/// How a journal is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment is left for the next one at this size. Default 8 MiB.
    pub segment_bytes: u64,
    /// Zeros written ahead of the appends, in steps of this size. Default 256 KiB.
    pub ahead_bytes: u64,
    /// Space set aside so that a full disk still takes a checkpoint. Default 1 MiB.
    pub reserve_bytes: u64,
    /// See [`Durability`].
    pub durability: Durability,
    /// Checkpoint and records together, in bytes, from which on the journal says [`Status::Full`].
    /// Appends beyond it are still taken, so that work can be finished. Default 1 GiB.
    pub max_bytes: u64,
    /// Bytes waiting for the writer from which on [`Journal::has_room`] is false. Default 16 MiB.
    pub queue_bytes: u64,
    /// Everything up to here is durable elsewhere ([`Log::forget`]): records before it may be missing. Default 0.
    pub applied: Lsn,
    /// Damage sets the file aside (a copy, `quarantined-*`) and recovery goes on with what is
    /// before it, instead of [`Error::Corrupt`].
    pub quarantine: bool,
}

/// What was found when the journal was opened.
#[derive(Debug)]
pub struct Recovered {
    /// The replica that this journal belongs to.
    pub identity: Identity,
    /// How often this journal has been opened, this time included. Durable.
    pub boot: u64,
    /// What the last checkpoint holds and what was appended since, in order.
    pub records: Vec<Bytes>,
    /// What was set aside; only with [`Options::quarantine`].
    pub quarantined: Option<Corruption>,
}

/// Damage to something that had been synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The damaged file.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub detail: &'static str,
}

/// Whether the journal takes records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Running,
    /// The disk or [`Options::max_bytes`] is full: refuse new work, finish and release what is
    /// there, checkpoint. The journal tries again by itself.
    Full,
    /// Writing or syncing failed: nothing more becomes durable and the process must stop.
    Failed(Arc<str>),
    /// Closed by its owner.
    Closed,
}

/// Why a journal cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be made, entered or written.
    #[error("cannot use {path} as journal folder ({action}: {source}); choose a folder of its own that it may write")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process has the journal open.
    #[error("journal folder {path} is in use by another process{holder}; stop that one or choose another folder")]
    Locked {
        /// The folder.
        path: PathBuf,
        /// The other process, ` (pid N)`, or empty when it is not known.
        holder: String,
    },
    /// An operation on a file failed.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        file: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Something that had been synced is damaged.
    #[error(
        "journal is damaged: {} in {} at byte {}; open it with quarantine to set the file aside and go on with what is before it",
        .0.detail, .0.file, .0.offset
    )]
    Corrupt(Corruption),
    /// The writer thread could not be started.
    #[error("cannot start the journal's thread: {0}")]
    Thread(io::Error),
    /// The journal stopped before everything that was appended had become durable.
    #[error("the journal closed with records that are not on disk: {0}")]
    Unfinished(Arc<str>),
}

/// A journal that is open. Cheap to call from an async task; see the module's text.
pub struct Journal {
    shared: Arc<Shared>,
    log: Arc<dyn AtOnce>,
    durable: watch::Receiver<Lsn>,
    status: watch::Receiver<Status>,
    writer: Option<JoinHandle<()>>,
}

/// Opens the journal in folder `dir`, making it (mode 0700) if it is not there.
///
/// Blocks for some milliseconds of disk work.
pub fn open(dir: &Path, options: Options) -> Result<(Journal, Recovered), Error> {
    let folder = Folder::open(dir)?;
    let (log, recovered) = Log::open(folder, options.clone(), rand::random(), rand::random())?;
    Ok((Journal::start(log, &options)?, recovered))
}

// === impl Journal ===

impl Journal {
    /// Starts the writer thread over a log that has been recovered.
    pub fn start<D>(log: Log<D>, options: &Options) -> Result<Self, Error>
    where
        D: Disk + Send + 'static,
        D::File: Send,
    {
        let shared = Arc::new(Shared::new(log.last(), log.bytes(), options.queue_bytes, log.status()));
        let (durable, status) = (shared.durable.subscribe(), shared.status.subscribe());
        let log = Arc::new(Mutex::new(Writing::new(log)));
        let thread = std::thread::Builder::new().name("journal".into());
        let beside = (Arc::clone(&log), Arc::clone(&shared));
        let writer = thread.spawn(move || writer::run(&beside.0, &beside.1)).map_err(Error::Thread)?;
        Ok(Self { shared, log, durable, status, writer: Some(writer) })
    }

    /// Queues `records`, which become durable together, and returns the last one's position.
    /// Never blocks; an empty append returns the position before it.
    pub fn append(&self, records: Vec<Bytes>) -> Lsn {
        self.shared.push(Command::Append(records))
    }

    /// The same for a caller that has nothing else to do until they are durable: when nothing is before them, none are expected
    /// at once ([`Pace`]), and the disk is fast (a commit takes less than half a millisecond) they are when this returns.
    pub fn append_at_once(&self, records: Vec<Bytes>) -> Lsn {
        match self.log.append(&self.shared, records) {
            Ok(last) => last,
            Err(records) => self.append(records),
        }
    }

    /// Replaces everything appended so far by `live`, in a fresh segment, and drops the older ones.
    ///
    /// Once the returned position is durable, everything up to it is on disk, as this checkpoint
    /// or, if the disk has no room for one, still as records.
    pub fn checkpoint(&self, live: Vec<Bytes>) -> Lsn {
        self.shared.push(Command::Checkpoint(live))
    }

    /// The position up to which everything is durable.
    pub fn durable(&self) -> watch::Receiver<Lsn> {
        self.durable.clone()
    }

    /// Whether the journal works. A closed channel means the same as [`Status::Failed`].
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Bytes written since the last checkpoint, to decide when the next one is due.
    pub fn bytes(&self) -> u64 {
        self.shared.written_bytes()
    }

    /// Bytes appended that the writer has not yet made durable.
    pub fn backlog(&self) -> u64 {
        self.shared.backlog()
    }

    /// Whether new work should be accepted: running, and the writer keeps up. Appends for work
    /// already accepted are taken in any case; its amount is what bounds the queue.
    pub fn has_room(&self) -> bool {
        self.shared.keeps_up() && *self.status.borrow() == Status::Running
    }

    /// Makes durable what is queued and ends the writer. Blocks until then.
    pub fn close(mut self) -> Result<(), Error> {
        self.finish();
        let last = self.shared.last();
        let status = self.status.borrow().clone();
        match status {
            _ if *self.durable.borrow() < last => {
                let why = match status {
                    Status::Failed(why) => why,
                    Status::Full => "the disk is full".into(),
                    Status::Running | Status::Closed => "the writer ended early".into(),
                };
                Err(Error::Unfinished(why))
            }
            Status::Failed(why) => Err(Error::Unfinished(why)),
            Status::Running | Status::Full | Status::Closed => Ok(()),
        }
    }

    fn finish(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has already been published as a failure.
            let _ = writer.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.finish();
    }
}

// === impl Options, Identity, Error ===

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 8 << 20,
            ahead_bytes: 256 << 10,
            reserve_bytes: 1 << 20,
            durability: Durability::Fsync,
            max_bytes: 1 << 30,
            queue_bytes: 16 << 20,
            applied: Lsn(0),
            quarantine: false,
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

impl Error {
    /// Whether the disk (or a quota) has no room left.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}
