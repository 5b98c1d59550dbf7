//! The objects of deployments.

use std::collections::{BTreeMap, BTreeSet};

use bpmn::{Origin, Workload};

use super::*;
use crate::kubernetes::{CONTROL_PORT, Flags, Orchestrator};

fn settings(istio: bool) -> Settings {
    let orchestrator = if istio { Orchestrator::Istio } else { Orchestrator::Kubernetes };
    Settings::of(&Flags { orchestrator, ..Flags::default() }, CONTROL_PORT)
}

fn workload(name: &str, namespace: &str, own_namespace: Option<bool>) -> Workload {
    let origin = match own_namespace {
        Some(own_namespace) => Origin::Deployed { image: format!("{name}:1"), own_namespace, priority_class: None },
        None => Origin::Preexisting,
    };
    Workload {
        service: format!("{name}.{namespace}").as_str().into(),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        origin,
        port: 80,
        target_port: 5000,
        health: None,
        elements: Vec::new(),
    }
}

fn planned(applied: &[Applied<'_>], present: &Present, settings: &Settings) -> Vec<Object> {
    plan(applied, present, &Images::new(), settings).objects
}

fn keys(objects: &[Object]) -> Vec<String> {
    objects.iter().map(|it| it.key.to_string()).collect()
}

fn find<'a>(objects: &'a [Object], key: &str) -> &'a Value {
    &objects.iter().find(|it| it.key.to_string() == key).unwrap_or_else(|| panic!("{key}: {:?}", keys(objects))).body
}

#[test]
fn a_deployment_with_a_namespace_of_its_own_brings_everything_and_leaves_scaling_to_others() {
    let workloads = [workload("collect", "shop-1", Some(true))];
    let edges = BTreeSet::new();
    let applied =
        [Applied { deployment: "shop-1", workloads: &workloads, edges: &edges, connectors: false, ingress: &[] }];
    let objects = planned(&applied, &Present::new(), &settings(false));
    assert_eq!(
        keys(&objects),
        [
            "Namespace shop-1",
            "ServiceAccount shop-1/collect",
            "Service shop-1/collect",
            "Service shop-1/collect-flow",
            "Deployment shop-1/collect"
        ]
    );
    let deployment = find(&objects, "Deployment shop-1/collect");
    assert!(deployment["spec"]["replicas"].is_null());
    let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations[SERVE], "collect.shop-1=http://127.0.0.1:5000");
    assert_eq!(find(&objects, "Service shop-1/collect-flow")["spec"]["clusterIP"], "None");
    assert_eq!(find(&objects, "Service shop-1/collect")["spec"]["ports"][0]["targetPort"], 5000);
    assert!(objects.iter().all(|it| it.body["metadata"]["labels"][MESH] == "rexflow"));
}

#[test]
fn in_a_shared_namespace_nothing_of_the_namespace_is_ours() {
    let workloads = [workload("collect-1", "pantry", Some(false))];
    let edges = BTreeSet::new();
    let applied =
        [Applied { deployment: "shop-1", workloads: &workloads, edges: &edges, connectors: false, ingress: &[] }];
    let objects = planned(&applied, &Present::new(), &settings(true));
    assert!(!keys(&objects).iter().any(|it| it.starts_with("Namespace")), "{:?}", keys(&objects));
}

#[test]
fn under_istio_only_predecessors_and_flowd_may_offer_and_only_the_hop_port_is_guarded() {
    let workloads = [workload("a", "shop-1", Some(true)), workload("b", "shop-1", Some(true))];
    let edges = BTreeSet::from([("a.shop-1".into(), "b.shop-1".into())]);
    let applied =
        [Applied { deployment: "shop-1", workloads: &workloads, edges: &edges, connectors: false, ingress: &[] }];
    let objects = planned(&applied, &Present::new(), &settings(true));
    let rule = &find(&objects, "AuthorizationPolicy shop-1/b-flow")["spec"]["rules"][0];
    let principals = rule["from"][0]["source"]["notPrincipals"].clone();
    assert_eq!(principals, json!(["cluster.local/ns/rexflow/sa/flowd", "cluster.local/ns/shop-1/sa/a"]));
    assert_eq!(rule["to"][0]["operation"]["ports"], json!(["7001"]));
    let first = &find(&objects, "AuthorizationPolicy shop-1/a-flow")["spec"]["rules"][0];
    assert_eq!(first["from"][0]["source"]["notPrincipals"], json!(["cluster.local/ns/rexflow/sa/flowd"]));
    let strict = &find(&objects, "PeerAuthentication shop-1/b-flow")["spec"];
    assert_eq!(strict["portLevelMtls"], json!({"7001": {"mode": "STRICT"}}));
}

