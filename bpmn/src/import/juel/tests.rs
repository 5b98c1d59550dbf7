use super::translate;

#[test]
fn what_means_the_same_is_translated() {
    for (juel, feel) in [
        ("${amount > 100 && status == 'open'}", r#"amount > 100 and status = "open""#),
        ("#{a or b and not c}", "a or b and c != true"),
        ("${(a or b) and c}", "(a or b) and c"),
        ("${!(x > 5)}", "(x > 5) != true"),
        ("${order.lines[0].price * 2 - 1}", "order.lines[1].price * 2 - 1"),
        ("${a - (b - c)}", "a - (b - c)"),
        ("${a - b - c}", "a - b - c"),
        ("${order['customer']}", "order.customer"),
        ("${x == null ? 'none' : x}", r#"if x = null then "none" else x"#),
        ("${nrOfCompletedInstances / nrOfInstances ge 0.6}", "numberOfCompletedInstances / numberOfInstances >= 0.6"),
        ("${loopCounter * 2}", "(loopCounter - 1) * 2"),
        ("${items.size() gt 3}", "count(items) > 3"),
        ("${name.equals(\"Ann\")}", r#"name = ("Ann")"#),
        ("${execution.getVariable('total')}", "total"),
        ("${execution.hasVariable('total') && total > 1}", "total != null and total > 1"),
        ("a ${b}", r#""a " + (if (b) = null then "" else string(b))"#),
    ] {
        assert_eq!(translate(juel).as_deref(), Ok(feel), "{juel}");
    }
}

#[test]
fn what_does_not_is_refused_with_a_reason() {
    for (juel, reason) in [
        ("${bean.charge(order)}", "charge"),
        ("${empty items}", "empty"),
        ("${execution.processInstanceId}", "execution.processInstanceId"),
        ("${a % b}", "%"),
        ("${'a' + b}", "joins texts"),
        ("${now()}", "now"),
        ("${x", "missing"),
        ("${a b}", "more than one"),
        ("${if}", "word of FEEL"),
        ("${a[b]}", "index"),
        ("${}", "ends too early"),
    ] {
        let error = translate(juel).expect_err(juel);
        assert!(error.contains(reason), "{juel}: {error}");
    }
    assert!(translate(&format!("${{{}1", "(".repeat(5_000))).is_err());
    assert!(translate(&format!("${{{}x}}", "!".repeat(5_000))).is_err());
}
