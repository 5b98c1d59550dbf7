//! From the operating system's signals to a drain.
//!
//! Promises: the first SIGINT or SIGTERM drains; the second ends the process at once with the shell's code
//! for that signal (128 + its number), so an impatient operator never needs SIGKILL. SIGUSR1 drains too and does not count: an orchestrator
//! that announces the end, and sends SIGTERM later as it always does, is not impatient.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::drain::DrainTrigger;

/// Watches SIGINT, SIGTERM and SIGUSR1 for the rest of the process; `trigger` drains at the first of them.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn on_signals(trigger: DrainTrigger) -> io::Result<JoinHandle<()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut announced = signal(SignalKind::user_defined1())?;
    Ok(tokio::spawn(async move {
        let mut told = false;
        loop {
            let (name, number) = tokio::select! {
                _ = interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
                _ = terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
                _ = announced.recv() => {
                    tracing::info!("draining, as announced");
                    trigger.drain();
                    continue;
                }
            };
            if told {
                tracing::warn!(signal = name, "second signal: ending at once");
                std::process::exit(128 + number);
            }
            told = true;
            tracing::info!(signal = name, "draining; a second signal ends at once");
            trigger.drain();
        }
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn sigterm_drains() {
        let (trigger, mut watcher) = crate::drain::new();
        let task = on_signals(trigger).unwrap();
        let me = std::process::id().to_string();
        let sent = tokio::process::Command::new("kill").args(["-TERM", &me]).status().await.unwrap();
        assert!(sent.success());
        tokio::time::timeout(Duration::from_secs(10), watcher.signaled()).await.unwrap();
        task.abort();
    }
}
