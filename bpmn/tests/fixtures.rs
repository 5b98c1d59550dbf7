//! The fixtures: each file says in a comment what must be found in it.
//!
//! `<!-- expect: error zero-wait-loop A -->`: severity, rule, and the element if one is named.
//! In `accept/` the findings must be exactly these; in `reject/` the errors must be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flow_bpmn::{CATALOGUE, Diagnostic, Limits, Options, Severity, check};

/// The options of the fixtures: every type is bound, tasks without any type are not.
pub(crate) fn options() -> Options {
    let served = ["t", "a", "b", "c", "d", "h", "t2", "happiness"];
    Options { served: served.map(str::to_owned).into(), limits: Limits::default(), ..Options::default() }
}

pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

pub(crate) fn expected(xml: &str) -> Vec<String> {
    let comments = xml.split("<!-- expect: ").skip(1);
    let mut expected: Vec<_> = comments.map(|it| it.split(" -->").next().unwrap().to_owned()).collect();
    expected.sort();
    expected
}

pub(crate) fn found<'a>(findings: impl Iterator<Item = &'a Diagnostic>) -> Vec<String> {
    let mut found: Vec<_> = findings
        .map(|it| {
            let severity = format!("{:?}", it.severity).to_lowercase();
            [Some(severity.as_str()), Some(it.rule), it.element.as_deref()]
                .iter()
                .flatten()
                .copied()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    found.sort();
    found
}

pub(crate) fn listed(findings: &[Diagnostic]) -> String {
    findings.iter().map(|it| format!("\n  {it}")).collect()
}

#[test]
fn accepted_models_have_only_the_expected_findings() {
    let mut wrong = Vec::new();
    for file in files("accept") {
        let xml = std::fs::read_to_string(&file).unwrap();
        match check(xml.as_bytes(), &options()) {
            Ok(checked) if found(checked.warnings.iter()) == expected(&xml) => {}
            Ok(checked) => wrong.push(format!("{}: other findings{}", file.display(), listed(&checked.warnings))),
            Err(findings) => wrong.push(format!("{}: refused{}", file.display(), listed(&findings))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rejected_models_have_exactly_the_expected_errors() {
    let mut wrong = Vec::new();
    for file in files("reject") {
        let xml = std::fs::read_to_string(&file).unwrap();
        match check(xml.as_bytes(), &options()) {
            Ok(_) => wrong.push(format!("{}: accepted", file.display())),
            Err(findings) => {
                let errors = findings.iter().filter(|it| it.severity == Severity::Error);
                if found(errors) != expected(&xml) {
                    wrong.push(format!("{}: other errors{}", file.display(), listed(&findings)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_finding_has_a_place_and_advice() {
    for file in files("reject") {
        let findings = check(&std::fs::read(&file).unwrap(), &options()).unwrap_err();
        for finding in findings {
            assert!(finding.line > 0 && finding.column > 0, "{}: {finding}", file.display());
            assert!(!finding.message.is_empty() && !finding.help.is_empty(), "{}: {finding}", file.display());
        }
    }
}

#[test]
fn every_rule_has_a_fixture() {
    let mut shown: BTreeSet<String> = BTreeSet::new();
    for file in ["accept", "reject", "dmn/accept", "dmn/reject"].iter().flat_map(|it| files(it)) {
        let xml = std::fs::read_to_string(&file).unwrap();
        shown.extend(expected(&xml).iter().filter_map(|it| it.split(' ').nth(1).map(str::to_owned)));
    }
    // these need a file too large, too deep or not text at all: tests/input.rs
    let made = ["input-too-large", "input-encoding", "too-deep", "too-many-elements", "too-many-attributes"];
    let missing: Vec<_> =
        CATALOGUE.iter().map(|it| it.id()).filter(|it| !shown.contains(*it) && !made.contains(it)).collect();
    assert!(missing.is_empty(), "rules without a fixture: {missing:?}");
}
