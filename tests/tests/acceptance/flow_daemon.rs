//! The original's `FlowDaemon`, spoken to as its Python flowctl does: status, message, and the JSON in `data`.

use flow_tests::harness::{Mesh, Model, PATIENCE, Service, eventually};
use proto::rexflow::flow_daemon_client::FlowDaemonClient;
use proto::rexflow::{
    ApplyRequest, DeleteRequest, FlowdResult, ProbeRequest, PsRequest, RequestKind, RunRequest, StartRequest,
    StopRequest, StringPair, UpdateRequest, ValidateRequest,
};
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};

const DEPLOYMENT: i32 = RequestKind::Deployment as i32;
const INSTANCE: i32 = RequestKind::Instance as i32;

/// What the original's client makes of an answer: status and message of the outside, and what is inside.
fn told(result: FlowdResult) -> (i64, String, Value) {
    let data = if result.data.is_empty() { Value::Null } else { serde_json::from_str(&result.data).unwrap() };
    (result.status, result.message, data)
}

/// The data of an answer that is `0, "Ok"`.
#[track_caller]
fn ok(response: Result<tonic::Response<FlowdResult>, tonic::Status>) -> Value {
    let (status, message, data) = told(response.unwrap().into_inner());
    assert_eq!((status, message.as_str()), (0, "Ok"), "{data}");
    data
}

async fn client(mesh: &Mesh) -> FlowDaemonClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", mesh.grpc())).unwrap();
    // The original's clients call under this name, whatever the address is.
    let endpoint = endpoint.origin("http://flowd:9001".parse().unwrap());
    FlowDaemonClient::new(endpoint.connect().await.unwrap())
}

async fn ps(client: &mut FlowDaemonClient<Channel>, kind: i32, id: &str) -> Value {
    let ids = if id.is_empty() { vec![] } else { vec![id.to_owned()] };
    ok(client.ps_query(PsRequest { kind, ids, ..PsRequest::default() }).await)
}

#[tokio::test]
async fn the_original_s_client_applies_runs_lists_and_deletes() {
    let service = Service::counting("x").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("adder", &service.url())]).await;
    let mut client = client(&mesh).await;
    let model = Model::new("adder").start("s").task("t", "adder").end("e").path(&["s", "t", "e"]).xml();

    let valid =
        ok(client.validate_workflow(ValidateRequest { bpmn_xml: model.clone(), include_kubernetes: false }).await);
    let applied = ok(client.apply_workflow(ApplyRequest { bpmn_xml: model.clone(), stopped: false }).await);
    let id = applied["wf_id"].as_str().unwrap().to_owned();
    assert_eq!(applied, json!({"status": 0, "message": "Ok.", "wf_id": id}));
    assert_eq!(valid["wf_id"], json!(id), "validate names the id that apply gives: {valid}");
    let twice = client.apply_workflow(ApplyRequest { bpmn_xml: model, stopped: false }).await;
    let (status, message, _) = told(twice.unwrap().into_inner());
    assert_eq!((status, message.as_str()), (-1, "AssertionError(Workflow ID already exists!)"));

    eventually("the deployment to be RUNNING", PATIENCE, async || {
        let listed = ps(&mut client, DEPLOYMENT, &id).await;
        if listed == json!({ id.as_str(): {"state": "RUNNING"} }) { Ok(()) } else { Err(listed.to_string()) }
    })
    .await;
    let probed = ok(client.probe_workflow(ProbeRequest { ids: vec![id.clone()] }).await);
    assert_eq!(probed, json!([{ id.as_str(): [["t", "UP"]] }]));

    let metadata = vec![StringPair { key: "order".into(), value: "17".into() }];
    let run = RunRequest {
        workflow_id: id.clone(),
        args: vec![r#"{"x": 5}"#.into()],
        metadata: metadata.clone(),
        ..RunRequest::default()
    };
    let started = ok(client.run_workflow(run).await);
    let instance = started["id"].as_str().unwrap().to_owned();
    assert_eq!(started, json!({"id": instance, "message": "Ok", "status": 0}));
    let completed = eventually("the instance to be COMPLETED", PATIENCE, async || {
        let listed = ps(&mut client, INSTANCE, &instance).await;
        if listed[&instance]["state"] == "COMPLETED" { Ok(listed[&instance].clone()) } else { Err(listed.to_string()) }
    })
    .await;
    let result: Value = serde_json::from_str(completed["result"].as_str().expect("the result is a string")).unwrap();
    assert_eq!(result, json!({"x": 6}), "the payload arrives, which it did not in the original");
    assert_eq!((&completed["parent"], &completed["end_event"]), (&json!(id), &json!("e")), "{completed}");
    assert_eq!(
        (&completed["metadata"], &completed["content_type"]),
        (&json!({"order": "17"}), &json!("application/json"))
    );

    let found = PsRequest { kind: INSTANCE, metadata, ..PsRequest::default() };
    assert_eq!(ok(client.ps_query(found).await).as_object().map(serde_json::Map::len), Some(1));
    let other = vec![StringPair { key: "order".into(), value: "18".into() }];
    let nothing = PsRequest { kind: INSTANCE, metadata: other, ..PsRequest::default() };
    assert_eq!(ok(client.ps_query(nothing).await), json!({}));

    let ids = vec![id.clone()];
    let stopped = ok(client.stop_workflow(StopRequest { kind: DEPLOYMENT, ids: ids.clone(), force: false }).await);
    assert_eq!(stopped, json!({ id.as_str(): {"status": 0, "message": "Stopped."} }));
    eventually("the deployment to be STOPPED", PATIENCE, async || {
        let listed = ps(&mut client, DEPLOYMENT, &id).await;
        if listed[&id]["state"] == "STOPPED" { Ok(()) } else { Err(listed.to_string()) }
    })
    .await;
    let delete = |kind, id: &str| DeleteRequest { kind, ids: vec![id.to_owned()], ..DeleteRequest::default() };
    let deleted = ok(client.delete_workflow(delete(INSTANCE, &instance)).await);
    assert_eq!(
        deleted,
        json!({ instance.as_str(): {"result": 0, "message": format!("Successfully deleted {instance}.")} })
    );
    let deleted = ok(client.delete_workflow(delete(DEPLOYMENT, &id)).await);
    assert_eq!(deleted[&id]["result"], 0, "{deleted}");
    assert_eq!(ok(client.delete_workflow(delete(DEPLOYMENT, &id)).await)[&id]["result"], -1);
    assert_eq!(ps(&mut client, INSTANCE, &instance).await, json!({ instance.as_str(): {} }));
}

