//! The store in a folder: the suite, crashes, and files that cannot be used.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use flow_control_plane::store::{
    Batch, Error, FORMAT_VERSION, Leadership, Store, Write,
    redb::{FILE, LOG, Redb},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use redb::StorageBackend;
use runtime::journal::simulated::SimulatedDisk;

use super::{random_history, suite};

/// Set for the child of `a_killed_process_leaves_whole_groups_in_order`: the folder it writes to.
const CHILD: &str = "FLOW_STORE_CHILD";

#[tokio::test]
async fn passes_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let store = Redb::open(&folder.path().join("made/on/demand")).await.unwrap();
    suite(&store).await;
}

#[tokio::test]
async fn random_histories_survive_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = Redb::open(folder.path()).await.unwrap();
    let reopen = async |store: Redb| {
        store.close().await.unwrap();
        Redb::open(folder.path()).await.unwrap()
    };
    random_history(store, reopen, 150).await;
}

#[tokio::test]
async fn closing_finishes_what_waits_and_ends_all_handles() {
    let folder = tempfile::tempdir().unwrap();
    let store = Redb::open(folder.path()).await.unwrap();
    assert_eq!(*store.leadership().borrow(), Leadership::Leader { term: 0 });
    let commits: Vec<_> = (0..50)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(Batch::one(vec![Write::put(format!("{n:02}"), "")])).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    let mut acknowledged = 0;
    for commit in commits {
        match commit.await.unwrap() {
            Ok(()) => acknowledged += 1,
            Err(error) => assert_eq!(error, Error::Closed),
        }
    }
    assert_eq!(store.get(b"00").await, Err(Error::Closed));
    let store = Redb::open(folder.path()).await.unwrap();
    assert_eq!(store.scan(b"", None, 99).await.unwrap().len(), acknowledged);
    assert!(acknowledged > 0);
}

