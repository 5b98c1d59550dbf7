//! The suite that every store passes, and what is particular to each.

#[cfg(feature = "etcd")]
mod etcd;
#[cfg(feature = "etcd")]
mod etcd_server;
mod redb;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use flow_control_plane::store::{Batch, Entry, Error, Leadership, Location, MAX_KEY, Store, Write};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::watch;

/// Everything that does not depend on where the store is. The store must be empty.
async fn suite(store: &impl Store) {
    empty_store_answers(store).await;
    commits_are_read_back(store).await;
    scans_are_ordered_bounded_and_paged(store).await;
    the_last_write_of_a_key_wins(store).await;
    large_values_come_back(store).await;
    large_batches_and_groups_are_committed(store).await;
    concurrent_commits_all_land(store).await;
    bad_keys_are_refused(store).await;
}

async fn empty_store_answers(store: &impl Store) {
    assert_eq!(store.get(b"absent").await, Ok(None));
    assert_eq!(store.scan(b"", None, 10).await, Ok(Vec::new()));
    assert_eq!(store.commit(Batch::default()).await, Ok(()));
    assert_eq!(store.commit(Batch::one(vec![Write::delete("absent")])).await, Ok(()));
    assert!(store.size().await.unwrap() > 0);
}

async fn commits_are_read_back(store: &impl Store) {
    let binary = Bytes::from_static(&[0, 255, 1, 254]);
    let mut batch = Batch::one(vec![Write::put("a", "1"), Write::put(binary.clone(), "")]);
    batch.push(vec![]);
    batch.push(vec![Write::put("b", "2")]);
    store.commit(batch).await.unwrap();
    assert_eq!(store.get(b"a").await.unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(store.get(&binary).await.unwrap().as_deref(), Some(&b""[..]));
    store.commit(Batch::one(vec![Write::delete("a"), Write::put("b", "3")])).await.unwrap();
    assert_eq!(store.get(b"a").await, Ok(None));
    assert_eq!(store.get(b"b").await.unwrap().as_deref(), Some(&b"3"[..]));
    clear(store).await;
}

async fn scans_are_ordered_bounded_and_paged(store: &impl Store) {
    let names = ["p", "p/", "p/1", "p/10", "p/2", "p/\u{ff}", "p0", "q"];
    let mut group: Vec<Write> = names.iter().rev().map(|name| Write::put(*name, *name)).collect();
    group.push(Write::put(vec![0xff, 0xff, 1], "high"));
    store.commit(Batch::one(group)).await.unwrap();
    let keys = |entries: Vec<Entry>| -> Vec<Vec<u8>> { entries.into_iter().map(|(key, _)| key.to_vec()).collect() };
    let named = |names: &[&str]| -> Vec<Vec<u8>> { names.iter().map(|name| name.as_bytes().to_vec()).collect() };
    let scan = async |prefix: &[u8], after: Option<&[u8]>, limit| keys(store.scan(prefix, after, limit).await.unwrap());
    assert_eq!(scan(b"p/", None, 9).await, named(&["p/", "p/1", "p/10", "p/2", "p/\u{ff}"]));
    assert_eq!(scan(b"p/", Some(b"p/1"), 2).await, named(&["p/10", "p/2"]));
    assert_eq!(scan(b"p/", Some(b"p/11"), 1).await, named(&["p/2"]), "`after` need not exist");
    assert_eq!(scan(b"p/", Some(b"a"), 1).await, named(&["p/"]), "before the prefix");
    assert!(scan(b"p/", Some(b"q"), 9).await.is_empty(), "behind the prefix");
    assert!(scan(b"p/", None, 0).await.is_empty());
    assert_eq!(scan(&[0xff, 0xff], None, 9).await, [vec![0xff, 0xff, 1]], "a prefix without an end");
    assert_eq!(scan(b"", None, 99).await.len(), 9);
    clear(store).await;
    let group = (0..3000u32).map(|n| Write::put(format!("n/{n:05}"), vec![b'x'; n as usize % 700])).collect();
    store.commit(Batch::one(group)).await.unwrap();
    let all = store.scan(b"n/", None, usize::MAX).await.unwrap();
    assert_eq!(all.len(), 3000);
    assert!((0..3000).all(|n| all[n].0 == format!("n/{n:05}") && all[n].1.len() == n % 700));
    assert_eq!(pages(store, b"n/", 701).await, all);
    clear(store).await;
}

async fn the_last_write_of_a_key_wins(store: &impl Store) {
    let large = vec![1; 2 << 20];
    let batch = Batch {
        groups: vec![
            vec![Write::put("k", "1"), Write::put("k", "2"), Write::put("gone", "1"), Write::delete("gone")],
            vec![Write::put("k", large.clone()), Write::delete("back"), Write::put("back", "1")],
            vec![Write::put("k", "4")],
        ],
    };
    store.commit(batch).await.unwrap();
    let found = store.scan(b"", None, 9).await.unwrap();
    assert_eq!(found, [("back".into(), "1".into()), ("k".into(), "4".into())]);
    clear(store).await;
}

async fn large_values_come_back(store: &impl Store) {
    let value = |seed: u8, bytes: usize| -> Bytes { (0..bytes).map(|n| (n % 251) as u8 ^ seed).collect() };
    let sizes = [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20];
    let group = sizes.iter().map(|&bytes| Write::put(format!("big/{bytes:08}"), value(1, bytes))).collect();
    store.commit(Batch::one(group)).await.unwrap();
    store.commit(Batch::one(vec![Write::put("big", "small"), Write::put("bigger", "small")])).await.unwrap();
    for bytes in sizes {
        assert_eq!(store.get(format!("big/{bytes:08}").as_bytes()).await.unwrap(), Some(value(1, bytes)));
    }
    let found = store.scan(b"big/", None, 9).await.unwrap();
    assert!(found.iter().zip(sizes).all(|((_, found), bytes)| *found == value(1, bytes)) && found.len() == 4);
    // Replaced by a large one, by a small one, deleted.
    let (key, other) = (format!("big/{:08}", 3 << 20), format!("big/{:08}", (1 << 20) + 1));
    store.commit(Batch::one(vec![Write::put(key.clone(), value(2, 4 << 20))])).await.unwrap();
    assert_eq!(store.get(key.as_bytes()).await.unwrap(), Some(value(2, 4 << 20)));
    store.commit(Batch::one(vec![Write::put(key.clone(), "small"), Write::delete(other.clone())])).await.unwrap();
    assert_eq!(store.get(key.as_bytes()).await.unwrap().as_deref(), Some(&b"small"[..]));
    assert_eq!(store.get(other.as_bytes()).await, Ok(None));
    clear(store).await;
    // Many of middle size: no page of a scan fits them all.
    let middle: Vec<Write> = (0..40).map(|n| Write::put(format!("m/{n:02}"), value(n, 900_000))).collect();
    store.commit(Batch { groups: middle.chunks(3).map(<[Write]>::to_vec).collect() }).await.unwrap();
    let found = store.scan(b"m/", None, 99).await.unwrap();
    assert!(found.iter().zip(0..).all(|((_, found), n)| *found == value(n, 900_000)) && found.len() == 40);
    clear(store).await;
}

async fn large_batches_and_groups_are_committed(store: &impl Store) {
    let write = |kind: &str, n: usize| Write::put(format!("{kind}/{n:04}"), n.to_string());
    store.commit(Batch { groups: (0..1000).map(|n| vec![write("single", n)]).collect() }).await.unwrap();
    store.commit(Batch::one((0..1000).map(|n| write("together", n)).collect())).await.unwrap();
    store
        .commit(Batch { groups: (0..8).map(|g| (0..125).map(|n| write("eight", g * 125 + n)).collect()).collect() })
        .await
        .unwrap();
    for kind in ["single", "together", "eight"] {
        let found = store.scan(kind.as_bytes(), None, 2000).await.unwrap();
        assert_eq!(found.len(), 1000, "{kind}");
        assert!(found.iter().enumerate().all(|(n, (_, value))| *value == n.to_string()), "{kind}");
    }
    clear(store).await;
}

async fn concurrent_commits_all_land(store: &impl Store) {
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    let key = format!("c/{task:02}/{n}");
                    store.commit(Batch::one(vec![Write::put(key.clone(), "x")])).await.unwrap();
                    assert!(store.get(key.as_bytes()).await.unwrap().is_some(), "a commit is seen once it returns");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.scan(b"c/", None, 1000).await.unwrap().len(), 640);
    clear(store).await;
}

