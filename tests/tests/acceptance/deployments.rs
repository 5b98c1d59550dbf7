//! What a deployment says of its instances in the original's dialect, with real processes: created stopped, metadata, notifications.

use flow_tests::harness::{Answer, Call, Events, Mesh, Model, PATIENCE, Service, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_created_stopped_waits_is_found_by_metadata_and_its_states_are_in_the_topic_although_flowd_is_killed() {
    let service = Service::counting("n").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("count", &service.url())]).await;
    let global = "recoverable: true\nnotification_kafka_topic: states\nuser_metadata: {team: a, color: red}";
    let model = Model::new("told").global(global).start("S").task("count", "count").end("E");
    let file = mesh.file("model.bpmn", model.path(&["S", "count", "E"]).xml());
    let applied = mesh.flowctl.json(&["apply", "--stopped", &file, "-o", "json"]).await;
    let id = applied[0]["deployments"][0]["id"].as_str().unwrap();
    mesh.until_deployment(id, "STOPPED").await;
    let refused = mesh.post_start(id, "", &[], &json!({"n": 1})).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    mesh.flowctl.run(&["start", "-d", id]).await.expect_code(0);
    mesh.until_deployment(id, "RUNNING").await;

    let words = ["run", id, "{\"n\":1}", "--stopped", "-m", "color=blue", "-o", "json"];
    let started = mesh.flowctl.json(&words).await;
    let instance = started["id"].as_str().unwrap();
    let waits = mesh.until(instance, "STOPPED").await;
    assert_eq!(waits["metadata"], json!({"team": "a", "color": "blue"}), "what is said wins: {waits}");
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    for (pair, found) in [("team=a", 1), ("color=blue", 1), ("color=red", 0)] {
        let listed = mesh.flowctl.json(&["ps", "-i", "-m", pair, "-o", "json"]).await;
        assert_eq!(listed.as_array().unwrap().len(), found, "{pair}: {listed}");
    }
    assert_eq!(service.calls().len(), 0, "it waits");
    mesh.flowctl.run(&["start", "-i", instance]).await.expect_code(0);
    mesh.until(instance, "COMPLETED").await;
    assert_eq!(service.calls().len(), 1);

    let mut events = Events::open(&mesh.url("/topics/states?from=earliest"), None).await.unwrap();
    let mut states = Vec::new();
    while states.last() != Some(&"COMPLETED".to_owned()) {
        let (_, event) = events.next().await.unwrap();
        assert_eq!(event["data"]["instance_id"], json!(instance), "{event}");
        states.push(event["data"]["instance_state"].as_str().unwrap().to_owned());
    }
    assert_eq!(states[0], "STOPPED");
    states.dedup();
    assert!(states.len() >= 2 && states.len() <= 4, "each state once: {states:?}");
}

#[tokio::test]
async fn a_webhook_is_posted_each_state_and_each_hop_although_flowd_is_killed() {
    let service = Service::counting("n").await;
    let mut hook = Service::start(|_| async { Answer::Other(204, "text/plain", "".into()) }).await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("count", &service.url())]).await;
    let global = format!("recoverable: true\nnotification_webhook: {}/hook\nnotification_hops: true", hook.url());
    let model = Model::new("told").global(&global).start("S").task("count", "count").end("E");
    let id = mesh.deploy(model.path(&["S", "count", "E"]).xml()).await;
    hook.stop().await;
    let instance = mesh.begin(&id, &json!({"n": 1})).await;
    mesh.until(&instance, "COMPLETED").await;
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    hook.resume().await;
    let told = eventually("the hook is told of the end and of the task", PATIENCE, async || {
        let told: Vec<Value> = hook.calls().iter().map(Call::json).collect();
        let ended = told.iter().any(|it| it["instance_state"] == "COMPLETED");
        let task = told.iter().any(|it| it["task_id"] == "count");
        if ended && task { Ok(told) } else { Err(format!("{told:?}")) }
    })
    .await;
    assert!(
        told.iter().all(|it| it["instance_id"] == instance.as_str() && it["workflow_id"] == id.as_str()),
        "{told:?}"
    );
    let hop = told.iter().find(|it| it["task_id"] == "count").unwrap();
    assert_eq!(
        (&hop["event_type"], &hop["status"], &hop["attempts"]),
        (&json!("REQUEST_SENT"), &json!("completed"), &json!(1))
    );
    let end = told.iter().find(|it| it["instance_state"] == "COMPLETED").unwrap();
    assert_eq!(end["instance_data"]["result"], json!("{\"n\":2}"));
}
