//! Expressions of a DMN file: FEEL alone, checked where they stand once every name is known.

use std::sync::Arc;

use routing::decision::Decisions;

use super::names::Results;
use super::{Reader, id_of};
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Element, Text};

/// An expression as written.
pub(super) struct Written<'x> {
    pub(super) text: &'x Text,
    tests: bool,
    pub(super) element: Arc<str>,
    /// The id of the decision or knowledge model that it is part of.
    pub(super) owner: String,
    pub(super) what: String,
}

impl<'x> Reader<'x> {
    /// The text of an expression element, empty if there is none; to be checked as an expression.
    pub(super) fn expression(&mut self, element: &'x Element, within: &str, what: String) -> String {
        self.text(element, within, what, false)
    }

    /// The same for unary tests.
    pub(super) fn tests(&mut self, element: &'x Element, within: &str, what: String) -> String {
        self.text(element, within, what, true)
    }

    fn text(&mut self, element: &'x Element, within: &str, what: String, tests: bool) -> String {
        let id = id_of(element, within);
        let inherited = self.root.attribute("expressionLanguage");
        let language = element.attribute("expressionLanguage").or(inherited).map(str::trim).unwrap_or_default();
        if !is_feel(language) {
            let language: String = language.chars().take(100).collect();
            self.error(Rule::DmnLanguage, element, &id, format!("{what} is in `{language}`"));
            return String::new();
        }
        if let Some(imported) = self.child(element, "importedValues") {
            self.error(Rule::DmnImport, imported, &id, format!("{what} stands in another file"));
        }
        let Some(text) = self.child(element, "text") else { return String::new() };
        let written = text.text.trimmed();
        if !(written.is_empty() || tests && written == "-") {
            self.expressions.push(Written { text: &text.text, tests, element: id, owner: within.to_owned(), what });
        }
        written.to_owned()
    }

    /// Parses every expression that was met.
    pub(super) fn check_expressions(&mut self, decisions: &Decisions) {
        let names = decisions.names();
        let mut results = Results::of(decisions, &self.ids);
        for written in std::mem::take(&mut self.expressions) {
            let text = written.text.trimmed();
            let parsed =
                if written.tests { feel::parse_unary_tests_with(text, &names) } else { feel::parse_with(text, &names) };
            match parsed {
                Ok(expression) => self.out.extend(results.check(&written, &expression.names())),
                Err(error) => {
                    let position = written.text.position_of(error.offset).unwrap_or_default();
                    let kind = if written.tests { "no FEEL unary tests" } else { "no FEEL" };
                    let message = format!("{} is {kind}: {}", written.what, error.message);
                    self.out.push(Diagnostic::error(Rule::DmnExpression, position, message).on(&*written.element));
                }
            }
        }
    }
}

/// Whether `language` is FEEL of any version; it is when no language is named.
fn is_feel(language: &str) -> bool {
    let lower = language.to_ascii_lowercase();
    lower.is_empty() || lower.trim_end_matches('/').ends_with("feel") || lower.contains("/feel/")
}
