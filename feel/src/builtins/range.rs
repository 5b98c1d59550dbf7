//! How points and ranges lie to each other (DMN 1.5, table 78), and ranges out of text.

use std::cmp::Ordering;

use super::{Builtin, refused, text};
use crate::eval::{Machine, Outcome};
use crate::value::{Range, Value, order};

const POINTS: &[&str] = &["point1,point2", "point,range", "range,point", "range1,range2"];
const RANGES: &[&str] = &["range1,range2"];
const POINT_RANGE: &[&str] = &["point,range", "range1,range2"];
const RANGE_POINT: &[&str] = &["range,point", "range1,range2"];

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("before", POINTS, |m, v| relation(m, "before", v, before)),
    Builtin::new("after", POINTS, |m, v| relation(m, "after", v, |a, b| before(b, a))),
    Builtin::new("meets", RANGES, |m, v| ranges(m, "meets", v, meets)),
    Builtin::new("met by", RANGES, |m, v| ranges(m, "met by", v, |a, b| meets(b, a))),
    Builtin::new("overlaps", RANGES, |m, v| ranges(m, "overlaps", v, overlaps)),
    Builtin::new("overlaps before", RANGES, |m, v| ranges(m, "overlaps before", v, overlaps_before)),
    Builtin::new("overlaps after", RANGES, |m, v| ranges(m, "overlaps after", v, |a, b| overlaps_before(b, a))),
    Builtin::new("finishes", POINT_RANGE, |m, v| relation(m, "finishes", v, finishes)),
    Builtin::new("finished by", RANGE_POINT, |m, v| relation(m, "finished by", v, |a, b| finishes(b, a))),
    Builtin::new("includes", RANGE_POINT, |m, v| relation(m, "includes", v, includes)),
    Builtin::new("during", POINT_RANGE, |m, v| relation(m, "during", v, |a, b| includes(b, a))),
    Builtin::new("starts", POINT_RANGE, |m, v| relation(m, "starts", v, starts)),
    Builtin::new("started by", RANGE_POINT, |m, v| relation(m, "started by", v, |a, b| starts(b, a))),
    Builtin::new("coincides", &["point1,point2", "range1,range2"], |m, v| relation(m, "coincides", v, coincides)),
    Builtin::new("range", &["from"], from_text),
    Builtin::new("single value range", &["from"], |m, v| m.make_range(v[0].clone(), v[0].clone(), [true, true])),
];

fn relation(
    machine: &mut Machine<'_>,
    name: &str,
    values: &[Value],
    holds: fn(&Value, &Value) -> Option<bool>,
) -> Outcome {
    match holds(super::single(&values[0]), super::single(&values[1])) {
        Some(holds) => Ok(Value::Bool(holds)),
        None => refused(machine, name, values),
    }
}

fn ranges(
    machine: &mut Machine<'_>,
    name: &str,
    values: &[Value],
    holds: fn(&Range, &Range) -> Option<bool>,
) -> Outcome {
    let found = match (&values[0], &values[1]) {
        (Value::Range(a), Value::Range(b)) => holds(a, b),
        _ => None,
    };
    match found {
        Some(holds) => Ok(Value::Bool(holds)),
        None => refused(machine, name, values),
    }
}

/// The order of an upper end to a lower end: an end open to infinity lies beyond every other.
fn end_to_start(end: &Value, start: &Value) -> Option<Ordering> {
    if end.is_null() || start.is_null() { Some(Ordering::Greater) } else { order(end, start) }
}

/// Two lower ends, or two upper ends, in order; of equal ones `included` decides.
fn starts_in_order(a: &Range, b: &Range) -> Option<Ordering> {
    let ends = match (a.start.is_null(), b.start.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => order(&a.start, &b.start)?,
    };
    // An included start comes before an excluded one.
    Some(ends.then(b.start_included.cmp(&a.start_included)))
}

fn ends_in_order(a: &Range, b: &Range) -> Option<Ordering> {
    let ends = match (a.end.is_null(), b.end.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => order(&a.end, &b.end)?,
    };
    Some(ends.then(a.end_included.cmp(&b.end_included)))
}

