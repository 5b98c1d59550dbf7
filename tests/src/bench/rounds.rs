//! The run: start every side, then round by round every side once per number in flight, in an order
//! that turns with the round, then the figures and the verdict.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::bars::{self, Verdict};
use super::checks::{self, Idle};
use super::fsync::RawSync;
use super::load::{self, Measured};
use super::mesh::Programs;
use super::options::Options;
use super::process::{Process, Until};
use super::side::{Kind, Side};
use super::usage::resident;
use super::{direct, envoy, mesh, report, restate};

/// fdatasyncs per round.
const SYNCS: usize = 100;

/// Everything that was measured.
pub(crate) struct Results {
    /// Per side and number in flight, the measurements of all rounds.
    pub(crate) cells: Vec<Cell>,
    /// Raw fdatasyncs of all rounds.
    pub(crate) syncs: Vec<std::time::Duration>,
    /// The idle sidecars, if there is a mesh.
    pub(crate) idle: Option<Idle>,
    /// What a sidecar holds after the burst, in bytes.
    pub(crate) after_burst: Option<u64>,
    /// Name and resident bytes of each side's processes after the load.
    pub(crate) resident: Vec<(Kind, Vec<(String, u64)>)>,
}

/// One side at one number in flight.
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) in_flight: usize,
    /// One per round.
    pub(crate) rounds: Vec<Measured>,
}

/// Runs the benchmark; `false` when `--assert` is given and a bar was missed.
pub(crate) async fn run(options: &Options) -> anyhow::Result<bool> {
    let beside = beside_this_program()?;
    let place = options.data_dir.clone().unwrap_or_else(|| beside.clone());
    let mut folder = tempfile::Builder::new()
        .prefix("bench-mesh-")
        .tempdir_in(&place)
        .with_context(|| format!("cannot write to {}", place.display()))?;
    folder.disable_cleanup(options.keep);
    let lean = options.lean(&beside);
    let run = async {
        let results = measure(options, &beside, folder.path(), lean).await?;
        report::table(&results, lean);
        let verdicts = bars::judge(&results);
        report::verdicts(&verdicts);
        Ok(!options.assert || !verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Fail))
    };
    let mut terminate = signal(SignalKind::terminate())?;
    // Leaving by return drops every process; a signal's default action would orphan them.
    tokio::select! {
        outcome = run => outcome,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("told to end"),
    }
}

fn beside_this_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("where is this program?")?;
    Ok(program.parent().context("this program is in no folder")?.to_path_buf())
}

async fn measure(options: &Options, beside: &Path, folder: &Path, lean: bool) -> anyhow::Result<Results> {
    let services = services(options, beside, folder, lean).await?;
    let addresses = services.iter().map(Process::address).collect::<Result<Vec<_>, _>>()?;
    let service_pids: Vec<u32> = services.iter().map(Process::pid).collect();
    let payload = payload(options.body_bytes);
    let sides = sides(options, beside, &addresses, &payload, folder).await?;
    let mesh = sides.iter().find(|side| side.kind == Kind::Mesh);

    let mut results = Results {
        cells: cells(&sides, &options.in_flight),
        syncs: Vec::new(),
        idle: None,
        after_burst: None,
        resident: Vec::new(),
    };
    if let Some(mesh) = mesh {
        results.idle = Some(checks::idle(mesh, options.idle()).await?);
    }
    let mut disk = RawSync::new(folder)?;
    for round in 0..options.rounds() {
        eprintln!("round {} of {}", round + 1, options.rounds());
        results.syncs.extend(disk.measure(SYNCS)?);
        for turn in 0..results.cells.len() {
            let count = results.cells.len();
            let cell = &mut results.cells[(turn + round) % count];
            let side = sides.iter().find(|side| side.kind == cell.kind);
            let side = side.context("every cell has a side")?;
            let (warm_up, time) = (options.warm_up(), options.measure());
            let measured = load::drive(side, &service_pids, &payload, cell.in_flight, warm_up, time).await?;
            cell.rounds.push(measured);
        }
    }
    for side in &sides {
        let of = |process: &Process| Ok((process.name().to_owned(), resident(process.pid())?));
        let held = side.processes.iter().map(of).collect::<anyhow::Result<_>>()?;
        results.resident.push((side.kind, held));
    }
    if let Some(mesh) = mesh {
        results.after_burst = Some(checks::burst(mesh, bars::BURST_RESIDENT).await?);
    }
    // sidecars before their flowd, which takes what they hold
    for process in sides.into_iter().flat_map(|side| side.processes.into_iter().rev()) {
        process.stop().await?;
    }
    Ok(results)
}

/// The three services: the examples' `echo`, or this program once more.
async fn services(options: &Options, beside: &Path, folder: &Path, lean: bool) -> anyhow::Result<Vec<Process>> {
    let mut services = Vec::new();
    for index in 1..=3 {
        let mut command = if lean {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("service");
            command
        } else {
            let mut command = Command::new(options.programs(beside).join("example-service"));
            command.arg("echo");
            command
        };
        command.args(["--port", "0"]);
        let name = format!("service-{index}");
        services.push(Process::start(&name, command, folder, Until::Ready).await?);
    }
    Ok(services)
}

/// Starts every side that can be had.
async fn sides(
    options: &Options,
    beside: &Path,
    services: &[SocketAddr],
    payload: &[u8],
    folder: &Path,
) -> anyhow::Result<Vec<Side>> {
    let mut sides = Vec::new();
    match Programs::find(options.programs(beside)) {
        Ok(programs) => {
            sides.push(mesh::start(&programs, options, services, payload, folder).await?);
        }
        Err(absent) => eprintln!("without the mesh: {} is absent", absent.display()),
    }
    sides.push(direct::start(services, payload));
    match &options.envoy {
        Some(binary) => sides.push(envoy::start(binary, services, payload, folder).await?),
        None => eprintln!("without Envoy: no --envoy given"),
    }
    match options.restate.as_deref().zip(options.restate_service.as_deref()) {
        Some((server, installed)) => {
            sides.push(restate::start(server, installed, services, payload, folder).await?);
        }
        None => eprintln!("without Restate: no --restate given"),
    }
    Ok(sides)
}

fn cells(sides: &[Side], in_flight: &[usize]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for &in_flight in in_flight {
        for side in sides {
            cells.push(Cell { kind: side.kind, in_flight, rounds: Vec::new() });
        }
    }
    cells
}

/// A JSON object of just so many bytes, as every side would serialise it.
fn payload(bytes: usize) -> Vec<u8> {
    let frame = serde_json::json!({"id": 4711, "name": ""}).to_string();
    let filling = "x".repeat(bytes.saturating_sub(frame.len()));
    serde_json::json!({"id": 4711, "name": filling}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_has_the_size_asked_for() {
        assert_eq!(payload(1024).len(), 1024);
        assert!(payload(0).len() < 32);
    }
}
