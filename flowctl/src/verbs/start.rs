//! `flowctl start`: let a stopped deployment serve again, or an instance that waits go on.

use clap::Args;

use super::show_report;
use crate::args::kind::KindArgs;
use crate::args::operator::OperatorArgs;
use crate::args::{Flowd, OutputArgs};
use crate::client::{Client, Operation};
use crate::exit::Exit;
use crate::output::report::Report;
use crate::payload;

/// Start stopped deployments, or retry the failed tasks of instances
#[derive(Debug, Args)]
pub(crate) struct Start {
    #[command(flatten)]
    kind: KindArgs,

    #[command(flatten)]
    operator: OperatorArgs,

    /// Keep the idempotency keys of the failed calls; without it a retry has a new key
    #[arg(long = "same-key", alias = "same_key")]
    same_key: bool,

    /// Run instances again that have ended as ERROR, from where they failed
    #[arg(short, long)]
    force: bool,

    /// Go on with this payload instead: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,

    /// What to start
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

impl Start {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let payload = self.data.as_deref().map(|data| payload::read(data, None)).transpose()?;
        let mut client = Client::connect(flowd).await?;
        let (same_key, force, by) = (self.same_key, self.force, self.operator.operator());
        let operation = Operation::Start { same_key, force, payload, by };
        let mut outcomes = Vec::new();
        for (kind, id) in self.kind.resolve(&self.ids) {
            outcomes.push(client.operate(&operation, kind, id).await?);
        }
        show_report(&Report { original_key: "status", outcomes }, self.output.output)
    }
}
