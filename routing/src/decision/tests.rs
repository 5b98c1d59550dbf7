#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600_000;

fn literal(text: &str) -> Logic {
    Logic::Literal(text.to_owned())
}

fn entry(name: &str, logic: Logic) -> Entry {
    Entry { name: name.to_owned(), logic }
}

fn strings(of: &[&str]) -> Vec<String> {
    of.iter().map(|it| (*it).to_owned()).collect()
}

/// A table of these inputs and outputs; a rule is its cells in order.
fn table(hit_policy: HitPolicy, inputs: &[&str], outputs: &[&str], rules: &[&[&str]]) -> Table {
    Table {
        hit_policy,
        inputs: inputs
            .iter()
            .map(|it| Input { label: (*it).to_owned(), expression: (*it).to_owned(), ..Input::default() })
            .collect(),
        outputs: outputs.iter().map(|it| Output { name: (*it).to_owned(), ..Output::default() }).collect(),
        rules: rules
            .iter()
            .enumerate()
            .map(|(at, it)| Rule {
                id: Some(format!("r{}", at + 1)),
                tests: strings(&it[..inputs.len()]),
                outputs: strings(&it[inputs.len()..]),
            })
            .collect(),
    }
}

fn decision(id: &str, requires: Requirements, logic: Logic) -> Decision {
    Decision { id: id.to_owned(), name: id.to_owned(), variable: None, requires, logic }
}

fn decisions(all: Vec<Decision>) -> Decisions {
    Decisions { format: Decisions::FORMAT, name: "test".to_owned(), decisions: all, ..Decisions::default() }
}

fn run(logic: Logic, variables: Value) -> Result<Outcome, String> {
    let compiled = Compiled::new(decisions(vec![decision("d", Requirements::default(), logic)])).unwrap();
    compiled.evaluate("d", &variables, NOW)
}

fn decide(table: &Table, variables: Value) -> Outcome {
    // what a table gives alone, it gives as the body of a function too
    let alone = run(Logic::Table(table.clone()), variables.clone()).unwrap();
    let within = run(Logic::List(vec![Logic::Table(table.clone())]), variables).unwrap();
    assert_eq!(json!([alone.value]), within.value);
    alone
}

fn rules(outcome: &Outcome) -> Vec<usize> {
    outcome.matched.iter().map(|it| it.rule).collect()
}

/// Rules 1 and 2 match ages from 20 to 29, rule 2 alone up to 39.
fn by_age(hit_policy: HitPolicy, values: [&str; 2]) -> Table {
    table(hit_policy, &["age"], &["out"], &[&["[20..30)", values[0]], &["[20..40)", values[1]]])
}

#[test]
fn unique_takes_the_one_rule_and_refuses_two() {
    let table = by_age(HitPolicy::Unique, ["1", "2"]);
    let outcome = decide(&table, json!({"age": 35}));
    assert_eq!((outcome.value, rules(&decide(&table, json!({"age": 35})))), (json!(2), vec![2]));
    assert_eq!(outcome.matched[0].id.as_deref(), Some("r2"));
    let error = run(Logic::Table(table), json!({"age": 25})).unwrap_err();
    assert_eq!(error, "`d`: the rules 1, 2 of the table `d` overlap: its hit policy UNIQUE lets one match");
}

#[test]
fn a_table_without_a_matching_rule_is_null_and_says_so() {
    let policies = [HitPolicy::Unique, HitPolicy::First, HitPolicy::Any, HitPolicy::RuleOrder];
    for policy in policies.into_iter().chain([Aggregator::List, Aggregator::Sum].map(HitPolicy::Collect)) {
        let outcome = decide(&by_age(policy, ["1", "2"]), json!({"age": 50}));
        assert_eq!(outcome.value, Value::Null);
        assert_eq!(outcome.warnings, ["`d`: no rule matches, and no output has a default"]);
        assert_eq!(outcome.matched, []);
    }
    let count = decide(&by_age(HitPolicy::Collect(Aggregator::Count), ["1", "2"]), json!({"age": 50}));
    assert_eq!((count.value, count.warnings.len()), (json!(0), 0));
}

