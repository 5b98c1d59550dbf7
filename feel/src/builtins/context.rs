//! Contexts (DMN 1.5, table 81, and Camunda's aliases).

use std::sync::Arc;

use super::{Builtin, list_at, refused};
use crate::eval::{Machine, Outcome};
use crate::value::{Context, Value};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("get value", &["m,key", "context,key", "context,keys"], get_value),
    Builtin::new("get entries", &["m", "context"], |m, v| match &v[0] {
        Value::Context(context) => {
            let mut entries = Vec::with_capacity(context.len());
            for (key, value) in context.iter() {
                entries.push(
                    m.context(vec![("key".into(), Value::String(Arc::clone(key))), ("value".into(), value.clone())])?,
                );
            }
            m.list(entries)
        }
        _ => refused(m, "get entries", v),
    }),
    Builtin::new("context", &["entries"], from_entries),
    Builtin::new("context put", &["context,key,value", "context,keys,value"], |m, v| put(m, "context put", v)),
    Builtin::new("put", &["context,key,value"], |m, v| put(m, "put", v)),
    Builtin::new("context merge", &["contexts", "contexts..."], |m, v| merge(m, "context merge", v)),
    Builtin::new("put all", &["contexts", "contexts..."], |m, v| merge(m, "put all", v)),
];

fn get_value(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let Value::Context(context) = &values[0] else { return refused(machine, "get value", values) };
    let found = match &values[1] {
        Value::String(key) => context.get(key).cloned(),
        Value::List(keys) if !keys.is_empty() => {
            let mut value = values[0].clone();
            for key in keys.iter() {
                value = match (&value, key) {
                    (Value::Context(context), Value::String(key)) => context.get(key).cloned().unwrap_or(Value::Null),
                    _ => Value::Null,
                };
            }
            Some(value)
        }
        _ => return refused(machine, "get value", values),
    };
    machine.or_null(found, || "get value found no such entry".to_owned())
}

/// The key and value of `{key: .., value: ..}`.
fn entry(value: &Value) -> Option<(Arc<str>, Value)> {
    let Value::Context(context) = value else { return None };
    match (context.get("key"), context.get("value")) {
        (Some(Value::String(key)), Some(value)) => Some((Arc::clone(key), value.clone())),
        _ => None,
    }
}

fn from_entries(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let entries: Option<Vec<_>> = list_at(values, 0).and_then(|items| items.iter().map(entry).collect());
    let Some(entries) = entries else { return refused(machine, "context", values) };
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) {
        return machine.null("context got a key twice");
    }
    machine.context(entries)
}

fn with_entry(machine: &mut Machine<'_>, context: &Context, key: &Arc<str>, value: Value) -> Outcome {
    let mut entries: Vec<(Arc<str>, Value)> =
        context.iter().map(|(key, value)| (Arc::clone(key), value.clone())).collect();
    entries.push((Arc::clone(key), value));
    machine.context(entries)
}

fn put(machine: &mut Machine<'_>, name: &str, values: &[Value]) -> Outcome {
    let Value::Context(context) = &values[0] else { return refused(machine, name, values) };
    if let Value::String(key) = &values[1] {
        return with_entry(machine, context, key, values[2].clone());
    }
    let keys: Option<Vec<Arc<str>>> = match &values[1] {
        Value::List(keys) => {
            keys.iter().map(|key| if let Value::String(key) = key { Some(Arc::clone(key)) } else { None }).collect()
        }
        _ => None,
    };
    match keys {
        Some(keys) if !keys.is_empty() => put_at(machine, context, &keys, &values[2]),
        _ => refused(machine, name, values),
    }
}

/// Puts a value at a path of keys; contexts that are missing on the way are made.
fn put_at(machine: &mut Machine<'_>, context: &Context, keys: &[Arc<str>], value: &Value) -> Outcome {
    // From the inside out: contexts along the path, then each with its changed entry.
    let mut along = vec![context.clone()];
    for key in &keys[..keys.len() - 1] {
        machine.spend(1)?;
        let inner = match along.last().and_then(|context| context.get(key)) {
            Some(Value::Context(inner)) => inner.clone(),
            None | Some(Value::Null) => Context::default(),
            Some(other) => return machine.null(format!("context put met {} on its path", other.kind())),
        };
        along.push(inner);
    }
    let mut value = value.clone();
    for (context, key) in along.iter().zip(keys).rev() {
        value = with_entry(machine, context, key, value)?;
    }
    Ok(value)
}

fn merge(machine: &mut Machine<'_>, name: &str, values: &[Value]) -> Outcome {
    let contexts: &[Value] = match values {
        [Value::List(items)] => items,
        several => several,
    };
    let mut entries = Vec::new();
    for context in contexts {
        let Value::Context(context) = context else { return refused(machine, name, values) };
        machine.spend(context.len())?;
        entries.extend(context.iter().map(|(key, value)| (Arc::clone(key), value.clone())));
    }
    machine.context(entries)
}
