//! `flowctl trace`: the hops of an instance.

use clap::Args;

use crate::args::kind;
use crate::args::{Flowd, OutputArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::output;

/// Show the hops of an instance as a waterfall
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// The instance
    #[arg(value_name = "INSTANCE")]
    instance: String,

    #[command(flatten)]
    output: OutputArgs,
}

impl Trace {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let id = kind::split(&self.instance).map_or(self.instance, |(_, id)| id);
        let trace = Client::connect(flowd).await?.trace(id).await?;
        output::show(&trace, self.output.output)?;
        if trace.hops.is_empty() {
            output::note(format_args!(
                "no hop of {} is kept: records of hops are best effort and expire",
                trace.instance
            ));
        }
        Ok(Exit::Ok)
    }
}
