//! The verdicts, from made-up measurements.

use std::time::Duration;

use super::*;

fn round(count: u64, latency: Duration, own: &[Duration]) -> Measured {
    Measured {
        latencies: vec![latency; usize::try_from(count).unwrap()],
        elapsed: Duration::from_secs(1),
        own: own.to_vec(),
        ..Measured::default()
    }
}

fn cell_of(kind: Kind, in_flight: usize, count: u64, latency: Duration) -> Cell {
    let own = [Duration::from_secs(9), Duration::from_millis(300), Duration::from_millis(300)];
    Cell { kind, in_flight, rounds: vec![round(count, latency, &own)] }
}

fn results(cells: Vec<Cell>) -> Results {
    Results { cells, syncs: vec![Duration::from_micros(100); 3], idle: None, after_burst: None, resident: Vec::new() }
}

fn count(verdicts: &[(String, Verdict)], wanted: Verdict) -> usize {
    verdicts.iter().filter(|(_, verdict)| *verdict == wanted).count()
}

#[test]
fn without_a_mesh_no_bar_is_judged() {
    let direct = cell_of(Kind::Direct, 32, 1000, Duration::from_micros(300));
    let verdicts = judge(&results(vec![direct]));
    assert_eq!(count(&verdicts, Verdict::Fail), 0);
    assert_eq!(count(&verdicts, Verdict::Pass), 1, "only the answers: {verdicts:?}");
}

#[test]
fn throughput_and_cpu_are_held_against_the_bars() {
    let ms = Duration::from_millis(1);
    let cells = |mesh| {
        vec![
            cell_of(Kind::Mesh, 32, mesh, ms),
            cell_of(Kind::Direct, 32, 7000, ms),
            cell_of(Kind::Envoy, 32, 2500, ms),
            cell_of(Kind::Restate, 32, 400, ms),
        ]
    };
    // 600 ms of sidecar CPU over 2500 instances of three hops: 80 us a hop, flowd not counted.
    let verdicts = judge(&results(cells(2500)));
    assert_eq!(count(&verdicts, Verdict::Pass), 5, "{verdicts:?}");
    let verdicts = judge(&results(cells(999)));
    assert_eq!(count(&verdicts, Verdict::Fail), 4, "{verdicts:?}");
}

#[test]
fn latency_alone_is_held_against_disk_and_restate() {
    let us = Duration::from_micros;
    let cells = |mesh| {
        vec![
            cell_of(Kind::Mesh, 1, 10, mesh),
            cell_of(Kind::Direct, 1, 10, us(100)),
            cell_of(Kind::Restate, 1, 10, us(4200)),
        ]
    };
    assert_eq!(count(&judge(&results(cells(us(1400)))), Verdict::Pass), 3);
    assert_eq!(count(&judge(&results(cells(us(1401)))), Verdict::Fail), 2);
}

#[test]
fn medians_and_ranks() {
    assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    let sorted: Vec<Duration> = (0..=100).map(Duration::from_millis).collect();
    assert_eq!(rank(&sorted, 0.99), Duration::from_millis(99));
    assert_eq!(rank(&[], 0.5), Duration::ZERO);
}
