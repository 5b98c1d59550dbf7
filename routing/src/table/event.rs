//! Events: what makes them fire, and what they throw (BPMN 10.5).

use serde::{Deserialize, Serialize};

use super::{NodeIx, Template};

/// What is waited for: nothing (a none event), one trigger, or several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catch {
    /// In document order.
    pub triggers: Vec<Trigger>,
    /// `parallelMultiple`: all of them, else the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parallel: bool,
    /// Of a catch event in the original's dialect: every firing of its cycle has a token of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeats: bool,
    /// What becomes of a timer of it that came due while the ledger was away.
    #[serde(default, skip_serializing_if = "Recovery::is_fire")]
    pub recovery: Recovery,
}

/// What becomes of a timer that came due while the ledger was away (`timer_recovery_policy` of the original).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Recovery {
    /// It fires at once, as often as it was missed.
    #[default]
    Fire,
    /// What was missed does not happen.
    Forget,
    /// The token fails at the event.
    Fail,
}

impl Recovery {
    fn is_fire(&self) -> bool {
        *self == Self::Fire
    }
}

/// A start event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// What starts it; none: whoever enters the scope.
    pub catch: Catch,
    /// `isInterrupting`, of an event sub-process.
    pub interrupting: bool,
}

/// An event attached to an activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boundary {
    /// The activity.
    pub attached_to: NodeIx,
    /// `cancelActivity`: the activity ends when this fires.
    pub interrupting: bool,
    /// What makes it fire.
    pub catch: Catch,
}

/// What makes an event fire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trigger {
    /// A BPMN error: of this code, or any when `None`. A specific code wins over a catch-all.
    Error(Option<String>),
    /// An escalation: of this code, or any when `None`.
    Escalation(Option<String>),
    /// Time, counted from when the event is armed.
    Timer(Timer),
    /// A message.
    Message(Box<Message>),
    /// A signal of this name.
    Signal(Template),
    /// A condition over the variables (FEEL) that becomes true.
    Conditional(String),
    /// The same, asked only when one of these variables has changed (`zeebe:conditionalFilter`).
    Filtered(Box<Filtered>),
    /// Compensation of the scope or activity it belongs to.
    Compensation,
    /// A transaction that is cancelled.
    Cancel,
}

/// A condition that is asked when certain variables change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filtered {
    /// FEEL.
    pub condition: String,
    /// When it is asked.
    pub filter: Filter,
}

/// Which changes of variables a condition is asked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Those of these variables; empty: of all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<String>,
    /// When one comes to be.
    pub created: bool,
    /// When one gets another value.
    pub updated: bool,
}

/// A message that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its name, evaluated once, when the subscription opens.
    pub name: Template,
    /// The correlation key, evaluated likewise; `None`: any message of the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Template>,
    /// FEEL over a message's payload that gives its key, for messages that come without one (correlation properties, BPMN 8.4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<String>,
    /// It comes by the topic of this name. Without a key, what is caught is for the instance that its headers name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub topic: bool,
    /// Milliseconds that a token waits for it at most, and that a message may have been kept for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

/// A timer's definition: its text as in the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Timer {
    /// `timeDate`: an ISO 8601 instant; the past fires at once.
    Date(Template),
    /// `timeDuration`: an ISO 8601 duration.
    Duration(Template),
    /// `timeCycle`: an ISO 8601 repeating interval, or a cron expression.
    Cycle(Template),
    /// `timeCycle` in the original's dialect, where dates stand around it or it is computed.
    Between(Template),
}

/// What an event throws.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Throw {
    /// A message.
    Message(Box<MessageThrow>),
    /// A signal, to everybody who waits for the name.
    Signal(Template),
    /// A BPMN error; ends the token.
    Error(Option<Template>),
    /// An escalation.
    Escalation(Option<Template>),
    /// Compensation of one activity of the scope, or of all that have completed in it, in reverse order.
    Compensation {
        /// `activityRef`.
        activity: Option<NodeIx>,
        /// `waitForCompletion`.
        wait: bool,
    },
    /// Cancels the transaction around it.
    Cancel,
    /// Ends the scope with every token in it.
    Terminate,
}

/// A message that is thrown. Its payload is what the event's inputs map, else all variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageThrow {
    /// Its name.
    pub name: Template,
    /// Its correlation key; `None`: by name alone, or by the subscriber's retrieval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Template>,
    /// Its id: the same id is taken once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Template>,
    /// How long it is kept for who does not wait for it yet: milliseconds, or an ISO 8601 duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_live: Option<Template>,
    /// It goes to the topic of this name, with the payload as it is unless the event's inputs map.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub topic: bool,
}

/// Characters of a topic's name at most.
pub const MAX_TOPIC: usize = 249;

/// Whether a topic can have this name: letters, digits, `-`, `_` and `.`, as brokers allow them.
pub fn is_topic(name: &str) -> bool {
    let fits = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
    !name.is_empty() && name.len() <= MAX_TOPIC && name != "." && name != ".." && name.chars().all(fits)
}
