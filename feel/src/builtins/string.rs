//! Strings (DMN 1.5, table 74, and Camunda's `trim` and `is blank`). Positions count characters, from 1.

use super::{Builtin, items_of, list_at, number_at, refused, text};
use crate::eval::{Machine, Outcome};
use crate::number::Number;
use crate::value::Value;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("substring", &["string,start position,length?"], substring),
    Builtin::new("string length", &["string"], |m, v| match text(v, 0) {
        Some(text) => Ok(Value::from(i64::try_from(text.chars().count()).unwrap_or(i64::MAX))),
        None => refused(m, "string length", v),
    }),
    Builtin::new("upper case", &["string"], |m, v| mapped(m, "upper case", v, |text| text.to_uppercase())),
    Builtin::new("lower case", &["string"], |m, v| mapped(m, "lower case", v, |text| text.to_lowercase())),
    Builtin::new("trim", &["string"], |m, v| mapped(m, "trim", v, |text| text.trim().to_owned())),
    Builtin::new("substring before", &["string,match"], |m, v| {
        paired(m, "substring before", v, |text, found| {
            text.find(found).map_or(String::new(), |at| text[..at].to_owned())
        })
    }),
    Builtin::new("substring after", &["string,match"], |m, v| {
        paired(m, "substring after", v, |text, found| {
            text.find(found).map_or(String::new(), |at| text[at + found.len()..].to_owned())
        })
    }),
    Builtin::new("contains", &["string,match"], |m, v| asked(m, "contains", v, |text, found| text.contains(found))),
    Builtin::new("starts with", &["string,match"], |m, v| {
        asked(m, "starts with", v, |text, found| text.starts_with(found))
    }),
    Builtin::new("ends with", &["string,match"], |m, v| asked(m, "ends with", v, |text, found| text.ends_with(found))),
    Builtin::new("is blank", &["string"], |m, v| match text(v, 0) {
        Some(text) => Ok(Value::Bool(text.trim().is_empty())),
        None => refused(m, "is blank", v),
    }),
    Builtin::new("string join", &["list,delimiter?", "list,delimiter,prefix,suffix"], join),
];

fn mapped(machine: &mut Machine<'_>, name: &str, values: &[Value], map: fn(&str) -> String) -> Outcome {
    match text(values, 0) {
        Some(text) => {
            machine.spend(text.len() / 64)?;
            machine.string(map(text))
        }
        None => refused(machine, name, values),
    }
}

fn paired(machine: &mut Machine<'_>, name: &str, values: &[Value], map: fn(&str, &str) -> String) -> Outcome {
    match text(values, 0).zip(text(values, 1)) {
        Some((text, other)) => {
            machine.spend(text.len() / 64)?;
            machine.string(map(text, other))
        }
        None => refused(machine, name, values),
    }
}

fn asked(machine: &mut Machine<'_>, name: &str, values: &[Value], ask: fn(&str, &str) -> bool) -> Outcome {
    match text(values, 0).zip(text(values, 1)) {
        Some((text, other)) => {
            machine.spend(text.len() / 64)?;
            Ok(Value::Bool(ask(text, other)))
        }
        None => refused(machine, name, values),
    }
}

fn substring(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    // digits behind the point are cut off
    let cut = |index: usize| number_at(values, index).and_then(Number::truncated);
    let length = if values.get(2).is_none_or(Value::is_null) { Some(None) } else { cut(2).map(Some) };
    let (Some(text), Some(start), Some(length)) = (text(values, 0), cut(1), length) else {
        return refused(machine, "substring", values);
    };
    machine.spend(text.len() / 64)?;
    let count = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let from = match start {
        1.. => start - 1,
        0 => return refused(machine, "substring", values),
        back => count.saturating_add(back),
    };
    // Beyond the last character there is nothing to start at; only an empty string has its start behind it.
    if from < 0 || from >= count.max(1) || length.is_some_and(|length| length < 0) {
        return refused(machine, "substring", values);
    }
    let length = length.unwrap_or(count);
    let cut = text
        .chars()
        .skip(usize::try_from(from).unwrap_or(usize::MAX))
        .take(usize::try_from(length).unwrap_or(usize::MAX));
    machine.string(cut.collect())
}

/// Strings of a list in a row; nulls are left out. Without a list of strings there is no answer.
fn join(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let optional = |index: usize| match values.get(index) {
        None | Some(Value::Null) => Some(""),
        Some(_) => text(values, index).map(|text| &**text),
    };
    let items = list_at(values, 0).or_else(|| items_of(&values[..1]));
    let (Some(items), Some(delimiter), Some(prefix), Some(suffix)) = (items, optional(1), optional(2), optional(3))
    else {
        return refused(machine, "string join", values);
    };
    let mut out = prefix.to_owned();
    let mut first = true;
    for item in items.iter() {
        let item = match item {
            Value::Null => continue,
            Value::String(item) => item,
            _ => return refused(machine, "string join", values),
        };
        if !first {
            out.push_str(delimiter);
        }
        first = false;
        out.push_str(item);
        machine.spend(1 + (item.len() + delimiter.len()) / 64)?;
    }
    out.push_str(suffix);
    machine.string(out)
}
