//! Callbacks: how a task that has taken its work answers later.
//!
//! Each call names an address of its own. The last part of it, the seal, is known to the sidecar that made it and to the task; the ledger
//! keeps its hash while the token waits there, and takes what comes with the right seal, once.

use crate::id::{Digest, InstanceId};
use crate::mapping::encode;
use crate::payload::Payload;
use crate::token::{Timestamp, Token};

/// The path that callbacks go to, on flowd's HTTP port.
pub const PATH: &str = "/callbacks/";

/// The key of the address in the body of a call, as in the original.
pub const BODY_KEY: &str = "callback_url";

/// Milliseconds that a callback is waited for, unless the model says otherwise: a day.
pub const TIMEOUT: u64 = 24 * 60 * 60 * 1000;

/// Where the answer of one call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The whole of it; the seal is its last part.
    pub url: String,
}

impl Address {
    /// The address for the call of `token`, below flowd's `base` URL. `seal` must be the same for the same token, and known to nobody else.
    pub fn new(base: &str, token: &Token, seal: &str) -> Self {
        let (base, instance) = (base.trim_end_matches('/'), encode(token.instance.as_str()));
        let activation = token.activation.to_string();
        Self { url: [base, PATH, &instance, "/", &activation, "/", seal].concat() }
    }

    /// The hash of the seal: few calls need it, since most tasks answer at once.
    pub fn hash(&self) -> Digest {
        Digest::of(self.url.rsplit('/').next().unwrap_or_default().as_bytes())
    }
}

/// What a token waits for at the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// Until when.
    pub until: Timestamp,
    /// The hash of the seal.
    pub hash: Digest,
}

/// What a task calls back with.
#[derive(Clone, Debug, PartialEq)]
pub enum Callback {
    /// Its work is done, with this answer.
    Result(Payload),
    /// A BPMN error: its code, and what it brings.
    Error(String, Payload),
    /// It could not be done; why.
    Failure(String),
    /// It is still at work: the time begins anew.
    Heartbeat,
}

/// Why a callback was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The token is not there, perhaps not yet.
    #[error("no call of {0} waits for a callback with this id")]
    Unknown(InstanceId),
    /// The seal is not the one that was given out.
    #[error("the callback URL is not one that a call was given")]
    Forged,
    /// The wait is over.
    #[error("the call has been answered already, or does not wait for an answer any more")]
    Over,
}
