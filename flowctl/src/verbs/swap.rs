//! `flowctl swap`: repoint a task to another service at once, running instances included.

use clap::Args;

use crate::args::{Flowd, OutputArgs};
use crate::client::{Client, Repoint};
use crate::exit::Exit;
use crate::output;

/// Repoint a task to another service
#[derive(Debug, Args)]
pub(crate) struct Swap {
    /// Id of the element, or name of its service
    #[arg(value_name = "TASK")]
    task: String,

    /// URL of the new service
    #[arg(long, value_name = "URL", required_unless_present = "undo", conflicts_with = "undo")]
    url: Option<String>,

    /// Only in this deployment; everywhere if none is named
    #[arg(long, value_name = "ID")]
    deployment: Option<String>,

    /// Back to the service before the last swap
    #[arg(long)]
    undo: bool,

    #[command(flatten)]
    output: OutputArgs,
}

impl Swap {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let repoint = Repoint {
            task: self.task,
            url: self.url.unwrap_or_default(),
            deployment: self.deployment.unwrap_or_default(),
            undo: self.undo,
        };
        let swap = Client::connect(flowd).await?.swap(repoint).await?;
        output::show(&swap, self.output.output)?;
        for sidecar in swap.unreached() {
            output::note(format_args!(
                "error: sidecar {} of {} is not reached ({}); it takes the new service before it takes work again",
                sidecar.hop_address, sidecar.service, sidecar.error
            ));
        }
        Ok(swap.exit())
    }
}
