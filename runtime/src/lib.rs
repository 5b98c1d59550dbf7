//! What both daemons share and no domain word: how a process starts, listens, proves who it is,
//! tells how it fares, and ends.
//!
//! # Layout
//! * [`clock`]: the time, as an argument that tests can turn.
//! * [`drain`] and [`shutdown`]: the end of a process, from the signal to the last deadline.
//! * [`readiness`]: what is still awaited before the process serves.
//! * [`journal`]: opaque records on disk before anything that follows from them is said aloud.
//! * [`listen`], [`tls`], [`token`]: sockets, and who is on the other end of them.
//! * [`outbound`]: calls to where a model or a client says.
//! * [`admin`]: a small HTTP/1 server, with `/health`, `/ready` and `/metrics` ready made.
//! * [`metrics`]: histograms that cost next to nothing, and the page of everything that is counted.
//! * [`telemetry`]: logs, trace context and spans.
//! * [`memory`]: resident memory, and giving pages back once load has ended.

pub mod admin;
pub mod clock;
pub mod drain;
pub mod journal;
pub mod listen;
pub mod memory;
pub mod metrics;
pub mod outbound;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod token;
