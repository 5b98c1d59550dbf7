//! `flowctl check`: what must be right in a cluster, before the mesh is installed there and after.

use clap::Args;
use serde_json::json;

use crate::args::OutputArgs;
use crate::check::before::Wanted;
use crate::check::{after, before, line};
use crate::cluster::{Access, Cluster};
use crate::exit::Exit;
use crate::install;
use crate::install::values::{self, ValuesArgs};
use crate::output;
use crate::output::check::{Checked, Finding};

/// Check a cluster, before installing into it and after; each line that is not right says what to do
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 1 if something failed; a warning is none. Values are for a mesh that is not installed yet."
)]
pub(crate) struct Check {
    /// Only what must be right before installing
    #[arg(long)]
    pre: bool,

    /// The namespace of flowd
    #[arg(long, short, env = "FLOW_NAMESPACE", default_value = "rexflow", value_name = "NAMESPACE")]
    namespace: String,

    #[command(flatten)]
    values: ValuesArgs,

    #[command(flatten)]
    access: Access,

    #[command(flatten)]
    output: OutputArgs,
}

impl Check {
    pub(crate) async fn run(self) -> anyhow::Result<Exit> {
        let checked = Checked { findings: self.findings().await? };
        output::show(&checked, self.output.output)?;
        let failed = checked.findings.iter().filter(|it| it.is_failed()).count();
        if failed > 0 {
            output::note(format_args!("error: {failed} of {} checks failed", checked.findings.len()));
        }
        Ok(checked.exit())
    }

    async fn findings(&self) -> anyhow::Result<Vec<Finding>> {
        let asked = values::complete(&self.values.over(json!({}))?)?;
        let cluster = match Cluster::open(&self.access).await {
            Ok(cluster) => cluster,
            Err(error) => return Ok(vec![line("cluster", "a kubeconfig names it", Err(error.into()))]),
        };
        let found = install::flowd(&cluster, &self.namespace).await;
        let flowd = found.as_ref().ok().and_then(Option::as_ref);
        let wanted = flowd.filter(|_| !self.pre).map_or_else(|| Wanted::of(&asked), Wanted::by);
        let mut findings = before::look(&cluster, &self.namespace, &wanted).await;
        // without an API server there is nothing more to see
        if self.pre || findings[0].is_failed() {
            return Ok(findings);
        }
        match found {
            Ok(_) => findings.extend(after::look(&cluster, &self.namespace, flowd, &wanted).await),
            Err(error) => findings.push(line("flowd", "it is installed", Err(error.into()))),
        }
        Ok(findings)
    }
}
