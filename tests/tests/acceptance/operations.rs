//! What operators do to running instances, as users do it: by `flowctl` and by HTTP, across a crash of flowd.

use flow_tests::harness::{Answer, Mesh, PATIENCE, Service, eventually, post, request};
use serde_json::json;

const MODEL: &str = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"
  xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" targetNamespace="urn:test">
  <message id="m" name="paid"><extensionElements><zeebe:subscription correlationKey="=order"/></extensionElements></message>
  <process id="shop" isExecutable="true">
    <startEvent id="ordered"/>
    <intermediateCatchEvent id="paid"><messageEventDefinition messageRef="m"/></intermediateCatchEvent>
    <serviceTask id="pack"><extensionElements><zeebe:taskDefinition type="pack"/></extensionElements></serviceTask>
    <endEvent id="done"/>
    <sequenceFlow id="f1" sourceRef="ordered" targetRef="paid"/><sequenceFlow id="f2" sourceRef="paid" targetRef="pack"/>
    <sequenceFlow id="f3" sourceRef="pack" targetRef="done"/>
  </process></definitions>"#;

#[tokio::test]
async fn a_suspended_instance_keeps_what_comes_and_goes_on_when_it_is_resumed() {
    let service = Service::start(|_| async move { Answer::Json(json!({"packed": true})) }).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("pack", &service.url())]).await;
    mesh.deploy(MODEL).await;
    let started = mesh.flowctl.json(&["run", "shop", "{\"order\": \"1\"}", "-o", "json"]).await;
    let instance = started["id"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned();
    let waits = async || match mesh.instance(&instance).await {
        view if view["waiting"][0]["element"] == "paid" => Ok(()),
        view => Err(view.to_string()),
    };
    eventually("the message is waited for", PATIENCE, waits).await;

    let suspend = ["suspend", &instance, "--by", "ann", "--reason", "the shop is on fire"];
    mesh.flowctl.run(&suspend).await.expect_code(0);
    mesh.flowctl.run(&suspend).await.expect_code(1).says(&["suspended already"]);
    let paid = post(&mesh.url("/messages/paid?key=1"), &[], &json!({"paid": 5})).await.unwrap();
    assert_eq!(paid.json()["instances"], json!([instance]), "{}", paid.text());
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    assert_eq!(mesh.instance(&instance).await["state"], "SUSPENDED");
    assert_eq!(service.calls().len(), 0);

    for (method, path, status) in [
        ("GET", format!("/instances/{instance}/resume"), 405),
        ("POST", format!("/instances/{instance}/resume?why=x"), 400),
        ("POST", format!("/instances/{instance}/forget"), 404),
        ("POST", "/instances/nobody/resume".to_owned(), 404),
        ("POST", format!("/instances/{instance}/resume?by=bob"), 200),
        ("POST", format!("/instances/{instance}/resume"), 409),
    ] {
        let reply = request(method, &mesh.url(&path), &[], "").await.unwrap();
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
    }
    let ended = mesh.until(&instance, "COMPLETED").await;
    assert_eq!(ended["result"], json!({"order": "1", "paid": 5, "packed": true}));
    let did = |at: usize, key: &str| ended["operations"][at][key].clone();
    assert_eq!((did(0, "what"), did(0, "by"), did(0, "reason")), (json!("suspend"), json!("ann"), json!(suspend[5])));
    assert_eq!((did(1, "what"), did(1, "by"), did(1, "reason")), (json!("resume"), json!("bob"), json!(null)));
    mesh.flowctl.run(&["resume", &instance]).await.expect_code(1).says(&["has ended already"]);
    mesh.flowctl.run(&["resume", "nobody"]).await.expect_code(3);
    let described = mesh.flowctl.run(&["describe", &instance]).await.expect_code(0);
    assert!(["Operations:", "suspend", "ann", "the shop is on fire"].iter().all(|it| described.stdout.contains(it)));
}

