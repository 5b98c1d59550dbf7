//! The disk under a simulated sidecar: the journal's own code over a disk that forgets, or, for speed, a list
//! of records that loses any unsynced end.

use bytes::Bytes;
use runtime::journal::simulated::SimulatedDisk;
use runtime::journal::{Log, Options};

use crate::random::Random;

/// What a sidecar's journal is made of.
#[derive(Debug)]
pub(super) enum Disk {
    /// Real framing and recovery.
    Journal(SimulatedDisk, Box<Option<Log<SimulatedDisk>>>),
    /// Records alone.
    Records { durable: Vec<Bytes>, written: Vec<Bytes> },
}

fn options() -> Options {
    Options { segment_bytes: 16 << 10, ahead_bytes: 1 << 10, reserve_bytes: 1 << 10, ..Options::default() }
}

impl Disk {
    pub(super) fn new(real: bool) -> Self {
        if real {
            Self::Journal(SimulatedDisk::default(), Box::new(None))
        } else {
            Self::Records { durable: Vec::new(), written: Vec::new() }
        }
    }

    /// Opens the journal and reads it. The disk may refuse when it was told to stop; then nothing is known.
    pub(super) fn open(&mut self, random: &mut Random) -> Vec<Bytes> {
        match self {
            Self::Journal(disk, log) => {
                let opened = Log::open(disk.clone(), options(), u128::from(random.next()), random.next());
                let (opened, recovered) = opened.unwrap_or_else(|e| panic!("the journal does not open again: {e}"));
                **log = Some(opened);
                recovered.records
            }
            Self::Records { durable, .. } => durable.clone(),
        }
    }

    pub(super) fn append(&mut self, record: Bytes) {
        match self {
            Self::Journal(_, log) => {
                if let Some(log) = &mut **log {
                    log.append(vec![record]);
                }
            }
            Self::Records { written, .. } => written.push(record),
        }
    }

    /// Syncs what was appended.
    pub(super) fn sync(&mut self) {
        match self {
            Self::Journal(_, log) => {
                if let Some(log) = &mut **log {
                    log.commit().and_then(|_| log.maintain()).expect("nobody stopped this disk");
                }
            }
            Self::Records { durable, written } => durable.append(written),
        }
    }

    /// Replaces everything by `live`, durably.
    pub(super) fn checkpoint(&mut self, live: Vec<Bytes>) {
        match self {
            Self::Journal(_, log) => {
                if let Some(log) = &mut **log {
                    log.commit().expect("nobody stopped this disk");
                    log.checkpoint(&live).expect("nobody stopped this disk");
                }
            }
            Self::Records { durable, written } => {
                written.clear();
                *durable = live;
            }
        }
    }

    /// The process is gone; `half` in the middle of a sync, `machine` with everything that was not synced.
    pub(super) fn crash(&mut self, half: bool, machine: bool, random: &mut Random) {
        match self {
            Self::Journal(disk, log) => {
                if half && let Some(log) = &mut **log {
                    disk.stop_after(random.below(3));
                    let _ = log.commit();
                }
                **log = None;
                if machine {
                    disk.cut_power(|| random.chance(500_000));
                } else {
                    disk.restart();
                }
            }
            Self::Records { durable, written } => {
                // what was handed to the system survives the process; a power cut keeps any beginning of it
                let kept = if machine { random.below(written.len() as u64 + 1) as usize } else { written.len() };
                let kept = if half { kept } else { kept.min(random.below(written.len() as u64 + 1) as usize) };
                durable.extend(written.drain(..).take(kept));
            }
        }
    }
}
