//! FEEL, the expression language of DMN 1.5 and BPMN models, with the built-ins that Camunda adds.
//!
//! Parse once ([`parse`], [`parse_unary_tests`]), evaluate often ([`Expression::evaluate`]). Pure: the variables, the present moment, the time
//! zone, the random seed and the limits come in as arguments, so an evaluation can be repeated with the same result. What has no answer (an
//! unknown variable, a sum of a number and a date) is null and leaves a warning. No source and no input can crash it, hang it or make it
//! allocate without limit: nesting is limited when parsing, steps, depth and size when evaluating.
//!
//! Numbers are decimals of 34 digits ([`Number`]). [`python`] holds the small subset of Python conditions that the original REXFlow's models use.
//!
//! Layout: `lexer` -> `parser` -> `ast` -> `eval` (operators, access, iteration, calls) over `value`, `number` and `temporal`; `builtins` by family.

use std::collections::BTreeSet;
use std::sync::Arc;

mod ast;
mod builtins;
mod error;
mod eval;
mod lexer;
mod names;
mod number;
mod parser;
pub mod python;
mod scope;
mod temporal;
mod value;

pub use error::{EvalError, ParseError};
pub use names::Names;
pub use number::{Number, Rounding};
pub use scope::{Env, Scope};
pub use temporal::{Date, DateTime, Duration, Time, Zone};
pub use value::{Context, Function, List, Range, Value};

/// A compiled expression; cheap to clone.
#[derive(Clone, Debug)]
pub struct Expression {
    compiled: Arc<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    source: String,
    expr: ast::Expr,
}

/// What an evaluation answers.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The result; null too for what has none.
    pub value: Value,
    /// Why parts of it are null, one line each: unknown variables, operands that do not fit.
    pub warnings: Vec<String>,
}

/// Parses an expression, without the leading `=` that BPMN attributes have.
pub fn parse(source: &str) -> Result<Expression, ParseError> {
    parse_with(source, &[])
}

/// Whether an expression that uses this name is understood only when [`parse_with`] is told of it: it holds an operator, a keyword or a word
/// that begins with a digit, such as `a-b` or `room 101`. Other names of several words are understood without.
pub fn must_be_known(name: &str) -> bool {
    parser::must_be_known(name)
}

/// Parses an expression that may use these names. Needed only for those that [`must_be_known`].
pub fn parse_with(source: &str, names: &[&str]) -> Result<Expression, ParseError> {
    parser::expression(source, names).map(|expr| Expression::new(source, expr))
}

/// Parses unary tests, as in a cell of a decision table. They are evaluated against the variable `?`.
pub fn parse_unary_tests(source: &str) -> Result<Expression, ParseError> {
    parse_unary_tests_with(source, &[])
}

/// Parses unary tests that may use these names; see [`parse_with`].
pub fn parse_unary_tests_with(source: &str, names: &[&str]) -> Result<Expression, ParseError> {
    parser::unary_tests(source, names).map(|expr| Expression::new(source, expr))
}

impl Expression {
    fn new(source: &str, expr: ast::Expr) -> Self {
        Self { compiled: Arc::new(Compiled { source: source.to_owned(), expr }) }
    }

    /// The source it was parsed from.
    pub fn source(&self) -> &str {
        &self.compiled.source
    }

    /// Evaluates it. Only spent limits and a failed `assert` are errors.
    pub fn evaluate(&self, scope: &dyn Scope, env: &Env) -> Result<Evaluated, EvalError> {
        let (value, warnings) = eval::Machine::new(scope, env).run(&self.compiled.expr)?;
        Ok(Evaluated { value, warnings })
    }

    /// The variables it asks its scope for. Entries of filtered items that are named without `item.` are among them.
    pub fn variables(&self) -> BTreeSet<String> {
        names::free(&self.compiled.expr)
    }

    /// What it surely asks for, variables and functions.
    pub fn names(&self) -> Names {
        names::certain(&self.compiled.expr)
    }
}

/// The names of the built-in functions, in no order.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    builtins::names()
}

/// The value of an expression without variables, for ends of `range(from)`: a literal, or a call that makes a temporal value.
fn literal(source: &str) -> Option<Value> {
    let expr = parser::expression(source, &[]).ok()?;
    let allowed = match &expr {
        ast::Expr::Literal(_) => true,
        ast::Expr::Call(call) => {
            let makes = matches!(&call.callee, ast::Expr::Name(name) if matches!(&**name, "date" | "time" | "date and time" | "duration"));
            let ast::Arguments::Positional(given) = &call.arguments else { return None };
            makes && given.iter().all(|argument| matches!(argument, ast::Expr::Literal(_)))
        }
        _ => false,
    };
    if !allowed {
        return None;
    }
    let env = Env::at(jiff::Timestamp::UNIX_EPOCH);
    let (value, _) = eval::Machine::new(&serde_json::Value::Null, &env).run(&expr).ok()?;
    (!value.is_null()).then_some(value)
}
