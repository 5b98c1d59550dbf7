//! Messages, signals and user tasks as users drive them: by `flowctl` and by HTTP, with a service beside.

use flow_tests::harness::{Answer, Mesh, Service, post, request};
use serde_json::json;

const MODEL: &str = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"
  xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" targetNamespace="urn:test">
  <message id="m1" name="ordered"/>
  <message id="m2" name="paid"><extensionElements><zeebe:subscription correlationKey="=order"/></extensionElements></message>
  <message id="m3" name="stop"><extensionElements><zeebe:subscription correlationKey="=order"/></extensionElements></message>
  <signal id="s1" name="open"/>
  <process id="shop" isExecutable="true">
    <startEvent id="ordered"><messageEventDefinition messageRef="m1"/></startEvent>
    <intermediateCatchEvent id="paid"><messageEventDefinition messageRef="m2"/></intermediateCatchEvent>
    <serviceTask id="pack"><extensionElements><zeebe:taskDefinition type="pack"/></extensionElements></serviceTask>
    <intermediateCatchEvent id="open"><signalEventDefinition signalRef="s1"/></intermediateCatchEvent>
    <userTask id="check" name="Check it"><extensionElements><zeebe:userTask/>
      <zeebe:formDefinition formKey="check-form"/>
      <zeebe:assignmentDefinition assignee="=clerk" candidateGroups="desk"/></extensionElements></userTask>
    <boundaryEvent id="stopped" attachedToRef="check"><messageEventDefinition messageRef="m3"/></boundaryEvent>
    <boundaryEvent id="broken" attachedToRef="check"><errorEventDefinition errorRef="e1"/></boundaryEvent>
    <endEvent id="done"/><endEvent id="given-up"/><endEvent id="sent-back"/>
    <sequenceFlow id="f1" sourceRef="ordered" targetRef="paid"/><sequenceFlow id="f2" sourceRef="paid" targetRef="pack"/>
    <sequenceFlow id="f3" sourceRef="pack" targetRef="open"/><sequenceFlow id="f4" sourceRef="open" targetRef="check"/>
    <sequenceFlow id="f5" sourceRef="check" targetRef="done"/><sequenceFlow id="f6" sourceRef="stopped" targetRef="given-up"/>
    <sequenceFlow id="f7" sourceRef="broken" targetRef="sent-back"/>
  </process><error id="e1" errorCode="BROKEN"/></definitions>"#;

async fn mesh() -> (Mesh, Service) {
    let service = Service::start(|_| async move { Answer::Json(json!({"packed": true})) }).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("pack", &service.url())]).await;
    mesh.deploy(MODEL).await;
    (mesh, service)
}

