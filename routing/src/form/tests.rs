use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::evaluate::Variables;

fn variables(value: Value) -> Variables {
    match value {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

fn field(id: &str, kind: Kind, checks: &[Check]) -> Field {
    Field { id: id.to_owned(), kind, checks: checks.to_vec(), ..Field::default() }
}

fn python(source: &str) -> Expression {
    Expression::Python(source.to_owned())
}

fn feel(source: &str) -> Expression {
    Expression::Feel(source.to_owned())
}

fn form(fields: Vec<Field>) -> Arc<Compiled> {
    Arc::new(Compiled::new(Form { format: Form::FORMAT, fields, ..Form::default() }).unwrap())
}

fn judged(form: &Compiled, seen: Value, draft: Value, given: Value, judgement: Judgement) -> Checked {
    let (seen, draft) = (variables(seen), variables(draft));
    let about = About { variables: &seen, draft: &draft, now: 0 };
    form.check(&about, &variables(given), judgement)
}

fn whole(form: &Compiled, given: Value) -> Checked {
    judged(form, json!({}), json!({}), given, Judgement::Whole)
}

/// The names of the checks that a value breaks.
fn broken(kind: Kind, checks: &[Check], value: Value) -> Vec<&'static str> {
    let checked = whole(&form(vec![field("f", kind, checks)]), json!({ "f": value }));
    let results = checked.fields.iter().flat_map(|it| &it.results);
    results.filter(|it| it.wrong.is_some()).map(|it| it.check).collect()
}

#[test]
fn kinds_take_their_values_as_json_and_as_text() {
    let taken = [
        (Kind::Text, json!("x")),
        (Kind::Text, json!(5)),
        (Kind::Currency, json!("12.50")),
        (Kind::Currency, json!(12.5)),
        (Kind::Integer, json!("36")),
        (Kind::Integer, json!(36.0)),
        (Kind::Integer, json!("+3")),
        (Kind::Float, json!("-1e3")),
        (Kind::Percentage, json!(" 4.5 ")),
        (Kind::Boolean, json!("False")),
        (Kind::Boolean, json!(true)),
        (Kind::Table, json!("[[1,2]]")),
        (Kind::Table, json!([[1, 2]])),
        (Kind::Date, json!("2026-01-31")),
        (Kind::Time, json!("14:30")),
        (Kind::Time, json!("14:30+01:00")),
        (Kind::Time, json!("13:30Z")),
        (Kind::DateTime, json!("2026-01-31T14:30")),
        (Kind::DateTime, json!("2026-01-31T14:30:00+01:00")),
        (Kind::Any, json!({"a": 1})),
    ];
    for (kind, value) in taken {
        assert!(broken(kind, &[], value.clone()).is_empty(), "{kind:?} {value}");
    }
    let refused = [
        (Kind::Text, json!({"a": 1})),
        (Kind::Currency, json!("12,50")),
        (Kind::Integer, json!("3.5")),
        (Kind::Integer, json!("abc")),
        (Kind::Integer, json!("9".repeat(100_000))),
        (Kind::Float, json!(true)),
        (Kind::Percentage, json!("5 %")),
        (Kind::Boolean, json!("yes")),
        (Kind::Table, json!(5)),
        (Kind::Date, json!("31.01.2026")),
        (Kind::Date, json!("2026-02-30")),
        (Kind::Time, json!("25:00")),
        (Kind::DateTime, json!("2026-01-31")),
        (Kind::Rows, json!("x")),
    ];
    for (kind, value) in refused {
        assert_eq!(broken(kind, &[], value.clone()), ["TYPE"], "{kind:?} {value}");
    }
}

#[test]
fn the_originals_validators_hold() {
    let interval = |text: &str| [Check::Interval(text.to_owned())];
    let regex = [Check::Regex("^[0-9A-Z]{3}$".to_owned())];
    assert!(broken(Kind::Currency, &[Check::Positive], json!("0.01")).is_empty());
    assert_eq!(broken(Kind::Currency, &[Check::Positive], json!("0")), ["POSITIVE"]);
    assert_eq!(broken(Kind::Text, &[Check::Positive], json!("x")), ["POSITIVE"]);
    assert!(broken(Kind::Percentage, &[Check::Percentage], json!(100)).is_empty());
    assert_eq!(broken(Kind::Percentage, &[Check::Percentage], json!("100.1")), ["PERCENTAGE"]);
    for (text, inside, outside) in [
        ("[1,10]", ["1", "10"], ["0.99", "10.01"]),
        ("(1,10]", ["1.1", "10"], ["1", "11"]),
        ("[1,10)", ["1", "9.99"], ["0", "10"]),
        ("( 1 , 10 )", ["2", "9"], ["1", "10"]),
        ("[1,]", ["1", "1000000"], ["0", "-5"]),
    ] {
        inside.iter().for_each(|it| assert!(broken(Kind::Float, &interval(text), json!(it)).is_empty(), "{it} {text}"));
        outside
            .iter()
            .for_each(|it| assert_eq!(broken(Kind::Float, &interval(text), json!(it)), ["INTERVAL"], "{it} {text}"));
    }
    assert!(broken(Kind::Integer, &regex, json!("A1B")).is_empty(), "a pattern stands in for the kind");
    assert_eq!(broken(Kind::Integer, &regex, json!("A1")), ["REGEX"]);
    assert!(
        broken(Kind::Text, &[Check::Regex("a".to_owned())], json!("ab")).is_empty(),
        "it need not match to the end"
    );
    assert_eq!(broken(Kind::Text, &[Check::Regex("b".to_owned())], json!("ab")), ["REGEX"], "it begins at the start");
    assert!(broken(Kind::Text, &[Check::Contains("b".to_owned())], json!("ab")).is_empty());
    assert!(broken(Kind::Text, &[Check::Boolean], json!("TRUE")).is_empty());
    assert_eq!(broken(Kind::Text, &[Check::Boolean], json!("1")), ["BOOLEAN"]);
    assert_eq!(broken(Kind::Text, &[Check::MinLength(2), Check::MaxLength(3)], json!("ä")), ["MIN_LENGTH"]);
    assert_eq!(broken(Kind::Text, &[Check::MinLength(2), Check::MaxLength(3)], json!("äöüß")), ["MAX_LENGTH"]);
    assert_eq!(broken(Kind::Float, &[Check::Decimals(2)], json!("1.005")), ["DECIMALS"]);
    assert!(broken(Kind::Float, &[Check::Decimals(2)], json!(1.05)).is_empty());
}

#[test]
fn nothing_breaks_required_alone() {
    let all = [Check::Required(None), Check::Positive, Check::Interval("[1,2]".to_owned()), Check::Boolean];
    for nothing in [json!(null), json!(""), json!("  ")] {
        assert_eq!(broken(Kind::Integer, &all, nothing.clone()), ["REQUIRED"], "{nothing}");
        assert!(broken(Kind::Integer, &all[1..], nothing).is_empty());
    }
    assert!(broken(Kind::Boolean, &[Check::Required(None)], json!(false)).is_empty());
    assert_eq!(broken(Kind::Checkbox, &[Check::Required(None)], json!(false)), ["REQUIRED"]);
}

#[test]
fn a_condition_over_other_fields_decides_what_is_required() {
    for condition in [python("findrate == 'False'"), feel("findrate = \"False\"")] {
        let fields = || {
            vec![
                field("interest", Kind::Percentage, &[Check::Percentage, Check::Required(Some(condition.clone()))]),
                Field { data: Some(json!("False")), ..field("findrate", Kind::Boolean, &[]) },
            ]
        };
        assert!(!whole(&form(fields()), json!({})).passed());
        assert!(whole(&form(fields()), json!({"findrate": "True"})).passed());
        assert!(whole(&form(fields()), json!({"interest": "4.5"})).passed());
    }
    let typed = vec![
        field("a", Kind::Text, &[Check::Required(Some(python("b == 'False' and int(n) > 2")))]),
        field("b", Kind::Boolean, &[]),
        field("n", Kind::Integer, &[]),
    ];
    let typed = form(typed);
    assert!(!whole(&typed, json!({"b": false, "n": 3})).passed(), "python sees texts, as in the original");
    assert!(whole(&typed, json!({"b": true, "n": 3})).passed());
    let checked = whole(&typed, json!({"b": false, "n": ""}));
    assert!(!checked.passed(), "a condition that cannot be evaluated is a reason");
    assert!(checked.reasons().contains("int"), "{}", checked.reasons());
}

#[test]
fn every_field_is_told_with_every_reason() {
    let form = form(vec![
        field("a", Kind::Integer, &[Check::Positive, Check::Interval("[-5,-1]".to_owned())]),
        field("b", Kind::Text, &[Check::Required(None)]),
        field("c", Kind::Text, &[]),
    ]);
    let checked = whole(&form, json!({"a": "x", "z": 1}));
    let broken: Vec<(&str, usize)> = checked
        .fields
        .iter()
        .filter(|it| !it.passed())
        .map(|it| (it.field.as_str(), it.results.iter().filter(|it| it.wrong.is_some()).count()))
        .collect();
    assert_eq!(broken, [("a", 3), ("b", 1), ("z", 1)]);
    let reasons = checked.reasons();
    for part in [
        "a: \"x\" is not a whole number",
        "a: \"x\" is not a number",
        "b: a value is required",
        "z: the form has no such field; there are a, b, c",
    ] {
        assert!(reasons.contains(part), "{reasons}");
    }
    assert!(checked.fields.iter().any(|it| it.field == "c" && it.passed()));
}

#[test]
fn a_draft_is_judged_by_what_is_given() {
    let form = form(vec![
        field("a", Kind::Integer, &[Check::Required(None)]),
        field("b", Kind::Text, &[Check::Required(None)]),
    ]);
    let saved = judged(&form, json!({}), json!({"a": 1}), json!({"b": "x"}), Judgement::Draft);
    assert!(saved.passed());
    assert_eq!(saved.draft, variables(json!({"a": 1, "b": "x"})));
    let partial = judged(&form, json!({}), json!({}), json!({"a": "2"}), Judgement::Draft);
    assert!(partial.passed(), "b is not asked of a draft without it");
    assert!(!judged(&form, json!({}), json!({}), json!({"a": ""}), Judgement::Draft).passed());
    let cleared = judged(&form, json!({}), json!({"a": 1, "b": "x"}), json!({"a": null}), Judgement::Draft);
    assert!(cleared.passed());
    assert_eq!(cleared.draft, variables(json!({"b": "x"})));
    let complete = judged(&form, json!({}), json!({"a": 1, "b": "x"}), json!({}), Judgement::Whole);
    assert!(complete.passed(), "what was saved counts");
    assert_eq!(complete.values, variables(json!({"a": 1, "b": "x"})));
}

#[test]
fn fields_begin_with_their_defaults_over_their_data() {
    let form = form(vec![
        Field { data: Some(json!("Terms")), ..field("title", Kind::Copy, &[]) },
        Field { data: Some(json!("a")), ..field("text", Kind::Text, &[]) },
        Field {
            data: Some(json!("")),
            default: Some(python("req_json['principal']")),
            ..field("principal", Kind::Currency, &[])
        },
        Field {
            data: Some(json!("kept")),
            default: Some(python("req_json['missing']")),
            ..field("missing", Kind::Text, &[])
        },
        Field { default: Some(feel("principal * 2")), ..field("twice", Kind::Float, &[]) },
        field("none", Kind::Text, &[]),
    ]);
    let (seen, draft) =
        (variables(json!({"principal": 100.5, "text": "not this"})), variables(json!({"none": "drafted"})));
    let filled = form.fill(&About { variables: &seen, draft: &draft, now: 0 });
    let values: Vec<Value> = filled.states.iter().map(|it| it.value.clone()).collect();
    assert_eq!(values, [json!("Terms"), json!("a"), json!(100.5), json!("kept"), json!(201), json!("drafted")]);
    let done = judged(&form, json!({"principal": 100.5}), json!({}), json!({"none": "x"}), Judgement::Whole);
    assert_eq!(done.values["principal"], json!(100.5));
    assert!(!done.values.contains_key("title"), "what is shown is not written");
}

#[test]
fn bound_fields_begin_with_their_variables_and_keep_what_is_beside_them() {
    let name = Field { data: Some(json!("nobody")), ..field("customer.name", Kind::Text, &[]) };
    let form = Form { bound: true, ..form(vec![name]).form().clone() };
    let form = Arc::new(Compiled::new(form).unwrap());
    let seen = json!({"customer": {"id": 7, "name": "Ann"}});
    let variables_seen = variables(seen.clone());
    let filled = form.fill(&About { variables: &variables_seen, draft: &Variables::new(), now: 0 });
    assert_eq!(filled.states[0].value, json!("Ann"));
    let done = judged(&form, seen, json!({}), json!({"customer": {"name": "Bob", "id": 8}}), Judgement::Whole);
    assert!(done.passed());
    assert_eq!(done.values, variables(json!({"customer": {"id": 7, "name": "Bob"}})));
    let first = judged(&form, json!({}), json!({}), json!({}), Judgement::Whole);
    assert_eq!(first.values, variables(json!({"customer": {"name": "nobody"}})));
}

#[test]
fn hidden_fields_are_not_asked_and_read_only_ones_not_changed() {
    let form = form(vec![
        field("why", Kind::Choice, &[]),
        Field { hidden: Some(feel("why != \"other\"")), ..field("text", Kind::Text, &[Check::Required(None)]) },
        Field { data: Some(json!(5)), read_only: Some(feel("true")), ..field("fixed", Kind::Integer, &[]) },
    ]);
    let hidden = whole(&form, json!({"why": "x", "text": "dropped", "fixed": 5}));
    assert!(hidden.passed(), "{}", hidden.reasons());
    assert_eq!(hidden.values, variables(json!({"why": "x", "fixed": 5})));
    assert!(!whole(&form, json!({"why": "other"})).passed());
    assert!(whole(&form, json!({"why": "other", "text": "y"})).passed());
    assert_eq!(whole(&form, json!({"fixed": 6})).reasons(), "fixed: it cannot be changed");
}

#[test]
fn choices_are_fixed_or_computed() {
    let choices = |values: &[i64]| {
        Choices::Fixed(values.iter().map(|it| Choice { value: json!(it), label: String::new() }).collect())
    };
    let form = form(vec![
        Field { choices: Some(choices(&[1, 2])), ..field("one", Kind::Choice, &[]) },
        Field { choices: Some(choices(&[1, 2, 3])), ..field("some", Kind::Choices, &[]) },
        Field { choices: Some(Choices::Computed(feel("offers"))), ..field("offer", Kind::Choice, &[]) },
    ]);
    let seen = json!({"offers": [{"value": "a", "label": "A"}, "b"]});
    let with = |given: Value| judged(&form, seen.clone(), json!({}), given, Judgement::Whole).reasons();
    assert_eq!(with(json!({"one": 2.0, "some": [1, 3], "offer": "a"})), "");
    assert_eq!(with(json!({"offer": "b"})), "");
    assert_eq!(with(json!({"one": 3})), "one: 3 is not among the choices");
    assert_eq!(with(json!({"some": [1, 4]})), "some: 4 is not among the choices");
    assert_eq!(with(json!({"some": 1})), "some: 1 is not a list of choices");
    assert_eq!(with(json!({"offer": "c"})), "offer: \"c\" is not among the choices");
}

#[test]
fn rows_are_judged_one_by_one() {
    let rows = vec![
        field("name", Kind::Text, &[Check::Required(None)]),
        field("count", Kind::Integer, &[Check::Positive, Check::Required(Some(feel("name = \"x\"")))]),
    ];
    let form = form(vec![Field { rows, ..field("items", Kind::Rows, &[Check::Required(None)]) }]);
    let given = json!({"items": [{"name": "a", "count": 1, "other": true}, {"name": "x"}, {"count": 0}]});
    let checked = whole(&form, given);
    assert_eq!(
        checked.reasons(),
        "items[2].count: a value is required; items[3].name: a value is required; items[3].count: 0 is not greater than 0"
    );
    let done = whole(&form, json!({"items": [{"name": "a", "other": true}]}));
    assert_eq!(done.values, variables(json!({"items": [{"name": "a"}]})));
    assert!(!whole(&form, json!({"items": []})).passed());
    assert!(!whole(&form, json!({"items": [1]})).passed());
    assert!(!whole(&form, json!({"items": vec![json!({"name": "a"}); 501]})).passed());
}

#[test]
fn what_cannot_be_read_is_refused_with_its_field() {
    let reads = |field: Field| Compiled::new(Form { fields: vec![field], ..Form::default() }).map(drop);
    for check in [
        Check::Regex("(".to_owned()),
        Check::Regex("(?=look)".to_owned()),
        Check::Regex("a{1000}{1000}".to_owned()),
        Check::Interval("1,10".to_owned()),
        Check::Interval("[10,1]".to_owned()),
        Check::Interval("[a,b]".to_owned()),
        Check::Interval("[,]".to_owned()),
        Check::Interval("[".to_owned()),
        Check::Interval("ä,ö".to_owned()),
        Check::Required(Some(python("__import__('os')"))),
        Check::Required(Some(feel("1 +"))),
    ] {
        let error = reads(field("f", Kind::Text, std::slice::from_ref(&check))).expect_err("it cannot be read");
        assert_eq!(error.field, "f", "{check:?}: {error}");
    }
    for bad in ["open('/etc/passwd').read()", "().__class__", "req_json.items()"] {
        assert!(reads(Field { default: Some(python(bad)), ..field("f", Kind::Text, &[]) }).is_err(), "{bad}");
    }
}
