//! Builds the compiled form from a source: the grammar of DMN 1.5, clause 10.3.1.2, by recursive descent.
//!
//! Where the grammar needs to know the names in scope (names with spaces), words that stand side by side are one name, since no operator
//! would stand between them otherwise. Nesting, length and backtracking are limited; what is beyond gets an error, never a deep stack.

use std::sync::Arc;

use crate::ast::{Comparison, Expr, Test};
use crate::error::ParseError;
use crate::lexer::{self, Kind, Token};

mod operators;
mod primary;
mod types;

/// The longest source taken, in bytes.
const MAX_LENGTH: usize = 256 * 1024;
/// How deep brackets, calls and operators may nest.
const MAX_NESTING: u32 = 48;
/// Words that end a name they follow.
const INFIX_WORDS: [&str; 9] = ["and", "or", "in", "between", "then", "else", "return", "satisfies", "?"];

/// Parses an expression; `names` are variables whose names hold operators or keywords, such as `a-b`.
pub(crate) fn expression(source: &str, names: &[&str]) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(source, names)?;
    let expr = parser.expression()?;
    parser.finish()?;
    Ok(expr)
}

/// Parses unary tests.
pub(crate) fn unary_tests(source: &str, names: &[&str]) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(source, names)?;
    if parser.is_word("not") {
        let mark = parser.mark();
        if let Ok(tests) = parser.negated_tests() {
            return Ok(Expr::NotTests(tests));
        }
        parser.reset(mark);
    }
    let tests = parser.tests()?;
    parser.finish()?;
    Ok(Expr::Tests(tests))
}

pub(super) struct Parser<'s> {
    source: &'s str,
    token: Token<'s>,
    known: Vec<String>,
    nesting: u32,
    steps: usize,
    /// Whether `?` was named since this was last cleared.
    input_used: bool,
    /// The same for `partial`.
    partial_used: bool,
}

/// A place to come back to.
struct Mark<'s> {
    token: Token<'s>,
    input_used: bool,
    known: usize,
}

type Parsed<T> = Result<T, ParseError>;

impl<'s> Parser<'s> {
    fn new(source: &'s str, names: &[&str]) -> Parsed<Self> {
        if source.len() > MAX_LENGTH {
            return Err(ParseError::new(MAX_LENGTH, format!("an expression is at most {MAX_LENGTH} bytes long")));
        }
        let mut known: Vec<String> = Vec::new();
        for name in names {
            remember(&mut known, name);
        }
        let token = lexer::next(source, 0, &known)?;
        Ok(Self {
            source,
            token,
            known,
            nesting: 0,
            steps: source.len() * 16 + 4096,
            input_used: false,
            partial_used: false,
        })
    }

