use std::collections::BTreeMap;

use control_plane::kubernetes::container::NAME as SIDECAR;
use control_plane::kubernetes::inject::{INJECT, INJECTED};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::flowd::{are_current, asks, is_one, is_ours, nothing_waits, runs, sum};
use super::gateway::is_programmed;
use super::injection::{answered, have_sidecars, is_good, is_injected, trusted};
use super::policies::guarded;
use super::*;
use crate::check::tests::wrong;

fn set(wanted: u64) -> Value {
    json!({"spec": {"replicas": wanted}})
}

fn flowd(ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({"metadata": {"name": "flowd-0"}, "status": {"conditions": [{"type": "Ready", "status": status}]}})
}

#[test]
fn no_flowd_is_no_failure_unless_something_of_it_is_left() {
    wrong(Err(missing("x", false)), "no flowd in the namespace x", "flowctl install -n x");
    assert!(!line("flowd", "it is installed", Err(missing("x", false))).is_failed());
    assert!(line("flowd", "it is installed", Err(missing("x", true))).is_failed());
}

#[test]
fn a_flowd_that_is_not_ready_says_why() {
    assert_eq!(runs(&set(1), &[flowd(true)], "rexflow").unwrap(), "1 of 1 ready");
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    let pulling = json!({
        "metadata": {"name": "flowd-0"},
        "status": {"containerStatuses": [{"name": "flowd", "ready": false, "state": waiting}]},
    });
    wrong(runs(&set(1), &[pulling], "x"), "flowd-0: flowd ImagePullBackOff: no such image", "kubectl -n x describe");
    let condition = json!({"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"});
    let unscheduled = json!({"metadata": {"name": "flowd-1"}, "status": {"conditions": [condition]}});
    wrong(runs(&set(2), &[flowd(true), unscheduled], "x"), "1 of 2 ready: flowd-1: 0/1 nodes", "describe");
    wrong(runs(&set(0), &[], "x"), "scaled to nothing", "scale statefulset flowd");
}

#[test]
fn whether_flowd_asks_who_calls_is_told() {
    let with = |env: Value| json!({"metadata": {"namespace": "x"}, "spec": {"template": {"spec": {"containers": [{"env": env}]}}}});
    assert!(asks(&with(json!([{"name": "FLOW_USERS", "value": "true"}]))).unwrap().contains("RBAC"));
    wrong(asks(&with(json!([]))), "may do everything", "flowctl upgrade -n x --set users.enabled=true");
}

#[test]
fn another_version_of_flowd_is_told() {
    let of = |image: &str| {
        json!({
            "metadata": {"namespace": "x", "labels": {"app.kubernetes.io/version": "0.0.9"}},
            "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
        })
    };
    assert_eq!(is_ours(&of(&format!("r/flowd:{}", env!("CARGO_PKG_VERSION")))).unwrap(), env!("CARGO_PKG_VERSION"));
    wrong(is_ours(&of("r/flowd:0.0.8")), "flowd is 0.0.8", "flowctl upgrade -n x");
    wrong(is_ours(&of("r/flowd@sha256:00")), "flowd is 0.0.9", "flowctl upgrade -n x");
}

#[test]
fn one_flowd_leads() {
    assert_eq!(is_one(&["flowd-1".into()], "x").unwrap(), "flowd-1");
    wrong(is_one(&[], "x"), "none does", "kubectl -n x logs");
    wrong(is_one(&["flowd-0".into(), "flowd-1".into()], "x"), "flowd-0, flowd-1 say", "again");
}

#[test]
fn what_flowd_counts_is_summed_over_labels_and_not_over_other_names() {
    let page = "# HELP flow_incidents_open x\nflow_incidents_open{process=\"a b\",version=\"1\"} 2\nflow_incidents_open{process=\"c\"} 1\n\
                flow_incidents_open_more 9\nflow_sidecars_stale 3\n";
    assert_eq!((sum(page, "flow_incidents_open"), sum(page, "flow_sidecars_stale")), (3.0, 3.0));
    let counts =
        BTreeMap::from([("flow_sidecars_connected", 4.0), ("flow_sidecars_stale", 1.0), ("flow_incidents_open", 2.0)]);
    wrong(are_current(&counts), "1 of 4", "flowctl ps -d");
    wrong(nothing_waits(&counts), "2 do", "flowctl ps -i");
    assert_eq!(are_current(&BTreeMap::from([("flow_sidecars_connected", 4.0)])).unwrap(), "4 connected");
}

