//! The storage under a journal: one folder of files, as a trait and as the real thing.
//!
//! The trait is small on purpose and promises only what POSIX does: nothing is durable before
//! [`DiskFile::sync`], no name is durable before [`Disk::sync_names`]. [`Folder`] adds the lock
//! that keeps a second process out.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Error;
use super::direct::SegmentFile;

/// A folder of files that one journal has for itself.
pub trait Disk {
    /// A file that is open for writing.
    type File: DiskFile;

    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Up to `limit` bytes of a file, from its beginning.
    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>>;
    /// A new, empty file in place of whatever has the name.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// A file that is there.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Gives a file another name, atomically, replacing what had it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes all creations, renames and removals so far durable.
    fn sync_names(&self) -> io::Result<()>;
    /// A file's name for people.
    fn place(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// A file of a [`Disk`], open for writing.
pub trait DiskFile {
    /// Writes all of `bytes` at `offset`, growing the file as needed.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Makes content and length durable (fdatasync). After an error nothing is known of what was
    /// written: it must not be tried again.
    fn sync(&mut self) -> io::Result<()>;
}

/// A [`Disk`] that is a folder of the file system, locked for this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Open for [`Disk::sync_names`].
    names: File,
    /// Holds the lock for as long as it lives.
    _lock: File,
}

const LOCK: &str = "lock";

// === impl Folder ===

impl Folder {
    /// Opens and locks a folder, making it (mode 0700) if it is not there.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |action| move |source| Error::Folder { path: path.to_owned(), action, source };
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make it"))?;
            sync_parent(path).map_err(failed("sync the folder it is in"))?;
        }
        let mode = fs::metadata(path).map_err(failed("look at it"))?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                .map_err(failed("close it to others, mode 0700"))?;
        }
        let names = File::open(path).map_err(failed("enter it"))?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed("write into it"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Error::Locked { path: path.to_owned(), holder: holder(&mut lock) });
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed("lock it")(source)),
        }
        lock.set_len(0).map_err(failed("write into it"))?;
        lock.write_all_at(std::process::id().to_string().as_bytes(), 0).map_err(failed("write into it"))?;
        Ok(Self { path: path.to_owned(), names, _lock: lock })
    }
}

impl Disk for Folder {
    type File = SegmentFile;

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path.join(name))?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&self, name: &str) -> io::Result<SegmentFile> {
        SegmentFile::create(&self.path.join(name))
    }

    fn open(&self, name: &str) -> io::Result<SegmentFile> {
        SegmentFile::open(&self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.names.sync_all()
    }

    fn place(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

/// A new folder is durable once the folder it is in has been synced.
fn sync_parent(path: &Path) -> io::Result<()> {
    match fs::canonicalize(path)?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.seek(SeekFrom::Start(0)).and_then(|_| lock.take(20).read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!(" (pid {pid})"),
        _ => String::new(),
    }
}
