//! BPMN 2.0: parse, lint, compile.
pub mod diagnostic;
pub mod model;
pub mod parse;
pub mod binding;
