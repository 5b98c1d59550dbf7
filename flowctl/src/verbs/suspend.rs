//! `flowctl suspend`, `resume`, `set`, `modify` and `migrate`: an instance stands still, goes on, goes on with other variables, from
//! elsewhere, or with another version of its process.

use clap::Args;

use super::show_report;
use crate::args::kind::{Kind, split};
use crate::args::operator::OperatorArgs;
use crate::args::{Flowd, OutputArgs};
use crate::client::{Client, Operation};
use crate::exit::{Exit, Failure};
use crate::output::report::Report;
use crate::payload;

/// Let instances stand still: what comes is kept, nothing new is called, no timer fires
#[derive(Debug, Args)]
pub(crate) struct Suspend {
    #[command(flatten)]
    what: Instances,
}

/// Let suspended instances go on
#[derive(Debug, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    what: Instances,
}

/// Set variables of instances
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Names and values, a JSON object: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: String,

    /// An open activity, by its element or activation id; without it the process
    #[arg(long, value_name = "ELEMENT", default_value = "", hide_default_value = true)]
    scope: String,

    #[command(flatten)]
    what: Instances,
}

/// Move tokens of instances from one element to another: all of the moves, or none
#[derive(Debug, Args)]
pub(crate) struct Modify {
    /// From an element (or one activation) that tokens are at, to another of the same scope; several times if you like
    #[arg(long = "move", value_name = "FROM=TO", required = true, value_parser = from_to)]
    moves: Vec<(String, String)>,

    /// Variables that they write on their way: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    data: Option<String>,

    #[command(flatten)]
    what: Instances,
}

/// Let instances go on with another version of their process, where they stand: all tokens of an instance, or none
#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The version: a deployment, or a process for its newest
    #[arg(long, value_name = "DEPLOYMENT")]
    to: String,

    /// An element (or flow) that is called otherwise there; several times if you like
    #[arg(long = "map", value_name = "FROM=TO", value_parser = from_to)]
    names: Vec<(String, String)>,

    #[command(flatten)]
    what: Instances,
}

fn from_to(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => Ok((from.to_owned(), to.to_owned())),
        _ => Err("write FROM=TO, two element ids".to_owned()),
    }
}

/// Instances, and who does it to them.
#[derive(Debug, Args)]
struct Instances {
    #[command(flatten)]
    operator: OperatorArgs,

    /// The instances
    #[arg(value_name = "INSTANCE", required = true)]
    ids: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

impl Suspend {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let Instances { operator, ids, output } = self.what;
        operate(flowd, &Operation::Suspend(operator.operator()), &ids, output).await
    }
}

impl Resume {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let Instances { operator, ids, output } = self.what;
        operate(flowd, &Operation::Resume(operator.operator()), &ids, output).await
    }
}

impl Set {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let Instances { operator, ids, output } = self.what;
        let values = payload::read(&self.data, None)?;
        operate(flowd, &Operation::Set { values, scope: self.scope, by: operator.operator() }, &ids, output).await
    }
}

impl Modify {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let Instances { operator, ids, output } = self.what;
        let values = self.data.as_deref().map(|data| payload::read(data, None)).transpose()?;
        operate(flowd, &Operation::Modify { moves: self.moves, values, by: operator.operator() }, &ids, output).await
    }
}

impl Migrate {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let Instances { operator, ids, output } = self.what;
        let by = operator.operator();
        operate(flowd, &Operation::Migrate { to: self.to, names: self.names, by }, &ids, output).await
    }
}

async fn operate(flowd: &Flowd, operation: &Operation, ids: &[String], output: OutputArgs) -> anyhow::Result<Exit> {
    let mut client = Client::connect(flowd).await?;
    let mut outcomes = Vec::new();
    for word in ids {
        let id = instance(word)?;
        outcomes.push(client.operate(operation, Kind::Instance, id).await?);
    }
    show_report(&Report { original_key: "status", outcomes }, output.output)
}

/// The instance that a word names; `instance/ID`, as `-o name` prints it, too.
fn instance(word: &str) -> anyhow::Result<String> {
    match split(word) {
        Some((Kind::Instance, id)) => Ok(id),
        Some((Kind::Deployment, _)) => Err(Failure::usage(format!("{word} is not an instance")).into()),
        None => Ok(word.to_owned()),
    }
}
