//! Each example's folder is complete: a model that opens in a modeler, a README with its command,
//! and a service for every name that the model calls.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const EXAMPLES: [&str; 14] = [
    "asynchronous",
    "calc",
    "closure",
    "conditional",
    "error-boundary",
    "multiple-starts",
    "parallel",
    "repeated-task",
    "rest-connector",
    "retries",
    "timed-events",
    "topics",
    "underpants",
    "user-task",
];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What follows `before` up to `end`, wherever it occurs.
fn between<'a>(text: &'a str, before: &str, end: &[char]) -> BTreeSet<&'a str> {
    let parts = text.split(before).skip(1);
    parts.filter_map(|part| part.split(end).next()).map(str::trim).collect()
}

#[test]
fn every_folder_is_listed_here() {
    let entries = fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path());
    let found: BTreeSet<String> = folders
        .filter(|path| path.join("services.yaml").is_file())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(found, EXAMPLES.map(String::from).into());
}

#[test]
fn every_model_has_a_diagram_and_every_readme_its_command() {
    for name in EXAMPLES {
        let model = text(&folder(name).join(format!("{name}.bpmn")));
        assert!(model.contains(&format!("<bpmn:process id=\"{name}\"")), "{name}");
        let drawn = between(&model, "bpmnElement=\"", &['"']);
        for flow in between(&model, "<bpmn:sequenceFlow id=\"", &['"']) {
            assert!(drawn.contains(flow), "{name}: {flow} is not in the diagram");
        }
        let readme = text(&folder(name).join("README.md"));
        let command = format!("cargo run --release --bin flowctl -- dev examples/{name}\n");
        assert!(readme.contains(&command), "{name}");
    }
}

#[test]
fn every_service_that_a_model_calls_is_started() {
    for name in EXAMPLES {
        let model = text(&folder(name).join(format!("{name}.bpmn")));
        let mut called = between(&model, "host: ", &['\n', '<']);
        called.extend(between(&model, "taskDefinition type=\"", &['"']));
        let services = text(&folder(name).join("services.yaml"));
        if called.remove("io.camunda:http-json:1") {
            // nothing of the mesh: what it calls is a URL of the model
            called.extend(between(&services, "- name: ", &['\n']));
            assert!(model.contains(&format!(":{}/", between(&services, "port: ", &['\n']).first().unwrap())), "{name}");
        }
        assert_eq!(called, between(&services, "- name: ", &['\n']), "{name}");
        assert!(services.contains(&format!("\n  process: {name}\n")), "{name}");
    }
}

#[test]
fn every_command_is_one_that_the_program_takes() {
    for name in EXAMPLES {
        let services = text(&folder(name).join("services.yaml"));
        for arguments in between(&services, "command: [example-service, ", &[']']) {
            // With --help all that stands before it is parsed, and nothing is served.
            let status = Command::new(env!("CARGO_BIN_EXE_example-service"))
                .args(arguments.split(", ").map(|argument| argument.trim_matches('"')))
                .arg("--help")
                .output()
                .unwrap()
                .status;
            assert!(status.success(), "{name}: {arguments}");
        }
    }
}
