//! Expressions and assignments of a table over a token's variables.
//!
//! FEEL is parsed once per table ([`Compiled::expression`]). Null is a value here; what asks for a number, a list or a condition says so
//! in its error. Nothing is written but the map that is given.

use serde_json::{Map, Value};

use crate::compiled::Compiled;
use crate::condition::env;
use crate::table::{Assignment, Template};
use crate::token::Timestamp;

/// Variables by name.
pub type Variables = Map<String, Value>;

/// The value of a FEEL expression.
///
/// # Errors
/// It does not parse, or its limits are spent.
pub fn feel(table: &Compiled, source: &str, variables: &Value, now: Timestamp) -> Result<Value, String> {
    let expression = table.expression(source)?;
    let evaluated = expression.evaluate(variables, &env(now)).map_err(|e| format!("expression {source:?}: {e}"))?;
    Ok(evaluated.value.to_json())
}

/// The value of a template; static text is a string.
///
/// # Errors
/// As [`feel()`].
pub fn value(table: &Compiled, template: &Template, variables: &Value, now: Timestamp) -> Result<Value, String> {
    match template {
        Template::Static(text) => Ok(Value::String(text.clone())),
        Template::Feel(source) => feel(table, source, variables, now),
    }
}

/// The value of a template as text: strings as they are, numbers and booleans as they are written.
///
/// # Errors
/// As [`feel()`]; or it is null, a list or a context.
pub fn text(table: &Compiled, template: &Template, variables: &Value, now: Timestamp) -> Result<String, String> {
    match (value(table, template, variables, now)?, template) {
        (Value::String(text), _) => Ok(text),
        (value @ (Value::Number(_) | Value::Bool(_)), _) => Ok(value.to_string()),
        (other, Template::Feel(source) | Template::Static(source)) => {
            Err(format!("expression {source:?} gives {other}, not text"))
        }
    }
}

/// Whether a condition holds; null is false.
///
/// # Errors
/// As [`feel()`]; or it is neither true, false nor null.
pub fn holds(table: &Compiled, source: &str, variables: &Value, now: Timestamp) -> Result<bool, String> {
    match feel(table, source, variables, now)? {
        Value::Bool(held) => Ok(held),
        Value::Null => Ok(false),
        other => Err(format!("condition {source:?} gives {other}, not true or false")),
    }
}

/// Runs assignments in order over `variables` and what they have set before; the names of the variables that were set.
///
/// # Errors
/// As [`feel()`], with the target named.
pub fn assign(
    table: &Compiled,
    assignments: &[Assignment],
    variables: &mut Variables,
    now: Timestamp,
) -> Result<Variables, String> {
    let mut set = Variables::new();
    for assignment in assignments {
        let scope = Value::Object(std::mem::take(variables));
        let found = value(table, &assignment.source, &scope, now);
        if let Value::Object(map) = scope {
            *variables = map;
        }
        let found = found.map_err(|why| format!("set {}: {why}", assignment.target))?;
        put(variables, &assignment.target, found);
        let name = assignment.target.split('.').next().unwrap_or_default();
        if let Some(now) = variables.get(name) {
            set.insert(name.to_owned(), now.clone());
        }
    }
    Ok(set)
}

/// Sets a dotted path; what is no context on the way becomes one.
pub fn put(variables: &mut Variables, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            variables.insert(path.to_owned(), value);
        }
        Some((name, rest)) => {
            let inner = variables.entry(name).or_insert(Value::Null);
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}
