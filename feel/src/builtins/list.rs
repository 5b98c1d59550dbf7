//! Lists (DMN 1.5, table 75, and Camunda's `duplicate values`, `partition` and `is empty`).

use std::cmp::Ordering;

use super::{Builtin, integer, items_of, list_at, number::optional_integer, number_at, refused};
use crate::error::EvalError;
use crate::eval::{Machine, Outcome};
use crate::number::Number;
use crate::value::{List, Value, equal, order};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("list contains", &["list,element"], |m, v| {
        with_list(m, "list contains", v, |m, items| Ok(Value::Bool(position(m, items, 0, &v[1])?.is_some())))
    }),
    Builtin::new("count", &["list", "list..."], |m, v| match items_of(v) {
        Some(items) => Ok(Value::from(i64::try_from(items.len()).unwrap_or(i64::MAX))),
        None => refused(m, "count", v),
    }),
    Builtin::new("all", &["list", "list..."], |m, v| junction(m, "all", v, false)),
    Builtin::new("and", &["list", "list..."], |m, v| junction(m, "and", v, false)),
    Builtin::new("any", &["list", "list..."], |m, v| junction(m, "any", v, true)),
    Builtin::new("or", &["list", "list..."], |m, v| junction(m, "or", v, true)),
    Builtin::new("sublist", &["list,start position,length?"], sublist),
    Builtin::new("append", &["list,item..."], |m, v| {
        with_list(m, "append", v, |m, items| m.list(items.iter().chain(&v[1..]).cloned().collect()))
    }),
    Builtin::new("concatenate", &["list..."], |m, v| joined(m, "concatenate", v, false)),
    Builtin::new("union", &["list..."], |m, v| joined(m, "union", v, true)),
    Builtin::new("insert before", &["list,position,newItem"], insert_before),
    Builtin::new("remove", &["list,position"], remove),
    Builtin::new("list replace", &["list,position,newItem", "list,match,newItem"], replace),
    Builtin::new("reverse", &["list"], |m, v| {
        with_list(m, "reverse", v, |m, items| m.list(items.iter().rev().cloned().collect()))
    }),
    Builtin::new("index of", &["list,match"], |m, v| {
        with_list(m, "index of", v, |m, items| {
            let mut found = Vec::new();
            let mut from = 0;
            while let Some(at) = position(m, items, from, &v[1])? {
                found.push(Value::from(at as i64 + 1));
                from = at + 1;
            }
            m.list(found)
        })
    }),
    Builtin::new("distinct values", &["list"], |m, v| {
        with_list(m, "distinct values", v, |m, items| {
            let distinct = distinct(m, items)?;
            m.list(distinct)
        })
    }),
    Builtin::new("duplicate values", &["list"], |m, v| {
        with_list(m, "duplicate values", v, |m, items| {
            let mut found: Vec<Value> = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let again = position(m, items, index + 1, item)?.is_some();
                if again && position(m, &found, 0, item)?.is_none() {
                    found.push(item.clone());
                }
            }
            m.list(found)
        })
    }),
    Builtin::new("flatten", &["list"], |m, v| {
        with_list(m, "flatten", v, |m, items| {
            let mut flat = Vec::new();
            flatten(m, items, &mut flat)?;
            m.list(flat)
        })
    }),
    Builtin::new("sort", &["list,precedes?", "list,function"], sort),
    Builtin::new("partition", &["list,size"], |m, v| match (list_at(v, 0), integer(v, 1)) {
        (Some(items), Some(size @ 1..)) => {
            let mut parts = Vec::new();
            for part in items.chunks(usize::try_from(size).unwrap_or(usize::MAX)) {
                parts.push(m.list(part.to_vec())?);
            }
            m.list(parts)
        }
        _ => refused(m, "partition", v),
    }),
    Builtin::new("is empty", &["list"], |m, v| match &v[0] {
        Value::List(items) => Ok(Value::Bool(items.is_empty())),
        Value::Context(entries) => Ok(Value::Bool(entries.is_empty())),
        Value::String(text) => Ok(Value::Bool(text.is_empty())),
        _ => refused(m, "is empty", v),
    }),
];

