//! How close commits come after each other, and whether one should wait for the next.

use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub struct Pace {
    last: Option<Instant>,
    gap: Duration,
}
fn x(name: &str, or: u32) -> u32 {
    std::env::var(name).ok().and_then(|it| it.parse().ok()).unwrap_or(or)
}
static F: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| x("X_F", 0));
static G: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| x("X_G", 150));

impl Default for Pace {
    fn default() -> Self {
        Self { last: None, gap: Duration::from_millis(10) }
    }
}
impl Pace {
    pub fn note(&mut self) {
        let now = Instant::now();
        let gap = self.last.map_or(Duration::from_millis(10), |last| now - last).min(Duration::from_millis(10));
        self.last = Some(now);
        self.gap = (self.gap * 7 + gap) / 8;
    }
    pub fn wait(&self, takes: Duration) -> Option<Duration> {
        let wait = (takes * *F / 10).min(Duration::from_micros(500));
        (wait >= Duration::from_micros(20) && self.gap * *G / 100 <= wait).then_some(wait)
    }
}