fn before(a: &Value, b: &Value) -> Option<bool> {
    Some(match (a, b) {
        (Value::Range(a), Value::Range(b)) => {
            let order = end_to_start(&a.end, &b.start)?;
            order.is_lt() || (order.is_eq() && !(a.end_included && b.start_included))
        }
        (Value::Range(a), point) => {
            let order = end_to_start(&a.end, point)?;
            order.is_lt() || (order.is_eq() && !a.end_included)
        }
        (point, Value::Range(b)) => {
            let order = end_to_start(point, &b.start)?;
            order.is_lt() || (order.is_eq() && !b.start_included)
        }
        (a, b) => order(a, b)?.is_lt(),
    })
}

fn meets(a: &Range, b: &Range) -> Option<bool> {
    Some(a.end_included && b.start_included && end_to_start(&a.end, &b.start)?.is_eq())
}

/// Whether neither lies wholly before the other.
fn overlaps(a: &Range, b: &Range) -> Option<bool> {
    let touches = |end: &Range, start: &Range| {
        let order = end_to_start(&end.end, &start.start)?;
        Some(order.is_gt() || (order.is_eq() && end.end_included && start.start_included))
    };
    Some(touches(a, b)? && touches(b, a)?)
}

fn overlaps_before(a: &Range, b: &Range) -> Option<bool> {
    let order = end_to_start(&a.end, &b.start)?;
    let reaches = order.is_gt() || (order.is_eq() && a.end_included && b.start_included);
    Some(starts_in_order(a, b)?.is_lt() && reaches && ends_in_order(a, b)?.is_le())
}

fn finishes(a: &Value, b: &Value) -> Option<bool> {
    let Value::Range(whole) = b else { return None };
    Some(match a {
        Value::Range(part) => ends_in_order(part, whole)?.is_eq() && starts_in_order(whole, part)?.is_le(),
        point => whole.end_included && !whole.end.is_null() && order(point, &whole.end)?.is_eq(),
    })
}

fn starts(a: &Value, b: &Value) -> Option<bool> {
    let Value::Range(whole) = b else { return None };
    Some(match a {
        Value::Range(part) => starts_in_order(part, whole)?.is_eq() && ends_in_order(part, whole)?.is_le(),
        point => whole.start_included && !whole.start.is_null() && order(point, &whole.start)?.is_eq(),
    })
}

fn includes(a: &Value, b: &Value) -> Option<bool> {
    let Value::Range(whole) = a else { return None };
    match b {
        Value::Range(part) => Some(starts_in_order(whole, part)?.is_le() && ends_in_order(part, whole)?.is_le()),
        point => whole.contains(point),
    }
}

fn coincides(a: &Value, b: &Value) -> Option<bool> {
    match (a, b) {
        (Value::Range(a), Value::Range(b)) => Some(starts_in_order(a, b)?.is_eq() && ends_in_order(a, b)?.is_eq()),
        (a, b) => Some(order(a, b)?.is_eq()),
    }
}

/// `range("[1..5)")`: ends are literals, or calls of the functions that make dates, times and durations.
fn from_text(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let Some(source) = text(values, 0) else { return refused(machine, "range", values) };
    machine.spend(16 + source.len())?;
    let found = parse_range(source.trim());
    match found {
        Some((start, end, included)) if !(start.is_null() && end.is_null()) => {
            if order(&start, &end).is_some_and(Ordering::is_gt) {
                return refused(machine, "range", values);
            }
            machine.make_range(start, end, included)
        }
        _ => refused(machine, "range", values),
    }
}

fn parse_range(source: &str) -> Option<(Value, Value, [bool; 2])> {
    let mut inner = source.chars();
    let open = inner.next()?;
    let close = inner.next_back()?;
    let (start, end) = inner.as_str().split_once("..")?;
    let start_included = match open {
        '[' => true,
        '(' | ']' => false,
        _ => return None,
    };
    let end_included = match close {
        ']' => true,
        ')' | '[' => false,
        _ => return None,
    };
    let (start, end) = (endpoint(start)?, endpoint(end)?);
    // An end that is missing cannot belong to the range.
    if (start.is_null() && start_included) || (end.is_null() && end_included) {
        return None;
    }
    Some((start, end, [start_included, end_included]))
}

fn endpoint(source: &str) -> Option<Value> {
    let source = source.trim();
    if source.is_empty() {
        return Some(Value::Null);
    }
    // A bare date, time or duration is how ranges are written out by `string`.
    if let Some(value) = crate::temporal::at_literal(source) {
        return Some(value);
    }
    crate::literal(source)
}
