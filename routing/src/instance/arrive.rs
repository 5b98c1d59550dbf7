//! A token comes to an element that the ledger hosts.

use std::sync::Arc;

use super::{Reason, Run};
use crate::compiled::Compiled;
use crate::failure::{Failure, FailureCode};
use crate::table::{Moment, NodeIx, NodeKind};
use crate::token::Token;

impl Run<'_> {
    pub(super) fn arrive(&mut self, mut token: Token) {
        let Some((table, node)) = self.at(&token) else { return self.lost(token) };
        if self.listens(&token) {
            return if token.parent == token.scope { self.offer(token) } else { self.heard(&table, node, token) };
        }
        let maps_here = table.table().node(node).mapping.is_some();
        if maps_here && token.parent != token.scope && self.serves(&token) {
            // what the service answers is the activity's own until it is mapped
            return self.served(token);
        }
        self.absorb(&table, &mut token);
        if self.serves(&token) {
            // a result comes from its own activation; what comes from the scope is the offer itself, given back
            return if token.parent == token.scope { self.offer(token) } else { self.served(token) };
        }
        let element = table.table().node(node);
        let joins = element.incoming.len() > 1 && element.kind.is_gateway();
        if !joins && !element.kind.is_activity() && self.has_listeners(&table, node, Moment::Start) {
            return self.listen_to(token, Moment::Start);
        }
        self.enter(&table, node, token);
    }

    /// The token is at an element that nothing listens to, or has listened to.
    pub(super) fn enter(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token) {
        let element = table.table().node(node);
        match &element.kind {
            NodeKind::EndEvent(throws) => self.end(table, node, token, throws),
            NodeKind::ParallelGateway if element.incoming.len() > 1 => self.join(table, node, token),
            NodeKind::InclusiveGateway if element.incoming.len() > 1 => self.gather(table, node, token),
            NodeKind::ComplexGateway { .. } if element.incoming.len() > 1 => self.gather(table, node, token),
            NodeKind::EventBasedGateway { .. } => self.wait_for_first(table, node, token),
            NodeKind::CatchEvent(catch) if !catch.triggers.is_empty() => self.wait_for(table, node, token, catch),
            NodeKind::ThrowEvent(throws) => self.throw_and_leave(table, node, token, throws),
            NodeKind::Task(_) if !element.guarded => self.offer(token),
            NodeKind::Task(_)
            | NodeKind::Evaluate(_)
            | NodeKind::UserTask(_)
            | NodeKind::ReceiveTask(_)
            | NodeKind::SendTask(_)
            | NodeKind::CallActivity(_)
            | NodeKind::SubProcess(_) => self.enter_activity(table, node, token),
            NodeKind::StartEvent(_)
            | NodeKind::CatchEvent(_)
            | NodeKind::ExclusiveGateway
            | NodeKind::InclusiveGateway
            | NodeKind::ParallelGateway
            | NodeKind::ComplexGateway { .. }
            | NodeKind::Boundary(_)
            | NodeKind::Link => {
                self.saw_token(&token);
                self.passed(table, node, &token, token.emitted.min(self.now), "completed");
                self.leave(table, node, token, 1);
            }
            NodeKind::Elsewhere => {
                let why = "the ledger's table does not have this element: the sender's table and this one disagree";
                let failure = Failure::new(FailureCode::ExpressionFailed, &token.element, why);
                self.incident(token, failure);
            }
        }
    }

    /// A token that was here is gone.
    pub(super) fn saw_token(&mut self, token: &Token) {
        self.instance.saw(token.activation);
    }

    /// Tokens that wait until their activity has as many as it starts with: the one that stands for all, when they are there.
    pub(super) fn quantity(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token) -> Option<Token> {
        let needed = table.table().node(node).marks.as_ref().map_or(1, |m| m.start_quantity) as usize;
        if needed <= 1 {
            return Some(token);
        }
        let element = token.element.clone();
        let mut waiting: Vec<_> = (self.instance.inside(token.scope).into_iter())
            .filter(|a| {
                self.instance.stay(*a).is_some_and(|s| s.reason == Reason::Joining && s.token.element == element)
            })
            .collect();
        if waiting.len() + 1 < needed {
            self.stay(token, Reason::Joining, Vec::new());
            return None;
        }
        waiting.truncate(needed - 1);
        let mut taken: Vec<Token> =
            waiting.into_iter().filter_map(|a| self.instance.take(a)).map(|s| s.token).collect();
        taken.iter().for_each(|t| self.instance.saw(t.activation));
        taken.push(token);
        crate::join::merged(&taken, &element)
    }
}