#[test]
fn a_webhook_without_a_good_ca_injects_nothing() {
    let hook = |bundle: &str| json!({"webhooks": [{"clientConfig": {"caBundle": bundle}, "failurePolicy": "Ignore"}]});
    let now = Timestamp::now();
    wrong(trusted(Some(&hook("")), now), "caBundle is empty", "log");
    wrong(trusted(Some(&hook("LS0t")), now), "no certificate", "anew");
    wrong(trusted(None, now), "no webhook", "flowctl upgrade");
    let at = |seconds: i64| Timestamp::from_second(seconds).unwrap();
    assert_eq!(is_good((0, 1000), at(500)).unwrap(), "CA good until 1970-01-01T00:16:40Z");
    wrong(is_good((0, 1000), at(950)), "good until 1970-01-01T00:16:40Z only", "flowd-ca");
    wrong(is_good((0, 1000), at(1001)), "was good until", "flowd-ca");
}

#[test]
fn while_no_flowd_answers_it_is_said_what_becomes_of_pods() {
    assert_eq!(answered(true, "Ignore", "x").unwrap(), "failurePolicy Ignore");
    wrong(
        answered(false, "Ignore", "x"),
        "pods are made without sidecars (failurePolicy Ignore: it fails open)",
        "-n x",
    );
    wrong(answered(false, "Fail", "x"), "no pod is made", "-n x");
}

#[test]
fn a_pod_made_now_has_its_sidecar_in_either_place() {
    let of = |place: &str| json!({"spec": {place: [{"name": SIDECAR}]}});
    assert_eq!(is_injected(&of("initContainers")).unwrap(), "native sidecar");
    assert_eq!(is_injected(&of("containers")).unwrap(), "container");
    wrong(is_injected(&json!({"spec": {"containers": [{"name": "task"}]}})), "would have none", "9443");
}

fn pod(name: &str, labels: &Value, ready: bool) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels}, "spec": {"initContainers": [{"name": SIDECAR, "image": "s:1"}]},
        "status": {"phase": "Running", "initContainerStatuses": [{"name": SIDECAR, "ready": ready}]},
    })
}

#[test]
fn pods_without_a_sidecar_or_with_one_that_is_not_right_are_named() {
    let injected = json!({INJECTED: "true"});
    let out = pod("out", &json!({INJECT: "false"}), false);
    assert_eq!(have_sidecars(&[pod("a", &injected, true), out.clone()], "x", "s:1").unwrap(), "1 pods");
    wrong(have_sidecars(&[pod("a", &injected, false)], "x", "s:1"), "of 1 are not ready: a", "logs a -c flow-sidecar");
    wrong(
        have_sidecars(&[pod("a", &injected, true)], "x", "s:2"),
        "of 1 are of another image than s:2: a",
        "rollout restart",
    );
    let mut own = pod("a", &injected, true);
    own["metadata"]["annotations"] = json!({"rexflow.io/sidecar-image": "s:1"});
    assert!(have_sidecars(&[own], "x", "s:2").is_ok());
    let bare: Vec<Value> = (0..5).map(|n| pod(&format!("b{n}"), &json!({}), false)).collect();
    wrong(have_sidecars(&bare, "x", "s:1"), "5 have none: b0, b1, b2, ...", "rollout restart");
    let mut gone = pod("gone", &json!({}), false);
    gone["status"]["phase"] = "Succeeded".into();
    assert_eq!(have_sidecars(&[gone, out], "x", "s:1").unwrap(), "0 pods");
}

#[test]
fn a_hop_service_without_its_policies_is_named() {
    let of = |name: &str, ip: &str| json!({"metadata": {"namespace": "x", "name": name}, "spec": {"clusterIP": ip}});
    let (hop, task) = (of("a-flow", "None"), of("a", "10.0.0.1"));
    let policy = [of("a-flow", "")];
    assert_eq!(guarded(&[hop.clone(), task.clone()], &policy, &policy, "m").unwrap(), "1 of 1");
    wrong(
        guarded(&[hop, task], &policy, &[], "m"),
        "1 policies are missing: AuthorizationPolicy x/a-flow",
        "-n m logs",
    );
}

#[test]
fn a_gateway_takes_requests_once_its_controller_has_made_it() {
    let gateway = |conditions: Value| {
        let addresses = json!([{"type": "IPAddress", "value": "10.0.0.7"}]);
        Ok(Some(
            json!({"spec": {"gatewayClassName": "istio"}, "status": {"conditions": conditions, "addresses": addresses}}),
        ))
    };
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "AddressNotAssigned", "message": "pending"});
    let of = |found| is_programmed(found, "edge", "main");
    assert_eq!(
        of(gateway(json!([condition("Accepted", "True"), condition("Programmed", "True")]))).unwrap(),
        "10.0.0.7"
    );
    let pending = of(gateway(json!([condition("Accepted", "True"), condition("Programmed", "False")])));
    wrong(pending, "Programmed is AddressNotAssigned: pending", "describe gateway main");
    wrong(of(gateway(json!([]))), "no controller looks after the class \"istio\"", "describe gateway main");
    wrong(of(gateway(json!([condition("Accepted", "Unknown")]))), "Accepted is", "describe gateway main");
    wrong(of(Ok(None)), "it is not there", "gateway.create=true");
}