#[test]
fn two_deployments_share_the_standing_sidecar_of_a_preexisting_service() {
    let sauce = workload("sauce", "kitchen", None);
    let (one, two) = ([workload("a", "one-1", Some(true)), sauce.clone()], [workload("b", "two-1", Some(true)), sauce]);
    let edges = [
        BTreeSet::from([("a.one-1".into(), "sauce.kitchen".into())]),
        BTreeSet::from([("b.two-1".into(), "sauce.kitchen".into())]),
    ];
    let applied = [
        Applied { deployment: "one-1", workloads: &one, edges: &edges[0], connectors: false, ingress: &[] },
        Applied { deployment: "two-1", workloads: &two, edges: &edges[1], connectors: true, ingress: &[] },
    ];
    let objects = planned(&applied, &Present::new(), &settings(true));
    let standing = find(&objects, "Deployment kitchen/sauce-flow");
    let environment = standing["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
    assert!(environment.contains("sauce.kitchen=http://sauce.kitchen.svc.cluster.local:80"), "{environment}");
    let rule = &find(&objects, "AuthorizationPolicy kitchen/sauce-flow")["spec"]["rules"][0];
    assert_eq!(rule["from"][0]["source"]["notPrincipals"].as_array().unwrap().len(), 3, "flowd and both predecessors");
    find(&objects, "Deployment rexflow/flow-connectors");
    let names = keys(&objects);
    assert!(!names.iter().any(|it| it.ends_with("kitchen/sauce") || it == "Namespace kitchen"), "{names:?}");
}

#[test]
fn a_preexisting_service_whose_pods_have_sidecars_gets_the_hop_service_alone() {
    let workloads = [workload("sauce", "kitchen", None)];
    let edges = BTreeSet::new();
    let applied =
        [Applied { deployment: "one-1", workloads: &workloads, edges: &edges, connectors: false, ingress: &[] }];
    let found =
        Found { selector: BTreeMap::from([("run".into(), "sauce".into())]), injected: true, account: "chef".into() };
    let present = Present::from([(("kitchen".into(), "sauce".into()), found)]);
    let objects = planned(&applied, &present, &settings(false));
    assert_eq!(keys(&objects), ["Service kitchen/sauce-flow"]);
    assert_eq!(objects[0].body["spec"]["selector"], json!({"run": "sauce", INJECTED: "true"}));
}

#[test]
fn services_that_share_a_host_are_one_workload_with_several_ports() {
    let (mut first, mut second) = (workload("a", "n", Some(true)), workload("a", "n", Some(true)));
    (first.service, first.port, first.target_port) = ("a.n:81".into(), 81, 5001);
    (second.service, second.port, second.target_port) = ("a.n:82".into(), 82, 5002);
    let (workloads, edges) = ([first, second], BTreeSet::new());
    let applied = [Applied { deployment: "n", workloads: &workloads, edges: &edges, connectors: false, ingress: &[] }];
    let objects = planned(&applied, &Present::new(), &settings(false));
    let task = &find(&objects, "Deployment n/a")["spec"]["template"];
    assert_eq!(task["spec"]["containers"][0]["ports"].as_array().unwrap().len(), 2);
    assert_eq!(task["metadata"]["annotations"][SERVE], "a.n:81=http://127.0.0.1:5001,a.n:82=http://127.0.0.1:5002");
}

#[test]
fn hops_that_the_sidecars_encrypt_go_past_istio_and_need_no_policies_of_it() {
    let workloads = [workload("a", "shop-1", Some(true))];
    let edges = BTreeSet::new();
    let applied =
        [Applied { deployment: "shop-1", workloads: &workloads, edges: &edges, connectors: false, ingress: &[] }];
    let own = Settings { hops: HopTls::Own, ..settings(true) };
    let objects = planned(&applied, &Present::new(), &own);
    assert!(
        !keys(&objects).iter().any(|it| it.contains("Authentication") || it.contains("Policy")),
        "{:?}",
        keys(&objects)
    );
    let annotations = &find(&objects, "Deployment shop-1/a")["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(annotations["traffic.sidecar.istio.io/excludeInboundPorts"], "7001,7002");
    assert_eq!(annotations["traffic.sidecar.istio.io/excludeOutboundPorts"], "7001,9003");
}

#[test]
fn every_service_has_the_account_that_its_sidecars_run_under() {
    let workloads =
        [workload("a", "shop-1", Some(true)), workload("sauce", "kitchen", None), workload("old", "kitchen", None)];
    let edges = BTreeSet::new();
    let applied =
        [Applied { deployment: "shop-1", workloads: &workloads, edges: &edges, connectors: false, ingress: &[] }];
    let found = Found { injected: true, account: "chef".into(), ..Found::default() };
    let present = Present::from([(("kitchen".into(), "sauce".into()), found)]);
    let Planned { accounts, names, .. } = plan(&applied, &present, &Images::new(), &settings(false));
    let of = |service: &str| accounts.get(service).map(|(namespace, account)| format!("{namespace}/{account}"));
    assert_eq!(of("a.shop-1").as_deref(), Some("shop-1/a"));
    assert_eq!(of("sauce.kitchen").as_deref(), Some("kitchen/chef"));
    assert_eq!(of("old.kitchen").as_deref(), Some("kitchen/old-flow"));
    assert_eq!(of("connectors").as_deref(), Some("rexflow/flow-connectors"));
    let name = |service: &str| names[&ServiceName::from(service)].as_str();
    assert_eq!(name("a.shop-1"), "a-flow.shop-1.svc.cluster.local:7001");
    assert_eq!(name("old.kitchen"), "old-flow.kitchen.svc.cluster.local:7001");
    assert_eq!(name("connectors"), "flow-connectors.rexflow.svc.cluster.local:7001");
}
