//! Models of other engines, and of the original: what of a file maps, what changes, what does not, and the model to apply.
//!
//! The file is edited, never written anew: whatever no rule touches (drawings, comments, white space) stays byte for byte, and no edit adds or
//! takes away a line. What has no counterpart is left where it is and reported; [`check`] has the last word, so a model of which
//! everything maps is one that it accepts. Pure; no service is looked for and nothing is run.

mod camunda7;
mod draft;
mod juel;
mod rexflow;
mod tags;

use serde::Serialize;

use crate::compile::{Options, check};
use crate::diagnostic::{Diagnostic, Severity};
use crate::parse::parse;
use draft::Draft;

/// Whose model a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// The original's: text annotations.
    Rexflow,
    /// Camunda 7: `camunda:` extensions and JUEL.
    Camunda7,
    /// Camunda 8: `zeebe:` extensions and FEEL.
    Camunda8,
}

/// What becomes of a part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It runs as it is.
    Same,
    /// It runs, otherwise than it was written or than there.
    Changed,
    /// It does not run; the model is refused, or does less than it did.
    Unmapped,
}

/// What becomes of one element, or of one thing that it says. The field names are the JSON that scripts read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The element's id; empty if it has none.
    pub element: String,
    /// Its BPMN name.
    pub kind: String,
    /// The line of the file, from 1; 0 if there is no place to name.
    pub line: u32,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Attribute or extension that this is about; empty: the element itself.
    pub what: String,
    /// What changes, or why it does not map.
    pub message: String,
    /// What to use instead, or to do; empty if there is nothing to do.
    pub help: String,
}

/// A file that was read.
#[derive(Debug, Clone)]
pub struct Import {
    /// Every element of the file's processes, in the order of the file.
    pub lines: Vec<Line>,
    /// The model to apply.
    pub model: Vec<u8>,
}

/// Rules of which the importer tells, beside errors: what is said in the model and has another effect here.
const TOLD: [&str; 3] = ["binding-missing", "connector-foreign", "unknown-extension"];

/// Reads a model of `dialect`; `options` are those of the check that it is to pass.
///
/// # Errors
/// One diagnostic: why the bytes are not a BPMN file, and where.
pub fn import(xml: &[u8], dialect: Dialect, options: &Options) -> Result<Import, Box<Diagnostic>> {
    let definitions = parse(xml, options.limits)?;
    let (mark, text) = match xml.strip_prefix(b"\xef\xbb\xbf") {
        Some(text) => (&xml[..3], text),
        None => (&xml[..0], xml),
    };
    let text = std::str::from_utf8(text).unwrap_or_default();
    let mut draft = Draft::new(text);
    match dialect {
        Dialect::Rexflow => rexflow::import(&definitions, &mut draft),
        Dialect::Camunda7 => camunda7::import(&mut draft),
        Dialect::Camunda8 => {}
    }
    let mut model = mark.to_vec();
    model.extend_from_slice(draft.written().as_bytes());
    let findings = match check(&model, options) {
        Ok(checked) => checked.warnings,
        Err(findings) => findings,
    };
    for finding in findings {
        judge(&mut draft, finding);
    }
    Ok(Import { lines: draft.finish(), model })
}

/// What the check says of the written model, unless a rule has told the same already.
fn judge(draft: &mut Draft<'_>, finding: Diagnostic) {
    let outcome = match finding.severity {
        Severity::Error => Outcome::Unmapped,
        Severity::Warning | Severity::Info => {
            if !TOLD.contains(&finding.rule) && !finding.rule.starts_with("annotation-") {
                return;
            }
            Outcome::Changed
        }
    };
    let element = finding.element.unwrap_or_default();
    if draft.tells(&element, finding.line, outcome) {
        return;
    }
    let kind = draft.kind_of(&element);
    let what = finding.rule.to_owned();
    draft.lines.push(Line {
        element,
        kind,
        line: finding.line,
        outcome,
        what,
        message: finding.message,
        help: finding.help,
    });
}
