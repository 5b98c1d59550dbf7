//! What the compiler accepts, refuses and makes of it.

// clippy knows tests by #[test]; what they share unwraps as they do
#![allow(clippy::unwrap_used)]

mod catalogue;
mod compile;
mod dmn;
mod fixtures;
mod input;
mod models;
mod mutation;
mod soundness;
