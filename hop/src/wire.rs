//! Refusals and limits as they travel.

use proto::convert::{self, Malformed};
use proto::v1;
use routing::ActivationId;

use crate::Refusal;

/// A frame is closed when its offers have this many bytes; one larger than that travels alone.
pub(crate) const FRAME: usize = 1 << 20;
/// How long either side waits for the other's hello.
pub(crate) const HELLO_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

pub(crate) fn refusal_out(activation: ActivationId, why: Refusal) -> v1::Refusal {
    use v1::refusal::Reason;
    let (reason, retry_after_ms) = match why {
        Refusal::UnknownTable => (Reason::UnknownTable, 0),
        Refusal::Draining => (Reason::Draining, 0),
        Refusal::Full(after) => (Reason::Full, after),
        Refusal::NotServed => (Reason::NotServed, 0),
        Refusal::Forbidden => (Reason::Forbidden, 0),
    };
    v1::Refusal { activation: convert::id_bytes(activation), reason: reason.into(), retry_after_ms }
}

pub(crate) fn refusal_in(refusal: &v1::Refusal) -> Result<(ActivationId, Refusal), Malformed> {
    use v1::refusal::Reason;
    let why = match refusal.reason() {
        Reason::UnknownTable => Refusal::UnknownTable,
        Reason::Draining => Refusal::Draining,
        Reason::Full => Refusal::Full(refusal.retry_after_ms),
        Reason::NotServed => Refusal::NotServed,
        Reason::Forbidden => Refusal::Forbidden,
        // A newer receiver's reason: the token is not taken, and may be later.
        Reason::Unspecified => Refusal::Full(1_000),
    };
    Ok((convert::activation(&refusal.activation)?, why))
}
