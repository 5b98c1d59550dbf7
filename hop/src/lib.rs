//! The hop: how a token gets from one disk to the next, once.
//!
//! Spoken between sidecars, and by flowd when it offers tokens to sidecars, so both daemons use this
//! crate. The rules are pure state machines, given what happened and the time:
//! * [`Outbox`], the sender's half: which replica, stickiness, what is unanswered, the watermark;
//! * [`Inbox`], the receiver's half: duplicates, and when an id may be forgotten;
//! * [`Splits`], which services do the work of others.
//!
//! The wire around them:
//! * [`mod@address`], where a replica is; [`link`], the sender's links; [`serve`], the receiver's port; [`identity`], who may claim what; [`spans`], the
//!   hop in a trace.
//!
//! The rules (design §5):
//! 1. Nothing leaves before the record of it is on the sender's disk, with its replica and number.
//! 2. A receiver accepts when the token is on its own disk; until then the sender keeps it.
//! 3. A time-out never moves a token: only a refusal, or a link that never opened since the replica was
//!    chosen in this life of the process, lets the sender choose again.
//! 4. A receiver forgets an id only when its sender's watermark says that its DONE is on disk.

pub mod address;
pub mod identity;
mod inbox;
pub mod link;
pub mod metrics;
mod outbox;
pub mod serve;
pub mod spans;
mod split;
mod wire;

pub use inbox::{Inbox, Origin, Seen};
pub use outbox::{Assignment, Endpoint, Offer, Outbox, Refusal, Switches};
pub use serve::{Link, Sender};
pub use split::{Backends, Splits, WHOLE};
