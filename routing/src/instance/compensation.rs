//! Compensation (BPMN 13.4.5): what has completed is undone by its handlers, last completed first, one at a time.

use std::sync::Arc;

use serde_json::Value;

use super::catch::event_starts;
use super::data::{variables, written_values};
use super::{Compensating, Completed, Reason, Resumes, Run};
use crate::compiled::Compiled;
use crate::id::{ActivationId, ElementId, ScopeId};
use crate::payload::{Payload, Written};
use crate::table::{NodeIx, NodeKind, Start, Trigger};
use crate::token::{Product, To, Token};
use crate::weight::Weight;

impl Run<'_> {
    /// Notes that an activity has completed, if something could compensate it.
    pub(super) fn remember(&mut self, table: &Arc<Compiled>, node: NodeIx, token: &Token, inside: Vec<Completed>) {
        let element = table.table().node(node);
        let marks = element.marks.as_deref();
        let handled = marks.is_some_and(|m| m.compensation.is_some()) || compensation_start(table, node).is_some();
        if marks.is_some_and(|m| m.for_compensation) || !handled && inside.is_empty() {
            return;
        }
        let completed = Completed {
            element: element.id.clone(),
            activation: token.activation,
            variables: variables(&token.payload),
            inside,
        };
        self.change(token.scope, token, |scope| scope.completed.push(completed));
    }

    /// A compensation event is thrown. True when its token waits until it is over.
    pub(super) fn compensate(&mut self, token: Token, target: Option<ElementId>, wait: bool) -> bool {
        let Some(scope) = self.compensated_scope(&token, target.as_ref()) else { return false };
        let mut queue = Vec::new();
        self.change(scope, &token, |activity| match &target {
            None => queue = std::mem::take(&mut activity.completed),
            Some(element) => queue = activity.completed.extract_if(.., |c| c.element == *element).collect(),
        });
        if queue.is_empty() {
            return false;
        }
        if !wait {
            self.begin_compensation(scope, &token, queue, Resumes::Nobody);
            return false;
        }
        let waits = token.activation;
        self.stay(token.clone(), Reason::Waiting, Vec::new());
        self.begin_compensation(scope, &token, queue, Resumes::Throw(waits));
        true
    }

    /// The scope whose completed activities are meant: the token's own; from inside an event sub-process also those around it.
    fn compensated_scope(&self, token: &Token, target: Option<&ElementId>) -> Option<ScopeId> {
        let mut at = token.scope;
        loop {
            let (stay, activity) = self.activity(at)?;
            let found = match target {
                Some(target) => activity.completed.iter().any(|c| c.element == *target),
                None => !activity.completed.is_empty(),
            };
            if found {
                return Some(at);
            }
            let (table, node) = self.at(&stay.token)?;
            let event = table.table().node(node).kind.is_event_sub_process();
            if at == self.instance.root() || !event && target.is_none() {
                return None;
            }
            at = stay.token.scope;
        }
    }

    pub(super) fn begin_compensation(&mut self, scope: ScopeId, token: &Token, queue: Vec<Completed>, then: Resumes) {
        let compensating = Compensating { queue, current: None, then };
        self.change(scope, token, |activity| match &mut activity.compensating {
            // another throw while one is under way: one after the other
            Some(running) => running.queue.splice(0..0, compensating.queue).for_each(drop),
            None => activity.compensating = Some(Box::new(compensating)),
        });
        let running = self.activity(scope).and_then(|(_, a)| a.compensating.as_ref()?.current).is_some();
        if !running {
            self.next_compensation(scope);
        }
    }

    /// Runs the handler of what completed last, or ends the compensation.
    fn next_compensation(&mut self, scope: ScopeId) {
        loop {
            let Some((stay, activity)) = self.activity(scope) else { return };
            let owner = stay.token.clone();
            let Some(mut compensating) = activity.compensating.clone() else { return };
            let Some(mut next) = compensating.queue.pop() else {
                self.change(scope, &owner, |activity| activity.compensating = None);
                return self.compensation_over(scope, compensating.then);
            };
            let definition = match activity.body {
                super::Body::Call(definition) => definition,
                _ => owner.definition,
            };
            let found = self.table(definition).and_then(|t| Some((t.clone(), t.find(next.element.as_str())?)));
            let Some((table, node)) = found else { continue };
            let handler = table.table().node(node).marks.as_ref().and_then(|m| m.compensation);
            let index = self.instance.next_order() as u32;
            let activation = ActivationId::product(&owner.instance, scope, "compensate", index);
            let start = compensation_start(&table, node);
            if handler.is_none() && start.is_none() {
                compensating.queue.append(&mut next.inside);
                self.change(scope, &owner, |activity| activity.compensating = Some(compensating));
                continue;
            }
            compensating.current = Some(activation);
            self.change(scope, &owner, |activity| activity.compensating = Some(compensating));
            let token =
                Token { definition, scope, parent: next.activation, ..self.handler_token(&owner, activation, &next) };
            match (handler, start) {
                (Some(handler), _) => {
                    let element = table.table().node(handler).id.clone();
                    self.pending.push_back(Product { token: Token { element, ..token }, to: To::Ledger });
                }
                (None, Some(start)) => self.begin_compensation_scope(&table, start, token, next.inside),
                (None, None) => {}
            }
            return;
        }
    }

    fn handler_token(&self, owner: &Token, activation: ActivationId, of: &Completed) -> Token {
        let mut token = Token {
            activation,
            key: activation,
            flow: None,
            weight: Weight::zero(),
            generation: 0,
            attempts: 0,
            written: Written::default(),
            emitted: self.now,
            payload: Payload::json(&Value::Object(of.variables.clone())),
            ..owner.clone()
        };
        if let Some(table) = self.table(token.definition) {
            self.refresh(&table, &mut token);
        }
        token
    }

    /// A compensation event sub-process runs over what completed inside of its sub-process.
    fn begin_compensation_scope(&mut self, table: &Arc<Compiled>, start: NodeIx, token: Token, inside: Vec<Completed>) {
        let Some(node) = table.table().node(start).parent else { return };
        let element = table.table().node(node).id.clone();
        let scope = token.activation;
        let activity = super::Activity { completed: inside, ..super::Activity::default() };
        self.stay(Token { element, ..token }, Reason::Activity(Box::new(activity)), Vec::new());
        let first = table.table().node(start).id.clone();
        let inner = self.inner_token(table, scope, &first, "compensation");
        self.fired_at(table, start, inner, None);
    }

    /// True when the activity that has completed was a compensation handler.
    pub(super) fn compensated(&mut self, token: &Token) -> bool {
        let scope = token.scope;
        let Some((_, activity)) = self.activity(scope) else { return false };
        let Some(compensating) = activity.compensating.as_ref().filter(|c| c.current == Some(token.activation)) else {
            return false;
        };
        let values = written_values(&token.payload, &token.written);
        if let Resumes::Throw(waits) = compensating.then
            && let Some(mut stay) = self.instance.take(waits)
        {
            if let Some(table) = self.table(stay.token.definition) {
                self.write(&table, &mut stay.token, values);
            }
            self.instance.put(stay);
        }
        self.change(scope, token, |activity| {
            if let Some(compensating) = &mut activity.compensating {
                compensating.current = None;
            }
        });
        self.next_compensation(scope);
        true
    }

    fn compensation_over(&mut self, scope: ScopeId, then: Resumes) {
        match then {
            Resumes::Nobody => self.one_done_in(scope),
            Resumes::Cancel => self.transaction_cancelled(scope),
            Resumes::Throw(waits) => {
                if !self.waits_for_compensation(waits) {
                    return;
                }
                let Some(stay) = self.instance.take(waits) else { return };
                let Some((table, node)) = self.at(&stay.token) else { return self.lost(stay.token) };
                self.passed(&table, node, &stay.token, stay.since, "completed");
                if matches!(table.table().node(node).kind, NodeKind::EndEvent(_)) {
                    self.end_token(stay.token);
                } else {
                    self.leave(&table, node, stay.token, 1);
                }
            }
        }
    }
}

/// The start event of the compensation event sub-process in a sub-process.
fn compensation_start(table: &Compiled, node: NodeIx) -> Option<NodeIx> {
    let compensates = |start: &Start| start.catch.triggers.contains(&Trigger::Compensation);
    event_starts(table, Some(node))
        .find(|start| matches!(&table.table().node(*start).kind, NodeKind::StartEvent(s) if compensates(s)))
}
