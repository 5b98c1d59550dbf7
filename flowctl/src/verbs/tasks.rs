//! `flowctl tasks`, `claim`, `unclaim` and `form`: user tasks, who does them, and what they fill in.

use clap::Args;

use crate::args::operator;
use crate::args::{Flowd, OutputArgs};
use crate::client::Client;
use crate::client::tasks::{self, TaskOf};
use crate::exit::Exit;
use crate::output::task::{Assigned, List};
use crate::output::{self, table};
use crate::payload;

/// List open user tasks
#[derive(Debug, Args)]
pub(crate) struct Tasks {
    /// Only those of this instance
    #[arg(short, long, value_name = "INSTANCE", default_value = "", hide_default_value = true)]
    instance: String,

    /// Only those of this process
    #[arg(long, value_name = "PROCESS", default_value = "", hide_default_value = true)]
    process: String,

    /// Only those of this element
    #[arg(long, value_name = "ELEMENT", default_value = "", hide_default_value = true)]
    element: String,

    /// Only those that this person has
    #[arg(long, value_name = "WHO", default_value = "", hide_default_value = true)]
    assignee: String,

    /// Only those that this person is a candidate for
    #[arg(long, value_name = "WHO", default_value = "", hide_default_value = true)]
    user: String,

    /// Only those that this group is a candidate for
    #[arg(long, value_name = "GROUP", default_value = "", hide_default_value = true)]
    group: String,

    /// Only those that nobody has
    #[arg(long)]
    unassigned: bool,

    /// Most tasks to list, the oldest first
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true)]
    limit: u32,

    #[command(flatten)]
    output: OutputArgs,
}

impl Tasks {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let Self { instance, process, element, assignee, user, group, unassigned, limit, output } = self;
        let wanted = tasks::Tasks { instance, process, element, assignee, user, group, unassigned, limit };
        let tasks = Client::connect(flowd).await?.tasks(wanted).await?;
        output::show(&List { tasks }, output.output)?;
        Ok(Exit::Ok)
    }
}

/// Which task, and how it is named.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    /// Id of the task as `tasks` shows it; with -i the id of its element will do
    #[arg(value_name = "TASK")]
    task: String,

    /// The instance that the task is of
    #[arg(short, long, value_name = "INSTANCE", default_value = "", hide_default_value = true)]
    instance: String,
}

/// Who acts on it.
#[derive(Debug, Args)]
pub(crate) struct ActorArgs {
    /// Who does it
    #[arg(long, value_name = "WHO")]
    by: Option<String>,

    /// Do it even though somebody else has the task
    #[arg(short, long)]
    force: bool,
}

impl TaskArgs {
    /// The task, and who acts on it if that is said.
    pub(crate) fn by(self, actor: ActorArgs) -> TaskOf {
        let by = actor.by.unwrap_or_default();
        TaskOf { task: self.task, instance: self.instance, by, force: actor.force }
    }
}

/// Take a user task: nobody else is to do it
#[derive(Debug, Args)]
pub(crate) struct Claim {
    #[command(flatten)]
    task: TaskArgs,

    #[command(flatten)]
    actor: ActorArgs,

    #[command(flatten)]
    output: OutputArgs,
}

impl Claim {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let Self { task, actor, output } = self;
        let actor = ActorArgs { by: Some(actor.by.unwrap_or_else(operator::user)), ..actor };
        let task = Client::connect(flowd).await?.claim(task.by(actor)).await?;
        output::show(&Assigned { task }, output.output)?;
        Ok(Exit::Ok)
    }
}

/// Give a user task back: anybody may do it again
#[derive(Debug, Args)]
pub(crate) struct Unclaim {
    #[command(flatten)]
    task: TaskArgs,

    #[command(flatten)]
    actor: ActorArgs,

    #[command(flatten)]
    output: OutputArgs,
}

impl Unclaim {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let task = Client::connect(flowd).await?.unclaim(self.task.by(self.actor)).await?;
        output::show(&Assigned { task }, self.output.output)?;
        Ok(Exit::Ok)
    }
}

/// Show the form of a user task, save what is filled in, or check data against it
#[derive(Debug, Args)]
pub(crate) struct Form {
    #[command(flatten)]
    task: TaskArgs,

    /// Keep these fields for later: JSON, @FILE, or - for standard input; null takes a field back
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true, conflicts_with = "check")]
    save: Option<String>,

    /// Say what would be wrong with these fields if the task were completed with them; changes nothing
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    check: Option<String>,

    #[command(flatten)]
    actor: ActorArgs,

    #[command(flatten)]
    output: OutputArgs,
}

impl Form {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let Self { task, save, check, actor, output } = self;
        let task = task.by(actor);
        let id = task.task.clone();
        let read = |text: Option<String>| text.map(|it| payload::read(&it, None)).transpose();
        let (save, check) = (read(save)?, read(check)?);
        let mut client = Client::connect(flowd).await?;
        let judged = match (save, check) {
            (Some(data), _) => client.save(task, data).await?,
            (None, Some(data)) => client.check(task, data).await?,
            (None, None) => {
                let form = client.form(task).await?;
                output::show(&form, output.output)?;
                if output.output.is_none() {
                    let id = table::one_line(&id);
                    output::note(format_args!("complete it with `flowctl complete {id} -d '{{\"FIELD\": VALUE}}'`"));
                }
                return Ok(Exit::Ok);
            }
        };
        output::show(&judged, output.output)?;
        if !judged.passed {
            output::note("error: the data does not fit the form; nothing was changed");
        }
        Ok(judged.exit())
    }
}
