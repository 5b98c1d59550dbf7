//! The program as scripts see it: exit codes, and data alone on standard output. flowd is a small one that
//! answers by rote; flowctl against the real one is tested with the mesh.

#[path = "cli/flowd.rs"]
mod flowd;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// What a run of flowctl came to.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn flowctl(port: u16, words: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_flowctl"))
        .args(words)
        .env_remove("FLOWD_HOST")
        .env("FLOWD_PORT", format!("tcp://127.0.0.1:{port}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("flowctl starts");
    // A command that reads nothing may have ended already.
    let _ = child.stdin.take().expect("standard input is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("flowctl ends");
    Ran {
        code: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).expect("it prints UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("it prints UTF-8"),
    }
}

/// Against the flowd that answers by rote.
fn run(words: &[&str]) -> Ran {
    flowctl(flowd::start(), words, "")
}

#[test]
fn each_document_of_an_update_has_an_outcome() {
    let words = ["update", "-", "-o", "json"];
    let ran = flowctl(flowd::start(), &words, "action: expose_ingress\nwf_id: order\n---\naction: dance\n");
    assert_eq!(ran.code, 1, "{ran:?}");
    let statuses: Vec<_> = ran.json().as_array().unwrap().iter().map(|it| it["status"].clone()).collect();
    assert_eq!(statuses, [json!("ok"), json!("error")]);
    assert!(ran.stderr.contains("Provided action not supported."), "{ran:?}");
}

#[test]
fn without_flowd_it_says_what_to_start() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let ran = flowctl(port, &["ps"], "");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains(&format!("127.0.0.1:{port}")) && ran.stderr.contains("flowctl dev"), "{ran:?}");
}

#[cfg(feature = "kubernetes")]
#[test]
fn a_cluster_that_is_not_there_is_named_with_its_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": server}}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    });
    std::fs::write(kubeconfig.path(), config.to_string()).unwrap();
    let file = kubeconfig.path().to_str().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_flowctl"))
        .args(["ps", "--kubeconfig", file])
        .env_remove("FLOWD_HOST")
        .env_remove("FLOWD_PORT")
        .output()
        .expect("flowctl runs");
    let said = String::from_utf8(output.stderr).expect("it prints UTF-8");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains(&format!("the cluster at {server}/ did not answer")), "{said}");
    assert!(said.contains("--flowd_host") && !said.contains("localhost:9001"), "{said}");
}

#[test]
fn a_senseless_command_line_is_2() {
    assert_eq!(flowctl(1, &["fly"], "").code, 2);
    assert_eq!(flowctl(1, &["run", "order", "{x"], "").code, 2);
    assert_eq!(flowctl(1, &["--help"], "").code, 0);
}

