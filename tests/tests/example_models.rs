//! The models of the examples and of the benchmark are accepted as they are, without a warning, and
//! name the services that their folders start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bpmn::{Options, ProcessDefinition, check};

/// What `apply` says where `served` is served.
fn definition(model: &Path, served: BTreeSet<String>) -> ProcessDefinition {
    let xml = std::fs::read(model).unwrap_or_else(|error| panic!("{}: {error}", model.display()));
    let options = Options { served, missing_binding_is_error: true, ..Options::default() };
    let checked = check(&xml, &options).unwrap_or_else(|findings| panic!("{}: {findings:#?}", model.display()));
    assert!(checked.warnings.is_empty(), "{}: {:#?}", model.display(), checked.warnings);
    let [definition] = checked.definitions.as_slice() else { panic!("{}: not one process", model.display()) };
    definition.clone()
}

fn services(definition: &ProcessDefinition) -> BTreeSet<String> {
    definition.services().keys().map(ToString::to_string).collect()
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

#[test]
fn every_example_is_accepted_and_its_services_are_started() {
    for name in ["calc", "conditional", "error-boundary", "parallel", "retries", "underpants"] {
        let file = std::fs::read_to_string(example(name).join("services.yaml")).unwrap();
        let started: BTreeSet<String> =
            file.lines().filter_map(|line| line.trim().strip_prefix("- name: ")).map(str::to_owned).collect();
        let model = example(name).join(format!("{name}.bpmn"));
        let definition = definition(&model, started.clone());
        assert_eq!(definition.process.to_string(), name);
        assert_eq!(services(&definition), started, "{name}");
    }
}

#[test]
fn the_connector_needs_no_service_of_its_own() {
    let definition = definition(&example("rest-connector").join("rest-connector.bpmn"), BTreeSet::new());
    assert_eq!(services(&definition), ["connectors".to_owned()].into());
}

#[test]
fn the_benchmark_has_three_tasks() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/three.bpmn");
    let expected = ["one", "three", "two"].map(String::from).into();
    assert_eq!(services(&definition(&model, BTreeSet::new())), expected);
}
