//! AT3, AT7 and AT8 of the original, and what a kill must not lose, wherever topics are.

use std::collections::BTreeMap;

use flow_tests::harness::{Mesh, Model, PATIENCE, Service, eventually, post};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// The world outside of the mesh, as it reaches topics.
pub(super) trait Outside {
    /// The script beside the mesh: doubles `val` of what comes by one topic, and publishes it to another with the same headers.
    async fn doubles(&self, mesh: &Mesh, from: &str, to: &str) -> JoinHandle<()>;
}

/// A service that takes one from `val`.
async fn decrement() -> Service {
    Service::start(|call| {
        let mut body = call.json();
        body["val"] = (body["val"].as_i64().unwrap() - 1).into();
        async move { flow_tests::harness::Answer::Json(body) }
    })
    .await
}

/// Starts instances over HTTP, some at a time, however often flowd goes away meanwhile; their ids by what they were started with.
async fn start_all(url: String, payloads: Vec<Value>, parallel: usize) -> Vec<(Value, String)> {
    let starts = futures_util::stream::iter(payloads.into_iter().enumerate()).map(|(n, payload)| {
        let (url, key) = (&url, format!("start-{n}"));
        async move {
            let id = eventually("to be started", PATIENCE, async || {
                match post(url, &[("idempotency-key", &key)], &payload).await {
                    Ok(reply) if reply.status == 200 => Ok(reply.json()["id"].as_str().unwrap().to_owned()),
                    Ok(reply) => Err(reply.text()),
                    Err(error) => Err(error.to_string()),
                }
            });
            let id = id.await;
            (payload, id)
        }
    });
    starts.buffer_unordered(parallel).collect().await
}

/// All instances, once there are so many and each is COMPLETED.
pub(super) async fn completed(mesh: &Mesh, count: usize) -> BTreeMap<String, Value> {
    eventually("all to be COMPLETED", PATIENCE, async || {
        let all = mesh.instances().await;
        let open = all.values().find(|it| it["state"] != "COMPLETED");
        if all.len() == count && open.is_none() { Ok(all) } else { Err(format!("{} of {count}, {open:?}", all.len())) }
    })
    .await
}

/// Kills flowd as often, each time when some more of `of` instances are over.
async fn kill(mesh: &mut Mesh, times: usize, of: usize) {
    for n in 1..=times {
        eventually("some to be COMPLETED", PATIENCE, async || {
            let over = mesh.instances().await.values().filter(|it| it["state"] == "COMPLETED").count();
            if over >= n * of / (times + 2) { Ok(()) } else { Err(over.to_string()) }
        })
        .await;
        mesh.flowd.kill().await;
        mesh.start_flowd_again().await;
    }
}

/// A catch event gets the message of its own instance; flowd is killed so many times meanwhile.
pub(super) async fn at3(mut mesh: Mesh, outside: &impl Outside, kills: usize) {
    let (increment, decrement) = (Service::counting("val").await, decrement().await);
    mesh.sidecar(&[("increment", &increment.url()), ("decrement", &decrement.url())]).await;
    let model = Model::new("events").start("start").task("add", "increment").throws("throw", "test3_throw");
    let model = model.catches("catch", "test3_catch", "").task("subtract", "decrement").end("end");
    let id = mesh.deploy(model.path(&["start", "add", "throw", "catch", "subtract", "end"]).xml()).await;
    let script = outside.doubles(&mesh, "test3_throw", "test3_catch").await;

    let url = mesh.url(&format!("/start/{id}"));
    let starting = start_all(url, (0..200).map(|v| json!({"val": v})).collect(), 40);
    let (started, ()) = tokio::join!(starting, kill(&mut mesh, kills, 200));
    let all = completed(&mesh, 200).await;
    for (payload, instance) in started {
        let v = payload["val"].as_i64().unwrap();
        assert_eq!(all[&instance]["result"], json!({"val": 2 * (v + 1) - 1}), "{instance}");
    }
    script.abort();
}