#[test]
fn run_delivers_the_payload_and_waits_for_the_result() {
    let ran = run(&["run", "order", r#"{"x":5}"#, "--wait", "-o", "json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["result"], json!({"x": 5}));
    assert_eq!(ran.json()["state"], json!("COMPLETED"));
    let ran = flowctl(flowd::start(), &["run", "order", "-d", "-", "-w"], "[1, 2]");
    assert_eq!((ran.code, ran.json()), (0, json!([1, 2])));
}

#[test]
fn run_in_an_old_script_prints_the_original_s_object() {
    let ran = run(&["run", "-o", "order", "{}"]);
    assert_eq!((ran.code, ran.json()), (0, json!({"id": "order-1", "message": "Ok", "status": 0})));
}

#[test]
fn a_wait_has_its_own_exit_codes() {
    let codes = ["gone", "slow", "stuck"].map(|id| run(&["run", id, "--wait", "--timeout", "1s"]).code);
    assert_eq!(codes, [3, 4, 5]);
}

#[test]
fn a_wait_that_fails_still_prints_the_instance() {
    let ran = run(&["run", "stuck", "--wait", "-o", "json"]);
    assert_eq!(ran.code, 5);
    assert_eq!(ran.json()["error"]["code"], json!("FAILED_TASK"));
    assert!(ran.stderr.contains("flowctl start stuck-1"), "{ran:?}");
}

#[test]
fn apply_shows_the_line_of_an_error_and_ends_with_65() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.bpmn");
    std::fs::write(&file, "<definitions>\n  <process/>\n</definitions>\n").unwrap();
    let ran = run(&["apply", file.to_str().unwrap(), "-o", "json"]);
    assert_eq!(ran.code, 65, "{ran:?}");
    assert_eq!(ran.json()[0]["status"], json!("refused"));
    assert_eq!(ran.json()[0]["diagnostics"][0]["line"], json!(2));
    assert!(ran.stderr.contains("  <process/>") && ran.stderr.contains("^^^^^^^^^^"), "{ran:?}");
}

#[test]
fn apply_takes_standard_input_and_the_same_content_again() {
    let ran = flowctl(flowd::start(), &["apply", "-f", "-", "-o"], "<unchanged/>");
    assert_eq!((ran.code, ran.json()["wf_id"].clone()), (0, json!("order-1a2b3c4d")), "{ran:?}");
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_the_others() {
    let ran = flowctl(flowd::start(), &["apply", "/nowhere/x.bpmn", "-", "-o", "json"], "<unchanged/>");
    assert_eq!(ran.code, 1, "{ran:?}");
    let statuses: Vec<_> = ran.json().as_array().unwrap().iter().map(|file| file["status"].clone()).collect();
    assert_eq!(statuses, ["error", "unchanged"]);
}

#[test]
fn a_failure_inside_the_answer_is_a_failure() {
    let ran = run(&["stop", "order-1", "gone-1", "-o", "json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!((ran.json()[0]["status"].clone(), ran.json()[1]["status"].clone()), (json!("ok"), json!("error")));
    assert_eq!(run(&["stop", "-d", "busy"]).code, 1);
}

#[test]
fn ps_shows_what_exists_beside_what_does_not() {
    let ran = run(&["ps", "order-1", "gone-1", "-o", "json"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!((ran.json().as_array().unwrap().len(), ran.json()[0]["id"].clone()), (1, json!("order-1")));
    let ran = run(&["ps", "gone-1", "-o"]);
    assert_eq!((ran.code, ran.json()), (3, json!({"gone-1": {}})));
}

#[test]
fn an_old_flowd_is_told_apart() {
    let ran = run(&["trace", "order-1"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("flowctl version"), "{ran:?}");
}

#[test]
fn tables_have_no_colours_in_a_pipe() {
    let ran = run(&["ps"]);
    assert!(ran.stdout.starts_with("ID") && ran.stdout.contains("COMPLETED"), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn validate_needs_no_flowd() {
    let ran = flowctl(1, &["validate", "-", "-o", "json"], "<definitions>");
    assert_eq!(ran.code, 65, "{ran:?}");
    assert_eq!(ran.json()[0]["status"], json!("refused"));
}

#[test]
fn findings_of_several_files_are_one_sarif_log() {
    let folder = std::env::temp_dir().join(format!("flowctl-sarif-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["a.bpmn", "b.bpmn"] {
        std::fs::write(folder.join(name), "<definitions>").unwrap();
    }
    let ran = flowctl(1, &["validate", folder.to_str().unwrap(), "-o", "sarif"], "");
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(ran.code, 65, "{ran:?}");
    let log = ran.json();
    assert_eq!(log["version"], json!("2.1.0"));
    let results = log["runs"][0]["results"].as_array().unwrap();
    let files: Vec<_> = results
        .iter()
        .map(|it| it["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap())
        .collect();
    assert!(files.len() == 2 && files[0].ends_with("/a.bpmn") && files[1].ends_with("/b.bpmn"), "{files:?}");
    assert!(results.iter().all(|it| it["level"] == "error" && it["ruleIndex"].is_u64()), "{log}");
}

#[test]
fn a_list_of_instances_is_no_sarif() {
    let ran = run(&["ps", "-o", "sarif"]);
    assert!(ran.code == 2 && ran.stdout.is_empty() && ran.stderr.contains("validate"), "{ran:?}");
}

#[test]
fn eval_answers_line_by_line() {
    let lines = "{\"expr\": \"x + 1\", \"context\": {\"x\": 1}}\n{\"expr\": \"1 +\"}\n";
    let ran = flowctl(1, &["eval"], lines);
    let answers: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers[0], json!({"value": 2}));
    assert!(answers[1]["error"].is_string(), "{ran:?}");
    assert_eq!((answers.len(), ran.code), (2, 1));
    assert_eq!(flowctl(1, &["eval", "1 + 1"], "").code, 0);
}