#[test]
fn defaults_stand_in_when_no_rule_matches() {
    let mut table = by_age(HitPolicy::Unique, ["1", "2"]);
    table.outputs[0].default = Some("1 + 6".to_owned());
    let outcome = decide(&table, json!({"age": 50}));
    assert_eq!((outcome.value, outcome.matched.len(), outcome.warnings.len()), (json!(7), 0, 0));
    assert_eq!(decide(&table, json!({"age": 35})).value, json!(2));
    table.hit_policy = HitPolicy::Collect(Aggregator::List);
    assert_eq!(decide(&table, json!({"age": 50})).value, json!([7]));
}

#[test]
fn first_takes_the_first_in_order() {
    let outcome = decide(&by_age(HitPolicy::First, ["1", "2"]), json!({"age": 25}));
    assert_eq!((outcome.value.clone(), rules(&outcome)), (json!(1), vec![1, 2]));
}

#[test]
fn any_takes_equal_results_and_refuses_others() {
    assert_eq!(decide(&by_age(HitPolicy::Any, ["1", "1.0"]), json!({"age": 25})).value, json!(1));
    let error = run(Logic::Table(by_age(HitPolicy::Any, ["1", "2"])), json!({"age": 25})).unwrap_err();
    assert!(error.contains("the rules 1, 2 of the table `d` give different results"), "{error}");
}

#[test]
fn collect_makes_a_list_or_one_value() {
    let of = |aggregator| decide(&by_age(HitPolicy::Collect(aggregator), ["3", "4"]), json!({"age": 25})).value;
    assert_eq!(of(Aggregator::List), json!([3, 4]));
    assert_eq!(of(Aggregator::Sum), json!(7));
    assert_eq!(of(Aggregator::Min), json!(3));
    assert_eq!(of(Aggregator::Max), json!(4));
    assert_eq!(of(Aggregator::Count), json!(2));
    assert_eq!(decide(&by_age(HitPolicy::RuleOrder, ["3", "4"]), json!({"age": 25})).value, json!([3, 4]));
}

#[test]
fn priority_and_output_order_go_by_the_output_values() {
    let mut table = table(
        HitPolicy::Priority,
        &["age"],
        &["out"],
        &[&[">= 18", "\"low\""], &[">= 21", "\"high\""], &[">= 20", "\"other\""], &[">= 19", "\"medium\""]],
    );
    table.outputs[0].values = Some("\"high\", \"medium\", \"low\"".to_owned());
    assert_eq!(decide(&table, json!({"age": 30})).value, json!("high"));
    assert_eq!(decide(&table, json!({"age": 20})).value, json!("medium"));
    assert_eq!(decide(&table, json!({"age": 18})).value, json!("low"));
    table.hit_policy = HitPolicy::OutputOrder;
    assert_eq!(decide(&table, json!({"age": 30})).value, json!(["high", "medium", "low", "other"]));
}

#[test]
fn of_several_outputs_the_first_has_priority() {
    let rules: &[&[&str]] = &[&["-", "1", "\"a\""], &["-", "2", "\"b\""], &["-", "2", "\"a\""]];
    let mut table = table(HitPolicy::OutputOrder, &["x"], &["n", "s"], rules);
    table.outputs[0].values = Some("2, 1".to_owned());
    table.outputs[1].values = Some("\"a\", \"b\"".to_owned());
    let expected = json!([{"n": 2, "s": "a"}, {"n": 2, "s": "b"}, {"n": 1, "s": "a"}]);
    assert_eq!(decide(&table, json!({"x": 1})).value, expected);
}

#[test]
fn several_outputs_are_a_context_and_an_empty_one_is_null() {
    let table = table(HitPolicy::Unique, &["x"], &["risk class", "fee"], &[&["> 1", "\"high\"", ""]]);
    assert_eq!(decide(&table, json!({"x": 2})).value, json!({"risk class": "high", "fee": null}));
}

