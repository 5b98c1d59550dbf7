//! Events that are waited for: subscriptions, and what happens when one fires.

use std::sync::Arc;

use serde_json::Value;

use super::cycle;
use super::{Body, On, Reason, Run, Stay, Subscription};
use crate::compiled::Compiled;
use crate::evaluate::{self, Variables};
use crate::failure::{Failure, FailureCode, Resume};
use crate::id::{ActivationId, ScopeId};
use crate::payload::Payload;
use crate::table::{Catch, Message, NodeIx, NodeKind, Trigger};
use crate::timer;
use crate::token::Token;
use crate::weight::Weight;

impl Run<'_> {
    /// Something happened that a record waits for: a time, a message, a signal. False when the record does not wait for it any more.
    pub fn fire(mut self, activation: ActivationId, what: &Subscription, payload: Option<&Payload>) -> bool {
        let fired = self.fire_one(activation, what, payload);
        self.settle();
        fired
    }

    pub(super) fn fire_one(
        &mut self,
        activation: ActivationId,
        what: &Subscription,
        payload: Option<&Payload>,
    ) -> bool {
        let Some(stay) = self.instance.stay(activation).filter(|s| s.subscriptions.contains(what)) else {
            return false;
        };
        let Some(table) = self.table_of(stay, what) else { return false };
        if let On::Expiry { .. } | On::Callback { .. } = what.on {
            self.expired(activation);
            return true;
        }
        let (node, kind) = (what.event, table.table().node(what.event).kind.clone());
        let (parallel, interrupting) = match &kind {
            NodeKind::Boundary(boundary) => (boundary.catch.parallel, boundary.interrupting),
            NodeKind::StartEvent(start) => (start.catch.parallel, start.interrupting),
            NodeKind::CatchEvent(catch) => (catch.parallel, true),
            _ => (false, true),
        };
        if parallel && self.waits_for_more(activation, what, payload) {
            return true;
        }
        match kind {
            NodeKind::CatchEvent(catch) if catch.repeats && self.caught_again(activation, what, &table, payload) => {}
            NodeKind::Boundary(_) => {
                self.rearm(activation, what, interrupting);
                self.boundary_fired(activation, &table, node, interrupting, payload, "interrupted");
            }
            NodeKind::StartEvent(_) if self.activity(activation).is_some() => {
                self.rearm(activation, what, interrupting);
                self.begin_event_sub_process(activation, &table, node, interrupting, payload);
            }
            NodeKind::ReceiveTask(_) if self.activity(activation).is_some() => {
                self.finish_waiting(activation, payload);
            }
            _ => {
                if let Some(stay) = self.instance.take(activation) {
                    self.instance.saw(activation);
                    self.caught(&table, node, stay, payload);
                }
            }
        }
        true
    }

    /// Nothing came in time: the token waits for an operator, and waits anew when it is started again.
    fn expired(&mut self, activation: ActivationId) {
        let Some(stay) = self.instance.take(activation) else { return };
        self.instance.saw(activation);
        let calls_back = |it: &Subscription| matches!(it.on, On::Callback { .. });
        let (code, why) = match stay.subscriptions.iter().any(calls_back) {
            true => (FailureCode::FailedTask, "the task has taken the work and did not call back in time"),
            false => (FailureCode::CatchEventExpired, "no message came in time"),
        };
        let attempts = stay.token.attempts;
        let failure = Failure { resume: Resume::Call, attempts, ..Failure::new(code, &stay.token.element, why) };
        self.incident(stay.token, failure);
    }

    pub(super) fn table_of(&self, stay: &Stay, what: &Subscription) -> Option<Arc<Compiled>> {
        self.table(stay.definition_of(what)?)
    }

    /// Parallel multiple: true while another of its triggers has not fired. What this one brought is kept.
    fn waits_for_more(&mut self, activation: ActivationId, what: &Subscription, payload: Option<&Payload>) -> bool {
        let Some(mut stay) = self.instance.take(activation) else { return false };
        let waits = |on: &On| !matches!(on, On::Expiry { .. });
        let others = stay.subscriptions.iter().filter(|s| s.event == what.event && *s != what && waits(&s.on)).count();
        if others > 0 {
            stay.subscriptions.retain(|s| s != what);
            let values = payload.map(super::data::variables).unwrap_or_default();
            if let Some(table) = self.table(stay.token.definition) {
                self.write(&table, &mut stay.token, values);
            }
        }
        self.instance.put(stay);
        others > 0
    }

    /// After firing, a non-interrupting event goes on waiting; a timer only if it repeats.
    fn rearm(&mut self, activation: ActivationId, what: &Subscription, interrupting: bool) {
        if interrupting {
            return;
        }
        let Some(mut stay) = self.instance.take(activation) else { return };
        let next = match &what.on {
            On::Timer { at, again } => {
                let due = again.as_ref().and_then(|cycle| cycle.next(*at).ok().flatten());
                due.map(|due| On::Timer { at: due.at, again: due.again })
            }
            On::Conditional { condition, filter, .. } => {
                Some(On::Conditional { condition: condition.clone(), held: true, filter: filter.clone(), asked: true })
            }
            other => Some(other.clone()),
        };
        let at = stay.subscriptions.iter().position(|s| s == what);
        match (at, next) {
            (Some(at), Some(on)) => stay.subscriptions[at].on = on,
            (Some(at), None) => {
                stay.subscriptions.remove(at);
            }
            _ => {}
        }
        self.instance.put(stay);
    }

    /// A catch event, or the event behind a gateway, has happened to a token that waited.
    fn caught(&mut self, table: &Arc<Compiled>, node: NodeIx, stay: Stay, payload: Option<&Payload>) {
        let gateway = table.find(stay.token.element.as_str());
        if let Some(gateway) = gateway.filter(|g| *g != node) {
            self.passed(table, gateway, &stay.token, stay.since, "completed");
        }
        let element = table.table().node(node).id.clone();
        let token = Token { element, ..stay.token };
        self.fired_since(table, node, token, payload, stay.since);
    }

    /// The event at `node` has fired for a token that is there: what came is taken, and the token leaves.
    pub(super) fn fired_at(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token, payload: Option<&Payload>) {
        let since = token.emitted.min(self.now);
        self.fired_since(table, node, token, payload, since);
    }

    pub(super) fn fired_since(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        mut token: Token,
        payload: Option<&Payload>,
        since: u64,
    ) {
        if let Err(why) = self.receive(table, node, &mut token, payload) {
            return self.expression_failed(token, why);
        }
        self.passed(table, node, &token, since, "completed");
        self.leave(table, node, token, 1);
    }

    /// What the boundary events of an activity wait for.
    pub(super) fn boundary_subscriptions(
        &self,
        table: &Arc<Compiled>,
        node: NodeIx,
        token: &Token,
    ) -> Result<Vec<Subscription>, String> {
        let seen = self.seen_by(table, token);
        let mut all = Vec::new();
        for boundary in &table.table().node(node).boundaries {
            if let NodeKind::Boundary(event) = &table.table().node(*boundary).kind {
                all.extend(self.subscriptions(table, *boundary, &event.catch, &seen)?);
            }
        }
        Ok(all)
    }

    /// What the event sub-processes of a scope wait for.
    pub(super) fn event_sub_processes(
        &self,
        table: &Arc<Compiled>,
        parent: Option<NodeIx>,
        token: &Token,
    ) -> Result<Vec<Subscription>, String> {
        let mut all = Vec::new();
        let mut seen = None;
        for start in event_starts(table, parent) {
            if let NodeKind::StartEvent(event) = &table.table().node(start).kind {
                let seen = seen.get_or_insert_with(|| self.seen_by(table, token));
                all.extend(self.subscriptions(table, start, &event.catch, seen)?);
            }
        }
        Ok(all)
    }

    /// One subscription for each trigger that comes from outside of the scope's own tokens.
    fn subscriptions(
        &self,
        table: &Arc<Compiled>,
        event: NodeIx,
        catch: &Catch,
        seen: &Variables,
    ) -> Result<Vec<Subscription>, String> {
        let scope = Value::Object(seen.clone());
        let mut all = Vec::new();
        for trigger in &catch.triggers {
            let on = match trigger {
                Trigger::Timer(timer) => {
                    let due = timer::due(timer, &Payload::json(&scope), self.now)
                        .map_err(|why| format!("set the timer: {why}"))?;
                    On::Timer { at: due.at, again: due.again }
                }
                Trigger::Message(message) => self.message(table, message, &scope)?,
                Trigger::Signal(name) => On::Signal(evaluate::text(table, name, &scope, self.now)?),
                Trigger::Conditional(condition) => {
                    On::Conditional { condition: condition.clone(), held: false, filter: None, asked: false }
                }
                Trigger::Filtered(it) => On::Conditional {
                    condition: it.condition.clone(),
                    held: false,
                    filter: Some(Box::new(it.filter.clone())),
                    asked: false,
                },
                Trigger::Error(_) | Trigger::Escalation(_) | Trigger::Compensation | Trigger::Cancel => continue,
            };
            all.push(Subscription { event, called: false, on });
        }
        Ok(all)
    }

    fn message(&self, table: &Arc<Compiled>, message: &Message, scope: &Value) -> Result<On, String> {
        let name = evaluate::text(table, &message.name, scope, self.now)?;
        let key = message.key.as_ref().map(|key| {
            evaluate::text(table, key, scope, self.now)
                .map_err(|why| format!("the correlation key of message {name}: {why}"))
        });
        let (key, retrieval) = match key.transpose()? {
            None if message.topic => (Some(self.instance.id().as_str().to_owned()), None),
            key => (key, message.retrieval.clone()),
        };
        Ok(On::Message { name, key, retrieval, within: message.expires })
    }

    /// A token at a catch event waits for its message for so long; one at a gateway waits for what comes first.
    fn expiry(&self, table: &Arc<Compiled>, event: NodeIx, catch: &Catch) -> Option<Subscription> {
        let expires = catch.triggers.iter().filter_map(|it| match it {
            Trigger::Message(message) => message.expires,
            _ => None,
        });
        let within = expires.min().filter(|_| matches!(table.table().node(event).kind, NodeKind::CatchEvent(_)))?;
        Some(Subscription { event, called: false, on: On::Expiry { at: self.now.saturating_add(within) } })
    }

    /// A token waits at a catch event.
    pub(super) fn wait_for(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token, catch: &Catch) {
        let seen = self.seen_by(table, &token);
        let found = self.subscriptions(table, node, catch, &seen);
        let bounded = |it: &Vec<Subscription>| if catch.repeats { cycle::bounded(it) } else { Ok(()) };
        match found.and_then(|it| bounded(&it).map(|()| it)) {
            Ok(mut subscriptions) => {
                subscriptions.extend(self.expiry(table, node, catch));
                self.stay(token, Reason::Waiting, subscriptions);
                self.stirred = true;
            }
            Err(why) => {
                let timer = why.starts_with("set the timer");
                let code = if timer { FailureCode::TimerFailed } else { FailureCode::ExpressionFailed };
                let failure = Failure::new(code, &token.element, why);
                self.incident(token, failure);
            }
        }
    }

    /// What an event waits for, with what is seen there.
    pub(super) fn waits_for(
        &self,
        table: &Arc<Compiled>,
        event: NodeIx,
        seen: &Variables,
    ) -> Result<Vec<Subscription>, String> {
        match &table.table().node(event).kind {
            NodeKind::Boundary(boundary) => self.subscriptions(table, event, &boundary.catch, seen),
            NodeKind::StartEvent(start) => self.subscriptions(table, event, &start.catch, seen),
            NodeKind::CatchEvent(catch) => {
                let mut all = self.subscriptions(table, event, catch, seen)?;
                all.extend(self.expiry(table, event, catch));
                Ok(all)
            }
            NodeKind::ReceiveTask(message) => {
                let on = self.message(table, message, &Value::Object(seen.clone()))?;
                Ok(vec![Subscription { event, called: false, on }])
            }
            _ => Ok(Vec::new()),
        }
    }

    /// A token waits at an event-based gateway for the first of its events.
    pub(super) fn wait_for_first(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token) {
        let seen = self.seen_by(table, &token);
        let mut all = Vec::new();
        for flow in &table.table().node(node).outgoing {
            match self.waits_for(table, table.table().flow(*flow).target, &seen) {
                // behind a gateway the first event ends the wait, no time does
                Ok(found) => all.extend(found.into_iter().filter(|it| !matches!(it.on, On::Expiry { .. }))),
                Err(why) => return self.expression_failed(token, why),
            }
        }
        self.stay(token, Reason::Waiting, all);
        self.stirred = true;
    }

    /// A receive task waits for its message.
    pub(super) fn wait_in(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId, message: &Message) {
        let seen = Value::Object(self.inner_view(table, scope));
        match self.message(table, message, &seen) {
            Ok(on) => self.subscribe(scope, vec![Subscription { event: node, called: false, on }]),
            Err(why) => self.broken(scope, why),
        }
    }

    /// A record waits for these too.
    pub(super) fn subscribe(&mut self, activation: ActivationId, subscriptions: Vec<Subscription>) {
        if subscriptions.is_empty() {
            return;
        }
        if let Some(mut stay) = self.instance.take(activation) {
            stay.subscriptions.extend(subscriptions);
            self.instance.put(stay);
        }
    }

    /// A boundary event fires: interrupting, the activity's token leaves by it; else a part of its weight does.
    pub(super) fn boundary_fired(
        &mut self,
        scope: ScopeId,
        table: &Arc<Compiled>,
        boundary: NodeIx,
        interrupting: bool,
        payload: Option<&Payload>,
        status: &str,
    ) {
        if interrupting {
            self.close_inside(scope);
        }
        let Some(mut stay) = self.instance.take(scope) else { return };
        let mut leaving = stay.token.clone();
        if interrupting {
            if let Some(node) = table.find(stay.token.element.as_str()) {
                self.passed(table, node, &stay.token, stay.since, status);
            }
        } else {
            let mut shares = stay.token.weight.split(2).into_iter();
            leaving.weight = shares.next().unwrap_or_else(Weight::zero);
            stay.token.weight = shares.next().unwrap_or_else(Weight::zero);
            // the branches part here: what each writes from now on is its own
            leaving.written = leaving.written.forked();
            stay.token.written = stay.token.written.forked();
            self.instance.put(stay);
        }
        let element = table.table().node(boundary).id.clone();
        let index = self.instance.next_order() as u32;
        let activation = ActivationId::product(&leaving.instance, scope, element.as_str(), index);
        let token =
            Token { element, activation, key: activation, parent: scope, flow: None, emitted: self.now, ..leaving };
        self.fired_at(table, boundary, token, payload);
    }

    /// An event sub-process begins in `scope`: interrupting, instead of everything else in it.
    pub(super) fn begin_event_sub_process(
        &mut self,
        scope: ScopeId,
        table: &Arc<Compiled>,
        start: NodeIx,
        interrupting: bool,
        payload: Option<&Payload>,
    ) {
        let Some(node) = table.table().node(start).parent else { return };
        let Some((stay, activity)) = self.activity(scope) else { return };
        let owner = stay.token.clone();
        let (definition, called) = match activity.body {
            Body::Call(definition) => (definition, true),
            _ => (owner.definition, false),
        };
        if interrupting {
            self.close_inside(scope);
            if let Some(mut stay) = self.instance.take(scope) {
                // of a call, what is not the called process's own is the caller's boundary
                let begins = |s: &Subscription| matches!(table.table().node(s.event).kind, NodeKind::StartEvent(_));
                stay.subscriptions.retain(|s| !s.called && (called || !begins(s)));
                if let Reason::Activity(activity) = &mut stay.reason {
                    activity.interrupted = true;
                }
                self.instance.put(stay);
            }
        }
        let index = self.instance.next_order() as u32;
        let element = table.table().node(node).id.clone();
        let activation = ActivationId::product(&owner.instance, scope, element.as_str(), index);
        let mut token = Token {
            definition,
            element,
            activation,
            key: activation,
            parent: scope,
            scope,
            flow: None,
            weight: Weight::zero(),
            emitted: self.now,
            ..owner
        };
        self.refresh(table, &mut token);
        self.stay(token.clone(), Reason::Activity(Box::default()), Vec::new());
        match self.event_sub_processes(table, Some(node), &token) {
            Ok(nested) => self.subscribe(activation, nested),
            Err(why) => return self.broken(activation, why),
        }
        let first = table.table().node(start).id.clone();
        let inner = self.inner_token(table, activation, &first, "event");
        self.fired_at(table, start, inner, payload);
    }

    /// An event sub-process is over; so is its scope, perhaps.
    pub(super) fn event_sub_process_done(&mut self, token: &Token) {
        let written = super::data::written_values(&token.payload, &token.written);
        let scope = token.scope;
        self.change(scope, token, |activity| activity.written.extend(written));
        self.close_if_done(scope);
    }
}

/// The start events of a scope's event sub-processes.
pub(super) fn event_starts(table: &Compiled, parent: Option<NodeIx>) -> impl Iterator<Item = NodeIx> + '_ {
    let nodes = &table.table().nodes;
    let event = move |ix: NodeIx| {
        let node = &nodes[ix as usize];
        node.parent == parent && node.kind.is_event_sub_process()
    };
    nodes
        .iter()
        .enumerate()
        .filter(move |(_, n)| matches!(n.kind, NodeKind::StartEvent(_)) && n.parent.is_some_and(event))
        .map(|(i, _)| i as NodeIx)
}
