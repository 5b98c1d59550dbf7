//! What a thousand sidecars cost flowd: a push of changed tables, memory for each of them, and everything anew after flowd was killed.
//!
//! flowd is a process of its own; the sidecars are streams of this one, which say hello, take what they are sent and acknowledge it, as
//! `flow-sidecar` does. They call nothing and keep nothing on disk: what is measured is flowd and the wire. On a machine that both share, the reading
//! side is in the figures too.

mod crowd;
mod model;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use proto::v1;
use proto::v1::flow_client::FlowClient;
use tokio::process::Command;
use tokio::time::Instant;
use tonic::transport::Channel;

use self::crowd::Crowd;
use super::process::{Process, Until, free_port};
use super::usage;
use crate::harness;

/// The bar: a changed table is with the last sidecar that needs it, from the call that applies its model.
const PUSHED_WITHIN: Duration = Duration::from_millis(50);
/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(120);
/// Open files: a connection for each sidecar, on both sides.
const FILES: u64 = 16_384;

/// How flowd fares with many sidecars.
#[derive(Debug, Parser)]
#[command(name = "bench-fleet")]
struct Options {
    /// How many sidecars
    #[arg(long, default_value_t = 1_000)]
    sidecars: usize,
    /// How many services they do; the process has a task for each
    #[arg(long, default_value_t = 100)]
    services: usize,
    /// How often each figure is taken
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Exit code 1 when the bar is missed
    #[arg(long)]
    assert: bool,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let measured = runtime.map_err(Into::into).and_then(|it| it.block_on(measure(&options)));
    match measured {
        Ok(met) if met || !options.assert => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-fleet: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether the bar was met.
async fn measure(options: &Options) -> anyhow::Result<bool> {
    ensure!(options.services > 0 && options.sidecars >= options.services, "give at least as many sidecars as services");
    ensure!(options.rounds > 0, "--rounds must be 1 at least");
    let limit = rustix::process::Rlimit { current: Some(FILES), maximum: Some(FILES) };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)
        .with_context(|| format!("cannot have {FILES} open files"))?;
    let folder = tempfile::tempdir()?;
    // not one that a sidecar that tries to come back connects to itself from
    let control = harness::free_port();
    let mut flowd = start(folder.path(), control).await?;
    let empty = usage::resident(flowd.pid())?;
    let crowd = Arc::new(Crowd::new(options.sidecars, options.services, control));

    let began = Instant::now();
    let _sidecars = crowd.gather();
    crowd.until("all sidecars attach", |it| it.attached() == options.sidecars).await?;
    println!(
        "{} sidecars of {} services attach            {}",
        options.sidecars,
        options.services,
        ms(began.elapsed())
    );

    let mut whole = Vec::new();
    let mut single = Vec::new();
    for round in 0..options.rounds {
        whole.push(push(&crowd, control, &model::process("fleet", options.services, round), options.sidecars).await?);
        let replicas = crowd.replicas(0);
        single.push(push(&crowd, control, &model::process("single", 1, round), replicas).await?);
    }
    let all = told("all services", options.sidecars, &whole);
    let one = told("one service", crowd.replicas(0), &single);

    let full = usage::resident(flowd.pid())?;
    let each = full.saturating_sub(empty) / options.sidecars as u64;
    println!("flowd's memory                                    {} MiB, {} KiB a sidecar", full >> 20, each >> 10);

    flowd.kill().await?;
    crowd.forget();
    let began = Instant::now();
    flowd = start(folder.path(), control).await?;
    let served = began.elapsed();
    let tables = options.rounds * options.sidecars + options.rounds * crowd.replicas(0);
    crowd.until("all tables are there again", |it| it.tables() >= tables).await?;
    let (resync, cpu) = (began.elapsed() - served, usage::cpu(flowd.pid())?);
    println!("flowd killed: it serves again after               {}", ms(served));
    println!("  all {tables} tables are there again after it       {}, {} of CPU", ms(resync), ms(cpu));

    let met = all.max(one) <= PUSHED_WITHIN;
    println!(
        "{} changed tables are with the last sidecar within {}, the median of {} rounds",
        if met { "PASS" } else { "FAIL" },
        ms(PUSHED_WITHIN),
        options.rounds
    );
    Ok(met)
}

/// Prints how long pushes took; gives the median of them.
fn told(what: &str, sidecars: usize, pushes: &[Pushed]) -> Duration {
    let all = median(pushes.iter().map(|it| it.all));
    let slowest = pushes.iter().map(|it| it.all).max().unwrap_or_default();
    println!("a process of {what}, {sidecars} sidecars: apply to the last  {}, the slowest {}", ms(all), ms(slowest));
    println!("  of that, the call that applies                  {}", ms(median(pushes.iter().map(|it| it.applied))));
    println!("  and the first sidecar to the last               {}", ms(median(pushes.iter().map(|it| it.spread))));
    all
}

/// How long a push took.
struct Pushed {
    /// From the call that applies the model until the last sidecar has its tables.
    all: Duration,
    /// Until that call was answered.
    applied: Duration,
    /// From the first sidecar to the last.
    spread: Duration,
}

async fn push(crowd: &Crowd, control: u16, model: &str, to: usize) -> anyhow::Result<Pushed> {
    let mut flow = FlowClient::<Channel>::connect(format!("http://127.0.0.1:{control}")).await?;
    crowd.forget();
    let began = Instant::now();
    let request = v1::ApplyRequest { bpmn_xml: model.to_owned().into(), ..v1::ApplyRequest::default() };
    let applied = flow.apply(request).await?.into_inner();
    let answered = began.elapsed();
    if applied.deployments.is_empty() {
        bail!("the model was refused: {applied:?}");
    }
    crowd.until("the tables are there", |it| it.tables() >= to).await?;
    let (first, last) = crowd.between().context("no table came")?;
    Ok(Pushed { all: last - began, applied: answered, spread: last - first })
}

async fn start(folder: &Path, control: u16) -> anyhow::Result<Process> {
    let flowd = program()?;
    let mut command = Command::new(&flowd);
    command.arg("--data-dir").arg(folder.join("flowd"));
    command.args(["--port", &control.to_string(), "--http-port", &free_port()?.port().to_string()]);
    Process::start("flowd", command, folder, Until::Ready).await
}

/// The flowd beside this program.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let flowd = own.with_file_name("flowd");
    ensure!(flowd.is_file(), "{} is absent: cargo build --profile dist --bins", flowd.display());
    Ok(flowd)
}

fn median(all: impl Iterator<Item = Duration>) -> Duration {
    let mut all: Vec<Duration> = all.collect();
    all.sort_unstable();
    all[all.len() / 2]
}

fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
