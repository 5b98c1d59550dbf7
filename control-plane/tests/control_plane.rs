//! The tests of flowd's parts against the real thing: one binary, one module per part.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod plane;
mod store;
