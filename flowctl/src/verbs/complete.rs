//! `flowctl complete`: a user task is done, or fails with a BPMN error.

use clap::Args;

use super::send::data;
use super::tasks::{ActorArgs, TaskArgs};
use crate::args::{Flowd, OutputArgs};
use crate::client::Client;
use crate::exit::Exit;
use crate::output;
use crate::output::task::Completed;

/// Complete a user task, or fail it with a BPMN error
#[derive(Debug, Args)]
pub(crate) struct Complete {
    #[command(flatten)]
    task: TaskArgs,

    /// The result, by field if the task has a form: JSON, @FILE, or - for standard input
    #[arg(short, long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,

    /// Fail it with a BPMN error of this code, for a boundary event to catch
    #[arg(long, value_name = "CODE")]
    error: Option<String>,

    #[command(flatten)]
    actor: ActorArgs,

    #[command(flatten)]
    output: OutputArgs,
}

impl Complete {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let payload = data(self.data.as_deref())?;
        let task = self.task.by(self.actor);
        let mut client = Client::connect(flowd).await?;
        let completed = match self.error.filter(|it| !it.is_empty()) {
            Some(code) => Completed { task: client.fail(task, code, payload).await?, failed: true },
            None => match client.complete(task, payload).await? {
                Ok(task) => Completed { task, failed: false },
                Err(judged) => {
                    output::show(&judged, self.output.output)?;
                    output::note("error: the data does not fit the form; nothing was changed");
                    return Ok(judged.exit());
                }
            },
        };
        output::show(&completed, self.output.output)?;
        Ok(Exit::Ok)
    }
}
