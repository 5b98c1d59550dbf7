//! Durations in buckets, counted without locks.

use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Format;

/// Bounds of the buckets in microseconds: from what a hop in memory takes to what a long wait does.
const BOUNDS: [u64; 16] = [
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    30_000_000,
    120_000_000,
];
/// The same, for waits that people and dates end.
const LONG: [u64; 14] = [
    10_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    15_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    14_400_000_000,
    86_400_000_000,
    604_800_000_000,
    2_592_000_000_000,
];

/// The trace that a duration was measured in, and when (milliseconds since 1970).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// Its trace id, not zero.
    pub trace: u128,
    /// When it was measured.
    pub at: u64,
}

/// Durations with the same labels. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Histogram {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    bounds: &'static [u64],
    buckets: Box<[Bucket]>,
    micros: AtomicU64,
}

#[derive(Debug, Default)]
struct Bucket {
    count: AtomicU64,
    exemplar: Kept,
}

/// An exemplar that one thread replaces while another reads: `turn` is odd meanwhile, and whoever comes second leaves it.
#[derive(Debug, Default)]
struct Kept {
    turn: AtomicU64,
    high: AtomicU64,
    low: AtomicU64,
    micros: AtomicU64,
    at: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| Bucket::default()).collect();
        Self { inner: Arc::new(Inner { bounds, buckets, micros: AtomicU64::new(0) }) }
    }

    /// Counts a duration, without an exemplar.
    pub fn observe(&self, took: Duration) {
        self.count(took);
    }

    /// Counts a duration that was measured in a trace.
    pub fn observe_in(&self, took: Duration, exemplar: Exemplar) {
        let (bucket, micros) = self.count(took);
        bucket.exemplar.put(micros, exemplar);
    }

    fn count(&self, took: Duration) -> (&Bucket, u64) {
        let Inner { bounds, buckets, micros: sum } = &*self.inner;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = &buckets[bounds.partition_point(|bound| *bound < micros)];
        bucket.count.fetch_add(1, Ordering::Relaxed);
        sum.fetch_add(micros, Ordering::Relaxed);
        (bucket, micros)
    }

    fn write(&self, to: &mut String, name: &str, labels: &str, format: Format) -> fmt::Result {
        let Inner { bounds, buckets, micros } = &*self.inner;
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (nth, bucket) in buckets.iter().enumerate() {
            count += bucket.count.load(Ordering::Relaxed);
            write!(to, "{name}_bucket{{{labels}{comma}le=\"")?;
            match bounds.get(nth) {
                Some(bound) => write!(to, "{:?}", seconds(*bound))?,
                None => to.push_str("+Inf"),
            }
            write!(to, "\"}} {count}")?;
            if let (Format::OpenMetrics, Some((micros, Exemplar { trace, at }))) = (format, bucket.exemplar.get()) {
                let (value, at) = (seconds(micros), Duration::from_millis(at).as_secs_f64());
                write!(to, " # {{trace_id=\"{trace:032x}\"}} {value} {at:.3}")?;
            }
            to.push('\n');
        }
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        writeln!(to, "{name}_sum{labels} {}", seconds(micros.load(Ordering::Relaxed)))?;
        writeln!(to, "{name}_count{labels} {count}")
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

impl Kept {
    fn put(&self, micros: u64, exemplar: Exemplar) {
        let turn = self.turn.load(Ordering::Relaxed);
        let free = turn.is_multiple_of(2);
        if !free || self.turn.compare_exchange(turn, turn + 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        fence(Ordering::Release);
        self.high.store((exemplar.trace >> 64) as u64, Ordering::Relaxed);
        self.low.store(exemplar.trace as u64, Ordering::Relaxed);
        self.micros.store(micros, Ordering::Relaxed);
        self.at.store(exemplar.at, Ordering::Relaxed);
        self.turn.store(turn + 2, Ordering::Release);
    }

    /// `None` before the first, and while it is being replaced.
    fn get(&self) -> Option<(u64, Exemplar)> {
        let turn = self.turn.load(Ordering::Acquire);
        let (high, low) = (self.high.load(Ordering::Relaxed), self.low.load(Ordering::Relaxed));
        let (micros, at) = (self.micros.load(Ordering::Relaxed), self.at.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let whole = turn != 0 && turn.is_multiple_of(2) && self.turn.load(Ordering::Relaxed) == turn;
        whole.then(|| (micros, Exemplar { trace: (u128::from(high) << 64) | u128::from(low), at }))
    }
}

/// The histograms of one name, one for each combination of labels. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Family {
    inner: Arc<OfName>,
}

#[derive(Debug)]
struct OfName {
    /// With its unit, which is seconds.
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    bounds: &'static [u64],
    /// By their labels as they are written.
    series: Mutex<Vec<(String, Histogram)>>,
}

impl Family {
    /// Of durations that machines determine. `name` ends in `_seconds`.
    #[must_use]
    pub fn new(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self::of(name, help, labels, &BOUNDS)
    }

    /// Of durations that may be days.
    #[must_use]
    pub fn long(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self::of(name, help, labels, &LONG)
    }

    fn of(name: &'static str, help: &'static str, labels: &'static [&'static str], bounds: &'static [u64]) -> Self {
        Self { inner: Arc::new(OfName { name, help, labels, bounds, series: Mutex::default() }) }
    }

    /// The histogram with these values of the labels, in their order. Takes a lock and allocates: keep what it gives.
    #[must_use]
    pub fn with(&self, values: &[&str]) -> Histogram {
        let mut labels = String::new();
        for (name, value) in self.inner.labels.iter().zip(values) {
            let comma = if labels.is_empty() { "" } else { "," };
            let _ = write!(labels, "{comma}{name}=\"{}\"", escaped(value));
        }
        let mut series = self.inner.series.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = series.iter().find(|(known, _)| *known == labels) {
            return known.clone();
        }
        let histogram = Histogram::new(self.inner.bounds);
        series.push((labels, histogram.clone()));
        histogram
    }

    /// Appends it to a page of metrics; nothing if it has no series.
    pub(super) fn write(&self, to: &mut String, format: Format) -> fmt::Result {
        let OfName { name, help, series, .. } = &*self.inner;
        let series = series.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if series.is_empty() {
            return Ok(());
        }
        writeln!(to, "# HELP {name} {help}.")?;
        writeln!(to, "# TYPE {name} histogram")?;
        if format == Format::OpenMetrics {
            writeln!(to, "# UNIT {name} seconds")?;
        }
        series.iter().try_for_each(|(labels, histogram)| histogram.write(to, name, labels, format))
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
