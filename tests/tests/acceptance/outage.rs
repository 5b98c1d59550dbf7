//! flowd is away: tokens go on along tasks and exclusive gateways, and what ended meanwhile is recorded when it
//! is back. 5 s, or 30 s with `FLOW_FULL=1`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use flow_tests::harness::{Answer, Load, Mesh, Model, PATIENCE, Service, eventually, full};
use serde_json::{Value, json};

/// A task that takes its time, so that many tokens are under way.
async fn slow(key: &'static str) -> Service {
    Service::start(move |_| async move {
        tokio::time::sleep(Duration::from_millis(250)).await;
        Answer::Json(json!({ key: true }))
    })
    .await
}

fn instances_of(service: &Service) -> BTreeSet<String> {
    service.calls().iter().map(|call| call.instance().to_owned()).collect()
}

fn expected(n: u64) -> Value {
    let mut result = json!({"n": n, "first": true, "last": true});
    result[if n.is_multiple_of(2) { "even" } else { "odd" }] = json!(true);
    result
}

#[tokio::test]
async fn tokens_go_on_while_flowd_is_away_and_their_ends_are_recorded_when_it_is_back() {
    let away = Duration::from_secs(if full() { 30 } else { 5 });
    let (first, even, odd, last) = (slow("first").await, slow("even").await, slow("odd").await, slow("last").await);
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("first", &first.url())]).await;
    mesh.sidecar(&[("even", &even.url()), ("odd", &odd.url())]).await;
    mesh.sidecar(&[("last", &last.url())]).await;
    let model = ["first", "even", "odd", "last"].iter().fold(Model::new("outage").start("start"), |m, t| m.typed(t, t));
    let model = model.exclusive("parity", "is-odd").end("end").path(&["start", "first", "parity"]);
    let model = model.when("is-even", "parity", "even", "modulo(n, 2) = 0").flow("is-odd", "parity", "odd");
    let id = mesh.deploy(model.path(&["even", "last", "end"]).path(&["odd", "last"]).xml()).await;
    let load = Load::start(mesh.url(&format!("/start/{id}")), "outage", 30, |n| json!({"n": n}));
    eventually("some tokens under way", PATIENCE, async || {
        let (first, last) = (first.calls().len(), last.calls().len());
        if first > 60 && last > 10 { Ok(()) } else { Err(format!("{first} at the first task, {last} at the last")) }
    })
    .await;

    mesh.flowd.kill().await;
    let stopped = Instant::now();
    let (under_way, done) = (instances_of(&first), instances_of(&last));
    assert!(under_way.len() > done.len(), "some are between the tasks when flowd stops");
    eventually("every token under way to reach the last task without flowd", away, async || {
        let missing = under_way.difference(&instances_of(&last)).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} are missing", under_way.len())) }
    })
    .await;
    println!("{} tokens went on without flowd", under_way.len() - done.len());
    // Nothing to wait for: the outage has a length.
    tokio::time::sleep(away.saturating_sub(stopped.elapsed())).await;
    mesh.start_flowd_again().await;

    let accepted = load.stop().await;
    let instances = mesh.all_completed(&accepted, PATIENCE).await;
    for (n, instance) in &instances {
        assert_eq!(instance["result"], expected(*n), "{instance}");
        assert_eq!(instance["end_event"], "end");
    }
    assert!(under_way.iter().all(|id| accepted.values().any(|accepted| accepted == id)));
    let keys: BTreeSet<String> = last.calls().iter().map(|call| call.key().to_owned()).collect();
    assert_eq!(keys.len(), accepted.len(), "the last task ran once for each");
}
