//! The figures for people, on standard output.

use std::time::Duration;

use super::bars::{Verdict, cpu_per_instance, latency_of, mib, sync_of, throughput_of};
use super::rounds::Results;

/// Prints one line per side and number in flight.
pub(crate) fn table(results: &Results, lean_services: bool) {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let services = if lean_services { "lean services" } else { "example-service echo (hyper, JSON)" };
    println!("three tasks on loopback, each {services}; medians over the rounds; CPUs: {cpus}");
    println!("raw fdatasync of 1 KiB: p50 {:.1?}", sync_of(results));
    println!();
    println!(
        "{:<9}{:>7}{:>11}{:>11}{:>9}  {:>9}{:>9}{:>9}  {:>9}",
        "side", "flight", "p50", "p99", "inst/s", "own", "services", "client", "resident"
    );
    println!("{:>49}{:^27}", "", "CPU per instance");
    for cell in &results.cells {
        let held = results.resident.iter().find(|(kind, _)| *kind == cell.kind);
        let bytes: u64 = held.iter().flat_map(|(_, held)| held).map(|(_, bytes)| bytes).sum();
        println!(
            "{:<9}{:>7}{:>11}{:>11}{:>9.0}  {:>9}{:>9}{:>9}  {:>9}",
            cell.kind.name(),
            cell.in_flight,
            time(latency_of(cell, 0.5)),
            time(latency_of(cell, 0.99)),
            throughput_of(cell),
            time(cpu_per_instance(cell, |round| round.own.iter().sum())),
            time(cpu_per_instance(cell, |round| round.services)),
            time(cpu_per_instance(cell, |round| round.client)),
            mib(bytes),
        );
    }
    println!();
    for (kind, held) in results.resident.iter().filter(|(_, held)| !held.is_empty()) {
        let held: Vec<String> = held.iter().map(|(name, bytes)| format!("{name} {}", mib(*bytes))).collect();
        println!("resident after the load, {}: {}", kind.name(), held.join(", "));
    }
}

/// Prints each bar and how it came out.
pub(crate) fn verdicts(verdicts: &[(String, Verdict)]) {
    println!();
    for (bar, verdict) in verdicts {
        println!("{} {bar}", verdict.name());
    }
}

fn time(duration: Duration) -> String {
    let micros = duration.as_secs_f64() * 1e6;
    if micros < 1000.0 { format!("{micros:.0} us") } else { format!("{:.2} ms", micros / 1000.0) }
}
