//! Where branches meet: parallel, inclusive and complex gateways.
//!
//! An inclusive join fires when something has arrived and nothing more can come that has no way to a flow that has a token already (BPMN
//! 13.4.3): it is asked again whenever a token of its scope moves or dies. All tokens that could come are at the ledger, or held by a
//! guarded activity; see [`crate::table::Node::guarded`].

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Effect, Reason, Run};
use crate::compiled::Compiled;
use crate::evaluate;
use crate::id::{ActivationId, ElementId, FlowId, ScopeId};
use crate::payload::Written;
use crate::table::{FlowIx, Moment, NodeIx, NodeKind};
use crate::token::Token;

impl Run<'_> {
    /// A token comes to a parallel join.
    pub(super) fn join(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token) {
        if !self.instance.join_at(table, node, &token).arrive(token.clone()) {
            return;
        }
        let element = token.element.clone();
        let fired = self.instance.join_at(table, node, &token).fire(&element);
        self.stay(token, Reason::Joining, Vec::new());
        self.stirred = true;
        if let Some((merged, consumed)) = fired {
            self.joined(table, node, merged, consumed);
        }
    }

    fn joined(&mut self, table: &Arc<Compiled>, node: NodeIx, merged: Token, consumed: Vec<ActivationId>) {
        let mut since = self.now;
        for activation in consumed {
            let came = self.instance.take(activation).map_or(since, |stay| stay.since);
            since = since.min(came);
            self.instance.saw(activation);
        }
        self.effects.push(Effect::Joined { table: Arc::clone(table), node, since });
        if self.has_listeners(table, node, Moment::Start) {
            return self.listen_to(merged, Moment::Start);
        }
        self.passed(table, node, &merged, merged.emitted.min(self.now), "completed");
        self.leave(table, node, merged, 1);
    }

    /// A token comes to an inclusive or complex join: it is asked when everything else has moved.
    pub(super) fn gather(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token) {
        if self.absorbed_by_reset(&token) {
            return;
        }
        if self.instance.join_at(table, node, &token).arrive(token.clone()) {
            self.stay(token, Reason::Joining, Vec::new());
            self.stirred = true;
        }
    }

    /// Asks every inclusive and complex join that something waits at, until none fires.
    pub(super) fn ask_joins(&mut self) {
        let waiting: Vec<(ScopeId, ElementId)> =
            self.instance.joins.iter().filter(|(_, join)| !join.is_empty()).map(|(key, _)| key.clone()).collect();
        for (scope, element) in waiting {
            let Some(token) =
                self.instance.joins.get(&(scope, element.clone())).and_then(|j| j.tokens().next().cloned())
            else {
                continue;
            };
            let Some((table, node)) = self.at(&token) else { continue };
            let fires = match &table.table().node(node).kind {
                NodeKind::InclusiveGateway => self.nothing_more_comes(&table, node, scope),
                NodeKind::ComplexGateway { activation } => {
                    self.is_activated(&table, node, scope, activation.as_deref())
                }
                _ => false,
            };
            if fires && let Some(join) = self.instance.joins.get_mut(&(scope, element.clone())) {
                let missing: Vec<FlowId> = join.missing().cloned().collect();
                if let Some((merged, consumed)) = join.fire_some(&element) {
                    if matches!(table.table().node(node).kind, NodeKind::ComplexGateway { .. }) && !missing.is_empty() {
                        self.wait_for_reset(&merged, missing);
                    }
                    self.joined(&table, node, merged, consumed);
                    return;
                }
            }
        }
        self.ask_resets();
    }

    /// Nothing can come by a flow without a token, unless it could as well come by one that has a token.
    fn nothing_more_comes(&self, table: &Compiled, node: NodeIx, scope: ScopeId) -> bool {
        let element = &table.table().node(node).id;
        let Some(join) = self.instance.joins.get(&(scope, element.clone())) else { return false };
        let missing: BTreeSet<&FlowId> = join.missing().collect();
        let incoming = &table.table().node(node).incoming;
        let (empty, full): (Vec<FlowIx>, Vec<FlowIx>) =
            incoming.iter().copied().partition(|f| missing.contains(&table.table().flow(*f).id));
        let (to_empty, to_full) = (before(table, node, &empty), before(table, node, &full));
        let places = self.places(table, node, scope);
        !places.iter().any(|place| to_empty.contains(place) && !to_full.contains(place))
    }

    /// Where the tokens of a scope are, but for those that wait at `node`.
    fn places(&self, table: &Compiled, node: NodeIx, scope: ScopeId) -> BTreeSet<NodeIx> {
        let mut places = BTreeSet::new();
        for activation in self.instance.inside(scope) {
            let Some(stay) = self.instance.stay(activation) else { continue };
            let still = matches!(stay.reason, Reason::Ended | Reason::Reset(_) | Reason::Output { .. });
            if let Some(place) = table.find(stay.token.element.as_str()).filter(|p| *p != node && !still) {
                places.insert(place);
            }
        }
        places
    }

    fn is_activated(&self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId, condition: Option<&str>) -> bool {
        let element = &table.table().node(node).id;
        let Some(join) = self.instance.joins.get(&(scope, element.clone())) else { return false };
        let Some(first) = join.tokens().next() else { return false };
        let Some(condition) = condition else { return self.nothing_more_comes(table, node, scope) };
        let mut seen = self.seen_by(table, first);
        for token in join.tokens() {
            seen.extend(super::data::written_values(&token.payload, &token.written));
        }
        let arrived = table.table().node(node).incoming.len() - join.missing().count();
        seen.insert("activationCount".to_owned(), json!(join.tokens().count()));
        seen.insert("arrivedFlows".to_owned(), json!(arrived));
        let holds = evaluate::holds(table, condition, &Value::Object(seen), self.now);
        // a condition that cannot be evaluated waits for all that can come
        holds.unwrap_or_else(|_| self.nothing_more_comes(table, node, scope))
    }

    fn wait_for_reset(&mut self, merged: &Token, missing: Vec<FlowId>) {
        let index = self.instance.next_order() as u32;
        let activation = ActivationId::product(&merged.instance, merged.activation, "reset", index);
        let token = Token { activation, key: activation, weight: crate::weight::Weight::zero(), ..merged.clone() };
        self.stay(token, Reason::Reset(missing), Vec::new());
    }

    /// A token that comes to a complex gateway after it has fired: consumed, until it is reset.
    fn absorbed_by_reset(&mut self, token: &Token) -> bool {
        for activation in self.instance.inside(token.scope) {
            let Some(mut stay) = self.instance.stay(activation).cloned() else { continue };
            let Reason::Reset(flows) = &mut stay.reason else { continue };
            if stay.token.element != token.element || !flows.iter().any(|f| Some(f) == token.flow.as_ref()) {
                continue;
            }
            flows.retain(|f| Some(f) != token.flow.as_ref());
            let over = flows.is_empty();
            if over {
                self.instance.take(activation);
            } else {
                self.instance.put(stay);
            }
            self.end_token(Token { written: Written::default(), ..token.clone() });
            return true;
        }
        false
    }

    /// Complex gateways that nothing more can come to are reset.
    fn ask_resets(&mut self) {
        let resets: Vec<ActivationId> = (self.instance.stays.values())
            .filter(|s| matches!(s.reason, Reason::Reset(_)))
            .map(|s| s.token.activation)
            .collect();
        for activation in resets {
            let Some(stay) = self.instance.stay(activation).cloned() else { continue };
            let (Reason::Reset(flows), Some((table, node))) = (&stay.reason, self.at(&stay.token)) else { continue };
            let incoming = &table.table().node(node).incoming;
            let missing: Vec<FlowIx> =
                incoming.iter().copied().filter(|f| flows.contains(&table.table().flow(*f).id)).collect();
            let to_missing = before(&table, node, &missing);
            let places = self.places(&table, node, stay.token.scope);
            if !places.iter().any(|place| to_missing.contains(place)) {
                self.instance.take(activation);
            }
        }
    }
}

/// The nodes from which one of these flows into `node` can be reached without passing it.
fn before(table: &Compiled, node: NodeIx, flows: &[FlowIx]) -> BTreeSet<NodeIx> {
    let table = table.table();
    let mut found = BTreeSet::new();
    let mut pending: Vec<NodeIx> = flows.iter().map(|f| table.flow(*f).source).collect();
    while let Some(at) = pending.pop() {
        if at == node || !found.insert(at) {
            continue;
        }
        let here = table.node(at);
        pending.extend(here.incoming.iter().map(|f| table.flow(*f).source));
        // a token in an activity may leave it by a boundary event
        if let NodeKind::Boundary(boundary) = &here.kind {
            pending.push(boundary.attached_to);
        }
    }
    found
}
