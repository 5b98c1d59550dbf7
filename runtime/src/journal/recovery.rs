//! What a journal does when it is opened: find the last checkpoint, read on, judge the end.
//!
//! A frame that cannot be read ends a segment. It is a torn tail, cut off, if nothing later says
//! that it had been synced, and damage otherwise. What was read is synced before it is reported:
//! after a mere crash of the process it may have been in the page cache only, and what is done
//! because of it must not outlive it. Every opening begins a segment of its own, so no frame is
//! ever written over the remains of another.

use std::io;

use bytes::Bytes;

use super::frame::{Frame, HEADER, Header, Key, Kind, synced_after};
use super::log::{Base, Log, Older, RESERVE, failed, segment_name, sync_names};
use super::{Corruption, Disk, DiskFile, Error, Identity, Lsn, Options, Recovered};

const IDENTITY: &str = "identity";
const BOOT: &str = "boot";
const IDENTITY_MAGIC: [u8; 8] = *b"flowjid1";
const BOOT_MAGIC: [u8; 8] = *b"flowjbt1";

/// A segment's number and header, or nothing if it has no sound one.
type Found = (u64, Option<Header>);

/// The replay of all live segments, as far as it went.
#[derive(Default)]
struct Replay {
    records: Vec<Bytes>,
    last: Lsn,
    /// Where each segment that holds something ends.
    ends: Vec<Older>,
    damage: Option<(usize, Corruption)>,
}

pub(super) fn open<D: Disk>(
    disk: D,
    options: Options,
    identity: Identity,
    salt: u64,
) -> Result<(Log<D>, Recovered), Error> {
    let names = disk.names().map_err(failed(&disk, "list", ""))?;
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        disk.remove(name).map_err(failed(&disk, "remove", name))?;
    }
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let known = |name: &str| names.iter().any(|known| known == name);

    let (identity, salt) = match known(IDENTITY) {
        true => read_identity(&disk)?,
        false if numbers.is_empty() && !known(BOOT) => make_identity(&disk, identity, salt)?,
        false => return Err(damaged(&disk, IDENTITY, 0, "the file is missing")),
    };
    let boot = if known(BOOT) { read_boot(&disk)? } else { 0 };

    let mut found = Vec::new();
    for &number in &numbers {
        found.push((number, read_header(&disk, number, Key { salt, segment: number }, identity)?));
    }
    // A crash while segments were forgotten may have kept any of them, so those before are not looked at.
    let begins =
        |header: &Header| header.checkpoint_end > 0 || (header.base > Lsn(0) && header.base <= options.applied);
    let start = found.iter().rposition(|(_, header)| header.as_ref().is_some_and(begins));
    let live = &found[start.unwrap_or(0)..];
    let replay = replay(&disk, live, salt, boot > 0, options.applied)?;
    let (older, checkpoint) = match &replay.damage {
        None => (settle(&disk, &replay.ends)?, None),
        Some((_, damage)) if !options.quarantine => return Err(Error::Corrupt(damage.clone())),
        Some((index, _)) => {
            for (number, _) in live.iter().skip(*index) {
                set_aside(&disk, &segment_name(*number))?;
            }
            (Vec::new(), Some(replay.records.as_slice()))
        }
    };

    let seen = found.iter().filter_map(|(_, header)| header.map(|header| header.boot)).max();
    let boot = boot.max(seen.unwrap_or(0)) + 1;
    let number = numbers.last().map_or(1, |last| last + 1);
    let kept: Vec<u64> = older.iter().map(|it| it.number).collect();
    let reserved = known(RESERVE);
    let base = Base { salt, identity, boot, last: replay.last, number, older, reserved };
    // This syncs all names, also those that a crashed process left in the cache.
    let log = Log::begin(disk, options, base, checkpoint)?;
    write_small(log.disk(), BOOT, BOOT_MAGIC, &boot.to_le_bytes())?;
    let dropped: Vec<_> = numbers.iter().filter(|number| !kept.contains(number)).collect();
    for number in &dropped {
        let name = segment_name(**number);
        log.disk().remove(&name).map_err(failed(log.disk(), "remove", &name))?;
    }
    if !dropped.is_empty() {
        sync_names(log.disk())?;
    }
    let Replay { records, damage, .. } = replay;
    let quarantined = damage.map(|(_, damage)| damage);
    Ok((log, Recovered { identity, boot, records, quarantined }))
}

fn replay<D: Disk>(disk: &D, live: &[Found], salt: u64, opened_before: bool, applied: Lsn) -> Result<Replay, Error> {
    let mut replay = Replay::default();
    let damage = |index: usize, name: String, offset, detail| {
        Some((index, Corruption { file: disk.place(&name), offset, detail }))
    };
    if live.is_empty() && opened_before {
        replay.damage = damage(0, segment_name(1), 0, "all segments are missing");
    }
    for (index, (number, header)) in live.iter().enumerate() {
        let name = segment_name(*number);
        let Some(header) = header else {
            replay.damage = damage(index, name, 0, "no sound header");
            break;
        };
        let first = index == 0;
        if first && (header.checkpoint_end > 0 || header.base <= applied) {
            replay.last = header.base;
        } else if header.base != replay.last {
            // Also when the first segment of all is gone: then the base is not zero.
            replay.damage = damage(index, name, 0, "records before it are missing");
            break;
        }
        let bytes = disk.read(&name, u64::MAX).map_err(failed(disk, "read", &name))?;
        let key = Key { salt, segment: *number };
        let end = match replay.checkpoint(&bytes, header, key) {
            Ok(start) => replay.frames(&bytes, start, key),
            Err(offset) => {
                replay.damage = damage(index, name, offset, "an unreadable checkpoint");
                break;
            }
        };
        replay.ends.push(Older { number: *number, bytes: end, ahead: end, last: replay.last });
        let lost = Lsn(replay.last.0 + 1);
        let follows = |(next, header): &&Found| *next == number + 1 && header.is_some_and(|header| header.base >= lost);
        let next = live.get(index + 1).filter(follows);
        if next.is_some() || synced_after(&bytes, end, lost, key) {
            replay.damage = damage(index, name, end, "an unreadable record");
            break;
        }
    }
    Ok(replay)
}

