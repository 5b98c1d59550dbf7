//! flow-sidecar: the process beside a task.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use flow_sidecar::app::{App, Fatal};
use flow_sidecar::config::Args;
use flow_sidecar::lifecycle::{self, Command};
use runtime::telemetry::{Tracing, init_logging};
use runtime::{drain, memory, shutdown};

/// Exit codes of sysexits.h: wrong usage or configuration, and a disk that does not work.
const USAGE: u8 = 64;
const IO: u8 = 74;

/// How long the line that says `ready` waits for flowd: who reads it may deploy at once. Without flowd the sidecar
/// serves all the same.
const GREETING: Duration = Duration::from_secs(3);
/// How long the last spans may take at the end.
const FLUSH: Duration = Duration::from_secs(3);

#[global_allocator]
static ALLOCATOR: memory::Allocator = memory::Allocator;

fn main() -> ExitCode {
    let command = std::env::args().nth(1).filter(|it| Command::NAMES.contains(&it.as_str()));
    let work = match command {
        Some(_) => Work::Ask(Command::parse()),
        None => Work::Serve(Box::new(Args::parse())),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}"), 1),
    };
    // As a task of its own: waking the future of `block_on` itself costs a system call each time.
    let code = runtime.block_on(async {
        match work {
            Work::Ask(command) => {
                Ok(command.run().await.map_or_else(|error| failed(&error.to_string(), 1), |()| ExitCode::SUCCESS))
            }
            Work::Serve(args) => tokio::spawn(run(*args)).await,
        }
    });
    let code = code.unwrap_or_else(|error| failed(&format!("ended unexpectedly: {error}"), IO));
    runtime.shutdown_background();
    code
}

/// What the process is for.
enum Work {
    Serve(Box<Args>),
    Ask(Command),
}

async fn run(args: Args) -> ExitCode {
    let level = args.log_level.clone();
    let logging = args.log_format().and_then(|format| Ok(init_logging(format, &level)?));
    let config = match logging.and_then(|()| args.check()) {
        Ok(config) => config,
        Err(error) => return failed(&error.to_string(), USAGE),
    };
    let spans = Tracing::from_env("flow-sidecar");
    let (trigger, watcher) = drain::new();
    if let Err(error) = shutdown::on_signals(trigger.clone()) {
        return failed(&format!("cannot watch for signals: {error}"), 1);
    }
    if let Err(error) = lifecycle::note_process(&config.data_dir) {
        return failed(&format!("cannot write to {}: {error}; check --data-dir", config.data_dir.display()), IO);
    }
    let bound = match App::build(flow_sidecar::config::Config { tracer: spans.tracer(), ..config }).await {
        Ok(bound) => bound,
        Err(error) => return failed(&error.to_string(), 1),
    };
    let (hop, admin, readiness) = (bound.hop_address, bound.admin_address, bound.readiness());
    let announce = async {
        // Late or not, it serves.
        let _ = tokio::time::timeout(GREETING, readiness.ready()).await;
        println!("ready hop={hop} admin={admin}");
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = bound.run(watcher) => ended,
        () = announce => Ok(()),
    };
    if let Err(error) = spans.shutdown(FLUSH).await {
        tracing::warn!("{error}");
    }
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ Fatal::Port(_)) => failed(&error.to_string(), 1),
        Err(error) => failed(&error.to_string(), IO),
    }
}

fn failed(why: &str, code: u8) -> ExitCode {
    eprintln!("flow-sidecar: {why}");
    ExitCode::from(code)
}
