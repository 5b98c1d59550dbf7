//! The original's acceptance tests AT1, AT2, AT4 and AT6, in our own words.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use flow_tests::harness::{Answer, Mesh, Model, PATIENCE, Service, eventually, seed};
use futures_util::StreamExt as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

/// How many instances run at the same time.
const PARALLEL: usize = 20;

/// Runs `count` instances by `flowctl run --wait`, some at a time; what each printed.
async fn run_many(mesh: &Mesh, id: &str, count: u64, payload: impl Fn(u64) -> Value) -> Vec<(u64, Value)> {
    let runs = futures_util::stream::iter(0..count).map(|n| {
        let payload = payload(n);
        async move { (n, mesh.run(id, &payload).await.json()) }
    });
    runs.buffer_unordered(PARALLEL).collect().await
}

#[tokio::test]
async fn at1_two_hundred_instances_at_twenty_in_parallel_have_the_right_result() {
    let collect = Service::adding("underpants", "Collected.").await;
    let sauce = Service::adding("sauce", "Applied.").await;
    let profit = Service::adding("cashflow", "Positive!").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("collect", &collect.url())]).await;
    mesh.sidecar(&[("secret-sauce", &sauce.url())]).await;
    mesh.sidecar(&[("profit", &profit.url())]).await;
    let model = Model::new("underpants").start("start").task("gather", "collect").task("apply", "secret-sauce");
    let model = model.task("sell", "profit").end("end").path(&["start", "gather", "apply", "sell", "end"]);
    let id = mesh.deploy(model.xml()).await;

    let expected = json!({"cashflow": "Positive!", "sauce": "Applied.", "underpants": "Collected."});
    assert_eq!(mesh.complete(&id, &json!({})).await["result"], expected);
    for (n, instance) in run_many(&mesh, &id, 200, |_| json!({})).await {
        assert_eq!(instance["state"], "COMPLETED", "number {n}: {instance}");
        assert_eq!(instance["result"], expected, "number {n}");
        assert_eq!(instance["end_event"], "end");
    }
    assert_eq!(mesh.instances().await.len(), 201);
    assert_eq!(profit.calls().len(), 201, "each task is called once per instance");
}

#[tokio::test]
async fn at2_a_condition_chooses_the_end() {
    let increment = Service::counting("val").await;
    let profit = Service::adding("cashflow", "Positive!").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("increment", &increment.url()), ("profit", &profit.url())]).await;
    let model = Model::new("conditional").global("xgw_expression_type: python").start("start");
    let model = model.task("add", "increment").exclusive("enough", "no").task("sell", "profit");
    let model = model.end("end-did-profit").end("end-didnot-profit").path(&["start", "add", "enough"]);
    let model =
        model.when("yes", "enough", "sell", "req_json[\"val\"] > 137").flow("no", "enough", "end-didnot-profit");
    let id = mesh.deploy(model.path(&["sell", "end-did-profit"]).xml()).await;

    let cases = [
        (1, "end-didnot-profit", json!({"val": 2})),
        (136, "end-didnot-profit", json!({"val": 137})),
        (137, "end-did-profit", json!({"val": 138, "cashflow": "Positive!"})),
    ];
    for (val, end, result) in cases {
        let started = mesh.post_start(&id, "", &[], &json!({"val": val})).await;
        assert_eq!(started.status, 200, "{}", started.text());
        let instance = mesh.until(started.json()["id"].as_str().unwrap(), "COMPLETED").await;
        assert_eq!((&instance["end_event"], &instance["result"]), (&json!(end), &result), "val {val}");
    }
}

/// How many calls fail for certain before the first success, for the first few instances: enough for several
/// restarts to fail again.
fn certain_failures(n: u64) -> u64 {
    if n < 4 { 2 * n + 1 } else { 0 }
}

/// A service that fails half of its calls, and those of the first few instances for certain.
async fn unreliable(seed: u64) -> Service {
    let random = Mutex::new(StdRng::seed_from_u64(seed));
    let failed = Arc::new(Mutex::new(HashMap::<u64, u64>::new()));
    Service::start(move |call| {
        let mut body = call.json();
        let n = body["n"].as_u64().unwrap();
        let mut failed = failed.lock().unwrap();
        let so_far = failed.entry(n).or_default();
        let fails = if *so_far < certain_failures(n) { true } else { random.lock().unwrap().random_bool(0.5) };
        *so_far += u64::from(fails);
        body["sauce"] = json!("Applied.");
        async move { if fails { Answer::Other(500, "text/plain", "spilled".into()) } else { Answer::Json(body) } }
    })
    .await
}

