//! Operators by precedence, weakest first: or, and, comparison, sum, product, power, type test, sign (DMN 1.5, grammar rules 4 to 51).

use super::{Parsed, Parser};
use crate::ast::{Arithmetic, Comparison, Expr, Test};
use crate::lexer::Kind;

/// How many comparisons or type tests may follow each other without brackets.
const MAX_CHAIN: usize = 16;

impl Parser<'_> {
    /// A whole expression.
    pub(super) fn expression(&mut self) -> Parsed<Expr> {
        self.nested(Self::disjunction)
    }

    fn disjunction(&mut self) -> Parsed<Expr> {
        let first = self.conjunction()?;
        if !self.is_word("or") {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.take_word("or")? {
            operands.push(self.conjunction()?);
        }
        Ok(Expr::Or(operands))
    }

    fn conjunction(&mut self) -> Parsed<Expr> {
        let first = self.comparison()?;
        if !self.is_word("and") {
            return Ok(first);
        }
        let mut operands = vec![first];
        while self.take_word("and")? {
            operands.push(self.comparison()?);
        }
        Ok(Expr::And(operands))
    }

    fn comparison(&mut self) -> Parsed<Expr> {
        let mut left = self.additive()?;
        for _ in 0..MAX_CHAIN {
            left = if let Some(comparison) = self.comparison_op() {
                self.advance()?;
                Expr::Compare(comparison, left.into(), self.additive()?.into())
            } else if self.take_word("between")? {
                let low = self.additive()?;
                self.expect_word("and")?;
                Expr::Between(Box::new([left, low, self.additive()?]))
            } else if self.take_word("in")? {
                Expr::In(left.into(), self.in_tests()?)
            } else {
                return Ok(left);
            };
        }
        Err(self.error("too many comparisons in a row: use brackets"))
    }

    /// What stands behind `in`: one test, or several in brackets.
    fn in_tests(&mut self) -> Parsed<Vec<Test>> {
        if let Some(comparison) = self.comparison_op() {
            self.advance()?;
            return Ok(vec![Test::Compare(comparison, self.additive()?)]);
        }
        if self.is_op("(") {
            let mark = self.mark();
            if let Ok(tests) = self.nested(Self::bracketed_tests) {
                return Ok(tests);
            }
            self.reset(mark);
        }
        let before = std::mem::replace(&mut self.input_used, false);
        let expr = self.additive()?;
        let uses_input = std::mem::replace(&mut self.input_used, before);
        Ok(vec![Test::Expression { expr, uses_input }])
    }

    fn bracketed_tests(&mut self) -> Parsed<Vec<Test>> {
        self.expect_op("(")?;
        let tests = self.tests()?;
        self.expect_op(")")?;
        // `x in (a) + b` is a sum, not a test of `a`.
        match self.token.kind {
            Kind::Op("+" | "-" | "*" | "/" | "**" | "." | "[") => Err(self.unexpected("the end of the tests")),
            _ => Ok(tests),
        }
    }

    pub(super) fn additive(&mut self) -> Parsed<Expr> {
        self.chain(Self::multiplicative, |kind| match kind {
            Kind::Op("+") => Some(Arithmetic::Add),
            Kind::Op("-") => Some(Arithmetic::Subtract),
            _ => None,
        })
    }

    fn multiplicative(&mut self) -> Parsed<Expr> {
        self.chain(Self::power, |kind| match kind {
            Kind::Op("*") => Some(Arithmetic::Multiply),
            Kind::Op("/") => Some(Arithmetic::Divide),
            _ => None,
        })
    }

    /// Powers, from left to right as everything in FEEL.
    fn power(&mut self) -> Parsed<Expr> {
        self.chain(Self::type_test, |kind| matches!(kind, Kind::Op("**")).then_some(Arithmetic::Power))
    }

    fn chain(
        &mut self,
        operand: impl Fn(&mut Self) -> Parsed<Expr>,
        operator: impl Fn(&Kind<'_>) -> Option<Arithmetic>,
    ) -> Parsed<Expr> {
        let first = operand(self)?;
        let mut rest = Vec::new();
        while let Some(found) = operator(&self.token.kind) {
            self.advance()?;
            rest.push((found, operand(self)?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Arithmetic(first.into(), rest) })
    }

    fn type_test(&mut self) -> Parsed<Expr> {
        let mut left = self.sign()?;
        for _ in 0..MAX_CHAIN {
            if !(self.is_word("instance") && self.peek()? == Kind::Word("of")) {
                return Ok(left);
            }
            self.advance()?;
            self.advance()?;
            left = Expr::InstanceOf(left.into(), self.type_name()?);
        }
        Err(self.error("too many type tests in a row: use brackets"))
    }

    fn sign(&mut self) -> Parsed<Expr> {
        if self.take_op("-")? {
            let operand = self.nested(Self::sign)?;
            return Ok(match operand {
                Expr::Literal(crate::value::Value::Number(number)) => {
                    Expr::Literal(crate::value::Value::Number(number.neg()))
                }
                operand => Expr::Negate(operand.into()),
            });
        }
        self.postfix()
    }

    /// A range given by one comparison, such as `(>= 5)`, behind its bracket.
    pub(super) fn comparison_range(&mut self, comparison: Comparison) -> Parsed<Expr> {
        let at = self.error("`!=` makes no range");
        self.advance()?;
        let end = self.additive()?;
        self.expect_op(")")?;
        let (ends, included) = match comparison {
            Comparison::Less => ([None, Some(end)], [false, false]),
            Comparison::LessOrEqual => ([None, Some(end)], [false, true]),
            Comparison::Greater => ([Some(end), None], [false, false]),
            Comparison::GreaterOrEqual => ([Some(end), None], [true, false]),
            Comparison::Equal => {
                return Ok(Expr::Call(Box::new(crate::ast::Call {
                    callee: Expr::Name("range".into()),
                    builtin: crate::builtins::find("single value range"),
                    arguments: crate::ast::Arguments::Positional(vec![end]),
                })));
            }
            Comparison::NotEqual => return Err(at),
        };
        Ok(Expr::Range { ends: Box::new(ends), included })
    }
}
