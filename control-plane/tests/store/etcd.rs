//! The store in etcd, against a real server: the suite, who leads, and what happens when etcd or the lease goes away.

use std::time::Duration;

use etcd_client::{Client, DeleteOptions, GetOptions};
use flow_control_plane::store::{Batch, Error, FORMAT_VERSION, Leadership, Store, Write, etcd::Etcd};

use super::{etcd_server::EtcdServer, random_history, suite, until};

/// Long: on a busy machine etcd may be silent for seconds, and only some tests are about that.
const LEASE: Duration = Duration::from_secs(20);
/// For tests that wait for its end.
const SHORT_LEASE: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_secs(60);

async fn open(server: &EtcdServer, name: &str, lease: Duration) -> Etcd {
    Etcd::open(&[server.endpoint()], "/mesh", name, lease).await.unwrap()
}

async fn leading(server: &EtcdServer, name: &str) -> (Etcd, u64) {
    let store = open(server, name, LEASE).await;
    let Leadership::Leader { term } = until(store.leadership(), "leads", leads).await else { unreachable!() };
    (store, term)
}

fn leads(state: &Leadership) -> bool {
    matches!(state, Leadership::Leader { .. })
}

fn lost(state: &Leadership) -> bool {
    matches!(state, Leadership::Lost { .. })
}

async fn raw(server: &EtcdServer) -> Client {
    Client::connect([server.endpoint()], None).await.unwrap()
}

async fn count(server: &EtcdServer, prefix: &str) -> i64 {
    let options = GetOptions::new().with_prefix().with_count_only();
    raw(server).await.get(prefix, Some(options)).await.unwrap().count()
}

