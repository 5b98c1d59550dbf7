//! What Camunda adds to the standard's built-ins. Random values are drawn from the seed in `Env`.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Builtin, refused, text};
use crate::error::EvalError;
use crate::eval::{Machine, Outcome};
use crate::number::Number;
use crate::temporal::Duration;
use crate::value::{Value, text_of};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("is defined", &["value"], |_, v| Ok(Value::Bool(!v[0].is_null()))).quiet(),
    Builtin::new("get or else", &["value,default"], |_, v| {
        Ok(if v[0].is_null() { v[1].clone() } else { v[0].clone() })
    })
    .quiet(),
    Builtin::new("assert", &["value,condition,cause?"], assert),
    Builtin::new("random number", &[""], |m, _| {
        let drawn = m.random() % 1_000_000_000_000_000_000;
        Ok(Value::number(Number::new(i128::from(drawn), -18)))
    }),
    Builtin::new("uuid", &[""], |m, _| {
        let (high, low) = (m.random(), m.random());
        // Version 4 and the variant of RFC 9562.
        let bits = (u128::from(high) << 64 | u128::from(low)) & !(0xf << 76) & !(0x3 << 62) | (4 << 76) | (2 << 62);
        let hex = format!("{bits:032x}");
        m.string(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
    }),
    Builtin::new("to base64", &["value"], |m, v| match text(v, 0) {
        Some(text) => m.string(STANDARD.encode(text.as_bytes())),
        None => refused(m, "to base64", v),
    }),
    Builtin::new("from base64", &["value"], |m, v| {
        match text(v, 0)
            .and_then(|text| STANDARD.decode(text.as_bytes()).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok())
        {
            Some(decoded) => m.string(decoded),
            None => refused(m, "from base64", v),
        }
    }),
    Builtin::new("to json", &["value"], |m, v| {
        m.charge(&v[0])?;
        m.string(v[0].to_json().to_string())
    }),
    Builtin::new("from json", &["value"], |m, v| {
        let Some(text) = text(v, 0) else { return refused(m, "from json", v) };
        m.spend(text.len() / 8)?;
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(json) => Ok(Value::from_json(&json)),
            Err(_) => refused(m, "from json", v),
        }
    }),
    Builtin::new("fromAi", &["value,description?,type?,schema?,options?"], |_, v| Ok(v[0].clone())),
    Builtin::new("cycle", &["repetitions,interval", "interval"], cycle),
    Builtin::new("bpmnError", &["code,message?,variables?"], |m, v| {
        let mut entries = vec![entry("errorType", Value::string("bpmnError")), entry("code", v[0].clone())];
        entries.extend(optional(v, &["message", "variables"], 1));
        m.context(entries)
    }),
    Builtin::new("jobError", &["message,variables?,retries?,retryBackoff?"], |m, v| {
        let mut entries = vec![entry("errorType", Value::string("jobError")), entry("message", v[0].clone())];
        entries.extend(optional(v, &["variables", "retries", "retryBackoff"], 1));
        m.context(entries)
    }),
    Builtin::new("ignoreError", &["variables?"], |m, v| {
        let mut entries = vec![entry("errorType", Value::string("ignoreError"))];
        entries.extend(optional(v, &["variables"], 0));
        m.context(entries)
    }),
];

fn entry(name: &str, value: Value) -> (Arc<str>, Value) {
    (name.into(), value)
}

/// Entries for the arguments given from `index` on, by these names; null is left out.
fn optional(values: &[Value], names: &[&str], index: usize) -> Vec<(Arc<str>, Value)> {
    let given = values.get(index..).unwrap_or(&[]);
    names
        .iter()
        .zip(given)
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| entry(name, value.clone()))
        .collect()
}

fn assert(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    if values[1].is_true() {
        return Ok(values[0].clone());
    }
    let _ = machine;
    let cause = text(values, 2).map_or("the condition is not fulfilled", |cause| cause);
    Err(EvalError::Assertion(cause.to_owned()))
}

/// The ISO 8601 repetition of a timer: `R3/PT10S`, or without end `R/PT10S`.
fn cycle(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let interval = match values.last() {
        Some(Value::Duration(duration)) => Some(*duration),
        Some(Value::String(text)) => Duration::parse(text),
        _ => None,
    };
    let times = match values {
        [_] | [Value::Null, _] => Some(String::new()),
        [Value::Number(times), _] if times.is_integer() => {
            Some(if times.is_negative() { String::new() } else { times.to_string() })
        }
        _ => None,
    };
    match times.zip(interval).zip(interval.and_then(|interval| text_of(&Value::Duration(interval)))) {
        Some(((times, _), interval)) => machine.string(format!("R{times}/{interval}")),
        None => refused(machine, "cycle", values),
    }
}