/// An end event starts another process by a topic.
pub(super) async fn at7(mut mesh: Mesh) {
    let sauce = Service::adding("sauce", "Applied.").await;
    let profit = Service::adding("cashflow", "Positive!").await;
    mesh.sidecar(&[("sauce", &sauce.url()), ("profit", &profit.url())]).await;
    let a = Model::new("a").start("start").task("apply", "sauce").event("endEvent", "end", "", "kafka_topic: test7");
    let b = Model::new("b").event("startEvent", "start", "", "kafka_topic: test7").task("sell", "profit").end("end");
    let b = mesh.deploy(b.path(&["start", "sell", "end"]).xml()).await;
    let a = mesh.deploy(a.path(&["start", "apply", "end"]).xml()).await;

    let cookies = (0..20).map(|n| json!({"cookie": format!("c-{n}")})).collect();
    let started = start_all(mesh.url(&format!("/start/{a}")), cookies, 10).await;
    let all = completed(&mesh, 40).await;
    for (payload, instance) in started {
        let cookie = payload["cookie"].clone();
        assert_eq!(all[&instance]["result"], json!({"cookie": cookie, "sauce": "Applied."}));
        let wanted = json!({"cookie": cookie, "sauce": "Applied.", "cashflow": "Positive!"});
        let of_b = all.iter().filter(|(id, it)| id.starts_with(&b) && it["result"] == wanted);
        assert_eq!(of_b.count(), 1, "{cookie}");
    }
}

/// A of AT8, and B that its way out by `negative-balance` starts.
fn comprehensive() -> (Model, Model) {
    let a = Model::new("a").start("start").task("add", "increment").exclusive("is-positive", "no");
    let a = a.event("endEvent", "negative-balance", "", "topic: broke").task("again", "increment");
    let a = a.throws("throw1", "throw-1").catches("catch1", "catch-1", "").task("subtract", "decrement");
    let a = a.throws("throw2", "throw-2").catches("catch2", "catch-2", "").exclusive("is-large", "small");
    let a = a.task("sell", "profit").task("apply", "sauce").end("end-profit").end("small-balance");
    let a = a.path(&["start", "add", "is-positive"]).when("yes", "is-positive", "again", "val > 0");
    let a = a.flow("no", "is-positive", "negative-balance");
    let a = a.path(&["again", "throw1", "catch1", "subtract", "throw2", "catch2", "is-large"]);
    let a = a.when("large", "is-large", "sell", "val > 100").flow("small", "is-large", "apply");
    let a = a.path(&["sell", "end-profit"]).path(&["apply", "small-balance"]);
    let b = Model::new("b").event("startEvent", "start", "", "topic: broke").task("orz", "orz").end("end");
    (a, b.path(&["start", "orz", "end"]))
}

/// Everything together; flowd is killed so many times meanwhile.
pub(super) async fn at8(mut mesh: Mesh, outside: &impl Outside, kills: usize) {
    let (increment, decrement) = (Service::counting("val").await, decrement().await);
    let sauce = Service::adding("sauce", "Applied.").await;
    let profit = Service::adding("cashflow", "Positive!").await;
    let orz = Service::adding("cashflow", "Orz").await;
    mesh.sidecar(&[("increment", &increment.url())]).await;
    mesh.sidecar(&[("decrement", &decrement.url()), ("sauce", &sauce.url())]).await;
    mesh.sidecar(&[("profit", &profit.url()), ("orz", &orz.url())]).await;
    let (a, b) = comprehensive();
    let (b, a) = (mesh.deploy(b.xml()).await, mesh.deploy(a.xml()).await);
    let scripts =
        [outside.doubles(&mesh, "throw-1", "catch-1").await, outside.doubles(&mesh, "throw-2", "catch-2").await];

    let payloads: Vec<Value> = (-50..150).map(|v| json!({"val": v, "cookie": format!("c{v}")})).collect();
    let broke = (-50..0).count();
    let starting = start_all(mesh.url(&format!("/start/{a}")), payloads, 20);
    let (started, ()) = tokio::join!(starting, kill(&mut mesh, kills, 200 + broke));
    let all = completed(&mesh, 200 + broke).await;
    for (payload, instance) in started {
        let (v, cookie) = (payload["val"].as_i64().unwrap(), &payload["cookie"]);
        let (view, out) = (&all[&instance], ((v + 2) * 2 - 1) * 2);
        let (end, result) = match v {
            ..0 => ("negative-balance", json!({"val": v + 1, "cookie": cookie})),
            _ if out > 100 => ("end-profit", json!({"val": out, "cookie": cookie, "cashflow": "Positive!"})),
            _ => ("small-balance", json!({"val": out, "cookie": cookie, "sauce": "Applied."})),
        };
        assert_eq!((&view["end_event"], &view["result"]), (&json!(end), &result), "val {v}");
        let of_b = all.iter().filter(|(id, it)| id.starts_with(&b) && it["result"]["cookie"] == *cookie);
        let flows: Vec<&Value> = of_b.map(|(_, it)| &it["result"]["cashflow"]).collect();
        assert_eq!(flows.len(), usize::from(v < 0), "val {v}");
        assert!(flows.iter().all(|it| **it == "Orz"));
    }
    scripts.iter().for_each(JoinHandle::abort);
}
