//! What a durable workflow over sidecars costs, beside what the same calls cost otherwise.
//!
//! One program runs all sides in turn in one run on loopback, interleaved round by round, because a
//! figure from another run is worth nothing on a shared machine:
//!
//! * **mesh**: flowd and three `flow-sidecar` processes, each with its own journal;
//! * **direct**: a client calling the three services itself;
//! * **envoy**: the same with an Envoy in front of each service (`--envoy BINARY`);
//! * **restate**: the same three steps on a Restate server (`--restate BINARY`).
//!
//! A side whose programs are absent is left out and said so. The three services are the same
//! processes for all sides: by default `example-service echo`, an HTTP server as people write them (hyper,
//! JSON parsed and written), since what stands before a service is to be compared with the service, not with
//! an echo that no one runs; with `--lean-services` such an echo. The table says which. It promises that every answer counted was compared with what it had to
//! be. It does not tune the machine beyond what `--pin` and `--realtime` say.

mod bars;
mod checks;
mod direct;
mod envoy;
pub mod fleet;
mod fsync;
mod http;
mod load;
mod mesh;
mod options;
mod process;
mod report;
mod restate;
mod rounds;
mod service;
mod side;
mod usage;

use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::Parser;

use self::options::{Options, Verb};

/// Runs the program: the benchmark, or one of its services when told so by its parent.
pub fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-mesh: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// `false` when `--assert` was given and a bar was missed.
fn run(options: Options) -> anyhow::Result<bool> {
    // Before the runtime and every child exist, so that all of them inherit it.
    restrict(&options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match options.verb {
        Some(Verb::Service { port }) => {
            runtime.block_on(service::run(port))?;
            Ok(true)
        }
        None => runtime.block_on(rounds::run(&options)),
    }
}

/// Confines this process, and so every process it starts, to one CPU or a real-time class.
fn restrict(options: &Options) -> anyhow::Result<()> {
    let pid = std::process::id().to_string();
    if let Some(cpus) = &options.pin {
        adjust(Command::new("taskset").args(["-c", "-p", cpus, &pid]), "--pin")?;
    }
    if options.realtime {
        adjust(Command::new("chrt").args(["-r", "-p", "5", &pid]), "--realtime")?;
    }
    Ok(())
}

fn adjust(command: &mut Command, option: &str) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{option} needs util-linux"))?;
    if !output.status.success() {
        bail!("{option} was refused: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