/// An instance that stands at the user task.
async fn at_the_task(mesh: &Mesh, order: &str) -> String {
    let data = json!({"order": order, "clerk": "ann"}).to_string();
    let sent = mesh.flowctl.json(&["send", "ordered", "--key", order, "-d", &data, "-o", "json"]).await;
    let instance = sent["started"][0].as_str().unwrap_or_else(|| panic!("{sent}")).to_owned();
    let reply =
        post(&mesh.url(&format!("/messages/paid?key={order}&ttl=PT1M")), &[], &json!({"paid": 5})).await.unwrap();
    assert_eq!((reply.status, &reply.json()["instances"]), (200, &json!([instance])), "{}", reply.text());
    until_waits(mesh, &instance, "open").await;
    mesh.flowctl.run(&["signal", "open", "-d", r#"{"lamp": "on"}"#]).await.expect_code(0);
    until_waits(mesh, &instance, "check").await;
    instance
}

/// What `flowctl` prints names all of these.
async fn prints(mesh: &Mesh, words: &[&str], expected: &[&str]) {
    let ran = mesh.flowctl.run(words).await.expect_code(0);
    assert!(expected.iter().all(|it| ran.stdout.contains(it)), "{expected:?}: {ran:?}");
}

async fn until_waits(mesh: &Mesh, instance: &str, element: &str) {
    flow_tests::harness::eventually(element, flow_tests::harness::PATIENCE, async || {
        let view = mesh.instance(instance).await;
        let there = view["waiting"].as_array().is_some_and(|all| all.iter().any(|it| it["element"] == element));
        let task = view["tasks"].as_array().is_some_and(|all| all.iter().any(|it| it["element"] == element));
        if there || task { Ok(()) } else { Err(view.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn an_instance_is_driven_by_messages_a_signal_and_a_user_task() {
    let (mesh, service) = mesh().await;
    let instance = at_the_task(&mesh, "17").await;
    assert_eq!(service.calls().len(), 1);

    let listed = request("GET", &mesh.url("/tasks"), &[], "").await.unwrap().json();
    let task = &listed["tasks"][0];
    assert_eq!((&task["element"], &task["name"]), (&json!("check"), &json!("Check it")), "{listed}");
    assert_eq!((&task["form"], &task["assignee"]), (&json!("check-form"), &json!("ann")), "{listed}");
    assert_eq!(task["candidate_groups"], json!(["desk"]), "{listed}");
    let id = task["id"].as_str().unwrap();
    prints(&mesh, &["ps"], &[id, "check-form", "ann", "desk"]).await;

    mesh.flowctl.run(&["complete", "nothing"]).await.expect_code(3).says(&["no open user task"]);
    prints(&mesh, &["complete", id, "-d", r#"{"good": true}"#], &[id, "Completed."]).await;
    let ended = mesh.until(&instance, "COMPLETED").await;
    assert_eq!(ended["end_event"], "done", "{ended}");
    let expected = json!({"order": "17", "clerk": "ann", "paid": 5, "packed": true, "lamp": "on", "good": true});
    assert_eq!(ended["result"], expected);
    let reply = post(&mesh.url(&format!("/tasks/{id}/complete")), &[], &json!({})).await.unwrap();
    assert_eq!(reply.status, 404, "{}", reply.text());
}

#[tokio::test]
async fn boundary_events_of_a_user_task_catch_messages_and_errors() {
    let (mesh, _service) = mesh().await;
    let stopped = at_the_task(&mesh, "1").await;
    prints(&mesh, &["send", "stop", "--key", "1"], &[&stopped, "took it"]).await;
    assert_eq!(mesh.until(&stopped, "COMPLETED").await["end_event"], "given-up");

    let broken = at_the_task(&mesh, "2").await;
    prints(&mesh, &["complete", "check", "-i", &broken, "--error", "BROKEN"], &["Failed."]).await;
    assert_eq!(mesh.until(&broken, "COMPLETED").await["end_event"], "sent-back");

    let over_http = at_the_task(&mesh, "3").await;
    let task = mesh.instance(&over_http).await["tasks"][0]["id"].as_str().unwrap().to_owned();
    let reply = post(&mesh.url(&format!("/tasks/{task}/error?code=BROKEN")), &[], &json!({})).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(mesh.until(&over_http, "COMPLETED").await["end_event"], "sent-back");
}

#[tokio::test]
async fn a_message_outlives_flowd_and_bad_requests_are_told() {
    let (mut mesh, _service) = mesh().await;
    mesh.flowctl.run(&["send", "paid", "--key", "9", "--ttl", "PT1H", "-d", r#"{"paid": 9}"#]).await.expect_code(0);
    let again = ["send", "ordered", "--id", "once", "-d", r#"{"order": "9", "clerk": "bob"}"#, "-o", "json"];
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    let started = mesh.flowctl.json(&again).await["started"][0].as_str().unwrap().to_owned();
    until_waits(&mesh, &started, "open").await;
    assert_eq!(mesh.flowctl.json(&again).await["known"], true);
    for (method, path, status) in [
        ("GET", "/messages/paid", 405),
        ("POST", "/tasks", 405),
        ("POST", "/messages/paid?tll=5", 400),
        ("POST", "/messages/paid?ttl=soon", 400),
        ("POST", "/messages/", 400),
        ("POST", "/tasks/x/error", 400),
        ("POST", "/tasks/x/complete", 404),
        ("POST", "/tasks/x/forget", 404),
    ] {
        let reply = request(method, &mesh.url(path), &[], "{}").await.unwrap();
        assert_eq!((reply.status, &reply.json()["status"]), (status, &json!(-1)), "{method} {path}: {}", reply.text());
    }
}

#[tokio::test]
async fn variables_are_offered_by_flowctl_and_over_http() {
    let mesh = Mesh::start().await;
    let model = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="urn:test">
      <process id="alarm" isExecutable="true">
        <startEvent id="hot"><conditionalEventDefinition><condition>=temperature &gt; 30</condition></conditionalEventDefinition></startEvent>
        <endEvent id="done"/><sequenceFlow id="f" sourceRef="hot" targetRef="done"/>
      </process></definitions>"#;
    mesh.apply(model).await;
    let offered = mesh.flowctl.json(&["offer", "-d", r#"{"temperature": 35}"#, "-o", "json"]).await;
    let instance = offered["started"][0].as_str().unwrap().to_owned();
    assert_eq!(mesh.until(&instance, "COMPLETED").await["result"], json!({"temperature": 35}));
    for (path, body, started) in [
        ("/conditions", json!({"temperature": 31}), 1),
        ("/conditions?process=alarm", json!({"temperature": 31}), 1),
        ("/conditions?process=other", json!({"temperature": 31}), 0),
        ("/conditions", json!({"temperature": 3}), 0),
    ] {
        let reply = post(&mesh.url(path), &[], &body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["started"].as_array().map_or(0, Vec::len), started, "{path} {body}");
    }
    for (method, path, body, status) in
        [("GET", "/conditions", "", 405), ("POST", "/conditions?of=x", "{}", 400), ("POST", "/conditions", "[1]", 400)]
    {
        let reply = request(method, &mesh.url(path), &[], body).await.unwrap();
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
    }
}
