//! What is wrong with a model, before anything of it runs.
//!
//! One function per rule or family of rules; each adds findings and changes nothing. Lint checks
//! the static rules of the standard, and that everything drawn can be executed as drawn: what is
//! neither executed nor refused here would be silently misread. Every check is linear in the size
//! of the model, up to sorting.

mod clarity;
mod collaboration;
mod compensation;
mod data;
mod events;
mod executable;
mod expressions;
mod flows;
mod gateways;
mod links;
mod listeners;
mod loops;
mod references;
mod scopes;
mod structure;
mod tasks;
mod variables;
mod waiting;

pub(crate) use compensation::{associations, compensation_boundary, handlers};
pub(crate) use events::{is_between, is_of_original, timer_expression};
pub(crate) use expressions::{Language, foreign, language_of, refused};
pub(crate) use gateways::implicit_default;
pub(crate) use references::is_bpmn;
pub(crate) use structure::executable;
pub(crate) use variables::variables;

use std::collections::HashMap;

use crate::binding::Annotations;
use crate::compile::{Options, Source};
use crate::diagnostic::{Diagnostic, Rule};
use crate::graph::Graph;
use crate::model::{Definitions, FlowNode, Process};

/// What the checks of one process look at.
pub(crate) struct Context<'a> {
    pub(crate) definitions: &'a Definitions,
    pub(crate) process: &'a Process,
    /// The process of every flow node of the file.
    pub(crate) places: &'a HashMap<&'a str, &'a str>,
    pub(crate) graph: &'a Graph<'a>,
    pub(crate) annotations: &'a Annotations,
    pub(crate) options: &'a Options,
    /// How the nodes are read.
    pub(crate) source: Source<'a>,
}

impl Context<'_> {
    /// "service task `Task_1`", for messages.
    fn describe(&self, node: usize) -> String {
        describe(&self.process.nodes[node])
    }

    /// A finding about a node.
    fn at(
        &self,
        node: usize,
        make: fn(Rule, crate::model::Position, String) -> Diagnostic,
        rule: Rule,
        message: impl Into<String>,
    ) -> Diagnostic {
        let node = &self.process.nodes[node];
        make(rule, node.position, message.into()).on(node.id.as_str())
    }

    /// An error about a node.
    fn error(&self, node: usize, rule: Rule, message: impl Into<String>) -> Diagnostic {
        self.at(node, Diagnostic::error, rule, message)
    }

    /// An error about a flow.
    fn flow_error(&self, flow: usize, rule: Rule, message: impl Into<String>) -> Diagnostic {
        let flow = &self.process.flows[flow];
        Diagnostic::error(rule, flow.position, message).on(flow.id.as_str())
    }
}

/// "service task `Task_1` (Pay the bill)", for messages.
pub(crate) fn describe(node: &FlowNode) -> String {
    match node.name.as_deref().map(str::trim) {
        Some(name) if !name.is_empty() => {
            let name: String = name.chars().take(60).collect();
            format!("{} `{}` ({name})", node.kind.word(), node.id)
        }
        _ => format!("{} `{}`", node.kind.word(), node.id),
    }
}

/// Checks the file as a whole.
pub(crate) fn definitions(definitions: &Definitions, out: &mut Vec<Diagnostic>) {
    structure::processes(definitions, out);
    references::ids(definitions, out);
    references::roots(definitions, out);
    collaboration::message_flows(definitions, out);
    clarity::declarations(definitions, out);
}

/// Checks one process that is to run.
pub(crate) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    references::process(cx, out);
    structure::process(cx, out);
    flows::process(cx, out);
    gateways::process(cx, out);
    events::process(cx, out);
    tasks::process(cx, out);
    listeners::process(cx, out);
    expressions::process(cx, out);
    loops::process(cx, out);
    executable::process(cx, out);
    scopes::process(cx, out);
    compensation::process(cx, out);
    waiting::process(cx, out);
    links::process(cx, out);
    data::process(cx, out);
    clarity::process(cx, out);
}
