//! What flowctl shows: one answer, in each form it can be asked for.
//!
//! Data goes to standard output, everything else to standard error. Colours only on a terminal and only
//! without `NO_COLOR`. The JSON shapes are relied upon by other people's programs: fields may be added, none
//! renamed or dropped; the snapshots beside the modules hold them.

pub(crate) mod apply;
#[cfg(feature = "kubernetes")]
pub(crate) mod check;
pub(crate) mod deployment;
pub(crate) mod describe;
pub(crate) mod diagnostic;
pub(crate) mod form;
pub(crate) mod import;
#[cfg(feature = "kubernetes")]
pub(crate) mod install;
pub(crate) mod instance;
pub(crate) mod message;
pub(crate) mod probe;
pub(crate) mod report;
pub(crate) mod sarif;
pub(crate) mod swap;
pub(crate) mod table;
pub(crate) mod task;
pub(crate) mod time;
pub(crate) mod timer;
pub(crate) mod trace;
pub(crate) mod value;

use std::fmt::Display;
use std::io::Write as _;

use anyhow::Context as _;
use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::Value;

use crate::exit::Failure;

/// The forms of `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The bare JSON of the original's flowctl (`-o` alone)
    #[value(hide = true)]
    Original,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// A table with more columns
    Wide,
    /// Kind and id, one per line
    Name,
    /// SARIF 2.1.0: what was found in the models, for other tools
    Sarif,
}

/// An answer that can be shown.
pub(crate) trait Show {
    /// As scripts of today get it.
    fn json(&self) -> Value;

    /// As scripts of the original get it; the same as [`Show::json`] for what the original did not have.
    fn original(&self) -> Value {
        self.json()
    }

    /// `kind/id` of each thing named in the answer.
    fn names(&self) -> Vec<String>;

    /// As a SARIF log; `None` for what finds nothing in files.
    fn sarif(&self) -> Option<Value> {
        None
    }

    /// For people; `wide` asks for more columns, `now` is for ages. Ends with a newline unless empty.
    fn text(&self, wide: bool, now: Timestamp) -> String;
}

/// Prints an answer in the form asked for.
pub(crate) fn show(answer: &impl Show, format: Option<Format>) -> anyhow::Result<()> {
    data(&render(answer, format, Timestamp::now())?)
}

/// An answer in the form asked for; pure, so that it can be looked at.
pub(crate) fn render(answer: &impl Show, format: Option<Format>, now: Timestamp) -> anyhow::Result<String> {
    Ok(match format {
        None => answer.text(false, now),
        Some(Format::Wide) => answer.text(true, now),
        Some(Format::Json) => format!("{:#}\n", answer.json()),
        Some(Format::Original) => format!("{}\n", answer.original()),
        Some(Format::Yaml) => value::yaml(&answer.json())?,
        Some(Format::Sarif) => {
            let log = answer.sarif().ok_or_else(|| {
                Failure::usage("-o sarif is for what is found in models").hint("flowctl validate FILE -o sarif")
            })?;
            format!("{log:#}\n")
        }
        Some(Format::Name) => answer.names().iter().map(|name| format!("{name}\n")).collect(),
    })
}

/// Writes to standard output; colours are taken out unless it is a terminal.
pub(crate) fn data(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write to standard output")
}

/// Writes a line of progress or a message to standard error.
pub(crate) fn note(line: impl Display) {
    // Nobody is left to be told when standard error is gone.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Writes an error and what to do about it to standard error.
pub(crate) fn complain(error: &anyhow::Error, hint: &str) {
    note(format_args!("{}error:{} {error:#}", table::ERROR.render(), table::ERROR.render_reset()));
    if !hint.is_empty() {
        note(format_args!("  {}hint:{} {hint}", table::HINT.render(), table::HINT.render_reset()));
    }
}

#[cfg(test)]
pub(crate) mod tests;
