//! Timers of the original's dialect with real processes: results of cycles, what becomes of timers that came due while flowd was killed,
//! looking at them and setting them anew.

use std::time::Duration;

use flow_tests::harness::{Mesh, Model, PATIENCE, Service, eventually, post, request};
use serde_json::{Value, json};

/// S, the timer W, a task, E.
fn model(id: &str, timer: &str, global: &str) -> String {
    let timer = format!("<bpmn:timerEventDefinition>{timer}</bpmn:timerEventDefinition>");
    let model = Model::new(id).global(&format!("recoverable: true\n{global}")).start("S");
    let model = model.event("intermediateCatchEvent", "W", &timer, "next_step_id: x").task("count", "count");
    model.end("E").path(&["S", "W", "count", "E"]).xml()
}

async fn mesh() -> (Mesh, Service) {
    let service = Service::counting("n").await;
    let mut mesh = Mesh::start().await;
    mesh.sidecar(&[("count", &service.url())]).await;
    (mesh, service)
}

#[tokio::test]
async fn each_firing_of_a_cycle_has_a_result_of_its_own_although_flowd_is_killed() {
    let (mut mesh, service) = mesh().await;
    let id = mesh.deploy(model("cycle", "<bpmn:timeCycle>R3/PT0.7S</bpmn:timeCycle>", "")).await;
    let instance = mesh.begin(&id, &json!({"n": 1})).await;
    eventually("the first firing", PATIENCE, async || {
        if service.calls().is_empty() { Err("no call".to_owned()) } else { Ok(()) }
    })
    .await;
    mesh.flowd.kill().await;
    mesh.start_flowd_again().await;
    let completed = mesh.until(&instance, "COMPLETED").await;
    let timed = completed["timed_results"].as_array().unwrap();
    assert_eq!(timed.len(), 3, "{completed}");
    assert!(timed.iter().all(|it| it["result"] == json!({"n": 2}) && it["end_event"] == "e"), "{completed}");
    assert_eq!(service.calls().len(), 3);
    let pools = &service.calls()[0].header("x-rexflow-token-pool-id").to_owned();
    assert_eq!(timed[0]["pools"], json!([pools]), "tasks are told which cycle");
    let original = mesh.flowctl.run(&["ps", "-i", &instance, "-o"]).await.expect_code(0).json();
    let shown = &original[&instance]["timed_results"];
    let entry = json!({"token-pool-id": pools, "content-type": "application/json", "end-event-name": "e", "payload": "{\"n\":2}"});
    assert_eq!(shown, &json!([entry, entry, entry]));
}

#[tokio::test]
async fn timers_that_came_due_while_flowd_was_dead_fire_fail_or_are_forgotten_as_the_model_says() {
    let (mut mesh, service) = mesh().await;
    let mut instances = Vec::new();
    for policy in ["fire", "fail", "forget"] {
        let global = format!("timer_recovery_policy: {policy}");
        let id = mesh.deploy(model(policy, "<bpmn:timeDuration>PT2S</bpmn:timeDuration>", &global)).await;
        instances.push(mesh.begin(&id, &json!({"n": 1})).await);
    }
    let far =
        mesh.deploy(model("far", "<bpmn:timeDuration>PT1H</bpmn:timeDuration>", "timer_recovery_policy: fail")).await;
    let far = mesh.begin(&far, &json!({})).await;
    mesh.flowd.kill().await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(service.calls().len(), 0, "nobody was there to fire them");
    mesh.start_flowd_again().await;
    let fired = mesh.until(&instances[0], "COMPLETED").await;
    assert_eq!(fired["result"], json!({"n": 2}));
    let failed = mesh.until(&instances[1], "STOPPED").await;
    assert_eq!((&failed["error"]["code"], &failed["error"]["element"]), (&json!("CANCELED_INSTANCE"), &json!("W")));
    let forgotten = mesh.until(&instances[2], "COMPLETED").await;
    assert_eq!((&forgotten["result"], &forgotten["end_event"]), (&json!({"n": 1}), &Value::Null), "{forgotten}");
    assert_eq!(service.calls().len(), 1);
    assert_eq!(mesh.instance(&far).await["state"], "STARTING", "what is not due is as it was");
}

