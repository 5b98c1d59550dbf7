//! Arithmetic over numbers, strings, dates and durations (DMN 1.5, tables 55 to 58).

use super::{Frames, Machine, Outcome};
use crate::ast::{Arithmetic, Expr};
use crate::number::Number;
use crate::temporal::{Date, DateTime, Duration, Zone};
use crate::value::Value;

impl Machine<'_> {
    pub(super) fn arithmetic(&mut self, first: &Expr, rest: &[(Arithmetic, Expr)], frames: &Frames) -> Outcome {
        let mut left = self.eval(first, frames)?;
        for (operator, operand) in rest {
            let right = self.eval(operand, frames)?;
            left = self.operate(*operator, &left, &right)?;
        }
        Ok(left)
    }

    fn operate(&mut self, operator: Arithmetic, left: &Value, right: &Value) -> Outcome {
        self.spend(1)?;
        if let (Value::String(a), Value::String(b), Arithmetic::Add) = (left, right, operator) {
            self.spend((a.len() + b.len()) / 64)?;
            return self.string(format!("{a}{b}"));
        }
        let result = match operator {
            Arithmetic::Add => add(left, right),
            Arithmetic::Subtract => subtract(left, right),
            Arithmetic::Multiply => multiply(left, right),
            Arithmetic::Divide => divide(left, right),
            Arithmetic::Power => match (left, right) {
                (Value::Number(a), Value::Number(b)) => {
                    self.spend(8)?;
                    a.pow(b).map(Value::Number)
                }
                _ => None,
            },
        };
        match result {
            Some(value) => Ok(value),
            None => self.null(failure(operator, left, right)),
        }
    }

    pub(super) fn negate(&mut self, operand: &Expr, frames: &Frames) -> Outcome {
        match self.eval(operand, frames)? {
            Value::Number(number) => Ok(Value::Number(number.neg())),
            Value::Duration(duration) => Ok(Value::Duration(duration.negate())),
            other => self.null(format!("{} cannot be negated", other.kind())),
        }
    }
}

/// What to say of an operation without result.
fn failure(operator: Arithmetic, left: &Value, right: &Value) -> String {
    let (verb, word) = match operator {
        Arithmetic::Add => ("add", "to"),
        Arithmetic::Subtract => ("subtract", "from"),
        Arithmetic::Multiply => ("multiply", "by"),
        Arithmetic::Divide => ("divide", "by"),
        Arithmetic::Power => ("raise", "to the power of"),
    };
    if let (Value::Number(a), Value::Number(b)) = (left, right) {
        return format!("{verb} {a} {word} {b} has no result");
    }
    let (a, b) = if matches!(operator, Arithmetic::Add | Arithmetic::Subtract) { (right, left) } else { (left, right) };
    format!("cannot {verb} {} {word} {}", a.kind(), b.kind())
}

fn add(left: &Value, right: &Value) -> Option<Value> {
    Some(match (left, right) {
        (Value::Number(a), Value::Number(b)) => Value::Number(a.add(b)?),
        (Value::Duration(a), Value::Duration(b)) => Value::Duration(a.plus(*b)?),
        (Value::Date(date), Value::Duration(duration)) | (Value::Duration(duration), Value::Date(date)) => {
            Value::Date(date.plus(*duration)?)
        }
        (Value::DateTime(at), Value::Duration(duration)) | (Value::Duration(duration), Value::DateTime(at)) => {
            Value::DateTime(at.plus(*duration)?)
        }
        (Value::Time(time), Value::Duration(Duration::DaysTime(nanos)))
        | (Value::Duration(Duration::DaysTime(nanos)), Value::Time(time)) => Value::Time(time.plus(*nanos)),
        _ => return None,
    })
}

fn subtract(left: &Value, right: &Value) -> Option<Value> {
    Some(match (left, right) {
        (Value::Number(a), Value::Number(b)) => Value::Number(a.sub(b)?),
        (Value::Date(a), Value::Date(b)) => Value::Duration(a.since(*b)?),
        (Value::Time(a), Value::Time(b)) => Value::Duration(a.since(b)?),
        (Value::DateTime(a), Value::DateTime(b)) => Value::Duration(a.since(b)?),
        (Value::DateTime(a), Value::Date(b)) => Value::Duration(a.since(&utc_midnight(*b))?),
        (Value::Date(a), Value::DateTime(b)) => Value::Duration(utc_midnight(*a).since(b)?),
        (_, Value::Duration(duration)) => return add(left, &Value::Duration(duration.negate())),
        _ => return None,
    })
}

/// A date as a date and time (clause 10.3.2.3.6): its midnight in UTC, so that it has no distance to a local one.
fn utc_midnight(date: Date) -> DateTime {
    DateTime::midnight(date, Some(Zone::Offset(0)))
}

fn multiply(left: &Value, right: &Value) -> Option<Value> {
    Some(match (left, right) {
        (Value::Number(a), Value::Number(b)) => Value::Number(a.mul(b)?),
        (Value::Duration(duration), Value::Number(number)) | (Value::Number(number), Value::Duration(duration)) => {
            Value::Duration(duration.with_value(&duration.value()?.mul(number)?)?)
        }
        _ => return None,
    })
}

fn divide(left: &Value, right: &Value) -> Option<Value> {
    Some(match (left, right) {
        (Value::Number(a), Value::Number(b)) => Value::Number(a.div(b)?),
        (Value::Duration(duration), Value::Number(number)) => {
            Value::Duration(duration.with_value(&duration.value()?.div(number)?)?)
        }
        (Value::Duration(a), Value::Duration(b)) => {
            a.compare(*b)?;
            let quotient: Option<Number> = a.value()?.div(&b.value()?);
            Value::Number(quotient?)
        }
        _ => return None,
    })
}