fn with_list(
    machine: &mut Machine<'_>,
    name: &str,
    values: &[Value],
    run: impl FnOnce(&mut Machine<'_>, &List) -> Outcome,
) -> Outcome {
    match list_at(values, 0) {
        Some(items) => {
            machine.spend(items.len() / 4)?;
            run(machine, &items)
        }
        None => refused(machine, name, values),
    }
}

/// Where an equal item stands, at `from` or behind it.
fn position(
    machine: &mut Machine<'_>,
    items: &[Value],
    from: usize,
    wanted: &Value,
) -> Result<Option<usize>, EvalError> {
    for (index, item) in items.iter().enumerate().skip(from) {
        if index % 8 == 0 {
            machine.spend(1)?;
        }
        machine.charge(item)?;
        if equal(item, wanted) == Some(true) {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

fn distinct(machine: &mut Machine<'_>, items: &[Value]) -> Result<Vec<Value>, EvalError> {
    let mut found: Vec<Value> = Vec::new();
    for item in items {
        if position(machine, &found, 0, item)?.is_none() {
            found.push(item.clone());
        }
    }
    Ok(found)
}

fn junction(machine: &mut Machine<'_>, name: &str, values: &[Value], decisive: bool) -> Outcome {
    let Some(items) = items_of(values) else { return refused(machine, name, values) };
    machine.spend(items.len() / 4)?;
    let mut unknown = false;
    for item in items.iter() {
        match item.as_truth() {
            Some(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::Bool(!decisive) })
}

/// A position from the front (1, 2, ..) or the back (-1, -2, ..) as an index; `None` when it is outside.
fn index(position: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let index = if position > 0 { position - 1 } else { length.checked_add(position)? };
    if position == 0 || index < 0 || index >= length { None } else { usize::try_from(index).ok() }
}

fn sublist(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let (Some(items), Some(start), Some(length)) =
        (list_at(values, 0), integer(values, 1), optional_integer(values, 2))
    else {
        return refused(machine, "sublist", values);
    };
    let Some(from) = index(start, items.len()) else { return refused(machine, "sublist", values) };
    let rest = &items[from..];
    let cut = match length {
        None => rest,
        Some(length) => match usize::try_from(length).ok().and_then(|length| rest.get(..length)) {
            Some(cut) => cut,
            None => return refused(machine, "sublist", values),
        },
    };
    machine.list(cut.to_vec())
}

fn joined(machine: &mut Machine<'_>, name: &str, values: &[Value], once: bool) -> Outcome {
    let mut all = Vec::new();
    for at in 0..values.len() {
        let Some(items) = list_at(values, at) else { return refused(machine, name, values) };
        machine.spend(items.len())?;
        all.extend_from_slice(&items);
    }
    if once {
        all = distinct(machine, &all)?;
    }
    machine.list(all)
}

fn insert_before(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let (Some(items), Some(position)) = (list_at(values, 0), integer(values, 1)) else {
        return refused(machine, "insert before", values);
    };
    let mut items = items.to_vec();
    // One past the end appends.
    let at = if position == items.len() as i64 + 1 { Some(items.len()) } else { index(position, items.len()) };
    let Some(at) = at else { return refused(machine, "insert before", values) };
    items.insert(at, values[2].clone());
    machine.list(items)
}

fn remove(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let found = list_at(values, 0)
        .zip(integer(values, 1))
        .and_then(|(items, position)| Some((index(position, items.len())?, items)));
    let Some((at, items)) = found else { return refused(machine, "remove", values) };
    let mut items = items.to_vec();
    items.remove(at);
    machine.list(items)
}

/// Replaces the item at a position, or every item for which `match(item, newItem)` answers true.
fn replace(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let Some(items) = list_at(values, 0) else { return refused(machine, "list replace", values) };
    let mut items = items.to_vec();
    if let Value::Function(function) = &values[1] {
        for item in &mut items {
            match machine.invoke(function, vec![item.clone(), values[2].clone()])? {
                Value::Bool(true) => *item = values[2].clone(),
                Value::Bool(false) => {}
                _ => return refused(machine, "list replace", values),
            }
        }
        return machine.list(items);
    }
    let position = number_at(values, 1).and_then(Number::truncated);
    let Some(at) = position.and_then(|position| index(position, items.len())) else {
        return refused(machine, "list replace", values);
    };
    items[at] = values[2].clone();
    machine.list(items)
}

fn flatten(machine: &mut Machine<'_>, items: &List, flat: &mut Vec<Value>) -> Result<(), EvalError> {
    for item in items.iter() {
        machine.spend(1)?;
        match item {
            Value::List(inner) => flatten(machine, inner, flat)?,
            item => flat.push(item.clone()),
        }
    }
    Ok(())
}

/// A stable merge sort by `precedes(a, b)`, or by the order of the items themselves.
fn sort(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let Some(items) = list_at(values, 0) else { return refused(machine, "sort", values) };
    let precedes = match values.get(1) {
        Some(Value::Function(function)) => Some(function),
        None => None,
        Some(_) => return refused(machine, "sort", values),
    };
    let mut runs: Vec<Vec<Value>> = items.iter().map(|item| vec![item.clone()]).collect();
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len() / 2 + 1);
        let mut pending = runs.into_iter();
        while let Some(left) = pending.next() {
            let Some(right) = pending.next() else {
                merged.push(left);
                break;
            };
            let mut out = Vec::with_capacity(left.len() + right.len());
            let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
            while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
                machine.spend(1)?;
                // The right one goes first only when it strictly precedes; so equal items keep their order.
                let swap = match precedes {
                    Some(function) => machine.invoke(function, vec![b.clone(), a.clone()])?.as_truth(),
                    None => order(b, a).map(Ordering::is_lt),
                };
                let Some(swap) = swap else { return refused(machine, "sort", values) };
                out.extend(if swap { right.next() } else { left.next() });
            }
            out.extend(left);
            out.extend(right);
            merged.push(out);
        }
        runs = merged;
    }
    machine.list(runs.pop().unwrap_or_default())
}