#[test]
fn cells_are_unary_tests() {
    let holds = |cell: &str, x: Value| {
        let table = table(HitPolicy::Unique, &["x"], &["out"], &[&[cell, "true"]]);
        decide(&table, json!({"x": x, "limit": 10})).value == json!(true)
    };
    for (cell, yes, no) in [
        ("5", json!(5), json!(6)),
        ("< 5", json!(4), json!(5)),
        ("[1..5)", json!(1), json!(5)),
        ("]1..5]", json!(5), json!(1)),
        ("]1..5[", json!(2), json!(5)),
        ("1, 2, [7..9]", json!(8), json!(3)),
        ("not(1, 2)", json!(3), json!(2)),
        ("not( < 5 ) // small", json!(5), json!(4)),
        ("> limit", json!(11), json!(10)),
        ("? > limit and ? < 20", json!(11), json!(20)),
        ("\"a\", \"b\"", json!("b"), json!("c")),
        ("not(\"a\")", json!("b"), json!("a")),
        ("starts with(?, \"ab\")", json!("abc"), json!("bc")),
        ("true", json!(true), json!(false)),
        ("false", json!(false), json!(true)),
        ("null", Value::Null, json!(1)),
        ("list contains(?, 3)", json!([1, 3]), json!([1])),
        ("date(?) >= date(\"2026-01-01\")", json!("2026-01-01"), json!("2025-12-31")),
        ("5 // five", json!(5), json!(6)),
    ] {
        assert!(holds(cell, yes.clone()), "{cell} holds for {yes}");
        assert!(!holds(cell, no.clone()), "{cell} does not hold for {no}");
    }
    assert!(holds("-", json!(1)) && holds("", json!(1)) && holds(" - ", Value::Null));
    assert!(!holds("< 5", Value::Null), "null is no match");
    assert!(!holds("not(< 5)", Value::Null), "nor is what is unknown when it is negated");
}

#[test]
fn typed_inputs_take_iso_strings() {
    let mut table = table(
        HitPolicy::First,
        &["day", "at", "moment", "wait"],
        &["out"],
        &[&[
            "< date(\"2026-01-01\")",
            "> time(\"12:00:00\")",
            "< now()",
            "<= duration(\"P2D\")",
            "day + duration(\"P1D\")",
        ]],
    );
    for (input, kind) in table.inputs.iter_mut().zip([Type::Date, Type::Time, Type::DateTime, Type::Duration]) {
        input.kind = kind;
    }
    table.rules[0].outputs[0] = "date(day) + duration(\"P1D\")".to_owned();
    let variables = json!({"day": "2025-12-24", "at": "13:30:00", "moment": "2025-12-31T23:59:59Z", "wait": "PT36H"});
    assert_eq!(decide(&table, variables).value, json!("2025-12-25"));
    let late = json!({"day": "2026-12-24", "at": "13:30:00", "moment": "2025-12-31T23:59:59Z", "wait": "PT36H"});
    assert_eq!(decide(&table, late).value, Value::Null);
}

#[test]
fn input_data_of_a_type_is_converted_within_lists_and_contexts() {
    let person = Type::Context(vec![("born on".to_owned(), Type::Date), ("died".to_owned(), Type::Date)]);
    let mut all = decisions(vec![decision(
        "d",
        Requirements { inputs: strings(&["i"]), ..Requirements::default() },
        literal("for p in people return p.born on.year"),
    )]);
    all.inputs = vec![InputData { id: "i".to_owned(), name: "people".to_owned(), kind: Type::List(Box::new(person)) }];
    let compiled = Compiled::new(all).unwrap();
    let people = json!({"people": [{"born on": "1970-02-03"}, {"born on": "1980-02-03", "x": 1}]});
    let outcome = compiled.evaluate("d", &people, NOW).unwrap();
    assert_eq!((outcome.value, outcome.warnings), (json!([1970, 1980]), vec![]));
    assert_eq!(compiled.evaluate("d", &json!({"people": null}), NOW).unwrap().value, Value::Null);
}

