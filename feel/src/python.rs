//! The conditions in Python that the original REXFlow's models hold, as a small closed subset, never an interpreter.
//!
//! Taken: `req_json`, subscripts, `.get(key[, default])`, comparison (chains, `in`, `not in`, `is None`, `is not None`), `and`, `or`, `not`,
//! `+ - * / % //`, literals, lists and brackets, with Python's truth, division and comparison. Everything else is a [`ParseError`] that says what
//! is not taken; what Python would raise an exception for, a missing key above all, is an [`EvalError`].

use std::sync::Arc;

use crate::error::{EvalError, ParseError};

mod evaluate;
mod lexer;
mod parser;

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

impl Condition {
    /// The source it was parsed from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it holds for a payload: the truth of its value, as Python sees it.
    pub fn evaluate(&self, req_json: &serde_json::Value) -> Result<bool, EvalError> {
        evaluate::truth_of(&self.node, req_json)
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
