//! Expressions: their language is one that is executed, and they parse.

use super::Context;
use crate::binding::{Annotations, ConditionLanguage};
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Definitions, Expression, Position};

/// A language that is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// FEEL.
    Feel,
    /// The safe subset of the original's Python.
    Python,
}

/// Checks the condition of every sequence flow.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for flow in &cx.process.flows {
        let Some(condition) = &flow.condition else { continue };
        match language_of(cx.definitions, cx.annotations, condition) {
            Ok((language, text)) => check(cx, &flow.id, text, language, condition, out),
            Err(language) => out.push(refused(&flow.id, language, condition)),
        }
    }
}

/// The language of `expression` and its text without the marks that only tell the language; the
/// name of the language if it is not one that is executed.
pub(crate) fn language_of<'e>(
    definitions: &Definitions,
    annotations: &Annotations,
    expression: &'e Expression,
) -> Result<(Language, &'e str), String> {
    let text = expression.text.trimmed();
    if let Some(python) = text.strip_prefix("python:") {
        return Ok((Language::Python, python));
    }
    if expression.attributes.iter().any(|it| it.name == "resource") {
        return Err("a script in a file of its own".to_owned());
    }
    let given = expression.language.as_deref().or(definitions.expression_language.as_deref());
    let given = given.map(str::trim).filter(|it| !it.is_empty());
    if let Some(foreign) = foreign(text) {
        return Err(given.map_or(foreign.to_owned(), |it| format!("{foreign} ({it})")));
    }
    let language = match given {
        None => match annotations.global.condition_language.unwrap_or_default() {
            ConditionLanguage::Feel => Language::Feel,
            ConditionLanguage::Python => Language::Python,
        },
        Some(name) => named(name)?,
    };
    Ok(match language {
        Language::Feel => (language, text.strip_prefix('=').unwrap_or(text)),
        Language::Python => (language, text),
    })
}

fn named(name: &str) -> Result<Language, String> {
    let lower = name.to_ascii_lowercase();
    if lower.trim_end_matches('/').ends_with("feel") || lower.contains("/feel") {
        Ok(Language::Feel)
    } else if lower == "python" || lower == "text/python" || lower == "text/x-python" {
        Ok(Language::Python)
    } else if lower.contains("xpath") {
        Err(format!("XPath ({name})"))
    } else {
        Err(format!("`{}`", name.chars().take(100).collect::<String>()))
    }
}

/// The language that the text's own marks tell.
pub(crate) fn foreign(text: &str) -> Option<&'static str> {
    (text.starts_with("${") || text.starts_with("#{")).then_some("JUEL, the `${...}` of Java engines")
}

/// The finding for an expression in a language that is not executed.
pub(crate) fn refused(element: &str, language: impl std::fmt::Display, expression: &Expression) -> Diagnostic {
    let message = format!("the expression of `{element}` is in {language}");
    Diagnostic::error(Rule::ExpressionLanguage, expression.position_of(0), message).on(element)
}

/// Parses `text`, a part of `expression`, and reports where it fails.
pub(super) fn check(
    cx: &Context<'_>,
    element: &str,
    text: &str,
    language: Language,
    expression: &Expression,
    out: &mut Vec<Diagnostic>,
) {
    if text.trim().is_empty() {
        let message = format!("the expression of `{element}` is empty");
        out.push(Diagnostic::error(Rule::ExpressionEmpty, expression.position, message).on(element));
        return;
    }
    let (name, parsed) = match language {
        Language::Feel => {
            let read = |it| cx.source.mentions.read(element, expression.position_of(0), &it);
            ("FEEL", feel::parse(text).map(read))
        }
        Language::Python => ("the safe subset of Python", feel::python::parse(text).map(|_| ())),
    };
    if let Err(error) = parsed {
        let position = place(text, error.offset, expression);
        let message = format!("the expression of `{element}` is not {name}: {}", error.message);
        out.push(Diagnostic::error(Rule::ExpressionSyntax, position, message).on(element));
    }
}

/// Where the byte at `offset` of `part` stands, `part` being cut out of the expression's text.
fn place(part: &str, offset: usize, expression: &Expression) -> Position {
    let whole = &expression.text.value;
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize);
    let start = start.filter(|it| *it <= whole.len()).unwrap_or(0);
    expression.position_of(start + offset)
}
