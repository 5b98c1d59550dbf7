use flow_feel as feel;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::json;

use super::harness::env;

fn outcome(source: &str) -> Result<serde_json::Value, String> {
    let expression = feel::parse(source).map_err(|error| error.to_string())?;
    expression
        .evaluate(&json!({}), &env())
        .map(|evaluated| evaluated.value.to_json())
        .map_err(|error| error.to_string())
}

#[test]
fn endless_work_is_stopped() {
    for source in [
        "for i in 1..1000000000000 return i",
        "count(for i in 1..1000000000000, j in 1..1000000000000 return null)",
        "some i in 1..1000000000000 satisfies false",
        "every i in 1..1000000000000 satisfies true",
        "{f: function(n) f(n + 1), r: f(1)}.r",
        "for i in 1..200 return if i = 1 then \"aaaaaaaaaaaaaaaa\" else partial[-1] + partial[-1]",
        "for i in 1..100000 return [partial[-1]]",
        "for i in 1..100000 return {a: partial[-1]}",
        "for i in 1..100000 return function() partial[-1]",
        "for i in 1..200 return [partial[-1], partial[-1]]",
        "string(for i in 1..60 return [partial[-1], partial[-1]])",
        "for i in 1..100 return concatenate([1], flatten(partial), flatten(partial))",
        "for i in 1..10000 return replace(\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", \"a\", \"bbbbbbbbbbbbbbbbbbbbbbbbbbb\")",
        "distinct values(for i in 1..100000 return i)",
        r#"for i in 1..100000 return matches("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "(\\w+\\w+)+$")"#,
        r#"for i in 1..60 return if i = 1 then "aaaaaaaaaa" else if matches(partial[-1], "(\\w+x)+") then "" else partial[-1] + partial[-1]"#,
        "{f: function(s) f(replace(s, \"a\", s)), r: f(\"aaaa\")}.r",
    ] {
        let started = std::time::Instant::now();
        let error = outcome(source).expect_err(source);
        assert!(error.contains("stopped"), "{source}: {error}");
        assert!(started.elapsed().as_secs() < 20, "{source} took {:?}", started.elapsed());
    }
}

#[test]
fn deep_sources_are_refused_or_answered() {
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{a: ", "1", "}"),
        ("-", "1", ""),
        ("not(", "true", ")"),
        ("if true then ", "1", " else 2"),
        ("function(a) ", "1", ""),
        ("a[", "1", "]"),
        ("for x in ", "[1]", " return x"),
        ("x in (", "1", ")"),
        ("]", "1", "..2["),
        ("1 + (", "1", ")"),
        ("a.", "b", ""),
        ("some x in y satisfies ", "x", ""),
        ("1 instance of list<", "number", ">"),
        ("(1 in ", "1", ")"),
    ] {
        for depth in [40, 1_000, 20_000] {
            let source = format!("{}{middle}{}", open.repeat(depth), close.repeat(depth));
            let _ = outcome(&source);
            let _ = feel::parse_unary_tests(&source);
        }
    }
    let long = vec!["1"; 20_000].join(" + ");
    assert_eq!(outcome(&long), Ok(json!(20_000)));
    let long = vec!["true"; 20_000].join(" and ");
    assert_eq!(outcome(&long), Ok(json!(true)));
}

#[test]
fn recursion_goes_as_deep_as_the_limit_on_a_small_stack() {
    let run = || outcome("{f: function(n) if n = 0 then 0 else 1 + f(n - 1), r: f(120)}.r");
    let small = std::thread::Builder::new().stack_size(1536 * 1024);
    assert_eq!(small.spawn(run).unwrap().join().unwrap(), Ok(json!(120)));
    let small = std::thread::Builder::new().stack_size(1536 * 1024);
    let endless = small
        .spawn(|| outcome("{f: function(n) if false then 0 else [1 + f(n - 1)], r: f(50)}.r"))
        .unwrap()
        .join()
        .unwrap();
    assert!(endless.unwrap_err().contains("stopped"));
}

/// Pieces that random sources are put together from.
const PIECES: &[&str] = &[
    "1",
    "0",
    "-",
    "+",
    "*",
    "/",
    "**",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    ".",
    "..",
    "<",
    ">",
    "=",
    "!=",
    "<=",
    "a",
    "b",
    "item",
    "?",
    "partial",
    "if",
    "then",
    "else",
    "for",
    "in",
    "return",
    "some",
    "every",
    "satisfies",
    "and",
    "or",
    "not",
    "between",
    "instance of",
    "function",
    "null",
    "true",
    "\"x\"",
    "\"2024-01-01\"",
    "@\"P1D\"",
    "@\"2024-01-01\"",
    "date",
    "date and time",
    "number",
    "string",
    "sum",
    "sort",
    "count",
    "range",
    "substring",
    "sublist",
    "replace",
    "1e6000",
    "99999999999999999999",
    "é",
    "`n m`",
    "1..3",
    "[1, 2]",
    "{a: 1}",
    "list",
    "context",
    "get value",
    "//",
    "\"\\\"",
    "decimal",
    "cycle",
    "insert before",
    "duration",
    "exp",
    "log",
    "sqrt",
    "modulo",
    "overlaps",
    "week of year",
    "-1",
    "0.5",
    "min",
];

