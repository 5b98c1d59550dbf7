//! The journal over the real disk and over one that forgets.

mod crash;
mod damage;
mod folder;
mod forget;
mod full;
mod history;

use bytes::Bytes;

use super::simulated::SimulatedDisk;
use super::*;

fn small() -> Options {
    Options { segment_bytes: 2048, ahead_bytes: 512, reserve_bytes: 1024, ..Options::default() }
}

fn reopen(disk: &SimulatedDisk) -> Result<(Log<SimulatedDisk>, Recovered), Error> {
    Log::open(disk.clone(), small(), 7, 9)
}

fn record(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

fn records(range: std::ops::Range<u64>) -> Vec<Bytes> {
    range.map(|n| record(format!("record {n}"))).collect()
}

/// A log with `commits` commits of one record each.
fn written(disk: &SimulatedDisk, commits: u64) -> Log<SimulatedDisk> {
    let (mut log, _) = reopen(disk).unwrap();
    for n in 0..commits {
        log.append(records(n..n + 1));
        log.commit().unwrap();
        log.maintain().unwrap();
    }
    log
}

/// The names of the segments, oldest first.
fn segments(disk: &SimulatedDisk) -> Vec<String> {
    let mut names = disk.names().unwrap();
    names.retain(|name| name.ends_with(".segment") && !name.starts_with("quarantined"));
    names
}

/// Xorshift: the seed is the whole state.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides
    }
}