#[tokio::test]
async fn a_store_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = Redb::open(folder.path()).await.unwrap();
    let error = Redb::open(folder.path()).await.unwrap_err();
    assert!(matches!(&error, Error::Locked { path } if path.ends_with(FILE)), "{error}");
    first.close().await.unwrap();
    Redb::open(folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    for path in [blocked.join("below"), Path::new("/proc/flow").to_path_buf()] {
        let error = Redb::open(&path).await.unwrap_err();
        assert!(matches!(&error, Error::NotWritable { .. }), "{error}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()) && error.to_string().contains("--data-dir"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_damaged_file_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let store = Redb::open(folder.path()).await.unwrap();
    store.commit(Batch::one((0..500).map(|n| Write::put(format!("{n:03}"), vec![7; 500])).collect())).await.unwrap();
    store.close().await.unwrap();
    let whole = fs::read(&path).unwrap();
    let needle = whole.windows(400).position(|window| window == [7; 400]).unwrap();
    let mut flipped = whole.clone();
    flipped[needle + 200] ^= 1;
    let cut = whole[..whole.len() / 2].to_vec();
    for (what, bytes) in [("no store at all", b"hello".repeat(2000)), ("cut", cut), ("a flipped bit", flipped)] {
        fs::write(&path, &bytes).unwrap();
        let error = Redb::open(folder.path()).await.expect_err(what);
        assert!(matches!(&error, Error::Corrupt { place, .. } if place.ends_with(FILE)), "{what}: {error}");
        assert!(error.to_string().contains("backup"), "{what}: {error}");
    }
    fs::write(&path, &whole).unwrap();
    let store = Redb::open(folder.path()).await.unwrap();
    assert_eq!(store.scan(b"", None, 999).await.unwrap().len(), 500);
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Redb::open(folder.path()).await.unwrap().close().await.unwrap();
    let database = redb::Database::open(folder.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    let format = redb::TableDefinition::<&str, u32>::new("format");
    transaction.open_table(format).unwrap().insert("version", FORMAT_VERSION + 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Redb::open(folder.path()).await.unwrap_err();
    assert!(matches!(error, Error::NewerFormat { found, .. } if found == FORMAT_VERSION + 1), "{error}");
}

/// Each group writes one number to two keys; each batch has three groups.
fn numbered(batch: u32) -> Batch {
    let group = |n: u32| vec![Write::put(format!("a/{n:06}"), "x"), Write::put(format!("b/{n:06}"), vec![b'y'; 3000])];
    Batch { groups: (batch * 3..batch * 3 + 3).map(group).collect() }
}

/// Whole groups, without a gap, and all of those acknowledged.
async fn assert_prefix(store: &Redb, acknowledged: u32, what: &str) -> u32 {
    let found = store.scan(b"a/", None, usize::MAX).await.unwrap();
    let other = store.scan(b"b/", None, usize::MAX).await.unwrap();
    let keys = |entries: &[super::Entry]| entries.iter().map(|(key, _)| key.slice(2..)).collect::<Vec<_>>();
    assert_eq!(keys(&found), keys(&other), "{what}: a group was torn");
    assert!(found.iter().enumerate().all(|(n, (key, _))| *key == format!("a/{n:06}")), "{what}: a group is missing");
    assert!(found.len() as u32 >= acknowledged * 3, "{what}: {} groups of {acknowledged} batches", found.len());
    found.len() as u32 / 3
}

#[tokio::test]
async fn a_killed_process_leaves_whole_groups_in_order() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let store = Redb::open(Path::new(&folder)).await.unwrap();
        let first = store.scan(b"a/", None, usize::MAX).await.unwrap().len() as u32 / 3;
        for batch in first.. {
            store.commit(numbered(batch)).await.unwrap();
            println!("acknowledged {}", batch + 1);
        }
    }
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::redb::a_killed_process_leaves_whole_groups_in_order", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (enough, mut seen) = (random.random_range(1..40), 0);
        let spin = Duration::from_micros(random.random_range(0..2000));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        for line in lines {
            let Some(number) = line.split("acknowledged ").nth(1) else {
                continue;
            };
            acknowledged = number.parse().unwrap();
            seen += 1;
            if seen == enough {
                // Some moment of the next commit.
                let start = Instant::now();
                while start.elapsed() < spin {
                    std::hint::spin_loop();
                }
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= enough, "seed {seed}: the child ended by itself");
        let store = Redb::open(folder.path()).await.unwrap();
        assert_prefix(&store, acknowledged, &format!("seed {seed}, round {round}")).await;
        store.close().await.unwrap();
    }
}

/// A disk that forgets: what was written since the last sync may be lost at a crash, each page for itself.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<DiskState>>);

#[derive(Debug, Clone, Default)]
struct DiskState {
    synced: Vec<u8>,
    current: Vec<u8>,
    unsynced: BTreeMap<u64, ()>,
    /// Writes and syncs left until the power fails.
    left: usize,
}

const SECTOR: usize = 512;

impl Disk {
    fn step(&self) -> io::Result<std::sync::MutexGuard<'_, DiskState>> {
        let mut state = self.0.lock().unwrap();
        state.left = state.left.checked_sub(1).ok_or_else(|| io::Error::other("no power"))?;
        Ok(state)
    }

    /// What is found after the crash: of the sectors that were not synced, any.
    fn crash(&self, random: &mut StdRng) -> Self {
        let state = self.0.lock().unwrap();
        let mut synced = state.synced.clone();
        if random.random() {
            synced.resize(state.current.len().max(synced.len()), 0);
        }
        for &sector in state.unsynced.keys() {
            let (start, end) = (sector as usize * SECTOR, ((sector as usize + 1) * SECTOR).min(state.current.len()));
            if end <= synced.len() && start < end && random.random() {
                synced[start..end].copy_from_slice(&state.current[start..end]);
            }
        }
        Self(Arc::new(Mutex::new(DiskState {
            current: synced.clone(),
            synced,
            left: usize::MAX,
            ..DiskState::default()
        })))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.lock().unwrap().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.0.lock().unwrap();
        let found = state.current.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(found.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.step()?.current.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut state = self.step()?;
        state.synced = state.current.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut state = self.step()?;
        let (start, end) = (offset as usize, offset as usize + data.len());
        state
            .current
            .get_mut(start..end)
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?
            .copy_from_slice(data);
        state.unsynced.extend((start / SECTOR..end.div_ceil(SECTOR)).map(|sector| (sector as u64, ())));
        Ok(())
    }
}

/// A store that has failed lets go by itself.
async fn until_closed(store: Redb) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.get(b"absent").await != Err(Error::Closed) {
        assert!(Instant::now() < deadline, "a store that failed stays open");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_power_cut_at_any_write_leaves_whole_groups_in_order() {
    let seed =
        std::env::var("FLOW_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| rand::rng().random());
    println!("FLOW_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cuts_in_commits = 0;
    for round in 0..60 {
        let what = format!("seed {seed}, round {round}");
        let (disk, log) = (Disk::default(), SimulatedDisk::default());
        disk.0.lock().unwrap().left = usize::MAX;
        // so few bytes are worth a transaction that redb's disk fails as often as the log's
        let worth = random.random_range(1..60_000);
        let store = Redb::open_backend(disk.clone(), log.clone(), worth, "disk").await.unwrap();
        disk.0.lock().unwrap().left = random.random_range(0..400);
        log.stop_after(random.random_range(0..60));
        let mut acknowledged = 0;
        let error = loop {
            match store.commit(numbered(acknowledged)).await {
                Ok(()) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::Io { .. }), "{what}: {error}");
        // Final: nothing may overtake the batch whose fate is unknown.
        disk.0.lock().unwrap().left = usize::MAX;
        log.restart();
        assert!(store.commit(numbered(acknowledged + 1)).await.is_err(), "{what}");
        assert!(matches!(&*store.leadership().borrow(), Leadership::Lost { .. }), "{what}");
        until_closed(store).await;
        log.cut_power(|| random.random());
        let store = Redb::open_backend(disk.crash(&mut random), log, worth, "disk").await.unwrap();
        let found = assert_prefix(&store, acknowledged, &what).await;
        assert!(found <= acknowledged + 1, "{what}");
        cuts_in_commits += u32::from(acknowledged > 0);
        store.commit(numbered(found)).await.unwrap();
    }
    assert!(cuts_in_commits > 20, "seed {seed}: the power hardly ever failed in a commit");
}

/// Puts some keys, and ends without applying them, as a crash does.
async fn crashed(disk: &SimulatedDisk, backend: &Disk) {
    backend.0.lock().unwrap().left = usize::MAX;
    let store = Redb::open_backend(backend.clone(), disk.clone(), 1 << 20, "disk").await.unwrap();
    for n in 0..20 {
        store.commit(numbered(n)).await.unwrap();
    }
    // its end is not to be written
    disk.stop_after(0);
    assert!(store.commit(numbered(99)).await.is_err());
    until_closed(store).await;
    disk.restart();
}

#[tokio::test]
async fn what_was_not_applied_is_in_the_log() {
    let (log, backend) = (SimulatedDisk::default(), Disk::default());
    crashed(&log, &backend).await;
    for life in 0..3 {
        let store = Redb::open_backend(backend.clone(), log.clone(), 1 << 20, "disk").await.unwrap();
        assert_prefix(&store, 20, &format!("life {life}")).await;
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_or_missing_log_is_an_error_that_names_the_place() {
    let (log, backend) = (SimulatedDisk::default(), Disk::default());
    crashed(&log, &backend).await;
    let damaged = log.copy();
    damaged.damage("0000000000000001.segment", |bytes| bytes[20_000] ^= 1);
    let error = Redb::open_backend(backend.clone(), damaged, 1 << 20, "disk").await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt { place, .. } if place.contains("0000000000000001.segment")), "{error}");
    assert!(error.to_string().contains("at byte"), "{error}");

    Redb::open_backend(backend.clone(), log, 1 << 20, "disk").await.unwrap().close().await.unwrap();
    let error = Redb::open_backend(backend, SimulatedDisk::default(), 1 << 20, "disk").await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("log does not have"), "{error}");
}

#[tokio::test]
async fn what_goes_again_soon_never_reaches_redb() {
    let folder = tempfile::tempdir().unwrap();
    let store = Redb::open(folder.path()).await.unwrap();
    for n in 0..40 {
        store.commit(Batch::one(vec![Write::put(format!("{n:02}"), vec![7; 100_000])])).await.unwrap();
        assert_eq!(store.get(format!("{n:02}").as_bytes()).await.unwrap().map(|it| it.len()), Some(100_000));
        store.commit(Batch::one(vec![Write::delete(format!("{n:02}"))])).await.unwrap();
    }
    assert_eq!(store.scan(b"", None, 9).await, Ok(Vec::new()));
    store.close().await.unwrap();
    let bytes = fs::read(folder.path().join(FILE)).unwrap();
    assert!(!bytes.windows(400).any(|window| window == [7; 400]));
    let left: u64 =
        fs::read_dir(folder.path().join(LOG)).unwrap().map(|it| it.unwrap().metadata().unwrap().len()).sum();
    assert!(left < 3 << 20, "the log was not forgotten: {left} bytes");
}

#[tokio::test]
async fn a_file_of_an_older_store_that_lost_its_end_is_not_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    Redb::open(folder.path()).await.unwrap().close().await.unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(folder.path().join(FILE)).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&[0; 64]).unwrap();
    assert!(matches!(Redb::open(folder.path()).await.unwrap_err(), Error::Corrupt { .. }));
}
