//! Forgetting ended instances: after some days, or the oldest when there are too many.

use std::time::Duration;

use routing::InstanceId;

use crate::ledger::{State, decode_instance, key};
use crate::operations::Operations;
use crate::store::{self, Batch, Store, Write};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(600);
/// Instances looked at and forgotten at a time.
const PAGE: usize = 256;

/// Runs until it is dropped.
pub(crate) async fn run(operations: Operations, days: u64, count: usize) {
    loop {
        tokio::time::sleep(EVERY).await;
        let before = operations.now().saturating_sub(days.saturating_mul(24 * 3600 * 1000));
        match expire(&operations, before, count).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "ended instances have expired"),
            Err(error) => tracing::warn!(%error, "cannot look for instances that have expired; trying again later"),
        }
    }
}

/// Forgets what ended before `before`, and the oldest beyond `count`; says how many.
pub(crate) async fn expire(operations: &Operations, before: u64, count: usize) -> Result<usize, store::Error> {
    let _one = operations.history.lock().await;
    let mut excess = ended(operations, count).await?.saturating_sub(count);
    let mut forgotten = 0;
    let store = &operations.store;
    loop {
        let page = store.scan(key::BY_END, None, PAGE).await?;
        let mut writes = Vec::new();
        for (entry, _) in &page {
            let rest = String::from_utf8_lossy(entry.get(key::BY_END.len()..).unwrap_or_default()).into_owned();
            let (time, id) = rest.split_once('/').unwrap_or((&rest, ""));
            let old = u64::from_str_radix(time, 16).is_ok_and(|at| at < before);
            if !old && excess == 0 {
                break;
            }
            excess = excess.saturating_sub(1);
            let id = InstanceId::from(id);
            if let Some(bytes) = store.get(&key::closed(&id)).await? {
                let view = decode_instance(&bytes).ok();
                if view.as_ref().is_some_and(|it| it.state == State::Error) {
                    writes.extend(operations.forget_remains(&id).await?);
                    // nothing that comes back of it is kept from now on; a ledger that is going forgets it anyway
                    let _ = operations.ledger.delete(&id).await;
                }
                writes.extend(view.and_then(|it| it.idempotency_key).map(|it| Write::delete(key::idempotency(&it))));
                writes.push(Write::delete(key::closed(&id)));
            }
            writes.push(Write::delete(entry.clone()));
            forgotten += 1;
        }
        if writes.is_empty() {
            return Ok(forgotten);
        }
        store.commit(Batch::one(writes)).await?;
    }
}

/// How many instances have ended; counts no further than it matters.
async fn ended(operations: &Operations, limit: usize) -> Result<usize, store::Error> {
    let (mut counted, mut after) = (0, None::<bytes::Bytes>);
    loop {
        let page = operations.store.scan(key::BY_END, after.as_deref(), 4 * PAGE).await?;
        counted += page.len();
        if page.len() < 4 * PAGE || counted > limit.saturating_mul(2) {
            return Ok(counted);
        }
        after = page.last().map(|(key, _)| key.clone());
    }
}
