//! The HTTP port: starting, waiting, keys, limits, and what it says when something is wrong.

use bytes::Bytes;
use http_body_util::Full;
use serde_json::json;

use super::harness::{Plane, no_task, one_task};
use super::sidecar::{Does, Role, Sidecar};

#[tokio::test]
async fn start_answers_as_the_original_and_wait_with_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let id = plane.apply(&one_task("order")).await.deployments[0].id.clone();
    let early = plane.post("/start/order", "{}").await;
    assert_eq!((early.status, early.json()["status"].clone()), (409, json!(-1)));
    let _sidecar = Sidecar::attach(&plane, Role::answering("approve", r#"{"ok":1}"#)).await;
    plane.state(&id, "RUNNING").await;

    let started = plane.post("/start/order", r#"{"x":1}"#).await;
    let body = started.json();
    assert_eq!(started.status, 200);
    assert_eq!((body["message"].as_str(), body["status"].as_i64()), (Some("Ok"), Some(0)));
    assert!(body["id"].as_str().unwrap().starts_with(&id));
    assert_eq!(body.as_object().unwrap().len(), 3);
    assert_eq!(started.headers["x-rexflow-iid"], body["id"].as_str().unwrap());

    let waited = plane.post(&format!("/start/{id}?wait=30s"), r#"{"x":1}"#).await;
    assert_eq!((waited.status, &waited.body[..]), (200, &br#"{"ok":1}"#[..]));
    assert_eq!(waited.headers["content-type"], "application/json");
    assert!(waited.headers["x-rexflow-iid"].to_str().unwrap().starts_with(&id));

    let map = plane.get("/wf_map").await.json();
    let entry = &map["wf_map"]["order"][0];
    assert_eq!((map["status"].as_i64(), entry["id"].as_str()), (Some(0), Some(id.as_str())));
    assert_eq!(entry["user_opaque_metadata"], json!({"team": "orders"}));
    let url = entry["start_event_urls"][0].as_str().unwrap().to_owned();
    assert_eq!(url, plane.url(&format!("/start/{id}")));
    plane.stop().await;
}

#[tokio::test]
async fn a_failed_instance_is_500_with_its_record_and_a_slow_one_504() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let id = plane.apply(&one_task("order")).await.deployments[0].id.clone();
    let failing = Sidecar::attach(&plane, Role { does: Does::Fails, ..Role::answering("approve", "") }).await;
    plane.state(&id, "RUNNING").await;
    let failed = plane.post("/start/order?wait=30s", r#"{"a":1}"#).await;
    let record = failed.json();
    assert_eq!(failed.status, 500);
    assert_eq!(record["error_code"], "FAILED_TASK");
    assert_eq!(record["failed_task_id"], "check");
    assert_eq!(record["input_data"], json!({"a": 1}));
    assert_eq!(record["output_data"], "boom");
    assert_eq!(record["state"], "STOPPED");
    drop(failing);
    let _holding =
        Sidecar::attach(&plane, Role { incarnation: 8, does: Does::Holds, ..Role::answering("approve", "") }).await;
    plane.state(&id, "RUNNING").await;
    let slow = plane.post("/start/order?wait=50ms", "{}").await;
    assert_eq!((slow.status, slow.json()["status"].clone()), (504, json!(-1)));
    assert_eq!(slow.headers["x-rexflow-iid"], slow.json()["id"].as_str().unwrap());
    plane.stop().await;
}

#[tokio::test]
async fn the_same_key_is_the_same_instance_also_after_its_end_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let id = plane.apply(&no_task("p")).await.deployments[0].id.clone();
    plane.state(&id, "RUNNING").await;
    let keyed = async |plane: &Plane, path: &str| {
        let request = http::Request::post(plane.url(path)).header("idempotency-key", "k1");
        let body = Full::new(Bytes::from_static(br#"{"v":1}"#));
        let request = request.header("content-type", "application/json").body(body).unwrap();
        plane.request(request).await
    };
    let first = keyed(&plane, "/start/p?start_event=one").await.json();
    let waited = keyed(&plane, "/start/p?start_event=one&wait=10s").await;
    assert_eq!(waited.headers["x-rexflow-iid"], first["id"].as_str().unwrap());
    assert_eq!((waited.status, &waited.body[..]), (200, &br#"{"v":1}"#[..]));
    plane.stop().await;
    let plane = Plane::start(folder.path()).await;
    assert_eq!(keyed(&plane, "/start/p?start_event=one").await.json()["id"], first["id"]);
    plane.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_told_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let id = plane.apply(&no_task("p")).await.deployments[0].id.clone();
    plane.state(&id, "RUNNING").await;
    for (method, path, status, said) in [
        ("POST", "/start/q", 404, "no deployment matches"),
        ("POST", "/start/p", 400, "Must choose between following start events: one, two"),
        ("POST", "/start/p?start_event=three", 400, "has no start event three; it has one, two"),
        ("POST", "/start/p?start_event=one&wait=soon", 400, "write 30s"),
        ("GET", "/start/p", 405, "only POST"),
        ("POST", "/metrics", 405, "only GET"),
        ("GET", "/nothing", 404, "POST /start/<ID>"),
    ] {
        let request = http::Request::builder().method(method).uri(plane.url(path));
        let answer = plane.request(request.body(Full::default()).unwrap()).await;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{method} {path}: {body}");
        assert!(body.contains(said), "{method} {path}: {body}");
    }
    let large = plane.post("/start/p?start_event=one", vec![b'x'; (1 << 20) + 1]).await;
    assert_eq!(large.status, 413);
    let whole = plane.post("/start/p?start_event=two&wait=10s", "no JSON").await;
    assert_eq!((whole.status, &whole.body[..]), (200, &b"no JSON"[..]));
    assert_eq!(plane.get("/health").await.json(), json!({"message": "Ok.", "status": 0}));
    assert_eq!(plane.get("/ready").await.status, 200);
    let metrics = plane.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body);
    for (name, more) in
        [("flow_instances_started_total", ""), ("flow_instances_completed_total", ",result=\"completed\"")]
    {
        let begin = format!("{name}{{process=\"p\",version=\"p-");
        let is = |line: &str| line.starts_with(&begin) && line.ends_with(&format!("\"{more}}} 1"));
        assert!(metrics.lines().any(is), "{metrics}");
    }
    plane.stop().await;
}
