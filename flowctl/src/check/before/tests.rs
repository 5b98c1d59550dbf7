use serde_json::json;

use super::*;
use crate::check::tests::wrong;
use crate::install::chart::{self, Release};
use crate::install::values;

#[test]
fn versions_without_native_sidecars_are_refused() {
    let version =
        |minor: &str| is_new_enough(&json!({"major": "1", "minor": minor, "gitVersion": format!("v1.{minor}.0")}));
    assert_eq!(version("34").unwrap(), "v1.34.0");
    assert_eq!(version("29+").unwrap(), "v1.29+.0");
    wrong(version("28"), "no native sidecars", "1.29");
    wrong(is_new_enough(&json!({"hello": 1})), "no version", "kubeconfig");
}

#[test]
fn rights_that_are_missing_are_named() {
    assert!(may_all(&[], "x").is_ok());
    wrong(
        may_all(&["create clusterroles".into()], "x"),
        "may not create clusterroles",
        "can-i create clusterroles -n x",
    );
}

fn istiod(ready: u64, image: &str, native: Option<&str>) -> Value {
    let env: Vec<Value> = native.iter().map(|it| json!({"name": "ENABLE_NATIVE_SIDECARS", "value": it})).collect();
    json!({
        "metadata": {"namespace": "istio-system", "name": "istiod"}, "status": {"readyReplicas": ready},
        "spec": {"template": {"spec": {"containers": [{"image": image, "env": env}]}}},
    })
}

#[test]
fn istiod_must_be_there_and_ready() {
    let new = "localhost:5000/pilot:1.31-dev@sha256:00";
    assert_eq!(
        is_ready(&[istiod(0, new, None), istiod(1, new, None)]).unwrap(),
        "istio-system/istiod 1.31-dev, native"
    );
    wrong(is_ready(&[istiod(0, new, None)]), "no replica of istio-system/istiod", "-n istio-system");
    wrong(is_ready(&[]), "no Deployment", "orchestrator=kubernetes");
}

#[test]
fn proxies_that_are_ordinary_containers_are_told() {
    assert_eq!(is_ready(&[istiod(1, "pilot:1.24.0", Some("true"))]).unwrap(), "istio-system/istiod 1.24.0, native");
    wrong(is_ready(&[istiod(1, "pilot:1.24.0", None)]), "1.24.0 makes ordinary", "ENABLE_NATIVE_SIDECARS");
    wrong(is_ready(&[istiod(1, "pilot:1.31.0", Some("false"))]), "makes ordinary", "ENABLE_NATIVE_SIDECARS");
    assert_eq!(is_ready(&[istiod(1, "localhost:5000/pilot", None)]).unwrap(), "istio-system/istiod ");
}

#[test]
fn a_cluster_without_a_class_for_the_volume_needs_a_word() {
    let class = |default: &str| json!({"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": default}}});
    assert_eq!(has_class(&[class("true")], "").unwrap(), "fast");
    assert_eq!(has_class(&[class("false")], "fast").unwrap(), "fast");
    wrong(has_class(&[class("false")], ""), "no storage class is", "store.etcd");
    wrong(has_class(&[class("true")], "slow"), "no storage class slow", "storageClass=NAME");
}

#[test]
fn without_the_gateway_api_nothing_fails() {
    let known = json!({"groupVersion": "gateway.networking.k8s.io/v1", "resources": [{"name": "httproutes"}]});
    assert_eq!(has_routes(&known, true).unwrap(), "gateway.networking.k8s.io/v1");
    wrong(has_routes(&json!({}), false), "no HTTPRoutes", "if that is wanted");
    wrong(has_routes(&json!({}), true), "no HTTPRoutes", "leave gateway.name empty");
}

#[test]
fn what_is_wanted_is_read_from_values_and_from_flowd_alike() {
    let cases = [
        json!({}),
        json!({"orchestrator": "kubernetes"}),
        json!({"hop": {"tls": "own"}, "store": {"etcd": "etcd://a:1/x"}}),
        json!({"store": {"persistence": {"storageClass": "fast"}}}),
        json!({"store": {"persistence": {"enabled": false}}}),
        json!({"gateway": {"name": "main", "namespace": "edge"}}),
    ];
    for asked in cases {
        let values = values::complete(&asked).unwrap();
        let release = Release { name: "r", namespace: "x", manager: "flowctl" };
        let objects = chart::render(release, &values).unwrap();
        let flowd = objects.iter().find(|it| it["kind"] == "StatefulSet").unwrap();
        assert_eq!(Wanted::of(&values), Wanted::by(flowd), "{asked}");
    }
}
