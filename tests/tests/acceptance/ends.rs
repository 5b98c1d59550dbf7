//! Forks, joins and ends: an instance completes once, a join fires once per set of arrivals, and what is merged
//! never depends on who comes first.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use flow_tests::harness::{Answer, Mesh, Model, Service, seed};
use futures_util::StreamExt as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

/// Instances of each test.
const COUNT: u64 = 30;

/// A service that answers after up to 30 ms with one more key.
async fn dawdling(seed: u64, key: &'static str, value: &'static str) -> Service {
    let random = Mutex::new(StdRng::seed_from_u64(seed));
    Service::start(move |_| {
        let pause = Duration::from_millis(random.lock().unwrap().random_range(0..30));
        async move {
            tokio::time::sleep(pause).await;
            Answer::Json(json!({ key: value, "winner": value }))
        }
    })
    .await
}

async fn run_all(mesh: &Mesh, id: &str) -> Vec<Value> {
    let run = |n| async move { mesh.post_start(id, "?wait=60s", &[], &json!({"n": n, "round": 0})).await };
    let replies: Vec<_> = futures_util::stream::iter(0..COUNT).map(run).buffer_unordered(8).collect().await;
    replies
        .into_iter()
        .map(|reply| if reply.status == 200 { reply.json() } else { panic!("{}", reply.text()) })
        .collect()
}

/// How often a service was called for each instance.
fn calls_per_instance(service: &Service) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for call in service.calls() {
        *calls.entry(call.instance().to_owned()).or_default() += 1;
    }
    calls
}

#[tokio::test]
async fn two_tokens_at_end_events_complete_the_instance_and_never_turn_it_into_an_error() {
    let seed = seed();
    let (left, right) = (dawdling(seed, "left", "l").await, dawdling(seed ^ 1, "right", "r").await);
    let begin = Service::adding("begun", true).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("begin", &begin.url()), ("left", &left.url())]).await;
    mesh.sidecar(&[("right", &right.url())]).await;
    // Two flows out of a task: the original's implicit fork. Two ends, none of which is the last by itself.
    let model = Model::new("two-ends").start("start").typed("begin", "begin").typed("left", "left");
    let model = model.typed("right", "right").end("end-left").end("end-right");
    let model = model.path(&["start", "begin", "left", "end-left"]).path(&["begin", "right", "end-right"]);
    let id = mesh.deploy(model.xml()).await;

    for result in run_all(&mesh, &id).await {
        assert_eq!((&result["left"], &result["right"]), (&json!("l"), &json!("r")), "both ends count: {result}");
        assert_eq!(result["winner"], "r", "the later end event of the model wins: {result}");
    }
    let instances = mesh.instances().await;
    assert_eq!(instances.len() as u64, COUNT);
    for instance in instances.values() {
        assert_eq!(instance["state"], "COMPLETED", "{instance}");
        assert_eq!(instance["error"], json!(null));
        assert!(["end-left", "end-right"].contains(&instance["end_event"].as_str().unwrap()), "{instance}");
    }
}

#[tokio::test]
async fn a_parallel_join_fires_once_per_set_of_arrivals_also_when_the_process_loops() {
    let seed = seed();
    let (left, right) = (dawdling(seed, "left", "l").await, dawdling(seed ^ 1, "right", "r").await);
    let after = Service::counting("round").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("left", &left.url())]).await;
    mesh.sidecar(&[("right", &right.url())]).await;
    mesh.sidecar(&[("after", &after.url())]).await;
    let model = Model::new("rounds").start("start").merge("again").parallel("fork").typed("left", "left");
    let model = model.typed("right", "right").parallel("join").typed("after", "after").exclusive("enough", "yes");
    let model = model.end("end").path(&["start", "again", "fork", "left", "join"]).path(&["fork", "right", "join"]);
    let model = model.path(&["join", "after", "enough"]).when("no", "enough", "again", "round < 3");
    let id = mesh.deploy(model.flow("yes", "enough", "end").xml()).await;

    for result in run_all(&mesh, &id).await {
        assert_eq!(result["round"], 3, "{result}");
        assert_eq!(result["winner"], "r", "the later incoming flow of the join wins, whoever came first: {result}");
    }
    for service in [&left, &right, &after] {
        let calls = calls_per_instance(service);
        assert_eq!(calls.len() as u64, COUNT);
        assert!(calls.values().all(|calls| *calls == 3), "once per round: {calls:?}");
    }
    for instance in mesh.instances().await.values() {
        assert_eq!(instance["state"], "COMPLETED", "{instance}");
    }
}
