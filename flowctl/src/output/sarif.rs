//! What was found in models, as SARIF 2.1.0: the format in which editors, review tools and CI servers take findings of any checker.
//!
//! One run, whose driver tells every rule of the catalogue with its page, so that a rule keeps its index from file to file. Columns count
//! characters, as everywhere here. A file that could not be read is a notification of the run, not a result.

use serde_json::{Value, json};

use super::apply::{File, Status};
use super::diagnostic::{Diagnostic, Severity};
use crate::exit::Exit;

/// The schema that the log keeps.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// The page of the rules, in the project's folder; each rule is an anchor of it.
const PAGE: &str = "docs/diagnostics.md";

/// The log of one command.
pub(crate) fn log(files: &[File], exit: Exit) -> Value {
    let results: Vec<Value> =
        files.iter().flat_map(|file| file.diagnostics.iter().map(|it| result(&file.file, it))).collect();
    let failed = files.iter().filter(|it| it.status == Status::Error);
    let notifications: Vec<Value> = failed.map(notification).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": driver()},
            "columnKind": "unicodeCodePoints",
            "artifacts": files.iter().map(|it| json!({"location": {"uri": uri(&it.file)}})).collect::<Value>(),
            "invocations": [{
                "executionSuccessful": notifications.is_empty(),
                "exitCode": exit as u8,
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    })
}

fn driver() -> Value {
    let rule = |it: &bpmn::Rule| {
        json!({
            "id": it.id(),
            "shortDescription": {"text": it.description()},
            "help": {"text": it.help()},
            "helpUri": format!("{PAGE}#{}", it.id()),
        })
    };
    json!({
        "name": "flowctl",
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": bpmn::CATALOGUE.iter().map(rule).collect::<Value>(),
    })
}

fn result(file: &str, found: &Diagnostic) -> Value {
    let level = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let mut physical = json!({"artifactLocation": {"uri": uri(file)}});
    if found.line > 0 {
        physical["region"] = match found.column {
            0 => json!({"startLine": found.line}),
            column => json!({"startLine": found.line, "startColumn": column}),
        };
    }
    let mut location = json!({"physicalLocation": physical});
    if let Some(element) = &found.element {
        location["logicalLocations"] = json!([{"name": element, "fullyQualifiedName": element, "kind": "element"}]);
    }
    let text = match found.help.as_str() {
        "" => found.message.clone(),
        help => format!("{}. To mend it: {help}.", found.message),
    };
    let mut result = json!({"ruleId": found.rule, "level": level, "message": {"text": text}, "locations": [location]});
    // flowd may know rules that this flowctl does not
    if let Some(index) = bpmn::CATALOGUE.iter().position(|it| it.id() == found.rule) {
        result["ruleIndex"] = json!(index);
    }
    result
}

fn notification(file: &File) -> Value {
    json!({
        "level": "error",
        "message": {"text": file.message},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri(&file.file)}}}],
    })
}

/// A path as a URI: relative as it was given, absolute with the scheme of files.
fn uri(file: &str) -> String {
    let path = if file == "-" { "stdin" } else { file };
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(byte as char),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::super::apply::{Deployed, Files};
    use super::super::diagnostic::tests::{dangling, unbound};
    use super::super::tests::NOW;
    use super::super::{Format, render};
    use super::*;

    fn file(name: &str, status: Status, diagnostics: Vec<Diagnostic>) -> File {
        let deployments = vec![Deployed { id: "order-1a2b3c4d".into(), process: "order".into() }];
        File { file: name.into(), status, message: "no such file".into(), deployments, diagnostics }
    }

    #[test]
    fn findings_of_several_files_are_one_log() {
        let mut whole = dangling();
        (whole.element, whole.line, whole.column) = (None, 0, 0);
        let files = Files(vec![
            file("models/order form.bpmn", Status::Valid, vec![unbound()]),
            file("/tmp/broken.bpmn", Status::Refused, vec![dangling(), whole]),
            file("lost.bpmn", Status::Error, Vec::new()),
        ]);
        let text = render(&files, Some(Format::Sarif), NOW).expect("it can be shown");
        let mut log: Value = serde_json::from_str(&text).expect("it is JSON");
        let rules = log["runs"][0]["tool"]["driver"]["rules"].take();
        insta::assert_snapshot!(format!("{log:#}"));
        let rules = rules.as_array().expect("rules are a list");
        assert_eq!(rules.len(), bpmn::CATALOGUE.len());
        let index = log["runs"][0]["results"][1]["ruleIndex"].as_u64().expect("a known rule has an index");
        insta::assert_snapshot!(format!("{:#}", rules[index as usize]));
    }
}
