//! A task that a service does: how it is called, and what its answer means (design §6).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Assignment, Connector};
use crate::callback;
use crate::id::ServiceName;

/// How a task's service is called and what its answer means (design §6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Who serves it.
    pub service: ServiceName,
    /// Where it is without any sidecar's say: the annotation's host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// HTTP method.
    pub method: String,
    /// Path, perhaps with `{key}` templates (closure transport only).
    pub path: String,
    /// How payload, request and answer relate.
    pub data: DataMapping,
    /// Attempts and back-off.
    pub retry: RetryPolicy,
    /// Milliseconds for one call, body included.
    pub timeout: u64,
    /// Milliseconds that a task that is down is waited for.
    pub down_timeout: u64,
    /// A 2xx answer says only that the task has taken the work; it calls back when it is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asynchronous: bool,
    /// Milliseconds that a callback is waited for, from the answer or the last heartbeat.
    #[serde(default = "callback_timeout", skip_serializing_if = "is_usual_timeout")]
    pub callback_timeout: u64,
    /// Its health check; `None` is a TCP connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Keys for the annotation's other settings that orchestrators read (container, namespace, ...).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// It listens to another element: what it answers is for the ledger, and no answer is a BPMN error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listener: bool,
}

fn callback_timeout() -> u64 {
    callback::TIMEOUT
}

// serde gives a reference
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_usual_timeout(timeout: &u64) -> bool {
    *timeout == callback::TIMEOUT
}

/// Where a service is by its annotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Host name.
    pub host: String,
    /// Port callers use.
    pub port: u16,
    /// Port the container listens on.
    pub target_port: u16,
}

/// How payload, request and answer relate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DataMapping {
    /// The payload is sent as it is; the answer replaces it, any content type (the original's dialect).
    Replace,
    /// The payload is sent as it is; a JSON object answer is merged into it, anything else needs `result_variable`.
    Merge {
        /// Where an answer goes as a whole.
        result_variable: Option<String>,
    },
    /// `zeebe:ioMapping`, `camunda:inputOutput`: inputs are local variables of the call, sent with the payload; an answer that is an object
    /// is merged over them, or goes to `result_variable`; with outputs only these are kept, else what the answer says.
    Mapped {
        /// Local variables of the call, in order.
        inputs: Vec<Assignment>,
        /// Where an answer goes as a whole.
        result_variable: Option<String>,
        /// What is kept, in order; empty: the answer is merged into the variables.
        outputs: Vec<Assignment>,
        /// Only the inputs are sent, as the Camunda 7 connector does, instead of all variables.
        inputs_only: bool,
    },
    /// Closure transport: only declared inputs are sent, only declared outputs are kept.
    Closure {
        /// What the task gets.
        inputs: Vec<Parameter>,
        /// What of its answer is kept.
        outputs: Vec<Parameter>,
    },
    /// The sidecar itself calls what the inputs describe.
    Connector(Box<Connector>),
}

/// One line of closure transport: `name` from `source` (either may be `.`), of a type, with a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Where the value goes; `.` is the whole.
    pub name: String,
    /// Where it comes from; `.` is the whole.
    pub source: String,
    /// What it must be.
    pub kind: ParameterKind,
    /// Raw JSON taken when the source is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
}

/// Types of closure transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ParameterKind {
    /// JSON string.
    String,
    /// JSON true or false.
    Boolean,
    /// JSON number.
    Double,
    /// JSON number without a fraction.
    Integer,
    /// JSON object.
    JsonObject,
    /// JSON array.
    JsonArray,
}

/// Attempts and back-off of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Calls in all, at least 1.
    pub attempts: u32,
    /// First back-off, milliseconds.
    pub initial: u64,
    /// Longest back-off, milliseconds.
    pub max: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 3, initial: 100, max: 10_000 }
    }
}

/// A health check by HTTP, times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Path.
    pub path: String,
    /// Method.
    pub method: String,
    /// Query string, without the question mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Between two checks.
    pub period: u64,
    /// For one check.
    pub timeout: u64,
    /// Before the first.
    pub initial_delay: u64,
    /// Failures in a row that make it DOWN.
    pub failure_threshold: u32,
}
