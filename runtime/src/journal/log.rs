//! The journal without its thread: appends, commits, segments and checkpoints over a [`Disk`].
//!
//! Synchronous and without clock or randomness, so that a simulation runs this very code over a
//! disk that loses unsynced writes. Names: `<number>.segment`, `identity`, `boot`, `reserve`; what
//! ends in `.tmp` was not finished and is removed when the journal is opened.
//!
//! A segment gets its name only after its header (and checkpoint) has been synced, and older
//! segments go only after the new name has been. Zeros are written some way ahead of the appends,
//! so that a sync has no file size to commit.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

use super::frame::{Encoder, HEADER, Header, Key, Kind};
use super::recovery;
use super::{Disk, DiskFile, Durability, Error, Identity, Lsn, Options, Recovered, Status};

/// Appends are gathered into frames of about this size.
const FRAME_TARGET: usize = 1 << 20;
/// What is written ahead of the appends, in pieces.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
const NEXT: &str = "next.tmp";
/// A segment that was forgotten, to be written over: its blocks are there already.
const SPARE: &str = "spare.tmp";
pub(super) const RESERVE: &str = "reserve";
const RESERVE_NEW: &str = "reserve.tmp";

/// A journal that is open, to be driven by one thread or one simulation.
#[derive(Debug)]
pub struct Log<D: Disk> {
    disk: D,
    options: Options,
    salt: u64,
    identity: Identity,
    boot: u64,
    /// The segment that is being written.
    segment: Segment<D::File>,
    /// The segments before it.
    older: Vec<Older>,
    pending: VecDeque<Vec<Bytes>>,
    /// The last position given out, written and known to be on the disk.
    last: Lsn,
    written: Lsn,
    synced: Lsn,
    since_checkpoint: u64,
    disk_full: bool,
    /// Whether the reserve is known to be there.
    reserved: bool,
    /// The length of the spare segment, if there is one.
    spare: Option<u64>,
    encoder: Encoder,
}

#[derive(Debug)]
struct Segment<F> {
    number: u64,
    file: F,
    /// Where the next frame goes.
    end: u64,
    /// Up to where zeros or frames have been written.
    ahead: u64,
}

/// A segment that is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Older {
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// How long its file is.
    pub(super) ahead: u64,
    /// The last position in it.
    pub(super) last: Lsn,
}

/// What recovery knows when it is done reading.
pub(super) struct Base {
    pub(super) salt: u64,
    pub(super) identity: Identity,
    pub(super) boot: u64,
    pub(super) last: Lsn,
    /// Number of the segment to write next.
    pub(super) number: u64,
    /// The segments that hold what is live.
    pub(super) older: Vec<Older>,
    /// Whether the reserve is there.
    pub(super) reserved: bool,
}

pub(super) fn segment_name(number: u64) -> String {
    format!("{number:016x}.segment")
}

// === impl Log ===

impl<D: Disk> Log<D> {
    /// Recovers what is on the disk, or begins a journal with this identity and secret if there
    /// is none.
    pub fn open(disk: D, options: Options, identity: u128, salt: u64) -> Result<(Self, Recovered), Error> {
        recovery::open(disk, options, Identity(identity), salt)
    }

    /// Begins a new segment after `base`; with a checkpoint if one is given.
    pub(super) fn begin(disk: D, options: Options, base: Base, checkpoint: Option<&[Bytes]>) -> Result<Self, Error> {
        let place = Place { disk: &disk, base: &base, ahead: options.ahead_bytes, spare: None };
        let (segment, reserved) = match place.make(checkpoint) {
            Err(error) if error.is_full() && base.reserved => {
                disk.remove(RESERVE).map_err(failed(&disk, "remove", RESERVE))?;
                (place.make(checkpoint)?, false)
            }
            made => (made?, base.reserved),
        };
        Ok(Self {
            since_checkpoint: base.older.iter().map(|it| it.bytes).sum(),
            disk,
            options,
            salt: base.salt,
            identity: base.identity,
            boot: base.boot,
            segment,
            older: base.older,
            pending: VecDeque::new(),
            last: base.last,
            written: base.last,
            synced: base.last,
            disk_full: false,
            reserved,
            spare: None,
            encoder: Encoder::default(),
        })
    }

    /// Takes records, which become durable together, at the next [`Self::commit`].
    pub fn append(&mut self, records: Vec<Bytes>) -> Lsn {
        if !records.is_empty() {
            self.last.0 += records.len() as u64;
            self.pending.push_back(records);
        }
        self.last
    }