#[tokio::test]
async fn at4_a_failed_task_is_started_again_until_it_succeeds() {
    let seed = seed();
    let collect = Service::adding("underpants", "Collected.").await;
    let sauce = unreliable(seed).await;
    let profit = Service::adding("cashflow", "Positive!").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("collect", &collect.url()), ("profit", &profit.url())]).await;
    mesh.sidecar(&[("unreliable-sauce", &sauce.url())]).await;
    let model = Model::new("retries").global("recoverable: true\nretry:\n  total_attempts: 1").start("start");
    let model = model.task("gather", "collect");
    let model = model.annotated("apply", "service:\n  host: unreliable-sauce\ncall:\n  retry:\n    total_attempts: 2");
    let model = model.task("sell", "profit").end("end").path(&["start", "gather", "apply", "sell", "end"]);
    let id = mesh.deploy(model.xml()).await;

    let count = 200;
    let mut open = Vec::new();
    for (n, instance) in run_many(&mesh, &id, count, |n| json!({"n": n})).await {
        if instance["state"] != "COMPLETED" {
            assert_eq!(instance["state"], "STOPPED", "number {n}: {instance}");
            assert_eq!(instance["error"]["code"], "FAILED_TASK", "number {n}: {instance}");
            assert_eq!(instance["error"]["element"], "apply");
            assert_eq!(instance["error"]["input"], json!({"n": n, "underpants": "Collected."}));
            open.push(instance["id"].as_str().unwrap().to_owned());
        }
    }
    assert!(open.len() >= 3, "with certain failures some are STOPPED (seed {seed})");
    let mut failed_again = 0;
    for round in 0..18 {
        if open.is_empty() {
            break;
        }
        let words: Vec<&str> = ["start", "-k", "INSTANCE"].into_iter().chain(open.iter().map(String::as_str)).collect();
        mesh.flowctl.run(&words).await.expect_code(0);
        let mut still = Vec::new();
        for id in &open {
            let settled = eventually("it to settle", PATIENCE, async || {
                let instance = mesh.instance(id).await;
                match instance["state"].as_str() {
                    Some("COMPLETED" | "STOPPED") => Ok(instance),
                    _ => Err(instance.to_string()),
                }
            });
            if settled.await["state"] == "STOPPED" {
                still.push(id.clone());
            }
        }
        println!("round {round}: {} of {} failed again", still.len(), open.len());
        failed_again += still.len();
        open = still;
    }
    assert!(failed_again > 0, "some restarts failed again");
    let instances = mesh.instances().await;
    assert_eq!(instances.len() as u64, count);
    for instance in instances.values() {
        assert_eq!(instance["state"], "COMPLETED", "{instance}");
        let mut result = instance["result"].clone();
        assert!(result["n"].take().is_u64());
        let expected = json!({"n": null, "cashflow": "Positive!", "sauce": "Applied.", "underpants": "Collected."});
        assert_eq!(result, expected);
    }
    assert_eq!(collect.calls().len() as u64, count, "a restart begins at the failed task, not before");
    assert_eq!(profit.calls().len() as u64, count);
}

#[tokio::test]
async fn at6_one_service_is_used_twice_in_a_process() {
    let increment = Service::counting("val").await;
    let sauce = Service::adding("sauce", "Applied.").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("increment", &increment.url())]).await;
    mesh.sidecar(&[("secret-sauce", &sauce.url())]).await;
    let model = Model::new("repeated").start("start").task("once", "increment").task("apply", "secret-sauce");
    let model = model.task("twice", "increment").end("end").path(&["start", "once", "apply", "twice", "end"]);
    let id = mesh.deploy(model.xml()).await;

    for (n, instance) in run_many(&mesh, &id, 200, |n| json!({"val": n})).await {
        assert_eq!(instance["result"], json!({"sauce": "Applied.", "val": n + 2}), "{instance}");
    }
    let elements: Vec<String> = increment.calls().iter().map(|call| call.header("x-rexflow-tid").to_owned()).collect();
    assert_eq!(elements.iter().filter(|element| *element == "once").count(), 200);
    assert_eq!(elements.len(), 400);
}
