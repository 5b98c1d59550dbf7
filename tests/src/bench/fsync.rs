//! What the disk costs in this run: one appended KiB and an fdatasync, in a file that was allocated
//! and written before, so that no sync also commits a size.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

/// Size of the file.
const FILE_BYTES: usize = 16 * 1024 * 1024;
/// Size of a record.
const RECORD: [u8; 1024] = [0x5a; 1024];

/// The file to write to.
pub(crate) struct RawSync {
    file: File,
    position: usize,
}

impl RawSync {
    /// Makes the file in `folder` and writes it once.
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("fdatasync");
        let mut file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let zeroes = vec![0; 1024 * 1024];
        for _ in 0..FILE_BYTES / zeroes.len() {
            file.write_all(&zeroes)?;
        }
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { file, position: 0 })
    }

    /// Times `count` appends, each with its fdatasync.
    pub(crate) fn measure(&mut self, count: usize) -> anyhow::Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            if self.position + RECORD.len() > FILE_BYTES {
                self.file.seek(SeekFrom::Start(0))?;
                self.position = 0;
            }
            let start = Instant::now();
            self.file.write_all(&RECORD)?;
            self.file.sync_data()?;
            times.push(start.elapsed());
            self.position += RECORD.len();
        }
        Ok(times)
    }
}
