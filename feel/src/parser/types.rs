//! Names of types behind `instance of` and in parameter lists (DMN 1.5, grammar rule 52).

use std::sync::Arc;

use super::{Parsed, Parser};
use crate::ast::Type;
use crate::lexer::Kind;

/// Type names that no further word belongs to.
const COMPLETE: [&str; 9] = [
    "number",
    "string",
    "boolean",
    "Any",
    "date",
    "time",
    "date and time",
    "days and time duration",
    "years and months duration",
];

impl Parser<'_> {
    pub(super) fn type_name(&mut self) -> Parsed<Type> {
        self.nested(Self::type_inner)
    }

    fn type_inner(&mut self) -> Parsed<Type> {
        let name = self.type_words()?;
        Ok(match name.as_str() {
            "Any" => Type::Any,
            "Null" | "null" => Type::Null,
            "boolean" => Type::Boolean,
            "number" => Type::Number,
            "string" => Type::String,
            "date" => Type::Date,
            "time" => Type::Time,
            "date and time" | "dateTime" => Type::DateTime,
            "days and time duration" | "dayTimeDuration" | "day-time-duration" => Type::DaysTime,
            "years and months duration" | "yearMonthDuration" | "year-month-duration" => Type::YearsMonths,
            "list" => Type::List(self.type_argument()?.into()),
            "range" => Type::Range(self.type_argument()?.into()),
            "context" => Type::Context(self.entry_types()?),
            "function" => Type::Function(self.parameter_types()?),
            other => Type::Unknown(Arc::from(other)),
        })
    }

    /// Words of a type name; `and` belongs to it only before `time` and `months`.
    fn type_words(&mut self) -> Parsed<String> {
        let (Kind::Word(_) | Kind::Name(_)) = &self.token.kind else {
            return Err(self.unexpected("the name of a type"));
        };
        let mut words: Vec<String> = Vec::new();
        loop {
            match &self.token.kind {
                Kind::Name(name) => words.push(name.clone()),
                Kind::Word("and") if matches!(self.peek()?, Kind::Word("time" | "months")) => {
                    words.push("and".to_owned())
                }
                Kind::Word(word)
                    if words.is_empty()
                        || !super::INFIX_WORDS.contains(word) && *word != "instance" && *word != "external" =>
                {
                    // `function(a: number) if ...`: a known type name ends where the body begins.
                    if COMPLETE.contains(&words.join(" ").as_str()) {
                        break;
                    }
                    words.push((*word).to_owned());
                }
                Kind::Op(".") if !words.is_empty() => words.push(".".to_owned()),
                _ => break,
            }
            self.advance()?;
        }
        Ok(words.join(" "))
    }

    fn type_argument(&mut self) -> Parsed<Type> {
        if !self.take_op("<")? {
            return Ok(Type::Any);
        }
        let inner = self.type_name()?;
        self.expect_op(">")?;
        Ok(inner)
    }

    fn entry_types(&mut self) -> Parsed<Vec<(Arc<str>, Type)>> {
        let mut entries = Vec::new();
        if !self.take_op("<")? {
            return Ok(entries);
        }
        loop {
            let name = self.name()?;
            self.expect_op(":")?;
            entries.push((name, self.type_name()?));
            if !self.take_op(",")? {
                break;
            }
        }
        self.expect_op(">")?;
        Ok(entries)
    }

    fn parameter_types(&mut self) -> Parsed<Option<Vec<Type>>> {
        if !self.take_op("<")? {
            return Ok(None);
        }
        let mut types = Vec::new();
        while !self.is_op(">") {
            types.push(self.type_name()?);
            if !self.take_op(",")? {
                break;
            }
        }
        self.expect_op(">")?;
        self.expect_op("->")?;
        self.type_name()?;
        Ok(Some(types))
    }
}
