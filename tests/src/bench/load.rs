//! A closed loop: so many instances in flight, each slot starts the next one when its last has ended.
//!
//! One thread, prebuilt requests, one kept connection per slot and address. Every last answer is
//! compared with the payload; one that differs is a failure, as is a broken connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::JoinSet;

use super::http::Connection;
use super::side::{Side, Step};
use super::usage::{cpu, cpu_of};

/// Failures of one slot after which a measurement is given up.
const FAILURE_LIMIT: usize = 20;
/// How long a slot may take to end what it has begun.
const LAST_INSTANCE: Duration = Duration::from_secs(40);

const WARM_UP: u8 = 0;
const MEASURE: u8 = 1;
const STOP: u8 = 2;

/// What one measurement saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measured {
    /// Of each instance that ended while measuring, sorted.
    pub(crate) latencies: Vec<Duration>,
    /// How long was measured.
    pub(crate) elapsed: Duration,
    /// Instances that failed or answered wrongly.
    pub(crate) failures: usize,
    /// CPU time of the side's processes, one by one in their order.
    pub(crate) own: Vec<Duration>,
    /// CPU time of the services.
    pub(crate) services: Duration,
    /// CPU time of this program.
    pub(crate) client: Duration,
}

/// What the slots of one measurement share.
struct Plan {
    steps: Vec<Step>,
    expected: Vec<u8>,
    phase: AtomicU8,
}

/// What one slot saw.
#[derive(Default)]
struct Slot {
    latencies: Vec<Duration>,
    failures: usize,
    first_failure: Option<anyhow::Error>,
}

/// Drives `side` with `in_flight` instances for `warm_up` and then for `measure`.
pub(crate) async fn drive(
    side: &Side,
    services: &[u32],
    expected: &[u8],
    in_flight: usize,
    warm_up: Duration,
    measure: Duration,
) -> anyhow::Result<Measured> {
    let plan = Arc::new(Plan { steps: side.steps.clone(), expected: expected.to_vec(), phase: AtomicU8::new(WARM_UP) });
    let mut slots = JoinSet::new();
    for _ in 0..in_flight {
        slots.spawn(slot(Arc::clone(&plan)));
    }
    tokio::time::sleep(warm_up).await;
    let before = Snapshot::take(side, services)?;
    plan.phase.store(MEASURE, Ordering::Relaxed);
    tokio::time::sleep(measure).await;
    plan.phase.store(STOP, Ordering::Relaxed);
    let after = Snapshot::take(side, services)?;

    let mut measured = after.since(&before);
    let ended = tokio::time::timeout(LAST_INSTANCE, slots.join_all());
    for slot in ended.await.with_context(|| format!("an instance took over {LAST_INSTANCE:?}"))? {
        measured.latencies.extend(slot.latencies);
        measured.failures += slot.failures;
        if let Some(error) = slot.first_failure {
            eprintln!("{}: an instance failed: {error:#}", side.kind.name());
        }
    }
    measured.latencies.sort_unstable();
    if measured.latencies.is_empty() {
        bail!("{}: no instance ended within {measure:?}", side.kind.name());
    }
    Ok(measured)
}

async fn slot(plan: Arc<Plan>) -> Slot {
    let mut slot = Slot::default();
    let mut connections = Vec::new();
    while plan.phase.load(Ordering::Relaxed) != STOP && slot.failures < FAILURE_LIMIT {
        let start = Instant::now();
        match instance(&plan, &mut connections).await {
            Ok(()) if plan.phase.load(Ordering::Relaxed) == MEASURE => {
                slot.latencies.push(start.elapsed());
            }
            Ok(()) => (),
            Err(error) => {
                connections.clear();
                slot.failures += 1;
                slot.first_failure.get_or_insert(error);
            }
        }
    }
    slot
}

async fn instance(plan: &Plan, connections: &mut Vec<Connection>) -> anyhow::Result<()> {
    for (index, step) in plan.steps.iter().enumerate() {
        if connections.len() == index {
            connections.push(Connection::open(step.address).await?);
        }
        let connection = &mut connections[index];
        let status = connection.exchange(&step.request).await?;
        if status != 200 || connection.body() != plan.expected {
            let answer = String::from_utf8_lossy(connection.body());
            let start: String = answer.chars().take(200).collect();
            bail!("step {} answered {status}: {start}", index + 1);
        }
    }
    Ok(())
}

/// CPU times at one moment.
struct Snapshot {
    at: Instant,
    own: Vec<Duration>,
    services: Duration,
    client: Duration,
}

impl Snapshot {
    fn take(side: &Side, services: &[u32]) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            own: side.pids().into_iter().map(cpu).collect::<Result<_, _>>()?,
            services: cpu_of(services)?,
            client: cpu(std::process::id())?,
        })
    }

    fn since(&self, before: &Self) -> Measured {
        Measured {
            elapsed: self.at - before.at,
            own: self.own.iter().zip(&before.own).map(|(after, before)| *after - *before).collect(),
            services: self.services - before.services,
            client: self.client - before.client,
            ..Measured::default()
        }
    }
}
