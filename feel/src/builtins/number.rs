//! Numbers: rounding, remainder, roots and logarithms (DMN 1.5, table 77).

use super::{Builtin, integer, number_at, refused, single};
use crate::eval::{Machine, Outcome};
use crate::number::{Number, Rounding};
use crate::temporal::Duration;
use crate::value::Value;

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("decimal", &["n,scale"], |m, v| rounded(m, "decimal", v, Rounding::HalfEven)),
    Builtin::new("floor", &["n,scale?"], |m, v| rounded(m, "floor", v, Rounding::Floor)),
    Builtin::new("ceiling", &["n,scale?"], |m, v| rounded(m, "ceiling", v, Rounding::Ceiling)),
    Builtin::new("round up", &["n,scale"], |m, v| rounded(m, "round up", v, Rounding::Up)),
    Builtin::new("round down", &["n,scale"], |m, v| rounded(m, "round down", v, Rounding::Down)),
    Builtin::new("round half up", &["n,scale"], |m, v| rounded(m, "round half up", v, Rounding::HalfUp)),
    Builtin::new("round half down", &["n,scale"], |m, v| rounded(m, "round half down", v, Rounding::HalfDown)),
    Builtin::new("abs", &["n", "number"], abs),
    Builtin::new("modulo", &["dividend,divisor"], |m, v| {
        let found = number_at(v, 0).zip(number_at(v, 1)).and_then(|(a, b)| a.modulo(b));
        answer(m, "modulo", v, found)
    }),
    Builtin::new("sqrt", &["number"], |m, v| unary(m, "sqrt", v, Number::sqrt)),
    Builtin::new("log", &["number"], |m, v| unary(m, "log", v, Number::ln)),
    Builtin::new("exp", &["number"], |m, v| unary(m, "exp", v, Number::exp)),
    Builtin::new("odd", &["number"], |m, v| parity(m, "odd", v, true)),
    Builtin::new("even", &["number"], |m, v| parity(m, "even", v, false)),
];

/// The scales that `decimal` and the rounding functions take.
const SCALES: std::ops::RangeInclusive<i64> = -6111..=6176;

fn answer(machine: &mut Machine<'_>, name: &str, values: &[Value], found: Option<Number>) -> Outcome {
    match found {
        Some(number) => Ok(Value::Number(number)),
        None => refused(machine, name, values),
    }
}

fn rounded(machine: &mut Machine<'_>, name: &str, values: &[Value], mode: Rounding) -> Outcome {
    let scale = if values.len() < 2 { Some(0) } else { number_at(values, 1).and_then(Number::truncated) };
    let found = scale
        .filter(|scale| SCALES.contains(scale))
        .zip(number_at(values, 0))
        .and_then(|(scale, n)| n.round(scale as i32, mode));
    answer(machine, name, values, found)
}

fn unary(machine: &mut Machine<'_>, name: &str, values: &[Value], compute: fn(&Number) -> Option<Number>) -> Outcome {
    machine.spend(16)?;
    let found = number_at(values, 0).and_then(compute);
    answer(machine, name, values, found)
}

fn parity(machine: &mut Machine<'_>, name: &str, values: &[Value], odd: bool) -> Outcome {
    let two = Number::from(2);
    match number_at(values, 0).and_then(|n| n.modulo(&two)) {
        Some(rest) => Ok(Value::Bool(if odd { rest == Number::ONE } else { rest.is_zero() })),
        None => refused(machine, name, values),
    }
}

fn abs(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    match single(&values[0]) {
        Value::Number(number) => Ok(Value::Number(number.abs())),
        Value::Duration(Duration::YearsMonths(months)) => Ok(Value::Duration(Duration::YearsMonths(months.abs()))),
        Value::Duration(Duration::DaysTime(nanos)) => Ok(Value::Duration(Duration::DaysTime(nanos.abs()))),
        _ => refused(machine, "abs", values),
    }
}

/// An argument that must be an integer when it is given; the outer `None` is a wrong one.
pub(super) fn optional_integer(values: &[Value], index: usize) -> Option<Option<i64>> {
    if values.get(index).is_none_or(Value::is_null) { Some(None) } else { integer(values, index).map(Some) }
}
