//! What the compiler accepts, refuses and makes of it.

mod compile;
mod fixtures;
mod input;
mod models;
mod mutation;
