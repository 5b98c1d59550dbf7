//! The deterministic simulation: the real cores of some sidecars and of flowd, the real journal records and
//! framing and the ledger's stored form, over a simulated network, disks and clock, in one thread.
//!
//! Everything that happens in a run follows from its seed. A run lets things go wrong for some seconds of
//! virtual time, then heals everything, lets operators start what waits, and checks what came of it. It does
//! not simulate the shells: gRPC, tokio, HTTP; those have tests with real processes.

mod check;
mod client;
mod disk;
mod faults;
mod flowd;
mod model;
mod network;
mod reference;
mod sidecar;
mod task;
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use ::sidecar::core::Switches;
use clap::Parser;

pub use faults::Fault;

use world::{Event, FLOWD, World};

/// A rule that is switched off, to show that the simulation notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutant {
    /// Every offer is taken as new.
    NoDedup,
    /// Products leave before their record is on disk.
    NoWait,
    /// Offers are accepted before they are on disk.
    EarlyAccept,
    /// Another replica is chosen whenever a link breaks.
    NotSticky,
}

impl Mutant {
    /// Every mutant.
    pub const ALL: [Self; 4] = [Self::NoDedup, Self::NoWait, Self::EarlyAccept, Self::NotSticky];

    fn switch(self, switches: &mut Switches) {
        match self {
            Self::NoDedup => switches.no_dedup = true,
            Self::NoWait => switches.no_wait = true,
            Self::EarlyAccept => switches.early_accept = true,
            Self::NotSticky => switches.not_sticky = true,
        }
    }
}

/// What came of one seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What must not be; empty when all is well.
    pub failures: Vec<String>,
    /// Instances started.
    pub started: u64,
    /// Of these, completed.
    pub completed: u64,
    /// Calls of tasks.
    pub calls: u64,
    /// How often an instance was run again that had ended as ERROR.
    pub reopened: u64,
    /// Events handled.
    pub events: u64,
    /// How often each of [`Fault::ALL`] happened.
    pub fired: Vec<u64>,
    /// Of everything that happened, in order: two runs of a seed have the same.
    pub fingerprint: u64,
}

/// How long things go wrong, and how long healing may take, in microseconds of virtual time.
const HEAL_AT: (u64, u64) = (5_000_000, 12_000_000);
const PATIENCE: u64 = 600_000_000;
const MAX_EVENTS: u64 = 400_000;

/// Runs one seed.
pub fn run(seed: u64, mutant: Option<Mutant>, trace: bool) -> Outcome {
    let mut world = World::new(seed, mutant, trace);
    let heal_at = world.random.between(HEAL_AT.0, HEAL_AT.1);
    let clients = world.random.between(4, 16);
    world.clients(clients);
    world.at(0, Event::Boot(FLOWD));
    for proc in 1..world.hosts.len() {
        let at = world.random.below(50_000);
        world.at(at, Event::Boot(proc));
    }
    world.at(100_000, Event::Nemesis);
    world.at(500_000, Event::Operator);
    world.at(heal_at, Event::Heal);
    let until = heal_at + PATIENCE;
    while world.handled < MAX_EVENTS && world.history.failures().is_empty() {
        let healed = world.now > heal_at + 10_000 && !world.faults.on;
        if (healed && world.handled.is_multiple_of(64) && world.is_quiet()) || !world.step(until) {
            break;
        }
    }
    // watermarks flow, ids are forgotten
    let until = world.now + 12_000_000;
    for proc in 0..world.hosts.len() {
        world.after(1_000, Event::Tick(proc, world.life(proc)));
    }
    while world.history.failures().is_empty() && world.handled < MAX_EVENTS && world.step(until) {}
    if world.history.failures().is_empty() && !world.is_quiet() {
        world.history.fail(format!("no rest after {} s and {} events", world.now / 1_000_000, world.handled));
    }
    if trace {
        println!("{}", world.unrest());
    }
    let ends = world.check();
    Outcome {
        seed,
        failures: world.history.failures().to_vec(),
        started: ends.started,
        completed: ends.completed,
        calls: world.history.calls,
        reopened: world.history.reopened,
        events: world.handled,
        fired: world.faults.fired.clone(),
        fingerprint: world.fingerprint,
    }
}

/// Runs `count` seeds from `first` on, on every core, and adds them up.
pub fn sweep(first: u64, count: u64, mutant: Option<Mutant>, until_failure: bool) -> Sweep {
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut sum = Sweep { fired: vec![0; Fault::ALL.len()], ..Sweep::default() };
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || (until_failure && !sum.failed.is_empty()) {
                return sum;
            }
            sum.add(run(seed, mutant, false));
            if until_failure && !sum.failed.is_empty() {
                next.store(first + count, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Sweep { fired: vec![0; Fault::ALL.len()], ..Sweep::default() };
        for worker in workers {
            all.merge(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all.failed.sort_by_key(|o| o.seed);
        all
    })
}

/// Many seeds, added up.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Seeds run.
    pub runs: u64,
    /// Those that failed.
    pub failed: Vec<Outcome>,
    /// Instances started.
    pub started: u64,
    /// Of these, completed.
    pub completed: u64,
    /// Calls of tasks.
    pub calls: u64,
    /// How often an instance was run again that had ended as ERROR.
    pub reopened: u64,
    /// Events handled.
    pub events: u64,
    /// How often each of [`Fault::ALL`] happened.
    pub fired: Vec<u64>,
}

impl Sweep {
    fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        self.started += outcome.started;
        self.completed += outcome.completed;
        self.calls += outcome.calls;
        self.reopened += outcome.reopened;
        self.events += outcome.events;
        self.fired.iter_mut().zip(&outcome.fired).for_each(|(sum, n)| *sum += n);
        if !outcome.failures.is_empty() {
            self.failed.push(outcome);
        }
    }

    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.started += other.started;
        self.completed += other.completed;
        self.calls += other.calls;
        self.reopened += other.reopened;
        self.events += other.events;
        self.fired.iter_mut().zip(&other.fired).for_each(|(sum, n)| *sum += n);
        self.failed.extend(other.failed);
    }
}

/// Crashes, losses and failures at will, from one seed; a failing seed is printed and replays.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Options {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// Print what happens, of one seed.
    #[arg(long)]
    trace: bool,
    /// Switch a rule off.
    #[arg(long)]
    mutant: Option<Mutant>,
}

/// The program `simulate`.
pub fn main() -> ExitCode {
    let options = Options::parse();
    if options.trace {
        let outcome = run(options.seed, options.mutant, true);
        println!("{outcome:#?}");
        return if outcome.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let sum = sweep(options.seed, options.count, options.mutant, false);
    for outcome in sum.failed.iter().take(20) {
        println!("seed {}: {}", outcome.seed, outcome.failures.join("; "));
    }
    println!(
        "{} seeds, {} failed; {} instances started, {} completed, {} run again after an ERROR, {} calls, {} events",
        sum.runs,
        sum.failed.len(),
        sum.started,
        sum.completed,
        sum.reopened,
        sum.calls,
        sum.events
    );
    for (fault, fired) in Fault::ALL.iter().zip(&sum.fired) {
        println!("{fired:>12} {fault:?}");
    }
    if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
