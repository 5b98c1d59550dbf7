//! Each element family: which moves a token makes, what comes out.

mod boundary;
mod callback;
mod combined;
mod connector;
mod flows;
mod gateways;
mod incidents;
mod listeners;
mod migrate;
mod modify;
mod parallel;
mod random;
mod reopened;
mod repetition;
mod set_variables;
mod standard;
mod sub_process;
mod suspended;
mod timers;
