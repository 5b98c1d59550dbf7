//! A file whose appends go past the page cache.
//!
//! An append into ground that was prepared (zeros written and synced) needs no more than its blocks and a
//! flush of the device. Through the page cache an fdatasync also waits for the write-back of the page and,
//! on some file systems, of the inode: half as much again (measured on ext4: 179 us against 112 us). So a
//! write that lies within the file and follows a sync goes directly, in whole blocks; everything else, and
//! everything on a file system that cannot do that, goes through the cache. Both give the same file.
//!
//! Nothing is durable before [`DiskFile::sync`], either way. A block that is written again holds the same
//! bytes where it held any. A file that is opened again is there to be cut or to be written over: what it held
//! behind what is written goes, block by block.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::DiskFile;

/// Offset, length and memory of a direct write are multiples of this: the size of a page, and at least that of
/// a block of any device.
const BLOCK: usize = 4096;
/// Longer writes go through the cache: they cost what they cost, and need no buffer here.
const LONGEST: usize = 128 << 10;

/// A file of a journal, open for writing.
#[derive(Debug)]
pub struct SegmentFile {
    file: File,
    /// The same file past the cache, once it was needed; [`Direct::Cannot`] when it cannot be had.
    direct: Direct,
    /// How long the file is.
    length: u64,
    /// Behind it the file holds nothing that is needed: zeros, or what is to be written over.
    content: u64,
    /// Everything written is synced.
    synced: bool,
    buffer: Vec<u8>,
    /// Where the last block that was written directly is.
    tail_at: Option<u64>,
    /// What that block holds.
    tail: Box<[u8; BLOCK]>,
}

#[derive(Debug)]
enum Direct {
    Unknown,
    File(File),
    Cannot,
}

// === impl SegmentFile ===

impl SegmentFile {
    /// A new, empty file in place of whatever is there, for its owner alone.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Self::over(file, 0))
    }

    /// A file that is there, to be cut or written over.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self::over(file, length))
    }

    fn over(file: File, length: u64) -> Self {
        let (direct, tail) = (Direct::Unknown, Box::new([0; BLOCK]));
        Self { file, direct, length, content: 0, synced: false, buffer: Vec::new(), tail_at: None, tail }
    }

    /// Through the page cache.
    fn write_cached(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.tail_at = None;
        let end = offset + bytes.len() as u64;
        let zeros = offset >= self.content && are_zeros(bytes);
        if !zeros {
            // Zeros ahead are no content: appends into them need not wait for the next sync.
            (self.content, self.synced) = (self.content.max(end), false);
        }
        self.length = self.length.max(end);
        self.file.write_all_at(bytes, offset)
    }

    /// In whole blocks past the cache; false if that is not possible here.
    fn write_direct(&mut self, bytes: &[u8], offset: u64) -> io::Result<bool> {
        if let Direct::Unknown = self.direct {
            // It has another name by now than when it was made, so it is opened by its descriptor.
            self.direct = open_direct(&self.file).map_or(Direct::Cannot, Direct::File);
        }
        let block = BLOCK as u64;
        let end = offset + bytes.len() as u64;
        let (from, to) = (offset / block * block, end.div_ceil(block) * block);
        if to > self.length {
            return Ok(false);
        }
        let Direct::File(direct) = &self.direct else { return Ok(false) };
        let length = usize::try_from(to - from).expect("a direct write is short");
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(buffer.len().max(length + BLOCK), 0);
        let start = buffer.as_ptr().align_offset(BLOCK);
        let blocks = &mut buffer[start..start + length];
        let at = usize::try_from(offset - from).expect("within a block");
        let filled = at + bytes.len();
        self.around(from, blocks, at, filled)?;
        blocks[at..filled].copy_from_slice(bytes);
        let written = direct.write_all_at(blocks, from);
        if written.is_ok() {
            self.tail_at = Some(to - block);
            self.tail.copy_from_slice(&blocks[length - BLOCK..]);
            (self.content, self.synced) = (self.content.max(end), false);
        }
        self.buffer = buffer;
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.direct = Direct::Cannot;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Fills the first block up to `at` and the last one from `filled` on with what the file holds there.
    fn around(&self, from: u64, blocks: &mut [u8], at: usize, filled: usize) -> io::Result<()> {
        self.read(from, &mut blocks[..at])?;
        self.read(from + filled as u64, &mut blocks[filled..])
    }

    /// What a part of one block holds: nothing behind the content, else as it was written last, else as it is in the file.
    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        if offset >= self.content || into.is_empty() {
            into.fill(0);
            return Ok(());
        }
        let within = self.tail_at.and_then(|at| usize::try_from(offset.checked_sub(at)?).ok());
        match within.and_then(|at| self.tail.get(at..at + into.len())) {
            Some(bytes) => {
                into.copy_from_slice(bytes);
                Ok(())
            }
            None => self.file.read_exact_at(into, offset),
        }
    }
}

