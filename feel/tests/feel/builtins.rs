use super::harness::{constants, evaluate};

#[test]
fn strings() {
    constants(&[
        ("substring(\"foobar\", 3)", "\"obar\""),
        ("substring(\"foobar\", 3, 3)", "\"oba\""),
        ("substring(\"foobar\", -2, 1)", "\"a\""),
        ("substring(\"😀bc\", 2)", "\"bc\""),
        ("substring(\"a\", 0)", "null"),
        ("substring(\"ab\", 3)", "null"),
        ("substring(\"\", 1)", "\"\""),
        ("string length(\"😀b\")", "2"),
        ("upper case(\"aBc4\")", "\"ABC4\""),
        ("lower case(\"aBc4\")", "\"abc4\""),
        ("trim(\"  a b \")", "\"a b\""),
        ("substring before(\"foobar\", \"bar\")", "\"foo\""),
        ("substring before(\"foobar\", \"x\")", "\"\""),
        ("substring after(\"foobar\", \"ob\")", "\"ar\""),
        ("substring after(\"\", \"a\")", "\"\""),
        ("contains(\"foobar\", \"of\")", "false"),
        ("starts with(\"foobar\", \"fo\")", "true"),
        ("ends with(\"foobar\", \"r\")", "true"),
        ("contains(1, \"a\")", "null"),
        ("matches(\"foobar\", \"^fo*b\")", "true"),
        ("matches(\"FOO\", \"foo\", \"i\")", "true"),
        ("matches(\"a\", \"[\")", "null"),
        ("matches(\"a\", \"a\", \"z\")", "null"),
        ("replace(\"abcd\", \"(ab)|(a)\", \"[1=$1][2=$2]\")", "\"[1=ab][2=]cd\""),
        ("replace(\"a.b\", \".\", \"$\", \"q\")", "\"a$b\""),
        ("replace(\"aaa\", \"a\", \"b\")", "\"bbb\""),
        ("replace(\"a\", \"a\", \"$\")", "null"),
        ("split(\"John Doe\", \"\\\\s\")", "[\"John\", \"Doe\"]"),
        ("split(\"a;b;c;;\", \";\")", "[\"a\",\"b\",\"c\",\"\",\"\"]"),
        ("split(\"\", \";\")", "[\"\"]"),
        ("string join([\"a\", \"b\", null], \"_\")", "\"a_b\""),
        ("string join([])", "\"\""),
        ("string join([\"a\"], \"X\")", "\"a\""),
        ("string join([\"a\", \"b\"], \", \", \"<\", \">\")", "\"<a, b>\""),
        ("string join([1])", "null"),
        ("is blank(\" \")", "true"),
        ("extract(\"ref 1234, 56\", \"[0-9]+\")", "[\"1234\", \"56\"]"),
        ("string length([\"abc\"])", "3"),
        ("matches(\"x y\", \"x\\\\ y\", \"x\")", "null"),
    ]);
}

