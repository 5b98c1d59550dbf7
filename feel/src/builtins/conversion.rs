//! Conversions between kinds (DMN 1.5, table 73), `not` and `is`.

use super::{Builtin, integer, number_at, refused, single, text};
use crate::eval::{Machine, Outcome};
use crate::number::Number;
use crate::temporal::{Clock, Date, DateTime, Duration, NANOS_PER_SECOND, Time, Zone};
use crate::value::{Value, text_of};

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("string", &["from"], |m, v| {
        m.charge(&v[0])?;
        match text_of(&v[0]) {
            Some(text) => m.string(text),
            None => Ok(Value::Null),
        }
    }),
    Builtin::new("number", &["from,grouping separator?,decimal separator?"], number),
    Builtin::new("date", &["from", "year,month,day"], date),
    Builtin::new("time", &["from", "hour,minute,second,offset?"], time),
    Builtin::new(
        "date and time",
        &[
            "from",
            "date,time",
            "date,timezone",
            "from,timezone",
            "year,month,day,hour,minute,second",
            "year,month,day,hour,minute,second,offset",
            "year,month,day,hour,minute,second,timezone",
        ],
        date_and_time,
    ),
    Builtin::new("duration", &["from"], |m, v| {
        let found = match single(&v[0]) {
            Value::String(text) => Duration::parse(text),
            Value::Duration(duration) => Some(*duration),
            _ => None,
        };
        or_refused(m, "duration", v, found.map(Value::Duration))
    }),
    Builtin::new("years and months duration", &["from,to"], |m, v| {
        let day = |value: &Value| match single(value) {
            Value::Date(date) => Some(*date),
            Value::DateTime(at) => Some(at.date),
            _ => None,
        };
        let found =
            day(&v[0]).zip(day(&v[1])).map(|(from, to)| Value::Duration(Duration::YearsMonths(from.months_until(to))));
        or_refused(m, "years and months duration", v, found)
    }),
    Builtin::new("not", &["negand"], |_, v| Ok(Value::truth(v[0].as_truth().map(|truth| !truth)))),
    Builtin::new("is", &["value1?,value2?"], |m, v| {
        let Some(first) = v.first() else { return refused(m, "is", v) };
        m.charge(first)?;
        Ok(Value::Bool(same(first, v.get(1).unwrap_or(&Value::Null))))
    }),
];

fn or_refused(machine: &mut Machine<'_>, name: &str, values: &[Value], found: Option<Value>) -> Outcome {
    match found {
        Some(value) => Ok(value),
        None => refused(machine, name, values),
    }
}

/// `is`: one kind and one value, zones included: the same instant in another zone is another value.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Time(a), Value::Time(b)) => a == b,
        (Value::DateTime(a), Value::DateTime(b)) => a == b,
        _ => a == b,
    }
}

fn number(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    if let (Value::Number(number), 1) = (single(&values[0]), values.len()) {
        return Ok(Value::Number(number.clone()));
    }
    let separator = |index: usize, allowed: &[&str]| match values.get(index) {
        None | Some(Value::Null) => Some(None),
        Some(_) => text(values, index).filter(|text| allowed.contains(&&***text)).map(|text| Some(text.to_string())),
    };
    let (Some(source), Some(grouping), Some(decimal)) =
        (text(values, 0), separator(1, &[" ", ",", "."]), separator(2, &[",", "."]))
    else {
        return refused(machine, "number", values);
    };
    if grouping.is_some() && grouping == decimal {
        return machine.null("number takes two different separators");
    }
    let mut plain = source.to_string();
    if let Some(grouping) = grouping {
        plain = plain.replace(&grouping, "");
    }
    if let Some(decimal) = decimal {
        if decimal != "." && plain.contains('.') {
            return refused(machine, "number", values);
        }
        plain = plain.replace(&decimal, ".");
    }
    let found = Number::parse(plain.strip_prefix('+').unwrap_or(&plain)).map(Value::Number);
    or_refused(machine, "number", values, found)
}

fn date(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let found = if values.len() == 3 {
        match (integer(values, 0), integer(values, 1), integer(values, 2)) {
            (Some(year), Some(month), Some(day)) => Date::new(year, month, day),
            _ => None,
        }
    } else {
        match single(&values[0]) {
            Value::String(text) => Date::parse(text),
            Value::Date(date) => Some(*date),
            Value::DateTime(at) => Some(at.date),
            _ => None,
        }
    };
    or_refused(machine, "date", values, found.map(Value::Date))
}

/// A clock of hour, minute and second (which may have a fraction), at `index` of the arguments.
fn clock(values: &[Value], index: usize) -> Option<Clock> {
    let second = number_at(values, index + 2)?;
    let whole = second.truncated()?;
    let fraction = second.sub(&Number::from(whole))?.mul(&Number::from(NANOS_PER_SECOND as i64))?.truncated()?;
    Clock::new(integer(values, index)?, integer(values, index + 1)?, whole, u32::try_from(fraction).ok()?)
}

/// A zone given as a duration or by name; the outer `None` is a wrong one.
fn zone(values: &[Value], index: usize) -> Option<Option<Zone>> {
    match values.get(index).map(single) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Duration(Duration::DaysTime(nanos))) => {
            Zone::offset(i64::try_from(nanos / NANOS_PER_SECOND).ok()?).map(Some)
        }
        Some(Value::String(name)) => Zone::named(name).map(Some),
        Some(_) => None,
    }
}

fn time(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let found = if values.len() >= 3 {
        clock(values, 0).zip(zone(values, 3)).map(|(clock, zone)| Time { clock, zone })
    } else {
        match single(&values[0]) {
            Value::String(text) => Time::parse(text),
            Value::Time(time) => Some(time.clone()),
            Value::DateTime(at) => Some(Time { clock: at.clock, zone: at.zone.clone() }),
            Value::Date(_) => Some(Time { clock: Clock::MIDNIGHT, zone: Some(Zone::Offset(0)) }),
            _ => None,
        }
    };
    or_refused(machine, "time", values, found.map(Value::Time))
}

fn date_and_time(machine: &mut Machine<'_>, values: &[Value]) -> Outcome {
    let found = match values.len() {
        1 => match single(&values[0]) {
            Value::String(text) => DateTime::parse(text),
            Value::DateTime(at) => Some(at.clone()),
            Value::Date(date) => Some(DateTime::midnight(*date, Some(Zone::Offset(0)))),
            _ => None,
        },
        2 => match (single(&values[0]), single(&values[1])) {
            (Value::Date(date), Value::Time(time)) => {
                Some(DateTime { date: *date, clock: time.clock, zone: time.zone.clone() })
            }
            (Value::DateTime(at), Value::Time(time)) => {
                Some(DateTime { date: at.date, clock: time.clock, zone: time.zone.clone() })
            }
            (Value::DateTime(at), Value::String(name)) => Zone::named(name).and_then(|zone| at.in_zone(zone)),
            (Value::String(text), Value::String(name)) => {
                DateTime::parse(text).zip(Zone::named(name)).and_then(|(at, zone)| at.in_zone(zone))
            }
            _ => None,
        },
        _ => {
            let day = match (integer(values, 0), integer(values, 1), integer(values, 2)) {
                (Some(year), Some(month), Some(day)) => Date::new(year, month, day),
                _ => None,
            };
            match (day, clock(values, 3), zone(values, 6)) {
                (Some(date), Some(clock), Some(zone)) => Some(DateTime { date, clock, zone }),
                _ => None,
            }
        }
    };
    or_refused(machine, "date and time", values, found.map(Value::DateTime))
}
