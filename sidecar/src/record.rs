//! What the sidecar writes to its journal, and how it reads it back.

use std::sync::Arc;

use bytes::Bytes;
use hop::{Assignment, Origin};
use prost::Message as _;
use proto::convert::{self, Malformed};
use proto::v1;
use proto::v1::journal_record::{self as wire, Record as Wire};
use routing::{ActivationId, Incarnation, InstanceId, Timestamp, Token};

/// One record. `Decided` is the RESULT of design §5: nothing of a decision leaves before it is durable.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "short-lived: made, encoded and dropped")]
pub enum Record {
    /// A token is held.
    Accepted {
        /// The token.
        token: Arc<Token>,
        /// Who offered it.
        origin: Origin,
        /// When the activation began.
        activated: Timestamp,
    },
    /// An activation has decided.
    Decided {
        /// Which.
        activation: ActivationId,
        /// Of which instance.
        instance: InstanceId,
        /// Who offered it; the id is remembered until that sender releases it.
        origin: Option<Origin>,
        /// What leaves, and to whom.
        products: Vec<Assignment>,
    },
    /// A product's replica was chosen anew.
    Reassigned {
        /// Which product.
        activation: ActivationId,
        /// The replica; none yet when `None`.
        replica: Option<Incarnation>,
        /// The number of the assignment.
        seq: u64,
    },
    /// A product is on its receiver's disk.
    Done(ActivationId),
    /// A sender will never again offer what it numbered up to the watermark.
    Released {
        /// The sender.
        sender: Incarnation,
        /// Its watermark.
        watermark: u64,
    },
    /// Numbers of assignments to a replica go on from here.
    Numbered {
        /// The replica.
        replica: Incarnation,
        /// The next number.
        next: u64,
    },
    /// Everything before this is being handed over to the ledger: nothing is decided here any more.
    Leaving,
}

impl Record {
    /// The bytes for the journal.
    pub fn encode(self) -> Bytes {
        let record = match self {
            Self::Accepted { token, origin, activated } => Wire::Accepted(wire::Accepted {
                token: Some(token.into()),
                origin: Some(origin_out(origin)),
                activated_ms: activated,
            }),
            Self::Decided { activation, instance, origin, products } => Wire::Decided(wire::Decided {
                activation: convert::id_bytes(activation),
                instance: instance.as_str().to_owned(),
                origin: origin.map(origin_out),
                products: products.into_iter().map(entry_out).collect(),
            }),
            Self::Reassigned { activation, replica, seq } => Wire::Reassigned(wire::Reassigned {
                activation: convert::id_bytes(activation),
                replica: replica.map(convert::incarnation_bytes).unwrap_or_default(),
                seq,
            }),
            Self::Done(activation) => Wire::Done(wire::Done { activation: convert::id_bytes(activation) }),
            Self::Released { sender, watermark } => {
                Wire::Released(wire::Released { sender: convert::incarnation_bytes(sender), watermark })
            }
            Self::Numbered { replica, next } => {
                Wire::Numbered(wire::Numbered { replica: convert::incarnation_bytes(replica), next_seq: next })
            }
            Self::Leaving => Wire::Leaving(wire::Leaving {}),
        };
        v1::JournalRecord { record: Some(record) }.encode_to_vec().into()
    }

    /// Reads what [`Record::encode`] wrote.
    pub fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let unreadable = |why| Malformed { field: "journal record", why };
        let record = v1::JournalRecord::decode(bytes).map_err(|_| unreadable("not protobuf"))?.record;
        Ok(match record.ok_or(unreadable("of a kind this build does not know: upgrade it"))? {
            Wire::Accepted(r) => Self::Accepted {
                token: r.token.ok_or(unreadable("no token"))?.into_routing()?.into(),
                origin: origin_in(r.origin.ok_or(unreadable("no origin"))?)?,
                activated: r.activated_ms,
            },
            Wire::Decided(r) => Self::Decided {
                activation: convert::activation(&r.activation)?,
                instance: r.instance.into(),
                origin: r.origin.map(origin_in).transpose()?,
                products: r.products.into_iter().map(entry_in).collect::<Result<_, _>>()?,
            },
            Wire::Reassigned(r) => Self::Reassigned {
                activation: convert::activation(&r.activation)?,
                replica: replica_in(&r.replica)?,
                seq: r.seq,
            },
            Wire::Done(r) => Self::Done(convert::activation(&r.activation)?),
            Wire::Released(r) => Self::Released { sender: convert::incarnation(&r.sender)?, watermark: r.watermark },
            Wire::Numbered(r) => Self::Numbered { replica: convert::incarnation(&r.replica)?, next: r.next_seq },
            Wire::Leaving(wire::Leaving {}) => Self::Leaving,
        })
    }
}

fn origin_out(origin: Origin) -> v1::Origin {
    v1::Origin { sender: convert::incarnation_bytes(origin.sender), seq: origin.seq }
}

fn origin_in(origin: v1::Origin) -> Result<Origin, Malformed> {
    Ok(Origin { sender: convert::incarnation(&origin.sender)?, seq: origin.seq })
}

fn entry_out(assignment: Assignment) -> v1::OutboxEntry {
    v1::OutboxEntry {
        product: Some(assignment.product.into()),
        replica: assignment.replica.map(convert::incarnation_bytes).unwrap_or_default(),
        seq: assignment.seq,
    }
}

fn entry_in(entry: v1::OutboxEntry) -> Result<Assignment, Malformed> {
    let product = entry.product.ok_or(Malformed { field: "outbox entry", why: "no product" })?;
    Ok(Assignment { product: Arc::new(product.try_into()?), replica: replica_in(&entry.replica)?, seq: entry.seq })
}

fn replica_in(bytes: &[u8]) -> Result<Option<Incarnation>, Malformed> {
    if bytes.is_empty() { Ok(None) } else { convert::incarnation(bytes).map(Some) }
}
