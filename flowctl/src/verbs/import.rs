//! `flowctl import`: what of a model of another engine runs here, and the model to apply; offline.

use std::path::Path;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::tell;
use crate::args::OutputArgs;
use crate::exit::{Exit, Failure};
use crate::output::apply::{File, Status};
use crate::output::diagnostic::Diagnostic;
use crate::output::import::Imported;
use crate::output::{self, Format};
use crate::payload;

/// Say what of another engine's model maps, and write the model to apply
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Whose model it is
    #[arg(value_enum)]
    dialect: Dialect,

    /// The model, or - for standard input
    file: String,

    /// Where to write the model to apply (`-o OUT` means the same); without it nothing is written
    out: Option<String>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Engines whose models are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dialect {
    /// The original: text annotations
    Rexflow,
    /// Camunda 7
    Camunda7,
    /// Camunda 8
    Camunda8,
}

impl Import {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let source = payload::read_source(&self.file)?;
        let dialect = match self.dialect {
            Dialect::Rexflow => bpmn::Dialect::Rexflow,
            Dialect::Camunda7 => bpmn::Dialect::Camunda7,
            Dialect::Camunda8 => bpmn::Dialect::Camunda8,
        };
        let import = match bpmn::import(&source, dialect, &bpmn::Options::default()) {
            Ok(import) => import,
            Err(finding) => {
                let diagnostics = vec![Diagnostic::from(*finding)];
                let (status, message) = (Status::Refused, "it is no model".to_owned());
                tell(&File { file: self.file, status, message, deployments: Vec::new(), diagnostics }, &source);
                return Ok(Exit::Invalid);
            }
        };
        if let Some(out) = &self.out {
            write(&self.file, out, &import.model)?;
        }
        let imported = Imported { file: self.file, written: self.out, lines: import.lines };
        // `-o OUT` is read as `-o` and a word of its own
        let format = self.output.output.filter(|it| imported.written.is_none() || *it != Format::Original);
        output::show(&imported, format)?;
        Ok(imported.exit())
    }
}

/// Writes the model; never over the file that it comes from.
fn write(file: &str, out: &str, model: &[u8]) -> anyhow::Result<()> {
    let place = |it: &str| Path::new(it).canonicalize().ok();
    if file != "-" && place(out).is_some_and(|it| place(file) == Some(it)) {
        return Err(Failure::usage(format!("{out} is the model itself")).hint("write to another file").into());
    }
    std::fs::write(out, model).with_context(|| format!("cannot write the model to {out}"))
}
