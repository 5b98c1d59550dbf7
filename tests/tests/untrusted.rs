//! Bytes from outside do no harm: the fuzz targets' own checks, over their corpus, the models of the tests, and thousands of mutations.
//! The seed is printed; `UNTRUSTED_SEED` and `UNTRUSTED_CASES` repeat a run or make it longer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hop::{Assignment, Origin};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use routing::{
    ActivationId, Digest, Incarnation, InstanceId, Payload, Product, To, Token, TraceContext, Weight, Written,
};
use sidecar::record::Record;

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "a library where the fuzz targets use it")]
mod targets;

/// No single input may take longer, in a debug build on a loaded machine.
const LONGEST: Duration = Duration::from_secs(5);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files of a folder below the project's, in order.
fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = root().join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|it| it.unwrap().path()).filter(|it| it.is_file()).collect();
    paths.sort();
    paths.iter().map(|it| std::fs::read(it).unwrap()).collect()
}

/// One to six edits, in half of the cases one: bytes cut, repeated, exchanged, or taken from another input.
fn mutated(random: &mut StdRng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = inputs.choose(random).unwrap().clone();
    let edits = if random.random() { 1 } else { random.random_range(2..=6) };
    for _ in 0..edits {
        let at = random.random_range(0..=bytes.len());
        let end = (at + random.random_range(0..40)).min(bytes.len());
        match random.random_range(0..5) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let piece = bytes[at..end].to_vec();
                let to = random.random_range(0..=bytes.len());
                drop(bytes.splice(to..to, piece));
            }
            2 if at < bytes.len() => bytes[at] = random.random(),
            3 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            _ => {
                let other = inputs.choose(random).unwrap();
                let from = random.random_range(0..=other.len());
                let until = (from + random.random_range(0..60)).min(other.len());
                drop(bytes.splice(at..end, other[from..until].to_vec()));
            }
        }
    }
    bytes
}

/// Runs a target over the inputs and `cases` mutations of them.
fn run(name: &str, inputs: &[Vec<u8>], cases: u64, target: fn(&[u8])) {
    assert!(!inputs.is_empty(), "{name} has no corpus");
    let seed: u64 = std::env::var("UNTRUSTED_SEED").map_or_else(|_| rand::random(), |it| it.parse().unwrap());
    let cases = std::env::var("UNTRUSTED_CASES").map_or(cases, |it| it.parse().unwrap());
    println!("{name}: UNTRUSTED_SEED={seed}");
    let guarded = |case: u64, bytes: &[u8]| {
        let started = Instant::now();
        let outcome = std::panic::catch_unwind(|| target(bytes));
        let shown = String::from_utf8_lossy(bytes);
        assert!(outcome.is_ok(), "{name}: UNTRUSTED_SEED={seed} case {case} panics on\n{shown}");
        assert!(started.elapsed() < LONGEST, "{name}: UNTRUSTED_SEED={seed} case {case} takes too long on\n{shown}");
    };
    inputs.iter().for_each(|it| guarded(0, it));
    for case in 1..=cases {
        let mut random = StdRng::seed_from_u64(seed ^ case.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        guarded(case, &mutated(&mut random, inputs));
    }
}

/// The tables of the models that are accepted.
fn tables() -> Vec<Vec<u8>> {
    let models = files("bpmn/tests/accept");
    let checked = models.iter().filter_map(|it| bpmn::check(it, &bpmn::Options::default()).ok());
    let definitions = checked.flat_map(|it| it.definitions);
    definitions.flat_map(|it| it.tasks.into_values().chain([it.ledger])).map(|it| it.bytes).collect()
}

#[test]
fn expressions_do_no_harm() {
    run("expression", &files("fuzz/corpus/expression"), 30_000, targets::expression);
}

#[test]
fn models_do_no_harm() {
    let inputs: Vec<_> =
        ["fuzz/corpus/model", "bpmn/tests/accept", "bpmn/tests/reject"].into_iter().flat_map(files).collect();
    run("model", &inputs, 8_000, targets::model);
}

#[test]
fn decisions_do_no_harm() {
    let inputs: Vec<_> = ["fuzz/corpus/decisions", "bpmn/tests/dmn/accept", "bpmn/tests/dmn/reject"]
        .into_iter()
        .flat_map(files)
        .collect();
    run("decisions", &inputs, 6_000, targets::decisions);
}

#[test]
fn forms_do_no_harm() {
    run("form", &files("fuzz/corpus/form"), 10_000, targets::form);
}

#[test]
fn tables_do_no_harm() {
    let mut inputs = tables();
    inputs.extend(files("fuzz/corpus/table"));
    run("table", &inputs, 10_000, targets::table);
}

#[test]
fn records_do_no_harm() {
    let mut inputs = records();
    inputs.extend(files("fuzz/corpus/record"));
    run("record", &inputs, 30_000, targets::record);
}

/// A record of each kind, in bytes.
fn records() -> Vec<Vec<u8>> {
    let instance = InstanceId::from("P-00000000-1");
    let root = ActivationId::root(&instance);
    let activation = ActivationId::product(&instance, root, "f1", 0);
    let token = Token {
        instance: instance.clone(),
        definition: Digest::of(b"definition"),
        element: "A".into(),
        flow: Some("f1".into()),
        activation,
        key: activation,
        parent: root,
        scope: root,
        generation: 1,
        attempts: 2,
        weight: Weight::one(),
        written: Written::default(),
        pools: Vec::new(),
        emitted: 3,
        trace: TraceContext::default(),
        payload: Payload::default(),
    };
    let sender = Incarnation(7);
    let origin = Origin { sender, seq: 7 };
    let product = Product { token: token.clone(), to: To::Ledger };
    let products = vec![Assignment { product: product.into(), replica: Some(sender), seq: 9 }];
    let kinds = [
        Record::Accepted { token: token.into(), origin, activated: 4 },
        Record::Decided { activation, instance, origin: Some(origin), products },
        Record::Reassigned { activation, replica: Some(sender), seq: 5 },
        Record::Done(activation),
        Record::Released { sender, watermark: 6 },
        Record::Numbered { replica: sender, next: 8 },
        Record::Leaving,
    ];
    kinds.into_iter().map(|it| it.encode().to_vec()).collect()
}

/// What was once written to the corpus is still read: journals and tables outlive the program that wrote them.
#[test]
fn the_corpus_is_readable() {
    for bytes in files("fuzz/corpus/record") {
        Record::decode(Bytes::from(bytes)).expect("a record of the corpus");
    }
    for bytes in files("fuzz/corpus/table") {
        routing::table::RoutingTable::from_bytes(&bytes).expect("a table of the corpus");
    }
}
