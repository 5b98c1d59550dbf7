//! The conditions and expressions in Python that the original REXFlow's models and forms hold, as a small closed subset, never an interpreter.
//!
//! Taken: `req_json`, subscripts, `.get(key[, default])`, comparison (chains, `in`, `not in`, `is None`, `is not None`), `and`, `or`, `not`,
//! `+ - * / % //`, literals, lists and brackets, with Python's truth, division and comparison; in an [`Expression`] names of its scope and the
//! functions of the list in `python::call`, too. Everything else is a [`ParseError`] that says what is not taken; what Python would raise an exception for, a
//! missing key above all, is an [`EvalError`].

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::error::{EvalError, ParseError};

mod call;
mod evaluate;
mod lexer;
mod parser;

use evaluate::Scope;

/// A compiled condition; cheap to clone.
#[derive(Clone, Debug)]
pub struct Condition {
    source: Arc<str>,
    node: Arc<Node>,
}

/// Parses a condition, without the `python:` prefix that a model may have before it.
pub fn parse(source: &str) -> Result<Condition, ParseError> {
    let node = parser::condition(source)?;
    Ok(Condition { source: source.into(), node: Arc::new(node) })
}

/// A compiled expression of a form, over the names of its fields and `req_json`; cheap to clone.
#[derive(Clone, Debug)]
pub struct Expression {
    source: Arc<str>,
    node: Arc<Node>,
}

/// Parses an expression that may use names and functions.
pub fn expression(source: &str) -> Result<Expression, ParseError> {
    let node = parser::expression(source)?;
    Ok(Expression { source: source.into(), node: Arc::new(node) })
}

impl Expression {
    /// The source it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names it asks for, `req_json` apart.
    pub fn names(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.node.gather(&mut names);
        names
    }

    /// Its value.
    pub fn evaluate(&self, req_json: &Json, names: &Map<String, Json>) -> Result<Json, EvalError> {
        evaluate::value_of(&self.node, Scope { payload: req_json, names })
    }

    /// Whether it holds: the truth of its value, as Python sees it.
    pub fn holds(&self, req_json: &Json, names: &Map<String, Json>) -> Result<bool, EvalError> {
        evaluate::truth_of(&self.node, Scope { payload: req_json, names })
    }
}

impl Condition {
    /// The source it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it holds for a payload: the truth of its value, as Python sees it.
    pub fn evaluate(&self, req_json: &Json) -> Result<bool, EvalError> {
        evaluate::truth_of(&self.node, Scope { payload: req_json, names: &Map::new() })
    }
}

/// A node of a condition.
#[derive(Debug)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(String),
    List(Vec<Node>),
    /// `req_json`.
    Payload,
    /// A name of the scope.
    Name(String),
    /// A function's call, with as many arguments as it takes.
    Call(Function, Vec<Node>),
    /// `a[b]`.
    Subscript(Box<[Node; 2]>),
    /// `a.get(key, default)`.
    Get(Box<[Node; 3]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Arithmetic(Operator, Box<[Node; 2]>),
    /// `a < b <= c`.
    Compare(Box<Node>, Vec<(Comparison, Node)>),
}

impl Node {
    fn gather<'n>(&'n self, names: &mut BTreeSet<&'n str>) {
        match self {
            Self::None | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Str(_) | Self::Payload => {}
            Self::Name(name) => {
                names.insert(name);
            }
            Self::List(nodes) | Self::And(nodes) | Self::Or(nodes) | Self::Call(_, nodes) => {
                nodes.iter().for_each(|it| it.gather(names));
            }
            Self::Subscript(parts) | Self::Arithmetic(_, parts) => parts.iter().for_each(|it| it.gather(names)),
            Self::Get(parts) => parts.iter().for_each(|it| it.gather(names)),
            Self::Not(inner) | Self::Negate(inner) => inner.gather(names),
            Self::Compare(first, rest) => {
                first.gather(names);
                rest.iter().for_each(|(_, it)| it.gather(names));
            }
        }
    }
}

/// Functions that an [`Expression`] may call; none has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Abs,
    Bool,
    Float,
    Int,
    Len,
    Max,
    Min,
    Round,
    Str,
}

/// Arithmetic operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
}

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
    /// `is None`; the right operand is `None`.
    Is,
    IsNot,
}
