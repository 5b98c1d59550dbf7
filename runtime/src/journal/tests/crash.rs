//! A stop at every single operation, with and without a power cut.

use super::*;

/// One life of a journal, on a disk that may stop: what is known to be durable at its end.
fn life(disk: &SimulatedDisk, acknowledged: &mut Vec<Bytes>, attempted: &mut Vec<Bytes>) -> Option<Identity> {
    let (mut log, recovered) = reopen(disk).ok()?;
    attempted.clone_from(&recovered.records);
    acknowledged.clone_from(&recovered.records);
    for round in 0..6 {
        for n in 0..20 {
            let next = vec![record(format!("{} {round}.{n}", recovered.boot)), record("twin")];
            attempted.extend(next.clone());
            log.append(next);
            if log.commit().is_err() {
                return Some(recovered.identity);
            }
            acknowledged.clone_from(attempted);
            if log.maintain().is_err() {
                return Some(recovered.identity);
            }
        }
        // The live state is what is left when the first half has been released.
        let live = attempted.split_off((attempted.len() / 2) & !1);
        let before = std::mem::replace(attempted, live.clone());
        match log.checkpoint(&live) {
            Ok(true) => acknowledged.clone_from(attempted),
            // Either the old state or the new one.
            _ => {
                *acknowledged = live.clone();
                *attempted = before.into_iter().chain(live).collect();
                return Some(recovered.identity);
            }
        }
    }
    Some(recovered.identity)
}

/// Everything acknowledged is there, and nothing that was not written, and no half appends.
fn check(found: &[Bytes], acknowledged: &[Bytes], attempted: &[Bytes], what: &str) {
    let holds = |all: &[Bytes], part: &[Bytes]| all.starts_with(part) || all.ends_with(part);
    assert!(holds(found, acknowledged), "{what}: lost something acknowledged");
    assert!(holds(attempted, found), "{what}: found something never written");
    assert!(found.len().is_multiple_of(2), "{what}: half an append");
}

#[test]
fn a_stop_at_any_operation_loses_nothing_acknowledged() {
    let whole = SimulatedDisk::default();
    let (mut acknowledged, mut attempted) = (Vec::new(), Vec::new());
    let identity = life(&whole, &mut acknowledged, &mut attempted);
    assert!(identity.is_some());

    for stop in 0..whole.operations() {
        for mode in 0..4_u64 {
            let what = format!("stop at {stop}, mode {mode}");
            let disk = SimulatedDisk::default();
            disk.stop_after(stop);
            let (mut acknowledged, mut attempted) = (Vec::new(), Vec::new());
            life(&disk, &mut acknowledged, &mut attempted);
            let mut dice = Dice(stop * 4 + mode + 1);
            match mode {
                0 => disk.restart(),
                1 => disk.cut_power(|| false),
                2 => disk.cut_power(|| true),
                _ => disk.cut_power(|| dice.roll(2) == 0),
            }
            let (_, recovered) = reopen(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            check(&recovered.records, &acknowledged, &attempted, &what);
            // What recovery reported survives a power cut that follows at once.
            disk.cut_power(|| false);
            let (_, again) = reopen(&disk).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(again.records, recovered.records, "{what}");
            assert_eq!(again.identity, recovered.identity, "{what}");
            assert!(again.boot > recovered.boot, "{what}");
        }
    }
}

#[test]
fn a_stop_while_opening_changes_nothing() {
    let disk = SimulatedDisk::default();
    drop(written(&disk, 50));
    for stop in 0.. {
        let other = disk.copy();
        other.stop_after(stop);
        let opened = reopen(&other).is_ok();
        let mut dice = Dice(stop + 1);
        other.cut_power(|| dice.roll(2) == 0);
        let (_, recovered) = reopen(&other).unwrap();
        assert_eq!(recovered.records, records(0..50), "stop at {stop}");
        assert!(recovered.boot >= 2);
        if opened {
            break;
        }
    }
}

#[test]
fn names_are_synced_before_anything_relies_on_them() {
    let disk = SimulatedDisk::default();
    let (mut log, first) = reopen(&disk).unwrap();
    log.append(records(0..1));
    log.commit().unwrap();
    disk.cut_power(|| false);
    let (_, second) = reopen(&disk).unwrap();
    assert_eq!(second.records, records(0..1));
    assert_eq!((second.identity, second.boot), (first.identity, 2));
}

#[test]
fn a_commit_over_two_segments_syncs_both() {
    let disk = SimulatedDisk::default();
    let (mut log, _) = reopen(&disk).unwrap();
    let large = |n: u64| vec![record(format!("{n}{}", "-".repeat(700_000)))];
    for n in 0..3 {
        log.append(large(n));
    }
    let last = log.last();
    assert_eq!(log.commit().unwrap(), last);
    assert!(segments(&disk).len() > 2);
    disk.cut_power(|| false);
    let (_, recovered) = reopen(&disk).unwrap();
    assert!((0..3).flat_map(large).eq(recovered.records));
}

#[test]
fn a_failed_sync_is_final() {
    let disk = SimulatedDisk::default();
    let mut log = written(&disk, 1);
    log.append(records(1..2));
    disk.fail_next_sync();
    let error = log.commit().unwrap_err();
    assert!(error.to_string().contains("cannot sync"), "{error}");
    assert!(!error.is_full());
}

#[test]
fn without_fsync_a_crash_of_the_process_loses_nothing() {
    let disk = SimulatedDisk::default();
    let options = Options { durability: Durability::Os, ..small() };
    let (mut log, _) = Log::open(disk.clone(), options, 7, 9).unwrap();
    let syncs = disk.syncs();
    for n in 0..10 {
        log.append(records(n..n + 1));
        log.commit().unwrap();
    }
    assert_eq!(disk.syncs(), syncs);
    disk.restart();
    let (_, recovered) = reopen(&disk).unwrap();
    assert_eq!(recovered.records, records(0..10));
    let mut dice = Dice(3);
    let (mut log, _) = Log::open(disk.clone(), Options { durability: Durability::Os, ..small() }, 7, 9).unwrap();
    for n in 10..40 {
        log.append(records(n..n + 1));
        log.commit().unwrap();
    }
    disk.cut_power(|| dice.roll(2) == 0);
    let (_, recovered) = reopen(&disk).unwrap();
    let found = recovered.records.len() as u64;
    assert!((10..=40).contains(&found));
    assert_eq!(recovered.records, records(0..found));
}

#[test]
fn durability_none_writes_checkpoints_alone() {
    let disk = SimulatedDisk::default();
    let options = Options { durability: Durability::None, ..small() };
    let (mut log, _) = Log::open(disk.clone(), options, 7, 9).unwrap();
    let operations = disk.operations();
    let last = log.append(records(0..5));
    assert_eq!(log.commit().unwrap(), last);
    assert_eq!(disk.operations(), operations);
    assert!(log.checkpoint(&records(3..5)).unwrap());
    assert_eq!(reopen(&disk).unwrap().1.records, records(3..5));
}
