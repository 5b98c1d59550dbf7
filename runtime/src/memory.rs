//! Resident memory of this process, and giving pages back once load has ended.
//!
//! An allocator keeps what a burst took (measured: 97 MB after 256 bodies of 64 KiB with the C library's, 50 MB with
//! [`Allocator`]). [`IdleTrim`] returns it some seconds after the last work. Promises: [`Activity::touch`] is one atomic operation while load lasts; a
//! process without work is never woken up. Does not bound memory: that is the limits' job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::sync::Notify;

use crate::drain::DrainWatcher;

/// The allocator of the programs: `#[global_allocator]` in their `main.rs`.
///
/// The C library's costs a third more CPU for an instance, mostly in its lists of blocks over a KiB, which payloads
/// are (measured: 231 us against 155 us). Built without huge pages, of which an idle process would hold half a dozen.
pub use mimalloc::MiMalloc as Allocator;

/// How long after the last work [`IdleTrim`] trims, unless told otherwise.
pub const TRIM_AFTER: Duration = Duration::from_secs(3);

/// Trimming walks the whole heap; less than this above the level after the last trim is not worth it.
const WORTH_TRIMMING: u64 = 1024 * 1024;

/// Resident memory of this process in bytes, as `/proc/self/status` has it; `None` where there is no such file.
#[must_use]
pub fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    parse_resident(&status)
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Returns free pages of the heap to the system, those of the calling thread and of threads that have ended. Takes
/// up to some milliseconds.
#[allow(unsafe_code)]
pub fn trim() {
    // SAFETY: mi_collect has no preconditions; it works on the calling thread's heap and what is shared, under the
    // allocator's own synchronisation.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// Tells [`IdleTrim`] that work happens. Clones tell the same one.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    inner: Arc<Signal>,
}

#[derive(Debug, Default)]
struct Signal {
    worked: AtomicBool,
    woken: Notify,
}

impl Activity {
    /// Work happened now. Call it at the end of a piece of work (or at both ends).
    pub fn touch(&self) {
        if !self.inner.worked.swap(true, Ordering::Relaxed) {
            self.inner.woken.notify_one();
        }
    }
}

/// The task that trims when work has ended.
#[derive(Debug)]
pub struct IdleTrim {
    activity: Activity,
    quiet: Duration,
}

impl IdleTrim {
    /// Trims once nothing happened for `quiet` (to twice `quiet`).
    #[must_use]
    pub fn new(quiet: Duration) -> Self {
        Self { activity: Activity::default(), quiet }
    }

    /// The handle for those who work.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// Runs until the drain begins.
    pub async fn run(self, mut drain: DrainWatcher) {
        let mut level = resident().unwrap_or(0);
        tokio::select! {
            () = drain.signaled() => {}
            () = self.watch(|| trim_above(&mut level)) => {}
        }
    }

    async fn watch(&self, mut on_idle: impl FnMut()) {
        let signal = &self.activity.inner;
        loop {
            signal.woken.notified().await;
            // A wake-up may be left over from work that the loop below has seen already.
            let mut ended = false;
            while signal.worked.swap(false, Ordering::Relaxed) {
                tokio::time::sleep(self.quiet).await;
                ended = true;
            }
            if ended {
                on_idle();
            }
        }
    }
}

fn trim_above(level: &mut u64) {
    let before = resident().unwrap_or(u64::MAX);
    if before.saturating_sub(*level) < WORTH_TRIMMING {
        return;
    }
    trim();
    *level = resident().unwrap_or(0);
    tracing::debug!(before, after = *level, "gave free memory back");
}

/// `process_resident_memory_bytes` for `/metrics`, read when it is asked for.
#[derive(Debug)]
pub struct ResidentMemory;

impl Collector for ResidentMemory {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(bytes) = resident() else {
            return Ok(());
        };
        let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
        let help = "Resident memory of this process";
        let metric =
            encoder.encode_descriptor("process_resident_memory", help, Some(&Unit::Bytes), gauge.metric_type())?;
        gauge.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn resident_is_read_and_garbage_is_not() {
        assert_eq!(parse_resident("Name:\tx\nVmRSS:\t   2048 kB\n"), Some(2 * 1024 * 1024));
        assert_eq!(parse_resident("VmRSS: many"), None);
        if cfg!(target_os = "linux") {
            assert!(resident().unwrap() > 512 * 1024);
        }
        trim();
    }

    #[tokio::test(start_paused = true)]
    async fn trims_once_after_the_last_work_and_then_sleeps() {
        let trims = Arc::new(AtomicU32::new(0));
        let idle = IdleTrim::new(Duration::from_secs(3));
        let activity = idle.activity();
        let counted = trims.clone();
        let task = tokio::spawn(async move {
            idle.watch(|| {
                counted.fetch_add(1, Ordering::SeqCst);
            })
            .await;
        });
        for _ in 0..5 {
            activity.touch();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(trims.load(Ordering::SeqCst), 0);
        }
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(trims.load(Ordering::SeqCst), 1);
        activity.touch();
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(trims.load(Ordering::SeqCst), 2);
        task.abort();
    }
}
