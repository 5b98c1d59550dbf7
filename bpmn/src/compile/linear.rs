//! Whether an instance ever has more than one token.
//!
//! Where there is only one, nothing is ever merged, so nobody asks what was written since when, and no payload has to be
//! parsed to find out. Anything that is not plainly so counts as if there were several.

use routing::RoutingTable;
use routing::table::{Node, NodeKind};

/// Decides `linear`, after everything else is decided.
pub(super) fn decide(whole: &mut RoutingTable) {
    let settings = &whole.settings;
    whole.settings.linear = !settings.homed && settings.data.is_empty() && whole.nodes.iter().all(keeps_to_one);
}

/// A token that enters leaves as one token at most, and nothing else begins here.
fn keeps_to_one(node: &Node) -> bool {
    let plain = node.parent.is_none() && node.marks.is_none() && !node.guarded;
    plain
        && match &node.kind {
            NodeKind::ExclusiveGateway | NodeKind::EndEvent(_) | NodeKind::Link | NodeKind::Elsewhere => true,
            NodeKind::StartEvent(_) | NodeKind::Task(_) | NodeKind::Evaluate(_) => node.outgoing.len() <= 1,
            NodeKind::ThrowEvent(throws) => throws.is_empty() && node.outgoing.len() <= 1,
            NodeKind::Boundary(event) => event.interrupting && node.outgoing.len() <= 1,
            NodeKind::UserTask(_)
            | NodeKind::ReceiveTask(_)
            | NodeKind::SendTask(_)
            | NodeKind::CallActivity(_)
            | NodeKind::SubProcess(_)
            | NodeKind::InclusiveGateway
            | NodeKind::ParallelGateway
            | NodeKind::ComplexGateway { .. }
            | NodeKind::EventBasedGateway { .. }
            | NodeKind::CatchEvent(_) => false,
        }
}
