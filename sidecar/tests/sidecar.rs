//! Sidecars over loopback, each with its ports, journal and links, beside tasks that answer as a test says
//! and a ledger that notes what it is told.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod flows;
mod identity;
mod ledger;
mod lives;
mod mesh;
mod model;
mod names;
mod trust;