async fn bad_keys_are_refused(store: &impl Store) {
    for key in [0, MAX_KEY + 1] {
        let batch = Batch { groups: vec![vec![Write::put("fine", "")], vec![Write::put(vec![1; key], "")]] };
        assert_eq!(store.commit(batch).await, Err(Error::Limit { key, value: 0 }));
    }
    assert_eq!(store.get(b"fine").await, Ok(None), "nothing of it was written");
    store.commit(Batch::one(vec![Write::put(vec![1; MAX_KEY], "")])).await.unwrap();
    clear(store).await;
}

/// Random commits against a model; `reopen` gives the store as it is after a restart.
async fn random_history<S: Store>(mut store: S, reopen: impl AsyncFn(S) -> S, rounds: usize) -> S {
    let seed =
        std::env::var("FLOW_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| rand::rng().random());
    println!("FLOW_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut model = BTreeMap::<Bytes, Bytes>::new();
    for round in 0..rounds {
        let mut batch = Batch::default();
        for _ in 0..random.random_range(0..5) {
            let writes = if random.random_ratio(1, 20) { 300 } else { random.random_range(0..8) };
            batch.push((0..writes).map(|_| random_write(&mut random)).collect());
        }
        for Write { key, value } in batch.groups.iter().flatten().cloned() {
            match value {
                Some(value) => drop(model.insert(key, value)),
                None => drop(model.remove(&key)),
            }
        }
        store.commit(batch).await.unwrap();
        let key = random_write(&mut random).key;
        assert_eq!(store.get(&key).await.unwrap().as_ref(), model.get(&key), "seed {seed}, round {round}");
        if random.random_ratio(1, 25) {
            store = reopen(store).await;
        }
        if random.random_ratio(1, 10) || round + 1 == rounds {
            let limit = random.random_range(1..40);
            let expected: Vec<Entry> = model.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            assert!(pages(&store, b"", limit).await == expected, "seed {seed}, round {round}");
        }
    }
    store
}

fn random_write(random: &mut StdRng) -> Write {
    let key: Vec<u8> =
        (0..random.random_range(1..4)).map(|_| [0, b'a', b'b', b'/', 255][random.random_range(0..5)]).collect();
    if random.random_ratio(1, 3) {
        return Write::delete(key);
    }
    let bytes = match random.random_range(0..200) {
        0 => random.random_range(1 << 20..3 << 20),
        1..20 => random.random_range(0..100_000),
        _ => random.random_range(0..200),
    };
    Write::put(key, vec![random.random::<u8>(); bytes])
}

/// A whole scan, page by page.
async fn pages(store: &impl Store, prefix: &[u8], limit: usize) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    loop {
        let after = all.last().map(|(key, _)| key.clone());
        let page = store.scan(prefix, after.as_deref(), limit).await.unwrap();
        let last = page.len() < limit;
        all.extend(page);
        if last {
            return all;
        }
    }
}

async fn clear(store: &impl Store) {
    let all = store.scan(b"", None, usize::MAX).await.unwrap();
    store.commit(Batch::one(all.into_iter().map(|(key, _)| Write::delete(key)).collect())).await.unwrap();
    assert_eq!(store.scan(b"", None, 1).await, Ok(Vec::new()));
}

/// Waits for a state of the leadership, with a deadline.
async fn until(
    mut leadership: watch::Receiver<Leadership>,
    what: &str,
    wanted: impl Fn(&Leadership) -> bool,
) -> Leadership {
    let state = tokio::time::timeout(Duration::from_secs(60), leadership.wait_for(wanted)).await;
    state.unwrap_or_else(|_| panic!("not within 60 s: {what}")).expect("the store is open").clone()
}

#[test]
fn locations_are_understood_or_refused_with_the_reason() {
    let etcd = |endpoints: &[&str], prefix: &str| {
        let endpoints = endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect();
        Ok(Location::Etcd { endpoints, prefix: prefix.to_owned() })
    };
    assert_eq!("etcd://h:2379".parse(), etcd(&["h:2379"], "/flow"));
    assert_eq!("etcd://h:1,[::1]:2/a/b/".parse(), etcd(&["h:1", "[::1]:2"], "/a/b"));
    for (text, reason) in [
        ("h:2379", "does not begin"),
        ("etcd://", "port is missing"),
        ("etcd://h", "port is missing"),
        ("etcd://h:x", "not a number"),
        ("etcd://:1", "host is missing"),
        ("etcd://h:1,", "port is missing"),
        ("etcd://u:p@h:1", "malformed"),
        ("etcd://h:1/a?b", "options"),
    ] {
        let message = text.parse::<Location>().unwrap_err().to_string();
        assert!(message.contains(reason) && message.contains(&format!("`{text}`")), "{text}: {message}");
    }
}
