//! Which activities the ledger holds, and where each node runs (design §3, §4).
//!
//! An activity that needs nothing but its service takes the straight path from sidecar to sidecar. *Guarded* is what the ledger must hold,
//! since it loops, counts, is compensated, has boundary events that the ledger feeds, or may bring the token that an inclusive or complex
//! join waits for. Linear in the size of the process: each question about a region is one walk.

use routing::table::{Node, NodeIx, NodeKind, Place, RoutingTable, SubProcess, Timer, Trigger};

/// Decides for all nodes: `homed`, `guarded`, `place`.
pub(super) fn decide(whole: &mut RoutingTable) {
    whole.settings.homed = whole.nodes.iter().any(|it| looks_at_variables(whole, it));
    let joined = Region::of_joins(whole);
    for index in 0..whole.nodes.len() {
        whole.nodes[index].guarded = is_guarded(whole, index, &joined);
    }
    for index in 0..whole.nodes.len() {
        whole.nodes[index].place = place(whole, &whole.nodes[index]);
    }
}

/// Something that sees variables from beside the token that changes them.
fn looks_at_variables(whole: &RoutingTable, node: &Node) -> bool {
    let conditional = |it: &[Trigger]| it.iter().any(|it| matches!(it, Trigger::Conditional(_) | Trigger::Filtered(_)));
    match &node.kind {
        NodeKind::SubProcess(kind) => matches!(**kind, SubProcess::Event),
        NodeKind::Boundary(boundary) => {
            let compensates = boundary.catch.triggers.contains(&Trigger::Compensation);
            // what was written inside of a sub-process counts when it is interrupted; an error brings its thrower's variables along
            let scope = matches!(whole.node(boundary.attached_to).kind, NodeKind::SubProcess(_));
            let interrupts = |it: &Trigger| !matches!(it, Trigger::Error(_) | Trigger::Cancel | Trigger::Compensation);
            !boundary.interrupting && !compensates
                || conditional(&boundary.catch.triggers)
                || scope && boundary.catch.triggers.iter().any(interrupts)
        }
        NodeKind::StartEvent(start) => node.parent.is_some() && conditional(&start.catch.triggers),
        NodeKind::CatchEvent(catch) => conditional(&catch.triggers),
        _ => false,
    }
}

/// Whether a token ends at such a node if no flow leaves it.
pub(super) fn ends_implicitly(kind: &NodeKind) -> bool {
    let event = matches!(kind, NodeKind::SubProcess(kind) if matches!(**kind, SubProcess::Event));
    kind.is_activity() && !event
}

fn is_guarded(whole: &RoutingTable, index: usize, joined: &Region) -> bool {
    let node = &whole.nodes[index];
    match &node.kind {
        NodeKind::Task(task) => {
            task.listener
                || needs_ledger(whole, node)
                || joined.holds(index)
                || !node.boundaries.iter().all(|it| is_decided_by_sidecar(whole.node(*it)))
        }
        // a folded evaluation takes no time: no join can miss its token
        NodeKind::Evaluate(_) => needs_ledger(whole, node) || !node.boundaries.is_empty(),
        kind => kind.is_activity(),
    }
}

fn needs_ledger(whole: &RoutingTable, node: &Node) -> bool {
    let ad_hoc = |it: NodeIx| match &whole.node(it).kind {
        NodeKind::SubProcess(kind) => matches!(**kind, SubProcess::AdHoc(_)),
        _ => false,
    };
    whole.settings.homed || node.marks.is_some() || !node.listeners.is_empty() || node.parent.is_some_and(ad_hoc)
}

/// The boundary events that a sidecar feeds: errors of the call, and one interrupting timer.
fn is_decided_by_sidecar(node: &Node) -> bool {
    let NodeKind::Boundary(boundary) = &node.kind else { return false };
    boundary.interrupting
        && node.mapping.is_none()
        && node.listeners.is_empty()
        && matches!(
            boundary.catch.triggers[..],
            [Trigger::Error(_)] | [Trigger::Timer(Timer::Date(_) | Timer::Duration(_))]
        )
}

