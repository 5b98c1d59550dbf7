//! A disk that forgets: the [`Disk`] of the simulation and of the journal's own tests.
//!
//! Writes reach a cache. A power cut keeps, sector by sector and name by name, any part of what
//! was not synced; a crash of the process keeps the cache. The disk can be told to stop at its
//! n-th operation, to fail its next sync, and to be full. Deterministic: whoever cuts the power
//! gives the random bits.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile};

/// What a power cut keeps or loses as one.
const SECTOR: usize = 512;

/// A handle to a simulated disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

/// A file of a [`SimulatedDisk`].
#[derive(Debug)]
pub struct SimulatedFile {
    disk: SimulatedDisk,
    inode: usize,
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced_names: Vec<Vec<(String, Option<usize>)>>,
    operations: u64,
    syncs: u64,
    stop_at: Option<u64>,
    fail_sync: bool,
    capacity: Option<u64>,
}

#[derive(Debug, Default)]
struct Inode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

// === impl SimulatedDisk ===

impl SimulatedDisk {
    /// Loses what was not synced, except the parts for which `keep` says true, and forgets limits.
    pub fn cut_power(&self, mut keep: impl FnMut() -> bool) {
        let mut state = self.state();
        for changes in std::mem::take(&mut state.unsynced_names) {
            if keep() {
                changes.into_iter().for_each(|change| apply(&mut state.durable_names, change));
            }
        }
        state.names = state.durable_names.clone();
        for inode in &mut state.inodes {
            inode.cut_power(&mut keep);
        }
        state.restart();
    }

    /// Ends the process alone: everything it wrote is still there.
    pub fn restart(&self) {
        self.state().restart();
    }

    /// Lets `operations` more succeed and fails all after them.
    pub fn stop_after(&self, operations: u64) {
        let mut state = self.state();
        state.stop_at = Some(state.operations + operations);
    }

    /// Makes the next sync fail, as a broken disk does.
    pub fn fail_next_sync(&self) {
        self.state().fail_sync = true;
    }

    /// Limits the bytes of all files together.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Operations that changed or synced something so far.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Syncs of files so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Changes a file behind the journal's back, durably.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        if let Some(inode) = state.names.get(name).copied() {
            let inode = &mut state.inodes[inode];
            change(&mut inode.cached);
            inode.durable.clone_from(&inode.cached);
            inode.unsynced.clear();
        }
    }

    /// Another disk with the same content, all of it durable.
    pub fn copy(&self) -> Self {
        let state = self.state();
        let mut copy = State { names: state.names.clone(), ..State::default() };
        copy.durable_names = copy.names.clone();
        copy.inodes.extend(state.inodes.iter().map(|inode| Inode {
            cached: inode.cached.clone(),
            durable: inode.cached.clone(),
            unsynced: Vec::new(),
        }));
        Self { state: Arc::new(Mutex::new(copy)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rename_all(&self, changes: Vec<(String, Option<usize>)>) {
        let mut state = self.state();
        changes.iter().cloned().for_each(|change| apply(&mut state.names, change));
        state.unsynced_names.push(changes);
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        let state = self.state();
        let inode = state.find(name)?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let cached = &state.inodes[inode].cached;
        Ok(cached[..cached.len().min(limit)].to_vec())
    }

    fn create(&self, name: &str) -> io::Result<SimulatedFile> {
        let mut state = self.state();
        state.operate()?;
        state.inodes.push(Inode::default());
        let inode = state.inodes.len() - 1;
        drop(state);
        self.rename_all(vec![(name.to_owned(), Some(inode))]);
        Ok(SimulatedFile { disk: self.clone(), inode })
    }

    fn open(&self, name: &str) -> io::Result<SimulatedFile> {
        let inode = self.state().find(name)?;
        Ok(SimulatedFile { disk: self.clone(), inode })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        let inode = state.find(from)?;
        drop(state);
        self.rename_all(vec![(from.to_owned(), None), (to.to_owned(), Some(inode))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        state.find(name)?;
        drop(state);
        self.rename_all(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        state.unsynced_names.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let stopped = state.operate();
        let length = state.inodes[self.inode].cached.len() as u64;
        let grows = (offset + bytes.len() as u64).saturating_sub(length);
        let full = state.capacity.is_some_and(|capacity| state.used() + grows > capacity);
        // A write that is cut short, by a stop or a full disk, has written its first half.
        let part = if stopped.is_err() || full { bytes.len() / 2 } else { bytes.len() };
        let inode = &mut state.inodes[self.inode];
        let change = Change::Write(offset, bytes[..part].to_vec());
        if !full || offset + part as u64 <= length {
            change.apply(&mut inode.cached);
            inode.unsynced.push(change);
        }
        stopped?;
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        let inode = &mut state.inodes[self.inode];
        Change::Truncate(len).apply(&mut inode.cached);
        inode.unsynced.push(Change::Truncate(len));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        if std::mem::take(&mut state.fail_sync) {
            return Err(io::Error::other("simulated input/output error"));
        }
        state.syncs += 1;
        let inode = &mut state.inodes[self.inode];
        inode.unsynced.clear();
        inode.durable.clone_from(&inode.cached);
        Ok(())
    }
}

// === impl State, Inode, Change ===

impl State {
    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn operate(&mut self) -> io::Result<()> {
        if self.stop_at.is_some_and(|stop| self.operations >= stop) {
            return Err(io::Error::other("the simulated machine has stopped"));
        }
        self.operations += 1;
        Ok(())
    }

    fn restart(&mut self) {
        (self.stop_at, self.fail_sync, self.capacity) = (None, false, None);
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].cached.len() as u64).sum()
    }
}

impl Inode {
    fn cut_power(&mut self, keep: &mut impl FnMut() -> bool) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write(offset, bytes) => {
                    // The length may be durable without what was written there.
                    let (start, end) = (offset as usize, offset as usize + bytes.len());
                    if end > self.durable.len() && keep() {
                        self.durable.resize(end, 0);
                    }
                    let mut at = start;
                    while at < end {
                        let next = ((at / SECTOR + 1) * SECTOR).min(end);
                        if next <= self.durable.len() && keep() {
                            self.durable[at..next].copy_from_slice(&bytes[at - start..next - start]);
                        }
                        at = next;
                    }
                }
                Change::Truncate(_) if !keep() => {}
                Change::Truncate(len) => Change::Truncate(len).apply(&mut self.durable),
            }
        }
        self.cached.clone_from(&self.durable);
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, bytes) => {
                let (start, end) = (*offset as usize, *offset as usize + bytes.len());
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(bytes);
            }
            Self::Truncate(len) => content.resize(*len as usize, 0),
        }
    }
}

fn apply(names: &mut BTreeMap<String, usize>, (name, inode): (String, Option<usize>)) {
    match inode {
        Some(inode) => names.insert(name, inode),
        None => names.remove(&name),
    };
}
