//! `flowctl stop`: stop a deployment, or cancel an instance.

use clap::Args;

use super::show_report;
use crate::args::kind::KindArgs;
use crate::args::operator::OperatorArgs;
use crate::args::{Flowd, OutputArgs};
use crate::client::{Client, Operation};
use crate::exit::Exit;
use crate::output::report::Report;

/// Stop deployments, or cancel instances
#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    kind: KindArgs,

    /// Stop a deployment although instances of it are running
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    operator: OperatorArgs,

    /// What to stop
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

impl Stop {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let mut client = Client::connect(flowd).await?;
        let operation = Operation::Stop { force: self.force, by: self.operator.operator() };
        let mut outcomes = Vec::new();
        for (kind, id) in self.kind.resolve(&self.ids) {
            outcomes.push(client.operate(&operation, kind, id).await?);
        }
        show_report(&Report { original_key: "status", outcomes }, self.output.output)
    }
}
