//! What a sidecar holds and burns besides the load: at rest, and after a burst of large bodies.

use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::http::{Connection, request};
use super::process::Process;
use super::side::Side;
use super::usage::{cpu, resident};

/// Bodies of the burst, all in flight at once.
const BURST: usize = 256;
/// Bytes of each.
const BURST_BODY: usize = 64 * 1024;
/// How long memory may take to come back.
const SETTLE: Duration = Duration::from_secs(15);

/// What was seen of the sidecars.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    /// The largest sidecar's resident memory, in bytes.
    pub(crate) resident: u64,
    /// CPU time of the busiest sidecar while idle.
    pub(crate) cpu: Duration,
    /// Over how long.
    pub(crate) over: Duration,
}

/// Watches the sidecars of an idle mesh.
pub(crate) async fn idle(mesh: &Side, over: Duration) -> anyhow::Result<Idle> {
    // What starting up leaves behind (connections, first reports) is not idling.
    sleep(Duration::from_secs(1)).await;
    let before: Vec<Duration> = sidecars(mesh).map(cpu).collect::<Result<_, _>>()?;
    sleep(over).await;
    let mut seen = Idle { resident: 0, cpu: Duration::ZERO, over };
    for (pid, before) in sidecars(mesh).zip(before) {
        seen.resident = seen.resident.max(resident(pid)?);
        seen.cpu = seen.cpu.max(cpu(pid)? - before);
    }
    Ok(seen)
}

/// Sends the burst and returns what the largest sidecar holds once memory has settled, in bytes.
pub(crate) async fn burst(mesh: &Side, settled_at: u64) -> anyhow::Result<u64> {
    let step = mesh.steps.first().context("the mesh has no steps")?;
    let head = std::str::from_utf8(&step.request)?.lines().next().unwrap_or_default();
    let target = head.split(' ').nth(1).context("the request has no target")?;
    let body = serde_json::json!({ "burst": "x".repeat(BURST_BODY) }).to_string();
    let request = request("POST", target, step.address, body.as_bytes());
    let mut calls = JoinSet::new();
    for _ in 0..BURST {
        let (address, request) = (step.address, request.clone());
        calls.spawn(async move {
            let mut connection = Connection::open(address).await?;
            connection.exchange(&request).await
        });
    }
    let mut refused = 0;
    while let Some(call) = calls.join_next().await {
        refused += usize::from(call?? != 200);
    }
    anyhow::ensure!(refused == 0, "{refused} of {BURST} bodies of {BURST_BODY} bytes were refused");
    let deadline = Instant::now() + SETTLE;
    loop {
        let held = largest(mesh)?;
        if held <= settled_at || Instant::now() >= deadline {
            return Ok(held);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Resident memory of the largest sidecar, in bytes.
fn largest(mesh: &Side) -> anyhow::Result<u64> {
    sidecars(mesh).map(resident).try_fold(0, |most, held| Ok(held?.max(most)))
}

/// The sidecars' process ids: the mesh's processes without flowd.
fn sidecars(mesh: &Side) -> impl Iterator<Item = u32> {
    let sidecars = mesh.processes.iter().filter(|process| process.name().starts_with("sidecar-"));
    sidecars.map(Process::pid)
}