#[test]
fn values_that_an_input_may_not_have_leave_a_warning() {
    let mut table = table(HitPolicy::First, &["kind"], &["out"], &[&["-", "1"]]);
    table.inputs[0].values = Some("\"a\",\"b\"".to_owned());
    assert_eq!(decide(&table, json!({"kind": "a"})).warnings.len(), 0);
    let outcome = decide(&table, json!({"kind": "c"}));
    assert_eq!(outcome.value, json!(1));
    assert_eq!(outcome.warnings, ["`d`: the input `kind` has a value that is not among \"a\",\"b\""]);
}

#[test]
fn unknown_variables_leave_a_warning() {
    let outcome = run(literal("missing + 1"), json!({})).unwrap();
    assert_eq!(outcome.value, Value::Null);
    assert!(outcome.warnings[0].contains("there is no variable missing"), "{:?}", outcome.warnings);
}

/// Score -> class (a table) -> offer, which needs both.
fn lending() -> Decisions {
    let class = table(
        HitPolicy::Unique,
        &["Credit Score"],
        &["class"],
        &[&["< 50", "\"bad\""], &["[50..80)", "\"fair\""], &[">= 80", "\"good\""]],
    );
    let needs = |of: &[&str]| Requirements { decisions: strings(of), ..Requirements::default() };
    let mut all = decisions(vec![
        decision(
            "offer",
            needs(&["score", "class"]),
            literal("{class: Risk-Class, score: Credit Score, due: today()}"),
        ),
        decision("class", needs(&["score"]), Logic::Table(class)),
        decision("score", Requirements::default(), literal("if income > 1000 then 81 else 40")),
    ]);
    all.decisions[1].variable = Some("Risk-Class".to_owned());
    all.decisions[2].name = "Credit Score".to_owned();
    all
}

#[test]
fn three_decisions_are_evaluated_in_order() {
    let compiled = Compiled::new(lending()).unwrap();
    let outcome = compiled.evaluate("offer", &json!({"income": 2000}), NOW).unwrap();
    assert_eq!(outcome.value, json!({"class": "good", "score": 81, "due": "2026-01-01"}));
    let matched = Matched { decision: "class".to_owned(), rule: 3, id: Some("r3".to_owned()) };
    assert_eq!((outcome.matched, outcome.warnings), (vec![matched], vec![]));
    assert_eq!(compiled.evaluate("Credit Score", &json!({"income": 1}), NOW).unwrap().value, json!(40), "by name");
    let error = compiled.evaluate("other", &json!({}), NOW).unwrap_err();
    assert_eq!(error, "evaluate the decision `other`: there is none, but offer, class, score");
}

#[test]
fn a_result_is_seen_only_where_it_is_required() {
    let mut all = lending();
    all.decisions[0].requires.decisions.pop();
    let outcome = Compiled::new(all).unwrap().evaluate("offer", &json!({"income": 1}), NOW).unwrap();
    assert_eq!(outcome.value["class"], Value::Null);
    assert!(outcome.warnings[0].contains("there is no variable Risk-Class"), "{:?}", outcome.warnings);
}

fn knowledge(id: &str, requires: &[&str], parameters: &[&str], body: Logic) -> KnowledgeModel {
    let requires = Requirements { knowledge: strings(requires), ..Requirements::default() };
    KnowledgeModel { id: id.to_owned(), name: id.to_owned(), requires, parameters: strings(parameters), body }
}

/// `rate` is a table, `monthly fee` calls it; both are functions.
fn with_knowledge(logic: Logic) -> Decisions {
    let rate = table(HitPolicy::Unique, &["amount"], &["out"], &[&["< 100", "0.1"], &[">= 100", "0.2"]]);
    let needs = Requirements { knowledge: strings(&["monthly fee"]), ..Requirements::default() };
    let mut all = decisions(vec![decision("d", needs, logic)]);
    all.knowledge = vec![
        knowledge("monthly fee", &["rate"], &["sum", "add-on"], literal("sum * rate(sum) + add-on")),
        knowledge("rate", &[], &["amount"], Logic::Table(rate)),
    ];
    all
}

