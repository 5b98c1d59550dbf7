//! Default flows, and flows of gateways that need conditions.

use std::collections::HashSet;

use super::Context;
use super::flows::chooses;
use crate::binding::Annotations;
use crate::diagnostic::{Diagnostic, Rule};
use crate::graph::Graph;
use crate::model::{FlowNodeKind, Process};

/// Checks every node that chooses among flows, and that no other pretends to.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let flows: HashSet<&str> = cx.process.flows.iter().map(|it| it.id.as_str()).collect();
    for node in 0..cx.process.nodes.len() {
        default_flow(cx, node, &flows, out);
        let kind = &cx.process.nodes[node].kind;
        if matches!(kind, FlowNodeKind::ExclusiveGateway | FlowNodeKind::InclusiveGateway) {
            conditions(cx, node, out);
        }
        if kind.is_gateway() {
            superfluous(cx, node, out);
        }
    }
}

fn default_flow(cx: &Context<'_>, node: usize, flows: &HashSet<&str>, out: &mut Vec<Diagnostic>) {
    let it = &cx.process.nodes[node];
    let Some(default) = it.default.as_deref() else {
        return;
    };
    let described = cx.describe(node);
    if !chooses(&it.kind) {
        let message = format!("{described} takes every flow, and has a default flow `{default}`");
        out.push(cx.error(node, Rule::DefaultNotAllowed, message));
        return;
    }
    let Some(flow) = cx.graph.default(node) else {
        let (rule, problem) = if flows.contains(default) {
            (Rule::DefaultNotOutgoing, "does not start there")
        } else {
            (Rule::UnknownReference, "does not exist")
        };
        let message = format!("the default flow `{default}` of {described} {problem}");
        out.push(cx.error(node, rule, message));
        return;
    };
    if cx.process.flows[flow].condition.is_some() {
        let message = format!("the default flow `{default}` of {described} has a condition");
        out.push(cx.flow_error(flow, Rule::DefaultWithCondition, message));
    }
}

/// The flow that the original takes as the default: the only one without a condition beside
/// others that have one. It reads no `default` attribute, so its models rarely have it.
pub(crate) fn implicit_default(
    process: &Process,
    graph: &Graph<'_>,
    annotations: &Annotations,
    node: usize,
) -> Option<usize> {
    let it = &process.nodes[node];
    let applies = annotations.dialect
        && it.default.is_none()
        && matches!(it.kind, FlowNodeKind::ExclusiveGateway)
        && graph.outgoing[node].len() > 1;
    let flows = &process.flows;
    let mut bare = (graph.outgoing[node].iter()).filter(|it| flows[**it].condition.is_none());
    let first = *bare.next()?;
    (applies && bare.next().is_none()).then_some(first)
}

fn conditions(cx: &Context<'_>, node: usize, out: &mut Vec<Diagnostic>) {
    let outgoing = &cx.graph.outgoing[node];
    let flows = &cx.process.flows;
    let conditional = outgoing.iter().filter(|it| flows[**it].condition.is_some());
    let conditional = conditional.count();
    if outgoing.len() < 2 && conditional == 0 {
        return;
    }
    let described = cx.describe(node);
    let default = cx.graph.default(node);
    if let Some(flow) = implicit_default(cx.process, cx.graph, cx.annotations, node) {
        let message = format!(
            "flow `{}` is the only one of {described} without a condition: it is taken when no condition holds",
            flows[flow].id
        );
        out.push(cx.at(node, Diagnostic::info, Rule::ImplicitDefault, message));
        return;
    }
    for flow in outgoing {
        if flows[*flow].condition.is_none() && default != Some(*flow) {
            let message = format!("flow `{}` of {described} has no condition and is not its default", flows[*flow].id);
            out.push(cx.flow_error(*flow, Rule::ConditionMissing, message));
        }
    }
    if default.is_none() && conditional == outgoing.len() {
        let message = format!("{described} has no default flow");
        out.push(cx.at(node, Diagnostic::warning, Rule::NoDefault, message));
    }
}

fn superfluous(cx: &Context<'_>, node: usize, out: &mut Vec<Diagnostic>) {
    let (incoming, outgoing) = (&cx.graph.incoming[node], &cx.graph.outgoing[node]);
    if let ([_], [flow]) = (incoming.as_slice(), outgoing.as_slice())
        && cx.process.flows[*flow].condition.is_none()
    {
        let message = format!("{} has one flow in and one out", cx.describe(node));
        out.push(cx.at(node, Diagnostic::info, Rule::SuperfluousGateway, message));
    }
}
