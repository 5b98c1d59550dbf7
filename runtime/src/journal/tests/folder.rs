//! The journal with its thread, on the real disk.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;

/// One append for each record; the last one's position.
fn append_each(journal: &Journal, range: std::ops::Range<u64>) -> Lsn {
    let mut last = Lsn::default();
    for n in range {
        last = journal.append(records(n..n + 1));
    }
    last
}

async fn until(journal: &Journal, lsn: Lsn) {
    let mut durable = journal.durable();
    let reached = tokio::time::timeout(Duration::from_secs(20), durable.wait_for(|at| *at >= lsn));
    reached.await.expect("durable in time").expect("the writer lives");
}

#[tokio::test]
async fn what_was_appended_is_there_after_closing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data/journal");
    let (journal, first) = open(&dir, small()).unwrap();
    assert_eq!((first.boot, first.records.len()), (1, 0));
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let lsn = append_each(&journal, 0..100);
    assert_eq!(lsn, Lsn(100));
    until(&journal, lsn).await;
    assert!(journal.bytes() > 1000);
    journal.append(records(100..101));
    journal.close().unwrap();

    let (journal, second) = open(&dir, small()).unwrap();
    assert_eq!((second.boot, second.identity), (2, first.identity));
    assert_eq!(second.records, records(0..101));
    let lsn = journal.checkpoint(records(50..101));
    journal.append(records(101..102));
    until(&journal, lsn).await;
    drop(journal);
    assert_eq!(open(&dir, small()).unwrap().1.records, records(50..102));
}

#[tokio::test]
async fn appends_that_gather_share_a_sync() {
    let disk = SimulatedDisk::default();
    let (log, _) = reopen(&disk).unwrap();
    let before = disk.syncs();
    let journal = Journal::start(log, &small()).unwrap();
    let lsn = append_each(&journal, 0..5000);
    assert_eq!(lsn, Lsn(5000));
    until(&journal, lsn).await;
    let syncs = disk.syncs() - before;
    assert!(syncs < 4000, "{syncs} syncs for 5000 appends");
    assert_eq!(journal.backlog(), 0);
    assert!(journal.has_room());
}

#[tokio::test]
async fn a_failed_sync_is_published_and_nothing_is_acknowledged_after_it() {
    let disk = SimulatedDisk::default();
    let (mut log, _) = reopen(&disk).unwrap();
    log.maintain().unwrap();
    disk.fail_next_sync();
    let journal = Journal::start(log, &small()).unwrap();
    let lsn = journal.append(records(0..1));
    let mut status = journal.status();
    let failed = status.wait_for(|status| matches!(status, Status::Failed(_)));
    tokio::time::timeout(Duration::from_secs(20), failed).await.unwrap().unwrap();
    assert!(*journal.durable().borrow() < lsn);
    assert!(!journal.has_room());
    journal.append(records(1..2));
    let error = journal.close().unwrap_err();
    assert!(error.to_string().contains("simulated input/output error"), "{error}");
}

#[tokio::test]
async fn what_is_appended_at_once_is_durable_at_once_and_keeps_its_place() {
    let disk = SimulatedDisk::default();
    let (log, _) = reopen(&disk).unwrap();
    let journal = Journal::start(log, &small()).unwrap();
    let (mut at_once, mut n) = (0, 0);
    while at_once < 100 {
        for _ in 0..n % 3 {
            journal.append(records(n..n + 1));
            n += 1;
        }
        let lsn = journal.append_at_once(records(n..n + 1));
        at_once += u64::from(*journal.durable().borrow() >= lsn);
        n += 1;
        assert_eq!(lsn, Lsn(n));
        until(&journal, lsn).await;
        assert!(n < 1_000_000, "never at once");
    }
    assert_eq!(journal.backlog(), 0);
    journal.close().unwrap();
    assert_eq!(reopen(&disk).unwrap().1.records, records(0..n));
}

#[tokio::test]
async fn a_failed_sync_at_once_ends_the_journal() {
    let disk = SimulatedDisk::default();
    let (mut log, _) = reopen(&disk).unwrap();
    log.maintain().unwrap();
    let journal = Journal::start(log, &small()).unwrap();
    disk.fail_next_sync();
    let lsn = journal.append_at_once(records(0..1));
    let mut status = journal.status();
    let failed = status.wait_for(|status| matches!(status, Status::Failed(_)));
    tokio::time::timeout(Duration::from_secs(20), failed).await.unwrap().unwrap();
    assert!(*journal.durable().borrow() < lsn);
    journal.append_at_once(records(1..2));
    let error = journal.close().unwrap_err();
    assert!(error.to_string().contains("simulated input/output error"), "{error}");
}

#[test]
fn what_a_checkpoint_replaces_is_written_over_unless_the_disk_is_full() {
    let disk = SimulatedDisk::default();
    let mut log = written(&disk, 5);
    assert!(log.checkpoint(&records(0..5)).unwrap());
    assert!(disk.names().unwrap().iter().any(|name| name == "spare.tmp"));
    for n in 5..9 {
        log.append(records(n..n + 1));
        log.commit().unwrap();
        assert!(log.checkpoint(&records(0..n + 1)).unwrap());
    }
    drop(log);
    disk.cut_power(|| false);
    assert_eq!(reopen(&disk).unwrap().1.records, records(0..9));
}

#[tokio::test]
async fn a_full_disk_is_a_status_and_goes_on_when_there_is_room() {
    let disk = SimulatedDisk::default();
    let (mut log, _) = reopen(&disk).unwrap();
    log.maintain().unwrap();
    disk.set_capacity(Some(disk.used()));
    let journal = Journal::start(log, &small()).unwrap();
    let lsn = journal.append(vec![record("x".repeat(10_000))]);
    let mut status = journal.status();
    let full = status.wait_for(|status| *status == Status::Full);
    tokio::time::timeout(Duration::from_secs(20), full).await.unwrap().unwrap();
    assert!(!journal.has_room());
    disk.set_capacity(None);
    until(&journal, lsn).await;
    let running = status.wait_for(|status| *status == Status::Running);
    tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
}

#[test]
fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path(), small()).unwrap();
    let error = open(dir.path(), small()).unwrap_err();
    let expected = format!("(pid {})", std::process::id());
    assert!(matches!(error, Error::Locked { .. }) && error.to_string().contains(&expected));
    journal.close().unwrap();
    open(dir.path(), small()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_used_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    for path in [file.join("journal"), file, "/proc/journal".into()] {
        let error = open(&path, small()).unwrap_err();
        assert!(matches!(error, Error::Folder { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}
