//! Decisions of a DMN file, for business rule tasks: evaluated by whoever holds them, as conditions are.
//!
//! [`Decisions`] is the file as data, content-addressed; `bpmn` reads it from XML. [`Compiled`] has every expression parsed, every reference
//! resolved and cycles refused, and [`Compiled::evaluate`] answers one decision with all that it needs. Pure: variables and the present moment
//! come in. What has no answer is null with a warning; an error is what the standard calls one (rules that overlap) and spent limits.
//!
//! All logic is FEEL in the end: boxed expressions and tables are written as FEEL (`source`, `table`) and parsed once. So a knowledge model is
//! a function of FEEL whatever its logic is, and one budget of fuel and depth covers everything within an expression.
//!
//! It does not read XML, knows no decision services, and imports nothing.

mod compiled;
mod graph;
mod model;
mod source;
mod table;

#[cfg(test)]
mod tests;

pub use compiled::{Compiled, Matched, Outcome};
pub use model::{
    Aggregator, Decision, DecisionError, Decisions, Entry, HitPolicy, Input, InputData, IterationKind, KnowledgeModel,
    Logic, Output, Requirements, Rule, Table, Type,
};
