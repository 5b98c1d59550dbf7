//! Numbers out of lists: extremes, sums and averages (DMN 1.5, table 76).

use std::cmp::Ordering;

use super::{Builtin, items_of, refused};
use crate::eval::{Machine, Outcome};
use crate::number::Number;
use crate::value::{List, Value, order};

const ITEMS: &[&str] = &["list", "list..."];

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("min", ITEMS, |m, v| extreme(m, "min", v, Ordering::Less)),
    Builtin::new("max", ITEMS, |m, v| extreme(m, "max", v, Ordering::Greater)),
    Builtin::new("sum", ITEMS, |m, v| numeric(m, "sum", v, sum)),
    Builtin::new("mean", ITEMS, |m, v| numeric(m, "mean", v, mean)),
    Builtin::new("product", ITEMS, |m, v| numeric(m, "product", v, product)),
    Builtin::new("median", ITEMS, |m, v| numeric(m, "median", v, median)),
    Builtin::new("stddev", ITEMS, |m, v| numeric(m, "stddev", v, stddev)),
    Builtin::new("mode", ITEMS, mode),
];

fn extreme(machine: &mut Machine<'_>, name: &str, values: &[Value], wanted: Ordering) -> Outcome {
    let Some(items) = items_of(values) else { return refused(machine, name, values) };
    machine.spend(items.len())?;
    let Some((first, rest)) = items.split_first() else { return Ok(Value::Null) };
    let mut best = first;
    if order(best, best).is_none() {
        return refused(machine, name, values);
    }
    for item in rest {
        match order(item, best) {
            Some(found) if found == wanted => best = item,
            Some(_) => {}
            None => return refused(machine, name, values),
        }
    }
    Ok(best.clone())
}

/// The items as numbers; `None` when one is not.
fn numbers(items: &List) -> Option<Vec<Number>> {
    items.iter().map(|item| if let Value::Number(number) = item { Some(number.clone()) } else { None }).collect()
}

fn numeric(
    machine: &mut Machine<'_>,
    name: &str,
    values: &[Value],
    compute: fn(&[Number]) -> Option<Number>,
) -> Outcome {
    let items = items_of(values);
    machine.spend(items.as_ref().map_or(0, |items| items.len()))?;
    match items.as_ref().and_then(numbers) {
        Some(numbers) if numbers.is_empty() => Ok(Value::Null),
        Some(numbers) => match compute(&numbers) {
            Some(number) => Ok(Value::Number(number)),
            None => refused(machine, name, values),
        },
        None => refused(machine, name, values),
    }
}

fn sum(numbers: &[Number]) -> Option<Number> {
    numbers.iter().try_fold(Number::ZERO, |sum, number| sum.add(number))
}

fn count(numbers: &[Number]) -> Number {
    Number::from(i64::try_from(numbers.len()).unwrap_or(i64::MAX))
}

fn mean(numbers: &[Number]) -> Option<Number> {
    sum(numbers)?.div(&count(numbers))
}

fn product(numbers: &[Number]) -> Option<Number> {
    numbers.iter().try_fold(Number::ONE, |product, number| product.mul(number))
}

fn median(numbers: &[Number]) -> Option<Number> {
    let mut sorted = numbers.to_vec();
    sorted.sort();
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        return sorted.get(middle).cloned();
    }
    sorted.get(middle - 1)?.add(sorted.get(middle)?)?.div(&Number::from(2))
}

/// The standard deviation of a sample: of fewer than two numbers there is none.
fn stddev(numbers: &[Number]) -> Option<Number> {
    if numbers.len() < 2 {
        return None;
    }
    let mean = mean(numbers)?;
    let squares = numbers.iter().try_fold(Number::ZERO, |sum, number| {
        let difference = number.sub(&mean)?;
        sum.add(&difference.mul(&difference)?)
    })?;
    squares.div(&count(numbers).sub(&Number::ONE)?)?.sqrt()
}

/// The most frequent numbers, ascending.
fn mode(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let Some(mut numbers) = items_of(values).as_ref().and_then(numbers) else {
        return refused(machine, "mode", values);
    };
    numbers.sort();
    let runs: Vec<&[Number]> = numbers.chunk_by(|a, b| a == b).collect();
    let longest = runs.iter().map(|run| run.len()).max().unwrap_or(0);
    let modes = runs
        .iter()
        .filter(|run| run.len() == longest)
        .filter_map(|run| run.first().cloned().map(Value::Number))
        .collect();
    machine.list(modes)
}
