//! Logic, comparison, `between`, `in` and unary tests (DMN 1.5, tables 38, 42, 51 to 54).

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Frame, Frames, Machine, Outcome};
use crate::ast::{Comparison, Expr, Test};
use crate::value::{Value, equal, order};

impl Machine<'_> {
    /// `and` (decided by false) or `or` (decided by true), three-valued.
    pub(super) fn junction(&mut self, operands: &[Expr], decisive: bool, frames: &Frames) -> Outcome {
        let mut unknown = false;
        for operand in operands {
            let value = self.eval(operand, frames)?;
            match value.as_truth() {
                Some(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
                Some(_) => {}
                None => {
                    unknown = true;
                    if !value.is_null() {
                        self.warn(format!(
                            "{} as an operand of {} is taken as null",
                            value.kind(),
                            if decisive { "or" } else { "and" }
                        ));
                    }
                }
            }
        }
        Ok(if unknown { Value::Null } else { Value::Bool(!decisive) })
    }

    pub(super) fn comparison(&mut self, comparison: Comparison, left: &Expr, right: &Expr, frames: &Frames) -> Outcome {
        let left = self.eval(left, frames)?;
        let right = self.eval(right, frames)?;
        self.compare(comparison, &left, &right)
    }

    fn compare(&mut self, comparison: Comparison, left: &Value, right: &Value) -> Outcome {
        self.charge(left)?;
        let holds = match comparison {
            Comparison::Equal => equal(left, right),
            Comparison::NotEqual => equal(left, right).map(|same| !same),
            Comparison::Less => order(left, right).map(Ordering::is_lt),
            Comparison::LessOrEqual => order(left, right).map(Ordering::is_le),
            Comparison::Greater => order(left, right).map(Ordering::is_gt),
            Comparison::GreaterOrEqual => order(left, right).map(Ordering::is_ge),
        };
        match holds {
            Some(holds) => Ok(Value::Bool(holds)),
            None => self.null(format!("{} and {} cannot be compared", left.kind(), right.kind())),
        }
    }

    pub(super) fn between(&mut self, parts: &[Expr; 3], frames: &Frames) -> Outcome {
        let [value, low, high] = parts;
        let value = self.eval(value, frames)?;
        let low = self.eval(low, frames)?;
        let high = self.eval(high, frames)?;
        let above = self.compare(Comparison::GreaterOrEqual, &value, &low)?.as_truth();
        let below = self.compare(Comparison::LessOrEqual, &value, &high)?.as_truth();
        Ok(match (above, below) {
            (Some(false), _) | (_, Some(false)) => Value::Bool(false),
            (Some(true), Some(true)) => Value::Bool(true),
            _ => Value::Null,
        })
    }

    pub(super) fn is_in(&mut self, value: &Expr, tests: &[Test], frames: &Frames) -> Outcome {
        let value = self.eval(value, frames)?;
        let bound = Some(Frame::bind(frames, vec![(Arc::from("?"), value.clone())]));
        self.any_test(&value, tests, &bound)
    }

    /// Unary tests against the variable `?`.
    pub(super) fn unary_tests(&mut self, tests: &[Test], negated: bool, frames: &Frames) -> Outcome {
        if matches!(tests, [Test::Any]) {
            return Ok(Value::Bool(true));
        }
        let value = self.eval(&Expr::Name(Arc::from("?")), frames)?;
        let outcome = self.any_test(&value, tests, frames)?;
        Ok(if negated { Value::truth(outcome.as_truth().map(|truth| !truth)) } else { outcome })
    }

    /// Whether one of the tests holds, three-valued.
    fn any_test(&mut self, value: &Value, tests: &[Test], frames: &Frames) -> Outcome {
        let mut unknown = false;
        for test in tests {
            match self.test(value, test, frames)?.as_truth() {
                Some(true) => return Ok(Value::Bool(true)),
                Some(false) => {}
                None => unknown = true,
            }
        }
        Ok(if unknown { Value::Null } else { Value::Bool(false) })
    }

    fn test(&mut self, value: &Value, test: &Test, frames: &Frames) -> Outcome {
        match test {
            Test::Any => Ok(Value::Bool(true)),
            Test::Compare(comparison, operand) => {
                let operand = self.eval(operand, frames)?;
                self.compare(*comparison, value, &operand)
            }
            Test::Expression { expr, uses_input } => {
                let outcome = self.eval(expr, frames)?;
                if *uses_input && matches!(outcome, Value::Bool(_) | Value::Null) {
                    return Ok(outcome);
                }
                self.matches(value, &outcome)
            }
        }
    }

    /// Whether a value equals what a test names, lies in its range, or is an item of its list.
    fn matches(&mut self, value: &Value, tested: &Value) -> Outcome {
        self.charge(tested)?;
        match tested {
            Value::Range(range) if !matches!(value, Value::Range(_)) => match range.contains(value) {
                Some(inside) => Ok(Value::Bool(inside)),
                None => self.null(format!("{} cannot be compared with the ends of the range", value.kind())),
            },
            Value::List(items) => {
                if let Value::List(_) = value
                    && equal(value, tested) == Some(true)
                {
                    return Ok(Value::Bool(true));
                }
                let found = items.iter().any(|item| match item {
                    Value::Range(range) if !matches!(value, Value::Range(_)) => range.contains(value) == Some(true),
                    item => equal(value, item) == Some(true),
                });
                Ok(Value::Bool(found))
            }
            Value::Bool(truth) if !matches!(value, Value::Bool(_) | Value::Null) => Ok(Value::Bool(*truth)),
            _ => self.compare(Comparison::Equal, value, tested),
        }
    }
}
