use flow_feel::python;
use serde_json::json;

#[test]
fn conditions_hold_as_in_python() {
    let payload = json!({"n": 5, "f": 1.5, "s": "abc", "l": [1, "two", null], "d": {"k": {"deep": true}}, "zero": 0, "empty": "", "none": null, "big": 9_007_199_254_740_993_i64});
    for (source, expected) in [
        ("req_json['n'] == 5", true),
        ("req_json[\"n\"] > 5", false),
        ("req_json['s'] == 'abc'", true),
        ("req_json['s'] == 5", false),
        ("req_json['n'] != 5", false),
        ("req_json['l'][0] == 1", true),
        ("req_json['l'][-1] is None", true),
        ("req_json['d']['k']['deep']", true),
        ("req_json.get('missing') is None", true),
        ("req_json.get('missing', 3) == 3", true),
        ("req_json.get('n', 3) is not None", true),
        ("req_json['n'] % 2 == 1", true),
        ("-7 // 2 == -4", true),
        ("-7 % 3 == 2", true),
        ("7 % -3 == -2", true),
        ("7 / 2 == 3.5", true),
        ("req_json['f'] * 2 == 3", true),
        ("1 < req_json['n'] <= 5", true),
        ("not req_json['zero']", true),
        ("req_json['zero'] or req_json['empty']", false),
        ("req_json['n'] and req_json['s']", true),
        ("'two' in req_json['l']", true),
        ("'b' in req_json['s']", true),
        ("'n' in req_json", true),
        ("'x' not in req_json", true),
        ("req_json['n'] in [1, 5]", true),
        ("True == 1", true),
        ("req_json['none'] is None", true),
        ("req_json['n'] == 5 and not (req_json['f'] > 2 or False)", true),
        ("[1, 2] == [1, 2]", true),
        ("'a' + 'b' == 'ab'", true),
        ("req_json['s'] < 'abd'", true),
        ("req_json['big'] == 9007199254740993", true),
        ("req_json['big'] == 9007199254740992.0", false),
        ("1.0 == 1", true),
        ("-1.5 < -1", true),
        ("req_json['d'] == req_json['d']", true),
        ("2 > 1.5", true),
        ("'\\x41\\u0042' == 'AB'", true),
        ("[]", false),
        ("req_json", true),
        ("(req_json['n'] - 5) * 2 == 0", true),
        ("1e3 == 1000", true),
    ] {
        let condition = python::parse(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(condition.evaluate(&payload), Ok(expected), "{source}");
        assert_eq!(condition.source(), source);
    }
}

#[test]
fn what_python_raises_is_an_error() {
    let payload = json!({"n": 5, "s": "abc", "l": [1]});
    for (source, part) in [
        ("req_json['missing'] == 1", "missing"),
        ("req_json['l'][1]", "out of range"),
        ("req_json['n'] < 'a'", "no order"),
        ("req_json['n'] + 'a'", "bad operands"),
        ("1 / 0", "zero"),
        ("1 % 0", "zero"),
        ("1.0 // 0", "zero"),
        ("req_json['n']['a']", "subscripted"),
        ("req_json['n'].get('a')", "no .get"),
        ("1 in 5", "searched"),
        ("None < 1", "no order"),
        ("-'a'", "bad operand"),
        ("99999999999999999999999999999999999999 * 10", "38 digits"),
    ] {
        let error = python::parse(source).unwrap().evaluate(&payload).expect_err(source).to_string();
        assert!(error.contains(part), "{source}: {error}");
    }
}

#[test]
fn what_is_not_taken_is_named() {
    for (source, part) in [
        ("__import__('os').system('true')", "__import__"),
        ("eval('1')", "eval"),
        ("len(req_json) > 1", "len"),
        ("req_json.keys()", ".get"),
        ("lambda x: x", "lambda"),
        ("1 if True else 2", "if"),
        ("f'x'", "prefixed"),
        ("2 ** 3", "powers"),
        ("req_json['a'] == ", "ends too early"),
        ("req_json('a')", "calls"),
        ("x == 1", "x"),
        ("{'a': 1}", "`{`"),
        ("'''a'''", "triple"),
        ("req_json['a'] = 1", "`=`"),
        ("1 is 1", "None alone"),
        ("'abc", "not closed"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("", "too early"),
        ("1 2", "operator is missing"),
        ("req_json := 1", "`:`"),
    ] {
        let error = python::parse(source).expect_err(source).to_string();
        assert!(error.contains(part), "{source}: {error}");
    }
    assert!(python::parse(&"(".repeat(5000)).is_err() && python::parse(&"not ".repeat(5000)).is_err());
    assert!(python::parse(&vec!["1"; 5000].join(" + ")).is_err());
}

#[test]
fn expressions_know_names_and_functions() {
    let payload = json!({"principal": 1000.5, "table": [[1, 2]], "name": "Ann"});
    let fields = json!({"findrate": "False", "term": "36", "empty": "", "n": null, "big": 12});
    let serde_json::Value::Object(fields) = fields else { panic!() };
    for (source, expected) in [
        ("findrate == 'False'", json!(true)),
        ("int(term) * 2", json!(72)),
        ("float('1.5') + 1", json!(2.5)),
        ("str(5) + term", json!("536")),
        ("str(True)", json!("True")),
        ("len(term) + len(req_json['table'])", json!(3)),
        ("round(2.5) + round(3.5)", json!(6)),
        ("round(2.675, 2)", json!(2.67)),
        ("abs(-3)", json!(3)),
        ("min(3, 1, 2) + max([4, 5])", json!(6)),
        ("int(3.9)", json!(3)),
        ("bool(empty)", json!(false)),
        ("n is None", json!(true)),
        ("req_json['principal']", json!(1000.5)),
        ("req_json['table']", json!([[1, 2]])),
        ("[term, req_json['name']]", json!(["36", "Ann"])),
        ("99999999999999999999 + 1", json!(100_000_000_000_000_000_000_i128)),
        ("empty or 'x'", json!("x")),
    ] {
        let found = python::expression(source).unwrap().evaluate(&payload, &fields);
        assert_eq!(found.unwrap(), expected, "{source}");
    }
    let held = python::expression("big > 10 and term == '36'").unwrap();
    assert!(held.holds(&payload, &fields).unwrap());
    assert_eq!(held.names().into_iter().collect::<Vec<_>>(), ["big", "term"]);
}

#[test]
fn expressions_refuse_what_could_do_something() {
    for source in [
        "__import__('os').system('x')",
        "open('x')",
        "eval('1')",
        "term.upper()",
        "f(1)",
        "(lambda: 1)()",
        "int()",
        "int(1, 2)",
        "term if term else 1",
        "and",
        "in",
        "[x for x in term]",
    ] {
        assert!(python::expression(source).is_err(), "{source}");
    }
    for source in
        ["unknown", "int('x')", "float('nan')", "len(5)", "min([])", "max(1, 'a')", "round('x')", "round(1.5, 99)"]
    {
        let found = python::expression(source).unwrap().evaluate(&json!({}), &serde_json::Map::new());
        assert!(found.is_err(), "{source}: {found:?}");
    }
    assert!(python::parse("term == 1").is_err(), "conditions know req_json alone");
}
