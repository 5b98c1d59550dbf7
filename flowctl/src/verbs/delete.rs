//! `flowctl delete`: remove what has ended.

use clap::Args;

use super::show_report;
use crate::args::kind::KindArgs;
use crate::args::{Flowd, OutputArgs};
use crate::client::{Client, Operation};
use crate::exit::Exit;
use crate::output::report::Report;

/// Delete stopped deployments, or instances that have ended
#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    kind: KindArgs,

    /// Stop first what is still running
    #[arg(short, long)]
    force: bool,

    /// What to delete
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

impl Delete {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let mut client = Client::connect(flowd).await?;
        let operation = Operation::Delete { force: self.force };
        let mut outcomes = Vec::new();
        for (kind, id) in self.kind.resolve(&self.ids) {
            outcomes.push(client.operate(&operation, kind, id).await?);
        }
        show_report(&Report { original_key: "result", outcomes }, self.output.output)
    }
}
