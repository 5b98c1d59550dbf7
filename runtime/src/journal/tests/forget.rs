//! An owner that has what it needs elsewhere.

use super::*;

fn open(disk: &SimulatedDisk, applied: Lsn) -> Result<(Log<SimulatedDisk>, Recovered), Error> {
    Log::open(disk.clone(), Options { applied, ..small() }, 7, 9)
}

/// Two rounds of ten records, of which the first is applied; its segments are named by the second value.
fn two_rounds(disk: &SimulatedDisk) -> (Log<SimulatedDisk>, Lsn) {
    let mut log = written(disk, 10);
    log.roll().unwrap();
    let applied = log.last();
    for n in 10..20 {
        log.append(records(n..n + 1));
        log.commit().unwrap();
    }
    (log, applied)
}

#[test]
fn what_is_forgotten_is_gone_and_the_rest_is_there() {
    let disk = SimulatedDisk::default();
    let (mut log, applied) = two_rounds(&disk);
    let before = (segments(&disk).len(), log.bytes());
    log.forget(applied).unwrap();
    assert!(segments(&disk).len() < before.0 && log.bytes() < before.1);
    let last = log.last();
    drop(log);
    disk.cut_power(|| false);
    let (log, recovered) = open(&disk, applied).unwrap();
    assert_eq!((log.last(), recovered.records), (last, records(10..20)));
}

#[test]
fn a_crash_while_forgetting_keeps_what_is_needed() {
    let base = SimulatedDisk::default();
    let (log, applied) = two_rounds(&base);
    drop(log);
    let segments = segments(&base);
    // any of the forgotten segments may have stayed
    for kept in 0..1u32 << (segments.len() - 1) {
        let disk = base.copy();
        for (nth, name) in segments[..segments.len() - 1].iter().enumerate() {
            if kept & (1 << nth) == 0 {
                disk.remove(name).unwrap();
            }
        }
        disk.sync_names().unwrap();
        let (_, recovered) = open(&disk, applied).unwrap();
        assert!(recovered.records.ends_with(&records(10..20)), "{kept:b}");
    }
}

#[test]
fn a_missing_segment_that_was_not_applied_is_found() {
    let disk = SimulatedDisk::default();
    let (mut log, applied) = two_rounds(&disk);
    log.forget(applied).unwrap();
    drop(log);
    let error = open(&disk, Lsn(applied.0 - 1)).unwrap_err();
    assert!(matches!(&error, Error::Corrupt(it) if it.detail.contains("missing")), "{error}");
}

#[test]
fn a_segment_that_is_written_over_shows_nothing_of_what_it_held() {
    for cut in [false, true] {
        let disk = SimulatedDisk::default();
        let (mut log, applied) = two_rounds(&disk);
        log.forget(applied).unwrap();
        assert!(disk.names().unwrap().iter().any(|name| name == "spare.tmp"));
        log.roll().unwrap();
        let applied = log.last();
        log.append(records(20..21));
        log.commit().unwrap();
        drop(log);
        if cut {
            disk.cut_power(|| false);
        }
        let (log, recovered) = open(&disk, applied).unwrap();
        assert_eq!(recovered.records, records(20..21));
        assert!(log.disk().names().unwrap().iter().all(|name| !name.ends_with(".tmp")));
    }
}
