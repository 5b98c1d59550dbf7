//! `flowctl probe`: ask the sidecars now how their tasks are.

use clap::Args;

use crate::args::kind::{self, Kind};
use crate::args::{Flowd, OutputArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::output;

/// Probe the tasks of deployments
#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// Deployments; all if none is named
    #[arg(value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

impl Probe {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let bare = |word: String| match kind::split(&word) {
            Some((Kind::Deployment, id)) => id,
            Some((Kind::Instance, _)) | None => word,
        };
        let ids = self.ids.into_iter().map(bare).collect();
        let probes = Client::connect(flowd).await?.probe(ids).await?;
        output::show(&probes, self.output.output)?;
        for id in &probes.missing {
            output::note(format_args!("error: there is no deployment {id}\n  hint: list them with `flowctl ps -d`"));
        }
        Ok(probes.exit())
    }
}
