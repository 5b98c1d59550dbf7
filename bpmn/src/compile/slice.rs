//! The table of one task: the slice of the ledger's table that its sidecar needs.
//!
//! The task, its boundary events, every folded node reachable from these, and the next hosted
//! elements as [`NodeKind::Elsewhere`]; flows between them. Of a guarded task, whose token goes back to
//! the ledger, just the task. Linear in the size of the slice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use routing::ElementId;
use routing::table::{Flow, FlowIx, Host, Node, NodeIx, NodeKind, Place, Predecessor, RoutingTable, Settings};

use super::decisions::{self, Files};

/// The tables of all tasks of `whole`.
pub(super) fn tasks(whole: &RoutingTable) -> Vec<(ElementId, RoutingTable)> {
    let mut slices = Vec::new();
    let files = decisions::files(&whole.decisions);
    let mut predecessors: BTreeMap<NodeIx, Vec<Predecessor>> = BTreeMap::new();
    for (index, node) in whole.nodes.iter().enumerate() {
        let NodeKind::Task(task) = &node.kind else { continue };
        let slice = Slice::of(whole, index as NodeIx);
        for target in &slice.targets {
            let sender = Predecessor { element: node.id.clone(), service: task.service.clone() };
            predecessors.entry(*target).or_default().push(sender);
        }
        slices.push((index as NodeIx, slice));
    }
    slices
        .into_iter()
        .map(|(index, slice)| {
            // what is guarded is offered by the ledger alone
            let senders = predecessors.remove(&index).filter(|_| !whole.node(index).guarded).unwrap_or_default();
            (whole.node(index).id.clone(), slice.table(whole, &files, index, senders))
        })
        .collect()
}

/// What all slices together may hold, as a multiple of the process, before long chains of gateways
/// are cut; models that people draw stay far below.
const LARGEST: usize = 16;

/// What one slice may spend on folded nodes and their flows once chains are cut.
const LONGEST: usize = 64;

/// Keeps the tables of all tasks together linear in the size of the process.
///
/// A gateway is folded into the table of every task that reaches it. Where gateways follow each
/// other in long chains, or one gateway gathers and scatters very many tasks, these copies would
/// grow with the square of the model: such a gateway is then hosted by the ledger, where a token
/// passes it at once, with the same outcome.
pub(super) fn host_long_chains(whole: &mut RoutingTable) {
    let budget = LARGEST * (whole.nodes.len() + whole.flows.len() + 256);
    let tasks: Vec<NodeIx> = (0..whole.nodes.len() as NodeIx).filter(|it| is_straight(whole.node(*it))).collect();
    let mut spent = 0;
    for task in &tasks {
        spent += walk(whole, *task, budget.saturating_sub(spent)).0;
        if spent >= budget {
            break;
        }
    }
    if spent < budget {
        return;
    }
    for task in tasks {
        for gateway in walk(whole, task, LONGEST).1 {
            let node = &mut whole.nodes[gateway as usize];
            node.place = Place::Ledger;
            node.guarded = matches!(node.kind, NodeKind::Evaluate(_));
        }
    }
}

/// Whether its service's sidecar lets a token leave it.
fn is_straight(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Task(_)) && !node.guarded
}

/// Walks what is folded behind `task`, nearest first, until `limit` is spent: what was spent, and
/// the folded nodes there was nothing left for.
fn walk(whole: &RoutingTable, task: NodeIx, limit: usize) -> (usize, Vec<NodeIx>) {
    let (mut spent, mut beyond) = (0, Vec::new());
    let mut seen = BTreeSet::new();
    let mut pending = VecDeque::from([task]);
    pending.extend(&whole.node(task).boundaries);
    let own = pending.len();
    let mut visited = 0;
    while let Some(node) = pending.pop_front() {
        let cost = 1 + whole.node(node).outgoing.len();
        visited += 1;
        if visited > own && spent + cost > limit {
            beyond.push(node);
            continue;
        }
        spent += if visited > own { cost } else { 0 };
        for flow in &whole.node(node).outgoing {
            let target = whole.flow(*flow).target;
            if whole.node(target).place == Place::Folded && seen.insert(target) {
                pending.push_back(target);
            }
        }
    }
    (if beyond.is_empty() { spent } else { limit }, beyond)
}

/// Which nodes and flows belong to one task's table.
struct Slice {
    /// In document order; the flag tells whether the node is hosted elsewhere.
    nodes: BTreeMap<NodeIx, bool>,
    flows: BTreeSet<FlowIx>,
    /// The hosted elements that the task's tokens go to.
    targets: BTreeSet<NodeIx>,
}

