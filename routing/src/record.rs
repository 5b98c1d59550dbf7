//! What happened, for people: one record per element passed. Best effort; never part of a decision.

use crate::id::{ActivationId, ElementId, InstanceId};
use crate::token::Timestamp;

/// One element that a token went through.
#[derive(Clone, Debug, PartialEq)]
pub struct HopRecord {
    /// The instance.
    pub instance: InstanceId,
    /// The element.
    pub element: ElementId,
    /// Its name in the model.
    pub name: String,
    /// BPMN name of its kind, such as `serviceTask`.
    pub kind: String,
    /// This entry into it.
    pub activation: ActivationId,
    /// The entry it came from.
    pub parent: ActivationId,
    /// When the token arrived.
    pub started: Timestamp,
    /// When its products were decided.
    pub ended: Timestamp,
    /// Calls made (0 for elements that call nothing).
    pub attempts: u32,
    /// `completed`, `error CODE`, `incident CODE`, `terminated`.
    pub status: String,
    /// Warnings of expressions (unknown variables and the like).
    pub warnings: Vec<String>,
    /// Trace id, when the instance is traced.
    pub trace_id: String,
}
