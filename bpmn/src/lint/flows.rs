//! Sequence flows: where they may lead, where they may have conditions.

use super::Context;
use crate::diagnostic::Rule;
use crate::model::FlowNodeKind;

/// Checks every flow whose ends exist.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<crate::diagnostic::Diagnostic>) {
    for (index, flow) in cx.process.flows.iter().enumerate() {
        let Some((source, target)) = cx.graph.ends[index] else {
            continue;
        };
        let nodes = &cx.process.nodes;
        if nodes[source].parent != nodes[target].parent {
            let message = format!(
                "sequence flow `{}` leads from {} to {}, which is not in the same sub-process",
                flow.id,
                cx.describe(source),
                cx.describe(target)
            );
            out.push(cx.flow_error(index, Rule::FlowCrossesScope, message));
        }
        if flow.condition.is_some() && !chooses(&nodes[source].kind) {
            let message =
                format!("sequence flow `{}` has a condition, and {} takes every flow", flow.id, cx.describe(source));
            out.push(cx.flow_error(index, Rule::ConditionNotAllowed, message));
        }
    }
}

/// Whether conditions of outgoing flows are evaluated (BPMN 2.0.2, 8.4.13).
pub(super) fn chooses(kind: &FlowNodeKind) -> bool {
    match kind {
        FlowNodeKind::ExclusiveGateway | FlowNodeKind::InclusiveGateway | FlowNodeKind::ComplexGateway { .. } => true,
        FlowNodeKind::ParallelGateway | FlowNodeKind::EventBasedGateway { .. } => false,
        FlowNodeKind::StartEvent { .. }
        | FlowNodeKind::IntermediateCatchEvent
        | FlowNodeKind::IntermediateThrowEvent
        | FlowNodeKind::BoundaryEvent { .. }
        | FlowNodeKind::EndEvent => false,
        FlowNodeKind::Task
        | FlowNodeKind::ServiceTask { .. }
        | FlowNodeKind::SendTask { .. }
        | FlowNodeKind::ReceiveTask { .. }
        | FlowNodeKind::UserTask
        | FlowNodeKind::ManualTask
        | FlowNodeKind::BusinessRuleTask
        | FlowNodeKind::ScriptTask { .. }
        | FlowNodeKind::CallActivity { .. }
        | FlowNodeKind::SubProcess { .. }
        | FlowNodeKind::Transaction
        | FlowNodeKind::AdHocSubProcess { .. }
        | FlowNodeKind::ChoreographyTask
        | FlowNodeKind::SubChoreography
        | FlowNodeKind::CallChoreography => true,
    }
}
