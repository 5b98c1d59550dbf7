//! DMN files: what is read, what is refused and where, what comes out when it is evaluated.

use std::time::{Duration, Instant};

use flow_bpmn::{Limits, Severity, dmn};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use routing::decision::Compiled;
use serde_json::{Value, json};

use crate::fixtures::{expected, files, found, listed};
use crate::mutation::{apply, edit};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600_000;

fn accepted(name: &str) -> Compiled {
    let path = files("dmn/accept").into_iter().find(|it| it.ends_with(name)).unwrap();
    let read = dmn::read(&std::fs::read(path).unwrap(), Limits::default());
    Compiled::new(read.unwrap_or_else(|it| panic!("{name}:{}", listed(&it))).decisions).unwrap()
}

fn value(of: &Compiled, decision: &str, variables: Value) -> Value {
    let outcome = of.evaluate(decision, &variables, NOW).unwrap();
    assert_eq!(outcome.warnings, Vec::<String>::new());
    outcome.value
}

#[test]
fn fixtures_have_exactly_the_expected_findings() {
    let mut wrong = Vec::new();
    for file in files("dmn/accept").into_iter().chain(files("dmn/reject")) {
        let xml = std::fs::read_to_string(&file).unwrap();
        let reject = file.parent().unwrap().ends_with("reject");
        let (findings, refused) = match dmn::read(xml.as_bytes(), Limits::default()) {
            Ok(read) => (read.warnings, false),
            Err(findings) => (findings, true),
        };
        let placed = findings.iter().all(|it| it.line > 0 && it.column > 0 && !it.help.is_empty());
        if refused != reject || !placed || found(findings.iter()) != expected(&xml) {
            wrong.push(format!("{}: refused: {refused}{}", file.display(), listed(&findings)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_id_is_needed_only_where_something_refers_to_it_and_names_may_hold_numbers() {
    let xml = br##"<definitions xmlns="https://www.omg.org/spec/DMN/20191111/MODEL/" name="Rates" namespace="urn:test">
      <decision name="rate 2 of 3" id="_rate"><literalExpression><text>12</text></literalExpression></decision>
      <decision name="total">
        <informationRequirement><requiredDecision href="#_rate"/></informationRequirement>
        <literalExpression><text>rate 2 of 3 * 2</text></literalExpression>
      </decision>
    </definitions>"##;
    let read = dmn::read(xml, Limits::default()).unwrap_or_else(|it| panic!("{}", listed(&it)));
    assert_eq!(value(&Compiled::new(read.decisions).unwrap(), "total", json!({})), json!(24));
}

#[test]
fn syntax_errors_name_the_cell_and_the_place_in_it() {
    let path = files("dmn/reject").into_iter().find(|it| it.ends_with("expression.dmn")).unwrap();
    let findings = dmn::read(&std::fs::read(path).unwrap(), Limits::default()).unwrap_err();
    let first = &findings[0];
    assert_eq!((first.element.as_deref(), first.line, first.column), (Some("C1"), 11, 15), "{first}");
    let message = "rule 1 of the table `D`: the condition for `Age` is no FEEL unary tests: expected";
    assert!(first.message.starts_with(message), "{first}");
    assert_eq!((findings[1].line, findings[1].column), (12, 36), "{}", findings[1]);
}

#[test]
fn files_of_other_kinds_are_told_as_such() {
    let xml = br#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL"/>"#;
    let findings = dmn::read(xml, Limits::default()).unwrap_err();
    assert_eq!(findings[0].help, "this is a BPMN file; apply it as a process");
    let doctype = dmn::read(b"<!DOCTYPE definitions><definitions/>", Limits::default()).unwrap_err();
    assert_eq!((doctype[0].rule, doctype.len()), ("doctype", 1));
    let large = dmn::read(b"<definitions/>", Limits { bytes: 3, ..Limits::default() }).unwrap_err();
    assert_eq!((large[0].rule, large[0].severity), ("input-too-large", Severity::Error));
}

#[test]
fn a_modelers_export_decides() {
    let dinner = accepted("dish.dmn");
    let dish = |day: &str, guests: i64| value(&dinner, "dish", json!({"day": day, "guestCount": guests}));
    assert_eq!(dish("2026-01-10", 4), json!("Steak"));
    assert_eq!(dish("2026-01-10", 5), json!("Stew"));
    assert_eq!(dish("2026-07-10", 5), json!("Salad"));
    let outcome = dinner.evaluate("Invitation", &json!({"day": "2026-04-01", "guestCount": 1}), NOW).unwrap();
    assert_eq!(outcome.value, json!("There will be Salad"));
    let rules: Vec<_> = outcome.matched.iter().map(|it| (it.decision.as_str(), it.rule, it.id.as_deref())).collect();
    assert_eq!(rules, [("season", 1, Some("s1")), ("dish", 3, Some("salad"))]);
}

#[test]
fn knowledge_models_contexts_relations_and_types_of_dmn_1_1() {
    let loan = accepted("loan.dmn");
    let applicant = json!({"born": "1990-05-01", "visits": ["2026-01-01T10:00:00Z"]});
    let variables = json!({"Applicant": applicant, "amount": 2500});
    assert_eq!(value(&loan, "rating", variables.clone()), json!("A"));
    assert_eq!(value(&loan, "Offer", variables), json!(["A", 80, 0.5, "2026-01-02T10:00:00Z"]));
}

#[test]
fn iterators_of_dmn_1_5() {
    let all = accepted("iterators.dmn");
    let of = |decision| value(&all, decision, json!({"numbers": [1, 2, 3]}));
    assert_eq!((of("D"), of("E"), of("S")), (json!([9]), json!(true), json!(false)));
}

#[test]
fn equal_files_have_equal_bytes_whatever_their_prefixes() {
    let path = files("dmn/accept").into_iter().find(|it| it.ends_with("iterators.dmn")).unwrap();
    let xml = std::fs::read_to_string(path).unwrap();
    let prefixed = prefixed(&xml.replace("</", "</q:").replace("xmlns=", "xmlns:q="));
    let digest = |xml: &str| dmn::read(xml.as_bytes(), Limits::default()).unwrap().decisions.digest();
    assert_eq!(digest(&xml), digest(&prefixed));
    assert_ne!(digest(&xml), digest(&xml.replace("n * n", "n + n")));
}

/// Opening tags get the prefix `q`.
fn prefixed(xml: &str) -> String {
    let mut out = String::new();
    for (at, c) in xml.char_indices() {
        out.push(c);
        if c == '<' && xml[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            out.push_str("q:");
        }
    }
    out
}

#[test]
fn large_files_are_read_in_reasonable_time() {
    let rule = |at: usize| {
        format!(
            "<rule><inputEntry><text>[{at}..{at}], not found(?)</text></inputEntry><outputEntry><text>{{n: {at}}}</text></outputEntry></rule>"
        )
    };
    let rules: String = (0..20_000).map(rule).collect();
    let xml = format!(
        "<definitions xmlns='https://www.omg.org/spec/DMN/20191111/MODEL/' name='x'><decision id='D' name='D'><decisionTable><input><inputExpression><text>x</text></inputExpression></input><output name='o'/>{rules}</decisionTable></decision></definitions>"
    );
    let started = Instant::now();
    let read = dmn::read(xml.as_bytes(), Limits::default()).unwrap();
    println!("20000 rules: {:?}", started.elapsed());
    assert_eq!(read.decisions.decisions.len(), 1);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn mutated_files_never_make_it_panic() {
    let seed: u64 = match std::env::var("DMN_MUTATION_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("DMN_MUTATION_SEED={seed}");
    let all = ["dmn/accept", "dmn/reject"].iter().flat_map(|it| files(it));
    let all: Vec<_> = all.map(|it| std::fs::read(it).unwrap()).collect();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let cases = std::env::var("DMN_MUTATION_CASES").map_or(2_000, |it| it.parse().unwrap());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mutated = (prop::sample::select(all), prop::collection::vec(edit(), 1..8));
    let variables = json!({"age": 3, "day": "2026-01-01", "amount": 7, "numbers": [1, 2], "Applicant": {"born": 1}});
    let outcome = TestRunner::new_with_rng(config, rng).run(&mutated, |(mut xml, edits)| {
        edits.iter().for_each(|it| apply(&mut xml, it));
        match dmn::read(&xml, Limits::default()) {
            Ok(read) => {
                let compiled = Compiled::new(read.decisions).map_err(|it| TestCaseError::fail(it.to_string()))?;
                for decision in &compiled.decisions().decisions {
                    let _ = compiled.evaluate(&decision.id, &variables, NOW);
                }
            }
            Err(findings) => prop_assert!(findings.iter().any(|it| it.is_error())),
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("DMN_MUTATION_SEED={seed}: {error}");
    }
}
