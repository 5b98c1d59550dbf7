//! The bars: what the figures of one run must show, each against other figures of the same run.

use std::time::Duration;

use super::load::Measured;
use super::rounds::{Cell, Results};
use super::side::Kind;

/// What an idle sidecar may hold, in bytes.
const IDLE_RESIDENT: u64 = 12 * 1024 * 1024;
/// What a sidecar may hold after a burst, in bytes.
pub(crate) const BURST_RESIDENT: u64 = 24 * 1024 * 1024;
/// The share of one CPU that still counts as burning none (the clock of `/proc` ticks at 10 ms).
const IDLE_SHARE: f64 = 0.002;
/// What one durable hop may cost in sidecar CPU.
const HOP_CPU: Duration = Duration::from_micros(80);
/// Tasks, and so hops, of an instance.
const HOPS: u32 = 3;
/// The number in flight of the throughput bars.
const MANY: usize = 32;

/// How a bar came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Fail,
    /// A side that it needs did not run.
    Skip,
}

impl Verdict {
    /// As the report prints it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
        }
    }
}

/// Each bar as a sentence with its figures, and how it came out.
pub(crate) fn judge(results: &Results) -> Vec<(String, Verdict)> {
    let mut verdicts = vec![
        throughput(results, Kind::Envoy, 1.0, "the throughput of (b) Envoy"),
        throughput(results, Kind::Direct, 1.0 / 7.0, "a seventh of (a) direct"),
        throughput(results, Kind::Restate, 6.0, "6x (c) Restate"),
        alone_against_disk(results),
        alone_against_restate(results),
        hop_cpu(results),
    ];
    verdicts.extend(memory(results));
    verdicts.push(answers(results));
    verdicts
}

/// Median of the rounds' throughputs, in instances per second.
pub(crate) fn throughput_of(cell: &Cell) -> f64 {
    median(cell.rounds.iter().map(per_second).collect())
}

/// Median of the rounds' quantiles.
pub(crate) fn latency_of(cell: &Cell, quantile: f64) -> Duration {
    let of = |round: &Measured| rank(&round.latencies, quantile).as_secs_f64();
    Duration::from_secs_f64(median(cell.rounds.iter().map(of).collect()))
}

/// A quantile of sorted values; zero of none.
pub(crate) fn rank(sorted: &[Duration], quantile: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * quantile).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// Median raw fdatasync of the run.
pub(crate) fn sync_of(results: &Results) -> Duration {
    let mut syncs = results.syncs.clone();
    syncs.sort_unstable();
    rank(&syncs, 0.5)
}

/// CPU time per instance over all rounds, of whatever `of` selects.
pub(crate) fn cpu_per_instance(cell: &Cell, of: impl Fn(&Measured) -> Duration) -> Duration {
    let instances: usize = cell.rounds.iter().map(|round| round.latencies.len()).sum();
    let total: Duration = cell.rounds.iter().map(of).sum();
    total.div_f64(instances.max(1) as f64)
}

fn per_second(round: &Measured) -> f64 {
    round.latencies.len() as f64 / round.elapsed.as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

fn cell(results: &Results, kind: Kind, in_flight: usize) -> Option<&Cell> {
    results.cells.iter().find(|cell| cell.kind == kind && cell.in_flight == in_flight)
}

fn verdict(passed: bool) -> Verdict {
    if passed { Verdict::Pass } else { Verdict::Fail }
}

fn throughput(results: &Results, other: Kind, factor: f64, bar: &str) -> (String, Verdict) {
    let name = format!("at {MANY} in flight at least {bar}");
    let pair = cell(results, Kind::Mesh, MANY).zip(cell(results, other, MANY));
    let Some((mesh, other)) = pair else {
        return (name, Verdict::Skip);
    };
    let (mesh, other) = (throughput_of(mesh), throughput_of(other));
    let ratio = mesh / other;
    (format!("{name}: {mesh:.0}/s against {other:.0}/s, {ratio:.2}x"), verdict(ratio >= factor))
}

fn alone_against_disk(results: &Results) -> (String, Verdict) {
    let name = "alone, p50 at most 8 fdatasyncs plus 6x (a) direct".to_owned();
    let pair = cell(results, Kind::Mesh, 1).zip(cell(results, Kind::Direct, 1));
    let Some((mesh, direct)) = pair else {
        return (name, Verdict::Skip);
    };
    let (mesh, direct) = (latency_of(mesh, 0.5), latency_of(direct, 0.5));
    let most = sync_of(results) * 8 + direct * 6;
    (format!("{name}: {mesh:.1?} against {most:.1?}"), verdict(mesh <= most))
}

fn alone_against_restate(results: &Results) -> (String, Verdict) {
    let name = "alone, p50 at most a third of (c) Restate".to_owned();
    let pair = cell(results, Kind::Mesh, 1).zip(cell(results, Kind::Restate, 1));
    let Some((mesh, restate)) = pair else {
        return (name, Verdict::Skip);
    };
    let (mesh, restate) = (latency_of(mesh, 0.5), latency_of(restate, 0.5));
    (format!("{name}: {mesh:.1?} against {restate:.1?}"), verdict(mesh * 3 <= restate))
}

fn hop_cpu(results: &Results) -> (String, Verdict) {
    let name = format!("a durable hop costs at most {HOP_CPU:?} of sidecar CPU at {MANY} in flight");
    let Some(mesh) = cell(results, Kind::Mesh, MANY) else {
        return (name, Verdict::Skip);
    };
    // flowd is the first of the mesh's processes.
    let cost = cpu_per_instance(mesh, |round| round.own.iter().skip(1).sum()) / HOPS;
    (format!("{name}: {cost:.1?}"), verdict(cost <= HOP_CPU))
}

fn memory(results: &Results) -> [(String, Verdict); 3] {
    let held = "an idle sidecar holds at most 12 MiB".to_owned();
    let burnt = "an idle sidecar burns no CPU".to_owned();
    let burst = "at most 24 MiB after 256 bodies of 64 KiB".to_owned();
    let (held, burnt) = match results.idle {
        Some(idle) => {
            let share = idle.cpu.as_secs_f64() / idle.over.as_secs_f64();
            (
                (format!("{held}: {}", mib(idle.resident)), verdict(idle.resident <= IDLE_RESIDENT)),
                (format!("{burnt}: {:?} in {:?}", idle.cpu, idle.over), verdict(share <= IDLE_SHARE)),
            )
        }
        None => ((held, Verdict::Skip), (burnt, Verdict::Skip)),
    };
    let burst = match results.after_burst {
        Some(bytes) => (format!("{burst}: {}", mib(bytes)), verdict(bytes <= BURST_RESIDENT)),
        None => (burst, Verdict::Skip),
    };
    [held, burnt, burst]
}

fn answers(results: &Results) -> (String, Verdict) {
    let rounds = results.cells.iter().flat_map(|cell| &cell.rounds);
    let failures: usize = rounds.map(|round| round.failures).sum();
    (format!("every answer is right: {failures} were not"), verdict(failures == 0))
}

/// Bytes for people.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

#[cfg(test)]
mod tests;
