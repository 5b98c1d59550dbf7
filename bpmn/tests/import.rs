//! Models of other engines: what is told of them, and what is written.

use flow_bpmn::import::{Line, Outcome};
use flow_bpmn::{Dialect, Import, Options, check, import};

const CAMUNDA_7: &str = include_str!("import/camunda7.bpmn");
const REXFLOW: &str = include_str!("import/rexflow.bpmn");

fn read(model: &str, dialect: Dialect) -> (Import, String) {
    let read = import(model.as_bytes(), dialect, &Options::default()).unwrap();
    let written = String::from_utf8(read.model.clone()).unwrap();
    (read, written)
}

/// Outcomes for one thing of one element.
fn told<'i>(read: &'i Import, element: &str, what: &str) -> &'i Line {
    let found = read.lines.iter().find(|it| it.element == element && it.what == what);
    found.unwrap_or_else(|| panic!("nothing is told of {what} of {element}: {:#?}", read.lines))
}

fn unmapped(read: &Import) -> Vec<&Line> {
    read.lines.iter().filter(|it| it.outcome == Outcome::Unmapped).collect()
}

#[test]
fn what_camunda_7_says_becomes_what_runs_here() {
    let (read, written) = read(CAMUNDA_7, Dialect::Camunda7);
    assert_eq!(unmapped(&read), Vec::<&Line>::new());
    assert!(check(CAMUNDA_7.as_bytes(), &Options::default()).is_err());
    check(written.as_bytes(), &Options::default()).unwrap();
    for expected in [
        r#"camunda:type="external" camunda:topic="ChargeCard" camunda:asyncBefore="true""#,
        r#"camunda:type="external" camunda:topic="shipper""#,
        r#"type="ChargeCard" retries="5"/>"#,
        r#">=amount &gt; 100 and status = "open"</bpmn:conditionExpression>"#,
        ">=(if (days) = null",
        "=order.total * 2</camunda:inputParameter>",
        r#"camunda:collection="=order.lines""#,
        "numberOfCompletedInstances",
        r#"camunda:assignee="=owner""#,
        r#"defaultValue="=amount""#,
    ] {
        let expected = expected.replace(">=(if (days) = null", ">=\"P\" + (if (days) = null");
        assert!(written.contains(&expected), "{expected} is not in\n{written}");
    }
    assert!(!written.contains("${"), "{written}");
    assert_eq!(told(&read, "charge", "camunda:class").outcome, Outcome::Changed);
    assert_eq!(told(&read, "charge", "camunda:asyncBefore").outcome, Outcome::Changed);
    assert_eq!(told(&read, "start", "").outcome, Outcome::Same);
}

#[test]
fn whatever_no_rule_touches_stays_byte_for_byte() {
    let (_, written) = read(CAMUNDA_7, Dialect::Camunda7);
    let (before, after): (Vec<_>, Vec<_>) = (CAMUNDA_7.lines().collect(), written.lines().collect());
    assert_eq!(before.len(), after.len(), "a line was added or taken away");
    for (old, new) in before.iter().zip(&after) {
        let touched = ["${", "#{", "camunda:class", "failedJobRetry", "expressionLanguage"];
        assert!(old == new || touched.iter().any(|it| old.contains(it)), "{old}\n{new}");
    }
    let again = read(&written, Dialect::Camunda7).1;
    assert_eq!(again, written, "a second import changes nothing");
    let marked = [b"\xef\xbb\xbf", CAMUNDA_7.as_bytes()].concat();
    let marked = import(&marked, Dialect::Camunda7, &Options::default()).unwrap().model;
    assert_eq!(&marked[3..], written.as_bytes());
    assert_eq!(read(CAMUNDA_7, Dialect::Camunda8).1, CAMUNDA_7);
}

#[test]
fn what_does_not_map_is_told_and_left() {
    let line = r#"camunda:class="org.example.ChargeCard""#;
    for (with, what) in [
        (r##"camunda:expression="#{bean.charge(order)}""##, "camunda:expression"),
        (r#"camunda:delegateExpression="${a.b}""#, "camunda:delegateExpression"),
        (r#"camunda:type="mail""#, "camunda:type"),
        (r#"camunda:type="external" camunda:topic="${where}""#, "camunda:topic"),
        (r#"camunda:novelty="x""#, "camunda:novelty"),
    ] {
        assert!(CAMUNDA_7.contains(line));
        let (read, written) = read(&CAMUNDA_7.replace(line, with), Dialect::Camunda7);
        let found = told(&read, "charge", what);
        assert_eq!(found.outcome, Outcome::Unmapped, "{found:?}");
        assert!(written.contains(with), "{written}");
    }
    let listener = r#"<camunda:executionListener class="a.B" event="start"/><camunda:failedJobRetry"#;
    let (listening, written) = read(&CAMUNDA_7.replace("<camunda:failedJobRetry", listener), Dialect::Camunda7);
    assert_eq!(told(&listening, "charge", "camunda:executionListener").outcome, Outcome::Unmapped);
    assert!(check(written.as_bytes(), &Options::default()).is_err());
    let (checked, written) =
        read(&CAMUNDA_7.replace(r#"name="min" config="100""#, r#"name="validator" config="a.B""#), Dialect::Camunda7);
    assert_eq!(told(&checked, "approve", "camunda:constraint").outcome, Outcome::Unmapped);
    assert!(check(written.as_bytes(), &Options::default()).is_err());
    let (beans, _) = read(&CAMUNDA_7.replace("amount &gt; 100", "empty amount"), Dialect::Camunda7);
    let found = told(&beans, "large", "conditionExpression");
    assert_eq!(found.outcome, Outcome::Unmapped, "{found:?}");
}

#[test]
fn older_spellings_of_the_original_are_written_anew() {
    let (read, written) = read(REXFLOW, Dialect::Rexflow);
    assert_eq!(unmapped(&read), Vec::<&Line>::new());
    assert!(written.contains("rexflow_global_properties:\n") && written.contains("  topic: orders"), "{written}");
    assert!(!written.contains("kafka_topic: orders"), "{written}");
    let definition = |model: &str| check(model.as_bytes(), &Options::default()).unwrap();
    let older: Vec<_> = definition(REXFLOW).warnings.iter().map(|it| it.rule).collect();
    let newer: Vec<_> = definition(&written).warnings.iter().map(|it| it.rule).collect();
    assert!(older.contains(&"annotation-old-spelling") && !newer.contains(&"annotation-old-spelling"), "{newer:?}");
    assert_eq!(told(&read, "done", "kafka_topic").outcome, Outcome::Changed);
}

#[test]
fn every_accepted_model_is_imported_as_it_is() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/accept");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "bpmn") {
            continue;
        }
        let model = std::fs::read_to_string(&path).unwrap();
        if check(model.as_bytes(), &Options::default()).is_err() {
            continue;
        }
        for dialect in [Dialect::Rexflow, Dialect::Camunda8] {
            let (read, written) = read(&model, dialect);
            assert_eq!(unmapped(&read), Vec::<&Line>::new(), "{}", path.display());
            check(written.as_bytes(), &Options::default()).unwrap();
        }
    }
}