#[test]
fn conversions() {
    constants(&[
        ("string(1.1)", "\"1.1\""),
        ("string(null)", "null"),
        ("string([1, \"a\", {b: null}])", r#""[1, \"a\", {b: null}]""#),
        ("string(@\"P1D\")", "\"P1D\""),
        ("string(true)", "\"true\""),
        ("string([1..3])", "\"[1..3]\""),
        ("number(\"1 000,5\", \" \", \",\")", "1000.5"),
        ("number(\"1,000.5\", \",\", \".\")", "1000.5"),
        ("number(\"x\")", "null"),
        ("number(\"12\")", "12"),
        ("number(from: \"1.000\", grouping separator: \".\", decimal separator: \",\")", "1000"),
        ("number(\"1\", \".\", \".\")", "null"),
        ("number(null)", "null"),
        ("context([{key: \"a\", value: 1}])", "{\"a\": 1}"),
        ("context([{key: \"a\", value: 1}, {key: \"a\", value: 2}])", "null"),
        ("range(\"[1..3]\")", "\"[1..3]\""),
        ("range(\"[1..\")", "null"),
        ("1 in range(\"(0..2)\")", "true"),
        ("range(\"[@\\\"2024-01-01\\\"..@\\\"2024-02-01\\\"]\").end", "\"2024-02-01\""),
    ]);
}

#[test]
fn numbers() {
    constants(&[
        ("decimal(1/3, 2)", "0.33"),
        ("decimal(1.5, 0)", "2"),
        ("decimal(2.5, 0)", "2"),
        ("floor(-1.5)", "-2"),
        ("floor(1.56, 1)", "1.5"),
        ("ceiling(1.5)", "2"),
        ("round up(5.5, 0)", "6"),
        ("round down(-5.5, 0)", "-5"),
        ("round half up(1.126, 2)", "1.13"),
        ("round half down(5.5, 0)", "5"),
        ("abs(-10)", "10"),
        ("modulo(-12, 5)", "3"),
        ("modulo(10.1, -4.5)", "-3.4"),
        ("modulo(1, 0)", "null"),
        ("sqrt(16)", "4"),
        ("sqrt(-1)", "null"),
        ("decimal(log(10), 8)", "2.30258509"),
        ("decimal(exp(5), 8)", "148.4131591"),
        ("odd(5)", "true"),
        ("even(5)", "false"),
        ("even(-2)", "true"),
        ("abs(n: -1)", "1"),
        ("floor(\"a\")", "null"),
        ("decimal(1, 99999)", "null"),
    ]);
}

#[test]
fn lists() {
    constants(&[
        ("list contains([1, 2, null], null)", "true"),
        ("count([1, 2])", "2"),
        ("count(1, 2, 3)", "3"),
        ("min([1, 2])", "1"),
        ("max(1, 2)", "2"),
        ("max([])", "null"),
        ("min(\"a\", \"b\")", "\"a\""),
        ("max([1, \"a\"])", "null"),
        ("sum([1, 2, 0.5])", "3.5"),
        ("sum([])", "null"),
        ("mean([1, 2, 3])", "2"),
        ("product([2, 3])", "6"),
        ("median([1, 3, 2, 4])", "2.5"),
        ("stddev([2, 4, 7, 5])", "2.081665999466132735282297706979931"),
        ("mode([6, 1, 9, 6, 1])", "[1, 6]"),
        ("mode([])", "[]"),
        ("sublist([4, 5, 6], 1, 2)", "[4, 5]"),
        ("sublist([4, 5, 6], -1)", "[6]"),
        ("sublist([1], 1, 5)", "null"),
        ("append([1], 2, 3)", "[1, 2, 3]"),
        ("append(null, 1)", "null"),
        ("append(list: [1], item: 2)", "[1, 2]"),
        ("concatenate([1], [2], 3)", "[1, 2, 3]"),
        ("insert before([1, 3], 2, 2)", "[1, 2, 3]"),
        ("insert before([1], -1, 0)", "[0, 1]"),
        ("remove([1, 2, 3], 2)", "[1, 3]"),
        ("remove([1], 2)", "null"),
        ("reverse([1, 2])", "[2, 1]"),
        ("index of([1, 2, 3, 2], 2)", "[2, 4]"),
        ("union([1, 2], [2, 3])", "[1, 2, 3]"),
        ("distinct values([1, 2, 1])", "[1, 2]"),
        ("duplicate values([1, 2, 1, 1])", "[1]"),
        ("flatten([[1, [2]], 3])", "[1, 2, 3]"),
        ("list replace([1, 2, 3], 2, 9)", "[1, 9, 3]"),
        ("list replace([2, 4, 7], function(item, newItem) item < newItem, 5)", "[5, 5, 7]"),
        ("partition([1, 2, 3], 2)", "[[1, 2], [3]]"),
        ("partition([1], 0)", "null"),
        ("is empty([])", "true"),
        ("is empty([1])", "false"),
        ("reverse(null)", "null"),
    ]);
}

#[test]
fn contexts() {
    constants(&[
        ("get value({a: 1}, \"a\")", "1"),
        ("get value({a: {b: 2}}, [\"a\", \"b\"])", "2"),
        ("get value({a: 1}, \"b\")", "null"),
        ("get entries({a: 1})", "[{\"key\": \"a\", \"value\": 1}]"),
        ("context put({a: 1}, \"b\", 2)", "{\"a\": 1, \"b\": 2}"),
        ("context put({a: {b: 1}}, [\"a\", \"c\"], 2)", "{\"a\": {\"b\": 1, \"c\": 2}}"),
        ("context put({}, [\"x\", \"y\"], 1)", "{\"x\": {\"y\": 1}}"),
        ("context merge([{a: 1}, {a: 2, b: 3}])", "{\"a\": 2, \"b\": 3}"),
        ("context merge({a: 1}, {b: 2})", "{\"a\": 1, \"b\": 2}"),
        ("put({a: 1}, \"a\", 2)", "{\"a\": 2}"),
        ("put all({a: 1}, {b: 2})", "{\"a\": 1, \"b\": 2}"),
        ("context put({}, [], 1)", "null"),
        ("get value(null, \"a\")", "null"),
    ]);
}

#[test]
fn ranges() {
    constants(&[
        ("before(1, 10)", "true"),
        ("before([1..5], [5..9])", "false"),
        ("before([1..5), [5..9])", "true"),
        ("before(5, (5..9])", "true"),
        ("after([5..9], 4)", "true"),
        ("meets([1..5], [5..10])", "true"),
        ("meets([1..5), [5..10])", "false"),
        ("met by([5..10], [1..5])", "true"),
        ("overlaps([1..5], [3..8])", "true"),
        ("overlaps([1..3], [4..8])", "false"),
        ("overlaps before([1..5], [3..8])", "true"),
        ("overlaps before([3..8], [1..5])", "false"),
        ("overlaps after([3..8], [1..5])", "true"),
        ("finishes(10, [1..10])", "true"),
        ("finishes([5..10], [1..10])", "true"),
        ("finished by([1..10], 10)", "true"),
        ("includes([1..10], 5)", "true"),
        ("includes([1..10], [4..6])", "true"),
        ("during(5, [1..10])", "true"),
        ("starts(1, [1..10])", "true"),
        ("starts([1..5], [1..10])", "true"),
        ("started by([1..10], [1..5])", "true"),
        ("coincides([1..5], [1..5])", "true"),
        ("coincides([1..5], [1..5))", "false"),
        ("before(1, \"a\")", "null"),
        ("includes([1..10), 10)", "false"),
        ("5 in (> 3)", "true"),
        ("includes((> 3), 5)", "true"),
    ]);
}

#[test]
fn camunda_additions() {
    constants(&[
        ("is defined(1)", "true"),
        ("is defined(null)", "false"),
        ("is defined(a.b)", "false"),
        ("get or else(null, 1)", "1"),
        ("get or else(x, \"d\")", "\"d\""),
        ("get or else(2, 1)", "2"),
        ("assert(1, true)", "1"),
        ("to base64(\"FEEL\")", "\"RkVFTA==\""),
        ("from base64(\"RkVFTA==\")", "\"FEEL\""),
        ("to json({a: [1, @\"P1D\"]})", r#""{\"a\":[1,\"P1D\"]}""#),
        ("from json(\"{\\\"a\\\": 1}\").a", "1"),
        ("from json(\"{\")", "null"),
        ("fromAi(toolCall.x, \"the x\", \"string\")", "null"),
        ("fromAi(5, \"five\")", "5"),
        ("cycle(3, duration(\"PT10S\"))", "\"R3/PT10S\""),
        ("cycle(duration(\"PT1H\"))", "\"R/PT1H\""),
        ("cycle(null, \"PT1H\")", "\"R/PT1H\""),
        ("bpmnError(\"E1\", \"broken\")", r#"{"errorType": "bpmnError", "code": "E1", "message": "broken"}"#),
        (
            "jobError(\"again\", {a: 1}, 2, @\"PT10S\")",
            r#"{"errorType": "jobError", "message": "again", "variables": {"a": 1}, "retries": 2, "retryBackoff": "PT10S"}"#,
        ),
        ("random number() < 1", "true"),
        ("random number() = random number()", "false"),
        ("string length(uuid())", "36"),
        ("matches(uuid(), \"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$\")", "true"),
    ]);
    let none = serde_json::json!({});
    assert_eq!(evaluate("uuid()", &none).value, evaluate("uuid()", &none).value);
    assert!(evaluate("no such function(1)", &none).warnings[0].contains("no such function"));
}

#[test]
fn patterns_of_everyday_use_are_taken() {
    constants(&[
        (r#"matches("ann.b@example.org", "^[\\w.+-]+@[\\w-]+\\.[\\w.]+$")"#, "true"),
        (r#"matches("+49 30 1234567", "^\\+?[\\d\\s()-]{7,20}$")"#, "true"),
        (r#"matches("Größe", "^\\p{L}{2,10}$")"#, "true"),
        (r#"matches("a\nb", "a.b", "s")"#, "true"),
        (r#"matches("aa", "(a)\\1")"#, "null"),
        (r#"replace("2024-05-17", "(\\d+)-(\\d+)-(\\d+)", "$3.$2.$1")"#, "\"17.05.2024\""),
    ]);
}
