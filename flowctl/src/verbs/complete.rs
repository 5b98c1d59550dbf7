//! `flowctl complete`: a user task is done, or fails with a BPMN error.

use clap::Args;

use super::send::data;
use crate::args::{Flowd, OutputArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::output;
use crate::output::task::Completed;

/// Complete a user task, or fail it with a BPMN error
#[derive(Debug, Args)]
pub(crate) struct Complete {
    /// Id of the task as `ps` shows it; with -i the id of its element will do
    #[arg(value_name = "TASK")]
    task: String,

    /// The instance that the task is of
    #[arg(short, long, value_name = "INSTANCE")]
    instance: Option<String>,

    /// The result: JSON, @FILE, or - for standard input
    #[arg(short, long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,

    /// Fail it with a BPMN error of this code, for a boundary event to catch
    #[arg(long, value_name = "CODE")]
    error: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
}

impl Complete {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let payload = data(self.data.as_deref())?;
        let (instance, error) = (self.instance.unwrap_or_default(), self.error.unwrap_or_default());
        let failed = !error.is_empty();
        let task = Client::connect(flowd).await?.complete_task(self.task, instance, payload, error).await?;
        output::show(&Completed { task, failed }, self.output.output)?;
        Ok(Exit::Ok)
    }
}
