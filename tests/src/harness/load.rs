//! Instances started at a steady rate over HTTP, each by a key of its own, insisted on until it is accepted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::http::post;
use super::wait::PATIENCE;

/// Time before a start that failed is tried again.
const AGAIN: Duration = Duration::from_millis(30);

/// A running load.
pub struct Load {
    accepted: Arc<Mutex<BTreeMap<u64, String>>>,
    stop: watch::Sender<bool>,
    starting: JoinHandle<()>,
}

impl Load {
    /// Starts instances at `url` (`http://HOST:PORT/start/ID`): the n-th with `payload(n)` and the key `NAME-n`.
    pub fn start(url: String, name: &'static str, per_second: u32, payload: fn(u64) -> Value) -> Self {
        let accepted = Arc::<Mutex<BTreeMap<u64, String>>>::default();
        let (stop, stopped) = watch::channel(false);
        let starting = tokio::spawn(generate(url, name, per_second, payload, accepted.clone(), stopped));
        Self { accepted, stop, starting }
    }

    /// Number and instance id of each start that was accepted so far.
    pub fn accepted(&self) -> BTreeMap<u64, String> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts nothing new, and waits until all that was started has been accepted.
    pub async fn stop(self) -> BTreeMap<u64, String> {
        self.stop.send_replace(true);
        match timeout(PATIENCE, self.starting).await {
            Ok(ended) => ended.unwrap(),
            Err(_) => panic!("starts are not accepted"),
        }
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn generate(
    url: String,
    name: &'static str,
    per_second: u32,
    payload: fn(u64) -> Value,
    accepted: Arc<Mutex<BTreeMap<u64, String>>>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut starts = JoinSet::new();
    let mut pace = interval(Duration::from_secs(1) / per_second);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0_u64.. {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            _ = pace.tick() => {}
        }
        let (url, accepted) = (url.clone(), accepted.clone());
        starts.spawn(async move {
            let id = insist(&url, &format!("{name}-{n}"), &payload(n)).await;
            accepted.lock().unwrap_or_else(PoisonError::into_inner).insert(n, id);
        });
        while let Some(ended) = starts.try_join_next() {
            ended.unwrap();
        }
    }
    while let Some(ended) = starts.join_next().await {
        ended.unwrap();
    }
}

/// The id of the instance, whatever stands in the way of its start.
async fn insist(url: &str, key: &str, payload: &Value) -> String {
    loop {
        match post(url, &[("idempotency-key", key)], payload).await {
            Ok(reply) if reply.status == 200 => return reply.json()["id"].as_str().unwrap().to_owned(),
            Ok(reply) if reply.status < 500 && reply.status != 429 => panic!("start refused: {}", reply.text()),
            // flowd is away, or comes up.
            Ok(_) | Err(_) => sleep(AGAIN).await,
        }
    }
}
