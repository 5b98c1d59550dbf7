//! How records lie in a segment. Pure: bytes in, bytes out.
//!
//! ```text
//! segment = header (64 bytes) frame* zeros
//! frame   = magic length first-lsn synced-lsn count body-crc header-crc | (length record)* | padding to 8
//! ```
//!
//! One group commit is one frame (or several when it is large), so an append is read back entirely
//! or not at all. Every frame carries the position that was synced when it was written. That tells
//! a torn tail from damage: bytes that make no sense are damage exactly if something after them
//! says that they had been synced.
//!
//! Checksums (CRC32C) are keyed by a secret of the journal, the segment and the offset: neither a
//! left-over nor a payload that looks like a frame is ever taken for one. No cryptographic claim.

use bytes::Bytes;

use super::{Identity, Lsn};

/// Bytes of a segment's header.
pub(super) const HEADER: u64 = 64;
/// Bytes of a frame's header.
const FRAME: usize = 40;
const SEGMENT_MAGIC: [u8; 8] = *b"flowjrn1";

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Records that were appended.
    Append,
    /// Part of the checkpoint at the beginning of a segment.
    Checkpoint,
}

/// The secret that keys the checksums of one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// The journal's secret.
    pub(super) salt: u64,
    /// The segment's number.
    pub(super) segment: u64,
}

/// The beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: Identity,
    /// The opening of the journal that made the segment.
    pub(super) boot: u64,
    /// Everything up to here lies in older segments or in this one's checkpoint, and was synced.
    pub(super) base: Lsn,
    /// Where the checkpoint ends; 0 if the segment does not begin with one.
    pub(super) checkpoint_end: u64,
}

/// A frame that was read.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) first: Lsn,
    pub(super) synced: Lsn,
    pub(super) count: u32,
    /// Where the next frame begins.
    pub(super) end: u64,
    body: &'a [u8],
}

// === impl Kind, Key ===

impl Kind {
    fn magic(self) -> u32 {
        match self {
            Self::Append => 0x0a5e_c0de,
            Self::Checkpoint => 0x0cec_b01e,
        }
    }

    fn of(magic: u32) -> Option<Self> {
        [Self::Append, Self::Checkpoint].into_iter().find(|kind| kind.magic() == magic)
    }
}

impl Key {
    fn checksum(self, offset: u64, bytes: &[u8]) -> u32 {
        let mut seed = [0; 24];
        seed[..8].copy_from_slice(&self.salt.to_le_bytes());
        seed[8..16].copy_from_slice(&self.segment.to_le_bytes());
        seed[16..].copy_from_slice(&offset.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c(&seed), bytes)
    }
}

// === impl Header ===

impl Header {
    pub(super) fn encode(&self, key: Key) -> [u8; HEADER as usize] {
        let mut bytes = [0; HEADER as usize];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..16].copy_from_slice(&key.segment.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.boot.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.base.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.checkpoint_end.to_le_bytes());
        bytes[40..56].copy_from_slice(&self.identity.0.to_le_bytes());
        let checksum = key.checksum(0, &bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8], key: Key) -> Option<Self> {
        let bytes = bytes.get(..HEADER as usize)?;
        let sound = bytes[..8] == SEGMENT_MAGIC
            && u64_at(bytes, 8) == key.segment
            && u32_at(bytes, 60) == key.checksum(0, &bytes[..60]);
        sound.then(|| Self {
            boot: u64_at(bytes, 16),
            base: Lsn(u64_at(bytes, 24)),
            checkpoint_end: u64_at(bytes, 32),
            identity: Identity(u128::from(u64_at(bytes, 40)) | (u128::from(u64_at(bytes, 48)) << 64)),
        })
    }
}

// === impl Frame ===

/// Collects records into one frame. The buffer is kept from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    buffer: Vec<u8>,
    count: u32,
}

impl Encoder {
    pub(super) fn begin(&mut self) {
        self.buffer.clear();
        self.buffer.resize(FRAME, 0);
        self.count = 0;
    }

    pub(super) fn push(&mut self, record: &[u8]) {
        // A record is a message or a payload, limited far below 4 GiB where it comes in.
        let length = u32::try_from(record.len()).expect("records are far smaller than 4 GiB");
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(record);
        self.count += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// The frame's bytes, for `offset` of the segment that `key` is for.
    pub(super) fn finish(&mut self, kind: Kind, key: Key, offset: u64, first: Lsn, synced: Lsn) -> &[u8] {
        let body = key.checksum(offset, &self.buffer[FRAME..]);
        let length = u32::try_from(self.buffer.len() - FRAME).expect("frames are below 4 GiB");
        let head = &mut self.buffer[..FRAME];
        head[..4].copy_from_slice(&kind.magic().to_le_bytes());
        head[4..8].copy_from_slice(&length.to_le_bytes());
        head[8..16].copy_from_slice(&first.0.to_le_bytes());
        head[16..24].copy_from_slice(&synced.0.to_le_bytes());
        head[24..28].copy_from_slice(&self.count.to_le_bytes());
        head[28..32].copy_from_slice(&body.to_le_bytes());
        let checksum = key.checksum(offset, &head[..32]);
        head[32..36].copy_from_slice(&checksum.to_le_bytes());
        self.buffer.resize(self.buffer.len().next_multiple_of(8), 0);
        &self.buffer
    }

    /// Gives memory back after an unusually large frame.
    pub(super) fn release(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(64 << 10);
    }
}

impl<'a> Frame<'a> {
    /// The frame at `offset` of a segment, if a whole one is there.
    pub(super) fn read(segment: &'a [u8], offset: u64, key: Key) -> Option<Self> {
        let rest = segment.get(usize::try_from(offset).ok()?..)?;
        let (head, after) = rest.split_at_checked(FRAME)?;
        let kind = Kind::of(u32_at(head, 0))?;
        if u32_at(head, 32) != key.checksum(offset, &head[..32]) {
            return None;
        }
        let body = after.get(..u32_at(head, 4) as usize)?;
        if u32_at(head, 28) != key.checksum(offset, body) {
            return None;
        }
        Some(Self {
            kind,
            first: Lsn(u64_at(head, 8)),
            synced: Lsn(u64_at(head, 16)),
            count: u32_at(head, 24),
            end: (offset + (FRAME + body.len()) as u64).next_multiple_of(8),
            body,
        })
    }

    /// Copies the records out; nothing if they do not fill the frame exactly.
    ///
    /// Copies, because a slice would keep a whole segment in memory.
    pub(super) fn records(&self) -> Option<Vec<Bytes>> {
        let mut records = Vec::new();
        let mut rest = self.body;
        while !rest.is_empty() {
            let (length, after) = rest.split_at_checked(4)?;
            let (record, after) = after.split_at_checked(u32_at(length, 0) as usize)?;
            records.push(Bytes::copy_from_slice(record));
            rest = after;
        }
        (records.len() == self.count as usize).then_some(records)
    }
}

/// Whether a frame after `offset` says that position `lost` had been synced.
pub(super) fn synced_after(segment: &[u8], offset: u64, lost: Lsn, key: Key) -> bool {
    let start = offset.next_multiple_of(8);
    (start..segment.len() as u64)
        .step_by(8)
        .any(|at| Frame::read(segment, at, key).is_some_and(|frame| frame.synced >= lost))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
