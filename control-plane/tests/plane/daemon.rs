//! The original's service: its JSON, word by word.

use proto::rexflow::flow_daemon_client::FlowDaemonClient;
use proto::rexflow::{
    ApplyRequest, DeleteRequest, FlowdResult, ProbeRequest, PsRequest, RequestKind, RunRequest, StartRequest,
    StopRequest, StringPair, UpdateRequest, ValidateRequest,
};
use serde_json::{Value, json};

use super::harness::{Plane, no_task, one_task};
use super::sidecar::{Does, Role, Sidecar};

fn ok(result: tonic::Response<FlowdResult>) -> Value {
    let FlowdResult { status, message, data } = result.into_inner();
    assert_eq!((status, message.as_str()), (0, "Ok"), "{data}");
    serde_json::from_str(&data).unwrap()
}

fn raised(result: tonic::Response<FlowdResult>) -> String {
    let FlowdResult { status, message, .. } = result.into_inner();
    assert_eq!(status, -1, "{message}");
    message
}

fn run(id: &str, args: &[&str]) -> RunRequest {
    let args = args.iter().map(|it| (*it).to_owned()).collect();
    RunRequest { workflow_id: id.to_owned(), args, ..RunRequest::default() }
}

#[tokio::test]
async fn a_workflow_lives_as_under_the_original() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut daemon = FlowDaemonClient::new(plane.channel().await);
    let (deployment, instance) = (RequestKind::Deployment.into(), RequestKind::Instance.into());

    assert_eq!(
        ok(daemon.probe_workflow(ProbeRequest::default()).await.unwrap()),
        json!({"result": "No workflows exist"})
    );
    let apply = ApplyRequest { bpmn_xml: one_task("order"), stopped: false };
    let applied = ok(daemon.apply_workflow(apply.clone()).await.unwrap());
    let did = applied["wf_id"].as_str().unwrap().to_owned();
    assert_eq!(applied, json!({"status": 0, "message": "Ok.", "wf_id": did}));
    let again = raised(daemon.apply_workflow(apply).await.unwrap());
    assert_eq!(again, "AssertionError(Workflow ID already exists!)");
    let early = ok(daemon.run_workflow(run("order", &[])).await.unwrap());
    let message = format!("Deployment {did} is not RUNNING. b'STARTING'");
    assert_eq!(early, json!({&did: {"result": -1, "message": message}}));

    let sidecar = Sidecar::attach(&plane, Role::answering("approve", r#"{"ok":true}"#)).await;
    plane.state(&did, "RUNNING").await;
    let ps = PsRequest { kind: deployment, ids: vec![did.clone()], ..PsRequest::default() };
    let shown = ok(daemon.ps_query(ps).await.unwrap());
    assert_eq!(shown, json!({&did: {"state": "RUNNING", "user_opaque_metadata": {"team": "orders"}}}));
    let probe = ProbeRequest { ids: vec![did.clone(), "x".into()] };
    let probed = ok(daemon.probe_workflow(probe).await.unwrap());
    assert_eq!(probed, json!([{&did: [["check", "UP"]]}, {"result": "Workflow 'x' not found"}]));

    let pair = StringPair { key: "who".into(), value: "me".into() };
    let request = RunRequest { metadata: vec![pair.clone()], ..run(&did[..9], &[r#"{"x":5}"#]) };
    let ran = ok(daemon.run_workflow(request).await.unwrap());
    let iid = ran["id"].as_str().unwrap().to_owned();
    assert_eq!(ran, json!({"id": iid, "message": "Ok", "status": 0}));
    plane.wait(&iid).await;
    let delivered = sidecar.until(|told| told.offered.first().cloned()).await;
    assert_eq!(delivered.payload.body, r#"{"x":5}"#);
    let expected = json!({
        "state": "COMPLETED", "parent": did, "result": "{\"ok\":true}", "content_type": "application/json",
        "end_event": "all-done", "metadata": {"who": "me"},
    });
    let ps = |ids: Vec<String>, metadata| PsRequest { kind: instance, ids, metadata, include_kubernetes: false };
    for request in [ps(vec![iid.clone()], vec![]), ps(vec![], vec![pair])] {
        assert_eq!(ok(daemon.ps_query(request).await.unwrap()), json!({&iid: expected}));
    }
    let other = StringPair { key: "who".into(), value: "you".into() };
    assert_eq!(ok(daemon.ps_query(ps(vec![], vec![other])).await.unwrap()), json!({}));
    assert_eq!(ok(daemon.ps_query(ps(vec!["x".into()], vec![])).await.unwrap()), json!({"x": {}}));

    let stop = StopRequest { kind: deployment, ids: vec![did.clone()], force: false };
    assert_eq!(
        ok(daemon.stop_workflow(stop.clone()).await.unwrap()),
        json!({&did: {"status": 0, "message": "Stopped."}})
    );
    plane.state(&did, "STOPPED").await;
    let message = format!("Error: {did} is not in a stoppable state");
    assert_eq!(ok(daemon.stop_workflow(stop).await.unwrap()), json!({&did: {"status": -1, "message": message}}));
    let start = StartRequest { kind: deployment, ids: vec![did.clone()], force: false };
    assert_eq!(ok(daemon.start_workflow(start).await.unwrap()), json!({&did: {"status": 0, "message": "Started."}}));
    plane.operate("stop", proto::v1::Kind::Deployment, &did, true).await;
    plane.state(&did, "STOPPED").await;
    let delete = DeleteRequest { kind: deployment, ids: vec![did.clone()], force: false };
    let deleted = ok(daemon.delete_workflow(delete.clone()).await.unwrap());
    assert_eq!(deleted, json!({&did: {"result": 0, "message": format!("Successfully deleted {did}.")}}));
    assert_eq!(ok(daemon.delete_workflow(delete).await.unwrap())[&did]["result"], -1);
    let ps = PsRequest { kind: deployment, ids: vec![did], ..PsRequest::default() };
    assert_eq!(ok(daemon.ps_query(ps).await.unwrap()), json!({}));
    plane.stop().await;
}

#[tokio::test]
async fn a_failure_is_spread_out_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut daemon = FlowDaemonClient::new(plane.channel().await);
    let did = plane.apply(&one_task("order")).await.deployments[0].id.clone();
    let _sidecar = Sidecar::attach(&plane, Role { does: Does::Fails, ..Role::answering("approve", "") }).await;
    plane.state(&did, "RUNNING").await;
    let ran = ok(daemon.run_workflow(run("order", &[r#"{"a":1}"#])).await.unwrap());
    let iid = ran["id"].as_str().unwrap().to_owned();
    plane.wait(&iid).await;
    let instance = RequestKind::Instance.into();
    let ps = PsRequest { kind: instance, ids: vec![iid.clone()], ..PsRequest::default() };
    let shown = ok(daemon.ps_query(ps).await.unwrap());
    let expected = json!({
        "error_code": "FAILED_TASK", "error_msg": "Service task failed.",
        "failed_task_id": "check", "failed_task_name": "Check order",
        "input_headers": {"content-type": "application/json", "x-rexflow-tid": "check", "x-rexflow-iid": iid,
            "x-rexflow-did": did},
        "input_data": {"a": 1}, "output_data": "boom",
        "output_headers": {"status": "500", "content-type": "text/plain"},
        "content_type": "application/json", "state": "STOPPED", "parent": did,
    });
    assert_eq!(shown, json!({&iid: expected}));
    let start = StartRequest { kind: instance, ids: vec![iid.clone()], force: false };
    let again = ok(daemon.start_workflow(start.clone()).await.unwrap());
    assert_eq!(again, json!({&iid: {"status": 0, "message": "Retry Succeeded."}}));
    let stop = StopRequest { kind: instance, ids: vec![iid.clone()], force: false };
    assert_eq!(ok(daemon.stop_workflow(stop).await.unwrap()), json!({&iid: {"status": 0, "message": "Stopped."}}));
    let late = raised(daemon.start_workflow(start).await.unwrap());
    assert_eq!(late, "AssertionError(Can only start instances in STOPPED state)");
    let delete = DeleteRequest { kind: instance, ids: vec![iid.clone()], force: false };
    assert_eq!(ok(daemon.delete_workflow(delete).await.unwrap())[&iid]["result"], 0);
    plane.stop().await;
}

#[tokio::test]
async fn refusals_are_as_the_originals() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let mut daemon = FlowDaemonClient::new(plane.channel().await);
    let broken = ApplyRequest { bpmn_xml: "<x/>".into(), stopped: false };
    let refused = ok(daemon.apply_workflow(broken).await.unwrap());
    assert_eq!(refused["status"], -1);
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with("Failed to compile provided bpmn diagram: "), "{message}");
    let valid = ValidateRequest { bpmn_xml: no_task("p"), include_kubernetes: false };
    let valid = ok(daemon.validate_workflow(valid).await.unwrap());
    assert!(valid["wf_id"].as_str().unwrap().starts_with("p-"));
    assert_eq!(plane.deployment("p").await, None, "validate touches nothing");

    let stopped = ApplyRequest { bpmn_xml: no_task("p"), stopped: true };
    let did = ok(daemon.apply_workflow(stopped).await.unwrap())["wf_id"].as_str().unwrap().to_owned();
    assert_eq!(plane.deployment(&did).await.unwrap().state, "STOPPED");
    plane.operate("start", proto::v1::Kind::Deployment, &did, false).await;
    plane.state(&did, "RUNNING").await;
    let choose = ok(daemon.run_workflow(run("p", &[])).await.unwrap());
    let message = "Must choose between following start events: one, two. Use --start_event_id";
    assert_eq!(choose, json!({"status": -1, "message": message}));
    assert!(raised(daemon.run_workflow(run("q", &[])).await.unwrap()).starts_with("KeyError("));
    for (spec, answer) in [
        ("action: expose_ingress", "expose_ingress needs wf_id, the deployment or its process"),
        ("---\naction: subscribe_to_topic", "subscribe_to_topic needs wf_id, the deployment or its process"),
        ("action: subscribe_to_topic\nwf_id: p", "subscribe_to_topic needs topic"),
        (
            "action: unsubscribe_from_topic\ntopic: x",
            "nothing has subscribed to topic x; what a model says of its start event stays",
        ),
        ("action: dance", "Provided action not supported."),
    ] {
        let update = UpdateRequest { update_spec: spec.into() };
        let refused = ok(daemon.update_workflow(update).await.unwrap());
        assert_eq!((&refused["status"], &refused["message"]), (&json!(-1), &json!(answer)));
    }
    plane.stop().await;
}
