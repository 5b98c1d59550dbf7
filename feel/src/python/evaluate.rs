//! Evaluates a condition with Python's rules: truth of any value, integers apart from floats, exceptions as errors.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value as Json;

use super::{Comparison, Node, Operator, call};
use crate::error::EvalError;

/// The longest string or list a condition may make.
const MAX_LENGTH: usize = 1024 * 1024;

/// What a source may ask for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) payload: &'a Json,
    pub(super) names: &'a serde_json::Map<String, Json>,
}

/// A value under way; what comes from the payload is borrowed.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Cow<'a, str>),
    List(Vec<Value<'a>>),
    /// A list of the payload.
    Array(&'a [Json]),
    Dict(&'a serde_json::Map<String, Json>),
}

pub(super) type Outcome<'a> = Result<Value<'a>, EvalError>;

pub(super) fn error<T>(message: impl Into<String>) -> Result<T, EvalError> {
    Err(EvalError::Python(message.into()))
}

pub(super) fn truth_of(node: &Node, scope: Scope<'_>) -> Result<bool, EvalError> {
    evaluate(node, scope).map(|value| value.truth())
}

pub(super) fn value_of(node: &Node, scope: Scope<'_>) -> Result<Json, EvalError> {
    evaluate(node, scope)?.into_json()
}

fn from_json(json: &Json) -> Value<'_> {
    match json {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => {
            let text = number.as_str();
            // An integer past 38 digits is compared as a float.
            text.parse::<i128>().map(Value::Int).unwrap_or_else(|_| Value::Float(text.parse().unwrap_or(f64::NAN)))
        }
        Json::String(text) => Value::Str(Cow::Borrowed(text)),
        Json::Array(items) => Value::Array(items),
        Json::Object(entries) => Value::Dict(entries),
    }
}

impl<'a> Value<'a> {
    pub(super) fn into_json(self) -> Result<Json, EvalError> {
        Ok(match self {
            Self::None => Json::Null,
            Self::Bool(value) => Json::Bool(value),
            // any integer is a number of JSON
            Self::Int(value) => value.to_string().parse().map(Json::Number).unwrap_or(Json::Null),
            Self::Float(value) => match serde_json::Number::from_f64(value) {
                Some(number) => Json::Number(number),
                None => return error(format!("{value} is no number of JSON")),
            },
            Self::Str(text) => Json::String(text.into_owned()),
            Self::List(items) => Json::Array(items.into_iter().map(Self::into_json).collect::<Result<_, _>>()?),
            Self::Array(items) => Json::Array(items.to_vec()),
            Self::Dict(entries) => Json::Object(entries.clone()),
        })
    }

    pub(super) fn truth(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Array(items) => !items.is_empty(),
            Self::Dict(entries) => !entries.is_empty(),
        }
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::List(_) | Self::Array(_) => "list",
            Self::Dict(_) => "dict",
        }
    }

    pub(super) fn items(&self) -> Option<Vec<Value<'a>>> {
        match self {
            Self::List(items) => Some(items.clone()),
            Self::Array(items) => Some(items.iter().map(from_json).collect()),
            _ => None,
        }
    }

    /// Booleans count as 0 and 1, as in Python.
    pub(super) fn integer(&self) -> Option<i128> {
        match self {
            Self::Bool(value) => Some(i128::from(*value)),
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            other => other.integer().map(|value| value as f64),
        }
    }
}

fn evaluate<'a>(node: &'a Node, scope: Scope<'a>) -> Outcome<'a> {
    Ok(match node {
        Node::None => Value::None,
        Node::Bool(value) => Value::Bool(*value),
        Node::Int(value) => Value::Int(*value),
        Node::Float(value) => Value::Float(*value),
        Node::Str(text) => Value::Str(Cow::Borrowed(text)),
        Node::Payload => from_json(scope.payload),
        Node::Name(name) => match scope.names.get(name) {
            Some(value) => from_json(value),
            None => return error(format!("name {name} is not defined")),
        },
        Node::Call(function, arguments) => {
            let arguments = arguments.iter().map(|it| evaluate(it, scope)).collect::<Result<Vec<_>, _>>()?;
            call::call(*function, &arguments)?
        }
        Node::List(items) => Value::List(items.iter().map(|item| evaluate(item, scope)).collect::<Result<_, _>>()?),
        Node::Subscript(parts) => subscript(&evaluate(&parts[0], scope)?, &evaluate(&parts[1], scope)?)?,
        Node::Get(parts) => get(parts, scope)?,
        Node::Not(inner) => Value::Bool(!evaluate(inner, scope)?.truth()),
        Node::Negate(inner) => match evaluate(inner, scope)? {
            Value::Float(value) => Value::Float(-value),
            other => match other.integer().and_then(i128::checked_neg) {
                Some(value) => Value::Int(value),
                None => return error(format!("bad operand for -: {}", other.kind())),
            },
        },
        Node::And(operands) => junction(operands, scope, false)?,
        Node::Or(operands) => junction(operands, scope, true)?,
        Node::Arithmetic(operator, parts) => {
            arithmetic(*operator, &evaluate(&parts[0], scope)?, &evaluate(&parts[1], scope)?)?
        }
        Node::Compare(first, rest) => {
            let mut left = evaluate(first, scope)?;
            for (comparison, operand) in rest {
                let right = evaluate(operand, scope)?;
                if !compare(*comparison, &left, &right)? {
                    return Ok(Value::Bool(false));
                }
                left = right;
            }
            Value::Bool(true)
        }
    })
}

