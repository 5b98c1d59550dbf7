//! After a pause flowd is heard first: what it said meanwhile (a swap, an end) comes before any offer or call.
//!
//! A process that was stopped and goes on (SIGSTOP, a frozen container, a suspended machine), or has just started,
//! holds old bindings, and finds offers waiting that were made under newer ones. So it opens its stream to flowd anew,
//! and nothing else is handled until flowd has greeted, which is where its bindings come, or cannot be reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{Engine, Fatal, Wake, now};
use crate::control::Event;

/// Time between two beats.
const BEAT: Duration = Duration::from_secs(1);
/// Without a beat for so long this process was stopped, milliseconds. A swap waits longer for an answer.
const STOPPED: u64 = 4_000;
/// How long flowd is waited for: without it the sidecar goes on.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// Notices that this process did not run for a while. Costs one wake-up a second, which the engine does not see.
#[derive(Debug)]
pub(super) struct Pulse {
    beats: Arc<Beats>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Beats {
    last: AtomicU64,
    pauses: AtomicU64,
}

impl Beats {
    fn beat(&self, now: u64) {
        let last = self.last.swap(now, Ordering::Relaxed);
        if now.saturating_sub(last) > STOPPED {
            self.pauses.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there was a pause since the last time this was asked.
    fn paused(&self, now: u64) -> bool {
        self.beat(now);
        self.pauses.swap(0, Ordering::Relaxed) > 0
    }
}

impl Pulse {
    pub(super) fn start() -> Self {
        let beats = Arc::new(Beats { last: AtomicU64::new(now()), pauses: AtomicU64::new(0) });
        let beating = beats.clone();
        let task = tokio::spawn(async move {
            loop {
                sleep(BEAT).await;
                beating.beat(now());
            }
        });
        Self { beats, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn paused(&self) -> bool {
        self.beats.paused(now())
    }
}

impl Engine {
    /// This process was stopped for a while: flowd is heard before anything else is done.
    pub(super) async fn resume(&mut self) -> Result<(), Fatal> {
        if !self.greeted {
            return Ok(());
        }
        tracing::info!("this process was stopped for a while; asking flowd what is new before going on");
        self.parts.control.reopen();
        let until = Instant::now() + HEARD_WITHIN;
        while self.greeted {
            let Ok(event) = timeout(until - Instant::now(), self.parts.control.next()).await else { return Ok(()) };
            // what the old stream still has is older than what the new one says first
            self.woken(Wake::Flowd(event))?;
        }
        self.hear(until).await
    }

    /// Waits until flowd has greeted, or cannot be reached.
    pub(super) async fn hear(&mut self, until: Instant) -> Result<(), Fatal> {
        while !self.greeted && self.end.is_none() && !self.parts.config.flowd.is_empty() {
            let Ok(event) = timeout(until - Instant::now(), self.parts.control.next()).await else { break };
            if matches!(event, Event::Unreachable) {
                break;
            }
            self.woken(Wake::Flowd(event))?;
        }
        Ok(())
    }

    /// The same at the start.
    pub(super) async fn hear_first(&mut self) -> Result<(), Fatal> {
        self.hear(Instant::now() + HEARD_WITHIN).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_noticed_once_by_whoever_runs_first() {
        let beats = Beats { last: AtomicU64::new(1_000), pauses: AtomicU64::new(0) };
        assert!(!beats.paused(1_000 + STOPPED));
        assert!(beats.paused(2_001 + 2 * STOPPED), "the engine ran first");
        assert!(!beats.paused(2_001 + 2 * STOPPED));
        beats.beat(9_000 + 3 * STOPPED);
        assert!(beats.paused(9_000 + 3 * STOPPED), "the beat came first");
        assert!(!beats.paused(8_000), "a clock that was set back is no pause");
    }
}
