//! The wire: `flow.v1` between flowd, sidecars and flowctl, and the original's `FlowDaemon`.
//!
//! Holds the generated types and the only conversions between them and `routing`. What comes from the
//! wire is checked here and nowhere else; what cannot be read is a [`convert::Malformed`].

pub mod convert;
mod token;

pub use token::Token;

/// `flow.v1`: hops, control stream, operators' service, journal records.
#[allow(missing_docs, unreachable_pub, clippy::large_enum_variant, clippy::doc_overindented_list_items)]
pub mod v1 {
    tonic::include_proto!("flow.v1");
}

/// The original's `FlowDaemon` service (no package).
#[allow(missing_docs, unreachable_pub)]
pub mod rexflow {
    tonic::include_proto!("_");
}

/// The largest message that either side reads, bytes: a payload, its token, and room for a batch.
pub const MAX_MESSAGE: usize = 64 << 20;
