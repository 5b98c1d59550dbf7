//! The values of FEEL (DMN 1.5, clause 10.3.2). Cheap to clone: what is large is shared.
//!
//! Lists and contexts know how deep they nest and what they weigh written out, so that nothing can be built (say, by sharing one list in
//! itself over and over) whose comparison or release would run out of stack or time.

use std::ops::Deref;
use std::sync::Arc;

use indexmap::IndexMap;

use crate::ast::Lambda;
use crate::builtins::Builtin;
use crate::eval::Frames;
use crate::number::Number;
use crate::temporal::{Date, DateTime, Duration, Time};

mod compare;
mod display;
mod json;

pub(crate) use compare::{equal, order};
pub(crate) use display::text_of;

/// A value of FEEL.
#[derive(Clone, Debug)]
pub enum Value {
    /// No value, or the result of what has none.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A decimal number.
    Number(Number),
    /// Text.
    String(Arc<str>),
    /// A list.
    List(List),
    /// Named values, in the order they were written.
    Context(Context),
    /// A day.
    Date(Date),
    /// A time of day.
    Time(Time),
    /// A day and a time of day.
    DateTime(DateTime),
    /// A duration of either kind.
    Duration(Duration),
    /// An interval.
    Range(Arc<Range>),
    /// A function; it can be called within the evaluation, and is null as JSON.
    Function(Arc<Function>),
}

impl Value {
    /// True for the boolean `true` alone; null and everything else is not.
    pub fn is_true(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    /// True for null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Text as a value.
    pub fn string(text: &str) -> Self {
        Self::String(text.into())
    }

    /// A boolean, or null for a third truth value.
    pub(crate) fn truth(value: Option<bool>) -> Self {
        value.map_or(Self::Null, Self::Bool)
    }

    /// A number, or null for what has no decimal result.
    pub(crate) fn number(value: Option<Number>) -> Self {
        value.map_or(Self::Null, Self::Number)
    }

    /// The value as three-valued truth: what is no boolean is unknown.
    pub(crate) fn as_truth(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The name of the value's type, for messages and for comparing kinds.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "Null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Context(_) => "context",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::DateTime(_) => "date and time",
            Self::Duration(Duration::YearsMonths(_)) => "years and months duration",
            Self::Duration(Duration::DaysTime(_)) => "days and time duration",
            Self::Range(_) => "range",
            Self::Function(_) => "function",
        }
    }

    /// What the value costs when it is written out or compared: 1 for each value within and for every 64 bytes of text, shared parts each time.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::String(text) => 1 + text.len() as u64 / 64,
            Self::List(list) => list.weight,
            Self::Context(context) => context.weight,
            Self::Range(range) => range.start.weight().saturating_add(range.end.weight()),
            _ => 1,
        }
    }

    /// How deep the value nests: 0 for what holds no other value.
    pub(crate) fn depth(&self) -> u32 {
        match self {
            Self::List(list) => list.depth,
            Self::Context(context) => context.depth,
            Self::Function(function) => match &function.callable {
                Callable::Lambda { frames, .. } => 1 + frames.as_ref().map_or(0, |frame| frame.depth()),
                Callable::Builtin(_) => 0,
            },
            Self::Range(range) => 1 + range.start.depth().max(range.end.depth()),
            _ => 0,
        }
    }
}

impl PartialEq for Value {
    /// FEEL's `=`; two functions are never equal, and values of different kinds are not.
    fn eq(&self, other: &Self) -> bool {
        equal(self, other) == Some(true)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::string(value)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(List::new(items))
    }
}

/// A list of values.
#[derive(Clone, Debug)]
pub struct List {
    items: Arc<Vec<Value>>,
    depth: u32,
    weight: u64,
}

impl List {
    /// A list of these items.
    pub fn new(items: Vec<Value>) -> Self {
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
        let weight = items.iter().map(Value::weight).fold(1, u64::saturating_add);
        Self { items: Arc::new(items), depth, weight }
    }
}

impl Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.items
    }
}

/// Named values in order.
#[derive(Clone, Debug, Default)]
pub struct Context {
    entries: Arc<IndexMap<Arc<str>, Value>>,
    depth: u32,
    weight: u64,
}

impl Context {
    /// A context of these entries; of two with one name the later counts, in the place of the earlier.
    pub fn new(entries: impl IntoIterator<Item = (Arc<str>, Value)>) -> Self {
        let entries: IndexMap<Arc<str>, Value> = entries.into_iter().collect();
        let depth = 1 + entries.values().map(Value::depth).max().unwrap_or(0);
        let weight = entries
            .iter()
            .map(|(name, value)| value.weight().saturating_add(name.len() as u64 / 64))
            .fold(1, u64::saturating_add);
        Self { entries: Arc::new(entries), depth, weight }
    }

    /// The value of an entry.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.get(name)
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// An interval; an end that is null is open to infinity.
#[derive(Clone, Debug)]
pub struct Range {
    /// The lower end.
    pub start: Value,
    /// The upper end.
    pub end: Value,
    /// Whether the lower end belongs to it.
    pub start_included: bool,
    /// Whether the upper end belongs to it.
    pub end_included: bool,
}

impl Range {
    /// Whether a value lies within; `None` when it cannot be compared with the ends.
    pub(crate) fn contains(&self, value: &Value) -> Option<bool> {
        let above = self.start.is_null().then_some(true).or_else(|| {
            let order = order(value, &self.start)?;
            Some(order.is_gt() || (self.start_included && order.is_eq()))
        });
        let below = self.end.is_null().then_some(true).or_else(|| {
            let order = order(value, &self.end)?;
            Some(order.is_lt() || (self.end_included && order.is_eq()))
        });
        match (above, below) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }
}

/// Something that can be called, within the evaluation that made it.
#[derive(Debug)]
pub struct Function {
    pub(crate) callable: Callable,
}

/// What a call runs.
#[derive(Debug)]
pub(crate) enum Callable {
    /// A function definition with the names it closed over.
    Lambda {
        /// Parameters and body.
        lambda: Arc<Lambda>,
        /// The names it sees.
        frames: Frames,
    },
    /// A built-in function, used as a value.
    Builtin(&'static Builtin),
}
