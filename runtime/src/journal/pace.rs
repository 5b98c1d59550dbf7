//! How close commits are asked for after each other, and whether one is worth holding back for the next.
//!
//! A sync costs the same whether it carries one record or ten, and several journals on one disk wait for each other's. Where records come about as
//! fast as the disk syncs them, a commit that waits for a sync's length carries several, and all of them are durable sooner than if each
//! had its own. Where they come seldom, waiting would only be waiting. It goes by the rate alone: one caller that asks again at once, time after
//! time, is held back by half of what it does. Pure; whoever commits does the waiting.

use std::time::{Duration, Instant};

/// A sync that takes longer gathers enough while it lasts, and is no business of the owner's thread.
pub const FAST_SYNC: Duration = Duration::from_micros(500);
/// Holding back for less costs more than it brings.
const SHORTEST: Duration = Duration::from_micros(20);
/// A pause of this length says no more than that there was one.
const PAUSE: Duration = Duration::from_millis(10);

/// See the module's text.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    last: Option<Instant>,
    /// Between one and the next, the last few counting most.
    gap: Duration,
}

// === impl Pace ===

impl Default for Pace {
    fn default() -> Self {
        Self { last: None, gap: PAUSE }
    }
}

impl Pace {
    /// A commit is asked for.
    pub fn asked(&mut self, now: Instant) {
        let gap = self.last.map_or(PAUSE, |last| now.saturating_duration_since(last).min(PAUSE));
        self.gap = (self.gap * 7 + gap) / 8;
        self.last = Some(now);
    }

    /// How long a commit is worth holding back when a sync takes `sync`: as long again, if the next one is to be expected about then.
    pub fn holds(&self, sync: Duration) -> Option<Duration> {
        let pays = (SHORTEST..=FAST_SYNC).contains(&sync) && self.gap <= sync * 5;
        pays.then_some(sync)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_micros(90);

    /// Whether a commit waits after so many, `gap` microseconds apart.
    fn held(gap: u64, many: u64) -> Option<Duration> {
        let (mut pace, start) = (Pace::default(), Instant::now());
        (0..many).for_each(|it| pace.asked(start + Duration::from_micros(it * gap)));
        pace.holds(SYNC)
    }

    #[test]
    fn commits_that_come_about_as_fast_as_the_disk_syncs_wait_for_each_other() {
        assert_eq!(held(200, 100), Some(SYNC));
        assert_eq!(held(20, 100), Some(SYNC));
    }

    #[test]
    fn a_commit_that_is_alone_waits_for_nobody() {
        assert_eq!(held(1_000, 1_000), None);
        assert_eq!(held(0, 1), None, "the first one");
    }

    #[test]
    fn after_a_pause_the_next_commits_do_not_wait() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        (0..100).for_each(|it| pace.asked(start + Duration::from_micros(it * 50)));
        pace.asked(start + Duration::from_secs(1));
        assert_eq!(pace.holds(SYNC), None);
    }

    #[test]
    fn neither_a_disk_that_is_slow_nor_one_that_syncs_in_no_time_makes_anybody_wait() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        (0..100).for_each(|it| pace.asked(start + Duration::from_micros(it * 10)));
        assert_eq!(pace.holds(FAST_SYNC * 2), None);
        assert_eq!(pace.holds(Duration::from_micros(1)), None);
        assert_eq!(pace.holds(FAST_SYNC), Some(FAST_SYNC));
    }
}
