//! The services of an example: processes that `services.yaml` in its folder names, started for `flowctl dev`.
//!
//! Promises: [`Services::start`] returns when every service accepts connections, or says which one does not and
//! why; what the services write is forwarded to standard error with their name before it; [`Services::stop`]
//! ends all of them, with SIGTERM first. It does not restart a service that ends: that is told once, and
//! the mesh shows its task DOWN.

mod process;
mod program;
mod spec;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;

use process::Process;
pub(crate) use spec::{Demonstration, Spec};

/// Name of the file in an example's folder.
pub(crate) const FILE: &str = "services.yaml";

/// How long a service may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// The running services of one folder.
#[derive(Debug, Default)]
pub(crate) struct Services {
    processes: Vec<Process>,
    bindings: BTreeMap<String, String>,
    demonstration: Option<Demonstration>,
}

impl Services {
    /// Starts what the folder's `services.yaml` names, and waits until all accept connections.
    /// A folder without that file has no services.
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join(FILE);
        if !file.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let document = spec::parse(&text).with_context(|| format!("cannot use {}", file.display()))?;
        let mut services = Self { demonstration: document.run, ..Self::default() };
        match services.start_all(folder, &document.services).await {
            Ok(()) => Ok(services),
            Err(error) => {
                services.stop().await;
                Err(error)
            }
        }
    }

    async fn start_all(&mut self, folder: &Path, specs: &[Spec]) -> anyhow::Result<()> {
        for spec in specs {
            let program = program::find(folder, &spec.command[0]).await?;
            let process = Process::spawn(folder, &program, spec)?;
            for name in spec.bound_names() {
                self.bindings.insert(name.to_owned(), spec.url(process.port()));
            }
            self.processes.push(process);
        }
        for (process, spec) in self.processes.iter_mut().zip(specs) {
            process.accepts_connections(spec.ready_timeout()).await?;
        }
        Ok(())
    }

    /// Task type or service name -> URL of the process that serves it.
    pub(crate) fn bindings(&self) -> &BTreeMap<String, String> {
        &self.bindings
    }

    /// The instance that shows the example at work, if its folder names one.
    pub(crate) fn demonstration(&self) -> Option<&Demonstration> {
        self.demonstration.as_ref()
    }

    /// Ends all services; returns when the last one has ended.
    pub(crate) async fn stop(&mut self) {
        join_all(self.processes.iter_mut().map(|process| process.stop(GRACE))).await;
        self.processes.clear();
    }
}

#[cfg(test)]
mod tests;
