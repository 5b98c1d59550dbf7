//! A disk without room.

use super::*;

#[test]
fn a_full_disk_is_said_early_and_a_checkpoint_makes_room() {
    let disk = SimulatedDisk::default();
    let mut log = written(&disk, 1);
    disk.set_capacity(Some(disk.used() + 600));
    let mut accepted = 1;
    while log.status() == Status::Running {
        let last = log.append(records(accepted..accepted + 1));
        assert_eq!(log.commit().unwrap(), last, "full is said before an append fails");
        log.maintain().unwrap();
        accepted += 1;
        assert!(accepted < 100, "the disk never gets full");
    }

    // What is under way can still be finished, on the ground that was prepared.
    let last = log.append(vec![record("release")]);
    assert_eq!(log.commit().unwrap(), last);

    // Then nothing goes any more, nothing is lost, and nothing is acknowledged that is not there.
    let mut waiting = last;
    while log.commit().unwrap() == waiting {
        waiting = log.append(vec![record("x".repeat(50))]);
    }
    assert_eq!(log.status(), Status::Full);
    assert!(log.commit().unwrap() < waiting);

    // The reserve takes a checkpoint, which covers what was waiting, too.
    let live = vec![record("live")];
    assert!(log.checkpoint(&live).unwrap());
    assert_eq!(log.commit().unwrap(), waiting);
    log.maintain().unwrap();
    assert_eq!(log.status(), Status::Running);
    disk.cut_power(|| false);
    assert_eq!(reopen(&disk).unwrap().1.records, live);
}

#[test]
fn a_checkpoint_that_does_not_fit_leaves_everything_as_it_is() {
    let disk = SimulatedDisk::default();
    let mut log = written(&disk, 5);
    disk.set_capacity(Some(disk.used()));
    let live = vec![record("x".repeat(4000))];
    assert!(!log.checkpoint(&live).unwrap());
    assert_eq!(log.status(), Status::Full);
    disk.set_capacity(None);
    log.append(records(5..6));
    log.commit().unwrap();
    log.maintain().unwrap();
    assert_eq!(log.status(), Status::Running);
    disk.cut_power(|| false);
    assert_eq!(reopen(&disk).unwrap().1.records, records(0..6));
}

#[test]
fn a_journal_opens_on_a_full_disk() {
    let disk = SimulatedDisk::default();
    drop(written(&disk, 5));
    disk.set_capacity(Some(disk.used() + 100));
    assert_eq!(reopen(&disk).unwrap().1.records, records(0..5));
}

#[test]
fn the_limit_makes_it_full_until_a_checkpoint() {
    let disk = SimulatedDisk::default();
    let options = Options { max_bytes: 1000, ..small() };
    let (mut log, _) = Log::open(disk, options, 7, 9).unwrap();
    let mut n = 0;
    while log.status() == Status::Running {
        log.append(records(n..n + 1));
        log.commit().unwrap();
        n += 1;
    }
    assert!((5..20).contains(&n), "{n} records of some 60 bytes");
    assert!(log.checkpoint(&records(0..1)).unwrap());
    assert_eq!(log.status(), Status::Running);
}
