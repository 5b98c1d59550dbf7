//! Values of fields: what of JSON and text a kind takes.

use feel::Number;
use jiff::civil;
use serde_json::Value;

use super::model::Kind;

impl Kind {
    /// As people and the original know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "COPY",
            Self::Workflow => "WORKFLOW",
            Self::Text => "TEXT",
            Self::Currency => "CURRENCY",
            Self::Integer => "INTEGER",
            Self::Float => "FLOAT",
            Self::Boolean => "BOOLEAN",
            Self::Percentage => "PERCENTAGE",
            Self::Table => "TABLE",
            Self::Checkbox => "CHECKBOX",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::DateTime => "DATETIME",
            Self::Choice => "CHOICE",
            Self::Choices => "CHOICES",
            Self::Rows => "ROWS",
            Self::Any => "ANY",
        }
    }

    /// It is shown and has no value.
    pub fn is_static(self) -> bool {
        matches!(self, Self::Copy | Self::Workflow)
    }

    /// Why it cannot hold a value that is not empty.
    pub(super) fn refuses(self, value: &Value) -> Option<String> {
        let taken = match self {
            Self::Copy | Self::Workflow | Self::Any | Self::Rows => true,
            Self::Text => !matches!(value, Value::Array(_) | Value::Object(_)),
            Self::Currency | Self::Float | Self::Percentage => number(value).is_some(),
            Self::Integer => number(value).is_some_and(|it| it.is_integer()),
            Self::Boolean | Self::Checkbox => boolean(value).is_some(),
            Self::Table => matches!(value, Value::Array(_) | Value::Object(_) | Value::String(_)),
            Self::Date => text_of(value).is_some_and(|it| it.parse::<civil::Date>().is_ok()),
            Self::Time => text_of(value).is_some_and(is_time),
            Self::DateTime => text_of(value).is_some_and(is_date_time),
            Self::Choice => !matches!(value, Value::Array(_)),
            Self::Choices => value.is_array(),
        };
        (!taken).then(|| format!("{} is not {}", shown(value), self.described()))
    }

    fn described(self) -> &'static str {
        match self {
            Self::Copy | Self::Workflow | Self::Any => "a value",
            Self::Text => "a text",
            Self::Currency | Self::Float | Self::Percentage => "a number",
            Self::Integer => "a whole number",
            Self::Boolean | Self::Checkbox => "true or false",
            Self::Table => "a table",
            Self::Date => "a date, such as 2026-01-31",
            Self::Time => "a time, such as 14:30",
            Self::DateTime => "a date and time, such as 2026-01-31T14:30",
            Self::Choice => "a choice",
            Self::Choices => "a list of choices",
            Self::Rows => "a list of rows",
        }
    }
}

fn text_of(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim)
}

/// With or without an offset.
fn is_time(text: &str) -> bool {
    let clock = text.strip_suffix('Z').unwrap_or(text);
    let clock = clock.rfind(['+', '-']).map_or(clock, |at| &clock[..at]);
    clock.parse::<civil::Time>().is_ok()
}

fn is_date_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok() || (text.contains(['T', ' ']) && text.parse::<civil::DateTime>().is_ok())
}

/// Characters of a number; nobody fills in more.
const LONGEST_NUMBER: usize = 200;

/// A number, or a text that is one.
pub(super) fn number(value: &Value) -> Option<Number> {
    let text = match value {
        Value::Number(number) => number.as_str(),
        Value::String(text) => text.trim(),
        _ => return None,
    };
    let text = text.strip_prefix('+').unwrap_or(text);
    if text.len() > LONGEST_NUMBER { None } else { Number::parse(text) }
}

/// A boolean, or a text that is one.
pub(super) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Nothing, or white space.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// As a text field holds it, and as patterns and lengths measure it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// As Python's `str` gives it: what the original's expressions see of a field.
pub(super) fn python(value: &Value) -> Value {
    Value::String(match value {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => text(other),
    })
}

/// The most that a message repeats of a value, characters.
const SHOWN: usize = 40;

/// As a message repeats it.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

/// Both are the same choice: numbers by value, the rest as they are.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => number(left).is_some_and(|it| Some(it) == number(right)),
        _ => left == right,
    }
}