fn one(key: &str, value: impl Into<bytes::Bytes>) -> Batch {
    Batch::one(vec![Write::put(key.to_owned(), value)])
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn passes_the_suite() {
    let server = EtcdServer::start("store::etcd::passes_the_suite");
    let (store, _) = leading(&server, "one").await;
    suite(&store).await;
    assert_eq!(
        count(&server, "/mesh/piece/").await + count(&server, "/mesh/intent/").await,
        0,
        "nothing is left behind"
    );
    // Another prefix is another store.
    let other = Etcd::open(&[server.endpoint()], "/mesh2", "two", LEASE).await.unwrap();
    until(other.leadership(), "leads", leads).await;
    other.commit(one("k", "other")).await.unwrap();
    assert_eq!(store.get(b"k").await, Ok(None));
    assert_eq!(count(&server, "/mesh2/data/").await, 1);
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn random_histories_survive_reopening() {
    let server = EtcdServer::start("store::etcd::random_histories_survive_reopening");
    let reopen = async |store: Etcd| {
        store.close().await.unwrap();
        leading(&server, "again").await.0
    };
    let (store, _) = leading(&server, "first").await;
    let store = random_history(store, reopen, 100).await;
    store.close().await.unwrap();
    assert_eq!(store.commit(one("k", "v")).await, Err(Error::Closed));
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn one_leads_the_other_stands_by_and_takes_over() {
    let server = EtcdServer::start("store::etcd::one_leads_the_other_stands_by_and_takes_over");
    let (first, term) = leading(&server, "first:9001").await;
    first.commit(one("k", "1")).await.unwrap();
    let second = open(&server, "second:9001", LEASE).await;
    let named =
        |state: &Leadership| matches!(state, Leadership::Standby { leader: Some(leader) } if leader == "first:9001");
    until(second.leadership(), "the standby knows the leader", named).await;
    assert_eq!(second.get(b"k").await.unwrap().as_deref(), Some(&b"1"[..]), "a standby reads");
    let refused = second.commit(one("k", "2")).await;
    assert_eq!(refused, Err(Error::NotLeader { leader: Some("first:9001".to_owned()) }));
    // Closing gives the lease back: no need to wait for it.
    first.close().await.unwrap();
    let Leadership::Leader { term: next } = until(second.leadership(), "takes over", leads).await else {
        unreachable!()
    };
    assert!(next > term);
    second.commit(one("k", "2")).await.unwrap();
    // So does dropping the last handle.
    drop(second);
    leading(&server, "third").await;
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn a_deposed_leader_writes_nothing_more() {
    let server = EtcdServer::start("store::etcd::a_deposed_leader_writes_nothing_more");
    let (first, _) = leading(&server, "first").await;
    let second = open(&server, "second", LEASE).await;
    // Its key goes while it still believes in its lease, as after a long stop of the process.
    raw(&server).await.delete("/mesh/leader", None).await.unwrap();
    until(second.leadership(), "takes over", leads).await;
    assert!(leads(&first.leadership().borrow()), "the first has noticed nothing");
    second.commit(one("k", "second")).await.unwrap();
    let commits: Vec<_> = (0..5)
        .map(|n| {
            let first = first.clone();
            tokio::spawn(async move { first.commit(one("k", format!("first {n}"))).await })
        })
        .collect();
    for commit in commits {
        let refused = commit.await.unwrap().unwrap_err();
        assert!(matches!(refused, Error::Fenced { .. }), "{refused}");
    }
    let state = until(first.leadership(), "is told", lost).await;
    assert!(matches!(state, Leadership::Lost { reason: Error::Fenced { .. } }), "{state:?}");
    assert_eq!(second.get(b"k").await.unwrap().as_deref(), Some(&b"second"[..]));
    second.commit(one("k", "still")).await.unwrap();
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn a_lost_lease_ends_leadership() {
    let server = EtcdServer::start("store::etcd::a_lost_lease_ends_leadership");
    let store = open(&server, "one", SHORT_LEASE).await;
    until(store.leadership(), "leads", leads).await;
    let mut client = raw(&server).await;
    let lease = client.get("/mesh/leader", None).await.unwrap().kvs()[0].lease();
    client.lease_revoke(lease).await.unwrap();
    let state = until(store.leadership(), "notices by itself", lost).await;
    let Leadership::Lost { reason } = state else { unreachable!() };
    assert_eq!(store.commit(one("k", "v")).await, Err(reason));
    assert_eq!(store.get(b"k").await, Ok(None), "reads go on");
    leading(&server, "again").await;
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn a_short_outage_is_waited_out() {
    let mut server = EtcdServer::start("store::etcd::a_short_outage_is_waited_out");
    let store = open(&server, "one", 3 * LEASE).await;
    until(store.leadership(), "leads", leads).await;
    store.commit(one("before", "1")).await.unwrap();
    server.kill();
    let commits: Vec<_> = (0..20)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(one(&format!("during/{n:02}"), "1")).await })
        })
        .collect();
    let away = store.get(b"before").await.unwrap_err();
    assert!(away.to_string().contains(&server.endpoint()), "the message names the endpoint: {away}");
    server.up();
    for commit in commits {
        tokio::time::timeout(DEADLINE, commit).await.expect("in time").unwrap().unwrap();
    }
    assert_eq!(store.scan(b"during/", None, 99).await.unwrap().len(), 20);
    assert_eq!(store.get(b"before").await.unwrap().as_deref(), Some(&b"1"[..]));
    assert!(leads(&store.leadership().borrow()));
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn a_commit_that_is_sent_twice_takes_effect_once() {
    let server = EtcdServer::start("store::etcd::a_commit_that_is_sent_twice_takes_effect_once");
    let store = open(&server, "one", 3 * LEASE).await;
    until(store.leadership(), "leads", leads).await;
    let turns = async || raw(&server).await.get("/mesh/turn", None).await.unwrap().kvs()[0].version();
    store.commit(one("k", "0")).await.unwrap();
    let before = turns().await;
    server.pause(true);
    let commit = tokio::spawn({
        let store = store.clone();
        async move { store.commit(one("k", "1")).await }
    });
    // A read sent behind the commit has timed out, so the commit has too, and has been sent again.
    assert!(store.get(b"k").await.is_err());
    server.pause(false);
    tokio::time::timeout(DEADLINE, commit).await.expect("in time").unwrap().unwrap();
    store.commit(one("k", "2")).await.unwrap();
    assert_eq!(turns().await, before + 2);
    assert_eq!(store.get(b"k").await.unwrap().as_deref(), Some(&b"2"[..]));
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn a_long_outage_ends_leadership_and_a_new_handle_goes_on() {
    let name = "store::etcd::a_long_outage_ends_leadership_and_a_new_handle_goes_on";
    let server = EtcdServer::start(name);
    let store = open(&server, "one", SHORT_LEASE).await;
    until(store.leadership(), "leads", leads).await;
    store.commit(one("k", "1")).await.unwrap();
    server.pause(true);
    let commit = tokio::spawn({
        let store = store.clone();
        async move { store.commit(one("k", "2")).await }
    });
    let state = until(store.leadership(), "gives up", lost).await;
    assert!(matches!(state, Leadership::Lost { reason: Error::Fenced { .. } }), "{state:?}");
    assert!(matches!(commit.await.unwrap(), Err(Error::Fenced { .. })));
    server.pause(false);
    let (again, _) = leading(&server, "one").await;
    // The commit without an answer may have taken effect or not; nothing else may be there.
    let found = again.get(b"k").await.unwrap().unwrap();
    assert!(&*found == b"1" || &*found == b"2");
    again.commit(one("k", "3")).await.unwrap();
    assert_eq!(again.get(b"k").await.unwrap().as_deref(), Some(&b"3"[..]));
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn a_group_cut_short_is_finished_by_the_next_leader() {
    let name = "store::etcd::a_group_cut_short_is_finished_by_the_next_leader";
    let server = EtcdServer::start(name);
    let mut cut = 0;
    for round in 0..12u32 {
        let (store, _) = leading(&server, "one").await;
        let value = round.to_string();
        let group = (0..3000).map(|n| Write::put(format!("g/{n:04}"), value.clone())).collect();
        let commit = tokio::spawn({
            let store = store.clone();
            async move { store.commit(Batch::one(group)).await }
        });
        // The leader goes as soon as a part of it can be seen.
        let seen = async {
            while store.get(b"g/0000").await.unwrap().as_deref() != Some(value.as_bytes()) {}
            raw(&server).await.delete("/mesh/leader", None).await.unwrap();
        };
        tokio::time::timeout(DEADLINE, seen).await.expect("in time");
        cut += u32::from(commit.await.unwrap().is_err());
        let (next, _) = leading(&server, "two").await;
        let found = next.scan(b"g/", None, 9999).await.unwrap();
        assert!(found.len() == 3000 && found.iter().all(|(_, found)| *found == value), "round {round}: half a group");
        assert_eq!(count(&server, "/mesh/intent/").await + count(&server, "/mesh/piece/").await, 0);
        next.close().await.unwrap();
    }
    assert!(cut > 0, "no group was cut short");
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn pieces_without_an_owner_are_swept_by_the_next_leader() {
    let name = "store::etcd::pieces_without_an_owner_are_swept_by_the_next_leader";
    let server = EtcdServer::start(name);
    let (store, _) = leading(&server, "one").await;
    let batch = Batch::one(vec![Write::put("kept", vec![1; 3 << 20]), Write::put("gone", vec![2; 3 << 20])]);
    store.commit(batch).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(count(&server, "/mesh/piece/").await, 6);
    raw(&server).await.delete("/mesh/data/gone", Some(DeleteOptions::new())).await.unwrap();
    let (store, _) = leading(&server, "two").await;
    assert_eq!(count(&server, "/mesh/piece/").await, 3);
    assert_eq!(store.get(b"kept").await.unwrap().unwrap().len(), 3 << 20);
    // The new leader knows what it must delete.
    store.commit(one("kept", "small")).await.unwrap();
    assert_eq!(count(&server, "/mesh/piece/").await, 0);
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn a_newer_or_unknown_format_is_refused() {
    let server = EtcdServer::start("store::etcd::a_newer_or_unknown_format_is_refused");
    let (store, _) = leading(&server, "one").await;
    store.close().await.unwrap();
    let open = || async { Etcd::open(&[server.endpoint()], "/mesh", "two", LEASE).await.map(drop) };
    let newer = FORMAT_VERSION + 1;
    raw(&server).await.put("/mesh/format", newer.to_string(), None).await.unwrap();
    assert!(matches!(open().await, Err(Error::NewerFormat { found, .. }) if found == newer));
    raw(&server).await.put("/mesh/format", "x", None).await.unwrap();
    assert!(matches!(open().await, Err(Error::Corrupt { .. })));
}

#[tokio::test]
#[cfg_attr(no_etcd_server, ignore = "there is no `etcd` in PATH (Debian: etcd-server)")]
async fn an_absent_etcd_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = Etcd::open(std::slice::from_ref(&free), "/mesh", "one", LEASE).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }) && error.to_string().contains(&free), "{error}");
}
