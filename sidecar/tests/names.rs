//! Replicas by name, while flowd is away.

use std::net::SocketAddr;

use flow_sidecar::config::Config;
use flow_sidecar::names::Resolver;
use proto::{convert, v1};
use routing::Incarnation;
use serde_json::json;

use crate::ledger::{LEDGER, Ledger, Starter};
use crate::mesh::{Folders, Sidecar, Task};
use crate::model::{linear, token};
use crate::trust::{authority, tls};

const NAME: &str = "b-flow.shop:7001";

/// flowd's word: who does b.
fn said(version: u64, replica: Incarnation, at: SocketAddr) -> v1::FlowdMessage {
    let replica =
        v1::Endpoint { incarnation: convert::incarnation_bytes(replica), address: at.to_string(), draining: false };
    let endpoints = vec![v1::Endpoints { service: "b".into(), replicas: vec![replica], name: NAME.into() }];
    let bindings = v1::Bindings { version, endpoints, ..Default::default() };
    v1::FlowdMessage { bindings: Some(bindings), ..Default::default() }
}

fn named(addresses: Vec<SocketAddr>) -> Resolver {
    Resolver::new(move |name| {
        assert_eq!(name, NAME);
        let addresses = addresses.clone();
        async move { Ok(addresses) }
    })
}

/// An address that nobody listens at.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn without_flowd_tokens_go_to_the_replica_that_dns_names_if_it_may_serve_them_and_with_it_where_it_says() {
    let (folders, others, more) = (Folders::new(), Folders::new(), Folders::new());
    let (issuer, definition) = (authority(), linear());
    let certified = |path: &str| tls(&issuer, folders.path(), path);
    let (task_a, by_dns, by_flowd) =
        (Task::answering("{}").await, Task::answering("{}").await, Task::answering("{}").await);
    let thieving = Task::answering("{}").await;
    let serving = |folders: &Folders, task: &Task, path: &str| {
        let config = folders.with_tables("b", &task.url, &definition, &[]);
        Sidecar::start(Config { tls: Some(certified(path)), ..config })
    };
    let b = serving(&folders, &by_dns, "/svc/b").await;
    let other = serving(&others, &by_flowd, "/svc/b").await;
    // says it serves b, and is somebody else
    let thief = serving(&more, &thieving, "/svc/thief").await;

    // flowd knows of a replica that is no more, and is away itself
    let flowd = certified("/flowd");
    let ledger = Ledger::at(nobody(), vec![said(3, Incarnation(7), nobody())], Some(&flowd)).await;
    let address = ledger.address;
    let mut config = folders.with_tables("a", &task_a.url, &definition, &[]);
    config = Config { tls: Some(certified("/svc/a")), flowd: vec![address.to_string()], ..config };
    let a = Sidecar::start(config.clone()).await;
    ledger.told("bindings", |told| told.bindings == 3).await;
    a.crash().await;
    drop(ledger);
    config.resolver = named(vec![thief.hop, b.hop]);
    let a = Sidecar::start(config).await;
    let mut options = Starter::options(LEDGER, 1);
    options.tls = Some(flowd.clone());
    let mut starter = Starter::with(options, a.incarnation, a.hop).await;
    starter.deliver(&token(&definition, "a", 1, &json!({}))).await;
    by_dns.called(1).await;
    a.metric_becomes("flow_tokens_unanswered", 0.0).await;

    // flowd is back, and knows better
    let ledger = Ledger::at(address, vec![said(4, other.incarnation, other.hop)], Some(&flowd)).await;
    ledger.told("bindings", |told| told.bindings == 4).await;
    starter.deliver(&token(&definition, "a", 2, &json!({}))).await;
    by_flowd.called(1).await;
    a.metric_becomes("flow_tokens_unanswered", 0.0).await;
    assert_eq!((by_dns.requests().len(), thieving.requests().len()), (1, 0));
}