/// The first operand that decides, else the last.
fn junction<'a>(operands: &'a [Node], scope: Scope<'a>, decisive: bool) -> Outcome<'a> {
    let mut value = Value::None;
    for operand in operands {
        value = evaluate(operand, scope)?;
        if value.truth() == decisive {
            break;
        }
    }
    Ok(value)
}

fn subscript<'a>(value: &Value<'a>, key: &Value<'a>) -> Outcome<'a> {
    if let (Value::Dict(entries), Value::Str(key)) = (value, key) {
        return entries
            .get(&**key)
            .map_or_else(|| error(format!("key {key:?} is missing")), |found| Ok(from_json(found)));
    }
    let Some(position) = key.integer() else {
        return match value {
            Value::Dict(_) => error(format!("a key of type {} is missing", key.kind())),
            other => error(format!("{} cannot be subscripted with {}", other.kind(), key.kind())),
        };
    };
    let place = |length: usize| {
        let length = length as i128;
        let index = if position < 0 { position.checked_add(length)? } else { position };
        if (0..length).contains(&index) { usize::try_from(index).ok() } else { None }
    };
    let found = match value {
        Value::List(items) => place(items.len()).and_then(|at| items.get(at).cloned()),
        Value::Array(items) => place(items.len()).and_then(|at| items.get(at)).map(from_json),
        Value::Str(text) => place(text.chars().count())
            .and_then(|at| text.chars().nth(at))
            .map(|c| Value::Str(Cow::Owned(c.to_string()))),
        Value::Dict(_) => return error(format!("key {position} is missing")),
        other => return error(format!("{} cannot be subscripted", other.kind())),
    };
    found.map_or_else(|| error(format!("index {position} is out of range")), Ok)
}

fn get<'a>(parts: &'a [Node; 3], scope: Scope<'a>) -> Outcome<'a> {
    let [value, key, default] = parts;
    let value = evaluate(value, scope)?;
    let key = evaluate(key, scope)?;
    let Value::Dict(entries) = value else {
        return error(format!("{} has no .get", value.kind()));
    };
    let found = if let Value::Str(key) = &key { entries.get(&**key) } else { None };
    match found {
        Some(found) => Ok(from_json(found)),
        None => evaluate(default, scope),
    }
}

fn arithmetic<'a>(operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a> {
    if let (Operator::Add, Value::Str(a), Value::Str(b)) = (operator, left, right) {
        if a.len() + b.len() > MAX_LENGTH {
            return error("a string grows too long");
        }
        return Ok(Value::Str(Cow::Owned(format!("{a}{b}"))));
    }
    if let (Operator::Add, Some(mut a), Some(b)) = (operator, left.items(), right.items()) {
        if a.len() + b.len() > MAX_LENGTH / 16 {
            return error("a list grows too long");
        }
        a.extend(b);
        return Ok(Value::List(a));
    }
    if let (Some(a), Some(b)) = (left.integer(), right.integer())
        && operator != Operator::Divide
    {
        return integers(operator, a, b);
    }
    let (Some(a), Some(b)) = (left.float(), right.float()) else {
        return error(format!("bad operands for {operator:?}: {} and {}", left.kind(), right.kind()));
    };
    floats(operator, a, b)
}

fn integers<'a>(operator: Operator, a: i128, b: i128) -> Outcome<'a> {
    if b == 0 && matches!(operator, Operator::FloorDivide | Operator::Modulo) {
        return error("division by zero");
    }
    let rest = a.checked_rem(b);
    // Python rounds down, and the rest has the sign of the divisor.
    let adjust = rest.is_some_and(|rest| rest != 0 && (rest < 0) != (b < 0));
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::FloorDivide => a.checked_div(b).map(|quotient| quotient - i128::from(adjust)),
        Operator::Modulo => rest.map(|rest| if adjust { rest + b } else { rest }),
        Operator::Divide => None,
    };
    result.map_or_else(|| error("an integer grows past 38 digits"), |value| Ok(Value::Int(value)))
}