#[tokio::test]
async fn timers_are_listed_and_set_anew_by_flowctl_and_over_http_and_it_is_recorded() {
    let (mesh, service) = mesh().await;
    let id = mesh.deploy(model("patient", "<bpmn:timeDuration>PT1H</bpmn:timeDuration>", "")).await;
    let daily = "<bpmn:timerEventDefinition><bpmn:timeCycle>R/P1D</bpmn:timeCycle></bpmn:timerEventDefinition>";
    let daily =
        Model::new("daily").event("startEvent", "S", daily, "recoverable: true").task("count", "count").end("E");
    let daily = mesh.deploy(daily.path(&["S", "count", "E"]).xml()).await;
    let (one, other) = (mesh.begin(&id, &json!({"n": 1})).await, mesh.begin(&id, &json!({"n": 5})).await);

    let listed = mesh.flowctl.json(&["timers", "-o", "json"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    let own = mesh.flowctl.json(&["timers", &one, "-o", "json"]).await;
    assert_eq!((&own[0]["element"], &own[0]["instance"], own.as_array().unwrap().len()), (&json!("W"), &json!(one), 1));
    let table = mesh.flowctl.run(&["timers", &daily]).await.expect_code(0).stdout;
    assert!(table.contains("every P1D") && table.contains(&daily), "{table}");
    let of_http = request("GET", &mesh.url(&format!("/timers/{one}/W")), &[], "").await.unwrap().json();
    assert_eq!(
        (&of_http["count"], &of_http["timers"][0]["kind"]),
        (&json!(1), &json!("intermediateCatchEvent")),
        "{of_http}"
    );

    let words = ["timers", &one, "--set", "W=PT0.1S", "--by", "ann", "--reason", "the customer called"];
    mesh.flowctl.run(&words).await.expect_code(0);
    let url = |id: &str, event: &str| mesh.url(&format!("/timers/{id}/{event}?by=bob&reason=in+a+hurry"));
    let body = json!({"timer_type": "timeDate", "timer_spec": "2020-01-01T00:00:00Z"});
    let posted = post(&url(&other, "W"), &[], &body).await.unwrap();
    assert_eq!(posted.status, 200, "{}", posted.text());
    let posted = post(&url(&daily, "S"), &[], &json!({"timer_spec": "R1/PT0.1S"})).await.unwrap();
    assert_eq!(posted.status, 200, "{}", posted.text());
    assert_eq!(mesh.until(&one, "COMPLETED").await["result"], json!({"n": 2}));
    let done = mesh.until(&other, "COMPLETED").await;
    assert_eq!(done["operations"][0]["what"], "rearm W to 2020-01-01T00:00:00Z", "{done}");
    assert_eq!((&done["operations"][0]["by"], &done["operations"][0]["reason"]), (&json!("bob"), &json!("in a hurry")));
    eventually("the daily one to have run", PATIENCE, async || {
        let calls = service.calls().len();
        if calls == 3 { Ok(()) } else { Err(format!("{calls} calls")) }
    })
    .await;

    for (path, body, status) in [
        (format!("/timers/{one}/W"), json!({"timer_spec": "PT1S"}), 409),
        (format!("/timers/{daily}/X"), json!({"timer_spec": "PT1S"}), 409),
        ("/timers/nobody/W".to_owned(), json!({"timer_spec": "PT1S"}), 404),
        (format!("/timers/{daily}/S"), json!({"timer_type": "egg", "timer_spec": "PT1S"}), 400),
        (format!("/timers/{daily}/S"), json!({"spec": "PT1S"}), 400),
    ] {
        let refused = post(&mesh.url(&path), &[], &body).await.unwrap();
        assert_eq!(refused.status, status, "{path} {body}: {}", refused.text());
    }
    let set = ["timers", &daily, "--set", "S=soon"];
    mesh.flowctl.run(&set).await.expect_code(1).says(&["soon"]);
    mesh.flowctl.run(&["timers", "--set", "S=PT1S"]).await.expect_code(2);
    mesh.flowctl.run(&["timers", "nobody"]).await.expect_code(3);
}
