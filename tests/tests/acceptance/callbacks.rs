//! Tasks that answer later, as their authors see them: a URL in the call, and what flowd answers below it.

use flow_tests::harness::{Answer, Mesh, Model, PATIENCE, Reply, Service, eventually, post, request};
use serde_json::{Value, json};

async fn call_back(url: &str, body: &Value) -> Reply {
    post(url, &[], body).await.unwrap()
}

/// Waits for the `n`th call (from 1) of the service, and gives its callback URL.
async fn address(service: &Service, n: usize) -> String {
    let calls = async || match service.calls().get(n - 1) {
        Some(call) => Ok(call.header("x-rexflow-callback-url").to_owned()),
        None => Err(format!("{} calls", service.calls().len())),
    };
    eventually("the task is called", PATIENCE, calls).await
}

/// Waits until flowd has the token.
async fn waits(mesh: &Mesh, instance: &str) {
    let waiting = async || match mesh.instance(instance).await {
        view if view["waiting"].to_string().contains("waits for its callback") => Ok(()),
        view => Err(view.to_string()),
    };
    eventually("the callback is waited for", PATIENCE, waiting).await;
}

fn annotated(more: &str) -> Model {
    Model::new("order")
        .global("id: order\nrecoverable: true")
        .start("begin")
        .annotated("cook", &format!("service:\n  host: cook\n  asynchronous: true\n{more}"))
        .task("serve", "serve")
        .end("done")
        .path(&["begin", "cook", "serve", "done"])
}

#[tokio::test]
async fn an_asynchronous_task_answers_once_across_crashes_of_everything() {
    let cook = Service::start(|_| async move { Answer::Json(json!({"this": "is no result"})) }).await;
    let serve = Service::adding("served", true).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("cook", &cook.url()), ("serve", &serve.url())]).await;
    mesh.deploy(annotated("").xml()).await;
    let instance = mesh.begin("order", &json!({"meal": "soup"})).await;
    let url = address(&cook, 1).await;
    assert_eq!(cook.calls()[0].json(), json!({"meal": "soup", "callback_url": url}), "in the body as in the original");
    assert!(url.starts_with(&mesh.url("/callbacks/")), "{url}");
    waits(&mesh, &instance).await;

    mesh.sidecars[0].process.kill().await;
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    assert_eq!(call_back(&format!("{url}/heartbeat"), &json!({})).await.status, 200);
    let forged = format!("{}{}", &url[..url.len() - 1], if url.ends_with('0') { '1' } else { '0' });
    for (url, method, status) in [
        (forged.clone(), "POST", 403),
        (format!("{forged}/heartbeat"), "POST", 403),
        (format!("{forged}/failure"), "POST", 403),
        (mesh.url(&format!("/callbacks/{instance}/nothing/{}", "0".repeat(32))), "POST", 404),
        (mesh.url(&format!("/callbacks/nobody-1/{}/{}", "0".repeat(32), "0".repeat(32))), "POST", 404),
        (format!("{url}/forget"), "POST", 404),
        (format!("{url}/error"), "POST", 400),
        (format!("{url}?result=1"), "POST", 400),
        (url.clone(), "GET", 405),
    ] {
        let reply =
            request(method, &url, &[("content-type", "application/json")], "{\"meal\": \"poison\"}").await.unwrap();
        assert_eq!(reply.status, status, "{method} {url}: {}", reply.text());
    }
    waits(&mesh, &instance).await;
    assert_eq!(call_back(&url, &json!({"cooked": true})).await.status, 200);
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    let second = call_back(&url, &json!({"cooked": false})).await;
    assert_eq!(second.status, 409, "{}", second.text());
    mesh.sidecars[0].start_again().await;
    let ended = mesh.until(&instance, "COMPLETED").await;
    assert_eq!(ended["result"], json!({"meal": "soup", "cooked": true, "served": true}));
    assert_eq!(call_back(&url, &json!({"cooked": false})).await.status, 409, "and when it has ended");
    assert_eq!(cook.calls().len(), 1);
}

