//! One log line for each element that a token passes here: at `debug`, and at `warn` when the token cannot go on.
//!
//! Lines name the instance, the element and the trace, so that they are found from either; never what a token carries.

use routing::HopRecord;

/// An element was passed, or a task has decided.
pub(crate) fn passed(record: &HopRecord) {
    let HopRecord { instance, element, kind, started, ended, attempts, status, trace_id, .. } = record;
    let took_ms = ended.saturating_sub(*started);
    if let Some(code) = status.strip_prefix("incident ") {
        tracing::warn!(%instance, %element, kind, code, attempts, took_ms, trace_id, "a token cannot go on");
    } else {
        tracing::debug!(%instance, %element, kind, status, attempts, took_ms, trace_id, "passed");
    }
}
