//! The deterministic simulation: nothing is lost, ended twice or decided twice, whatever goes wrong; and it
//! notices when a rule of the hop is switched off. `FLOW_SIMULATION_SEEDS` asks for more seeds.

use flow_tests::simulation::{Fault, Mutant, run, sweep};

/// A failing seed replays by `cargo run -p flow-tests --bin simulate -- --seed N --trace`.
#[test]
fn a_thousand_seeds_lose_nothing_and_end_and_decide_once() {
    let seeds = std::env::var("FLOW_SIMULATION_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000);
    let sum = sweep(1, seeds, None, false);
    for outcome in &sum.failed {
        println!("seed {}: {}", outcome.seed, outcome.failures.join("; "));
    }
    assert!(sum.failed.is_empty(), "{} of {} seeds failed", sum.failed.len(), sum.runs);
    // a run in which nothing happened proves nothing
    for (fault, fired) in Fault::ALL.iter().zip(&sum.fired) {
        assert!(*fired > 0, "{fault:?} never happened");
    }
    assert!(sum.started >= 5 * seeds, "only {} instances were started", sum.started);
    assert!(sum.reopened >= seeds / 2, "only {} instances were run again after an ERROR", sum.reopened);
    assert!(sum.completed * 10 >= sum.started * 9, "{} of {} completed", sum.completed, sum.started);
}

#[test]
fn a_seed_replays_to_the_last_event() {
    for seed in [1, 37, 129] {
        let (first, second) = (run(seed, None, false), run(seed, None, false));
        assert!(first.events > 100, "{first:?}");
        assert_eq!((first.fingerprint, first.events), (second.fingerprint, second.events), "seed {seed}");
    }
}

fn is_noticed(mutant: Mutant) {
    let sum = sweep(1, 300, Some(mutant), true);
    let found = sum.failed.first().unwrap_or_else(|| panic!("{mutant:?} is not noticed in {} seeds", sum.runs));
    println!("{mutant:?} is noticed by seed {}: {}", found.seed, found.failures.join("; "));
}

#[test]
fn without_dedup_it_fails() {
    is_noticed(Mutant::NoDedup);
}

#[test]
fn without_waiting_for_the_disk_it_fails() {
    is_noticed(Mutant::NoWait);
}

#[test]
fn with_acknowledging_before_the_write_it_fails() {
    is_noticed(Mutant::EarlyAccept);
}

#[test]
fn without_stickiness_it_fails() {
    is_noticed(Mutant::NotSticky);
}
