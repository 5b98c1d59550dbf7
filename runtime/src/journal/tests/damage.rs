//! Torn tails, bit flips and missing files.

use super::*;

#[test]
fn a_tail_torn_at_any_byte_costs_the_last_append_alone() {
    let disk = SimulatedDisk::default();
    let mut log = written(&disk, 3);
    let before = log.bytes() + frame::HEADER;
    log.append(records(3..6));
    log.commit().unwrap();
    let after = log.bytes() + frame::HEADER;
    let name = segments(&disk).pop().unwrap();

    for at in before..=after {
        for zeros in [false, true] {
            let torn = disk.copy();
            torn.damage(&name, |bytes| match zeros {
                true => bytes[at as usize..].fill(0),
                false => bytes.truncate(at as usize),
            });
            let (mut log, recovered) = reopen(&torn).unwrap();
            // The last bytes are padding, which may be missing.
            let whole = recovered.records == records(0..6) && at + 8 > after;
            let cut = recovered.records == records(0..3) && at < after;
            assert!(whole || cut, "{at} of {after}, zeros {zeros}: {recovered:?}");
            log.append(vec![record("next")]);
            log.commit().unwrap();
            let (_, again) = reopen(&torn).unwrap();
            assert_eq!(again.records.len(), recovered.records.len() + 1);
            assert_eq!(again.boot, recovered.boot + 1);
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_before_the_last_frame_is_found() {
    let disk = SimulatedDisk::default();
    let log = written(&disk, 4);
    let name = segments(&disk).pop().unwrap();
    let frame = (log.bytes() / 4) as usize;
    let header = frame::HEADER as usize;

    for at in 0..header + 3 * frame {
        let flipped = disk.copy();
        flipped.damage(&name, |bytes| bytes[at] ^= 1 << (at % 8));
        let sound = at.saturating_sub(header) / frame;
        let offset = if at < header { 0 } else { header + sound * frame };
        match reopen(&flipped) {
            Err(Error::Corrupt(found)) => {
                assert_eq!((found.file, found.offset), (name.clone(), offset as u64));
            }
            // Padding and the unused bytes of a header mean nothing.
            Ok((_, recovered)) => {
                assert_eq!(recovered.records, records(0..4), "flip at {at} was lost on the reader");
                continue;
            }
            Err(error) => panic!("flip at {at}: {error}"),
        }

        let options = Options { quarantine: true, ..small() };
        let (_, recovered) = Log::open(flipped.clone(), options, 7, 9).unwrap();
        assert_eq!(recovered.records, records(0..sound as u64));
        assert_eq!(recovered.quarantined.unwrap().offset, offset as u64);
        assert!(flipped.names().unwrap().contains(&format!("quarantined-{name}")));
        let (_, again) = reopen(&flipped).unwrap();
        assert_eq!(again.records, recovered.records);
    }
}

#[test]
fn a_flip_in_the_last_frame_of_a_closed_journal_is_found() {
    let disk = SimulatedDisk::default();
    let mut log = written(&disk, 4);
    let last = log.bytes() + frame::HEADER - 10;
    log.close().unwrap();
    let name = segments(&disk).pop().unwrap();
    disk.damage(&name, |bytes| bytes[last as usize] ^= 4);
    assert!(matches!(reopen(&disk), Err(Error::Corrupt(_))));
}

#[test]
fn an_older_segment_that_is_damaged_or_missing_is_found() {
    let disk = SimulatedDisk::default();
    drop(written(&disk, 200));
    let names = segments(&disk);
    assert!(names.len() > 3, "small segments roll: {names:?}");
    for (index, name) in names.iter().enumerate().take(names.len() - 1) {
        let gone = disk.copy();
        gone.remove(name).unwrap();
        let Err(Error::Corrupt(found)) = reopen(&gone) else {
            panic!("{name} is missing and nobody noticed");
        };
        assert_eq!(found.file, names[index + 1]);

        let wiped = disk.copy();
        wiped.damage(name, |bytes| {
            let end = bytes.len();
            bytes[end - 600..].fill(0);
        });
        assert!(matches!(reopen(&wiped), Err(Error::Corrupt(found)) if &found.file == name));
    }
}

#[test]
fn a_lost_identity_is_never_replaced_by_a_new_one() {
    let disk = SimulatedDisk::default();
    drop(written(&disk, 2));
    let missing = disk.copy();
    missing.remove("identity").unwrap();
    assert!(matches!(reopen(&missing), Err(Error::Corrupt(found)) if found.file == "identity"));
    disk.damage("identity", |bytes| bytes[12] ^= 1);
    assert!(matches!(reopen(&disk), Err(Error::Corrupt(found)) if found.file == "identity"));
}

#[test]
fn lost_segments_are_not_an_empty_journal() {
    let disk = SimulatedDisk::default();
    drop(written(&disk, 2));
    for name in segments(&disk) {
        disk.remove(&name).unwrap();
    }
    assert!(matches!(reopen(&disk), Err(Error::Corrupt(_))));
    let options = Options { quarantine: true, ..small() };
    let (_, recovered) = Log::open(disk, options, 7, 9).unwrap();
    assert!(recovered.records.is_empty() && recovered.boot == 2);
}

#[test]
fn a_payload_that_looks_like_a_frame_is_not_one() {
    let disk = SimulatedDisk::default();
    let mut log = written(&disk, 2);
    let name = segments(&disk).pop().unwrap();
    let start = log.bytes() + frame::HEADER;
    // A copy of everything so far, as it could come back in a payload, then torn.
    let copy = disk.read(&name, start).unwrap();
    log.append(vec![Bytes::from(copy), record("end")]);
    log.commit().unwrap();
    disk.damage(&name, |bytes| bytes[start as usize] ^= 1);
    let (_, recovered) = reopen(&disk).unwrap();
    assert_eq!(recovered.records, records(0..2));
}

#[test]
fn arbitrary_bytes_never_panic() {
    let seed = rand::random::<u64>() | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let disk = SimulatedDisk::default();
    drop(written(&disk, 60));
    let names = disk.names().unwrap();
    for _ in 0..2000 {
        let noisy = disk.copy();
        for _ in 0..=dice.roll(4) {
            let name = &names[dice.roll(names.len() as u64) as usize];
            noisy.damage(name, |bytes| {
                let at = dice.roll(bytes.len() as u64 + 1) as usize;
                match dice.roll(3) {
                    0 => bytes.truncate(at),
                    1 => bytes[at..].iter_mut().for_each(|byte| *byte = dice.roll(256) as u8),
                    _ => bytes.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0xff),
                }
            });
        }
        if let Ok((_, recovered)) = reopen(&noisy) {
            let expected = records(0..recovered.records.len() as u64);
            assert_eq!(recovered.records, expected, "seed {seed}");
        }
    }
}
