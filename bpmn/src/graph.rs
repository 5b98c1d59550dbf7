//! The process as a graph: who leads to whom, by index.
//!
//! Built once per process; sequence flows whose ends do not exist are left out (a diagnostic names
//! them), so whoever walks the graph need not check again.

mod components;

pub(crate) use components::components;

use std::collections::HashMap;

use crate::model::{FlowNodeKind, Process};

/// See the module's documentation.
pub(crate) struct Graph<'a> {
    pub(crate) process: &'a Process,
    /// Source and target node of each flow; `None` if either does not exist.
    pub(crate) ends: Vec<Option<(usize, usize)>>,
    /// The flows that leave each node, in document order.
    pub(crate) outgoing: Vec<Vec<usize>>,
    /// The flows that enter each node, in document order.
    pub(crate) incoming: Vec<Vec<usize>>,
    /// The boundary events of each node, in document order.
    pub(crate) boundaries: Vec<Vec<usize>>,
    /// The activity of each boundary event.
    pub(crate) attached: Vec<Option<usize>>,
    /// The nodes that associations connect each node with.
    pub(crate) associated: HashMap<usize, Vec<usize>>,
    by_id: HashMap<&'a str, usize>,
}

impl<'a> Graph<'a> {
    pub(crate) fn of(process: &'a Process) -> Self {
        let mut by_id = HashMap::with_capacity(process.nodes.len());
        for (index, node) in process.nodes.iter().enumerate() {
            by_id.entry(node.id.as_str()).or_insert(index);
        }
        let count = process.nodes.len();
        let mut graph = Self {
            process,
            ends: Vec::with_capacity(process.flows.len()),
            outgoing: vec![Vec::new(); count],
            incoming: vec![Vec::new(); count],
            boundaries: vec![Vec::new(); count],
            attached: vec![None; count],
            associated: crate::lint::associations(process, &by_id),
            by_id,
        };
        graph.connect();
        graph
    }

    fn connect(&mut self) {
        for (index, flow) in self.process.flows.iter().enumerate() {
            let ends = self.find(&flow.source).zip(self.find(&flow.target));
            if let Some((source, target)) = ends {
                self.outgoing[source].push(index);
                self.incoming[target].push(index);
            }
            self.ends.push(ends);
        }
        for (index, node) in self.process.nodes.iter().enumerate() {
            if let FlowNodeKind::BoundaryEvent { attached_to: Some(activity), .. } = &node.kind
                && let Some(activity) = self.find(activity)
            {
                self.boundaries[activity].push(index);
                self.attached[index] = Some(activity);
            }
        }
    }

    /// The node with this id.
    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The nodes that flows from `node` lead to.
    pub(crate) fn successors(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.outgoing[node].iter().filter_map(|flow| self.ends[*flow]).map(|(_, target)| target)
    }

    /// The default flow of `node`, if it is one of its own.
    pub(crate) fn default(&self, node: usize) -> Option<usize> {
        let default = self.process.nodes[node].default.as_deref()?;
        let mut own = self.outgoing[node].iter().copied();
        own.find(|flow| self.process.flows[*flow].id == default)
    }
}
