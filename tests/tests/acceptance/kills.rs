//! SIGKILL at any moment: what was accepted completes, once, with the same result.
//!
//! `FLOW_KILLS` says how many kills; `FLOW_SEED` replays the choice of victims and moments (the scheduler of the
//! machine is not replayed: the deterministic simulation is for that).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use flow_tests::harness::{Answer, Load, Mesh, Model, Service, number, seed};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

const TASKS: [&str; 4] = ["one", "two", "three", "four"];

/// `{"NAME": n + rank}` for `{"n": n}`: a result that could not come from another instance or task.
async fn marking(rank: usize) -> Service {
    Service::start(move |call| {
        let n = call.json()["n"].as_u64().unwrap();
        async move { Answer::Json(json!({ TASKS[rank]: n + rank as u64 })) }
    })
    .await
}

/// one, then two and three beside each other behind a gateway, joined, then four.
fn model() -> String {
    let model = TASKS.iter().fold(Model::new("storm").start("start"), |model, task| model.typed(task, task));
    let model = model.exclusive("which", "small").parallel("fork").parallel("join").end("end");
    let model = model.path(&["start", "one", "which"]).when("large", "which", "fork", "n >= 0");
    let model = model.flow("small", "which", "four").path(&["fork", "two", "join"]).path(&["fork", "three", "join"]);
    model.path(&["join", "four", "end"]).xml()
}

/// Kills one of flowd (`None`) and the sidecars, and starts it again; sometimes again while it starts.
async fn strike(mesh: &mut Mesh, random: &mut StdRng) {
    let victim = random.random_range(0..=mesh.sidecars.len()).checked_sub(1);
    tokio::time::sleep(Duration::from_micros(random.random_range(0..60_000))).await;
    let twice = random.random_bool(0.15);
    match victim {
        None => {
            mesh.flowd.kill().await;
            if twice {
                mesh.spawn_flowd_again();
                tokio::time::sleep(Duration::from_micros(random.random_range(0..30_000))).await;
                mesh.flowd.kill().await;
            }
            mesh.start_flowd_again().await;
        }
        Some(index) => {
            let sidecar = &mut mesh.sidecars[index];
            sidecar.process.kill().await;
            if twice {
                sidecar.spawn_again();
                tokio::time::sleep(Duration::from_micros(random.random_range(0..10_000))).await;
                sidecar.process.kill().await;
            }
            sidecar.start_again().await;
        }
    }
}

/// Each task was called with one key per instance, however often, and always with the same bytes.
fn assert_called_once_in_effect(service: &Service, name: &str, count: usize) {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut bodies: BTreeMap<String, bytes::Bytes> = BTreeMap::new();
    let calls = service.calls();
    for call in &calls {
        assert!(!call.key().is_empty(), "every call has an Idempotency-Key");
        keys.entry(call.instance().to_owned()).or_default().insert(call.key().to_owned());
        let body = bodies.entry(call.key().to_owned()).or_insert_with(|| call.body.clone());
        assert_eq!(*body, call.body, "a repeated call has the exact bytes of the first");
    }
    println!("{name}: {} calls for {} instances", calls.len(), keys.len());
    assert_eq!(keys.len(), count, "{name} was called for every instance");
    let several: Vec<_> = keys.iter().filter(|(_, keys)| keys.len() != 1).collect();
    assert!(several.is_empty(), "{name}: more than one activation: {several:?}");
}

#[tokio::test]
async fn whatever_is_killed_every_accepted_instance_completes_once_with_its_result() {
    let seed = seed();
    let kills = number("FLOW_KILLS").unwrap_or(300);
    let mut random = StdRng::seed_from_u64(seed);
    let mut services = Vec::new();
    let mut mesh = Mesh::start().await;
    for (rank, task) in TASKS.iter().enumerate() {
        let service = marking(rank).await;
        mesh.sidecar(&[(task, &service.url())]).await;
        services.push(service);
    }
    let id = mesh.deploy(model()).await;
    let began = Instant::now();
    let load = Load::start(mesh.url(&format!("/start/{id}")), "storm", 30, |n| json!({"n": n}));
    for _ in 0..kills {
        strike(&mut mesh, &mut random).await;
    }
    let accepted = load.stop().await;
    println!("{kills} kills in {:?}, {} instances accepted", began.elapsed(), accepted.len());
    assert!(accepted.len() as u64 > kills / 4, "there was load: {}", accepted.len());

    let settling = Instant::now();
    let instances = mesh.all_completed(&accepted, Duration::from_secs(120)).await;
    println!("the last of them completed after {:?}", settling.elapsed());
    let distinct: BTreeSet<&String> = accepted.values().collect();
    assert_eq!(distinct.len(), accepted.len(), "each key its own instance");
    for (n, instance) in &instances {
        let expected: Value = json!({"n": n, "one": n, "two": n + 1, "three": n + 2, "four": n + 3});
        assert_eq!(instance["result"], expected, "{instance}");
        assert_eq!(instance["end_event"], "end");
        assert_eq!(instance["incidents"], 0, "{instance}");
    }
    for (service, task) in services.iter().zip(TASKS) {
        assert_called_once_in_effect(service, task, accepted.len());
    }
}