#[tokio::test]
async fn variables_are_set_and_tokens_moved_while_they_are_at_flowd_and_a_retry_is_recorded() {
    let service = Service::start(|call| async move {
        match call.json()["retries"].as_u64() {
            None => Answer::Other(400, "application/json", "{\"code\":\"NO_RETRIES\"}".into()),
            Some(0) => std::future::pending().await,
            Some(_) => Answer::Json(json!({"packed": true})),
        }
    })
    .await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("pack", &service.url())]).await;
    mesh.deploy(MODEL).await;
    let begin = async |order: &str| {
        let started = mesh.flowctl.json(&["run", "shop", &json!({"order": order}).to_string(), "-o", "json"]).await;
        let instance = started["id"].as_str().unwrap_or_else(|| panic!("{started}")).to_owned();
        eventually("the message is waited for", PATIENCE, async || match mesh.instance(&instance).await {
            view if view["waiting"][0]["element"] == "paid" => Ok(()),
            view => Err(view.to_string()),
        })
        .await;
        instance
    };
    let (instance, hanging) = (begin("1").await, begin("2").await);
    let set = |instance: &str, data: &str| {
        ["set", instance, "--data", data, "--by", "ann", "--reason", "a slip"].map(str::to_owned)
    };
    let tried = async |words: [String; 8]| mesh.flowctl.run(&words.each_ref().map(String::as_str)).await;
    tried(set(&instance, r#"{"region": "north"}"#)).await.expect_code(0);
    tried(set(&instance, "[1]")).await.expect_code(1).says(&["JSON object"]);
    tried(set("nobody", "{\"x\": 1}")).await.expect_code(3);
    mesh.flowctl.run(&["send", "paid", "--key", "1", "-d", "{}"]).await.expect_code(0);
    mesh.until(&instance, "STOPPED").await;
    let retry = json!({"order": "1", "region": "south", "retries": 1}).to_string();
    let again = ["start", "-i", &instance, "--data", &retry, "--by", "bob", "--reason", "retries were missing"];
    mesh.flowctl.run(&again).await.expect_code(0);
    let ended = mesh.until(&instance, "COMPLETED").await;
    assert_eq!(ended["result"], json!({"order": "1", "region": "south", "retries": 1, "packed": true}));
    let told: Vec<_> =
        (0..2).map(|at| (ended["operations"][at]["what"].clone(), ended["operations"][at]["by"].clone())).collect();
    assert_eq!(told, [(json!("set region"), json!("ann")), (json!("start pack with another payload"), json!("bob"))]);

    let path = format!("/instances/{hanging}/variables?by=eve&scope=");
    let reply = post(&mesh.url(&path), &[], &json!({"retries": 0})).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    mesh.flowctl.run(&["send", "paid", "--key", "2", "-d", "{}"]).await.expect_code(0);
    let calls = async || if service.calls().len() == 3 { Ok(()) } else { Err(service.calls().len().to_string()) };
    eventually("the task is being called", PATIENCE, calls).await;
    tried(set(&hanging, r#"{"x": 1}"#)).await.expect_code(1).says(&["are with sidecars", "suspend"]);
    let modify = ["modify", &hanging, "--move", "pack=done"];
    mesh.flowctl.run(&modify).await.expect_code(1).says(&["no token at \"pack\"", "a sidecar holds"]);
    assert_eq!(mesh.instance(&hanging).await["operations"].as_array().map(Vec::len), Some(1));

    let third = begin("3").await;
    mesh.flowctl.run(&["send", "paid", "--key", "3", "-d", "{}"]).await.expect_code(0);
    mesh.until(&third, "STOPPED").await;
    let skip = ["modify", &third, "--move", "pack=done", "--data", r#"{"packed": "by hand"}"#, "--by", "ann"];
    mesh.flowctl.run(&skip).await.expect_code(0);
    let ended = mesh.until(&third, "COMPLETED").await;
    assert_eq!(ended["result"], json!({"order": "3", "packed": "by hand"}));
    assert_eq!(ended["operations"][0]["what"], "move pack to done");
    let unpaid = begin("4").await;
    let onward = ["modify", &unpaid, "--move", "paid=pack", "--data", r#"{"retries": 1}"#];
    mesh.flowctl.run(&onward).await.expect_code(0);
    let ended = mesh.until(&unpaid, "COMPLETED").await;
    assert_eq!(ended["result"]["packed"], true, "its service was called: {ended}");
    let path = format!("/instances/{third}/modify");
    let reply = post(&mesh.url(&path), &[], &json!({"move": {"pack": "done"}})).await.unwrap();
    assert_eq!(reply.status, 409, "{}", reply.text());
    let reply = post(&mesh.url(&path), &[], &json!({"from": "pack"})).await.unwrap();
    assert_eq!(reply.status, 400, "{}", reply.text());
}

#[tokio::test]
async fn running_instances_go_on_with_another_version_of_their_process() {
    let service = Service::start(|_| async move { Answer::Json(json!({"packed": true})) }).await;
    let wrapping = Service::start(|_| async move { Answer::Json(json!({"wrapped": true})) }).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("pack", &service.url()), ("wrap", &wrapping.url())]).await;
    mesh.deploy(MODEL).await;
    let mut started = Vec::new();
    for order in ["1", "2"] {
        let answer = mesh.flowctl.json(&["run", "shop", &json!({"order": order}).to_string(), "-o", "json"]).await;
        started.push(answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned());
    }
    let begun_on = mesh.instance(&started[0]).await["deployment"].clone();
    // the event is called otherwise, and a task is added behind the other one
    let better = MODEL
        .replace(r#""paid""#, r#""payment""#)
        .replace(r#"name="payment""#, r#"name="paid""#)
        .replace(
            r#"<endEvent id="done"/>"#,
            r#"<endEvent id="done"/><serviceTask id="wrap"><extensionElements><zeebe:taskDefinition type="wrap"/></extensionElements></serviceTask>
               <sequenceFlow id="f4" sourceRef="wrap" targetRef="done"/>"#,
        )
        .replace(r#"sourceRef="pack" targetRef="done""#, r#"sourceRef="pack" targetRef="wrap""#);
    mesh.deploy(&better).await;

    let refused = mesh.flowctl.run(&["migrate", &started[0], "--to", "shop"]).await.expect_code(1);
    refused.says(&["stays as it is", "--map paid=ELEMENT"]);
    mesh.flowctl.run(&["migrate", &started[0], "--to", "nothing"]).await.expect_code(3);
    let migrate =
        ["migrate", &started[0], "--to", "shop", "--map", "paid=payment", "--by", "ann", "--reason", "wrap it"];
    mesh.flowctl.run(&migrate).await.expect_code(0);
    let path = format!("/instances/{}/migrate?by=bob", started[1]);
    for (body, status) in [
        (json!({"map": {}}), 400),
        (json!({"to": "nothing"}), 404),
        (json!({"to": "shop"}), 409),
        (json!({"to": "shop", "map": {"paid": "payment"}}), 200),
    ] {
        let reply = post(&mesh.url(&path), &[], &body).await.unwrap();
        assert_eq!(reply.status, status, "{body}: {}", reply.text());
    }
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    for (instance, (order, who)) in started.iter().zip([("1", "ann"), ("2", "bob")]) {
        mesh.flowctl.run(&["send", "paid", "--key", order, "-d", "{}"]).await.expect_code(0);
        let ended = mesh.until(instance, "COMPLETED").await;
        assert_eq!(ended["result"], json!({"order": order, "packed": true, "wrapped": true}));
        assert_ne!(ended["deployment"], begun_on);
        assert_eq!(ended["operations"][0]["by"], who, "{ended}");
    }
    mesh.flowctl.run(&["stop", "-d", begun_on.as_str().unwrap()]).await.expect_code(0);
}