fn floats<'a>(operator: Operator, a: f64, b: f64) -> Outcome<'a> {
    if b == 0.0 && matches!(operator, Operator::Divide | Operator::FloorDivide | Operator::Modulo) {
        return error("division by zero");
    }
    let rest = a % b;
    let modulo = if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest };
    Ok(Value::Float(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::FloorDivide => (a / b).floor(),
        Operator::Modulo => modulo,
    }))
}

fn compare(comparison: Comparison, left: &Value<'_>, right: &Value<'_>) -> Result<bool, EvalError> {
    let ordered = |accept: fn(Ordering) -> bool| match order(left, right) {
        Some(found) => Ok(found.is_some_and(accept)),
        None => error(format!("{} and {} have no order", left.kind(), right.kind())),
    };
    match comparison {
        Comparison::Equal => Ok(equal(left, right)),
        Comparison::NotEqual => Ok(!equal(left, right)),
        Comparison::Less => ordered(Ordering::is_lt),
        Comparison::LessOrEqual => ordered(Ordering::is_le),
        Comparison::Greater => ordered(Ordering::is_gt),
        Comparison::GreaterOrEqual => ordered(Ordering::is_ge),
        Comparison::In => contains(right, left),
        Comparison::NotIn => contains(right, left).map(|found| !found),
        Comparison::Is => Ok(matches!(left, Value::None)),
        Comparison::IsNot => Ok(!matches!(left, Value::None)),
    }
}

fn contains(whole: &Value<'_>, part: &Value<'_>) -> Result<bool, EvalError> {
    match (whole, part) {
        (Value::Str(whole), Value::Str(part)) => Ok(whole.contains(&**part)),
        (Value::Dict(entries), Value::Str(key)) => Ok(entries.contains_key(&**key)),
        (Value::Dict(_), _) => Ok(false),
        (Value::List(items), part) => Ok(items.iter().any(|item| equal(item, part))),
        (Value::Array(items), part) => Ok(items.iter().any(|item| equal(&from_json(item), part))),
        (whole, part) => error(format!("{} is not searched in {}", part.kind(), whole.kind())),
    }
}

fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::None, Value::None) => true,
        (Value::Str(a), Value::Str(b)) => a == b,
        (Value::Dict(a), Value::Dict(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| equal(&from_json(value), &from_json(other))))
        }
        _ => match (left.items(), right.items()) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| equal(a, b)),
            _ => numbers(left, right) == Some(Some(Ordering::Equal)),
        },
    }
}

/// The smallest or greatest of values.
pub(super) fn extreme<'a>(values: Vec<Value<'a>>, wanted: Ordering) -> Outcome<'a> {
    let mut found: Option<Value<'a>> = None;
    for value in values {
        let better = match &found {
            None => true,
            Some(best) => match order(&value, best) {
                Some(ordering) => ordering == Some(wanted),
                None => return error(format!("{} and {} have no order", value.kind(), best.kind())),
            },
        };
        if better {
            found = Some(value);
        }
    }
    found.map_or_else(|| error("min and max need a value"), Ok)
}

/// The order of two values; the outer `None` is Python's `TypeError`, the inner one NaN.
fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Option<Ordering>> {
    if let (Value::Str(a), Value::Str(b)) = (left, right) {
        return Some(Some(a.cmp(b)));
    }
    if let (Some(a), Some(b)) = (left.items(), right.items()) {
        let first = a.iter().zip(&b).find(|(a, b)| !equal(a, b));
        return first.map_or(Some(Some(a.len().cmp(&b.len()))), |(a, b)| order(a, b));
    }
    numbers(left, right)
}

fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Option<Ordering>> {
    if let (Some(a), Some(b)) = (left.integer(), right.integer()) {
        return Some(Some(a.cmp(&b)));
    }
    if let (Some(a), Value::Float(b)) = (left.integer(), right) {
        return Some(integer_to_float(a, *b));
    }
    if let (Value::Float(a), Some(b)) = (left, right.integer()) {
        return Some(integer_to_float(b, *a).map(Ordering::reverse));
    }
    Some(left.float()?.partial_cmp(&right.float()?))
}

/// Exact, as in Python: no rounding of large integers.
fn integer_to_float(a: i128, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    let bound = 2_f64.powi(126);
    if b.abs() >= bound {
        return (a as f64).partial_cmp(&b);
    }
    let whole = b.floor();
    let fraction = if b > whole { Ordering::Less } else { Ordering::Equal };
    Some(a.cmp(&(whole as i128)).then(fraction))
}
