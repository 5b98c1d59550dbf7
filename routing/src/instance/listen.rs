//! Listeners at the ledger: services that are called before an element begins and when it ends, one after the other in the order of the model.
//!
//! Whoever they listen to is held until all have answered; events and gateways get a record for that time. Each is called with its own
//! retries, and one that fails is an incident of its own: those before it are not called again. What start listeners answer are local
//! variables of an activity; events and gateways have none, so that there, as with end listeners, it goes to the scope around.
//! No answer of a listener is a BPMN error.

use std::sync::Arc;

use serde_json::Value;

use super::data::{variables, written_values};
use super::{Activity, Body, Effect, Listening, Reason, Run};
use crate::compiled::Compiled;
use crate::evaluate::Variables;
use crate::id::{ActivationId, Digest, ScopeId};
use crate::payload::{Payload, Written};
use crate::table::listener::at;
use crate::table::{Moment, NodeIx, NodeKind, Throw};
use crate::token::{Product, To, Token};
use crate::weight::Weight;

/// Who is listened to in a scope.
struct Heard {
    definition: Digest,
    table: Arc<Compiled>,
    /// The element; `None` is the process that the scope is of.
    node: Option<NodeIx>,
    listening: Listening,
}

impl Heard {
    /// The listener that is called.
    fn current(&self) -> Option<NodeIx> {
        let table = self.table.table();
        let listeners = self.node.map_or(&table.settings.listeners, |node| &table.node(node).listeners);
        at(listeners, self.listening.on).nth(self.listening.at)
    }
}

