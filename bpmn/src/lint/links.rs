//! Link events (BPMN 10.5.5): each throw leads to the one catch of its name in its scope.

use std::collections::{HashMap, HashSet};

use super::Context;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::FlowNodeKind;

/// Checks every link event.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    let mut catches: HashMap<(Option<usize>, &str), usize> = HashMap::new();
    let mut thrown: HashSet<(Option<usize>, &str)> = HashSet::new();
    for (index, node) in cx.process.nodes.iter().enumerate() {
        let Some(name) = node.link() else { continue };
        let described = cx.describe(index);
        if name.is_empty() {
            out.push(cx.error(index, Rule::LinkUnpaired, format!("{described} has no link name")));
        }
        if node.event_definitions.len() > 1 {
            let message = format!("{described} is a link and something else");
            out.push(cx.error(index, Rule::EventDefinitionNotAllowed, message));
        }
        let catches_it = matches!(node.kind, FlowNodeKind::IntermediateCatchEvent);
        let drawn = if catches_it { &cx.graph.incoming[index] } else { &cx.graph.outgoing[index] };
        if let Some(flow) = drawn.iter().find(|it| !cx.process.flows[**it].link) {
            let message = format!("flow `{}` does what the link of {described} does", cx.process.flows[*flow].id);
            out.push(cx.error(index, Rule::LinkFlow, message));
        }
        if !catches_it {
            thrown.insert((node.parent, name));
        } else if let Some(first) = catches.insert((node.parent, name), index) {
            let message = format!("{described} catches link `{name}`, as `{}` does", cx.process.nodes[first].id);
            out.push(cx.error(index, Rule::LinkUnpaired, message));
        }
    }
    for (index, node) in cx.process.nodes.iter().enumerate() {
        let Some(name) = node.link().filter(|it| !it.is_empty()) else { continue };
        let pair = (node.parent, name);
        let (paired, other) = match node.kind {
            FlowNodeKind::IntermediateCatchEvent => (thrown.contains(&pair), "throws"),
            FlowNodeKind::IntermediateThrowEvent => (catches.contains_key(&pair), "catches"),
            _ => continue,
        };
        if !paired {
            let message = format!("no event of the same scope {other} link `{name}` of {}", cx.describe(index));
            out.push(cx.error(index, Rule::LinkUnpaired, message));
        }
    }
}
