//! Values to and from JSON. Dates, times, durations and ranges leave as their text and come in as strings; functions leave as null.

use std::sync::Arc;

use super::{Context, List, Value, text_of};
use crate::number::Number;

/// Beyond this nesting JSON is taken as null. JSON that was parsed from text nests less.
const MAX_DEPTH: u32 = 192;

impl Value {
    /// The FEEL value of a JSON value.
    pub fn from_json(json: &serde_json::Value) -> Self {
        convert(json, 0)
    }

    /// The JSON of this value.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null | Self::Function(_) => serde_json::Value::Null,
            Self::Bool(value) => serde_json::Value::Bool(*value),
            Self::Number(number) => number_json(number),
            Self::String(text) => serde_json::Value::String(text.to_string()),
            Self::List(items) => serde_json::Value::Array(items.iter().map(Self::to_json).collect()),
            Self::Context(context) => {
                let entries = context.iter().map(|(name, value)| (name.to_string(), value.to_json()));
                serde_json::Value::Object(entries.collect())
            }
            Self::Date(_) | Self::Time(_) | Self::DateTime(_) | Self::Duration(_) | Self::Range(_) => {
                text_of(self).map_or(serde_json::Value::Null, serde_json::Value::String)
            }
        }
    }
}

fn number_json(number: &Number) -> serde_json::Value {
    if let Some(small) = number.to_i64()
        && !number.has_text()
    {
        return serde_json::Value::Number(small.into());
    }
    serde_json::from_str(&number.json_text()).unwrap_or(serde_json::Value::Null)
}

fn convert(json: &serde_json::Value, depth: u32) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => Value::Number(Number::from_json_text(number.as_str())),
        serde_json::Value::String(text) => Value::String(text.as_str().into()),
        _ if depth >= MAX_DEPTH => Value::Null,
        serde_json::Value::Array(items) => {
            Value::List(List::new(items.iter().map(|item| convert(item, depth + 1)).collect()))
        }
        serde_json::Value::Object(entries) => Value::Context(Context::new(
            entries.iter().map(|(name, value)| (Arc::from(name.as_str()), convert(value, depth + 1))),
        )),
    }
}
