//! Deployments and instances from apply to delete, through flow.v1.

use proto::v1;
use tonic::Code;

use super::harness::{Plane, no_task, one_task};
use super::sidecar::{Does, Role, Sidecar};

#[tokio::test]
async fn a_deployment_runs_once_its_tasks_are_served_and_up() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let applied = plane.apply(&one_task("order")).await;
    assert_eq!((applied.status.as_str(), applied.deployments.len()), ("created", 1), "{applied:?}");
    let id = applied.deployments[0].id.clone();
    assert!(id.starts_with("order-") && id.len() == "order-".len() + 8, "{id}");
    let starting = plane.deployment(&id).await.unwrap();
    assert_eq!(starting.state, "STARTING");
    assert!(starting.message.contains("flow-sidecar --serve approve="), "{}", starting.message);
    let refused = plane.run("order", "{}").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("is not RUNNING"), "{refused:?}");

    let sidecar = Sidecar::attach(&plane, Role::answering("approve", r#"{"ok":true}"#)).await;
    let running = plane.state(&id, "RUNNING").await;
    let task = &running.tasks[0];
    assert_eq!((task.health.as_str(), task.replicas, task.ready_replicas), ("UP", 1, 1));
    assert_eq!(running.user_opaque_metadata, r#"{"team":"orders"}"#);

    let started = plane.run("order", r#"{"x":5}"#).await.unwrap();
    assert!(started.id.starts_with(&format!("{id}-")), "{}", started.id);
    let ended = plane.wait(&started.id).await;
    assert_eq!(ended.state, "COMPLETED");
    assert_eq!(ended.result.unwrap().body, r#"{"ok":true}"#);
    assert_eq!(ended.end_event, "all-done");
    let offered = sidecar.until(|told| told.offered.first().cloned()).await;
    assert_eq!(offered.payload.body, r#"{"x":5}"#);
    sidecar.until(|told| (told.acked == 1).then_some(())).await;
    plane.stop().await;
}

#[tokio::test]
async fn the_same_content_again_is_unchanged_and_other_content_is_another_version() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let first = plane.apply(&no_task("p")).await;
    let again = plane.apply(&no_task("p")).await;
    assert_eq!((again.status.as_str(), &again.deployments), ("unchanged", &first.deployments));
    let other = plane.apply(&no_task("p").replace("id=\"end\"", "id=\"end\" name=\"x\"")).await;
    assert_eq!(other.status, "created");
    plane.state(&other.deployments[0].id, "RUNNING").await;
    let bad = plane.apply("<definitions/>").await;
    assert_eq!(bad.status, "refused");
    assert!(bad.diagnostics.iter().any(|it| it.severity == "error"), "{bad:?}");
    // the process id means the newest that runs
    let request = v1::RunRequest { id: "p".into(), start_event: "one".into(), ..Default::default() };
    let run = plane.flow().await.run(request).await.unwrap().into_inner();
    assert_eq!(run.deployment, other.deployments[0].id);
    let unknown = plane.run("q", "{}").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let ambiguous = plane.run("p-", "{}").await.unwrap_err();
    assert_eq!(ambiguous.code(), Code::InvalidArgument, "{ambiguous:?}");
    plane.stop().await;
}

#[tokio::test]
async fn stop_is_refused_while_instances_run_and_force_cancels_them() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let id = plane.apply(&one_task("order")).await.deployments[0].id.clone();
    let role = Role { does: Does::Holds, ..Role::answering("approve", "") };
    let sidecar = Sidecar::attach(&plane, role).await;
    plane.state(&id, "RUNNING").await;
    let started = plane.run("order", "{}").await.unwrap();
    sidecar.until(|told| told.offered.first().cloned()).await;
    let deployment = v1::Kind::Deployment;

    let refused = plane.operate("stop", deployment, &id, false).await;
    assert_eq!(refused.status, -2);
    assert!(refused.message.starts_with("WF has running instances."), "{}", refused.message);
    let refused = plane.operate("delete", deployment, &id, false).await;
    assert_eq!(refused.status, -2, "{}", refused.message);
    let refused = plane.operate("start", deployment, &id, false).await;
    assert_eq!(refused.message, format!("Error: {id} is not in a startable state"));
    let refused = plane.operate("delete", v1::Kind::Instance, &started.id, false).await;
    assert_eq!(refused.status, -2, "{}", refused.message);

    assert_eq!(plane.operate("stop", deployment, &id, true).await.status, 0);
    plane.state(&id, "STOPPED").await;
    assert_eq!(plane.wait(&started.id).await.state, "CANCELLED");
    let closed = sidecar.until(|told| told.tombstones.first().cloned()).await;
    assert_eq!(closed, started.id);

    assert_eq!(plane.operate("delete", deployment, &id, false).await.status, 0);
    assert!(plane.deployment(&id).await.is_none());
    sidecar.until(|told| told.retired.first().cloned()).await;
    assert_eq!(plane.operate("delete", deployment, &id, false).await.status, -1);
    // its history stays until it is deleted
    let instance = v1::Kind::Instance;
    assert_eq!(plane.operate("stop", instance, &started.id, false).await.status, -2);
    assert_eq!(plane.operate("delete", instance, &started.id, false).await.status, 0);
    assert_eq!(plane.operate("delete", instance, &started.id, false).await.status, -1);
    plane.stop().await;
}

#[tokio::test]
async fn an_incident_waits_for_start_and_survives_a_restart_of_flowd() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let id = plane.apply(&one_task("order")).await.deployments[0].id.clone();
    let failing = Sidecar::attach(&plane, Role { does: Does::Fails, ..Role::answering("approve", "") }).await;
    plane.state(&id, "RUNNING").await;
    let started = plane.run("order", r#"{"a":1}"#).await.unwrap();
    let stopped = plane.wait(&started.id).await;
    assert_eq!((stopped.state.as_str(), stopped.incidents.len()), ("STOPPED", 1));
    let record = stopped.error.unwrap();
    assert_eq!((record.error_code.as_str(), record.failed_task_id.as_str()), ("FAILED_TASK", "check"));
    assert_eq!(record.failed_task_name, "Check order");
    assert_eq!(record.input.unwrap().body, r#"{"a":1}"#);
    assert_eq!(record.output_headers["status"], "500");
    drop(failing);
    plane.stop().await;

    let plane = Plane::start(folder.path()).await;
    let role = Role { incarnation: 8, ..Role::answering("approve", r#"{"b":2}"#) };
    let _sidecar = Sidecar::attach(&plane, role).await;
    plane.state(&id, "RUNNING").await;
    assert_eq!(plane.wait(&started.id).await.state, "STOPPED");
    assert_eq!(plane.operate("start", v1::Kind::Instance, &started.id, false).await.status, 0);
    let instance = loop {
        let seen = plane.wait(&started.id).await;
        if seen.state != "STOPPED" {
            break seen;
        }
    };
    assert_eq!(instance.result.unwrap().body, r#"{"b":2}"#);
    let again = plane.operate("start", v1::Kind::Instance, &started.id, false).await;
    assert_eq!(again.status, -2, "{}", again.message);
    plane.stop().await;
}

#[tokio::test]
async fn a_refused_table_is_told_and_a_task_that_is_down_degrades() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let id = plane.apply(&one_task("order")).await.deployments[0].id.clone();
    let role = Role { refuses: "of a newer format".into(), ..Role::answering("approve", "") };
    let refusing = Sidecar::attach(&plane, role).await;
    refusing.until(|told| (!told.tables.is_empty()).then_some(())).await;
    loop {
        let starting = plane.deployment(&id).await.unwrap();
        assert_eq!(starting.state, "STARTING");
        if starting.message.contains("of a newer format") {
            break;
        }
        tokio::task::yield_now().await;
    }
    drop(refusing);
    let down = v1::task_health::Health::Down;
    let role = Role { incarnation: 9, health: down, ..Role::answering("approve", "{}") };
    let sidecar = Sidecar::attach(&plane, role).await;
    let degraded = plane.state(&id, "DEGRADED").await;
    assert!(degraded.message.contains("is DOWN: refused"), "{}", degraded.message);
    assert_eq!(degraded.tasks[0].health, "DOWN");
    let up = v1::TaskHealth {
        service: "approve".into(),
        health: v1::task_health::Health::Up.into(),
        ..v1::TaskHealth::default()
    };
    sidecar.say.send(v1::SidecarMessage { health: vec![up], ..Default::default() }).await.unwrap();
    plane.state(&id, "RUNNING").await;
    plane.stop().await;
}

#[tokio::test]
async fn swap_answers_when_it_is_in_force_and_names_who_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let id = plane.apply(&one_task("order")).await.deployments[0].id.clone();
    let here = Sidecar::attach(&plane, Role::answering("approve", "{}")).await;
    let gone = Sidecar::attach(&plane, Role { incarnation: 8, ..Role::answering("approve", "{}") }).await;
    plane.state(&id, "RUNNING").await;
    drop(gone);
    let mut flow = plane.flow().await;
    let swap = |task: &str, url: &str| v1::SwapRequest {
        task: task.into(),
        url: url.into(),
        undo: url.is_empty(),
        ..v1::SwapRequest::default()
    };
    let url = "http://127.0.0.1:7777/new";
    let swapped = loop {
        let swapped = flow.swap(swap("check", url)).await.unwrap().into_inner().sidecars;
        assert_eq!(swapped.len(), 2);
        if swapped.iter().any(|it| it.error.contains("away")) {
            break swapped;
        }
    };
    assert_eq!(swapped.iter().filter(|it| it.error.is_empty()).count(), 1, "{swapped:?}");
    assert_eq!(here.told.lock().unwrap().bindings.urls[0].url, url, "in force when the answer comes");
    assert_eq!(plane.deployment(&id).await.unwrap().tasks[0].url, url);
    flow.swap(swap("approve", "")).await.unwrap();
    assert_eq!(here.told.lock().unwrap().bindings.urls[0].url, "");
    assert_eq!(flow.swap(swap("nobody", url)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(flow.swap(swap("check", "ftp://x")).await.unwrap_err().code(), Code::InvalidArgument);
    flow.swap(swap("check", url)).await.unwrap();
    drop(here);
    plane.stop().await;

    // a swap outlives flowd: who comes back takes it with the first word
    let plane = Plane::start(folder.path()).await;
    let back = Sidecar::attach(&plane, Role::answering("approve", "{}")).await;
    let bound = back.until(|told| told.bindings.urls.first().map(|it| it.url.clone())).await;
    assert_eq!(bound, url);
    plane.stop().await;
}

#[tokio::test]
async fn a_sidecar_that_has_left_is_told_so_again() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let leaving = Sidecar::attach(&plane, Role::answering("approve", "{}")).await;
    let leave = v1::SidecarMessage { leave: Some(v1::Leave::default()), ..Default::default() };
    leaving.say.send(leave).await.unwrap();
    leaving.until(|told| told.left.then_some(())).await;
    plane.stop().await;
    let plane = Plane::start(folder.path()).await;
    let back = Sidecar::attach(&plane, Role::answering("approve", "{}")).await;
    back.until(|told| told.left.then_some(())).await;
    plane.stop().await;
}

#[tokio::test]
async fn lists_are_newest_first_filtered_and_limited() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Plane::start(folder.path()).await;
    let id = plane.apply(&no_task("p")).await.deployments[0].id.clone();
    plane.state(&id, "RUNNING").await;
    let mut flow = plane.flow().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let metadata = [("parity".to_owned(), (n % 2).to_string())].into();
        let request = v1::RunRequest { id: id.clone(), start_event: "one".into(), metadata, ..Default::default() };
        let started = flow.run(request).await.unwrap().into_inner();
        plane.wait(&started.id).await;
        ids.push(started.id);
    }
    ids.reverse();
    let listed = async |request: v1::ListRequest| {
        let mut list = plane.flow().await.list_instances(request).await.unwrap().into_inner();
        let mut ids = Vec::new();
        while let Some(instance) = list.message().await.unwrap() {
            ids.push(instance.id);
        }
        ids
    };
    let mut all = listed(v1::ListRequest::default()).await;
    // instances that ended in the same millisecond come by their ids
    all.sort();
    let mut sorted = ids.clone();
    sorted.sort();
    assert_eq!(all, sorted);
    assert_eq!(listed(v1::ListRequest { limit: 2, ..Default::default() }).await.len(), 2);
    let metadata = [("parity".to_owned(), "1".to_owned())].into();
    assert_eq!(listed(v1::ListRequest { metadata, ..Default::default() }).await.len(), 2);
    let deployment = "other-00000000".to_owned();
    assert!(listed(v1::ListRequest { deployment, ..Default::default() }).await.is_empty());
    let request = v1::ListRequest { ids: vec!["nobody".into()], ..Default::default() };
    let unknown = flow.list_instances(request).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains("nobody"));
    plane.stop().await;
}
