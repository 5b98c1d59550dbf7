//! flowd, the control plane: compiles models, keeps the ledger, tells sidecars where to send.

pub mod ledger;
pub mod store;
