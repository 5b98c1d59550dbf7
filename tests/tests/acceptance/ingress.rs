//! Ways in by host and path: `flowctl update` opens and closes them, flowd's HTTP port answers them.

use flow_tests::harness::{Answer, Mesh, Model, Reply, Service, request};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn service() -> Service {
    Service::start(|call| async move {
        let mut body = call.json();
        if body["fail"] == "slowly" {
            return std::future::pending().await;
        }
        body["by"] = call.header("x-rexflow-tid").into();
        Answer::Json(body)
    })
    .await
}

fn model(task: &str) -> Vec<u8> {
    let model = Model::new("shop").global("synchronous_wrapper_timeout: 1").start("first").start("second");
    let model = model.typed(task, "one").typed("two", "one").end("end");
    model.path(&["first", task, "end"]).path(&["second", "two", "end"]).xml().into()
}

async fn call(mesh: &Mesh, method: &str, host: &str, path: &str, body: &Value) -> Reply {
    request(method, &mesh.url(path), &[JSON, ("host", host)], body.to_string()).await.unwrap()
}

async fn update(mesh: &Mesh, yaml: &str) -> Vec<(Value, Value)> {
    let ran = mesh.flowctl.run_with(&["update", "-", "-o", "json"], yaml.as_bytes()).await;
    let outcomes = ran.json();
    let each = outcomes.as_array().expect("an outcome for each document").iter();
    each.map(|it| (it["status"].clone(), it["message"].clone())).collect()
}

#[tokio::test]
async fn a_deployment_is_reached_by_host_and_path_until_it_is_cleared() {
    let service = service().await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("one", &service.url())]).await;
    let id = mesh.deploy(model("one")).await;
    let yaml = format!(
        "action: expose_ingress\nhost: Shop.example\nwf_id: {id}\ncomponent_name: first\nargs: {{path: /orders}}\n---\n\
         action: expose_ingress\nhost: '*'\nwf_id: shop\ncomponent_id: second\nargs: {{path: /hooks/paid}}\n"
    );
    assert!(update(&mesh, &yaml).await.iter().all(|(status, _)| status == "ok"));

    let started = call(&mesh, "POST", "shop.example:80", "/orders?utm=x", &json!({"n": 1})).await;
    let instance = started.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(mesh.until(&instance, "COMPLETED").await["result"], json!({"n": 1, "by": "one"}));
    let waited = call(&mesh, "POST", "shop.example", "/orders/wrapper", &json!({"n": 2})).await;
    assert_eq!((waited.status, waited.json()), (200, json!({"n": 2, "by": "one"})));
    let anywhere = call(&mesh, "POST", "127.0.0.1", "/hooks/paid/wrapper", &json!({"n": 3})).await;
    assert_eq!((anywhere.status, anywhere.json()), (200, json!({"n": 3, "by": "two"})));
    let late = call(&mesh, "POST", "shop.example", "/orders/wrapper", &json!({"fail": "slowly"})).await;
    assert_eq!(late.status, 504, "the model's time limit is honoured: {}", late.text());
    assert_eq!(call(&mesh, "GET", "shop.example", "/orders", &json!({})).await.status, 200);
    assert_eq!(call(&mesh, "DELETE", "shop.example", "/orders", &json!({})).await.status, 405);
    for own in ["/metrics", "/start/shop", "/instances/x/suspend", "/"] {
        assert_eq!(call(&mesh, "POST", "shop.example", own, &json!({})).await.status, 404, "{own} is not exposed");
    }

    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    mesh.until_deployment(&id, "RUNNING").await;
    let again = call(&mesh, "POST", "shop.example", "/orders/wrapper", &json!({"n": 4})).await;
    assert_eq!((again.status, again.json()), (200, json!({"n": 4, "by": "one"})), "routes are durable");
    let shown = mesh.flowctl.json(&["ps", "-d", &id, "-o", "json"]).await;
    let first = json!({"host": "shop.example", "path": "/orders", "start_event": "first"});
    assert_eq!(shown[0]["ingress"][0], first, "{shown}");

    mesh.flowctl
        .run(&["stop", "-d", &id])
        .await
        .expect_code(1)
        .says(&["still has exposed Ingress", "shop.example/orders"]);
    let cleared =
        update(&mesh, "action: clear_ingress\nhost: shop.example\n---\naction: clear_ingress\nhost: '*'\n").await;
    assert!(cleared.iter().all(|(status, _)| status == "ok"), "{cleared:?}");
    assert_eq!(call(&mesh, "POST", "shop.example", "/orders", &json!({})).await.status, 404);
    assert_eq!(call(&mesh, "POST", "127.0.0.1", "/hooks/paid", &json!({})).await.status, 404);
}

#[tokio::test]
async fn a_route_follows_its_process_to_a_new_version_and_to_no_other_process() {
    let service = service().await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("one", &service.url())]).await;
    let (old, new) = (mesh.deploy(model("one")).await, mesh.deploy(model("newer")).await);
    let other =
        mesh.deploy(Model::new("other").start("s").typed("t", "one").end("e").path(&["s", "t", "e"]).xml()).await;
    let expose = |id: &str, start: &str| format!("action: expose_ingress\nhost: shop.example\nwf_id: {id}\n{start}");
    let by = async |mesh: &Mesh| call(mesh, "POST", "shop.example", "/wrapper", &json!({})).await.json()["by"].clone();

    let told = update(&mesh, &expose(&old, "")).await;
    assert!(told[0].1.as_str().unwrap().starts_with("Must choose between following start events"), "{told:?}");
    assert_eq!(update(&mesh, &expose(&old, "component_id: first\n")).await[0].0, "ok");
    assert_eq!(by(&mesh).await, "one");
    assert_eq!(update(&mesh, &expose(&new, "component_id: first\n")).await[0].0, "ok");
    assert_eq!(by(&mesh).await, "newer");
    let taken = update(&mesh, &expose(&other, "")).await;
    assert!(taken[0].1.as_str().unwrap().contains("clear_ingress it there first"), "{taken:?}");
    assert_eq!(by(&mesh).await, "newer");

    for (yaml, why) in [
        (expose(&new, "component_id: third\n"), "has no start event \"third\""),
        (expose("nothing", ""), "nothing"),
        ("action: expose_ingress\nwf_id: other\nhost: localhost\n".to_owned(), "flowd's own"),
        ("action: expose_ingress\nwf_id: other\nhost: a b\n".to_owned(), "cannot be one"),
        ("action: clear_ingress\nhost: elsewhere.example\n".to_owned(), "there is no ingress elsewhere.example"),
        ("action: swap_service\n".to_owned(), "needs component_id"),
    ] {
        let told = update(&mesh, &yaml).await;
        assert!(told[0].0 == "error" && told[0].1.as_str().unwrap().contains(why), "{yaml}: {told:?}");
    }
    mesh.flowctl.run_with(&["update", "-"], b"- 1\n").await.expect_code(1).says(&["this is no update"]);
    mesh.flowctl.run(&["delete", "-d", "--force", &new]).await.expect_code(0);
    assert_eq!(call(&mesh, "POST", "shop.example", "/", &json!({})).await.status, 404, "it goes with its deployment");
}