fn place(whole: &RoutingTable, node: &Node) -> Place {
    if !node.listeners.is_empty() {
        // the ledger holds it until they have answered
        return Place::Ledger;
    }
    match &node.kind {
        NodeKind::Task(task) if !node.guarded => Place::Service(task.service.clone()),
        NodeKind::Evaluate(_) if !node.guarded => Place::Folded,
        NodeKind::ExclusiveGateway | NodeKind::Link => Place::Folded,
        NodeKind::ParallelGateway | NodeKind::InclusiveGateway if node.incoming.len() < 2 => Place::Folded,
        NodeKind::ThrowEvent(throws) if throws.is_empty() && node.mapping.is_none() => Place::Folded,
        NodeKind::Boundary(boundary) => {
            let activity = whole.node(boundary.attached_to);
            match &activity.kind {
                NodeKind::Task(task) if !activity.guarded => Place::Service(task.service.clone()),
                _ => Place::Ledger,
            }
        }
        _ => Place::Ledger,
    }
}

/// The nodes from which an inclusive or complex join can be reached by a token that may not be the only one of its scope.
struct Region {
    before_join: Vec<bool>,
    behind_fork: Vec<bool>,
}

impl Region {
    fn of_joins(whole: &RoutingTable) -> Self {
        let nodes = whole.nodes.len();
        let (mut forward, mut backward) = (vec![Vec::new(); nodes], vec![Vec::new(); nodes]);
        let attached = whole.nodes.iter().enumerate().flat_map(|(to, it)| match &it.kind {
            NodeKind::Boundary(boundary) => Some((boundary.attached_to as usize, to)),
            _ => None,
        });
        for (from, to) in whole.flows.iter().map(|it| (it.source as usize, it.target as usize)).chain(attached) {
            forward[from].push(to);
            backward[to].push(from);
        }
        let joins = (0..nodes).filter(|it| is_join(&whole.nodes[*it]));
        let scopes = unordered_scopes(whole);
        let forks = (0..nodes).filter(|it| is_fork(whole, &whole.nodes[*it])).flat_map(|it| forward[it].clone());
        let starts = (0..nodes).filter(|it| {
            let node = &whole.nodes[*it];
            node.incoming.is_empty() && node.parent.is_some_and(|it| scopes[it as usize])
        });
        let behind: Vec<usize> = forks.chain(starts).collect();
        Self { before_join: walk(&backward, joins.collect()), behind_fork: walk(&forward, behind) }
    }

    fn holds(&self, node: usize) -> bool {
        self.before_join[node] && self.behind_fork[node]
    }
}

fn is_join(node: &Node) -> bool {
    matches!(node.kind, NodeKind::InclusiveGateway | NodeKind::ComplexGateway { .. }) && node.incoming.len() > 1
}

/// Whether a node can leave more than one token in its scope.
fn is_fork(whole: &RoutingTable, node: &Node) -> bool {
    let several = node.outgoing.len() > 1;
    let multiplies = node.marks.as_ref().is_some_and(|it| it.completion_quantity > 1);
    let goes_on = |it: &NodeIx| matches!(&whole.node(*it).kind, NodeKind::Boundary(it) if !it.interrupting);
    match &node.kind {
        NodeKind::ExclusiveGateway | NodeKind::EventBasedGateway { parallel: false, .. } => false,
        _ => several || multiplies || node.boundaries.iter().any(goes_on),
    }
}

/// By node: whether it is a sub-process that begins at several elements at once.
fn unordered_scopes(whole: &RoutingTable) -> Vec<bool> {
    let mut entries = vec![0_usize; whole.nodes.len()];
    let mut started = vec![false; whole.nodes.len()];
    for node in &whole.nodes {
        let Some(parent) = node.parent else { continue };
        match &node.kind {
            NodeKind::StartEvent(_) => started[parent as usize] = true,
            NodeKind::Boundary(_) => {}
            _ if node.incoming.is_empty() && !node.is_listener() => entries[parent as usize] += 1,
            _ => {}
        }
    }
    entries.iter().zip(started).map(|(entries, started)| *entries > 1 && !started).collect()
}

/// Everything that can be reached.
fn walk(edges: &[Vec<usize>], mut pending: Vec<usize>) -> Vec<bool> {
    let mut reached = vec![false; edges.len()];
    while let Some(node) = pending.pop() {
        if !std::mem::replace(&mut reached[node], true) {
            pending.extend(&edges[node]);
        }
    }
    reached
}
