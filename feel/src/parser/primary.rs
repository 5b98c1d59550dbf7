//! Literals, names, brackets, and what stands behind them: paths, filters and calls.

use std::sync::Arc;

use super::{Parsed, Parser};
use crate::ast::{Arguments, Call, Expr, Iteration, Lambda};
use crate::builtins;
use crate::lexer::Kind;
use crate::temporal::at_literal;
use crate::value::Value;

/// How many filters and calls may follow each other.
const MAX_POSTFIX: usize = 24;

impl Parser<'_> {
    pub(super) fn postfix(&mut self) -> Parsed<Expr> {
        let mut left = self.primary()?;
        let mut count = 0;
        loop {
            left = if self.take_op(".")? {
                let step = self.name()?;
                match left {
                    Expr::Path(root, mut steps) => {
                        steps.push(step);
                        Expr::Path(root, steps)
                    }
                    other => Expr::Path(other.into(), vec![step]),
                }
            } else if self.is_op("[") {
                let mark = self.mark();
                match self.filter() {
                    Ok(filter) => Expr::Filter(left.into(), filter.into()),
                    // `]1..5[`: the bracket closes a range; if it does not, its reader says so.
                    Err(_) if self.closes_range(&mark.token) => {
                        self.reset(mark);
                        return Ok(left);
                    }
                    Err(error) => return Err(error),
                }
            } else if self.is_op("(") {
                self.call(left)?
            } else {
                return Ok(left);
            };
            count += 1;
            if count > MAX_POSTFIX && !matches!(left, Expr::Path(..)) {
                return Err(self.error("too many filters or calls in a row"));
            }
        }
    }

    fn filter(&mut self) -> Parsed<Expr> {
        self.expect_op("[")?;
        let filter = self.expression()?;
        self.expect_op("]")?;
        Ok(filter)
    }

    /// Whether the bracket may be the open end of a range whose other end stands before it.
    fn closes_range(&self, bracket: &crate::lexer::Token<'_>) -> bool {
        self.source[..bracket.start].contains("..")
    }

    fn call(&mut self, callee: Expr) -> Parsed<Expr> {
        let builtin = match &callee {
            Expr::Name(name) => builtins::find(name),
            _ => None,
        };
        let arguments = self.nested(Self::arguments)?;
        Ok(Expr::Call(Box::new(Call { callee, builtin, arguments })))
    }

    fn arguments(&mut self) -> Parsed<Arguments> {
        self.expect_op("(")?;
        if self.take_op(")")? {
            return Ok(Arguments::Positional(Vec::new()));
        }
        let known = self.known.len();
        if let Some(first) = self.key()? {
            self.known.truncate(known);
            self.advance()?;
            let mut named = vec![(first, self.expression()?)];
            while self.take_op(",")? {
                let name = self.key()?.ok_or_else(|| self.unexpected("the name of a parameter"))?;
                self.known.truncate(known);
                self.advance()?;
                named.push((name, self.expression()?));
            }
            self.expect_op(")")?;
            return Ok(Arguments::Named(named));
        }
        let mut positional = vec![self.expression()?];
        while self.take_op(",")? {
            positional.push(self.expression()?);
        }
        self.expect_op(")")?;
        Ok(Arguments::Positional(positional))
    }

    fn primary(&mut self) -> Parsed<Expr> {
        match &self.token.kind {
            Kind::Number(number) => self.literal(Value::Number(number.clone())),
            Kind::String(text) => self.literal(Value::string(text)),
            Kind::At(text) => match at_literal(text) {
                Some(value) => self.literal(value),
                None => {
                    let message = format!("@{text:?} is no date, time or duration");
                    self.advance()?;
                    Ok(Expr::Invalid(message))
                }
            },
            Kind::Op("(") => self.nested(Self::bracket),
            Kind::Op("[" | "]") => self.nested(Self::list_or_range),
            Kind::Op("{") => self.nested(Self::context),
            Kind::Word(word) => self.word(word),
            Kind::Name(_) => Ok(Expr::Name(self.name()?)),
            _ => Err(self.unexpected("an expression")),
        }
    }

    fn literal(&mut self, value: Value) -> Parsed<Expr> {
        self.advance()?;
        Ok(Expr::Literal(value))
    }

    fn word(&mut self, word: &str) -> Parsed<Expr> {
        let next = self.peek()?;
        let called = next == Kind::Op("(");
        match word {
            "null" => self.literal(Value::Null),
            "true" => self.literal(Value::Bool(true)),
            "false" => self.literal(Value::Bool(false)),
            "if" => self.nested(Self::conditional),
            "for" => self.nested(Self::for_loop),
            "some" | "every" if !called => self.nested(Self::quantified),
            "function" if called => self.nested(Self::function),
            "and" | "or" if called => {
                self.advance()?;
                Ok(Expr::Name(word.into()))
            }
            "then" | "else" | "return" | "satisfies" | "in" | "between" | "and" | "or" => {
                Err(self.unexpected("an expression"))
            }
            _ => {
                if matches!(next, Kind::Word("and" | "or"))
                    && let Some(name) = self.builtin_with_keyword()?
                {
                    return Ok(Expr::Name(name));
                }
                Ok(Expr::Name(self.name()?))
            }
        }
    }

    /// `date and time(`, `years and months duration(` and `get or else(`: built-ins whose names hold a keyword.
    fn builtin_with_keyword(&mut self) -> Parsed<Option<Arc<str>>> {
        let mark = self.mark();
        for name in builtins::WITH_KEYWORD {
            let mut matched = true;
            for word in name.split(' ') {
                if !self.take_word(word)? {
                    matched = false;
                    break;
                }
            }
            if matched && self.is_op("(") {
                return Ok(Some((*name).into()));
            }
            self.reset(super::Mark { token: mark.token.clone(), ..mark });
        }
        Ok(None)
    }

    /// `(a)`, `(a..b)` or `(> a)`.
    fn bracket(&mut self) -> Parsed<Expr> {
        self.advance()?;
        if let Some(comparison) = self.comparison_op() {
            return self.comparison_range(comparison);
        }
        let first = self.expression()?;
        if self.take_op("..")? {
            return self.range_end(first, false);
        }
        self.expect_op(")")?;
        Ok(first)
    }

    /// `[a, b]`, `[a..b]` or `]a..b]`.
    fn list_or_range(&mut self) -> Parsed<Expr> {
        let open = self.advance()?.kind == Kind::Op("]");
        if !open && self.take_op("]")? {
            return Ok(Expr::List(Vec::new()));
        }
        let first = self.expression()?;
        if self.take_op("..")? {
            return self.range_end(first, !open);
        }
        if open {
            return Err(self.unexpected("`..`"));
        }
        let mut items = vec![first];
        while self.take_op(",")? {
            items.push(self.expression()?);
        }
        self.expect_op("]")?;
        Ok(Expr::List(items))
    }

    fn range_end(&mut self, start: Expr, start_included: bool) -> Parsed<Expr> {
        let end = self.expression()?;
        let end_included = match self.token.kind {
            Kind::Op("]") => true,
            Kind::Op(")" | "[") => false,
            _ => return Err(self.unexpected("`]`, `)` or `[` behind a range")),
        };
        self.advance()?;
        Ok(Expr::Range { ends: Box::new([Some(start), Some(end)]), included: [start_included, end_included] })
    }

    fn context(&mut self) -> Parsed<Expr> {
        self.advance()?;
        let mut entries: Vec<(Arc<str>, Expr)> = Vec::new();
        while !self.is_op("}") {
            let name = self.key()?.ok_or_else(|| self.unexpected("a key and `:`"))?;
            self.expect_op(":")?;
            entries.push((name, self.expression()?));
            if !self.take_op(",")? {
                break;
            }
        }
        self.expect_op("}")?;
        Ok(Expr::Context(entries))
    }

    fn conditional(&mut self) -> Parsed<Expr> {
        self.advance()?;
        let condition = self.expression()?;
        self.expect_word("then")?;
        let yes = self.expression()?;
        self.expect_word("else")?;
        let no = self.expression()?;
        Ok(Expr::If(Box::new([condition, yes, no])))
    }

    fn iterations(&mut self) -> Parsed<Vec<Iteration>> {
        let mut iterations = Vec::new();
        loop {
            let name = self.name()?;
            self.expect_word("in")?;
            let from = self.expression()?;
            let to = if self.take_op("..")? { Some(self.expression()?) } else { None };
            iterations.push(Iteration { name, from, to });
            if !self.take_op(",")? {
                return Ok(iterations);
            }
        }
    }

    fn for_loop(&mut self) -> Parsed<Expr> {
        self.advance()?;
        let iterations = self.iterations()?;
        self.expect_word("return")?;
        let outside = std::mem::replace(&mut self.partial_used, false);
        let body = self.expression()?.into();
        let partial = std::mem::replace(&mut self.partial_used, outside);
        self.partial_used |= partial;
        Ok(Expr::For { iterations, body, partial })
    }

    fn quantified(&mut self) -> Parsed<Expr> {
        let every = self.advance()?.kind == Kind::Word("every");
        let iterations = self.iterations()?;
        self.expect_word("satisfies")?;
        Ok(Expr::Quantified { every, iterations, condition: self.expression()?.into() })
    }

    fn function(&mut self) -> Parsed<Expr> {
        self.advance()?;
        self.expect_op("(")?;
        let mut parameters = Vec::new();
        while !self.is_op(")") {
            let name = self.name()?;
            let kind = if self.take_op(":")? { Some(self.type_name()?) } else { None };
            parameters.push((name, kind));
            if !self.take_op(",")? {
                break;
            }
        }
        self.expect_op(")")?;
        let external = self.take_word("external")?;
        let body = self.expression()?;
        if external {
            return Ok(Expr::Invalid("external functions are not supported".to_owned()));
        }
        Ok(Expr::Function(Arc::new(Lambda { parameters, body })))
    }
}
