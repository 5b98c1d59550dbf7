//! Sender and receiver over loopback.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use flow_hop::identity::Accounts;
use flow_hop::link::{self, Links, Target};
use flow_hop::serve::{self, Receiver};
use flow_hop::{Offer, Refusal};
use routing::{ActivationId, Digest, Incarnation, Payload, Product, To, Token, Weight, Written};
use runtime::drain::{self, DrainTrigger};
use runtime::tls::{Incoming, Limits};
use tokio::net::TcpListener;
use tonic::transport::Server;

const SENDER: Incarnation = Incarnation(7);
const REPLICA: Incarnation = Incarnation(8);

struct Port {
    address: SocketAddr,
    receiver: Receiver,
    server: tokio::task::JoinHandle<()>,
    _drain: DrainTrigger,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn port(incarnation: Incarnation) -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (trigger, watcher) = drain::new();
    let incoming = Incoming::new(listener, None, Limits::default(), watcher).unwrap();
    let address = incoming.local_addr();
    let (service, receiver) = serve::new(serve::Options {
        incarnation,
        boot: 1,
        serves: BTreeSet::new(),
        accounts: Accounts::default(),
        open: None,
    });
    let server = tokio::spawn(async move {
        Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
    });
    Port { address, receiver, server, _drain: trigger }
}

fn links(boot: u64) -> Links {
    let serves = BTreeSet::from(["a".into()]);
    Links::new(link::Options {
        incarnation: SENDER,
        boot,
        ledger: false,
        serves,
        tls: None,
        accounts: Accounts::default(),
    })
}

fn target(address: SocketAddr) -> Target {
    Target { address: address.to_string(), services: BTreeSet::new() }
}

fn offer(seq: u64, bytes: usize) -> Offer {
    let token = Token {
        instance: "i".into(),
        definition: Digest::default(),
        element: "e".into(),
        flow: None,
        activation: ActivationId(seq.into()),
        key: ActivationId(seq.into()),
        parent: ActivationId(0),
        scope: ActivationId(0),
        generation: 0,
        attempts: 0,
        weight: Weight::one(),
        written: Written::default(),
        pools: Vec::new(),
        emitted: 0,
        trace: Default::default(),
        payload: Payload { content_type: String::new(), body: Bytes::from(vec![b'x'; bytes]) },
    };
    Offer { replica: REPLICA, seq, product: Product { token, to: To::Service("s".into()) }.into(), instead_of: None }
}

async fn event(links: &mut Links) -> link::Event {
    tokio::time::timeout(Duration::from_secs(20), links.next()).await.expect("an event in time")
}

async fn received(port: &mut Port) -> serve::Event {
    tokio::time::timeout(Duration::from_secs(20), port.receiver.next()).await.expect("an event in time").unwrap()
}

async fn linked(port: &mut Port) -> serve::Link {
    match received(port).await {
        serve::Event::Linked(link, sender) => {
            assert_eq!((sender.incarnation, sender.ledger), (SENDER, false));
            assert_eq!(sender.serves, BTreeSet::from(["a".into()]));
            link
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn offers_arrive_in_order_and_answers_come_back() {
    let mut port = port(REPLICA).await;
    let mut links = links(1);
    links.want(REPLICA, target(port.address));
    assert_eq!(event(&mut links).await, link::Event::Linked(REPLICA));
    let link = linked(&mut port).await;
    links.send(REPLICA, 4, (5..45).map(|seq| offer(seq, 300_000)).collect());
    links.send(REPLICA, 6, vec![offer(45, 1)]);
    let (mut seqs, mut mark) = (Vec::new(), 0);
    while seqs.len() < 41 {
        let serve::Event::Offered(from, watermark, offers) = received(&mut port).await else { panic!() };
        assert_eq!(from, link);
        mark = watermark;
        seqs.extend(offers.into_iter().map(|(seq, _)| seq));
    }
    assert_eq!((seqs, mark), ((5..=45).collect::<Vec<_>>(), 6));
    let refused = vec![(ActivationId(6), Refusal::Full(20))];
    port.receiver.answer(link, vec![(ActivationId(5), 7)], refused.clone());
    let answered = link::Event::Answered { replica: REPLICA, accepted: vec![ActivationId(5)], ago: vec![7], refused };
    assert_eq!(event(&mut links).await, answered);
    links.unwant(REPLICA);
    assert_eq!(event(&mut links).await, link::Event::Unlinked(REPLICA));
    assert_eq!(received(&mut port).await, serve::Event::Unlinked(link));
}

#[tokio::test]
async fn a_broken_link_is_opened_again_and_another_replica_is_not_taken_for_it() {
    let mut first = port(REPLICA).await;
    let mut links = links(1);
    links.want(REPLICA, target(first.address));
    assert_eq!(event(&mut links).await, link::Event::Linked(REPLICA));
    linked(&mut first).await;
    drop(first);
    assert_eq!(event(&mut links).await, link::Event::Unlinked(REPLICA));
    assert_eq!(event(&mut links).await, link::Event::Unreachable { replica: REPLICA, found: None });
    let other = port(Incarnation(9)).await;
    links.want(REPLICA, target(other.address));
    let found = Some(Incarnation(9));
    assert_eq!(event(&mut links).await, link::Event::Unreachable { replica: REPLICA, found });
    let mut again = port(REPLICA).await;
    links.want(REPLICA, target(again.address));
    assert_eq!(event(&mut links).await, link::Event::Linked(REPLICA));
    linked(&mut again).await;
}

#[tokio::test]
async fn a_newer_link_of_a_sender_replaces_the_older_and_an_older_one_is_refused() {
    let mut port = port(REPLICA).await;
    let mut second_life = links(2);
    second_life.want(REPLICA, target(port.address));
    let first = linked(&mut port).await;
    assert_eq!(event(&mut second_life).await, link::Event::Linked(REPLICA));
    let mut first_life = links(1);
    first_life.want(REPLICA, target(port.address));
    assert_eq!(event(&mut first_life).await, link::Event::Unreachable { replica: REPLICA, found: None });
    let mut third_life = links(3);
    third_life.want(REPLICA, target(port.address));
    assert_eq!(received(&mut port).await, serve::Event::Unlinked(first));
    let newest = linked(&mut port).await;
    assert!(newest > first);
    assert_eq!(event(&mut third_life).await, link::Event::Linked(REPLICA));
    assert_eq!(event(&mut second_life).await, link::Event::Unlinked(REPLICA));
}
