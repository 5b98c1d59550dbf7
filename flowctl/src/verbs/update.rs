//! `flowctl update`: have flowd carry out the actions of YAML documents, as the original's `update` took them.
//!
//! `expose_ingress` and `clear_ingress` open and close ways in by host and path, `swap_service` repoints a task. flowd
//! reads the documents (docs/operations.md has them); each has an outcome of its own.

use clap::Args;

use super::show_report;
use crate::args::{Flowd, OutputArgs};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::report::Report;
use crate::payload;

/// Carry out the actions of YAML files
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// YAML files, or `-` for standard input
    #[arg(value_name = "FILE", required = true)]
    specs: Vec<String>,

    #[command(flatten)]
    output: OutputArgs,
}

impl Update {
    pub(crate) async fn run(self, flowd: &Flowd) -> anyhow::Result<Exit> {
        let mut specs = Vec::new();
        for file in &self.specs {
            let bytes = payload::read_source(file)?;
            let text = String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{file} is not UTF-8")))?;
            specs.push((file, text));
        }
        let mut client = Client::connect(flowd).await?;
        let mut outcomes = Vec::new();
        for (file, spec) in specs {
            outcomes.extend(client.update(file, spec).await?);
        }
        show_report(&Report { original_key: "status", outcomes }, self.output.output)
    }
}