#[test]
fn random_sources_do_no_harm() {
    let seed = std::env::var("FEEL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand_seed);
    println!("seed {seed} (set FEEL_SEED to repeat)");
    let mut runner = TestRunner::new(Config {
        cases: 4000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    });
    let source = prop::collection::vec(prop::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.join(" "));
    let variables = json!({"a": [1, {"b": null}], "b": {"a": "x"}, "?": 3});
    let mut limited = env();
    limited.fuel = 50_000;
    runner
        .run(&source, |source| {
            for parsed in [feel::parse(&source), feel::parse_unary_tests(&source)].into_iter().flatten() {
                parsed.variables();
                if let Ok(evaluated) = parsed.evaluate(&variables, &limited) {
                    let json = evaluated.value.to_json();
                    feel::Value::from_json(&json);
                }
            }
            let _ = feel::python::parse(&source);
            Ok(())
        })
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 4000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    });
    runner
        .run(&"\\PC{0,40}", |source| {
            let _ = feel::parse(&source).map(|parsed| parsed.evaluate(&variables, &limited).is_ok());
            let _ = feel::python::parse(&source).map(|parsed| parsed.evaluate(&variables).is_ok());
            Ok(())
        })
        .unwrap();
}

/// Texts that functions read: dates, durations, ranges, numbers, patterns.
#[test]
fn random_texts_do_no_harm() {
    let seed = std::env::var("FEEL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand_seed);
    println!("seed {seed} (set FEEL_SEED to repeat)");
    let config = Config { cases: 3000, failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..Config::default() };
    let mut runner = TestRunner::new(config);
    let calls: Vec<feel::Expression> = [
        "date(s)",
        "time(s)",
        "date and time(s)",
        "duration(s)",
        "range(s)",
        "number(s, \",\", \".\")",
        "matches(s, s)",
        "replace(s, s, s, \"x\")",
        "split(s, s)",
        "extract(s, s)",
        "from json(s)",
        "from base64(s)",
        "date and time(s, s)",
        "substring(s, 2, 1)",
        "cycle(3, s)",
    ]
    .into_iter()
    .map(|source| feel::parse(source).unwrap())
    .collect();
    let piece = prop_oneof![
        "[-+0-9TZPYMDHS:.@]{1,4}",
        "\\PC{0,3}",
        "20[0-9]{2}-0[1-9]-[0-3][0-9]",
        "[0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
    ];
    let text = prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat());
    runner
        .run(&text, |text| {
            let variables = json!({"s": text});
            for call in &calls {
                let evaluated = call.evaluate(&variables, &env()).unwrap();
                // What was read can be written and read again.
                let again = evaluated.value.to_json();
                let reread = json!({"s": again});
                if !evaluated.value.is_null() && ["date(s)", "time(s)", "duration(s)"].contains(&call.source()) {
                    prop_assert_eq!(call.evaluate(&reread, &env()).unwrap().value.to_json(), again);
                }
            }
            let _ = outcome(&format!("@{text:?}"));
            Ok(())
        })
        .unwrap();
}

/// Calls of every built-in with every combination of odd values: null or an answer, never a panic.
#[test]
fn builtins_take_anything() {
    let values = [
        "null",
        "0",
        "-1",
        "1.5",
        "1e6000",
        "\"\"",
        "\"é\"",
        "[]",
        "[1]",
        "[null, \"a\"]",
        "{}",
        "{a: 1}",
        "@\"999999999-12-31\"",
        "@\"23:59:59@Europe/Berlin\"",
        "@\"-999999999-01-01T00:00:00Z\"",
        "@\"P1Y\"",
        "@\"-PT1S\"",
        "[1..2]",
        "(> 3)",
        "abs",
        "true",
        "-9223372036854775808",
    ];
    let names = include_str!("names.txt");
    for name in names.lines() {
        for a in values {
            let _ = outcome(&format!("{name}({a})"));
            for b in values {
                let _ = outcome(&format!("{name}({a}, {b})"));
            }
        }
        for (index, a) in values.iter().enumerate() {
            let pick = |offset: usize| values[(index * 7 + offset) % values.len()];
            for offset in 0..values.len() {
                let _ = outcome(&format!("{name}({a}, {}, {})", pick(offset), pick(offset + 3)));
                let _ = outcome(&format!("{name}({a}, {}, {}, {})", pick(offset), pick(offset + 5), pick(offset + 11)));
            }
        }
    }
    for a in values {
        for b in values {
            for operator in ["+", "-", "*", "/", "**", "<", "=", "in", "and"] {
                let _ = outcome(&format!("({a}) {operator} ({b})"));
            }
            let _ = outcome(&format!("({a})[{b}]"));
            let _ = outcome(&format!("for x in ({a})..({b}) return 1"));
            let _ = outcome(&format!("[({a})..({b})]"));
        }
    }
}

fn rand_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |now| now.subsec_nanos().into())
}
