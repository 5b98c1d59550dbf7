//! `flowctl swap --service`: another service of the mesh does a task's work, all of it or a share, running instances included.

use std::time::Instant;

use flow_tests::harness::{Load, Mesh, Model, PATIENCE, Service, eventually};
use serde_json::json;

/// start, first, task, last, end, a service each; `next` is there besides.
async fn mesh(services: [&Service; 4]) -> (Mesh, String) {
    let mut mesh = Mesh::start().await;
    for (name, service) in ["first", "task", "last", "next"].into_iter().zip(services) {
        mesh.sidecar(&[(name, &service.url())]).await;
    }
    let id = mesh.deploy(Model::row("shared", &["first", "task", "last"]).xml()).await;
    (mesh, id)
}

async fn services() -> [Service; 4] {
    let [first, task, last, next] = ["first", "old", "last", "new"].map(|it| Service::adding(it, "here"));
    [first.await, task.await, last.await, next.await]
}

/// Which of the two did it.
fn by(result: &serde_json::Value) -> &'static str {
    match (result["old"] == "here", result["new"] == "here") {
        (true, false) => "old",
        (false, true) => "new",
        _ => panic!("one of the two does it: {result}"),
    }
}

#[tokio::test]
async fn a_share_of_the_work_goes_to_another_service_under_load_and_back_and_nothing_is_lost() {
    let [first, old, last, new] = services().await;
    let (mesh, id) = mesh([&first, &old, &last, &new]).await;
    let load = Load::start(mesh.url(&format!("/start/{id}")), "share", 60, |n| json!({"n": n}));
    let called = async |service: &Service, more: usize| {
        let wanted = service.calls().len() + more;
        eventually("calls of the service", PATIENCE, async || match service.calls().len() {
            calls if calls >= wanted => Ok(()),
            calls => Err(format!("{calls} calls so far")),
        })
        .await;
    };
    called(&old, 10).await;
    assert!(new.calls().is_empty(), "it has done nothing yet");

    let swapped = mesh.flowctl.json(&["swap", "task", "--service", "next", "--weight", "30", "-o", "json"]).await;
    let share = json!([{"service": "task", "backend": "next", "weight": 30, "replicas": 1, "error": ""}]);
    assert_eq!(swapped["shares"], share);
    let since = Instant::now();
    called(&new, 30).await;
    let after = |service: &Service| service.calls().iter().filter(|call| call.at > since).count();
    let (olds, news) = (after(&old), after(&new));
    assert!((10..=60).contains(&(news * 100 / (olds + news))), "about 30 of 100: {news} of {}", olds + news);

    let whole = mesh.flowctl.run(&["swap", "task", "--service", "next"]).await.expect_code(0);
    assert!(whole.stdout.contains("100 %"), "{whole:?}");
    let mut besides = Vec::new();
    for _ in 0..10 {
        let instance = mesh.complete(&id, &json!({})).await;
        assert_eq!(by(&instance["result"]), "new", "all of it");
        besides.push(instance["id"].as_str().unwrap().to_owned());
    }
    let undone = mesh.flowctl.json(&["swap", "task", "--undo", "-o", "json"]).await;
    assert_eq!((&undone["shares"][0]["weight"], &undone["shares"][0]["error"]), (&json!(0), &json!("")));
    for _ in 0..10 {
        let instance = mesh.complete(&id, &json!({})).await;
        assert_eq!(by(&instance["result"]), "old", "--undo takes it back");
        besides.push(instance["id"].as_str().unwrap().to_owned());
    }

    let mut accepted = load.stop().await;
    accepted.extend((1_000_000..).zip(besides));
    for instance in mesh.all_completed(&accepted, PATIENCE).await.values() {
        by(&instance["result"]);
        assert_eq!((&instance["result"]["last"], &instance["incidents"]), (&json!("here"), &json!(0)), "{instance}");
    }
    let all = accepted.len();
    assert_eq!(old.calls().len() + new.calls().len(), all, "each task ran once");
    assert_eq!((first.calls().len(), last.calls().len()), (all, all));
    let history = mesh.flowctl.json(&["swap", "task", "--history", "-o", "json"]).await;
    let said: Vec<&str> = history["swaps"].as_array().unwrap().iter().map(|it| it["to"].as_str().unwrap()).collect();
    assert_eq!(said, ["as before any swap", "service next, weight 100", "service next, weight 30"]);
}

#[tokio::test]
async fn a_share_outlives_restarts_and_falls_back_when_nobody_is_there_to_do_it() {
    let [first, old, last, new] = services().await;
    let (mut mesh, id) = mesh([&first, &old, &last, &new]).await;
    mesh.flowctl.run(&["swap", "task", "--service", "next"]).await.expect_code(0);
    assert_eq!(by(&mesh.complete(&id, &json!({})).await["result"]), "new");

    // all of them, flowd included, go on as they were
    mesh.flowd.kill().await;
    for sidecar in &mut mesh.sidecars {
        sidecar.process.kill().await;
    }
    mesh.start_flowd_again().await;
    for number in 0..mesh.sidecars.len() {
        mesh.sidecars[number].start_again().await;
    }
    assert_eq!(by(&mesh.complete(&id, &json!({})).await["result"]), "new");

    mesh.sidecars[3].process.kill().await;
    assert_eq!(by(&mesh.complete(&id, &json!({})).await["result"]), "old", "nobody else is there");
    mesh.sidecars[3].start_again().await;
    assert_eq!(mesh.complete(&id, &json!({})).await["state"], "COMPLETED");
}

#[tokio::test]
async fn a_service_that_cannot_do_the_work_is_refused_with_what_to_do() {
    let [first, old, last, new] = services().await;
    let (mesh, id) = mesh([&first, &old, &last, &new]).await;
    let nobody = mesh.flowctl.run(&["swap", "task", "--service", "nobody"]).await.expect_code(3);
    nobody.says(&["nobody", "no sidecar that is connected serves it", "flow-sidecar --serve"]);
    let itself = mesh.flowctl.run(&["swap", "task", "--service", "task"]).await.expect_code(1);
    itself.says(&["does it already", "--undo"]);
    assert_eq!(by(&mesh.complete(&id, &json!({})).await["result"]), "old");
    let history = mesh.flowctl.json(&["swap", "task", "--history", "-o", "json"]).await;
    assert_eq!(history["swaps"], json!([]), "what was refused is no swap");
}