    /// Writes what is pending and syncs once. Returns the position that is durable now: less than
    /// [`Self::last`] only if the disk is full, and then the rest stays pending.
    ///
    /// Any error is final.
    pub fn commit(&mut self) -> Result<Lsn, Error> {
        if self.options.durability == Durability::None {
            self.pending.clear();
            (self.written, self.synced) = (self.last, self.last);
            return Ok(self.last);
        }
        match self.write_pending() {
            Ok(()) => self.disk_full = false,
            Err(error) if error.is_full() => self.disk_full = true,
            Err(error) => return Err(error),
        }
        if self.options.durability == Durability::Fsync {
            self.sync()?;
        }
        Ok(self.durable())
    }

    /// Replaces everything appended so far by `live`. False if the disk has no room for it, even
    /// with the reserve: nothing has changed then.
    pub fn checkpoint(&mut self, live: &[Bytes]) -> Result<bool, Error> {
        let mut has_room = !self.disk_full && self.reserved;
        let made = match self.next_segment(self.last, Some(live)) {
            Err(error) if error.is_full() => {
                has_room = false;
                self.drop_reserve()?;
                self.next_segment(self.last, Some(live))
            }
            made => made,
        };
        match made {
            Ok(segment) => {
                let replaced = std::mem::replace(&mut self.segment, segment);
                self.pending.clear();
                (self.written, self.synced) = (self.last, self.last);
                self.since_checkpoint = 0;
                self.disk_full = false;
                let Segment { number, end, ahead, .. } = replaced;
                let mut gone = std::mem::take(&mut self.older);
                gone.push(Older { number, bytes: end, ahead, last: self.last });
                self.retire(&gone, has_room)?;
                Ok(true)
            }
            Err(error) if error.is_full() => {
                self.disk_full = true;
                // What the attempt has taken is given back; if even that fails, opening does it.
                let _ = self.disk.remove(NEXT);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Prepares the ground for later commits: zeros ahead, the reserve. To be called after a
    /// commit has been announced. Its finding that the disk is full comes early, while there
    /// still is prepared ground for what must be finished.
    pub fn maintain(&mut self) -> Result<(), Error> {
        if self.options.durability == Durability::None {
            return Ok(());
        }
        match self.write_ahead().and_then(|()| self.make_reserve()) {
            Ok(()) => self.disk_full &= !self.pending.is_empty(),
            Err(error) if error.is_full() => self.disk_full = true,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether [`Self::maintain`] has something to do.
    pub fn needs_care(&self) -> bool {
        self.options.durability != Durability::None && (self.ahead_target().is_some() || !self.reserved)
    }

    /// Makes everything durable, whatever the mode, and leaves a mark after it, so that damage to
    /// the last frames is not taken for a torn tail.
    pub fn close(&mut self) -> Result<Lsn, Error> {
        let durable = self.commit()?;
        self.sync()?;
        if self.spare.take().is_some() {
            self.disk.remove(SPARE).map_err(failed(&self.disk, "remove", SPARE))?;
        }
        if self.pending.is_empty() && self.options.durability != Durability::None {
            self.encoder.begin();
            match self.write_frame(0) {
                Err(error) if !error.is_full() => return Err(error),
                _ => self.flush()?,
            }
        }
        Ok(durable)
    }

    /// The last position given out.
    pub fn last(&self) -> Lsn {
        self.last
    }

    /// Bytes since the last checkpoint.
    pub fn bytes(&self) -> u64 {
        self.since_checkpoint
    }

    /// Running or full.
    pub fn status(&self) -> Status {
        let total = self.segment.end + self.older.iter().map(|it| it.bytes).sum::<u64>();
        match self.disk_full || total >= self.options.max_bytes {
            true => Status::Full,
            false => Status::Running,
        }
    }

    /// The disk under it, for a simulation to look at.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    fn durable(&self) -> Lsn {
        match self.options.durability {
            Durability::Fsync => self.synced,
            Durability::Os | Durability::None => self.written,
        }
    }

    fn write_pending(&mut self) -> Result<(), Error> {
        while !self.pending.is_empty() {
            self.encoder.begin();
            let (mut appends, mut records) = (0, 0);
            for append in &self.pending {
                let bytes: usize = append.iter().map(|record| record.len() + 4).sum();
                if appends > 0 && self.encoder.len() + bytes > FRAME_TARGET {
                    break;
                }
                append.iter().for_each(|record| self.encoder.push(record));
                (appends, records) = (appends + 1, records + append.len() as u64);
            }
            self.write_frame(records)?;
            self.pending.drain(..appends);
        }
        if self.encoder.len() > FRAME_TARGET / 4 {
            self.encoder.release();
        }
        Ok(())
    }

    /// Writes the frame that the encoder holds, in the next segment if this one is full.
    fn write_frame(&mut self, records: u64) -> Result<(), Error> {
        let room = self.options.segment_bytes.saturating_sub(self.segment.end);
        if self.segment.end > HEADER && self.encoder.len() as u64 > room {
            self.roll()?;
        }
        let key = Key { salt: self.salt, segment: self.segment.number };
        let (at, first) = (self.segment.end, Lsn(self.written.0 + 1));
        let bytes = self.encoder.finish(Kind::Append, key, at, first, self.synced);
        let length = bytes.len() as u64;
        let written = self.segment.file.write_at(bytes, at);
        written.map_err(|error| self.failed("write")(error))?;
        self.segment.end += length;
        self.segment.ahead = self.segment.ahead.max(self.segment.end);
        self.since_checkpoint += length;
        self.written.0 += records;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        match self.synced < self.written {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        // A sync that fails is final whatever it says, so "disk full" must not be seen in it.
        let flushed = self.segment.file.sync().map_err(|error| io::Error::other(error.to_string()));
        flushed.map_err(|error| self.failed("sync")(error))?;
        self.synced = self.written;
        Ok(())
    }

    /// Goes on in a new segment, so that what is written by now can be forgotten.
    pub fn roll(&mut self) -> Result<(), Error> {
        self.sync()?;
        let segment = self.next_segment(self.written, None)?;
        let full = std::mem::replace(&mut self.segment, segment);
        self.older.push(Older { number: full.number, bytes: full.end, ahead: full.ahead, last: self.written });
        Ok(())
    }

    /// Removes the segments that hold nothing after `upto`: what follows from their records is durable
    /// elsewhere, and [`Options::applied`] will say so when the journal is opened again.
    pub fn forget(&mut self, upto: Lsn) -> Result<(), Error> {
        let gone = self.older.iter().take_while(|it| it.last <= upto).count();
        let gone: Vec<Older> = self.older.drain(..gone).collect();
        self.since_checkpoint = self.since_checkpoint.saturating_sub(gone.iter().map(|it| it.bytes).sum());
        if gone.is_empty() { Ok(()) } else { self.retire(&gone, true) }
    }

    /// Removes segments; the last of them is kept to be written over, if there is none yet and room for it.
    fn retire(&mut self, gone: &[Older], has_room: bool) -> Result<(), Error> {
        let (mut removed, spare) = (gone, gone.last().filter(|_| has_room && self.spare.is_none()));
        if let Some(spare) = spare {
            let name = segment_name(spare.number);
            self.disk.rename(&name, SPARE).map_err(failed(&self.disk, "set aside", &name))?;
            self.spare = Some(spare.ahead);
            removed = &gone[..gone.len() - 1];
        }
        self.remove(removed.iter().map(|it| it.number))
    }

    fn remove(&self, segments: impl Iterator<Item = u64>) -> Result<(), Error> {
        for number in segments {
            let name = segment_name(number);
            self.disk.remove(&name).map_err(failed(&self.disk, "remove", &name))?;
        }
        sync_names(&self.disk)
    }

    fn next_segment(&mut self, last: Lsn, checkpoint: Option<&[Bytes]>) -> Result<Segment<D::File>, Error> {
        let base = Base {
            salt: self.salt,
            identity: self.identity,
            boot: self.boot,
            last,
            number: self.segment.number + 1,
            older: Vec::new(),
            reserved: self.reserved,
        };
        let spare = self.spare.take();
        let place = Place { disk: &self.disk, base: &base, ahead: self.options.ahead_bytes, spare };
        place.make(checkpoint)
    }

    /// Keeps at least half a step of zeros ahead of the appends, up to the segment's size.
    fn write_ahead(&mut self) -> Result<(), Error> {
        let (Some(target), ahead) = (self.ahead_target(), self.segment.ahead) else { return Ok(()) };
        for at in (ahead..target).step_by(ZEROS.len()) {
            let rest = usize::try_from(target - at).map_or(ZEROS.len(), |rest| rest.min(ZEROS.len()));
            let written = self.segment.file.write_at(&ZEROS[..rest], at);
            written.map_err(|error| self.failed("extend")(error))?;
        }
        self.segment.ahead = target;
        Ok(())
    }

    /// Up to where zeros should be written now.
    fn ahead_target(&self) -> Option<u64> {
        let (step, Segment { end, ahead, .. }) = (self.options.ahead_bytes, &self.segment);
        let target = (ahead + step).min(self.options.segment_bytes);
        (ahead - end < step / 2 && target > *ahead).then_some(target)
    }

    fn make_reserve(&mut self) -> Result<(), Error> {
        if self.reserved {
            return Ok(());
        }
        let zeros = vec![0; usize::try_from(self.options.reserve_bytes).expect("fits in memory")];
        let made = self.disk.create(RESERVE_NEW).and_then(|mut file| {
            file.write_at(&zeros, 0)?;
            file.sync()?;
            self.disk.rename(RESERVE_NEW, RESERVE)
        });
        made.map_err(|error| failed(&self.disk, "write", RESERVE)(error))?;
        self.reserved = true;
        Ok(())
    }

    /// Gives the reserve's space to a checkpoint.
    fn drop_reserve(&mut self) -> Result<(), Error> {
        self.reserved = false;
        match self.disk.remove(RESERVE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&self.disk, "remove", RESERVE)(error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        failed(&self.disk, action, &segment_name(self.segment.number))
    }
}

/// Where and after what a segment is made.
struct Place<'a, D> {
    disk: &'a D,
    base: &'a Base,
    ahead: u64,
    /// The length of the spare segment, if there is one.
    spare: Option<u64>,
}

// === impl Place ===

impl<D: Disk> Place<'_, D> {
    /// Writes a segment under a temporary name, syncs it, names it, and syncs the name.
    fn make(&self, checkpoint: Option<&[Bytes]>) -> Result<Segment<D::File>, Error> {
        let Base { number, last, boot, identity, salt, .. } = *self.base;
        let key = Key { salt, segment: number };
        let (file, end) = self
            .fill(key, checkpoint, |checkpoint_end| Header { identity, boot, base: last, checkpoint_end }.encode(key))
            .map_err(failed(self.disk, "write", NEXT))?;
        let name = segment_name(number);
        let named = self.disk.rename(NEXT, &name);
        named.map_err(failed(self.disk, "name", &name))?;
        sync_names(self.disk)?;
        Ok(Segment { number, file, end, ahead: (end + self.ahead).max(self.spare.unwrap_or(0)) })
    }

    fn fill(
        &self,
        key: Key,
        checkpoint: Option<&[Bytes]>,
        header: impl FnOnce(u64) -> [u8; HEADER as usize],
    ) -> io::Result<(D::File, u64)> {
        // What is left in a spare segment is never taken for a frame: checksums are keyed by the segment's number.
        let mut file = match self.spare {
            Some(_) => self.disk.rename(SPARE, NEXT).and_then(|()| self.disk.open(NEXT))?,
            None => self.disk.create(NEXT)?,
        };
        let mut encoder = Encoder::default();
        let mut end = HEADER;
        let (mut rest, mut first) = (checkpoint.unwrap_or_default(), 1);
        while !rest.is_empty() {
            encoder.begin();
            let mut count = 0;
            for record in rest {
                if count > 0 && encoder.len() + record.len() > FRAME_TARGET {
                    break;
                }
                encoder.push(record);
                count += 1;
            }
            let bytes = encoder.finish(Kind::Checkpoint, key, end, Lsn(first), Lsn(0));
            file.write_at(bytes, end)?;
            end += bytes.len() as u64;
            (rest, first) = (&rest[count..], first + count as u64);
        }
        file.write_at(&header(if checkpoint.is_some() { end } else { 0 }), 0)?;
        if self.spare.is_none_or(|length| length < end + self.ahead) {
            let zeros = vec![0; usize::try_from(self.ahead).expect("a step fits in memory")];
            file.write_at(&zeros, end)?;
        }
        file.sync()?;
        Ok((file, end))
    }
}

pub(super) fn failed<D: Disk>(disk: &D, action: &'static str, name: &str) -> impl FnOnce(io::Error) -> Error + use<D> {
    let file = disk.place(name);
    move |source| Error::Io { action, file, source }
}

pub(super) fn sync_names<D: Disk>(disk: &D) -> Result<(), Error> {
    disk.sync_names().map_err(failed(disk, "sync the names in", ""))
}