    fn mark(&self) -> Mark<'s> {
        Mark { token: self.token.clone(), input_used: self.input_used, known: self.known.len() }
    }

    fn reset(&mut self, mark: Mark<'s>) {
        self.token = mark.token;
        self.input_used = mark.input_used;
        self.known.truncate(mark.known);
    }

    /// Steps to the next token and answers the one that was current.
    fn advance(&mut self) -> Parsed<Token<'s>> {
        self.steps =
            self.steps.checked_sub(1).ok_or_else(|| self.error("the expression is too ambiguous to be read"))?;
        let next = lexer::next(self.source, self.token.end, &self.known)?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    /// The token after the current one.
    fn peek(&self) -> Parsed<Kind<'s>> {
        lexer::next(self.source, self.token.end, &self.known).map(|token| token.kind)
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError::new(self.token.start, message)
    }

    fn unexpected(&self, wanted: &str) -> ParseError {
        let found = match &self.token.kind {
            Kind::End => "the end".to_owned(),
            Kind::Op("=") => "= (a second one? FEEL compares with a single =)".to_owned(),
            _ => format!("`{}`", &self.source[self.token.start..self.token.end]),
        };
        self.error(format!("expected {wanted}, found {found}"))
    }

    fn is_op(&self, op: &str) -> bool {
        matches!(self.token.kind, Kind::Op(found) if found == op)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.token.kind, Kind::Word(found) if found == word)
    }

    fn take_op(&mut self, op: &str) -> Parsed<bool> {
        let found = self.is_op(op);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect_op(&mut self, op: &str) -> Parsed<()> {
        if self.take_op(op)? { Ok(()) } else { Err(self.unexpected(&format!("`{op}`"))) }
    }

    fn take_word(&mut self, word: &str) -> Parsed<bool> {
        let found = self.is_word(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.take_word(word)? { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    fn finish(&self) -> Parsed<()> {
        if self.token.kind == Kind::End { Ok(()) } else { Err(self.unexpected("an operator or the end")) }
    }

    /// Runs `parse` one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= MAX_NESTING {
            return Err(self.error(format!("the expression nests deeper than {MAX_NESTING} levels")));
        }
        self.nesting += 1;
        let result = parse(self);
        self.nesting -= 1;
        result
    }

    /// A name: in backticks, known, or words side by side up to an infix keyword.
    fn name(&mut self) -> Parsed<Arc<str>> {
        if let Kind::Name(name) = &self.token.kind {
            let name = Arc::from(name.as_str());
            self.advance()?;
            return Ok(name);
        }
        let Kind::Word(first) = self.token.kind else {
            return Err(self.unexpected("a name"));
        };
        self.advance()?;
        if first == "?" {
            self.input_used = true;
            return Ok(first.into());
        }
        let mut name = first.to_owned();
        while let Kind::Word(word) = self.token.kind {
            let ends = INFIX_WORDS.contains(&word) || (word == "instance" && self.peek()? == Kind::Word("of"));
            if ends {
                break;
            }
            name.push(' ');
            name.push_str(word);
            self.advance()?;
        }
        self.partial_used |= name == "partial";
        Ok(name.into())
    }

    /// A key of a context or of a named argument, when a colon follows: a string, or any run of words and operators of names.
    fn key(&mut self) -> Parsed<Option<Arc<str>>> {
        let mark = self.mark();
        let start = self.token.start;
        if let Kind::String(text) = &self.token.kind {
            let text = Arc::from(text.as_str());
            self.advance()?;
            if self.is_op(":") {
                return Ok(Some(text));
            }
            self.reset(mark);
            return Ok(None);
        }
        let mut single = None;
        let mut end = start;
        let mut count = 0;
        while let Kind::Word(_) | Kind::Name(_) | Kind::Number(_) | Kind::Op("+" | "-" | "*" | "/" | "**" | ".") =
            &self.token.kind
        {
            if count == 0 && matches!(self.token.kind, Kind::Number(_) | Kind::Op(_)) {
                break;
            }
            let token = self.advance()?;
            end = token.end;
            count += 1;
            if let Kind::Name(name) = token.kind {
                single = Some(name);
            }
        }
        if count == 0 || count > 64 || !self.is_op(":") {
            self.reset(mark);
            return Ok(None);
        }
        let name = match single {
            Some(name) if count == 1 => name,
            _ => self.source[start..end].split_whitespace().collect::<Vec<_>>().join(" "),
        };
        remember(&mut self.known, &name);
        Ok(Some(name.into()))
    }

    fn negated_tests(&mut self) -> Parsed<Vec<Test>> {
        self.expect_word("not")?;
        self.expect_op("(")?;
        let tests = self.tests()?;
        self.expect_op(")")?;
        self.finish()?;
        Ok(tests)
    }

    /// Unary tests with commas between, or a lone `-`.
    fn tests(&mut self) -> Parsed<Vec<Test>> {
        if self.is_op("-") && self.peek()? == Kind::End {
            self.advance()?;
            return Ok(vec![Test::Any]);
        }
        let mut tests = vec![self.test()?];
        while self.take_op(",")? {
            tests.push(self.test()?);
        }
        Ok(tests)
    }

    /// One positive unary test.
    fn test(&mut self) -> Parsed<Test> {
        if let Some(comparison) = self.comparison_op() {
            self.advance()?;
            return Ok(Test::Compare(comparison, self.nested(Self::additive)?));
        }
        let before = std::mem::replace(&mut self.input_used, false);
        let expr = self.expression()?;
        let uses_input = std::mem::replace(&mut self.input_used, before);
        Ok(Test::Expression { expr, uses_input })
    }

    fn comparison_op(&self) -> Option<Comparison> {
        let Kind::Op(op) = self.token.kind else { return None };
        Some(match op {
            "=" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return None,
        })
    }
}

/// Whether a name is understood only when it is known: words side by side would not give it.
pub(crate) fn must_be_known(name: &str) -> bool {
    let plain = name.split(' ').enumerate().all(|(index, word)| {
        let starts = word.starts_with(lexer::is_name_start);
        starts && word.chars().all(lexer::is_name_part) && (index == 0 || !INFIX_WORDS.contains(&word))
    });
    !plain && name.starts_with(lexer::is_name_start)
}

fn remember(known: &mut Vec<String>, name: &str) {
    if must_be_known(name) && !known.iter().any(|k| k == name) {
        known.push(name.to_owned());
    }
}
