//! `POST /start/ID`: how callers without flowctl start instances, and what the HTTP port tells besides.

use flow_tests::harness::{Answer, Mesh, Model, Service, request};
use serde_json::json;

async fn mesh() -> (Mesh, Service, String) {
    let service = Service::start(|call| async move {
        let mut body = call.json();
        match body["fail"].as_str() {
            Some("slowly") => std::future::pending().await,
            Some(code) => Answer::Other(400, "application/json", format!("{{\"code\":\"{code}\"}}").into()),
            None => {
                body["by"] = call.header("x-rexflow-tid").into();
                Answer::Json(body)
            }
        }
    })
    .await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("one", &service.url()), ("two", &service.url())]).await;
    let model = Model::new("http").start("first").start("second").typed("one", "one").typed("two", "two").end("end");
    let id = mesh.deploy(model.path(&["first", "one", "end"]).path(&["second", "two", "end"]).xml()).await;
    (mesh, service, id)
}

#[tokio::test]
async fn a_start_answers_with_the_id_or_with_the_result() {
    let (mesh, _service, id) = mesh().await;
    let reply = mesh.post_start(&id, "?start_event=first", &[], &json!({"n": 1})).await;
    let started = reply.json();
    let instance = started["id"].as_str().unwrap();
    assert_eq!((reply.status, &started), (200, &json!({"id": instance, "message": "Ok", "status": 0})));
    assert_eq!(mesh.until(instance, "COMPLETED").await["result"], json!({"n": 1, "by": "one"}));

    let reply = mesh.post_start("http", "?start_event=second&wait=30s", &[], &json!({"n": 2})).await;
    assert_eq!((reply.status, reply.json()), (200, json!({"n": 2, "by": "two"})));
    assert!(reply.header("content-type").starts_with("application/json"));
    assert_eq!(mesh.instance(reply.header("x-rexflow-iid")).await["state"], "COMPLETED");

    let reply = mesh.post_start(&id, "", &[], &json!({})).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("first") && message.contains("second"), "it names the start events: {message}");
    let reply = mesh.post_start(&id, "?start_event=third", &[], &json!({})).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    mesh.flowctl.run(&["run", &id, "{}", "-s", "third"]).await.expect_code(1).says(&["first", "second"]);
    assert_eq!(mesh.instances().await.len(), 2);
}

#[tokio::test]
async fn a_failure_answers_500_with_its_record_and_a_late_end_504() {
    let (mesh, _service, id) = mesh().await;
    let reply = mesh.post_start(&id, "?start_event=first&wait=30s", &[], &json!({"fail": "NO_STOCK"})).await;
    let record = reply.json();
    assert_eq!((reply.status, &record["failed_task_id"]), (500, &json!("one")), "{record}");
    assert_eq!(record["input_data"], json!({"fail": "NO_STOCK"}), "{record}");
    assert_eq!(record["output_data"], json!({"code": "NO_STOCK"}), "{record}");
    for key in ["error_code", "error_msg", "failed_task_name", "input_headers"] {
        assert!(!record[key].is_null(), "the original's failure record has {key}: {record}");
    }
    assert_eq!(mesh.instance(reply.header("x-rexflow-iid")).await["state"], "STOPPED");

    let reply = mesh.post_start(&id, "?start_event=first&wait=200ms", &[], &json!({"fail": "slowly"})).await;
    assert_eq!(reply.status, 504, "{}", reply.text());
    let instance = reply.header("x-rexflow-iid");
    assert_eq!(reply.json()["id"], instance);
    assert_eq!(mesh.instance(instance).await["state"], "RUNNING", "it goes on");
}

#[tokio::test]
async fn the_same_idempotency_key_starts_one_instance_also_after_a_restart() {
    let (mut mesh, service, id) = mesh().await;
    let key = [("idempotency-key", "order-17")];
    let start = async |mesh: &Mesh, query: &str| {
        let reply = mesh.post_start(&id, query, &key, &json!({"n": 1})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply
    };
    let first = start(&mesh, "?start_event=first").await.json()["id"].clone();
    assert_eq!(start(&mesh, "?start_event=first").await.json()["id"], first);
    let waited = start(&mesh, "?start_event=first&wait=30s").await;
    assert_eq!(waited.json(), json!({"n": 1, "by": "one"}));
    assert_eq!(json!(waited.header("x-rexflow-iid")), first);
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    assert_eq!(start(&mesh, "?start_event=first").await.json()["id"], first);
    let words = ["run", &id, "{}", "-s", "first", "--key", "order-17", "-o", "json"];
    assert_eq!(mesh.flowctl.json(&words).await["id"], first, "flowctl's --key is the same key");
    assert_eq!(mesh.instances().await.len(), 1);
    assert_eq!(service.calls().len(), 1);
}

#[tokio::test]
async fn health_readiness_metrics_and_the_map_are_told() {
    let (mesh, _service, id) = mesh().await;
    let get = async |path: &str| request("GET", &mesh.url(path), &[], "").await.unwrap();
    assert_eq!(get("/health").await.json(), json!({"message": "Ok.", "status": 0}));
    assert_eq!(get("/ready").await.status, 200);
    let map = get("/wf_map").await.json();
    let entry = &map["wf_map"]["http"][0];
    assert_eq!((&map["status"], &entry["id"]), (&json!(0), &json!(id)), "{map}");
    let url = entry["start_event_urls"][0].as_str().unwrap();
    assert!(url.contains(&id), "{map}");
    let reply = flow_tests::harness::post(url, &[], &json!({"n": 3})).await.unwrap();
    assert_eq!(reply.status, 200, "the map's URLs start instances: {}", reply.text());
    mesh.until(reply.json()["id"].as_str().unwrap(), "COMPLETED").await;
    let metrics = get("/metrics").await.text();
    for name in ["flow_instances_started_total", "flow_instances_completed_total"] {
        assert!(metrics.contains(name), "no {name} in {metrics}");
    }
}

#[tokio::test]
async fn trace_context_and_keys_reach_the_task_and_nothing_else_of_the_caller_does() {
    let (mesh, service, id) = mesh().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("traceparent", parent), ("authorization", "Bearer caller"), ("cookie", "a=b"), ("x-own", "1")];
    let reply = mesh.post_start(&id, "?start_event=first&wait=30s", &headers, &json!({"n": 1})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let calls = service.calls();
    let call = &calls[0];
    assert!(call.header("traceparent").contains("0af7651916cd43dd8448eb211c80319c"), "{:?}", call.headers);
    for name in ["authorization", "cookie", "x-own"] {
        assert_eq!(call.header(name), "", "{name} is the caller's own");
    }
    let key = call.key();
    assert!(key.starts_with('"') && key.ends_with('"') && key.len() == 34, "{key}");
    assert_eq!((call.header("x-rexflow-did"), call.header("x-rexflow-tid")), (id.as_str(), "one"));
    assert_eq!(call.instance(), reply.header("x-rexflow-iid"));
}