impl Run<'_> {
    pub(super) fn has_listeners(&self, table: &Compiled, node: NodeIx, on: Moment) -> bool {
        at(&table.table().node(node).listeners, on).next().is_some()
    }

    /// True of a token that is, or was, a listener's.
    pub(super) fn listens(&self, token: &Token) -> bool {
        self.at(token).is_some_and(|(table, node)| table.table().node(node).is_listener())
    }

    fn listened(&self, scope: ScopeId) -> Option<Heard> {
        let (stay, activity) = self.activity(scope)?;
        let listening = (**activity.listening.as_ref()?).clone();
        let definition = match activity.body {
            Body::Call(called) => called,
            _ => stay.token.definition,
        };
        let process = scope == self.instance.root() || definition != stay.token.definition;
        let table = self.table(definition)?;
        let node = if process { None } else { Some(table.find(stay.token.element.as_str())?) };
        Some(Heard { definition, table, node, listening })
    }

    /// An event or a gateway is listened to, in a scope of its own for that time.
    pub(super) fn listen_to(&mut self, token: Token, on: Moment) {
        let way = format!("{}#{}", token.element, if on == Moment::Start { "start" } else { "end" });
        let scope = ActivationId::product(&token.instance, token.activation, &way, 0);
        let token = Token { activation: scope, key: scope, ..token };
        let activity = Activity { body: Body::Listens, ..Activity::default() };
        self.stay(token, Reason::Activity(Box::new(activity)), Vec::new());
        self.listen_on(scope, on, Variables::new());
    }

    /// The listeners of an open activity are called; `kept` goes out when they have answered.
    pub(super) fn listen_on(&mut self, scope: ScopeId, on: Moment, kept: Variables) {
        let Some((stay, activity)) = self.activity(scope) else { return };
        let (token, task) = (stay.token.clone(), activity.task.clone());
        let process = scope == self.instance.root() || matches!(activity.body, Body::Call(_));
        self.change(scope, &token, |activity| {
            activity.listening = Some(Box::new(Listening { on, at: 0, kept, task }));
            if !process {
                activity.body = Body::Listens;
            }
        });
        self.call_listener(scope);
    }

    fn call_listener(&mut self, scope: ScopeId) {
        let Some(heard) = self.listened(scope) else { return };
        let Some(node) = heard.current() else { return self.all_heard(scope, &heard) };
        let element = heard.table.table().node(node).id.clone();
        let Some((stay, activity)) = self.activity(scope) else { return };
        let (owner, index) = (stay.token.clone(), activity.heard);
        self.change(scope, &owner, |activity| activity.heard += 1);
        let inner = self.inner_token(&heard.table, scope, &element, element.as_str());
        let activation = ActivationId::product(&inner.instance, scope, element.as_str(), index);
        // beside the ended tokens of a process it weighs nothing
        let weight = if heard.node.is_some() { inner.weight.clone() } else { Weight::zero() };
        self.offer(Token { activation, key: activation, definition: heard.definition, weight, ..inner });
    }

    /// A listener's token goes to its service, with what can be seen now.
    pub(super) fn offer_to_listener(&mut self, to: To, mut token: Token) {
        let Some(heard) = self.listened(token.scope) else { return };
        let mut seen = self.inner_view(&heard.table, token.scope);
        seen.extend(heard.listening.kept.clone());
        if let Some(task) = super::user_task::shown(&heard.listening) {
            seen.insert("userTask".to_owned(), task);
        }
        if token.payload.claims_json() || !seen.is_empty() {
            token.payload = Payload::json(&Value::Object(seen));
        }
        token.written = Written::default();
        self.effects.push(Effect::Offer(Box::new(Product { token, to })));
    }

    /// A listener has answered.
    pub(super) fn heard(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token) {
        self.saw_token(&token);
        let scope = token.scope;
        let Some(heard) = self.listened(scope).filter(|it| it.current() == Some(node)) else { return };
        let values = written_values(&token.payload, &token.written);
        let reason = super::user_task::reason(&values);
        let Some((stay, _)) = self.activity(scope) else { return };
        let owner = stay.token.clone();
        let mut denied = false;
        self.change(scope, &owner, |activity| {
            let Some(listening) = &mut activity.listening else { return };
            listening.at += 1;
            match (heard.node, listening.on) {
                (None, _) => activity.written.extend(values),
                (_, Moment::Start) => activity.locals.extend(values),
                (_, Moment::End) => {
                    listening.kept.extend(values.clone());
                    activity.locals.extend(values);
                }
                (_, Moment::Creating | Moment::Assigning | Moment::Completing) => {
                    denied = super::user_task::answered(listening, &values);
                }
            }
        });
        if !denied {
            return self.call_listener(scope);
        }
        self.passed(table, node, &token, token.emitted.min(self.now), &format!("denied {reason}"));
        self.denied(scope, heard.listening.on);
    }

    /// All listeners of a moment have answered: what they stood before is due.
    fn all_heard(&mut self, scope: ScopeId, heard: &Heard) {
        let Some(node) = heard.node else {
            let ended = self.ended_in(scope);
            return self.scope_done(scope, &ended);
        };
        let Some((stay, _)) = self.activity(scope) else { return };
        let (owner, table) = (stay.token.clone(), &heard.table);
        if !table.table().node(node).kind.is_activity() {
            return self.event_heard(table, node, scope, heard.listening.on);
        }
        let kept = heard.listening.kept.clone();
        let task = heard.listening.task.clone();
        self.change(scope, &owner, |activity| {
            activity.listening = None;
            activity.task = task;
        });
        match heard.listening.on {
            Moment::Start => self.begin_heard(table, node, scope),
            Moment::End => self.ended(scope, kept, None),
            Moment::Creating => self.created(table, node, scope),
            Moment::Assigning => self.opened(scope),
            Moment::Completing => self.finish_waiting(scope, Some(&Payload::json(&Value::Object(kept)))),
        }
    }

    fn begin_heard(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId) {
        let Some((stay, activity)) = self.activity(scope) else { return };
        if activity.iteration.is_none() {
            let payload = Self::inner_payload(table, &stay.token.payload, activity);
            let inside = Token { scope, payload, ..stay.token.clone() };
            match self.boundary_subscriptions(table, node, &inside) {
                Ok(subscriptions) => self.subscribe(scope, subscriptions),
                Err(why) => return self.broken(scope, why),
            }
        }
        if let Some((stay, _)) = self.activity(scope) {
            let (owner, body) = (stay.token.clone(), Self::body_of(table, node));
            self.change(scope, &owner, |activity| activity.body = body);
        }
        self.carry_out(table, node, scope);
    }

    /// An event or gateway whose listeners have answered does what it is there for, or is left.
    fn event_heard(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId, on: Moment) {
        let Some(stay) = self.instance.take(scope) else { return };
        let Reason::Activity(activity) = stay.reason else { return };
        let mut token = stay.token;
        self.write(table, &mut token, activity.locals);
        let kind = &table.table().node(node).kind;
        match (on, kind) {
            (Moment::Start, kind) if kind.is_gateway() => {
                self.saw_token(&token);
                self.passed(table, node, &token, stay.since, "completed");
                self.goes_on(table, node, token, 1);
            }
            (Moment::Start, _) => self.enter(table, node, token),
            (_, NodeKind::EndEvent(throws)) => {
                let last = throws.iter().any(|it| matches!(it, Throw::Terminate | Throw::Cancel));
                let left = if last { self.throw_at_end(table, node, token, throws) } else { Some(token) };
                if let Some(token) = left {
                    self.ends(table, node, token);
                }
            }
            _ => self.goes_on(table, node, token, 1),
        }
    }

    /// The activity is done and is listened to before its token leaves.
    pub(super) fn ending(&mut self, scope: ScopeId, kept: Variables, whole: Option<(Payload, Written)>) {
        self.close_inside(scope);
        let Some(mut stay) = self.instance.take(scope) else { return };
        stay.subscriptions.clear();
        if let Some((payload, written)) = whole {
            stay.token.written.replaced(&stay.token.payload, &payload);
            written.frames().iter().flat_map(|f| &f.keys).for_each(|name| stay.token.written.key(name));
            stay.token.payload = payload;
        }
        if let Reason::Activity(activity) = &mut stay.reason {
            activity.locals.extend(kept.clone());
            activity.body = Body::Listens;
        }
        self.instance.put(stay);
        self.listen_on(scope, Moment::End, kept);
    }

    /// True while the listeners of the process that a scope is of are called: its tokens have all ended.
    pub(super) fn process_is_heard(&mut self, scope: ScopeId, ended: &[Token]) -> bool {
        let activity = self.activity(scope);
        let definition = match activity.map(|(stay, activity)| (stay.token.definition, &activity.body)) {
            Some((_, Body::Call(called))) => Some(*called),
            Some((own, _)) if scope == self.instance.root() => Some(own),
            None => ended.first().map(|it| it.definition),
            Some(_) => None,
        };
        let Some(table) = definition.and_then(|it| self.table(it)) else { return false };
        let listeners = table.table().settings.listeners.len();
        if listeners == 0 {
            return false;
        }
        if let Some(listening) = activity.and_then(|(_, activity)| activity.listening.as_ref()) {
            return listening.at < listeners;
        }
        if let Some(first) = ended.first() {
            self.change(scope, first, |_| {});
        }
        // their end is recorded until it counts
        let new: Vec<Token> = ended.iter().filter(|it| self.instance.stay(it.activation).is_none()).cloned().collect();
        for token in new {
            self.stay(token, Reason::Ended, Vec::new());
        }
        let results = variables(&self.results(ended).0);
        self.listen_on(scope, Moment::End, results);
        true
    }
}
