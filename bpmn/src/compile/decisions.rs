//! Business rule tasks that a decision does, and the DMN files that a process needs.

use std::collections::BTreeMap;

use routing::Digest;
use routing::decision::Decisions;
use routing::table::{Evaluation, Node, NodeKind, Template};

use super::activities::result_variable;
use super::source::Source;
use crate::diagnostic::{Diagnostic, Rule};
use crate::lint;
use crate::model::{FlowNode, Namespace};

/// DMN files by the digest that tables name them by.
pub(super) type Files<'a> = BTreeMap<Digest, &'a Decisions>;

/// The files with their digests.
pub(super) fn files(decisions: &[Decisions]) -> Files<'_> {
    decisions.iter().map(|it| (it.digest(), it)).collect()
}

/// What the task decides by: `zeebe:calledDecision`, or `camunda:decisionRef`.
pub(super) fn business_rule_task(source: &Source<'_>, node: &FlowNode) -> Option<Evaluation> {
    let (decision, result_variable) = match node.extensions.find(&Namespace::Zeebe, "calledDecision") {
        Some(called) => {
            let decision = source.required(node, called, "decisionId");
            let result = source.required(node, called, "resultVariable");
            let decision = source.template(node, called.position, decision?);
            (decision, Some(source.variable(node, called.position, result?)))
        }
        None => {
            let Some(decision) = node.extensions.attribute(&Namespace::Camunda, "decisionRef") else {
                let message = format!("{} has neither a decision nor a service", lint::describe(node));
                source.error(node, Rule::DecisionMissing, node.position, message);
                return None;
            };
            shape(source, node);
            (source.template(node, node.position, decision), result_variable(source, node))
        }
    };
    let file = file(source, &decision);
    if file.is_none() {
        unknown(source, node, &decision);
    }
    Some(Evaluation::Decision { decision, result_variable, file })
}

/// Camunda 7 wraps results in lists and maps; here a result is what DMN says it is.
fn shape(source: &Source<'_>, node: &FlowNode) {
    let wanted = node.extensions.attribute(&Namespace::Camunda, "mapDecisionResult").unwrap_or("resultList");
    if !["singleEntry", "singleResult"].contains(&wanted) {
        let message = format!("the result of {} is as DMN says, not mapped as `{wanted}`", lint::describe(node));
        source.report(Diagnostic::warning(Rule::UnknownExtension, node.position, message).on(node.id.as_str()));
    }
}

/// The file that a decision is in; one that is computed must be in the only file there is.
fn file(source: &Source<'_>, decision: &Template) -> Option<Digest> {
    let mut files = source.files.iter();
    let found = match decision {
        Template::Static(id) => files.find(|(_, file)| file.find(id).is_some()),
        Template::Feel(_) if files.len() == 1 => files.next(),
        Template::Feel(_) => None,
    };
    found.map(|(digest, _)| *digest)
}

fn unknown(source: &Source<'_>, node: &FlowNode, decision: &Template) {
    let (Template::Static(text) | Template::Feel(text)) = decision;
    let make = if source.options.missing_binding_is_error { Diagnostic::error } else { Diagnostic::warning };
    let message = format!("the decision `{text}` of {} is in no DMN file beside the model", lint::describe(node));
    source.report(make(Rule::DecisionUnknown, node.position, message).on(node.id.as_str()));
}

/// The files that these nodes need, in the order of their digests.
pub(super) fn needed<'n>(files: &Files<'_>, nodes: impl IntoIterator<Item = &'n Node>) -> Vec<Decisions> {
    let mut used: Vec<Digest> = nodes.into_iter().filter_map(used).collect();
    used.sort_unstable();
    used.dedup();
    used.iter().filter_map(|it| files.get(it)).map(|it| (*it).clone()).collect()
}

fn used(node: &Node) -> Option<Digest> {
    let NodeKind::Evaluate(evaluation) = &node.kind else { return None };
    match &**evaluation {
        Evaluation::Decision { file, .. } => *file,
        Evaluation::Nothing | Evaluation::Script { .. } => None,
    }
}
