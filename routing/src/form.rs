//! Forms of user tasks: what whoever does a task is shown, and what the data that completes it must be.
//!
//! [`Form`] is a form as data, content-addressed; `bpmn` reads it from the files and elements that models have. [`Compiled`] has every
//! expression and pattern read: it says what a form holds ([`Compiled::fill`]) and judges data ([`Compiled::check`]). Pure: the variables,
//! the draft and the present moment come in. Nothing of a form is ever run but FEEL and the safe subset of Python (`feel::python`), both with
//! limits, and patterns in linear time.
//!
//! It draws nothing, stores nothing, and does not know who may fill in what.

mod check;
mod compiled;
mod kind;
mod model;

#[cfg(test)]
mod tests;

pub use check::{Asked, Checked, FieldCheck, Judgement};
pub use compiled::{About, Compiled, Filled, State};
pub use model::{Check, Choice, Choices, Expression, Field, Form, FormError, Interval, Kind};
