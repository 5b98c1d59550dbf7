//! The compiled form of an expression: names resolved to built-ins where they can be, chains of one precedence flat, so that a long
//! expression is not a deep one.

use std::sync::Arc;

use crate::builtins::Builtin;
use crate::value::Value;

/// An expression.
#[derive(Debug)]
pub(crate) enum Expr {
    /// A constant.
    Literal(Value),
    /// A literal that means nothing, with what to warn of; it is null.
    Invalid(String),
    /// A variable.
    Name(Arc<str>),
    /// `a.b.c`.
    Path(Box<Expr>, Vec<Arc<str>>),
    /// `list[filter]`.
    Filter(Box<Expr>, Box<Expr>),
    /// `-a`.
    Negate(Box<Expr>),
    /// `a + b - c`, from left to right.
    Arithmetic(Box<Expr>, Vec<(Arithmetic, Expr)>),
    /// `a and b and c`.
    And(Vec<Expr>),
    /// `a or b or c`.
    Or(Vec<Expr>),
    /// `a < b`.
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// `a between b and c`.
    Between(Box<[Expr; 3]>),
    /// `a in (tests)`.
    In(Box<Expr>, Vec<Test>),
    /// `a instance of type`.
    InstanceOf(Box<Expr>, Type),
    /// `if a then b else c`.
    If(Box<[Expr; 3]>),
    /// `for a in b return c`.
    For {
        /// What is gone through.
        iterations: Vec<Iteration>,
        /// What each item becomes.
        body: Box<Expr>,
        /// Whether `partial`, the results so far, is asked for.
        partial: bool,
    },
    /// `some a in b satisfies c`, or `every`.
    Quantified {
        /// `every` rather than `some`.
        every: bool,
        /// What is gone through.
        iterations: Vec<Iteration>,
        /// What is asked of each.
        condition: Box<Expr>,
    },
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `{a: b}`.
    Context(Vec<(Arc<str>, Expr)>),
    /// `[a..b]`.
    Range {
        /// The ends; a missing one is open to infinity.
        ends: Box<[Option<Expr>; 2]>,
        /// Whether each end belongs to the range.
        included: [bool; 2],
    },
    /// `function(a) b`.
    Function(Arc<Lambda>),
    /// `f(a)`.
    Call(Box<Call>),
    /// Unary tests, against the variable `?`.
    Tests(Vec<Test>),
    /// `not(tests)`.
    NotTests(Vec<Test>),
}

/// A call.
#[derive(Debug)]
pub(crate) struct Call {
    /// What is called.
    pub(crate) callee: Expr,
    /// The built-in of the callee's name, for when no variable of that name holds a function.
    pub(crate) builtin: Option<&'static Builtin>,
    /// With what.
    pub(crate) arguments: Arguments,
}

/// The arguments of a call.
#[derive(Debug)]
pub(crate) enum Arguments {
    /// By position.
    Positional(Vec<Expr>),
    /// By parameter name.
    Named(Vec<(Arc<str>, Expr)>),
}

/// A function definition.
#[derive(Debug)]
pub(crate) struct Lambda {
    /// Parameter names and types.
    pub(crate) parameters: Vec<(Arc<str>, Option<Type>)>,
    /// What it answers.
    pub(crate) body: Expr,
}

impl Lambda {
    /// The names of the parameters.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|(name, _)| &**name)
    }
}

/// `name in domain` of `for`, `some` and `every`.
#[derive(Debug)]
pub(crate) struct Iteration {
    /// The name each item gets.
    pub(crate) name: Arc<str>,
    /// A list, or the first number or day of a span.
    pub(crate) from: Expr,
    /// The last of the span.
    pub(crate) to: Option<Expr>,
}

/// One unary test.
#[derive(Debug)]
pub(crate) enum Test {
    /// `-`.
    Any,
    /// `< a`.
    Compare(Comparison, Expr),
    /// An expression; `uses_input` when it names `?`.
    Expression {
        /// The expression.
        expr: Expr,
        /// Whether it names `?`, so that a boolean result is the answer itself.
        uses_input: bool,
    },
}

/// Arithmetic operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `**`
    Power,
}

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A type, as `instance of` and parameters name it (DMN 1.5, clause 10.3.2.13).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    /// Every value but null.
    Any,
    /// Null.
    Null,
    /// A boolean.
    Boolean,
    /// A number.
    Number,
    /// A string.
    String,
    /// A date.
    Date,
    /// A time.
    Time,
    /// A date and time.
    DateTime,
    /// A days and time duration.
    DaysTime,
    /// A years and months duration.
    YearsMonths,
    /// A list of a type.
    List(Box<Type>),
    /// A context with at least these entries.
    Context(Vec<(Arc<str>, Type)>),
    /// A range over a type.
    Range(Box<Type>),
    /// A function, with the types of its parameters when they were named.
    Function(Option<Vec<Type>>),
    /// A name that is no type.
    Unknown(Arc<str>),
}