/// Each byte is as the one before it, and the first is zero: one comparison of memory, whatever the length.
fn are_zeros(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|first| *first == 0 && bytes[1..] == bytes[..bytes.len() - 1])
}

impl DiskFile for SegmentFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let within = self.synced && bytes.len() <= LONGEST && !matches!(self.direct, Direct::Cannot);
        if within && !bytes.is_empty() && self.write_direct(bytes, offset)? {
            return Ok(());
        }
        self.write_cached(bytes, offset)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.direct = Direct::Cannot;
        self.file.set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.synced = true;
        self.file.sync_data()
    }
}

#[cfg(target_os = "linux")]
fn open_direct(file: &File) -> Option<File> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path).ok()
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &File) -> Option<File> {
    None
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Appends of all sizes, zeros ahead, syncs now and then: the file holds what was written.
    #[test]
    fn the_file_holds_what_was_written_whichever_way_it_went() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        // Beside the program: folders for temporary files may be in memory, where nothing goes directly.
        let temp = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = temp.path().join("segment");
        let mut file = SegmentFile::create(&path).unwrap();
        let (mut model, mut end, mut directly) = (vec![7; 64], 64, 0);
        file.write_at(&model, 0).unwrap();
        for round in 0..300 {
            if model.len() - end < 20_000 {
                file.write_at(&[0; 30_000], model.len() as u64).unwrap();
                model.resize(model.len() + 30_000, 0);
            }
            if random.random_bool(0.8) {
                file.sync().unwrap();
            }
            let size = *[1, 17, 4096, 900, 8192].get(random.random_range(0..5)).unwrap();
            let bytes = vec![u8::try_from(round % 251 + 1).unwrap(); size];
            file.write_at(&bytes, end as u64).unwrap();
            model[end..end + size].copy_from_slice(&bytes);
            end += size;
            directly += u32::from(file.tail_at.is_some());
            if round % 29 == 0 {
                file.write_at(&[9; 10], 20).unwrap();
                model[20..30].fill(9);
            }
            assert!(std::fs::read(&path).unwrap() == model, "seed {seed}, round {round}");
        }
        println!("{directly} of 300 went past the cache");
    }
    #[test]
    fn a_file_that_is_opened_again_is_written_over() {
        let temp = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = temp.path().join("segment");
        let mut file = SegmentFile::create(&path).unwrap();
        file.write_at(&[1; 40_000], 0).unwrap();
        file.sync().unwrap();
        let mut file = SegmentFile::open(&path).unwrap();
        file.write_at(&[2; 64], 0).unwrap();
        for (n, at) in (64..30_000).step_by(500).enumerate() {
            file.sync().unwrap();
            file.write_at(&[u8::try_from(n).unwrap() + 3; 500], at).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 40_000);
        assert!(bytes[..64].iter().all(|byte| *byte == 2));
        for (n, part) in bytes[64..30_064].chunks(500).enumerate() {
            assert!(part.iter().all(|byte| usize::from(*byte) == n + 3), "append {n}");
        }
    }
}
