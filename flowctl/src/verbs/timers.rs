//! `flowctl timers`: what flowd waits for, and another time for it.

use clap::Args;
use futures_util::TryStreamExt as _;

use super::show_report;
use crate::args::kind::Kind;
use crate::args::operator::OperatorArgs;
use crate::args::{Flowd, OutputArgs};
use crate::client::{Client, Operation};
use crate::exit::{Exit, Failure};
use crate::output;
use crate::output::report::Report;
use crate::output::timer::List;

/// List the timers that are waited for, or give some another time
#[derive(Debug, Args)]
pub(crate) struct Timers {
    /// Another time for the timer of this event (or activation): a date, a duration as PT10S, or a cycle as R3/PT5S; several times if you like
    #[arg(long = "set", value_name = "EVENT=SPEC", value_parser = setting)]
    settings: Vec<(String, String)>,

    #[command(flatten)]
    operator: OperatorArgs,

    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    limit: u32,

    /// Instances, deployments or processes; all if none is named
    #[arg(value_name = "ID")]
    ids: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((event, spec)) if !event.is_empty() && !spec.is_empty() => Ok((event.to_owned(), spec.to_owned())),
        _ => Err("write EVENT=SPEC, as wait=PT10S".to_owned()),
    }
}

/// Instances' ids end with a UUID.
fn kind_of(id: &str) -> Kind {
    let last = id.rsplit('-').next().unwrap_or_default();
    let uuid = last.len() == 32 && last.chars().all(|it| it.is_ascii_hexdigit());
    if uuid { Kind::Instance } else { Kind::Deployment }
}

impl Timers {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        if self.settings.is_empty() {
            let mut client = Client::connect(flowd).await?;
            let timers = client.timers(self.ids, self.limit).await?.try_collect().await?;
            output::show(&List { timers }, self.output.output)?;
            return Ok(Exit::Ok);
        }
        if self.ids.is_empty() {
            return Err(Failure::usage("say whose timers are to be set: an instance, or a deployment").into());
        }
        let mut client = Client::connect(flowd).await?;
        let operation = Operation::Rearm { timers: self.settings, by: self.operator.operator() };
        let mut outcomes = Vec::new();
        for id in self.ids {
            outcomes.push(client.operate(&operation, kind_of(&id), id).await?);
        }
        show_report(&Report { original_key: "status", outcomes }, self.output.output)
    }
}
