//! Each element family: which moves a token makes, what comes out.

mod boundary;
mod flows;
mod incidents;
mod parallel;
mod timers;
