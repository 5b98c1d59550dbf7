//! Where parallel branches meet (BPMN 10.6.4): one token per incoming flow, whatever the order.
//!
//! A join's state belongs to one scope instance and keeps tokens *per incoming flow*: a branch delivered
//! twice counts once (by activation id), a flow taken twice waits for the next firing, so that loops and
//! repeated arrivals never mix up their sets.

use std::collections::VecDeque;

use crate::id::{ActivationId, ElementId, FlowId};
use crate::payload::merge;
use crate::token::Token;
use crate::weight::Weight;

/// Tokens that wait at one join of one scope instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Join {
    waiting: Vec<(FlowId, VecDeque<Token>)>,
}

impl Join {
    /// A join with these incoming flows, in document order.
    pub fn new(incoming: impl IntoIterator<Item = FlowId>) -> Self {
        Self { waiting: incoming.into_iter().map(|f| (f, VecDeque::new())).collect() }
    }

    /// Takes a token. False when it is here already, or came by a flow that does not lead here.
    pub fn arrive(&mut self, token: Token) -> bool {
        let known = self.waiting.iter().any(|(_, q)| q.iter().any(|t| t.activation == token.activation));
        let queue = self.waiting.iter_mut().find(|(f, _)| Some(f) == token.flow.as_ref());
        match queue {
            Some((_, queue)) if !known => {
                queue.push_back(token);
                true
            }
            _ => false,
        }
    }

    /// Fires when every flow has a token: consumes the first of each and gives the merged one, which
    /// is then ready to leave the join. What it merges does not depend on the order of arrival.
    pub fn fire(&mut self, element: &ElementId) -> Option<(Token, Vec<ActivationId>)> {
        if self.waiting.is_empty() || self.waiting.iter().any(|(_, q)| q.is_empty()) {
            return None;
        }
        self.fire_some(element)
    }

    /// The same with the flows that have a token, at least one: what an inclusive or complex join does.
    pub fn fire_some(&mut self, element: &ElementId) -> Option<(Token, Vec<ActivationId>)> {
        let taken: Vec<Token> = self.waiting.iter_mut().filter_map(|(_, q)| q.pop_front()).collect();
        let consumed: Vec<ActivationId> = taken.iter().map(|t| t.activation).collect();
        Some((merged(&taken, element)?, consumed))
    }

    /// The flows that nothing has come by, for who asks why an instance does not move.
    pub fn missing(&self) -> impl Iterator<Item = &FlowId> {
        self.waiting.iter().filter(|(_, q)| q.is_empty()).map(|(f, _)| f)
    }

    /// Every waiting token.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.waiting.iter().flat_map(|(_, q)| q)
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.iter().all(|(_, q)| q.is_empty())
    }
}

/// The cycles that have let all of them go.
fn in_common(tokens: &[Token]) -> Vec<ActivationId> {
    let Some((first, others)) = tokens.split_first() else { return Vec::new() };
    let all = |nth: &usize| others.iter().all(|it| it.pools.get(*nth) == first.pools.get(*nth));
    let shared = (0..first.pools.len()).take_while(all).count();
    first.pools[..shared].to_vec()
}

/// The token that goes on from `element` in the place of these, given in document order of their flows.
pub(crate) fn merged(taken: &[Token], element: &ElementId) -> Option<Token> {
    let consumed: Vec<ActivationId> = taken.iter().map(|t| t.activation).collect();
    let branches: Vec<_> = taken.iter().map(|t| (&t.payload, &t.written)).collect();
    let last = taken.iter().max_by_key(|t| (t.emitted, t.activation))?;
    let (payload, written) = merge(&branches);
    let weight = taken.iter().fold(Weight::zero(), |sum, t| sum.plus(&t.weight));
    let activation = ActivationId::joined(&last.instance, last.scope, element, &consumed);
    Some(Token {
        activation,
        key: activation,
        parent: last.activation,
        weight,
        written,
        pools: in_common(taken),
        payload,
        generation: 0,
        attempts: 0,
        ..last.clone()
    })
}
