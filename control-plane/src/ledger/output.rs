//! What the ledger has done, and answers.

use hop::Offer;
use routing::form::Checked;
use routing::{ActivationId, Digest, ElementId, HopRecord, Incarnation, InstanceId, ProcessId, Timestamp};

use super::instance::InstanceView;
use super::message::Receipt;
use super::{Change, Request};

/// What to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Changes to the store, atomically; [`Input::Written`](super::Input::Written) with this mark or a later one when durable.
    Write(u64, Vec<Change>),
    /// The answer to a request.
    Answer(Request, Answer),
    /// Every report of this sidecar up to the number is taken.
    Acked(Incarnation, u64),
    /// Offer to a replica; an empty list only moves the watermark.
    Send(Incarnation, u64, Vec<Offer>),
    /// Hand a definition's table to a replica that lacks it.
    HandTables(Incarnation, Digest, ElementId),
    /// A topic has a new record.
    Appended(String),
    /// There is something to be produced to a broker.
    Thrown,
    /// There is a notice to be delivered.
    Noticed,
    /// There were too many notices: the oldest is given up.
    NoticeLost,
    /// Topics of a broker are to be listened to, or not any more.
    Listening,
    /// An event has started this instance.
    Started(InstanceId),
    /// An instance has another state now.
    Changed(Box<InstanceView>),
    /// An instance was closed with tokens still on their way: tell the sidecars, and whether what they give back is kept.
    Tombstone(InstanceId, bool),
    /// A closed instance is open again: tell the sidecars.
    Reopened(InstanceId),
    /// Nobody will offer in the name of this replica any more: its ids may be forgotten.
    Settled(Incarnation),
    /// Something for people.
    Hop(HopRecord),
    /// Something for metrics.
    Measured(Measure),
    /// A rule was broken: a bug, worth an alarm.
    Alarm(String),
}

/// What is measured where only the ledger sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// Tokens of an instance that wait for an operator: how many there were, and how many there are.
    Incidents(InstanceId, usize, usize),
    /// A join of a process has fired, this long after its first token came; milliseconds.
    Joined(ProcessId, ElementId, Timestamp),
    /// A timer has fired this long after it was due; milliseconds.
    Late(Timestamp),
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Started, or found by its idempotency key.
    Started(InstanceId),
    /// What became of a message or signal.
    Published(Receipt),
    /// Too much is kept already.
    Busy,
    /// Done as asked.
    Done,
    /// There is no such open instance.
    NotFound,
    /// The caller may not, and why.
    Forbidden(String),
    /// It cannot be done in its state, and why.
    WrongState(String),
    /// What came with it cannot be used, and why.
    Invalid(String),
    /// What was saved of a form, or why nothing was done with it.
    Checked(Box<Checked>),
    /// Offers to the replica: taken (true) or free (false).
    Fates(Vec<(ActivationId, bool)>),
    /// Instances closed early, and whether what is given back of each is kept; durably so once this answer may go.
    Tombstones(Vec<(InstanceId, bool)>),
}
