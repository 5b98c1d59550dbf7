//! flowd: flags, logs, the app, and the line that says it serves.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use flow_control_plane::{App, Config};
use runtime::{drain, memory, shutdown, telemetry};

#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::Allocator;

fn main() -> ExitCode {
    let config = Config::parse();
    if let Err(error) = telemetry::init_logging(config.log_format, &config.log_level) {
        eprintln!("flowd: {error}");
        return ExitCode::from(64);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("flowd: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flowd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let (trigger, _) = drain::new();
    shutdown::on_signals(trigger.clone()).context("cannot watch for signals")?;
    let bound = App::build(config, trigger).await?;
    let (grpc, http, answers) = (bound.grpc, bound.http, bound.answers());
    let mut running = std::pin::pin!(bound.run());
    tokio::select! {
        ended = &mut running => return ended,
        () = answers.ready() => println!("ready grpc={grpc} http={http}"),
    }
    running.await
}
