//! What stays at the ledger, one record per token or open activity.

use serde::{Deserialize, Serialize};

use crate::evaluate::Variables;
use crate::failure::Failure;
use crate::id::{ActivationId, Digest, ElementId, FlowId};
use crate::table::{Filter, Moment, NodeIx};
use crate::timer::Cycle;
use crate::token::{Timestamp, Token};

/// A token at the ledger, or an activity that is open there.
#[derive(Clone, Debug, PartialEq)]
pub struct Stay {
    /// The token: of an activity, the one that entered it, as it was then.
    pub token: Token,
    /// Why it is here.
    pub reason: Reason,
    /// Since when.
    pub since: Timestamp,
    /// Grows with every record of the instance.
    pub order: u64,
    /// What it waits for.
    pub subscriptions: Vec<Subscription>,
}

impl Stay {
    /// The definition that the event of a subscription is in: the token's, or that of the process it has called.
    pub fn definition_of(&self, what: &Subscription) -> Option<Digest> {
        match &self.reason {
            Reason::Activity(activity) if what.called => match activity.body {
                Body::Call(definition) => Some(definition),
                _ => None,
            },
            _ => Some(self.token.definition),
        }
    }
}

/// Why a token is at the ledger.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// It has ended; its scope has not.
    Ended,
    /// It waits at a join, or for the quantity of tokens its activity starts with.
    Joining,
    /// It waits at an event or an event-based gateway for its subscriptions, or at a throw for compensation.
    Waiting,
    /// It is offered to its service again at that time.
    Again(Timestamp),
    /// It waits for an operator.
    Incident(Box<Failure>),
    /// Created with `--stopped`: waits for `flowctl start`.
    Held,
    /// It goes on when its suspended instance is resumed.
    Suspended,
    /// An open activity, or the instance's root scope.
    Activity(Box<Activity>),
    /// What one instance of a loop has left behind.
    Output {
        /// Its number, from 0.
        index: u32,
        /// Its output element.
        value: serde_json::Value,
        /// What it wrote besides.
        written: Variables,
    },
    /// A complex gateway that has fired and waits for the other flows' tokens.
    Reset(Vec<FlowId>),
}

/// An open activity. Its scope is the activation of the token that entered it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Activity {
    /// What it does.
    pub body: Body,
    /// Variables of its own: inputs, loop counters, and for the root scope of a homed process all.
    #[serde(default, skip_serializing_if = "Variables::is_empty")]
    pub locals: Variables,
    /// Which instance of a loop it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iteration: Option<Iteration>,
    /// An interrupting event sub-process has taken over: only that counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// What has completed in it and can be compensated, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completed: Vec<Completed>,
    /// Compensation that is under way in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensating: Option<Box<Compensating>>,
    /// Ad-hoc: elements that are still to be started, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<NodeIx>,
    /// What its finished tokens wrote, where they are not kept themselves (ad-hoc, compensation, event sub-processes).
    #[serde(default, skip_serializing_if = "Variables::is_empty")]
    pub written: Variables,
    /// Of a user task: what people see of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Box<Assigned>>,
    /// Its listeners that are called, one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening: Option<Box<Listening>>,
    /// How often listeners have been called: each call has an id of its own.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub heard: u32,
}

// serde gives a reference
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Listeners that are called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listening {
    /// Those of this moment.
    pub on: Moment,
    /// Which of them is called; when there are no more, what comes next is due.
    pub at: usize,
    /// What goes out when they have answered: what the activity has written, or what a user task is completed with.
    #[serde(default, skip_serializing_if = "Variables::is_empty")]
    pub kept: Variables,
    /// Of a user task: what it will be when they have answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Box<Assigned>>,
}

/// A user task as it was assigned when it opened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// A form's key or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// Who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
    /// Users who may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidate_users: Vec<String>,
    /// Groups who may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidate_groups: Vec<String>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_date: Option<String>,
    /// When to look at it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_date: Option<String>,
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Since when it is claimed, by who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Timestamp>,
    /// What was saved for it, by field.
    #[serde(default, skip_serializing_if = "Variables::is_empty")]
    pub draft: Variables,
}

/// What an open activity does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Body {
    /// A token of it is at its service.
    Service,
    /// It waits: for a message, or for somebody to complete it.
    Waits,
    /// Tokens move inside of it; the instance's root too.
    #[default]
    Scope,
    /// A called process.
    Call(Digest),
    /// It has instances of itself inside.
    Loop(Looped),
    /// Nothing but its listeners, which are called; events and gateways have records only while they are.
    Listens,
}

/// What a loop knows of itself; how many are open and done follows from the records inside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Looped {
    /// Instances in all; unknown of a standard loop.
    pub total: Option<u32>,
    /// The elements that are still to be given out (sequential).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<serde_json::Value>,
}

/// Which instance of a loop an activity is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Iteration {
    /// From 0.
    pub index: u32,
}

/// An activity that has completed and can be compensated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Completed {
    /// The activity.
    pub element: ElementId,
    /// Its activation.
    pub activation: ActivationId,
    /// The variables when it completed.
    pub variables: Variables,
    /// Of a sub-process: what completed inside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<Completed>,
}

/// Compensation under way: one handler at a time, last completed first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compensating {
    /// What is still to be compensated, the next one last.
    pub queue: Vec<Completed>,
    /// The handler that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<ActivationId>,
    /// What happens afterwards.
    pub then: Resumes,
}

/// What happens when compensation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Resumes {
    /// The throw event's token, which waits, goes on.
    Throw(ActivationId),
    /// The transaction leaves by its cancel boundary event.
    Cancel,
    /// Nobody waits.
    Nobody,
}

/// Something that a record waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// The event: the element itself, a boundary event, the start event of an event sub-process, or a target of the gateway.
    pub event: NodeIx,
    /// The definition that the event is in, if it is not the token's: a called process.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub called: bool,
    /// What.
    pub on: On,
}

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum On {
    /// A time.
    Timer {
        /// When.
        at: Timestamp,
        /// What comes after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<Cycle>,
    },
    /// A message.
    Message {
        /// Its name.
        name: String,
        /// Its key; any when `None`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// FEEL over its payload that gives the key, if it comes without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retrieval: Option<String>,
        /// Milliseconds that it may have been kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within: Option<u64>,
    },
    /// The end of the time that the event waits: then it is an incident.
    Expiry {
        /// When.
        at: Timestamp,
    },
    /// What a task calls back with; an incident if nothing comes.
    Callback {
        /// Until when.
        at: Timestamp,
        /// The hash of the seal that it must bring.
        hash: Digest,
    },
    /// A signal of this name.
    Signal(String),
    /// A condition that becomes true.
    Conditional {
        /// FEEL.
        condition: String,
        /// What it was when last looked at.
        held: bool,
        /// At which changes it is looked at, once it has been looked at first; `None`: at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        filter: Option<Box<Filter>>,
        /// It has been looked at.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        asked: bool,
    },
}

impl On {
    /// The time that is waited for.
    pub fn time(&self) -> Option<Timestamp> {
        match self {
            Self::Timer { at, .. } | Self::Expiry { at } | Self::Callback { at, .. } => Some(*at),
            Self::Message { .. } | Self::Signal(_) | Self::Conditional { .. } => None,
        }
    }
}
