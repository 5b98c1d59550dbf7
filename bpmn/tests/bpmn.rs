//! What the compiler accepts, refuses and makes of it.

mod catalogue;
mod compile;
mod fixtures;
mod input;
mod models;
mod mutation;
