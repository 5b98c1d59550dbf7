//! Restarts, drains, and flowd coming and going.

use flow_sidecar::config::Config;
use hop::Refusal;
use proto::{convert, v1};
use serde_json::json;

use crate::ledger::{LEDGER, Ledger, Starter};
use crate::mesh::{Folders, Reply, Sidecar, Task, ok};
use crate::model::{linear, single, token};

#[tokio::test]
async fn a_call_that_a_crash_interrupts_is_made_again_with_the_same_key() {
    let (folders, ledger, definition) = (Folders::new(), Ledger::new().await, single());
    let task = Task::new(|n| if n == 0 { Reply::Hang } else { ok(r#"{"done":true}"#) }).await;
    let mut config = folders.with_tables("a", &task.url, &definition, &[]);
    config.flowd = vec![ledger.address.to_string()];
    let a = Sidecar::start(config.clone()).await;
    let mut starter = Starter::new(a.incarnation, a.hop).await;
    let start = token(&definition, "a", 1, &json!({}));
    starter.offer(&start);
    assert_eq!(starter.answer().await.0, [start.activation]);
    task.called(1).await;
    let before = a.incarnation;
    a.crash().await;
    let again = Sidecar::start(config).await;
    assert_eq!(again.incarnation, before);
    let products = ledger.products(1).await;
    assert_eq!(products[0].token.payload.to_json(), Some(json!({"done": true})));
    let requests = task.called(2).await;
    assert_eq!(requests[0].header("idempotency-key"), requests[1].header("idempotency-key"));
    again.metric_becomes("flow_tokens_unanswered", 0.0).await;
    assert_eq!((task.requests().len(), ledger.products(1).await.len()), (2, 1));
}

#[tokio::test]
async fn tokens_go_on_without_flowd_and_are_reported_when_it_is_there() {
    let (folders, definition) = (Folders::new(), linear());
    let (task_a, task_b) = (Task::answering("{}").await, Task::answering("{}").await);
    // a port that nobody listens at yet
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let mut config = folders.with_tables("b", &task_b.url, &definition, &[]);
    config.flowd = vec![address.to_string()];
    let b = Sidecar::start(config).await;
    let a = Sidecar::start(folders.with_tables("a", &task_a.url, &definition, &[("b", b.hop)])).await;
    let mut starter = Starter::new(a.incarnation, a.hop).await;
    for number in 0..20 {
        starter.offer(&token(&definition, "a", number, &json!({"n": number})));
    }
    task_b.called(20).await;
    a.metric_becomes("flow_tokens_unanswered", 0.0).await;
    b.metric_becomes("flow_tokens_unanswered", 20.0).await;
    let ledger = Ledger::at(address, Vec::new(), None).await;
    assert_eq!(ledger.products(20).await.len(), 20);
    b.metric_becomes("flow_tokens_unanswered", 0.0).await;
    assert_eq!(ledger.told.borrow().repeated, 0);
}

#[tokio::test]
async fn a_drain_finishes_calls_hands_over_the_rest_and_ends_the_incarnation() {
    let (folders, ledger, definition) = (Folders::new(), Ledger::new().await, linear());
    let task = Task::new(|_| Reply::Hang).await;
    // nobody serves b: what is decided stays unfinished
    let mut config = folders.with_tables("a", &task.url, &definition, &[]);
    config.flowd = vec![ledger.address.to_string()];
    config.leave = true;
    let a = Sidecar::start(config.clone()).await;
    let (before, hop) = (a.incarnation, a.hop);
    a.metric_becomes("flow_control_connected", 1.0).await;
    let mut starter = Starter::new(before, hop).await;
    let (first, late) = (token(&definition, "a", 1, &json!({})), token(&definition, "a", 2, &json!({})));
    starter.offer(&first);
    task.called(1).await;
    assert_eq!(starter.answer().await.0, [first.activation]);
    let draining = tokio::spawn(a.drain());
    // the test's runtime has one thread: the drain has begun before anything else happens
    tokio::task::yield_now().await;
    starter.offer(&late);
    assert_eq!(starter.answer().await.1, [(late.activation, Refusal::Draining)]);
    task.release();
    draining.await.unwrap();
    let told = ledger.told("a leave", |told| !told.leaves.is_empty()).await;
    let unfinished = told.leaves[0].unfinished[0].product.clone().unwrap().token.unwrap().into_routing().unwrap();
    assert_eq!((unfinished.instance.as_str(), unfinished.element.as_str()), (first.instance.as_str(), "b"));
    assert_eq!(told.leaves[0].accepted, [convert::id_bytes(first.activation)]);
    assert!(!folders.path().join("a/journal").exists());
    assert_eq!(task.requests().len(), 1);
    let again = Sidecar::start(config).await;
    assert_ne!(again.incarnation, before);
}

#[tokio::test]
async fn a_drain_without_flowd_keeps_what_is_left() {
    let (folders, definition) = (Folders::new(), single());
    let task = Task::answering("{}").await;
    let config = folders.with_tables("a", &task.url, &definition, &[]);
    let a = Sidecar::start(config.clone()).await;
    let before = a.incarnation;
    let mut starter = Starter::new(a.incarnation, a.hop).await;
    starter.offer(&token(&definition, "a", 1, &json!({})));
    starter.answer().await;
    a.drain().await;
    let ledger = Ledger::new().await;
    let again = Sidecar::start(Config { flowd: vec![ledger.address.to_string()], ..config }).await;
    assert_eq!(again.incarnation, before);
    assert_eq!((ledger.products(1).await.len(), task.requests().len()), (1, 1));
}

#[tokio::test]
async fn a_sidecar_that_has_left_begins_anew() {
    let folders = Folders::new();
    let left = v1::FlowdMessage { left: true, ..Default::default() };
    let ledger = Ledger::at("127.0.0.1:0".parse().unwrap(), vec![left], None).await;
    let mut config = folders.config("a", "http://127.0.0.1:9");
    config.flowd = vec![ledger.address.to_string()];
    let a = Sidecar::start(config).await;
    let told = ledger.told("a second life", |told| told.hellos.len() >= 2).await;
    assert_eq!(told.hellos[0].incarnation, convert::incarnation_bytes(a.incarnation));
    assert_ne!(told.hellos[1].incarnation, told.hellos[0].incarnation);
    assert_eq!(told.hellos[1].hop_address, told.hellos[0].hop_address);
}

#[tokio::test]
async fn tables_and_bindings_from_flowd_are_acknowledged_and_outlive_a_restart() {
    let (folders, ledger, definition) = (Folders::new(), Ledger::new().await, single());
    let (first, second) = (Task::answering(r#"{"by":1}"#).await, Task::answering(r#"{"by":2}"#).await);
    let mut config = folders.config("a", &first.url);
    config.flowd = vec![ledger.address.to_string()];
    let a = Sidecar::start(config.clone()).await;
    let good = v1::TablePush { nonce: 7, bundle: Some(definition.bundle()), elements: vec!["a".into()] };
    let mut bad = good.clone();
    bad.nonce = 8;
    bad.bundle.as_mut().unwrap().tables[0].bytes = "{}".into();
    let urls = vec![v1::Service { name: "a".into(), url: second.url.clone() }];
    let bindings = v1::Bindings { version: 3, urls, ..Default::default() };
    ledger.say(v1::FlowdMessage { tables: vec![good, bad], bindings: Some(bindings), ..Default::default() });
    let told = ledger.told("acknowledgements", |told| told.table_acks.len() >= 2 && told.bindings == 3).await;
    assert_eq!((told.table_acks[0].nonce, told.table_acks[0].error.as_str()), (7, ""));
    assert!(told.table_acks[1].nonce == 8 && told.table_acks[1].error.contains("hash"));
    let mut starter = Starter::new(a.incarnation, a.hop).await;
    starter.offer(&token(&definition, "a", 1, &json!({})));
    assert_eq!(ledger.products(1).await[0].token.payload.to_json(), Some(json!({"by": 2})));
    a.crash().await;
    drop(ledger);
    let again = Sidecar::start(config).await;
    let mut starter = Starter::with(Starter::options(LEDGER, 2), again.incarnation, again.hop).await;
    starter.offer_as(9, &token(&definition, "a", 2, &json!({})));
    assert_eq!(starter.answer().await.0.len(), 1);
    assert_eq!((first.requests().len(), second.called(2).await.len()), (0, 2));
}

#[tokio::test]
async fn a_sidecar_stands_still_for_flowd_and_says_when_the_last_call_has_ended() {
    let (folders, ledger, definition) = (Folders::new(), Ledger::new().await, single());
    let task = Task::new(|n| if n == 0 { Reply::Hang } else { ok("{}") }).await;
    let mut config = folders.with_tables("a", &task.url, &definition, &[]);
    config.flowd = vec![ledger.address.to_string()];
    let a = Sidecar::start(config).await;
    let mut starter = Starter::new(a.incarnation, a.hop).await;
    starter.offer(&token(&definition, "a", 1, &json!({})));
    task.called(1).await;
    let bindings = |version, quiesce| {
        let bindings = Some(v1::Bindings { version, quiesce, ..Default::default() });
        ledger.say(v1::FlowdMessage { bindings, ..Default::default() });
    };
    bindings(3, true);
    let told = ledger.told("the bindings are in force", |told| told.bindings == 3).await;
    assert_eq!(told.quiet, 0, "a call is under way");
    let waiting = token(&definition, "a", 2, &json!({}));
    starter.offer(&waiting);
    while !starter.answer().await.0.contains(&waiting.activation) {}
    task.release();
    assert_eq!(ledger.products(1).await.len(), 1);
    ledger.told("it is quiet", |told| told.quiet == 3).await;
    a.metric_becomes("flow_tokens_held", 1.0).await;
    assert_eq!(task.requests().len(), 1, "what it has taken meanwhile waits");
    // the container may end: nobody calls it
    assert!(a.asked("/drained").await.contains("drained"));
    bindings(4, false);
    assert_eq!(ledger.products(2).await.len(), 2);
}
