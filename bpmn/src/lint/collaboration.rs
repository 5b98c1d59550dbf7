//! Message flows (BPMN 9.4): between pools, and between what sends and what receives.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Definitions, FlowNode, FlowNodeKind, MessageFlow, local_reference};

/// Checks every message flow whose ends exist.
pub(super) fn message_flows(definitions: &Definitions, out: &mut Vec<Diagnostic>) {
    let mut nodes: HashMap<&str, (&str, &FlowNode)> = HashMap::new();
    for process in &definitions.processes {
        nodes.extend(process.nodes.iter().map(|it| (it.id.as_str(), (process.id.as_str(), it))));
    }
    for collaboration in &definitions.collaborations {
        let pools: HashMap<&str, Option<&str>> = (collaboration.participants.iter())
            .map(|it| (it.id.as_str(), it.process_ref.as_deref().map(local_reference)))
            .collect();
        // the pool of an end: that of its process, or the black box itself
        let pool = |end: &str| -> Option<String> {
            let end = local_reference(end);
            match (nodes.get(end), pools.get(end)) {
                (Some((process, _)), _) => Some((*process).to_owned()),
                (None, Some(process)) => Some(process.unwrap_or(end).to_owned()),
                (None, None) => None,
            }
        };
        for flow in &collaboration.message_flows {
            if let (Some(from), Some(to)) = (pool(&flow.source), pool(&flow.target))
                && from == to
            {
                let message = format!("message flow `{}` stays inside of one pool", flow.id);
                out.push(at(flow, Rule::MessageFlowInPool, message));
            }
            for (end, sends) in [(&flow.source, true), (&flow.target, false)] {
                let Some((_, node)) = nodes.get(local_reference(end)) else { continue };
                if !fits(node, sends) {
                    let side = if sends { "leaves" } else { "enters" };
                    let message = format!("message flow `{}` {side} {}", flow.id, super::describe(node));
                    out.push(at(flow, Rule::WrongReference, message));
                }
            }
        }
    }
}

fn at(flow: &MessageFlow, rule: Rule, message: String) -> Diagnostic {
    Diagnostic::error(rule, flow.position, message).on(flow.id.as_str())
}

/// Whether messages leave, or enter, nodes of the kind.
fn fits(node: &FlowNode, sends: bool) -> bool {
    match &node.kind {
        kind if kind.is_gateway() => false,
        FlowNodeKind::StartEvent { .. } | FlowNodeKind::IntermediateCatchEvent | FlowNodeKind::BoundaryEvent { .. } => {
            !sends
        }
        FlowNodeKind::EndEvent | FlowNodeKind::IntermediateThrowEvent => sends,
        FlowNodeKind::SendTask { .. } => sends,
        FlowNodeKind::ReceiveTask { .. } => !sends,
        _ => true,
    }
}
