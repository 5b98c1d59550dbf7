//! Keeps the mesh's state true and durable: reads it from the store at the start, writes down what changes.
//!
//! Owns the keys below `d/`. Runs beside the ledger's loop, wakes on changes of the mesh and on deadlines, and never
//! when nothing happens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hop::identity::Listed;
use hop::{Backends, Endpoint, Splits};
use routing::{Compiled, Digest, Incarnation, ServiceName};
use runtime::clock::sleep;
use runtime::drain::DrainWatcher;
use tokio::time::Instant;

use crate::definitions::{State, record};
use crate::ledger::Leaving;
use crate::mesh::{IMAGES, IN_PLACES, SPLITS, SWAPS, Stored, URLS};
use crate::operations::Operations;
use crate::sidecars::{self, Remembered};
use crate::store::{self, AnyStore, Batch, Entry, Store, Write};

/// Digests of definitions that were deleted lie below it: sidecars may drop their tables.
const RETIRED: &str = "d/r/";
/// Counts the lives of the store.
const BOOT: &str = "d/boot";
/// Who the ledger is, for as long as the store lives.
const INCARNATION: &str = "d/incarnation";
/// Entries read at a time.
const PAGE: usize = 256;
/// How often a deployment that is STOPPING is looked at.
const STOPPING: Duration = Duration::from_millis(250);
/// Rests so many times as long as a look took: what many sidecars say at once is looked at together, and is not kept waiting by looks.
const REST: u32 = 16;
/// The shortest rest, below which there is none, and the longest.
const RESTS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// Why what is stored cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A deployment.
    #[error(transparent)]
    Definition(#[from] crate::definitions::Error),
    /// Anything else.
    #[error("read {key} from the store: {reason}; restore the store from a backup")]
    Record {
        /// Which key.
        key: String,
        /// Why.
        reason: String,
    },
}

/// The key that says that a definition was deleted.
pub(crate) fn retired_key(definition: Digest) -> String {
    format!("{RETIRED}{definition}")
}

/// What this flowd found in its store.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) stored: Stored,
    pub(crate) incarnation: Incarnation,
    pub(crate) tables: HashMap<Digest, Arc<Compiled>>,
}

/// Reads everything below `d/`, and counts this life of the store.
pub(crate) async fn load(store: &AnyStore, now: u64) -> Result<Found, Error> {
    let boot = number(store.get(BOOT.as_bytes()).await?) + 1;
    let incarnation = match store.get(INCARNATION.as_bytes()).await? {
        Some(bytes) => text(&bytes).parse().map_err(|_| broken(INCARNATION, "no incarnation"))?,
        None => Incarnation(uuid::Uuid::now_v7().as_u128() ^ rand::random::<u64>() as u128),
    };
    let first = vec![Write::put(BOOT, boot.to_string()), Write::put(INCARNATION, incarnation.to_string())];
    store.commit(Batch::one(first)).await?;

    let mut stored = Stored { boot, ..Stored::default() };
    let states: HashMap<Bytes, Bytes> = all(store, record::STATES).await?.into_iter().collect();
    for (key, definition) in all(store, record::DEFINITIONS).await? {
        let id = after(record::DEFINITIONS, &key);
        let state = states.get(format!("{}{id}", record::STATES).as_bytes());
        stored.deployments.push(record::read(&id, &definition, state.map(|it| &it[..]))?);
    }
    for (key, value) in all(store, sidecars::STORED).await? {
        let id = after(sidecars::STORED, &key);
        let incarnation = id.parse().map_err(|_| broken(&id, "no incarnation"))?;
        let mut remembered: Remembered = serde_json::from_slice(&value).map_err(|e| broken(&id, e))?;
        remembered.seen = now;
        stored.sidecars.push((incarnation, remembered.into_sidecar()));
    }
    for (key, value) in all(store, URLS).await? {
        stored.overrides.insert(ServiceName::from(after(URLS, &key)), text(&value));
    }
    for (key, value) in all(store, IMAGES).await? {
        let service = after(IMAGES, &key);
        let swapped = serde_json::from_slice(&value).map_err(|e| broken(&service, e))?;
        stored.images.insert(ServiceName::from(service), swapped);
    }
    for (key, value) in all(store, IN_PLACES).await? {
        let service = after(IN_PLACES, &key);
        let in_place = serde_json::from_slice(&value).map_err(|e| broken(&service, e))?;
        stored.in_places.insert(ServiceName::from(service), in_place);
    }
    let mut splits = Vec::new();
    for (key, value) in all(store, SPLITS).await? {
        let service = after(SPLITS, &key);
        let backends: Backends = serde_json::from_slice(&value).map_err(|e| broken(&service, e))?;
        splits.push((ServiceName::from(service), backends));
    }
    stored.splits = Splits::new(splits);
    for (key, value) in all(store, SWAPS).await? {
        let service = after(SWAPS, &key);
        let past = serde_json::from_slice(&value).map_err(|e| broken(&service, e))?;
        stored.history.insert(ServiceName::from(service), past);
    }
    for (key, _) in all(store, RETIRED).await? {
        let hex = after(RETIRED, &key);
        let digest = serde_json::from_value(hex.clone().into()).map_err(|e| broken(&hex, e))?;
        stored.retired.insert(digest);
    }
    let tables = stored.deployments.iter().map(|it| (it.definition.digest, it.definition.ledger.clone()));
    Ok(Found { tables: tables.collect(), stored, incarnation })
}

