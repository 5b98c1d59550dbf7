//! Waiting for conditions, and what the environment says about the size of a run.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take that takes milliseconds on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(25);

/// Asks `look` until it answers with something; panics with its last complaint after `limit`.
pub async fn eventually<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look().await {
            Ok(answer) => return answer,
            Err(complaint) if Instant::now() >= deadline => panic!("{what}: not within {limit:?}: {complaint}"),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Whether the long versions of tests were asked for (`FLOW_FULL=1`).
pub fn full() -> bool {
    std::env::var("FLOW_FULL").is_ok_and(|value| value != "0")
}

/// A number from the environment.
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}: a number")))
}

/// The seed of a random test, printed so that it can be given again as `FLOW_SEED`.
pub fn seed() -> u64 {
    let seed = number("FLOW_SEED").unwrap_or_else(rand::random);
    println!("replay with FLOW_SEED={seed}");
    seed
}
