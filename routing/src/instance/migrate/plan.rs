//! What of one version of a process is what of another: elements, flows, events. Pure lookups in two tables.

use std::mem::discriminant;
use std::sync::Arc;

use super::super::catch::event_starts;
use super::super::record::{Completed, Subscription};
use super::super::{Activity, Body, Instance, Reason, Stay};
use crate::compiled::Compiled;
use crate::id::{Digest, ElementId, FlowId};
use crate::table::{Node, NodeIx, NodeKind, Repeat, RoutingTable};

/// From one version to another.
pub(super) struct Plan<'p> {
    pub(super) old: Arc<Compiled>,
    pub(super) new: Arc<Compiled>,
    pub(super) from: Digest,
    pub(super) to: Digest,
    pub(super) names: &'p [(String, String)],
}

impl Plan<'_> {
    pub(super) fn check(&self) -> Result<(), String> {
        let (old, new) = (self.old.table(), self.new.table());
        if self.from == self.to {
            return Err(format!("it runs on {} already", new.deployment));
        }
        if old.settings.homed != new.settings.homed {
            return Err("only one of the versions has conditional events, event sub-processes or non-interrupting \
                        boundary events: variables are kept otherwise there"
                .to_owned());
        }
        for (index, (from, to)) in self.names.iter().enumerate() {
            if self.names[..index].iter().any(|(other, _)| other == from) {
                return Err(format!("{from} is mapped twice"));
            }
            if old.find(from).is_none() && !has_flow(old, from) {
                return Err(format!("{} has no element and no flow {from:?}", old.deployment));
            }
            if new.find(to).is_none() && !has_flow(new, to) {
                return Err(format!("{} has no element and no flow {to:?}", new.deployment));
            }
        }
        Ok(())
    }

    /// Whether a record has something of the old version.
    pub(super) fn concerns(&self, stay: &Stay) -> bool {
        let calls = matches!(&stay.reason, Reason::Activity(it) if it.body == Body::Call(self.from));
        calls || stay.token.definition == self.from
    }

    fn name<'n>(&'n self, old: &'n str) -> &'n str {
        self.names.iter().find(|(from, _)| from == old).map_or(old, |(_, to)| to)
    }

    pub(super) fn old_node(&self, element: &ElementId) -> Result<&Node, String> {
        let missing = || format!("flowd's table of {} has no {element}", self.old.table().deployment);
        self.old.find(element.as_str()).map(|ix| self.old.table().node(ix)).ok_or_else(missing)
    }

    /// The element of the new version that an element of the old one has become.
    pub(super) fn element(&self, old: &ElementId) -> Result<NodeIx, String> {
        let name = self.name(old.as_str());
        self.new.find(name).ok_or_else(|| {
            format!(
                "{} has no element {name:?} that a token can be at: say what {old} has become (--map {old}=ELEMENT), or move its token first",
                self.new.table().deployment
            )
        })
    }

    fn node(&self, old: NodeIx) -> Option<NodeIx> {
        self.element(&self.old.table().node(old).id).ok()
    }

    /// The flow of the new version that a flow of the old one has become, if it leads to the node.
    pub(super) fn flow(&self, old: &FlowId, node: NodeIx) -> Option<FlowId> {
        let (table, name) = (self.new.table(), self.name(old.as_str()));
        let incoming = &table.node(node).incoming;
        incoming.iter().map(|ix| &table.flow(*ix).id).find(|id| id.as_str() == name).cloned()
    }

    /// The flow that the token came by; only joins must know.
    pub(super) fn came_by(&self, stay: &Stay, node: NodeIx) -> Result<Option<FlowId>, String> {
        let Some(old) = &stay.token.flow else { return Ok(None) };
        let found = self.flow(old, node);
        let new = self.new.table().node(node);
        let joins = new.incoming.len() > 1
            && matches!(
                new.kind,
                NodeKind::ParallelGateway | NodeKind::InclusiveGateway | NodeKind::ComplexGateway { .. }
            );
        if found.is_none() && joins {
            return Err(format!(
                "a token at {} has come by flow {old}, which does not lead there in the new version: say by which (--map {old}=FLOW)",
                stay.token.element
            ));
        }
        Ok(found)
    }

    /// What an open activity of `definition` knows of its inside.
    pub(super) fn activity(&self, definition: Digest, activity: &mut Activity) -> Result<(), String> {
        let mut inside = definition;
        if let Body::Call(called) = &mut activity.body {
            inside = *called;
            if *called == self.from {
                *called = self.to;
            }
        }
        if inside != self.from {
            return Ok(());
        }
        for node in &mut activity.queue {
            let id = &self.old.table().node(*node).id;
            *node = self.node(*node).ok_or_else(|| {
                format!("{id} is still to be started, and the new version has no such element: say what it has become (--map {id}=ELEMENT)")
            })?;
        }
        self.completed(&mut activity.completed);
        Ok(())
    }

    /// What has completed can be compensated where the new version still has it.
    fn completed(&self, all: &mut Vec<Completed>) {
        all.retain_mut(|it| {
            let called = self.old_node(&it.element).is_ok_and(|old| matches!(old.kind, NodeKind::CallActivity(_)));
            let Ok(node) = self.element(&it.element) else { return false };
            it.element = self.new.table().node(node).id.clone();
            if !called {
                self.completed(&mut it.inside);
            }
            true
        });
    }

    /// The subscriptions that go on as they are, with the events' new places.
    pub(super) fn kept(&self, stay: &Stay) -> Vec<Subscription> {
        let owner = match &stay.reason {
            Reason::Activity(activity) => match activity.body {
                Body::Call(called) => Some(called),
                _ => None,
            },
            _ => None,
        };
        let of = |it: &Subscription| if it.called { owner } else { Some(stay.token.definition) };
        let mut kept = Vec::new();
        for subscription in &stay.subscriptions {
            if of(subscription) != Some(self.from) {
                kept.push(subscription.clone());
            } else if let Some(event) = self.node(subscription.event)
                && self.draws_alike(subscription.event, event)
                && self.belongs(subscription.event, event)
            {
                kept.push(Subscription { event, ..subscription.clone() });
            }
        }
        kept
    }

    /// That the event is at the same element in both versions.
    fn belongs(&self, old: NodeIx, new: NodeIx) -> bool {
        match (&self.old.table().node(old).kind, &self.new.table().node(new).kind) {
            (NodeKind::Boundary(old), NodeKind::Boundary(new)) => self.node(old.attached_to) == Some(new.attached_to),
            (NodeKind::StartEvent(_), NodeKind::StartEvent(_)) => {
                let parent = self.old.table().node(old).parent;
                parent.and_then(|it| self.node(it)) == self.new.table().node(new).parent
            }
            _ => true,
        }
    }

    /// That an event of the old version is one of the new version, and waits for the same.
    pub(super) fn draws_alike(&self, old: NodeIx, new: NodeIx) -> bool {
        if self.node(old) != Some(new) {
            return false;
        }
        match (&self.old.table().node(old).kind, &self.new.table().node(new).kind) {
            (NodeKind::Boundary(old), NodeKind::Boundary(new)) => old.catch == new.catch,
            (NodeKind::StartEvent(old), NodeKind::StartEvent(new)) => old.catch == new.catch,
            (NodeKind::CatchEvent(old), NodeKind::CatchEvent(new)) => old == new,
            (NodeKind::ReceiveTask(old), NodeKind::ReceiveTask(new)) => old == new,
            // waits for its callback
            (NodeKind::Task(_), NodeKind::Task(_)) => true,
            _ => false,
        }
    }

    /// The events that a record of this table waits for.
    pub(super) fn events_of(&self, table: &Compiled, stay: &Stay, instance: &Instance) -> Vec<NodeIx> {
        let (root, nodes) = (stay.token.activation == instance.root(), table.table());
        let node = table.find(stay.token.element.as_str());
        match (&stay.reason, node) {
            (Reason::Activity(activity), _) if root && !activity.interrupted => event_starts(table, None).collect(),
            (Reason::Activity(activity), Some(node)) if !root => {
                let looped = activity.iteration.is_some();
                let mut all = if looped { Vec::new() } else { nodes.node(node).boundaries.clone() };
                match (&activity.body, &nodes.node(node).kind) {
                    (Body::Scope, NodeKind::SubProcess(_)) if !activity.interrupted => {
                        all.extend(event_starts(table, Some(node)));
                    }
                    (Body::Waits, NodeKind::ReceiveTask(_)) => all.push(node),
                    _ => {}
                }
                all
            }
            (Reason::Waiting, Some(node)) => match &nodes.node(node).kind {
                NodeKind::CatchEvent(_) => vec![node],
                NodeKind::EventBasedGateway { .. } => {
                    nodes.node(node).outgoing.iter().map(|flow| nodes.flow(*flow).target).collect()
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }
}

fn has_flow(table: &RoutingTable, id: &str) -> bool {
    table.flows.iter().any(|flow| flow.id.as_str() == id)
}

pub(super) fn same_kind(old: &NodeKind, new: &NodeKind) -> bool {
    match (old, new) {
        (NodeKind::SubProcess(old), NodeKind::SubProcess(new)) => discriminant(&**old) == discriminant(&**new),
        (old, new) => discriminant(old) == discriminant(new),
    }
}

pub(super) fn same_loop(old: &Node, new: &Node) -> bool {
    let repeat = |node: &'_ Node| {
        node.marks.as_ref().and_then(|it| it.repeat.as_ref()).map(|it| match it {
            Repeat::Standard { .. } => (true, true),
            Repeat::Multi(multi) => (false, multi.sequential),
        })
    };
    repeat(old) == repeat(new)
}