#[tokio::test]
async fn the_original_s_client_sees_a_failure_record_and_starts_from_the_failed_task() {
    let broken =
        Service::start(|_| async { flow_tests::harness::Answer::Other(500, "text/plain", "boom".into()) }).await;
    let working = Service::counting("a").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("fragile", &broken.url())]).await;
    let mut client = client(&mesh).await;
    let model = Model::new("fragile").global("recoverable: true").start("s").task("t", "fragile").end("e");
    let id = mesh.deploy(model.path(&["s", "t", "e"]).xml()).await;
    let run = RunRequest { workflow_id: id, args: vec![r#"{"a": 1}"#.into()], ..RunRequest::default() };
    let instance = ok(client.run_workflow(run).await)["id"].as_str().unwrap().to_owned();
    let record = eventually("the instance to be STOPPED", PATIENCE, async || {
        let listed = ps(&mut client, INSTANCE, &instance).await;
        if listed[&instance]["state"] == "STOPPED" { Ok(listed[&instance].clone()) } else { Err(listed.to_string()) }
    })
    .await;
    let expected = [
        ("error_code", json!("FAILED_TASK")),
        ("failed_task_id", json!("t")),
        ("failed_task_name", json!("t")),
        ("input_data", json!({"a": 1})),
        ("output_data", json!("boom")),
        ("content_type", json!("application/json")),
    ];
    for (key, value) in expected {
        assert_eq!(record[key], value, "{key} of {record}");
    }
    assert_eq!(record["output_headers"]["status"], "500", "{record}");
    assert_eq!(record["input_headers"]["x-rexflow-tid"], "t", "{record}");

    mesh.flowctl.run(&["swap", "t", "--url", &working.url()]).await.expect_code(0);
    let start = StartRequest { kind: INSTANCE, ids: vec![instance.clone()], force: false };
    let started = ok(client.start_workflow(start.clone()).await);
    assert_eq!(started, json!({ instance.as_str(): {"status": 0, "message": "Retry Succeeded."} }));
    assert_eq!(mesh.until(&instance, "COMPLETED").await["result"], json!({"a": 2}));
    let (status, message, _) = told(client.start_workflow(start).await.unwrap().into_inner());
    assert_eq!((status, message.as_str()), (-1, "AssertionError(Can only start instances in STOPPED state)"));
}

#[tokio::test]
async fn mistakes_are_told_as_the_original_told_them() {
    let mesh = Mesh::start().await;
    let mut client = client(&mesh).await;
    let refused = ok(client.apply_workflow(ApplyRequest { bpmn_xml: "<no".into(), stopped: false }).await);
    assert_eq!(refused["status"], -1, "{refused}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with("Failed to compile provided bpmn diagram: "), "{message}");
    let probed = ok(client.probe_workflow(ProbeRequest { ids: vec!["x".into()] }).await);
    assert!(probed.to_string().contains("Workflow 'x' not found"), "{probed}");
    let stop = StopRequest { kind: DEPLOYMENT, ids: vec!["x".into()], force: false };
    let (status, message, data) = told(client.stop_workflow(stop).await.unwrap().into_inner());
    assert!(status == -1 || data["x"]["status"] == -1, "{status} {message} {data}");
    let update = UpdateRequest { update_spec: "action: expose_ingress\nhost: h\n".into() };
    let refused = ok(client.update_workflow(update).await);
    assert_eq!(
        (&refused["status"], &refused["message"]),
        (&json!(-1), &json!("expose_ingress needs wf_id, the deployment or its process"))
    );
    // A message beyond all limits ends that call, not flowd.
    let large = ApplyRequest { bpmn_xml: " ".repeat(70 << 20), stopped: false };
    assert!(client.max_encoding_message_size(usize::MAX).apply_workflow(large).await.is_err());
    assert_eq!(mesh.flowctl.json(&["ps", "-d", "-o", "json"]).await, json!([]));
}

#[tokio::test]
async fn what_one_id_was_refused_is_told_inside_an_answer_that_is_ok() {
    let service = Service::counting("x").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("slow", &service.url())]).await;
    let mut client = client(&mesh).await;
    assert_eq!(ok(client.probe_workflow(ProbeRequest::default()).await), json!({"result": "No workflows exist"}));
    let valid = ValidateRequest { bpmn_xml: "<x/>".into(), include_kubernetes: false };
    let refused = ok(client.validate_workflow(valid).await);
    assert!(refused["status"] == -1 && refused["wf_id"].is_null(), "{refused}");
    let model = Model::new("slow").start("s").start("other").task("t", "slow").end("e");
    let model = model.path(&["s", "t", "e"]).path(&["other", "t"]).xml();
    let applied = ok(client.apply_workflow(ApplyRequest { bpmn_xml: model, stopped: true }).await);
    let id = applied["wf_id"].as_str().unwrap().to_owned();

    let ids = vec![id.clone(), "x".to_owned()];
    let run = RunRequest { workflow_id: id.clone(), ..RunRequest::default() };
    let refused = ok(client.run_workflow(run.clone()).await);
    let message = format!("Deployment {id} is not RUNNING. b'STOPPED'");
    assert_eq!(refused, json!({ id.as_str(): {"result": -1, "message": message} }));
    let stop = StopRequest { kind: DEPLOYMENT, ids: ids.clone(), force: false };
    let refused = ok(client.stop_workflow(stop.clone()).await);
    assert_eq!(refused[&id]["message"], format!("Error: {id} is not in a stoppable state"));
    assert_eq!((&refused[&id]["status"], &refused["x"]["status"]), (&json!(-1), &json!(-1)), "{refused}");
    let start = StartRequest { kind: DEPLOYMENT, ids: ids.clone(), force: false };
    let started = ok(client.start_workflow(start.clone()).await);
    assert_eq!(started[&id], json!({"status": 0, "message": "Started."}));
    assert_eq!(started["x"]["status"], -1, "{started}");
    mesh.until_deployment(&id, "RUNNING").await;
    let refused = ok(client.start_workflow(start).await);
    assert_eq!(refused[&id], json!({"status": -1, "message": format!("Error: {id} is not in a startable state")}));

    let choose = ok(client.run_workflow(run.clone()).await);
    let message = "Must choose between following start events: s, other. Use --start_event_id";
    assert_eq!(choose, json!({"status": -1, "message": message}));
    let run = RunRequest { start_event_id: "other".into(), stopped: true, ..run };
    let instance = ok(client.run_workflow(run).await)["id"].as_str().unwrap().to_owned();
    assert_eq!(ps(&mut client, INSTANCE, &instance).await[&instance]["state"], "STOPPED");
    let refused = ok(client.stop_workflow(stop).await);
    assert!(refused[&id]["message"].as_str().unwrap().starts_with("WF has running instances."), "{refused}");
    let delete = |kind, id: &str| DeleteRequest { kind, ids: vec![id.to_owned()], ..DeleteRequest::default() };
    let refused = ok(client.delete_workflow(delete(DEPLOYMENT, &id)).await);
    assert_eq!(refused[&id]["result"], -2, "not in this state: {refused}");
    let refused = ok(client.delete_workflow(delete(INSTANCE, "x")).await);
    assert_eq!(refused["x"]["result"], -1, "there is none: {refused}");

    let stop = StopRequest { kind: INSTANCE, ids: vec![instance.clone()], force: false };
    let stopped = ok(client.stop_workflow(stop).await);
    assert_eq!(stopped, json!({ instance.as_str(): {"status": 0, "message": "Stopped."} }));
    for (spec, answer) in [
        ("action: clear_ingress\nhost: shop.example", "there is no ingress shop.example"),
        ("action: unsubscribe_from_topic", "unsubscribe_from_topic needs topic"),
        ("action: dance", "Provided action not supported."),
    ] {
        let refused = ok(client.update_workflow(UpdateRequest { update_spec: spec.into() }).await);
        assert_eq!((&refused["status"], &refused["message"]), (&json!(-1), &json!(answer)));
    }
    let (status, message, _) =
        told(client.update_workflow(UpdateRequest { update_spec: "- 1".into() }).await.unwrap().into_inner());
    assert!(status == -1 && message.starts_with("ValueError(this is no update"), "{message}");
    assert_eq!(service.calls().len(), 0);
}
