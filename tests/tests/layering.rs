//! Dependencies point one way (design §2). What is not listed is forbidden.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each crate and the ones of this workspace that it may name.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("flow-feel", &[]),
    ("flow-runtime", &[]),
    ("flow-routing", &["flow-feel"]),
    ("flow-bpmn", &["flow-feel", "flow-routing"]),
    ("flow-proto", &["flow-routing"]),
    ("flow-hop", &["flow-proto", "flow-routing", "flow-runtime"]),
    ("flow-sidecar", &["flow-hop", "flow-proto", "flow-routing", "flow-runtime"]),
    ("flow-control-plane", &["flow-bpmn", "flow-hop", "flow-proto", "flow-routing", "flow-runtime"]),
    // eval uses feel; the dev verb alone uses flowd, the sidecar and what they share as libraries
    (
        "flowctl",
        &["flow-bpmn", "flow-control-plane", "flow-feel", "flow-proto", "flow-routing", "flow-runtime", "flow-sidecar"],
    ),
    ("flow-examples", &[]),
];

/// Crates from outside that a sidecar must not contain, directly or through others.
const NOT_IN_A_SIDECAR: [&str; 7] =
    ["quick-xml", "kube", "etcd-client", "redb", "serde-saphyr", "async-nats", "rskafka"];

/// Crates that the pure parts must not contain: no I/O, no async.
const NOT_IN_PURE: [&str; 4] = ["tokio", "hyper", "tonic", "socket2"];

fn metadata() -> Value {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--manifest-path",
            manifest,
            "--filter-platform",
            &platform,
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Package name -> names of its normal and build dependencies.
fn graph(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["id"].as_str().unwrap(), p["name"].as_str().unwrap()))
        .collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let normal = |dep: &&Value| dep["dep_kinds"].as_array().unwrap().iter().any(|k| k["kind"].is_null());
        let deps = node["deps"].as_array().unwrap().iter().filter(normal);
        let deps = deps.map(|d| names[d["pkg"].as_str().unwrap()].to_owned());
        graph.entry(names[node["id"].as_str().unwrap()].to_owned()).or_default().extend(deps);
    }
    graph
}

fn reachable<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut seen, mut stack) = (BTreeSet::new(), vec![from]);
    while let Some(name) = stack.pop() {
        if seen.insert(name) {
            stack.extend(graph.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    seen
}

#[test]
fn dependencies_point_one_way() {
    let graph = graph(&metadata());
    let ours: BTreeSet<&str> = ALLOWED.iter().map(|(name, _)| *name).chain(["flow-tests"]).collect();
    for (name, allowed) in ALLOWED {
        let named: BTreeSet<&str> = graph[name].iter().map(String::as_str).filter(|d| ours.contains(d)).collect();
        let forbidden: Vec<_> = named.iter().filter(|d| !allowed.contains(d)).collect();
        assert!(forbidden.is_empty(), "{name} must not depend on {forbidden:?}");
    }
}

#[test]
fn a_sidecar_stays_lean() {
    let graph = graph(&metadata());
    let inside = reachable(&graph, "flow-sidecar");
    for name in NOT_IN_A_SIDECAR {
        assert!(!inside.contains(name), "flow-sidecar contains {name}");
    }
}

#[test]
fn the_semantics_are_pure() {
    let graph = graph(&metadata());
    for pure in ["flow-feel", "flow-routing", "flow-bpmn"] {
        let inside = reachable(&graph, pure);
        for name in NOT_IN_PURE {
            assert!(!inside.contains(name), "{pure} contains {name}");
        }
    }
}
