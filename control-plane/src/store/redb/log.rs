//! The log in front of redb: a journal over whatever disk, and what its errors mean to a store.

use std::path::Path;

use bytes::Bytes;
use runtime::journal::{self, Disk, Log, Lsn, Options, Status};

use super::super::Error;
use super::table;

/// A [`Log`] over any disk.
pub(super) trait Appends: Send {
    /// Writes the records and syncs once.
    fn append(&mut self, records: Vec<Bytes>) -> Result<(), Error>;
    /// Goes on in a new segment; the position up to which all records are in older ones.
    fn roll(&mut self) -> Result<Lsn, Error>;
    /// Removes the segments up to a position that [`Appends::roll`] gave.
    fn forget(&mut self, upto: Lsn) -> Result<(), Error>;
    /// Leaves a mark at the end: it is closed.
    fn close(&mut self) -> Result<(), Error>;
    /// Bytes that it has on the disk.
    fn bytes(&self) -> u64;
}

/// Opens the log on `disk`, of which redb has everything up to `applied`; with the records that it holds.
pub(super) fn open<D>(disk: D, applied: Lsn) -> Result<(Box<dyn Appends>, Vec<Bytes>), Error>
where
    D: Disk + Send + 'static,
    D::File: Send,
{
    let options = Options {
        segment_bytes: super::SEGMENT_BYTES,
        ahead_bytes: super::AHEAD_BYTES,
        reserve_bytes: 0,
        max_bytes: u64::MAX,
        applied,
        ..Options::default()
    };
    let place = disk.place("");
    let (log, recovered) = Log::open(disk, options, rand::random(), rand::random()).map_err(told)?;
    if log.last() < applied {
        let reason = "the store has applied records that its log does not have";
        return Err(table::corrupt(Path::new(&place), reason));
    }
    Ok((Box::new(log), recovered.records))
}

/// An error of the journal as one of the store.
pub(super) fn told(error: journal::Error) -> Error {
    use journal::Error as Journal;
    match error {
        Journal::Folder { ref path, .. } => table::not_writable(path, &error.to_string()),
        Journal::Locked { path, .. } => Error::Locked { path: path.display().to_string() },
        Journal::Corrupt(found) => {
            Error::Corrupt { place: found.file, reason: format!("{} at byte {}", found.detail, found.offset) }
        }
        Journal::Io { action, file, source } => {
            Error::Io { attempted: "write", path: file, reason: format!("cannot {action} it: {source}") }
        }
        Journal::Thread(_) | Journal::Unfinished(_) => failed(&error.to_string()),
    }
}

fn failed(reason: &str) -> Error {
    Error::Io { attempted: "commit to", path: "the store's log".to_owned(), reason: reason.to_owned() }
}

impl<D: Disk + Send> Appends for Log<D>
where
    D::File: Send,
{
    fn append(&mut self, records: Vec<Bytes>) -> Result<(), Error> {
        let last = Log::append(self, records);
        if self.commit().map_err(told)? < last {
            // nothing is acknowledged after this, so a commit that failed cannot be overtaken
            return Err(failed("the disk is full"));
        }
        self.maintain().map_err(told)
    }

    fn roll(&mut self) -> Result<Lsn, Error> {
        Log::roll(self).map_err(told)?;
        Ok(self.last())
    }

    fn forget(&mut self, upto: Lsn) -> Result<(), Error> {
        Log::forget(self, upto).map_err(told)
    }

    fn close(&mut self) -> Result<(), Error> {
        let closed = Log::close(self).map_err(told)?;
        match self.status() {
            Status::Full if closed < self.last() => Err(failed("the disk is full")),
            _ => Ok(()),
        }
    }

    fn bytes(&self) -> u64 {
        Log::bytes(self)
    }
}
