//! What the simulated services do: pure functions of their input where the model says so.

use routing::mapping::Answer;
use routing::{Payload, step::CallFailure};

use super::faults::Fault;
use super::model::{Block, Work};
use super::reference::Variables;
use super::world::World;
use crate::random::mix;

/// The value that a task computes from its input.
pub(super) fn value(element: &str, input: &Variables) -> i64 {
    let text = input.iter().fold(seed(element), |h, (k, v)| mix(h ^ seed(k) ^ mix(*v as u64)));
    (text % 1000) as i64
}

/// Whether a task that errs does so on this input.
pub(super) fn errs(element: &str, input: &Variables) -> bool {
    value(element, input) % 3 == 0
}

/// What it answers: its value, a choice, how often it ran, and a key that every task writes.
pub(super) fn answer(element: &str, value: i64, input: &Variables) -> Variables {
    let count = format!("{element}_n");
    let times = input.get(&count).copied().unwrap_or(0) + 1;
    let last = (seed(element) % 1000) as i64;
    [(element.to_owned(), value), (format!("{element}_c"), value % 2), (count, times), ("last".to_owned(), last)].into()
}

fn seed(text: &str) -> u64 {
    text.bytes().fold(7, |h, b| mix(h ^ u64::from(b)))
}

/// How the model wants a task to behave.
pub(super) fn work(block: &Block, element: &str) -> Option<Work> {
    match block {
        Block::Task(e, work) => (*e == element).then_some(*work),
        Block::Loop(e) => (*e == element).then_some(Work::Pure),
        Block::Seq(blocks) | Block::Parallel(blocks) | Block::Fork(blocks) | Block::Race(blocks) => {
            blocks.iter().find_map(|b| work(b, element))
        }
        Block::Choice(_, a, b) => work(a, element).or_else(|| work(b, element)),
        Block::Wait(_) => None,
        Block::Caught(e, other) => {
            if *e == element {
                Some(Work::Erring)
            } else {
                work(other, element)
            }
        }
        Block::InTime(e, _, other) => {
            if *e == element {
                Some(Work::Slow)
            } else {
                work(other, element)
            }
        }
    }
}

/// The end of a call: when, and how.
pub(super) fn call(
    world: &mut World,
    work: Work,
    element: &str,
    body: &[u8],
    timeout: u64,
) -> (u64, Result<Answer, CallFailure>) {
    let random = &mut world.random;
    let quick = random.between(1, 4_000);
    let mut after = quick;
    let input: Variables = serde_json::from_slice(body).unwrap_or_default();
    if world.faults.hit(Fault::TaskRefused, random) {
        return (quick, Err(CallFailure::Down("connection refused".into())));
    }
    if world.faults.hit(Fault::TaskHangs, random) {
        return (timeout * 1000, Err(CallFailure::TimedOut));
    }
    if world.faults.hit(Fault::TaskSlow, random) {
        after += random.between(5_000, 300_000);
    }
    if work == Work::Slow {
        after += random.below(800_000);
    }
    if world.faults.hit(Fault::TaskBroken, random) {
        return (after, Err(CallFailure::Broken("connection reset".into())));
    }
    if world.faults.hit(Fault::TaskUnavailable, random) {
        let retry_after = random.chance(50_000).then_some(61_000);
        return (after, Ok(Answer { status: 503, retry_after, ..Answer::default() }));
    }
    if work != Work::Erring && world.faults.hit(Fault::TaskError, random) {
        return (after, Ok(Answer { status: 400, ..Answer::default() }));
    }
    if work == Work::Erring && errs(element, &input) {
        return (after, Ok(Answer { status: 422, error_code: Some("ERRING".into()), ..Answer::default() }));
    }
    let value = if work == Work::Fickle { random.below(1000) as i64 } else { value(element, &input) };
    let body = serde_json::to_value(answer(element, value, &input)).unwrap_or_default();
    (after, Ok(Answer { status: 200, payload: Payload::json(&body), ..Answer::default() }))
}
