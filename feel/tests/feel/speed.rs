use std::time::{Duration, Instant};

use flow_feel as feel;
use serde_json::json;

use super::harness::env;

/// The bar is 2 us in a release build; a debug build on a loaded machine gets fifty times that, so that only a change of order is caught.
#[test]
fn ordinary_conditions_are_fast_even_over_large_payloads() {
    let lines: Vec<_> =
        (0..20_000).map(|n| json!({"n": n, "text": "some words that make the payload large"})).collect();
    let payload = json!({"amount": 120.5, "status": "open", "order": {"customer": {"tier": "gold"}, "lines": lines}});
    let bar = Duration::from_nanos(if cfg!(debug_assertions) { 100_000 } else { 2_000 });
    let env = env();
    for source in [
        "amount > 100 and status = \"open\"",
        "order.customer.tier in (\"gold\", \"silver\")",
        "is defined(order.customer) and amount between 1 and 500",
        "if amount * 2 > 200 then \"a\" else \"b\"",
    ] {
        let expression = feel::parse(source).unwrap();
        let best = (0..5)
            .map(|_| {
                let started = Instant::now();
                for _ in 0..2_000 {
                    std::hint::black_box(expression.evaluate(&payload, &env).unwrap());
                }
                started.elapsed() / 2_000
            })
            .min()
            .unwrap();
        println!("{source}: {best:?}");
        assert!(best < bar, "{source} takes {best:?}");
    }
}
