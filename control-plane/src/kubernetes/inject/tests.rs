//! Pods with the sidecar and without.

use serde_json::{Value, json};

use super::*;
use crate::kubernetes::{CONTROL_PORT, Flags, Orchestrator};

fn settings(istio: bool) -> Settings {
    let orchestrator = if istio { Orchestrator::Istio } else { Orchestrator::Kubernetes };
    Settings::of(&Flags { orchestrator, ..Flags::default() }, CONTROL_PORT)
}

fn pod() -> Value {
    json!({
        "metadata": {"labels": {"app": "collect"}},
        "spec": {
            "initContainers": [{"name": "migrate", "image": "m"}],
            "containers": [{
                "name": "main",
                "image": "img:1",
                "ports": [{"containerPort": 5000}],
                "readinessProbe": {"httpGet": {"path": "/", "port": 5000}},
            }],
        },
    })
}

fn injected(pod: &Value, istio: bool) -> Value {
    match inject(pod, "shop", &settings(istio)) {
        Outcome::Injected(pod) => *pod,
        other => panic!("{other:?}"),
    }
}

fn environment(pod: &Value, name: &str) -> String {
    let sidecar = pod["spec"]["initContainers"].as_array().unwrap().last().unwrap();
    let all = sidecar["env"].as_array().unwrap();
    all.iter().find(|it| it["name"] == name).unwrap()["value"].as_str().unwrap().to_owned()
}