impl Slice {
    fn of(whole: &RoutingTable, task: NodeIx) -> Self {
        let mut slice = Self { nodes: BTreeMap::new(), flows: BTreeSet::new(), targets: BTreeSet::new() };
        if whole.node(task).guarded {
            slice.nodes.insert(task, false);
            return slice;
        }
        let mut pending: Vec<NodeIx> = vec![task];
        pending.extend(&whole.node(task).boundaries);
        for own in &pending {
            slice.nodes.insert(*own, false);
        }
        while let Some(node) = pending.pop() {
            for flow in &whole.node(node).outgoing {
                slice.flows.insert(*flow);
                let target = whole.flow(*flow).target;
                let folded = whole.node(target).place == Place::Folded;
                if !folded {
                    slice.targets.insert(target);
                }
                if let std::collections::btree_map::Entry::Vacant(entry) = slice.nodes.entry(target) {
                    entry.insert(!folded);
                    if folded {
                        pending.push(target);
                    }
                }
            }
        }
        slice
    }

    fn table(
        &self,
        whole: &RoutingTable,
        files: &Files<'_>,
        task: NodeIx,
        predecessors: Vec<Predecessor>,
    ) -> RoutingTable {
        let evaluated = self.nodes.iter().filter(|(_, elsewhere)| !**elsewhere).map(|(it, _)| whole.node(*it));
        let nodes: BTreeMap<NodeIx, NodeIx> =
            self.nodes.keys().enumerate().map(|(new, old)| (*old, new as NodeIx)).collect();
        let flows: BTreeMap<FlowIx, FlowIx> =
            self.flows.iter().enumerate().map(|(new, old)| (*old, new as FlowIx)).collect();
        let renumber = Renumber { nodes: &nodes, flows: &flows };
        RoutingTable {
            host: Host::Task(whole.node(task).id.clone()),
            predecessors,
            nodes: self.nodes.iter().map(|(old, elsewhere)| renumber.node(whole.node(*old), *elsewhere)).collect(),
            flows: self.flows.iter().map(|old| renumber.flow(whole.flow(*old))).collect(),
            format: whole.format,
            process: whole.process.clone(),
            deployment: whole.deployment.clone(),
            // instances and scopes begin at the ledger
            settings: Settings {
                data: Vec::new(),
                listeners: Vec::new(),
                notifications: None,
                webhook: None,
                notify_hops: false,
                metadata: BTreeMap::new(),
                ..whole.settings.clone()
            },
            decisions: decisions::needed(files, evaluated),
            forms: Vec::new(),
        }
    }
}

/// From the numbers of the whole to those of a slice; what is outside of it is left out.
struct Renumber<'a> {
    nodes: &'a BTreeMap<NodeIx, NodeIx>,
    flows: &'a BTreeMap<FlowIx, FlowIx>,
}

impl Renumber<'_> {
    fn node(&self, node: &Node, elsewhere: bool) -> Node {
        let flows = |list: &[FlowIx]| list.iter().filter_map(|it| self.flows.get(it).copied()).collect();
        let nodes = |list: &[NodeIx]| list.iter().filter_map(|it| self.nodes.get(it).copied()).collect();
        let kind = match &node.kind {
            _ if elsewhere => NodeKind::Elsewhere,
            NodeKind::Boundary(boundary) => {
                let mut boundary = boundary.clone();
                boundary.attached_to = self.nodes[&boundary.attached_to];
                NodeKind::Boundary(boundary)
            }
            kind => kind.clone(),
        };
        let guarded_task = node.guarded && matches!(kind, NodeKind::Task(_));
        let place = match &kind {
            NodeKind::Task(task) if node.guarded => Place::Service(task.service.clone()),
            _ => node.place.clone(),
        };
        Node {
            kind,
            parent: node.parent.and_then(|it| self.nodes.get(&it).copied()),
            incoming: flows(&node.incoming),
            outgoing: if elsewhere { Vec::new() } else { flows(&node.outgoing) },
            default: node.default.filter(|_| !elsewhere).and_then(|it| self.flows.get(&it).copied()),
            boundaries: if elsewhere { Vec::new() } else { nodes(&node.boundaries) },
            id: node.id.clone(),
            name: node.name.clone(),
            safe_name: node.safe_name.clone(),
            element: node.element.clone(),
            place,
            guarded: node.guarded,
            mapping: node.mapping.clone().filter(|_| !elsewhere),
            // loops, quantities and compensation are the ledger's
            marks: node.marks.clone().filter(|_| !elsewhere && !guarded_task),
            listeners: Vec::new(),
        }
    }

    fn flow(&self, flow: &Flow) -> Flow {
        Flow {
            id: flow.id.clone(),
            source: self.nodes[&flow.source],
            target: self.nodes[&flow.target],
            condition: flow.condition.clone(),
        }
    }
}