impl Replay {
    /// Reads the checkpoint at the beginning of a segment; where it ends, or where it is damaged.
    fn checkpoint(&mut self, bytes: &[u8], header: &Header, key: Key) -> Result<u64, u64> {
        let (mut at, mut next) = (HEADER, Lsn(1));
        while at < header.checkpoint_end {
            let frame = Frame::read(bytes, at, key)
                .filter(|frame| frame.kind == Kind::Checkpoint && frame.first == next)
                .ok_or(at)?;
            self.records.extend(frame.records().ok_or(at)?);
            (at, next) = (frame.end, Lsn(next.0 + u64::from(frame.count)));
        }
        Ok(at)
    }

    /// Reads frames from `at` as far as they go on from what has been read; where they end.
    fn frames(&mut self, bytes: &[u8], mut at: u64, key: Key) -> u64 {
        while let Some(frame) = Frame::read(bytes, at, key) {
            let goes_on = frame.kind == Kind::Append && frame.first.0 == self.last.0 + 1;
            let Some(records) = frame.records().filter(|_| goes_on) else {
                break;
            };
            self.last.0 += u64::from(frame.count);
            self.records.extend(records);
            at = frame.end;
        }
        at
    }
}

/// Cuts off what is behind the last good frames and makes durable what was read.
fn settle<D: Disk>(disk: &D, ends: &[Older]) -> Result<Vec<Older>, Error> {
    for &Older { number, bytes, .. } in ends {
        let name = segment_name(number);
        let settled = disk.open(&name).and_then(|mut file| {
            file.truncate(bytes)?;
            file.sync()
        });
        settled.map_err(failed(disk, "settle", &name))?;
    }
    Ok(ends.to_vec())
}

/// Copies a damaged file, since its sound part is still needed until the next segment is there.
fn set_aside<D: Disk>(disk: &D, name: &str) -> Result<(), Error> {
    let copied = disk.read(name, u64::MAX).and_then(|bytes| {
        let mut copy = disk.create("quarantine.tmp")?;
        copy.write_at(&bytes, 0)?;
        copy.sync()?;
        disk.rename("quarantine.tmp", &format!("quarantined-{name}"))
    });
    match copied {
        // All segments are missing: there is nothing to copy.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        copied => copied.map_err(failed(disk, "set aside", name)),
    }
}

fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

fn read_header<D: Disk>(disk: &D, number: u64, key: Key, identity: Identity) -> Result<Option<Header>, Error> {
    let name = segment_name(number);
    let bytes = disk.read(&name, HEADER).map_err(failed(disk, "read", &name))?;
    Ok(Header::decode(&bytes, key).filter(|header| header.identity == identity))
}

fn make_identity<D: Disk>(disk: &D, identity: Identity, salt: u64) -> Result<(Identity, u64), Error> {
    let mut body = identity.0.to_le_bytes().to_vec();
    body.extend_from_slice(&salt.to_le_bytes());
    write_small(disk, IDENTITY, IDENTITY_MAGIC, &body)?;
    Ok((identity, salt))
}

fn read_identity<D: Disk>(disk: &D) -> Result<(Identity, u64), Error> {
    let body: [u8; 24] = read_small(disk, IDENTITY, IDENTITY_MAGIC)?;
    let (mut identity, mut salt) = ([0; 16], [0; 8]);
    identity.copy_from_slice(&body[..16]);
    salt.copy_from_slice(&body[16..]);
    Ok((Identity(u128::from_le_bytes(identity)), u64::from_le_bytes(salt)))
}

fn read_boot<D: Disk>(disk: &D) -> Result<u64, Error> {
    read_small(disk, BOOT, BOOT_MAGIC).map(u64::from_le_bytes)
}

/// Replaces a small file, durably and at once.
fn write_small<D: Disk>(disk: &D, name: &str, magic: [u8; 8], body: &[u8]) -> Result<(), Error> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    let temporary = format!("{name}.tmp");
    let written = disk.create(&temporary).and_then(|mut file| {
        file.write_at(&bytes, 0)?;
        file.sync()?;
        disk.rename(&temporary, name)
    });
    written.map_err(failed(disk, "write", name))?;
    sync_names(disk)
}

fn read_small<D: Disk, const N: usize>(disk: &D, name: &str, magic: [u8; 8]) -> Result<[u8; N], Error> {
    let bytes = disk.read(name, 1024).map_err(failed(disk, "read", name))?;
    let (content, checksum) = bytes.split_at(bytes.len().saturating_sub(4));
    let sound =
        content.len() == N + 8 && content.starts_with(&magic) && checksum == crc32c::crc32c(content).to_le_bytes();
    let mut body = [0; N];
    match sound {
        true => body.copy_from_slice(&content[8..]),
        false => return Err(damaged(disk, name, 0, "not what was written")),
    }
    Ok(body)
}

fn damaged<D: Disk>(disk: &D, name: &str, offset: u64, detail: &'static str) -> Error {
    Error::Corrupt(Corruption { file: disk.place(name), offset, detail })
}
