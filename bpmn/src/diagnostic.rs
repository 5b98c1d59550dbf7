//! Diagnostics: the author's mistakes, found before anything runs.
//!
//! A diagnostic names a stable rule of the [`CATALOGUE`], the element and its place in the file.
//! Rule ids are a contract with scripts: one is never renamed, new ones are added, and each has
//! its section in `docs/diagnostics.md`.

mod catalogue;

pub use catalogue::{CATALOGUE, Rule};

use serde::Serialize;

use crate::model::Position;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The model is refused.
    Error,
    /// The model runs, but maybe not as its author thinks.
    Warning,
    /// Worth knowing.
    Info,
}

/// One finding. The field names are the JSON that scripts read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The id of a rule of the [`CATALOGUE`].
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The id of the element, if there is one to name.
    pub element: Option<String>,
    /// The line, from 1; 0 if there is no place to name.
    pub line: u32,
    /// The column in characters, from 1; 0 if there is no place to name.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Diagnostic {
    /// A finding of severity error at `position`.
    pub fn error(rule: Rule, position: Position, message: impl Into<String>) -> Self {
        Self {
            rule: rule.id(),
            severity: Severity::Error,
            element: None,
            line: position.line,
            column: position.column,
            message: message.into(),
            help: rule.help().to_owned(),
        }
    }

    /// A finding of severity warning at `position`.
    pub fn warning(rule: Rule, position: Position, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(rule, position, message) }
    }

    /// A finding of severity info at `position`.
    pub fn info(rule: Rule, position: Position, message: impl Into<String>) -> Self {
        Self { severity: Severity::Info, ..Self::error(rule, position, message) }
    }

    /// Names the element.
    #[must_use]
    pub fn on(mut self, element: impl Into<String>) -> Self {
        self.element = Some(element.into());
        self
    }

    /// Replaces the rule's general advice by one that fits the case.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// Whether the model is refused because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        write!(f, "{}:{}: {severity}", self.line, self.column)?;
        write!(f, " [{}]", self.rule)?;
        if let Some(element) = &self.element {
            write!(f, " {element}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// How many findings one file yields at most.
const MOST: usize = 1_000;

/// Puts findings into the order in which a person reads the file; of very many, keeps the worst.
pub(crate) fn sort(diagnostics: &mut Vec<Diagnostic>) {
    if diagnostics.len() > MOST {
        diagnostics.sort_by_key(|it| it.severity);
        diagnostics.truncate(MOST);
    }
    diagnostics.sort_by(|a, b| {
        (a.line, a.column, a.severity, a.rule, &a.element).cmp(&(b.line, b.column, b.severity, b.rule, &b.element))
    });
}
