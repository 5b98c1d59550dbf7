use serde_json::json;

use super::*;

const URL: &str = "https://10.0.0.1:6443/";

fn service(namespace: &str) -> Value {
    json!({"metadata": {"name": "flowd", "namespace": namespace}})
}

fn pod(name: &str, ready: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"containers": [
            {"name": "istio-proxy", "ports": [{"name": "http-envoy-prom", "containerPort": 15090}]},
            {"name": "flowd", "ports": [{"name": "http", "containerPort": 9002}, {"name": "grpc", "containerPort": 19001}]},
        ]},
        "status": {"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": ready}]},
    })
}

fn forbidden() -> Error {
    Error::Forbidden("User \"ann\" cannot".to_owned())
}

#[test]
fn the_only_mesh_is_meant() {
    assert_eq!(choose(Ok(vec![service("mesh"), service("mesh")]), URL).unwrap(), "mesh");
}

#[test]
fn of_several_meshes_one_must_be_said() {
    let error = choose(Ok(vec![service("prod"), service("dev")]), URL).unwrap_err();
    assert!(error.to_string().ends_with("in the namespaces dev, prod"), "{error}");
    assert!(error.fix().contains("--namespace"), "{}", error.fix());
}

#[test]
fn a_cluster_without_a_mesh_is_named() {
    let error = choose(Ok(Vec::new()), URL).unwrap_err();
    assert!(error.to_string().contains(URL) && error.fix().contains("flowctl install"), "{error}: {}", error.fix());
}

#[test]
fn who_may_not_look_everywhere_is_led_to_the_usual_namespace() {
    assert_eq!(choose(Err(forbidden()), URL).unwrap(), "rexflow");
    let away = choose(Err(Error::Away("/api".into(), "reset".into())), URL).unwrap_err();
    assert_eq!(away.to_string(), format!("the cluster at {URL} did not answer: reset"));
}

#[test]
fn a_pod_that_serves_is_called_at_the_port_that_it_names() {
    let mut leaving = pod("flowd-0", "True");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let pods = [leaving, pod("flowd-1", "False"), pod("flowd-2", "True")];
    assert_eq!(ready(&pods, "mesh", URL).unwrap(), Target { name: "flowd-2".into(), port: 19001, asks: None });
    let error = ready(&pods[..2], "mesh", URL).unwrap_err();
    assert_eq!(error.to_string(), "no flowd is ready in the namespace mesh");
    assert_eq!(error.fix(), "`flowctl check -n mesh` says why");
}

#[test]
fn a_pod_that_names_no_port_is_called_at_the_usual_one() {
    let mut bare = pod("flowd-0", "True");
    bare["spec"] = json!({"containers": [{"name": "flowd"}]});
    assert_eq!(ready(&[bare], "mesh", URL).unwrap().port, 9001);
}

#[test]
fn a_pod_says_whom_it_asks_for() {
    let mut asking = pod("flowd-0", "True");
    asking["metadata"]["annotations"] = json!({"rexflow.io/users": "users.flowd.mesh.svc"});
    let audience = "users.flowd.mesh.svc".to_owned();
    assert_eq!(
        ready(&[asking.clone()], "mesh", URL).unwrap().asks,
        Some(Asks { audience: audience.clone(), account: None })
    );
    asking["metadata"]["annotations"]["rexflow.io/users-account"] = json!("flowctl");
    let asks = Asks { audience, account: Some("flowctl".into()) };
    assert_eq!(ready(&[asking.clone()], "mesh", URL).unwrap().asks, Some(asks));
    for others in ["https://kubernetes.default.svc", "users.flowd.other.svc", "flowd.mesh.svc"] {
        asking["metadata"]["annotations"]["rexflow.io/users"] = json!(others);
        assert_eq!(ready(&[asking.clone()], "mesh", URL).unwrap().asks, None, "{others}");
    }
}

#[test]
fn a_namespace_without_flowd_is_named_with_its_cluster() {
    let error = ready(&[], "meshh", URL).unwrap_err().to_string();
    assert!(error.contains("meshh") && error.contains(URL), "{error}");
}

#[test]
fn a_right_that_is_lacking_is_named() {
    for (asked, right) in [(Asked::Pods, "`list` pods"), (Asked::Forward, "`get` and `create` pods/portforward")] {
        let error = allowed::<()>(Err(forbidden()), asked, "mesh", URL).unwrap_err();
        assert!(error.to_string().contains("User \"ann\" cannot"), "{error}");
        assert!(error.fix().contains(right) && error.fix().contains("mesh"), "{}", error.fix());
    }
}