#[tokio::test]
async fn any_task_may_ask_for_a_callback_and_end_with_an_error_or_a_failure() {
    let cook = Service::start(|_| async move { Answer::Asynchronous }).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("cook", &cook.url())]).await;
    let model = Model::new("order")
        .start("begin")
        .typed_with("cook", "cook", "retries=\"1\"")
        .on_error("burnt", "cook", "BURNT")
        .end("done")
        .end("sorry")
        .path(&["begin", "cook", "done"])
        .flow("to-sorry", "burnt", "sorry");
    mesh.deploy(model.xml()).await;
    let burnt = mesh.begin("order", &json!({"n": 1})).await;
    let url = address(&cook, 1).await;
    assert_eq!(cook.calls()[0].json(), json!({"n": 1}), "the URL is in the header alone");
    assert_eq!(call_back(&format!("{url}/error?code=BURNT"), &json!({"black": true})).await.status, 200);
    let ended = mesh.until(&burnt, "COMPLETED").await;
    assert_eq!(ended["end_event"], "sorry", "{ended}");

    let failing = mesh.begin("order", &json!({"n": 2})).await;
    let url = address(&cook, 2).await;
    assert_eq!(call_back(&format!("{url}/failure?message=no%20gas"), &json!({})).await.status, 200);
    let stopped = mesh.until(&failing, "STOPPED").await;
    assert!(stopped.to_string().contains("no gas"), "{stopped}");
    mesh.flowctl.run(&["start", &failing]).await.expect_code(0);
    let again = address(&cook, 3).await;
    assert_ne!(again, url);
    assert_eq!(call_back(&url, &json!({"late": true})).await.status, 409, "the failed call is over");
    assert_eq!(call_back(&again, &json!({"cooked": true})).await.status, 200);
    assert_eq!(mesh.until(&failing, "COMPLETED").await["result"], json!({"n": 2, "cooked": true}));
}

#[tokio::test]
async fn a_task_that_never_calls_back_is_an_incident() {
    let cook = Service::start(|_| async move { Answer::Asynchronous }).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("cook", &cook.url()), ("serve", &cook.url())]).await;
    mesh.deploy(annotated("call:\n  callback_timeout: 0.5").xml()).await;
    let instance = mesh.begin("order", &json!({})).await;
    let stopped = mesh.until(&instance, "STOPPED").await;
    assert!(stopped.to_string().contains("did not call back in time"), "{stopped}");
    assert_eq!(call_back(&address(&cook, 1).await, &json!({})).await.status, 409);
}

#[tokio::test]
async fn a_task_may_call_back_before_its_call_is_answered() {
    let cook = Service::start(|call| async move {
        let url = call.header("x-rexflow-callback-url").to_owned();
        tokio::spawn(async move {
            let reply = call_back(&url, &json!({"cooked": true})).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        });
        Answer::Asynchronous
    })
    .await;
    let serve = Service::adding("served", true).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("cook", &cook.url()), ("serve", &serve.url())]).await;
    mesh.deploy(annotated("").xml()).await;
    for n in 0..10 {
        let answer = mesh.complete("order", &json!({"n": n})).await;
        assert_eq!(answer["result"], json!({"n": n, "cooked": true, "served": true}), "{answer}");
    }
}

#[tokio::test]
async fn forged_requests_to_a_task_or_to_flowd_change_nothing() {
    let cook = Service::start(|_| async move { Answer::Asynchronous }).await;
    let serve = Service::adding("served", true).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("cook", &cook.url()), ("serve", &serve.url())]).await;
    let id = mesh.deploy(annotated("").xml()).await;
    let instance = mesh.begin("order", &json!({"meal": "soup"})).await;
    let url = address(&cook, 1).await;
    waits(&mesh, &instance).await;
    let before = mesh.until(&instance, "RUNNING").await;
    // what ended or failed any instance of the original
    let headers = [("x-rexflow-iid", instance.as_str()), ("x-rexflow-did", id.as_str()), ("x-rexflow-tid", "serve")];
    let admin = format!("http://{}", mesh.sidecars[0].hop());
    for (target, answered) in [
        (mesh.url("/"), Some(404)),
        (mesh.url("/instancefail"), Some(404)),
        (mesh.url(&format!("/callbacks/{instance}")), Some(404)),
        (serve.url(), Some(200)),
        (cook.url(), Some(202)),
        // the hop port speaks gRPC alone
        (admin, None),
    ] {
        let reply = post(&target, &headers, &json!({"meal": "poison"})).await;
        assert_eq!(reply.ok().map(|it| it.status).filter(|_| answered.is_some()), answered, "{target}");
    }
    assert_eq!(mesh.instance(&instance).await, before);
    assert_eq!(call_back(&url, &json!({"cooked": true})).await.status, 200);
    let ended = mesh.until(&instance, "COMPLETED").await;
    assert_eq!(ended["result"], json!({"meal": "soup", "cooked": true, "served": true}));
    assert_eq!(mesh.instances().await.len(), 1, "and nothing was started");
}
