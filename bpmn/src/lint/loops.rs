//! Cycles in which a token would spin for ever: no task and no waiting event lies on them.
//!
//! Strongly connected components of the instant elements (Tarjan's algorithm, iterative and
//! linear; a depth-first search over paths would be exponential on diamonds).

use super::Context;
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::FlowNodeKind;

/// Reports each such cycle once, at its first element in document order.
pub(super) fn process(cx: &Context<'_>, out: &mut Vec<Diagnostic>) {
    for mut component in components(cx) {
        component.sort_unstable();
        let names: Vec<_> = component.iter().take(8).map(|it| format!("`{}`", cx.process.nodes[*it].id)).collect();
        let more = if component.len() > 8 { ", ..." } else { "" };
        let message = format!("the cycle through {}{more} passes no task and no waiting event", names.join(", "));
        out.push(cx.error(component[0], Rule::ZeroWaitLoop, message));
    }
}

/// Whether a token passes the element at once.
fn is_instant(kind: &FlowNodeKind) -> bool {
    match kind {
        FlowNodeKind::ExclusiveGateway
        | FlowNodeKind::InclusiveGateway
        | FlowNodeKind::ParallelGateway
        | FlowNodeKind::ComplexGateway { .. }
        | FlowNodeKind::IntermediateThrowEvent
        | FlowNodeKind::Task
        | FlowNodeKind::ManualTask => true,
        FlowNodeKind::StartEvent { .. }
        | FlowNodeKind::IntermediateCatchEvent
        | FlowNodeKind::BoundaryEvent { .. }
        | FlowNodeKind::EndEvent
        | FlowNodeKind::ServiceTask { .. }
        | FlowNodeKind::SendTask { .. }
        | FlowNodeKind::ReceiveTask { .. }
        | FlowNodeKind::UserTask
        | FlowNodeKind::BusinessRuleTask
        | FlowNodeKind::ScriptTask { .. }
        | FlowNodeKind::CallActivity { .. }
        | FlowNodeKind::SubProcess { .. }
        | FlowNodeKind::Transaction
        | FlowNodeKind::AdHocSubProcess { .. }
        | FlowNodeKind::EventBasedGateway { .. }
        | FlowNodeKind::ChoreographyTask
        | FlowNodeKind::SubChoreography
        | FlowNodeKind::CallChoreography => false,
    }
}

const UNSEEN: usize = usize::MAX;

/// Tarjan's state for one search.
struct Search {
    next: usize,
    order: Vec<usize>,
    low: Vec<usize>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    found: Vec<Vec<usize>>,
}

/// The components of instant elements that hold a cycle.
fn components(cx: &Context<'_>) -> Vec<Vec<usize>> {
    let nodes = &cx.process.nodes;
    let edges: Vec<Vec<usize>> = (0..nodes.len())
        .map(|node| {
            let targets = cx.graph.successors(node);
            targets.filter(|it| is_instant(&nodes[node].kind) && is_instant(&nodes[*it].kind)).collect()
        })
        .collect();
    let mut search = Search {
        next: 0,
        order: vec![UNSEEN; nodes.len()],
        low: vec![0; nodes.len()],
        on_stack: vec![false; nodes.len()],
        stack: Vec::new(),
        found: Vec::new(),
    };
    for node in 0..nodes.len() {
        if search.order[node] == UNSEEN {
            search.from(node, &edges);
        }
    }
    search.found
}

impl Search {
    fn from(&mut self, root: usize, edges: &[Vec<usize>]) {
        self.enter(root);
        let mut path = vec![(root, 0)];
        while let Some((node, edge)) = path.last_mut() {
            let node = *node;
            if let Some(target) = edges[node].get(*edge) {
                *edge += 1;
                if self.order[*target] == UNSEEN {
                    self.enter(*target);
                    path.push((*target, 0));
                } else if self.on_stack[*target] {
                    self.low[node] = self.low[node].min(self.order[*target]);
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                self.low[*parent] = self.low[*parent].min(self.low[node]);
            }
            if self.low[node] == self.order[node] {
                self.leave(node, edges);
            }
        }
    }

    fn enter(&mut self, node: usize) {
        self.order[node] = self.next;
        self.low[node] = self.next;
        self.next += 1;
        self.stack.push(node);
        self.on_stack[node] = true;
    }

    /// Takes the component whose root is `node` off the stack.
    fn leave(&mut self, node: usize, edges: &[Vec<usize>]) {
        let mut component = Vec::new();
        while let Some(member) = self.stack.pop() {
            self.on_stack[member] = false;
            component.push(member);
            if member == node {
                break;
            }
        }
        if component.len() > 1 || edges[node].contains(&node) {
            self.found.push(component);
        }
    }
}
