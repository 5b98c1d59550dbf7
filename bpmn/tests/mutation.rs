//! Whatever is done to a file, the compiler answers: never a panic, never for long.

use std::time::{Duration, Instant};

use flow_bpmn::check;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// One edit of a file, places as fractions of its length.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Cut(u16, u16),
    Insert(u16, &'static str),
    Copy(u16, u16, u16),
    Swap(u16, u16),
}

/// What breaks parsers and compilers when it stands at the wrong place.
const PIECES: &[&str] = &[
    "<",
    ">",
    "/>",
    "&",
    "&amp;",
    "&#x41;",
    "]]>",
    "<![CDATA[",
    "<!--",
    "-->",
    "\"",
    "'",
    "id=\"S\"",
    " xmlns=\"\"",
    "<process>",
    "</process>",
    "<subProcess id=\"x\">",
    "</subProcess>",
    "\u{1f600}",
    "\0",
    "T",
    "f1",
    "=",
    "${",
    "{",
    "rexflow:",
    "\n  ",
    "- ",
    "default=\"f1\"",
    "attachedToRef=\"B\"",
    "<timerEventDefinition/>",
    "99999999999",
];

pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<u16>(), 0..400_u16).prop_map(|(at, length)| Edit::Cut(at, length)),
        (any::<u16>(), prop::sample::select(PIECES)).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (any::<u16>(), 0..400_u16, any::<u16>()).prop_map(|(from, length, to)| Edit::Copy(from, length, to)),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| Edit::Swap(a, b)),
    ]
}

pub(crate) fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    let place = |at: u16, length: usize| usize::from(at) * length / 65_536;
    match edit {
        Edit::Cut(at, length) => {
            let from = place(*at, bytes.len());
            bytes.drain(from..(from + usize::from(*length)).min(bytes.len()));
        }
        Edit::Insert(at, piece) => {
            let at = place(*at, bytes.len());
            bytes.splice(at..at, piece.bytes());
        }
        Edit::Copy(from, length, to) => {
            let from = place(*from, bytes.len());
            let copied = bytes[from..(from + usize::from(*length)).min(bytes.len())].to_vec();
            let to = place(*to, bytes.len());
            bytes.splice(to..to, copied);
        }
        Edit::Swap(a, b) if !bytes.is_empty() => {
            let (a, b) = (place(*a, bytes.len()), place(*b, bytes.len()));
            bytes.swap(a, b);
        }
        Edit::Swap(..) => {}
    }
}

#[test]
fn mutated_models_never_make_it_panic() {
    let seed: u64 = match std::env::var("BPMN_MUTATION_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("BPMN_MUTATION_SEED={seed}");
    let files: Vec<_> = ["accept", "reject"]
        .iter()
        .flat_map(|it| crate::fixtures::files(it))
        .map(|it| std::fs::read(it).unwrap())
        .collect();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let cases = std::env::var("BPMN_MUTATION_CASES").map_or(3_000, |it| it.parse().unwrap());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mutated = (prop::sample::select(files), prop::collection::vec(edit(), 1..8));
    let outcome = TestRunner::new_with_rng(config, rng).run(&mutated, |(mut xml, edits)| {
        edits.iter().for_each(|it| apply(&mut xml, it));
        let started = Instant::now();
        match check(&xml, &crate::fixtures::options()) {
            Ok(checked) => prop_assert!(!checked.definitions.is_empty()),
            Err(findings) => prop_assert!(findings.iter().any(|it| it.is_error())),
        }
        prop_assert!(started.elapsed() < Duration::from_secs(2));
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("BPMN_MUTATION_SEED={seed}: {error}");
    }
}
