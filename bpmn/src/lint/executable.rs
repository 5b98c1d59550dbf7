//! What is drawn and not executable: every element of the standard is recognised, and what the
//! engine does not run is refused by name and place, never ignored.

use super::Context;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::FlowNodeKind;

/// Checks every node; a refused choreography is refused with all in it.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for (index, node) in cx.process.nodes.iter().enumerate() {
        let what = match &node.kind {
            FlowNodeKind::ChoreographyTask => "choreography tasks",
            FlowNodeKind::SubChoreography => "sub-choreographies",
            FlowNodeKind::CallChoreography => "call choreographies",
            _ => continue,
        };
        let message = format!("{}: {what} are not executable", cx.describe(index));
        out.push(cx.error(index, Rule::UnsupportedElement, message));
    }
}
