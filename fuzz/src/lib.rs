//! What is done with bytes from outside, one function per format: read them and use what was read. None may panic, hang or take memory
//! without limit, whatever the bytes.
//!
//! The fuzz targets call these; so does a test of the workspace, over the corpus and its mutations, so that every change is checked on the
//! stable compiler, too.

use std::sync::Arc;

use bytes::Bytes;
use routing::form::{About, Compiled, Judgement};
use serde_json::json;

/// 2026-01-01T00:00:00Z, in milliseconds.
const NOW: u64 = 1_767_225_600_000;

/// An expression, a cell of a decision table, a condition in the original's Python: parsed, asked for its names, and evaluated.
pub fn expression(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    let variables = json!({
        "a": 1, "b": "two", "c": [1, 2, 3], "d": {"e": true, "f g": null}, "?": 5,
        "when": "2026-01-01", "lines": [{"price": 1.5, "name": "x"}, {"price": 2, "name": "y"}],
    });
    let now = jiff::Timestamp::from_millisecond(NOW as i64).expect("it is a time");
    let env = feel::Env { fuel: 50_000, ..feel::Env::at(now) };
    for parsed in [feel::parse(source), feel::parse_unary_tests(source), feel::parse_with(source, &["a-b", "c and d"])]
    {
        match parsed {
            Ok(expression) => {
                let names = expression.names();
                assert!(names.variables.is_subset(&expression.variables()), "what is surely read is read");
                if let Ok(evaluated) = expression.evaluate(&variables, &env) {
                    let _ = evaluated.value.to_json().to_string();
                }
            }
            Err(error) => assert!(error.offset <= source.len() && source.is_char_boundary(error.offset)),
        }
    }
    if let Ok(condition) = feel::python::parse(source) {
        let _ = condition.evaluate(&variables);
    }
    if let Ok(expression) = feel::python::expression(source) {
        let _ = expression.evaluate(&variables, &Default::default()).map(|it| it.to_string());
    }
}

/// A model: judged. What is accepted has tables that can be read back and are ready to run.
pub fn model(data: &[u8]) {
    match bpmn::check(data, &bpmn::Options::default()) {
        Err(findings) => assert!(findings.iter().any(bpmn::Diagnostic::is_error), "refused without an error"),
        Ok(checked) => {
            for definition in &checked.definitions {
                for table in definition.tasks.values().chain([&definition.ledger]) {
                    let compiled = routing::compiled::Compiled::from_bytes(&table.bytes, table.digest);
                    assert_eq!(compiled.expect("what is accepted compiles").table(), &table.table);
                }
            }
        }
    }
}

/// A file of decisions: read, and every decision made.
pub fn decisions(data: &[u8]) {
    let Ok(read) = bpmn::dmn::read(data, bpmn::Limits::default()) else { return };
    let compiled = routing::decision::Compiled::new(read.decisions).expect("what is accepted compiles");
    let variables = json!({"amount": 1, "a": "x", "day": "2026-01-01", "numbers": [1, 2, 3]});
    let ids: Vec<String> = compiled.decisions().decisions.iter().take(4).map(|it| it.id.clone()).collect();
    for id in ids {
        let _ = compiled.evaluate(&id, &variables, NOW);
    }
}

/// A form, and behind a line of three dashes what somebody fills in: read, shown, and judged; what is saved of it is judged alike.
pub fn form(data: &[u8]) {
    let end = data.windows(5).position(|it| it == b"\n---\n").unwrap_or(data.len());
    let Ok(read) = bpmn::form::read(&data[..end]) else { return };
    let form = Arc::new(Compiled::new(read.form).expect("what is accepted compiles"));
    assert!(form.form().digest() == Compiled::new(form.form().clone()).expect("it compiles").form().digest());
    let mut given = match data.get(end + 5..).map(serde_json::from_slice) {
        Some(Ok(serde_json::Value::Object(given))) => given,
        _ => Default::default(),
    };
    let variables =
        json!({"a": 1, "amount": 5, "name": "x", "items": [{"name": "y", "count": "2"}], "when": "2026-01-01"});
    let variables = variables.as_object().expect("it is an object");
    let nothing = Default::default();
    let about = About { variables, draft: &nothing, now: NOW };
    let values = form.fill(&about).states.into_iter().map(|it| it.value);
    let named = form.form().fields.iter().map(|it| it.id.clone()).zip(values).collect::<Vec<_>>();
    for (id, value) in named {
        given.entry(id).or_insert(value);
    }
    let checked = form.check(&about, &given, Judgement::Whole);
    if checked.passed() {
        let again = form.check(&About { draft: &checked.draft, ..about }, &nothing, Judgement::Whole);
        assert!(again.passed(), "what is saved cannot be handed in: {}", again.reasons());
    }
    let _ = (checked.reasons(), form.check(&about, &given, Judgement::Draft).reasons());
}

/// A routing table, as a sidecar gets it: refused, or the same when it is written again, and ready to run.
pub fn table(data: &[u8]) {
    let Ok(table) = routing::table::RoutingTable::from_bytes(data) else { return };
    let again = routing::table::RoutingTable::from_bytes(&table.to_bytes()).expect("what is written is read");
    assert_eq!(again, table);
    if let Ok(compiled) = routing::compiled::Compiled::new(table, routing::Digest::of(data)) {
        for flow in 0..compiled.table().flows.len() {
            let _ = compiled.condition(flow as u32);
        }
    }
}

/// A record of a sidecar's journal: refused, or the same when it is written again.
pub fn record(data: &[u8]) {
    let Ok(record) = sidecar::record::Record::decode(Bytes::copy_from_slice(data)) else { return };
    let again = sidecar::record::Record::decode(record.clone().encode()).expect("what is written is read");
    assert_eq!(again, record);
}
