use super::*;

const SOURCE: &str = "<definitions>\n  <process id=\"p\">\n    <serviceTask id=\"charge\" name=\"Charge\"/>\n    <sequenceFlow id=\"f\" sourceRef=\"charge\"\n      targetRef=\"nowhere\"/>\n  </process>\n</definitions>\n";

pub(crate) fn unbound() -> Diagnostic {
    Diagnostic {
        rule: "task-unbound".into(),
        severity: Severity::Warning,
        element: Some("charge".into()),
        line: 3,
        column: 5,
        message: "nothing says which service runs task `charge`".into(),
        help: "add an annotation `rexflow: {service: {host: …}}`, or bind its type".into(),
    }
}

pub(crate) fn dangling() -> Diagnostic {
    Diagnostic {
        rule: "unknown-reference".into(),
        severity: Severity::Error,
        element: Some("f".into()),
        line: 4,
        column: 5,
        message: "flow `f` leads to `nowhere`, which does not exist".into(),
        help: String::new(),
    }
}

fn rendered(source: &str, diagnostics: &[Diagnostic]) -> String {
    anstream::adapter::strip_str(&render("order.bpmn", source, diagnostics)).to_string()
}

#[test]
fn the_source_line_is_shown_and_underlined() {
    insta::assert_snapshot!(rendered(SOURCE, &[unbound(), dangling()]));
}

#[test]
fn a_diagnostic_without_a_place_names_the_file() {
    let mut whole = dangling();
    (whole.line, whole.column) = (0, 0);
    insta::assert_snapshot!(rendered(SOURCE, &[whole]));
}

#[test]
fn a_place_that_cannot_be_shown_is_still_named() {
    let mut far = dangling();
    (far.line, far.column) = (99, 7);
    assert!(rendered(SOURCE, &[far]).contains("order.bpmn:99:7"));
    let long = format!("<a>{}", "x".repeat(LONGEST_LINE));
    let mut first = dangling();
    (first.line, first.column) = (1, 900);
    assert!(rendered(&long, &[first]).contains("order.bpmn:1:900"));
}

#[test]
fn columns_count_characters() {
    let mut later = unbound();
    (later.line, later.column) = (1, 6);
    let text = rendered("größe<a/> rest\n", &[later]);
    assert!(text.contains("1:6"), "{text}");
    assert!(text.contains("     ^^^^\n"), "{text}");
}

#[test]
fn the_json_has_every_field() {
    insta::assert_json_snapshot!([unbound(), dangling()]);
}

#[test]
fn a_text_is_underlined_up_to_the_next_tag() {
    let mut inside = unbound();
    (inside.line, inside.column) = (1, 3);
    let text = rendered("  a: b</bpmn:text>\n", &[inside]);
    assert!(text.contains("|   ^^^^\n"), "{text}");
}
