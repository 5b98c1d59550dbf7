use serde_json::json;

use super::harness::{constants, evaluate, table};

#[test]
fn logic_has_three_values() {
    constants(&[
        ("true and true", "true"),
        ("true and false", "false"),
        ("true and null", "null"),
        ("false and null", "false"),
        ("null and null", "null"),
        ("true or null", "true"),
        ("false or null", "null"),
        ("false or false", "false"),
        ("1 and true", "null"),
        ("\"a\" or true", "true"),
        ("\"a\" and false", "false"),
        ("not(true)", "false"),
        ("not(null)", "null"),
        ("not(1)", "null"),
        ("true or false and false", "true"),
        ("1 = 1 and 2 = 2 or false", "true"),
        ("all([true, null])", "null"),
        ("all([false, null])", "false"),
        ("any([true, null])", "true"),
        ("any([])", "false"),
        ("all([])", "true"),
        ("and([true, false])", "false"),
        ("or(true, false)", "true"),
        ("all(true, true, true)", "true"),
    ]);
}

#[test]
fn comparison_is_typed() {
    constants(&[
        ("1 = 1.0", "true"),
        ("1 != 2", "true"),
        ("\"a\" = \"a\"", "true"),
        ("1 = \"1\"", "null"),
        ("null = null", "true"),
        ("1 = null", "false"),
        ("null != 1", "true"),
        ("1 < 2", "true"),
        ("2 <= 2", "true"),
        ("\"b\" > \"a\"", "true"),
        ("1 < \"a\"", "null"),
        ("null < 1", "null"),
        ("true = false", "false"),
        ("[1, 2] = [1, 2]", "true"),
        ("[1, 2] = [1]", "false"),
        ("{a: 1, b: 2} = {b: 2, a: 1}", "true"),
        ("[1..3] = [1..3]", "true"),
        ("[1..3] = [1..3)", "false"),
        ("1 between 0 and 2", "true"),
        ("3 between 0 and 2", "false"),
        ("null between 0 and 2", "null"),
        ("1 between 0 and 2 and false", "false"),
        ("@\"2024-01-01\" < @\"2024-01-02\"", "true"),
        ("@\"P1Y\" = @\"P12M\"", "true"),
        ("@\"PT1H\" < @\"PT61M\"", "true"),
        ("@\"P1Y\" < @\"P1D\"", "null"),
        ("@\"10:00:00Z\" = @\"11:00:00+01:00\"", "true"),
    ]);
}

#[test]
fn membership_takes_lists_ranges_and_tests() {
    constants(&[
        ("1 in [1, 2]", "true"),
        ("3 in [1, 2]", "false"),
        ("1 in [1..2]", "true"),
        ("2 in [1..2)", "false"),
        ("1 in ]1..2]", "false"),
        ("2 in ]1..2[", "false"),
        ("1.5 in (1..2)", "true"),
        ("1 in > 0", "true"),
        ("1 in (> 0, < -5)", "true"),
        ("1 in (2, 3)", "false"),
        ("1 in (1, 3)", "true"),
        ("\"a\" in (\"a\", \"b\")", "true"),
        ("5 in (> 0)", "true"),
        ("1 in [[0..2], 7]", "true"),
        ("1 in 1", "true"),
        ("null in null", "true"),
        ("1 in (0) + 1", "true"),
        ("\"x\" in [1..2]", "null"),
        ("[1] in [[1], [2]]", "true"),
        ("5 in (? > 3)", "true"),
        ("5 in (>= 5)", "true"),
        ("@\"2024-02-01\" in [@\"2024-01-01\"..@\"2024-12-31\"]", "true"),
        ("true in [true, false]", "true"),
        ("1 in ]0..2[ and true", "true"),
        ("1 in [0..nothing]", "false"),
        ("[null..2]", "null"),
    ]);
}

#[test]
fn variables_are_looked_up() {
    table(
        json!({"x": 5, "order": {"total": 12.5, "lines": [{"n": 1}, {"n": 2}]}, "first name": "Ann", "größe": 3}),
        &[
            ("x", "5"),
            ("x > 4", "true"),
            ("order.total", "12.5"),
            ("order.total + 1", "13.5"),
            ("order.lines.n", "[1, 2]"),
            ("order.lines[1].n", "1"),
            ("order.missing.deeper", "null"),
            ("missing", "null"),
            ("first name", "\"Ann\""),
            ("`first name`", "\"Ann\""),
            ("größe + 1", "4"),
            ("order", "{\"total\": 12.5, \"lines\": [{\"n\": 1}, {\"n\": 2}]}"),
            ("x.y", "null"),
            ("count(order.lines)", "2"),
        ],
    );
    assert_eq!(evaluate("unknown + 1", &json!({})).warnings[0], "there is no variable unknown");
    assert!(evaluate("is defined(unknown)", &json!({})).warnings.is_empty());
}

#[test]
fn numbers_that_are_not_computed_with_leave_as_they_came() {
    let text = r#"{"a":1.50,"b":1e+5,"c":123456789012345678901234567890123456789012345,"d":[1.0,{"e":-0.0}]}"#;
    let variables: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(evaluate("{a: a, b: b, c: c, d: d}", &variables).value.to_json().to_string(), text);
}
