//! Paths, properties and filters (DMN 1.5, clauses 10.3.2.5 and 10.3.2.11).

use std::sync::Arc;

use super::{Frame, Frames, Machine, Outcome};
use crate::ast::Expr;
use crate::number::Number;
use crate::temporal::{Duration, NANOS_PER_SECOND, Zone};
use crate::value::{List, Value};

impl Machine<'_> {
    /// A path; over JSON of the scope only the value it leads to is converted.
    pub(super) fn path(&mut self, root: &Expr, steps: &[Arc<str>], frames: &Frames) -> Outcome {
        if let Expr::Name(name) = root
            && frames.as_ref().is_none_or(|frame| frame.get(name).is_none())
            && let Some(json) = self.scope.json(name)
        {
            let mut json = json;
            for (index, step) in steps.iter().enumerate() {
                let serde_json::Value::Object(entries) = json else {
                    let value = if index == 0 { self.variable(name, frames)? } else { self.convert(json)? };
                    return self.walk(value, &steps[index..]);
                };
                self.spend(1)?;
                match entries.get(&**step) {
                    Some(entry) => json = entry,
                    None => {
                        self.warn(format!("there is no entry {step}"));
                        return self.walk(Value::Null, &steps[index + 1..]);
                    }
                }
            }
            return self.convert(json);
        }
        let value = self.eval(root, frames)?;
        self.walk(value, steps)
    }

    fn walk(&mut self, mut value: Value, steps: &[Arc<str>]) -> Outcome {
        for step in steps {
            value = self.step_into(&value, step)?;
        }
        Ok(value)
    }

    fn step_into(&mut self, value: &Value, name: &str) -> Outcome {
        self.spend(1)?;
        match value {
            Value::Context(context) => match context.get(name) {
                Some(entry) => Ok(entry.clone()),
                None => self.null(format!("there is no entry {name}")),
            },
            Value::List(items) => {
                let mut mapped = Vec::with_capacity(items.len());
                for item in items.iter() {
                    mapped.push(match item {
                        // A list of lists has no entries of its own; do not follow it without end.
                        Value::List(_) => self.null(format!("a list has no entry {name}"))?,
                        item => self.step_into(item, name)?,
                    });
                }
                self.list(mapped)
            }
            Value::Null => self.null(format!("null has no entry {name}")),
            other => {
                let found = property(other, name);
                self.or_null(found, || format!("{} has no property {name}", other.kind()))
            }
        }
    }

    /// A filter: an index from the front (1, 2, ..) or the back (-1, -2, ..), or a condition on each item.
    pub(super) fn filter(&mut self, list: &Expr, filter: &Expr, frames: &Frames) -> Outcome {
        let value = self.eval(list, frames)?;
        let items = match value {
            Value::List(items) => items,
            Value::Null => List::new(Vec::new()),
            single => List::new(vec![single]),
        };
        let mut kept = Vec::new();
        for (position, item) in items.iter().enumerate() {
            let within = Some(Frame::item(frames, item.clone()));
            match self.eval(filter, &within)? {
                Value::Number(index) if position == 0 => return self.at_index(&items, &index),
                Value::Bool(true) => kept.push(item.clone()),
                Value::Bool(false) | Value::Null => {}
                other => self.warn(format!("a filter answered {}, taken as false", other.kind())),
            }
        }
        if items.is_empty()
            && let Expr::Literal(Value::Number(_)) = filter
        {
            return self.null("the index is beyond an empty list");
        }
        self.list(kept)
    }

    fn at_index(&mut self, items: &List, index: &Number) -> Outcome {
        let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
        let position = match index.to_i64() {
            Some(index @ 1..) => Some(index - 1),
            Some(index) if index < 0 => length.checked_add(index),
            _ => None,
        };
        let found = position.and_then(|at| usize::try_from(at).ok()).and_then(|at| items.get(at).cloned());
        self.or_null(found, || format!("index {index} is beyond a list of {length}"))
    }
}

/// The properties of dates, times, durations and ranges (table 65 and 66).
fn property(value: &Value, name: &str) -> Option<Value> {
    let integer = |value: i64| Some(Value::from(value));
    match (value, name) {
        (Value::Date(date), _) => match name {
            "year" => integer(date.year()),
            "month" => integer(date.month()),
            "day" => integer(date.day()),
            "weekday" => integer(date.weekday()),
            _ => None,
        },
        (Value::DateTime(at), _) => match name {
            "year" => integer(at.date.year()),
            "month" => integer(at.date.month()),
            "day" => integer(at.date.day()),
            "weekday" => integer(at.date.weekday()),
            "time offset" => Some(offset(at.offset())),
            _ => clock(at.clock, at.zone.as_ref(), name),
        },
        (Value::Time(time), "time offset") => Some(offset(time.offset())),
        (Value::Time(time), _) => clock(time.clock, time.zone.as_ref(), name),
        (Value::Duration(Duration::YearsMonths(months)), _) => match name {
            "years" => integer(months / 12),
            "months" => integer(months % 12),
            "days" | "hours" | "minutes" | "seconds" => Some(Value::Null),
            _ => None,
        },
        (Value::Duration(Duration::DaysTime(nanos)), _) => {
            let seconds = nanos / NANOS_PER_SECOND;
            let part = match name {
                "days" => seconds / 86_400,
                "hours" => seconds / 3600 % 24,
                "minutes" => seconds / 60 % 60,
                "seconds" => return Number::new(nanos % (60 * NANOS_PER_SECOND), -9).map(Value::Number),
                "years" | "months" => return Some(Value::Null),
                _ => return None,
            };
            integer(i64::try_from(part).ok()?)
        }
        (Value::Range(range), _) => match name {
            "start" => Some(range.start.clone()),
            "end" => Some(range.end.clone()),
            "start included" => Some(Value::Bool(range.start_included)),
            "end included" => Some(Value::Bool(range.end_included)),
            _ => None,
        },
        _ => None,
    }
}

fn clock(clock: crate::temporal::Clock, zone: Option<&Zone>, name: &str) -> Option<Value> {
    Some(match name {
        "hour" => Value::from(i64::from(clock.hour)),
        "minute" => Value::from(i64::from(clock.minute)),
        "second" => Value::from(i64::from(clock.second)),
        "timezone" => match zone {
            Some(Zone::Named(name, _)) => Value::String(Arc::clone(name)),
            _ => Value::Null,
        },
        _ => return None,
    })
}

fn offset(seconds: Option<i64>) -> Value {
    seconds.map_or(Value::Null, |seconds| Value::Duration(Duration::DaysTime(i128::from(seconds) * NANOS_PER_SECOND)))
}
