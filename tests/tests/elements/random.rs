//! Random block-structured processes with random outcomes, against the reference: the same tasks at the same times.
//!
//! `FLOW_SEED=N` runs the processes of one seed, `FLOW_SEEDS=N` that many instead of the usual number.

use control_plane::ledger::State;
use flow_tests::blocks::{self, Outcomes};
use flow_tests::game::{Game, answer};
use serde_json::{Map, Value};

/// Runs of each process.
const RUNS: u64 = 4;

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    match number("FLOW_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("FLOW_SEEDS").unwrap_or(1_000),
    }
}

fn behaviour(outcomes: Outcomes) -> flow_tests::game::Behaviour {
    // they write nothing: what concurrent tasks write is not what this is about
    let nothing = Value::Object(Map::new());
    Box::new(move |element, _, _| match outcomes.tasks[element] {
        (takes, None) => (takes, answer(200, &nothing)),
        (takes, Some(code)) => {
            let refused = answer(422, &nothing).map(|mut it| {
                it.error_code = Some(code.text().to_owned());
                it
            });
            (takes, refused)
        }
    })
}

#[test]
fn what_is_executed_when_is_what_the_reference_says() {
    let mut executed = 0;
    for seed in seeds() {
        let scope = blocks::process(seed);
        let xml = blocks::write(&scope);
        for run in 0..RUNS {
            let outcomes = blocks::outcomes(&scope, seed * RUNS + run);
            let (expected, end) = blocks::executions(&scope, &outcomes);
            let variables = outcomes.variables.iter().enumerate().map(|(i, it)| (format!("v{i}"), Value::Bool(*it)));
            let payload = Value::Object(variables.collect::<Map<_, _>>());
            let mut game = Game::new(&xml, behaviour(outcomes.clone()));
            let begun = game.now();
            let view = game.run(&payload);
            let times = game.called_at.iter().map(|at| at - begun);
            let mut found: Vec<_> = times.zip(game.calls.iter().cloned()).collect();
            found.sort();
            let said = || format!("FLOW_SEED={seed}, run {run}\n{xml}\n{outcomes:?}\n{:?}", game.moves);
            assert!(game.alarms.is_empty(), "{:?}\n{}", game.alarms, said());
            assert_eq!(found, expected, "{}", said());
            assert_eq!(view.state, State::Completed, "{view:#?}\n{}", said());
            assert_eq!(view.ended.map(|at| at - begun), Some(end), "{}", said());
            executed += expected.len();
        }
    }
    assert!(executed > 0);
}
