//! Equality and order of values (DMN 1.5, table 53 and 54). `None` is FEEL's null: the two cannot be compared.

use std::cmp::Ordering;

use super::{Context, Range, Value};

/// FEEL's `=`. Null equals null alone; values of different kinds have no answer.
pub(crate) fn equal(a: &Value, b: &Value) -> Option<bool> {
    Some(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Number(a), Value::Number(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a, b) == Some(true))
        }
        (Value::Context(a), Value::Context(b)) => same_entries(a, b),
        (Value::Date(a), Value::Date(b)) => a == b,
        (Value::Time(a), Value::Time(b)) => a.compare(b) == Some(Ordering::Equal),
        (Value::DateTime(a), Value::DateTime(b)) => a.compare(b) == Some(Ordering::Equal),
        (Value::Duration(a), Value::Duration(b)) => a.compare(*b)?.is_eq(),
        (Value::Range(a), Value::Range(b)) => same_range(a, b),
        _ => return None,
    })
}

fn same_entries(a: &Context, b: &Context) -> bool {
    a.len() == b.len()
        && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| equal(value, other) == Some(true)))
}

fn same_range(a: &Range, b: &Range) -> bool {
    a.start_included == b.start_included
        && a.end_included == b.end_included
        && equal(&a.start, &b.start) == Some(true)
        && equal(&a.end, &b.end) == Some(true)
}

/// The order of two values of one ordered kind.
pub(crate) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b)) => a.compare(b),
        (Value::DateTime(a), Value::DateTime(b)) => a.compare(b),
        (Value::Duration(a), Value::Duration(b)) => a.compare(*b),
        _ => None,
    }
}
