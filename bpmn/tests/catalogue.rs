//! Rule ids and the JSON of a diagnostic are contracts; the page of rules says what the code does.

use std::collections::HashSet;

use flow_bpmn::{CATALOGUE, Diagnostic, Rule};

#[test]
fn the_page_has_a_section_for_every_rule() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/diagnostics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut sections = page.split("\n## ").skip(1);
    for rule in CATALOGUE {
        let section = sections.next().unwrap_or_else(|| panic!("no section for {}", rule.id()));
        let (title, text) = section.split_once('\n').unwrap();
        assert_eq!(title, rule.id());
        assert!(text.contains(rule.description()), "{title} does not say: {}", rule.description());
        assert!(text.contains(rule.help()), "{title} does not say: {}", rule.help());
    }
    assert_eq!(sections.next(), None, "a section without a rule");
}

#[test]
fn rule_ids_are_unique_and_kebab_case() {
    let ids: HashSet<_> = CATALOGUE.iter().map(|it| it.id()).collect();
    assert_eq!(ids.len(), CATALOGUE.len());
    assert!(ids.iter().all(|it| it.bytes().all(|it| it.is_ascii_lowercase() || it == b'-')));
}

#[test]
fn a_diagnostic_is_the_json_that_scripts_read() {
    let position = flow_bpmn::model::Position { line: 3, column: 7 };
    let diagnostic = Diagnostic::warning(Rule::NoDefault, position, "m").on("G").help("h");
    let json = serde_json::to_string(&diagnostic).unwrap();
    let expected =
        r#"{"rule":"no-default","severity":"warning","element":"G","line":3,"column":7,"message":"m","help":"h"}"#;
    assert_eq!(json, expected);
}
