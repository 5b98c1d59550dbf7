use flow_feel as feel;
use serde_json::json;

use super::harness::env;

#[test]
fn unary_tests_ask_of_the_input() {
    let cases = [
        ("-", json!(1), json!(true)),
        ("> 5", json!(6), json!(true)),
        ("> 5", json!(5), json!(false)),
        ("5", json!(5), json!(true)),
        ("1, 2", json!(2), json!(true)),
        ("\"a\", \"b\"", json!("c"), json!(false)),
        ("[1..3]", json!(2), json!(true)),
        ("]1..3[", json!(1), json!(false)),
        ("(1..3]", json!(3), json!(true)),
        ("not(1, 2)", json!(3), json!(true)),
        ("not(> 5)", json!(6), json!(false)),
        ("? > 3 and ? < 7", json!(5), json!(true)),
        ("null", json!(null), json!(true)),
        ("true", json!(true), json!(true)),
        ("false", json!(false), json!(true)),
        ("false", json!(true), json!(false)),
        ("< limit", json!(1), json!(true)),
        ("[1, 2, 3]", json!(2), json!(true)),
        ("> \"a\"", json!(1), json!(null)),
        ("starts with(?, \"a\")", json!("abc"), json!(true)),
        ("not(null)", json!(null), json!(false)),
        ("= 5", json!(5), json!(true)),
        ("!= 5", json!(5), json!(false)),
        ("not(\"a\")", json!("b"), json!(true)),
        ("if ? = 1 then true else false", json!(1), json!(true)),
        ("-5", json!(-5), json!(true)),
        ("list contains([\"a\"], ?)", json!("a"), json!(true)),
        ("limit", json!(2), json!(true)),
        ("not(limit) ", json!(2), json!(false)),
    ];
    for (source, input, expected) in cases {
        let tests = feel::parse_unary_tests(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let scope = json!({"?": input, "limit": 2});
        assert_eq!(tests.evaluate(&scope, &env()).unwrap().value.to_json(), expected, "{source} of {input}");
    }
}

#[test]
fn bad_sources_are_refused_where_they_go_wrong() {
    for (source, offset) in [
        ("", 0),
        ("1 +", 3),
        ("a == b", 3),
        ("(1", 2),
        ("[1, 2", 5),
        ("\"abc", 0),
        ("1 2", 2),
        ("if a then b", 11),
        ("for x in y", 10),
        ("{a 1}", 1),
        ("a.", 2),
        ("a[", 2),
        ("#", 0),
        ("a and", 5),
        ("{a: 1", 5),
        ("f(1,", 4),
        ("1..2", 1),
        ("`a", 0),
        ("/* x", 0),
        ("\"\\uD800\"", 2),
        ("some x in y", 11),
        ("1e99999", 0),
        ("not(1,2", 7),
        ("x in", 4),
        ("x instance of", 13),
        ("é +", 4),
        ("(!= 5)", 1),
    ] {
        match feel::parse(source) {
            Err(error) => assert_eq!(error.offset, offset, "{source}: {error}"),
            Ok(_) => panic!("{source} was taken"),
        }
    }
}

#[test]
fn free_variables_are_named() {
    for (source, expected) in [
        ("a + b.c", "a b"),
        ("for x in list return x + y", "list y"),
        ("{a: 1, b: a + c}", "c"),
        ("function(p) p + q", "q"),
        ("f(x) + abs(y)", "f x y"),
        ("some x in xs satisfies x = item", "item xs"),
        ("xs[item > n]", "n xs"),
        ("x in (? > y)", "x y"),
        ("first name + 1", "first name"),
        ("if a then b else c", "a b c"),
        ("[a..b]", "a b"),
        ("for i in 1..n return partial", "n"),
        ("now()", ""),
    ] {
        let found: Vec<String> = feel::parse(source).unwrap().variables().into_iter().collect();
        let expected: Vec<String> = expected.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        assert_eq!(found.join(" "), expected.join(" "), "{source}");
    }
    assert!(feel::parse_unary_tests("> 5").unwrap().variables().contains("?"));
}

#[test]
fn values_serve_as_scopes() {
    let scope = feel::parse("{a: 1, f: function(x) x + a, d: @\"2024-01-01\"}")
        .unwrap()
        .evaluate(&json!({}), &env())
        .unwrap()
        .value;
    let sum = feel::parse("f(a) + d.year").unwrap().evaluate(&scope, &env()).unwrap();
    assert_eq!(sum.value, feel::Value::from(2026), "{:?}", sum.warnings);
    let named = feel::parse_with("a-b + 1", &["a-b"]).unwrap();
    assert_eq!(named.evaluate(&json!({"a-b": 2}), &env()).unwrap().value, feel::Value::from(3));
    assert_eq!(named.source(), "a-b + 1");
}
