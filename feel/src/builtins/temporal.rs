//! Dates (DMN 1.5, table 79 and 80, and Camunda's `last day of month`). The present moment comes from `Env`.

use super::{Builtin, refused, single};
use crate::eval::{Machine, Outcome};
use crate::temporal::{Date, DateTime};
use crate::value::Value;

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const BUILTINS: &[Builtin] = &[
    Builtin::new("now", &[""], |m, _| Ok(Value::DateTime(DateTime::at(m.env.now, &m.env.zone)))),
    Builtin::new("today", &[""], |m, _| Ok(Value::Date(DateTime::at(m.env.now, &m.env.zone).date))),
    Builtin::new("day of week", &["date"], |m, v| of_day(m, "day of week", v, |day| named(&DAYS, day.weekday()))),
    Builtin::new("month of year", &["date"], |m, v| of_day(m, "month of year", v, |day| named(&MONTHS, day.month()))),
    Builtin::new("day of year", &["date"], |m, v| of_day(m, "day of year", v, |day| Value::from(day.day_of_year()))),
    Builtin::new("week of year", &["date"], |m, v| of_day(m, "week of year", v, |day| Value::from(day.week_of_year()))),
    Builtin::new("last day of month", &["date"], |m, v| {
        of_day(m, "last day of month", v, |day| Value::Date(day.last_of_month()))
    }),
];

/// The name at a number from 1.
fn named(names: &[&str], number: i64) -> Value {
    usize::try_from(number - 1).ok().and_then(|index| names.get(index)).map_or(Value::Null, |name| Value::string(name))
}

fn of_day(machine: &mut Machine<'_>, name: &str, values: &[Value], answer: fn(Date) -> Value) -> Outcome {
    match single(&values[0]) {
        Value::Date(date) => Ok(answer(*date)),
        Value::DateTime(at) => Ok(answer(at.date)),
        _ => refused(machine, name, values),
    }
}
