//! The functions that an expression may call, with Python's conversions and rounding.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::Function;
use super::evaluate::{Outcome, Value, error, extreme};

/// Digits that `round` may be asked for.
const MAX_DIGITS: i128 = 20;

impl Function {
    const ALL: [Self; 9] =
        [Self::Abs, Self::Bool, Self::Float, Self::Int, Self::Len, Self::Max, Self::Min, Self::Round, Self::Str];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Bool => "bool",
            Self::Float => "float",
            Self::Int => "int",
            Self::Len => "len",
            Self::Max => "max",
            Self::Min => "min",
            Self::Round => "round",
            Self::Str => "str",
        }
    }

    pub(super) fn takes(self, arguments: usize) -> bool {
        match self {
            Self::Max | Self::Min => arguments > 0,
            Self::Round => matches!(arguments, 1 | 2),
            Self::Abs | Self::Bool | Self::Float | Self::Int | Self::Len | Self::Str => arguments == 1,
        }
    }
}

/// The parser has counted the arguments.
pub(super) fn call<'a>(function: Function, arguments: &[Value<'a>]) -> Outcome<'a> {
    let [first, rest @ ..] = arguments else { return error(format!("{} needs an argument", function.name())) };
    match function {
        Function::Abs => absolute(first),
        Function::Bool => Ok(Value::Bool(first.truth())),
        Function::Float => float(first).map(Value::Float),
        Function::Int => integer(first).map(Value::Int),
        Function::Len => length(first),
        Function::Max => several(arguments).and_then(|it| extreme(it, Ordering::Greater)),
        Function::Min => several(arguments).and_then(|it| extreme(it, Ordering::Less)),
        Function::Round => rounded(first, rest.first()),
        Function::Str => Ok(Value::Str(Cow::Owned(text(first)?))),
    }
}

/// The arguments, or the items of the only one.
fn several<'a>(arguments: &[Value<'a>]) -> Result<Vec<Value<'a>>, crate::error::EvalError> {
    match arguments {
        [only] => only.items().map_or_else(|| error(format!("{} has no items", only.kind())), Ok),
        several => Ok(several.to_vec()),
    }
}

fn absolute<'a>(value: &Value<'a>) -> Outcome<'a> {
    match value {
        Value::Float(value) => Ok(Value::Float(value.abs())),
        other => match other.integer().and_then(i128::checked_abs) {
            Some(value) => Ok(Value::Int(value)),
            None => error(format!("bad operand for abs: {}", other.kind())),
        },
    }
}

fn integer(value: &Value<'_>) -> Result<i128, crate::error::EvalError> {
    let found = match value {
        Value::Str(text) => text.trim().parse().ok(),
        // beyond 38 digits a float is no integer here
        Value::Float(value) if value.is_finite() && value.abs() < 1e38 => Some(value.trunc() as i128),
        other => other.integer(),
    };
    found.map_or_else(|| error(format!("{} is no integer", shown(value))), Ok)
}

fn float(value: &Value<'_>) -> Result<f64, crate::error::EvalError> {
    let found = match value {
        Value::Str(text) => text.trim().parse().ok().filter(|it: &f64| it.is_finite()),
        other => other.float(),
    };
    found.map_or_else(|| error(format!("{} is no number", shown(value))), Ok)
}

fn length<'a>(value: &Value<'a>) -> Outcome<'a> {
    let length = match value {
        Value::Str(text) => text.chars().count(),
        Value::List(items) => items.len(),
        Value::Array(items) => items.len(),
        Value::Dict(entries) => entries.len(),
        other => return error(format!("{} has no len", other.kind())),
    };
    Ok(Value::Int(length as i128))
}

/// Half to even, as in Python; without digits an integer.
fn rounded<'a>(value: &Value<'a>, digits: Option<&Value<'a>>) -> Outcome<'a> {
    if let (Some(whole), None) = (value.integer(), digits) {
        return Ok(Value::Int(whole));
    }
    let Some(number) = value.float() else { return error(format!("bad operand for round: {}", value.kind())) };
    match digits {
        None => integer(&Value::Float(number.round_ties_even())).map(Value::Int),
        Some(digits) => match digits.integer() {
            Some(digits @ 0..=MAX_DIGITS) => {
                let text = format!("{number:.*}", digits as usize);
                Ok(Value::Float(text.parse().unwrap_or(number)))
            }
            _ => error(format!("round takes 0 to {MAX_DIGITS} digits")),
        },
    }
}

/// Python's `str`; of lists and objects their JSON.
fn text(value: &Value<'_>) -> Result<String, crate::error::EvalError> {
    Ok(match value {
        Value::None => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Str(text) => text.clone().into_owned(),
        Value::List(_) | Value::Array(_) | Value::Dict(_) => value.clone().into_json()?.to_string(),
    })
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Str(text) if text.len() <= 40 => format!("{text:?}"),
        other => other.kind().to_owned(),
    }
}
