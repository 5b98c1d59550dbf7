//! Soundness: what is drawn in blocks has no finding, and what a small token game finds by trying
//! everything is found, and nothing else.

mod game;
mod model;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use flow_bpmn::{Diagnostic, check};

use model::{Kind, Model, Random};

const RULES: &[&str] =
    &["deadlock", "lack-of-synchronisation", "unsafe-join", "dead-element", "no-completion", "soundness-undecided"];

/// The findings on soundness; `None` if the model is refused.
fn findings(model: &Model) -> Option<Vec<Diagnostic>> {
    let checked = check(model.xml().as_bytes(), &crate::fixtures::options()).ok()?;
    Some(checked.warnings.into_iter().filter(|it| RULES.contains(&it.rule)).collect())
}

fn seed() -> u64 {
    let seed = match std::env::var("BPMN_SOUNDNESS_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("BPMN_SOUNDNESS_SEED={seed}");
    seed
}

fn cases() -> u64 {
    std::env::var("BPMN_SOUNDNESS_CASES").map_or(1_000, |it| it.parse().unwrap())
}

#[test]
fn blocks_are_sound() {
    let seed = seed();
    for case in 0..cases() / 4 {
        let mut random = Random(seed.wrapping_add(case));
        let size = 3 + random.below(60);
        let model = Model::of_blocks(&mut random, size);
        let found = findings(&model).unwrap_or_else(|| panic!("seed {seed} case {case}: refused\n{}", model.xml()));
        assert!(found.is_empty(), "seed {seed} case {case}: {found:#?}\n{}", model.xml());
    }
}

#[test]
fn the_token_game_agrees_on_changed_models() {
    agrees(Model::of_blocks, 1, 9);
}

#[test]
fn the_token_game_agrees_on_models_with_inclusive_joins() {
    agrees(Model::of_inclusive_blocks, 2, 6);
}

/// Compares what is found in models of that kind, of up to `most` tasks and gateways, a few things in them changed.
fn agrees(make: fn(&mut Random, usize) -> Model, part: u64, most: usize) {
    let seed = seed();
    let cases = || cases() / part;
    let (mut compared, mut unsound) = (0, 0);
    for case in 0..cases() {
        let mut random = Random(seed.wrapping_add(case));
        let size = 2 + random.below(most);
        let mut model = make(&mut random, size);
        for _ in 0..random.below(4) {
            model.change(&mut random);
        }
        let Some(found) = findings(&model) else { continue };
        let Some(truth) = game::play(&model, 2_000) else { continue };
        compared += 1;
        unsound += u64::from(!found.is_empty());
        if let Err(why) = agree(&found, &truth) {
            panic!(
                "BPMN_SOUNDNESS_SEED={seed} case {case}: {why}\nfound {found:#?}\ntruth {truth:#?}\n{}",
                model.xml()
            );
        }
    }
    assert!(compared > cases() / 4 && unsound > cases() / 20, "{compared} compared, {unsound} unsound: too few");
}

/// Compares the findings with what is true; behind a crowded place only that is said.
fn agree(found: &[Diagnostic], truth: &game::Truth) -> Result<(), String> {
    let at = |rules: &[&str]| -> BTreeSet<&str> {
        found.iter().filter(|it| rules.contains(&it.rule)).filter_map(|it| it.element.as_deref()).collect()
    };
    let within = |rule: &str, said: &BTreeSet<&str>, truth: &BTreeSet<String>, both: bool| {
        if said.iter().any(|it| !truth.contains(*it)) || (both && said.is_empty() != truth.is_empty()) {
            return Err(format!("{rule}: said {said:?}, true {truth:?}"));
        }
        Ok(())
    };
    if !at(&["soundness-undecided"]).is_empty() {
        return Err("a small model was not decided".to_owned());
    }
    let safe = truth.crowded.is_empty();
    if safe != at(&["lack-of-synchronisation", "unsafe-join"]).is_empty() {
        return Err(format!("crowded: {:?}", truth.crowded));
    }
    within("lack-of-synchronisation", &at(&["lack-of-synchronisation"]), &truth.crowded, false)?;
    within("unsafe-join", &at(&["unsafe-join"]), &truth.joined, false)?;
    within("deadlock", &at(&["deadlock"]), &truth.stuck, safe)?;
    let endless = !at(&["no-completion"]).is_empty();
    if safe && endless != truth.endless {
        return Err(format!("no-completion: said {endless}, true {}", truth.endless));
    }
    within("dead", &at(&["dead-element"]), &truth.dead, safe && !truth.endless)
}

#[test]
fn a_cycle_without_an_end_starves_nobody_who_could_end_all() {
    let model = Model::new(
        &[
            ("S", Kind::Start),
            ("F", Kind::Parallel),
            ("X", Kind::Exclusive),
            ("A", Kind::Task),
            ("B", Kind::Task),
            ("J", Kind::Parallel),
            ("M", Kind::Exclusive),
            ("C", Kind::Task),
            ("R", Kind::Exclusive),
            ("late", Kind::Boundary(4)),
            ("T", Kind::Terminate),
        ],
        &[
            ("S", "F"),
            ("F", "X"),
            ("X", "A"),
            ("X", "B"),
            ("A", "J"),
            ("B", "J"),
            ("J", "E"),
            ("late", "T"),
            ("F", "M"),
            ("M", "C"),
            ("C", "R"),
            ("R", "M"),
            ("R", "M"),
        ],
    );
    let found = findings(&model).unwrap();
    assert!(found.iter().any(|it| it.rule == "no-completion"), "{found:#?}");
    agree(&found, &game::play(&model, 2_000).unwrap()).unwrap();
}

#[test]
fn inclusive_joins_wait_for_what_can_come_and_for_nothing_else() {
    let joined = |split: Kind| {
        let model = Model::new(
            &[
                ("S", Kind::Start),
                ("G", split),
                ("A", Kind::Task),
                ("B", Kind::Task),
                ("J", Kind::Inclusive),
                ("C", Kind::Task),
            ],
            &[("S", "G"), ("G", "A"), ("G", "B"), ("A", "J"), ("B", "J"), ("J", "C"), ("C", "E")],
        );
        findings(&model).unwrap()
    };
    for split in [Kind::Inclusive, Kind::Exclusive, Kind::Parallel] {
        assert_eq!(joined(split), [], "{split:?}");
    }
    // two joins, each behind the other: neither can know that nothing more comes
    let model = Model::new(
        &[
            ("S", Kind::Start),
            ("F", Kind::Parallel),
            ("I", Kind::Inclusive),
            ("J", Kind::Inclusive),
            ("X", Kind::Exclusive),
            ("Y", Kind::Exclusive),
            ("A", Kind::Task),
            ("B", Kind::Task),
        ],
        &[
            ("S", "F"),
            ("F", "I"),
            ("F", "J"),
            ("I", "A"),
            ("A", "X"),
            ("X", "J"),
            ("X", "E"),
            ("J", "B"),
            ("B", "Y"),
            ("Y", "I"),
            ("Y", "E"),
        ],
    );
    let found = findings(&model).unwrap();
    assert!(found.iter().any(|it| it.rule == "deadlock"), "{found:#?}");
    agree(&found, &game::play(&model, 2_000).unwrap()).unwrap();
}

#[test]
fn a_finding_tells_the_run_that_leads_to_it() {
    let model = Model::new(
        &[("S", Kind::Start), ("G", Kind::Exclusive), ("A", Kind::Task), ("B", Kind::Task), ("J", Kind::Parallel)],
        &[("S", "G"), ("G", "A"), ("G", "B"), ("A", "J"), ("B", "J"), ("J", "E")],
    );
    let found = findings(&model).unwrap();
    let deadlock = found.iter().find(|it| it.rule == "deadlock").unwrap();
    let said = "parallel gateway `J` can wait for ever for a token on `f4`: `S` → `G` → `A`";
    let other = "parallel gateway `J` can wait for ever for a token on `f3`: `S` → `G` → `B`";
    assert!([said, other].contains(&deadlock.message.as_str()), "{}", deadlock.message);
}

#[test]
fn each_start_event_is_played_alone() {
    let model = Model::new(
        &[("S", Kind::Start), ("S2", Kind::Start), ("A", Kind::Task), ("B", Kind::Task), ("J", Kind::Parallel)],
        &[("S", "A"), ("S2", "B"), ("A", "J"), ("B", "J"), ("J", "E")],
    );
    let found: Vec<_> = findings(&model).unwrap().into_iter().map(|it| it.rule).collect();
    assert_eq!(found, ["dead-element", "deadlock"]);
}

#[test]
fn four_thousand_elements_are_decided_fast() {
    let mut random = Random(7);
    let blocks = Model::of_blocks(&mut random, 2_600);
    let mut changed = Model::of_blocks(&mut random, 2_600);
    (0..20).for_each(|_| changed.change(&mut random));
    let wide = Model::fork_of(1_300, &|it| format!("W{it}"));
    let retried = Model::retried(200, 8);
    for (name, model, sound) in
        [("blocks", &blocks, true), ("changed", &changed, false), ("wide", &wide, true), ("retried", &retried, true)]
    {
        let elements = model.nodes.len() + model.flows.len();
        let xml = model.xml();
        let started = Instant::now();
        let checked = check(xml.as_bytes(), &crate::fixtures::options());
        let took = started.elapsed();
        println!("{name}: {elements} elements in {took:?}");
        // 0.5 s in a release build on one core; tests run in debug builds on busy machines
        assert!(took < Duration::from_secs(20), "{name}: {elements} elements took {took:?}");
        assert!(elements > 3_500, "{name}: {elements}");
        if sound {
            let found = checked.unwrap().warnings;
            let found: Vec<_> = found.iter().filter(|it| RULES.contains(&it.rule)).collect();
            assert!(found.is_empty(), "{name}: {found:?}");
        }
    }
}

#[test]
fn what_costs_too_much_is_not_decided() {
    let model = Model::tangled(24);
    let started = Instant::now();
    let found = findings(&model).unwrap();
    let undecided = found.iter().filter(|it| it.rule == "soundness-undecided").count();
    assert_eq!(undecided, 1, "{found:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