/// Every entry below a prefix.
pub(crate) async fn all(store: &AnyStore, prefix: impl AsRef<[u8]>) -> Result<Vec<Entry>, store::Error> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map(|(key, _)| key.clone());
        let page = store.scan(prefix.as_ref(), after.as_deref(), PAGE).await?;
        let last = page.len() < PAGE;
        entries.extend(page);
        if last {
            return Ok(entries);
        }
    }
}

fn after(prefix: &str, key: &[u8]) -> String {
    text(key.get(prefix.len()..).unwrap_or_default())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn number(bytes: Option<Bytes>) -> u64 {
    bytes.and_then(|it| text(&it).parse().ok()).unwrap_or(0)
}

fn broken(key: &str, reason: impl ToString) -> Error {
    Error::Record { key: key.to_owned(), reason: reason.to_string() }
}

/// Runs until the drain.
pub(crate) async fn run(operations: Operations, mut drain: DrainWatcher) -> Result<(), store::Error> {
    let mut changes = operations.mesh.changes();
    let mut known: (HashMap<ServiceName, Vec<Endpoint>>, Option<Listed>, Splits) = Default::default();
    loop {
        changes.mark_unchanged();
        let began = Instant::now();
        let evaluated = operations.mesh.evaluate(operations.now());
        let took = began.elapsed();
        if !evaluated.writes.is_empty() {
            operations.store.commit(Batch::one(evaluated.writes)).await?;
        }
        operations.metrics.mesh.levels(operations.mesh.levels());
        if operations.told.tell(&operations.mesh, &operations.ledger).await.is_err() {
            return Ok(());
        }
        if bury(&operations).await?.is_none() {
            return Ok(());
        }
        let now = (operations.mesh.endpoints(), operations.mesh.listed(), operations.mesh.splits());
        if now != known {
            known = now;
            if operations.ledger.endpoints().await.is_err() {
                return Ok(());
            }
        }
        let stopping = finish_stopping(&operations).await?;
        let again = evaluated.again.map(|at| Duration::from_millis(at.saturating_sub(operations.now()).max(1)));
        let again = if stopping { Some(again.map_or(STOPPING, |it| it.min(STOPPING))) } else { again };
        tokio::select! {
            biased;
            () = drain.signaled() => return Ok(()),
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            () = sleep(again) => {}
        }
        let rest = (took * REST).min(RESTS.1);
        if rest >= RESTS.0 {
            tokio::select! {
                biased;
                () = drain.signaled() => return Ok(()),
                () = tokio::time::sleep(rest) => {}
            }
        }
    }
}

/// Sidecars whose pods are gone have left, without having handed over anything. `None`: the ledger is gone.
async fn bury(operations: &Operations) -> Result<Option<()>, store::Error> {
    for (incarnation, pod) in operations.mesh.gone() {
        if operations.ledger.leave(incarnation, Leaving::default()).await.is_err() {
            return Ok(None);
        }
        tracing::warn!(
            sidecar = %incarnation, pod,
            "the pod of a sidecar is gone without a word: what it had not answered goes to others; what it had taken and not passed on is lost with it"
        );
        operations.metrics.lost.inc();
        operations.sidecar_left(incarnation).await?;
    }
    Ok(Some(()))
}

/// STOPPING becomes STOPPED when no instance is open. True while some deployment is STOPPING.
async fn finish_stopping(operations: &Operations) -> Result<bool, store::Error> {
    let mut left = false;
    for definition in operations.mesh.stopping() {
        let id = &definition.deployment;
        if operations.ledger.open_on(id).await.unwrap_or(1) > 0 {
            left = true;
            continue;
        }
        tracing::info!(deployment = %id, "deployment is STOPPED");
        if let Some(write) = operations.mesh.set_state(id, State::Stopped, "stopped", operations.now()) {
            operations.store.commit(Batch::one(vec![write])).await?;
        }
    }
    Ok(left)
}
