//! `for`, `some` and `every` (DMN 1.5, clause 10.3.2.14). Spans are gone through one by one, never laid out in memory.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Frame, Frames, Machine, Outcome};
use crate::ast::{Expr, Iteration};
use crate::error::EvalError;
use crate::temporal::Date;
use crate::value::{List, Range, Value, order};

/// What one iteration variable goes through.
enum Items {
    List(List, usize),
    /// Integers, up or down, both ends included.
    Numbers(i64, i64),
    /// Days, by their number.
    Days(i64, i64),
    Done,
}

impl Iterator for Items {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        match self {
            Self::List(items, at) => {
                *at += 1;
                items.get(*at - 1).cloned()
            }
            Self::Numbers(from, to) | Self::Days(from, to) => {
                let (now, last) = (*from, *to);
                let days = matches!(self, Self::Days(..));
                let next = if now == last { None } else { Some(if now < last { now + 1 } else { now - 1 }) };
                *self = match next {
                    None => Self::Done,
                    Some(next) if days => Self::Days(next, last),
                    Some(next) => Self::Numbers(next, last),
                };
                if days { Date::from_epoch_day(now).map(Value::Date) } else { Some(Value::from(now)) }
            }
            Self::Done => None,
        }
    }
}

/// What happens with each combination: go on, or stop with an answer.
type Each<'e> = dyn FnMut(&mut Machine<'_>, &Frames) -> Result<bool, EvalError> + 'e;

impl Machine<'_> {
    pub(super) fn for_loop(
        &mut self,
        iterations: &[Iteration],
        body: &Expr,
        partial: bool,
        frames: &Frames,
    ) -> Outcome {
        let mut results: Vec<Value> = Vec::new();
        let mut each = |machine: &mut Machine<'_>, frames: &Frames| {
            machine.spend(1)?;
            let value = if partial {
                let so_far = machine.list(results.clone())?;
                machine.eval(body, &Some(Frame::bind(frames, vec![(Arc::from("partial"), so_far)])))?
            } else {
                machine.eval(body, frames)?
            };
            results.push(value);
            Ok(true)
        };
        match self.iterate(iterations, frames, &mut each)? {
            Some(_) => self.list(results),
            None => Ok(Value::Null),
        }
    }

    pub(super) fn quantified(
        &mut self,
        every: bool,
        iterations: &[Iteration],
        condition: &Expr,
        frames: &Frames,
    ) -> Outcome {
        let mut unknown = false;
        let mut each = |machine: &mut Machine<'_>, frames: &Frames| match machine.eval(condition, frames)?.as_truth() {
            Some(truth) => Ok(truth == every),
            None => {
                unknown = true;
                Ok(true)
            }
        };
        Ok(match self.iterate(iterations, frames, &mut each)? {
            None => Value::Null,
            Some(false) => Value::Bool(!every),
            Some(true) if unknown => Value::Null,
            Some(true) => Value::Bool(every),
        })
    }

    /// Runs `each` for every combination, the last variable fastest. `Some(false)`: stopped by it; `None`: there is nothing to go through.
    fn iterate(
        &mut self,
        iterations: &[Iteration],
        frames: &Frames,
        each: &mut Each<'_>,
    ) -> Result<Option<bool>, EvalError> {
        let Some((first, rest)) = iterations.split_first() else {
            return each(self, frames).map(Some);
        };
        let Some(items) = self.items(first, frames)? else { return Ok(None) };
        for item in items {
            self.spend(1)?;
            let within = Some(Frame::bind(frames, vec![(Arc::clone(&first.name), item)]));
            match self.iterate(rest, &within, each)? {
                Some(true) => {}
                stopped => return Ok(stopped),
            }
        }
        Ok(Some(true))
    }

    fn items(&mut self, iteration: &Iteration, frames: &Frames) -> Result<Option<Items>, EvalError> {
        let from = self.eval(&iteration.from, frames)?;
        if let Some(to) = &iteration.to {
            let to = self.eval(to, frames)?;
            return self.span(&from, &to, true, true);
        }
        Ok(match from {
            Value::List(items) => Some(Items::List(items, 0)),
            Value::Range(range) => {
                let Range { start, end, start_included, end_included } = &*range;
                if order(start, end).is_some_and(Ordering::is_gt) {
                    self.warn("a range that ends before it begins holds nothing to go through");
                    return Ok(None);
                }
                return self.span(start, end, *start_included, *end_included);
            }
            Value::Null => {
                self.warn(format!("there is nothing for {} to go through: it is null", iteration.name));
                None
            }
            single => Some(Items::List(List::new(vec![single]), 0)),
        })
    }

    fn span(&mut self, from: &Value, to: &Value, first: bool, last: bool) -> Result<Option<Items>, EvalError> {
        let ends = match (from, to) {
            (Value::Number(a), Value::Number(b)) => a.to_i64().zip(b.to_i64()),
            (Value::Date(a), Value::Date(b)) => Some((a.epoch_day(), b.epoch_day())),
            _ => None,
        };
        let Some((mut start, mut end)) = ends else {
            self.warn(format!("{} to {} cannot be gone through: it takes integers or dates", from.kind(), to.kind()));
            return Ok(None);
        };
        let up = start <= end;
        let step = if up { 1 } else { -1 };
        if !first {
            start = start.saturating_add(step);
        }
        if !last {
            end = end.saturating_sub(step);
        }
        if (up && start > end) || (!up && start < end) {
            return Ok(Some(Items::Done));
        }
        Ok(Some(if matches!(from, Value::Date(_)) { Items::Days(start, end) } else { Items::Numbers(start, end) }))
    }
}
