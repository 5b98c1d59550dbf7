//! Diagnostics of a model: the JSON of scripts, and for people the source line with the place underlined.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// How grave a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// The model cannot run.
    Error,
    /// It runs, but perhaps not as meant.
    Warning,
    /// Worth knowing.
    Info,
}

/// One finding in a model, in the shape that scripts rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Diagnostic {
    /// Stable id of the rule.
    pub(crate) rule: String,
    pub(crate) severity: Severity,
    /// Id of the BPMN element; null if it is about the file as a whole.
    pub(crate) element: Option<String>,
    /// Line in the file, from 1; 0 if there is no place.
    pub(crate) line: u32,
    /// Column in characters, from 1; 0 if there is no place.
    pub(crate) column: u32,
    pub(crate) message: String,
    /// What to do; empty if the message says it all.
    pub(crate) help: String,
}

/// Whether any of them keeps the model from running.
pub(crate) fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// Longest source line that is shown, in bytes; generated models may be one line of megabytes.
const LONGEST_LINE: usize = 4096;

/// All diagnostics of one file, as rustc shows its own; colours are for the caller's stream to take out.
pub(crate) fn render(file: &str, source: &str, diagnostics: &[Diagnostic]) -> String {
    let renderer = Renderer::styled();
    let rendered = diagnostics.iter().map(|diagnostic| renderer.render(&report(file, source, diagnostic)) + "\n");
    rendered.collect::<Vec<_>>().join("\n")
}

fn report<'a>(file: &'a str, source: &'a str, diagnostic: &'a Diagnostic) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(printable(&diagnostic.message)).id(diagnostic.rule.as_str());
    let group = match place(source, diagnostic) {
        Some((line, number, span)) => title.element(
            Snippet::source(line).line_start(number as usize).path(file).annotation(AnnotationKind::Primary.span(span)),
        ),
        None => title.element(origin(file, diagnostic)),
    };
    if diagnostic.help.is_empty() {
        return vec![group];
    }
    vec![group.element(Level::HELP.message(printable(&diagnostic.help)))]
}

fn origin<'a>(file: &'a str, diagnostic: &Diagnostic) -> Origin<'a> {
    let origin = Origin::path(file);
    match (diagnostic.line, diagnostic.column) {
        (0, _) => origin,
        (line, 0) => origin.line(line as usize),
        (line, column) => origin.line(line as usize).char_column(column as usize),
    }
}

/// The source line a diagnostic is about, its number, and the bytes of it to underline.
fn place<'a>(source: &'a str, diagnostic: &Diagnostic) -> Option<(&'a str, u32, Range<usize>)> {
    let number = diagnostic.line;
    let line = source.lines().nth((number as usize).checked_sub(1)?)?;
    if line.len() > LONGEST_LINE || line.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    let column = diagnostic.column.max(1) as usize - 1;
    let start = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    Some((line, number, start..start + extent(&line[start..])))
}

/// How far the thing that begins here goes: a tag to its end, a text to the next tag, else to the end of the line.
fn extent(rest: &str) -> usize {
    let end = if rest.starts_with('<') { rest.find('>').map(|at| at + 1) } else { rest.find('<') };
    rest[..end.unwrap_or(rest.len())].trim_end().len()
}

/// Messages may quote the model; its control characters stay out of the terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n').collect()
}

#[cfg(test)]
pub(crate) mod tests;