#[test]
fn knowledge_models_are_invoked_and_called() {
    let bindings = vec![entry("add-on", literal("1")), entry("sum", literal("price"))];
    let invocation = Logic::Invocation { callee: "monthly fee".to_owned(), bindings };
    for logic in [invocation, literal("monthly fee(price, 1)"), literal("monthly fee(sum: price, add-on: 1)")] {
        let compiled = Compiled::new(with_knowledge(logic.clone())).unwrap();
        let of = |price: i64| compiled.evaluate("d", &json!({"price": price}), NOW).unwrap();
        assert_eq!((of(50).value, of(50).warnings), (json!(6), vec![]), "{logic:?}");
        assert_eq!(of(100).value, json!(21));
    }
    let bindings = vec![entry("other", literal("1"))];
    let wrong = Logic::Invocation { callee: "monthly fee".to_owned(), bindings };
    let error = Compiled::new(with_knowledge(wrong)).unwrap_err();
    assert_eq!((error.element.as_str(), error.message.as_str()), ("d", "`monthly fee` has no parameter `other`"));
    let missing = Logic::Invocation { callee: "rate".to_owned(), bindings: vec![] };
    let mut all = with_knowledge(missing);
    all.decisions[0].requires.knowledge.push("rate".to_owned());
    assert_eq!(Compiled::new(all).unwrap().evaluate("d", &json!({}), NOW).unwrap().value, Value::Null);
}

#[test]
fn overlapping_rules_within_a_function_are_an_error_too() {
    let mut all = with_knowledge(literal("monthly fee(100, 0)"));
    let Logic::Table(rate) = &mut all.knowledge[1].body else { unreachable!() };
    rate.rules[0].tests[0] = "<= 100".to_owned();
    let error = Compiled::new(all).unwrap().evaluate("d", &json!({}), NOW).unwrap_err();
    assert_eq!(error, "`d`: the rules 1, 2 of the table `rate` overlap: its hit policy UNIQUE lets one match");
}

#[test]
fn boxed_expressions_mean_what_feel_means() {
    let row = |a: &str, b: &str| vec![literal(a), literal(b)];
    let relation = Logic::Relation { columns: strings(&["k", "v w"]), rows: vec![row("1", "x"), row("2", "")] };
    let function = Logic::Function { parameters: strings(&["a b"]), body: Box::new(literal("a b * 2 // twice")) };
    let context = Logic::Context {
        entries: vec![entry("twice", function), entry("rows", relation.clone()), entry("n", literal("count(rows)"))],
        result: Some(Box::new(literal("{n: n, twice: twice(x), rows: rows}"))),
    };
    let expected = json!({"n": 2, "twice": 14, "rows": [{"k": 1, "v w": 7}, {"k": 2, "v w": null}]});
    assert_eq!(run(context, json!({"x": 7})).unwrap().value, expected);
    let iteration = |kind, body: &str| {
        let (list, body) = (Box::new(literal("xs")), Box::new(literal(body)));
        run(Logic::Iteration { kind, variable: "x".to_owned(), list, body }, json!({"xs": [1, 2, 3]})).unwrap().value
    };
    assert_eq!(iteration(IterationKind::For, "x * x"), json!([1, 4, 9]));
    assert_eq!(iteration(IterationKind::Every, "x > 1"), json!(false));
    assert_eq!(iteration(IterationKind::Some, "x > 1"), json!(true));
    let filter = Logic::Filter { list: Box::new(relation), holds: Box::new(literal("k > 1")) };
    assert_eq!(run(filter, json!({"x": 1})).unwrap().value, json!([{"k": 2, "v w": null}]));
    let conditional = Logic::Conditional {
        condition: Box::new(literal("x > 1")),
        then: Box::new(literal("\"big\"")),
        otherwise: Box::new(Logic::List(vec![literal("x"), Logic::Context { entries: vec![], result: None }])),
    };
    assert_eq!(run(conditional.clone(), json!({"x": 2})).unwrap().value, json!("big"));
    assert_eq!(run(conditional, json!({"x": 1})).unwrap().value, json!([1, {}]));
}

