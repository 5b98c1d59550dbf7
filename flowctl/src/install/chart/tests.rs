use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::install::kinds::Kind;
use crate::install::values;

const RELEASE: Release<'_> = Release { name: "rexflow", namespace: "mesh", manager: "flowctl" };

fn objects(asked: &Value) -> Vec<Value> {
    render(RELEASE, &values::complete(asked).unwrap()).unwrap_or_else(|error| panic!("{asked}: {error:#}"))
}

fn everything() -> Value {
    let dashboards = json!({"enabled": true, "annotations": {"folder": "REXFlow"}});
    json!({
        "replicas": 2, "store": {"etcd": "etcd://a:2379/x"}, "networkPolicy": true, "serviceMonitor": true,
        "observability": {"sidecars": true, "dashboards": dashboards, "alerts": {"enabled": true, "labels": {"release": "x"}}},
        "env": [{"name": "A", "value": "line\n  two: \"3\""}], "podAnnotations": {"a/b": "1"}, "priorityClassName": "high",
        "gateway": {"name": "edge", "create": true, "tlsSecret": "edge-tls", "annotations": {"a/b": "c"}, "grpc": {"host": "flowd.example"}},
        "users": {"enabled": true}, "nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}], "traces": "http://j:4317",
    })
}

#[test]
fn every_file_of_the_chart_is_in_flowctl() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/istio");
    let listed = |of: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder.join(of)).unwrap();
        entries.map(|it| format!("{of}/{}", it.unwrap().file_name().display())).collect()
    };
    let known: BTreeSet<String> = TEMPLATES.iter().chain(&FILES).map(|(path, _)| (*path).to_owned()).collect();
    // names are no template of their own, notes are Helm's, and the alerts' test is for promtool
    let beside = ["templates/_names.tpl", "templates/NOTES.txt", "observability/alerts.test.yaml"];
    let there: BTreeSet<String> = listed("templates").union(&listed("observability")).cloned().collect();
    assert_eq!(there.into_iter().filter(|it| !beside.contains(&it.as_str())).collect::<BTreeSet<_>>(), known);
    assert!(!folder.join("crds").exists(), "CRDs must be rendered, too");
}

#[test]
fn every_kind_that_the_chart_makes_has_its_place() {
    let all = [objects(&json!({})), objects(&everything()), objects(&json!({"orchestrator": "kubernetes"}))].concat();
    for object in &all {
        let (_, kind) = Kind::of(object).unwrap_or_else(|| panic!("{} {}", object["apiVersion"], object["kind"]));
        assert_eq!(object["metadata"]["labels"][crate::install::INSTALLATION], "mesh", "{object}");
        assert_eq!(kind.namespaced, object["metadata"]["namespace"] == "mesh", "{object}");
    }
}

#[test]
fn values_reach_the_objects_as_they_are() {
    let all = objects(&everything());
    let of = |kind: &str| all.iter().find(|it| it["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    let flowd = of("StatefulSet");
    let container = &flowd["spec"]["template"]["spec"]["containers"][0];
    let env = container["env"].as_array().unwrap();
    assert_eq!(env.last().unwrap(), &json!({"name": "A", "value": "line\n  two: \"3\""}));
    assert_eq!(flowd["spec"]["replicas"], 2);
    assert_eq!(container["image"], format!("localhost/flowd:{}", version().unwrap()));
    assert_eq!(flowd["spec"]["template"]["spec"]["tolerations"], json!([{"operator": "Exists"}]));
    let dashboard: Value =
        serde_json::from_str(of("ConfigMap")["data"]["rexflow-overview.json"].as_str().unwrap()).unwrap();
    assert!(dashboard["panels"].is_array());
    assert!(of("PrometheusRule")["spec"]["groups"].is_array());
}

#[test]
fn values_that_do_not_go_together_are_refused_in_the_charts_words() {
    let refused = |asked: Value| render(RELEASE, &values::complete(&asked).unwrap()).unwrap_err();
    let error = refused(json!({"replicas": 2}));
    assert_eq!(error.to_string(), "replicas: more than one flowd needs store.etcd");
    assert_eq!(crate::exit::code_of(&error), Exit::Invalid);
    let error = refused(json!({"hop": {"tls": "mesh"}, "orchestrator": "kubernetes"}));
    assert!(error.to_string().starts_with("hop.tls: mesh needs orchestrator: istio"), "{error}");
}

#[test]
fn a_function_that_the_renderer_lacks_is_said() {
    let error = fill("x.yaml", "{{ lookup \"v1\" }}", &Datum::Nil).unwrap_err();
    assert!(error.to_string().contains("lookup"), "{error}");
}
