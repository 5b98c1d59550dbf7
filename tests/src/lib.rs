//! What the whole is measured and tested with: the benchmark, the simulation, and harnesses for the tests of
//! this crate.

pub mod bench;
pub mod blocks;
pub mod game;
pub mod harness;
mod random;
pub mod simulation;
pub mod solo;