#[test]
fn cycles_and_unknown_requirements_are_refused() {
    let mut all = lending();
    all.decisions[2].requires.decisions.push("offer".to_owned());
    let error = Compiled::new(all).unwrap_err();
    assert_eq!(error.message, "requirements form a cycle: offer -> score -> offer");
    let mut all = lending();
    all.decisions[2].requires.decisions.push("gone".to_owned());
    assert_eq!(Compiled::new(all).unwrap_err().message, "`score` requires the decision `gone`, which there is not");
    let mut all = with_knowledge(literal("1"));
    all.knowledge[1].requires.knowledge.push("rate".to_owned());
    assert_eq!(Compiled::new(all).unwrap_err().message, "requirements form a cycle: rate -> rate");
}

#[test]
fn what_runs_without_end_is_stopped() {
    let endless = literal("{f: function(n) f(n + 1), r: f(0)}.r");
    assert!(run(endless, json!({})).unwrap_err().starts_with("`d`: evaluation stopped"));
    let wide = literal("count(for a in 1..1000, b in 1..1000, c in 1..1000 return 1)");
    assert!(run(wide, json!({})).unwrap_err().starts_with("`d`: evaluation stopped"));
    let mut deep = literal("1");
    for _ in 0..30 {
        deep = Logic::List(vec![deep]);
    }
    let error = Compiled::new(decisions(vec![decision("d", Requirements::default(), deep)])).unwrap_err();
    assert_eq!(error.message, "boxed expressions are nested more than 20 deep");
}

#[test]
fn large_tables_are_cut_into_parts() {
    let written: Vec<[String; 2]> =
        (0..5_000).map(|it| [format!("[{it}..{it}], {it}.5"), format!("\"rule {it}\"")]).collect();
    let cells: Vec<Vec<&str>> = written.iter().map(|it| it.iter().map(String::as_str).collect()).collect();
    let cells: Vec<&[&str]> = cells.iter().map(Vec::as_slice).collect();
    let large = Logic::Table(table(HitPolicy::Unique, &["x"], &["out"], &cells));
    let outcome = run(large, json!({"x": 4_321.5})).unwrap();
    assert_eq!((outcome.value.clone(), rules(&outcome)), (json!("rule 4321"), vec![4_322]));
}

#[test]
fn a_model_cannot_reach_the_names_of_its_compilation() {
    let mut table = table(HitPolicy::First, &["x"], &["out"], &[&["-", "#1"]]);
    let all = |table: &Table| decisions(vec![decision("d", Requirements::default(), Logic::Table(table.clone()))]);
    assert!(Compiled::new(all(&table)).is_err());
    table.rules[0].outputs[0] = "n + v".to_owned();
    assert_eq!(decide(&table, json!({"x": 1, "n": 3, "v": 4})).value, json!(7), "these are the process's");
    let context = Logic::Context { entries: vec![entry("a`b", literal("1"))], result: None };
    assert!(Compiled::new(decisions(vec![decision("d", Requirements::default(), context)])).is_err());
}

#[test]
fn bytes_are_deterministic_and_come_back() {
    let all = with_knowledge(literal("rate(1)"));
    let bytes = all.to_bytes();
    assert_eq!(Decisions::from_bytes(&bytes).unwrap(), all);
    assert_eq!(Decisions::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    assert_eq!(all.digest(), crate::Digest::of(&bytes));
    let newer = String::from_utf8(bytes).unwrap().replacen("\"format\":1", "\"format\":2", 1);
    assert!(Decisions::from_bytes(newer.as_bytes()).unwrap_err().message.contains("upgrade"));
    assert!(Decisions::from_bytes(b"[]").is_err());
}
