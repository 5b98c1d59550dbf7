//! `instance of`, and the conversions of arguments to the types of parameters (DMN 1.5, clauses 10.3.2.9.4 and 10.3.2.13).

use super::{Frames, Machine, Outcome};
use crate::ast::{Expr, Type};
use crate::temporal::{DateTime, Duration, Zone};
use crate::value::{Callable, List, Value};

impl Machine<'_> {
    pub(super) fn instance_of(&mut self, value: &Expr, kind: &Type, frames: &Frames) -> Outcome {
        let value = self.eval(value, frames)?;
        self.charge(&value)?;
        let answer = is_instance(&value, kind);
        self.or_null(answer.map(Value::Bool), || match kind {
            Type::Unknown(name) => format!("{name} is no type"),
            _ => "the type names what is no type".to_owned(),
        })
    }

    /// The value as a parameter of a type takes it: a list of one for its item, an item for a list of it, a date for its midnight in UTC.
    pub(super) fn conform(&mut self, value: Value, kind: &Type) -> Result<Value, Value> {
        if value.is_null() || is_instance(&value, kind) != Some(false) {
            return Ok(value);
        }
        match (&value, kind) {
            (Value::Date(date), Type::DateTime) => {
                Ok(Value::DateTime(DateTime::midnight(*date, Some(Zone::Offset(0)))))
            }
            (Value::List(items), _) if items.len() == 1 && !matches!(kind, Type::List(_)) => match items.first() {
                Some(item) if is_instance(item, kind) == Some(true) => Ok(item.clone()),
                _ => Err(value),
            },
            (_, Type::List(inner)) if is_instance(&value, inner) == Some(true) => {
                Ok(Value::List(List::new(vec![value])))
            }
            _ => Err(value),
        }
    }
}

/// Whether a value is of a type; `None` for a type that there is not. Null is of the type Null alone.
fn is_instance(value: &Value, kind: &Type) -> Option<bool> {
    Some(match (kind, value) {
        (Type::Unknown(_), _) => return None,
        (Type::Null, value) => value.is_null(),
        (_, Value::Null) => false,
        (Type::Any, _)
        | (Type::Boolean, Value::Bool(_))
        | (Type::Number, Value::Number(_))
        | (Type::String, Value::String(_))
        | (Type::Date, Value::Date(_))
        | (Type::Time, Value::Time(_))
        | (Type::DateTime, Value::DateTime(_))
        | (Type::DaysTime, Value::Duration(Duration::DaysTime(_)))
        | (Type::YearsMonths, Value::Duration(Duration::YearsMonths(_))) => true,
        (Type::List(inner), Value::List(items)) => {
            for item in items.iter() {
                if **inner != Type::Any && !is_instance(item, inner)? {
                    return Some(false);
                }
            }
            true
        }
        (Type::Context(entries), Value::Context(context)) => {
            for (name, inner) in entries {
                match context.get(name) {
                    Some(entry) if entry.is_null() || is_instance(entry, inner)? => {}
                    _ => return Some(false),
                }
            }
            true
        }
        (Type::Range(inner), Value::Range(range)) => {
            let fits = |end: &Value| if end.is_null() { Some(true) } else { is_instance(end, inner) };
            fits(&range.start)? && fits(&range.end)?
        }
        (Type::Function(None), Value::Function(_)) => true,
        (Type::Function(Some(types)), Value::Function(function)) => match &function.callable {
            Callable::Lambda { lambda, .. } => lambda.parameters.len() == types.len(),
            Callable::Builtin(builtin) => builtin.takes(types.len()),
        },
        _ => false,
    })
}