#[test]
fn the_sidecar_runs_before_the_task_and_behind_everything_that_was_there() {
    let done = injected(&pod(), false);
    let names: Vec<_> =
        done["spec"]["initContainers"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["migrate", "flow-sidecar"]);
    let sidecar = &done["spec"]["initContainers"][1];
    assert_eq!(sidecar["restartPolicy"], "Always");
    assert_eq!(sidecar["securityContext"]["runAsNonRoot"], true);
    assert_eq!(sidecar["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(environment(&done, "FLOW_SERVE"), "collect.shop=http://127.0.0.1:5000");
    assert_eq!(environment(&done, "FLOW_DRAIN_TIMEOUT"), "25");
    let task = &done["spec"]["containers"][0];
    assert_eq!(task["readinessProbe"], pod()["spec"]["containers"][0]["readinessProbe"]);
    assert_eq!(task["lifecycle"]["preStop"]["httpGet"]["path"], "/drained");
    assert_eq!(done["metadata"]["annotations"][DEFAULT_CONTAINER], "main");
    assert_eq!(done["metadata"]["labels"][INJECTED], "true");
}

#[test]
fn the_same_pod_twice_is_the_same_pod_and_out_again_is_as_it_was() {
    for istio in [false, true] {
        let once = injected(&pod(), istio);
        assert_eq!(inject(&once, "shop", &settings(istio)), Outcome::Unchanged);
        assert_eq!(uninject(&once).unwrap(), pod());
    }
    assert_eq!(uninject(&pod()), None);
}

#[test]
fn under_istio_offers_name_the_service_and_the_health_port_is_left_alone() {
    let mut before = pod();
    before["metadata"]["annotations"] = json!({EXCLUDED[0]: "9000"});
    let done = injected(&before, true);
    assert_eq!(environment(&done, "FLOW_ADVERTISE"), "collect-flow.shop.svc.cluster.local:7001@$(POD_IP):7001");
    assert_eq!(done["metadata"]["annotations"][EXCLUDED[0]], "9000,7002");
    assert_eq!(uninject(&done).unwrap(), before);
    assert_eq!(environment(&injected(&pod(), false), "FLOW_ADVERTISE"), "$(POD_IP):7001");
    assert_eq!(environment(&done, "FLOW_HOP_TLS"), "mesh");
    assert_eq!(environment(&injected(&pod(), false), "FLOW_HOP_TLS"), "own");
}

#[test]
fn hops_that_the_sidecars_encrypt_themselves_are_kept_out_of_the_mesh() {
    let own = Settings { hops: HopTls::Own, ..settings(true) };
    let mut before = pod();
    before["metadata"]["annotations"] = json!({EXCLUDED[0]: "7002, 9000", EXCLUDED[1]: "7001"});
    let Outcome::Injected(done) = inject(&before, "shop", &own) else { panic!("it gets one") };
    assert_eq!(done["metadata"]["annotations"][EXCLUDED[0]], "7002, 9000,7001");
    assert_eq!(done["metadata"]["annotations"][EXCLUDED[1]], "7001,9003");
    assert_eq!(environment(&done, "FLOW_ADVERTISE"), "$(POD_IP):7001");
    assert_eq!(uninject(&done).unwrap(), before);
}

#[test]
fn the_pod_gets_a_token_for_flowd_alone_and_the_ca() {
    let done = injected(&pod(), false);
    let volumes = done["spec"]["volumes"].as_array().unwrap();
    let identity = volumes.iter().find(|it| it["name"] == "flow-identity").unwrap();
    let sources = &identity["projected"]["sources"];
    assert_eq!(sources[0]["serviceAccountToken"]["audience"], "flowd.rexflow.svc");
    assert_eq!(sources[1]["configMap"]["name"], "flow-ca.rexflow");
    let task = done["spec"]["containers"][0].to_string();
    assert!(!task.contains("flow-identity"), "the task does not see it: {task}");
}

#[test]
fn it_is_right_before_istios_injector_and_after_it() {
    let proxy = json!({"name": "istio-proxy", "image": "p", "restartPolicy": "Always"});
    let mut after = pod();
    after["spec"]["initContainers"].as_array_mut().unwrap().insert(0, proxy.clone());
    let done = injected(&after, true);
    let names: Vec<_> =
        done["spec"]["initContainers"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["istio-proxy", "migrate", "flow-sidecar"]);
    // Istio before 1.29 and on request puts its proxy beside the task
    let mut beside = pod();
    beside["spec"]["containers"].as_array_mut().unwrap().insert(0, proxy);
    let done = injected(&beside, true);
    assert_eq!(done["metadata"]["annotations"][DEFAULT_CONTAINER], "main");
    assert_eq!(environment(&done, "FLOW_SERVE"), "collect.shop=http://127.0.0.1:5000");
}

#[test]
fn a_pod_says_otherwise_by_annotations() {
    let mut given = pod();
    given["metadata"]["annotations"] = json!({
        SERVE: "pay=http://127.0.0.1:80,ship=http://127.0.0.1:81", NATIVE: "false", LOG_LEVEL: "debug", IMAGE: "own:2",
        CPU.0: "1", CPU.1: "2", MEMORY.1: "1Gi",
    });
    given["spec"]["terminationGracePeriodSeconds"] = json!(60);
    given["spec"]["containers"][0]["lifecycle"] = json!({"preStop": {"exec": {"command": ["bye"]}}});
    let done = injected(&given, false);
    let sidecar = &done["spec"]["containers"][1];
    assert!(sidecar["restartPolicy"].is_null() && sidecar["image"] == "own:2");
    assert_eq!(sidecar["resources"]["limits"], json!({"memory": "1Gi", "cpu": "2"}));
    assert!(sidecar["env"].to_string().contains("ship=http://127.0.0.1:81"));
    assert_eq!(
        done["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][0], "bye",
        "its own hook is kept"
    );
    assert_eq!(uninject(&done).unwrap(), given);
}

#[test]
fn a_pod_without_a_service_or_with_the_nodes_network_gets_none_and_is_told_why() {
    let skipped = |pod: &Value| match inject(pod, "shop", &settings(false)) {
        Outcome::Skipped(why) => why,
        other => panic!("{other:?}"),
    };
    let mut opted_out = pod();
    opted_out["metadata"]["labels"][INJECT] = json!("false");
    assert!(skipped(&opted_out).contains(INJECT));
    let mut nameless = pod();
    nameless["metadata"] = json!({});
    assert!(skipped(&nameless).contains(SERVICE));
    let mut portless = pod();
    portless["spec"]["containers"][0]["ports"] = json!(null);
    assert!(skipped(&portless).contains(PORT));
    let mut node = pod();
    node["spec"]["hostNetwork"] = json!(true);
    assert!(skipped(&node).contains("node"));
}

#[test]
fn manifests_are_injected_where_their_pods_are() {
    let deployment = json!({
        "kind": "Deployment",
        "metadata": {"name": "collect", "namespace": "shop"},
        "spec": {"replicas": 2, "template": pod()},
    });
    let service = json!({"kind": "Service", "metadata": {"name": "collect"}});
    let list = json!({"kind": "List", "items": [deployment, service]});
    let mut skipped = Vec::new();
    let done = manifest(&list, &settings(false), &mut skipped);
    assert_eq!(done["items"][0]["spec"]["template"]["metadata"]["labels"][INJECTED], "true");
    assert_eq!(done["items"][1], service);
    assert!(skipped.is_empty());
    assert_eq!(clean(&done), list);
    let nameless = json!({"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "a"}]}});
    assert_eq!(manifest(&nameless, &settings(false), &mut skipped), nameless);
    assert!(skipped[0].starts_with("Pod x: "), "{skipped:?}");
}
