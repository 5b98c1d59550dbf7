//! FEEL as its users see it: tables of expressions with the JSON they answer, by family, and random sources that must do no harm.

#[path = "feel/builtins.rs"]
mod builtins;
#[path = "feel/harness.rs"]
mod harness;
#[path = "feel/limits.rs"]
mod limits;
#[path = "feel/logic.rs"]
mod logic;
#[path = "feel/models.rs"]
mod models;
#[path = "feel/python.rs"]
mod python;
#[path = "feel/speed.rs"]
mod speed;
#[path = "feel/standard.rs"]
mod standard;
#[path = "feel/temporal.rs"]
mod temporal;
#[path = "feel/tests.rs"]
mod tests;
#[path = "feel/values.rs"]
mod values;
