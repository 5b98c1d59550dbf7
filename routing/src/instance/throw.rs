//! What events throw, and who catches it.

use std::sync::Arc;

use serde_json::Value;

use super::catch::event_starts;
use super::{Body, DEPLOYMENT_HEADER, Effect, INSTANCE_HEADER, Published, Reason, Resumes, Run};
use crate::compiled::Compiled;
use crate::evaluate::{self, Variables};
use crate::failure::{Failure, FailureCode, Resume};
use crate::id::ScopeId;
use crate::payload::Payload;
use crate::table::{Catch, MessageThrow, NodeIx, NodeKind, SubProcess, Template, Throw, Trigger};
use crate::token::Token;

/// What becomes of the token that throws.
enum Thrower {
    /// It goes on.
    Goes(Box<Token>),
    /// It is gone, or waits as a record.
    Gone,
}

/// What is thrown up through the scopes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Error,
    Escalation,
}

impl Run<'_> {
    /// An intermediate throw event.
    pub(super) fn throw_and_leave(&mut self, table: &Arc<Compiled>, node: NodeIx, mut token: Token, throws: &[Throw]) {
        self.saw_token(&token);
        let since = token.emitted.min(self.now);
        for throw in throws {
            match self.throw_one(table, node, token, throw) {
                Thrower::Goes(goes) => token = *goes,
                Thrower::Gone => return,
            }
        }
        self.passed(table, node, &token, since, "completed");
        self.leave(table, node, token, 1);
    }

    /// An end event's throws; the token, if it is still there to end.
    pub(super) fn throw_at_end(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        mut token: Token,
        throws: &[Throw],
    ) -> Option<Token> {
        for throw in throws {
            match self.throw_one(table, node, token, throw) {
                Thrower::Goes(goes) => token = *goes,
                Thrower::Gone => return None,
            }
        }
        Some(token)
    }

    fn throw_one(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token, throw: &Throw) -> Thrower {
        let thrown = match throw {
            Throw::Message(message) => self
                .publish(table, node, &self.seen_by(table, &token), message, Some(&token))
                .map(|()| Thrower::Goes(Box::new(token.clone()))),
            Throw::Signal(name) => {
                self.broadcast(table, node, &token, name).map(|()| Thrower::Goes(Box::new(token.clone())))
            }
            Throw::Error(code) => self.code(table, &token, code.as_ref()).map(|code| {
                self.passed(table, node, &token, token.emitted.min(self.now), &format!("error {code}"));
                self.error_at(node, table, token.clone(), &code)
            }),
            Throw::Escalation(code) => self.code(table, &token, code.as_ref()).and_then(|code| {
                let values = self.carried(table, node, &token)?;
                Ok(if self.throw_up(Kind::Escalation, token.scope, false, &code, values) {
                    self.passed(table, node, &token, token.emitted.min(self.now), &format!("escalation {code}"));
                    Thrower::Gone
                } else {
                    Thrower::Goes(Box::new(token.clone()))
                })
            }),
            Throw::Compensation { activity, wait } => {
                let target = activity.map(|a| table.table().node(a).id.clone());
                return if self.compensate(token.clone(), target, *wait) {
                    Thrower::Gone
                } else {
                    Thrower::Goes(Box::new(token))
                };
            }
            Throw::Cancel => {
                self.passed(table, node, &token, token.emitted.min(self.now), "completed");
                self.cancel_transaction(token.clone());
                Ok(Thrower::Gone)
            }
            Throw::Terminate => {
                self.passed(table, node, &token, token.emitted.min(self.now), "completed");
                self.saw_token(&token);
                self.terminate(token.clone());
                Ok(Thrower::Gone)
            }
        };
        thrown.unwrap_or_else(|why| {
            self.expression_failed(token, why);
            Thrower::Gone
        })
    }

    fn code(&self, table: &Arc<Compiled>, token: &Token, code: Option<&Template>) -> Result<String, String> {
        let seen = Value::Object(self.seen_by(table, token));
        code.map_or(Ok(String::new()), |code| evaluate::text(table, code, &seen, self.now))
    }

    /// The variables that go along with what is thrown: the event's inputs, else what the token has written.
    fn carried(&self, table: &Arc<Compiled>, node: NodeIx, token: &Token) -> Result<Variables, String> {
        let mapped = self.inputs(table, node, token)?;
        if !mapped.is_empty() || table.table().settings.homed {
            return Ok(mapped);
        }
        Ok(super::data::written_values(&token.payload, &token.written))
    }

    fn error_at(&mut self, node: NodeIx, table: &Arc<Compiled>, token: Token, code: &str) -> Thrower {
        let values = match self.carried(table, node, &token) {
            Ok(values) => values,
            Err(why) => {
                self.expression_failed(token, why);
                return Thrower::Gone;
            }
        };
        if !self.throw_error(token.scope, false, code, values) {
            let name = &table.table().node(node).name;
            let failure = Failure {
                error_code: Some(code.to_owned()),
                resume: Resume::Call,
                ..Failure::new(
                    FailureCode::UncaughtError,
                    &token.element,
                    format!("{name} throws error {code:?}, which nothing catches"),
                )
            };
            self.incident(token, failure);
        }
        Thrower::Gone
    }

    /// An error that an open activity itself raises.
    pub(super) fn error_from(&mut self, scope: ScopeId, code: &str, values: Variables) {
        if self.throw_error(scope, true, code, values) {
            return;
        }
        self.close_inside(scope);
        if let Some(stay) = self.instance.take(scope) {
            let why = format!("{} ended with error {code:?}, which nothing catches", stay.token.element);
            let failure = Failure {
                error_code: Some(code.to_owned()),
                resume: Resume::Call,
                ..Failure::new(FailureCode::UncaughtError, &stay.token.element, why)
            };
            self.incident(stay.token, failure);
        }
    }

    /// An error rises through the scopes until something catches it; false when nothing does. With `own` it begins at the boundary of
    /// `scope`, else inside of it.
    pub(super) fn throw_error(&mut self, scope: ScopeId, own: bool, code: &str, values: Variables) -> bool {
        self.throw_up(Kind::Error, scope, own, code, values)
    }

    /// True when whoever threw it is gone: an error was caught, or an escalation interrupted it.
    fn throw_up(&mut self, kind: Kind, scope: ScopeId, mut own: bool, code: &str, values: Variables) -> bool {
        let payload = Payload::json(&Value::Object(values));
        let mut at = scope;
        loop {
            if !own && let Some((table, start, interrupting)) = self.start_for(kind, at, code) {
                self.begin_event_sub_process(at, &table, start, interrupting, Some(&payload));
                return interrupting || kind == Kind::Error;
            }
            if at == self.instance.root() {
                return false;
            }
            let Some((stay, activity)) = self.activity(at) else { return false };
            let (next, iteration) = (stay.token.scope, activity.iteration.is_some());
            let Some((table, node)) = self.at(&stay.token) else { return false };
            if !iteration && let Some((boundary, interrupting)) = boundary_for(kind, &table, node, code) {
                let interrupting = interrupting || kind == Kind::Error;
                let status = if kind == Kind::Error { format!("error {code}") } else { format!("escalation {code}") };
                self.boundary_fired(at, &table, boundary, interrupting, Some(&payload), &status);
                return interrupting;
            }
            // the boundary of a loop is that of its instances; an event sub-process is not caught by those beside it
            (at, own) = (next, iteration || table.table().node(node).kind.is_event_sub_process());
        }
    }

    /// The event sub-process of a scope that catches this: a specific code before any.
    fn start_for(&self, kind: Kind, scope: ScopeId, code: &str) -> Option<(Arc<Compiled>, NodeIx, bool)> {
        let (stay, activity) = self.activity(scope)?;
        if activity.interrupted {
            return None;
        }
        let (table, parent) = match activity.body {
            Body::Call(definition) => (self.table(definition)?, None),
            _ if scope == self.instance.root() => (self.table(stay.token.definition)?, None),
            _ => {
                let (table, node) = self.at(&stay.token)?;
                (table, Some(node))
            }
        };
        let starts: Vec<(NodeIx, Catch, bool)> = event_starts(&table, parent)
            .filter_map(|start| match &table.table().node(start).kind {
                NodeKind::StartEvent(event) => Some((start, event.catch.clone(), event.interrupting)),
                _ => None,
            })
            .collect();
        let found = best(kind, starts.iter().map(|(start, catch, interrupting)| (*start, catch, *interrupting)), code)?;
        Some((table, found.0, found.1))
    }

    /// A completing instance of a loop throws an event that the activity's boundary, or the scopes around it, can catch.
    pub(super) fn throw_at_boundary(&mut self, table: &Arc<Compiled>, node: NodeIx, token: &Token, throw: &Throw) {
        let scope = token.activation;
        let thrown = match throw {
            Throw::Message(message) => self.publish(table, node, &self.seen_by(table, token), message, Some(token)),
            Throw::Signal(name) => self.broadcast(table, node, token, name),
            Throw::Error(code) => self.code(table, token, code.as_ref()).map(|code| {
                self.error_from(scope, &code, Variables::new());
            }),
            Throw::Escalation(code) => self.code(table, token, code.as_ref()).map(|code| {
                self.throw_up(Kind::Escalation, scope, true, &code, Variables::new());
            }),
            Throw::Compensation { .. } | Throw::Cancel | Throw::Terminate => Ok(()),
        };
        if let Err(why) = thrown {
            self.broken(scope, why);
        }
    }

    /// Publishes a message with the event's inputs, else with all variables; to a topic the token's payload as it is.
    pub(super) fn publish(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        seen: &Variables,
        message: &MessageThrow,
        token: Option<&Token>,
    ) -> Result<(), String> {
        let scope = Value::Object(seen.clone());
        let text = |template: &Template| evaluate::text(table, template, &scope, self.now);
        let time_to_live = match message.time_to_live.as_ref().map(text).transpose()? {
            None => 0,
            Some(text) => match text.trim().parse() {
                Ok(milliseconds) => milliseconds,
                Err(_) => crate::timer::after(text.trim(), self.now)?.saturating_sub(self.now),
            },
        };
        let published = Published {
            name: text(&message.name)?,
            key: message.key.as_ref().map(text).transpose()?,
            id: message.id.as_ref().map(text).transpose()?,
            time_to_live,
            payload: self.sent(table, node, seen)?,
            ..Published::default()
        };
        let published = match token.filter(|_| message.topic) {
            Some(token) => Self::to_topic(table, node, token, published),
            None => published,
        };
        self.effects.push(Effect::Publish(published));
        Ok(())
    }

    fn to_topic(table: &Compiled, node: NodeIx, token: &Token, mut message: Published) -> Published {
        let maps = table.table().node(node).mapping.as_ref().is_some_and(|it| !it.inputs.is_empty());
        // where flowd holds the variables, the token has none of them
        let holds = !table.table().settings.homed || !token.payload.claims_json();
        if !maps && holds {
            message.payload = token.payload.clone();
        }
        message.topic = true;
        let (instance, deployment) = (&token.instance, &table.table().deployment);
        message.headers.insert(INSTANCE_HEADER.to_owned(), instance.as_str().to_owned());
        message.headers.insert(DEPLOYMENT_HEADER.to_owned(), deployment.as_str().to_owned());
        message
    }

    fn broadcast(&mut self, table: &Arc<Compiled>, node: NodeIx, token: &Token, name: &Template) -> Result<(), String> {
        let seen = self.seen_by(table, token);
        let name = evaluate::text(table, name, &Value::Object(seen.clone()), self.now)?;
        let payload = self.sent(table, node, &seen)?;
        self.effects.push(Effect::Broadcast { name, payload });
        Ok(())
    }

    fn sent(&self, table: &Arc<Compiled>, node: NodeIx, seen: &Variables) -> Result<Payload, String> {
        let inputs = table.table().node(node).mapping.as_ref().map_or(&[][..], |m| &m.inputs[..]);
        if inputs.is_empty() {
            return Ok(Payload::json(&Value::Object(seen.clone())));
        }
        let mut scope = seen.clone();
        let set = evaluate::assign(table, inputs, &mut scope, self.now)?;
        Ok(Payload::json(&Value::Object(set)))
    }

    /// The transaction around the token is cancelled: what runs in it ends, what has completed is compensated, and it leaves by its cancel event.
    fn cancel_transaction(&mut self, token: Token) {
        let mut at = token.scope;
        loop {
            let Some((stay, _)) = self.activity(at).filter(|_| at != self.instance.root()) else {
                return self.expression_failed(token, "cancel: there is no transaction around it".to_owned());
            };
            let Some((table, node)) = self.at(&stay.token) else { return self.lost(token) };
            if matches!(&table.table().node(node).kind, NodeKind::SubProcess(kind) if **kind == SubProcess::Transaction)
            {
                break;
            }
            at = stay.token.scope;
        }
        self.close_inside(at);
        let mut queue = Vec::new();
        self.change(at, &token, |activity| {
            activity.interrupted = true;
            queue = std::mem::take(&mut activity.completed);
        });
        self.begin_compensation(at, &token, queue, Resumes::Cancel);
    }

    /// The transaction has been compensated.
    pub(super) fn transaction_cancelled(&mut self, scope: ScopeId) {
        let Some((stay, _)) = self.activity(scope) else { return };
        let Some((table, node)) = self.at(&stay.token) else { return };
        let cancel = |b: &NodeIx| matches!(&table.table().node(*b).kind, NodeKind::Boundary(b) if b.catch.triggers.contains(&Trigger::Cancel));
        match table.table().node(node).boundaries.iter().copied().find(cancel) {
            Some(boundary) => self.boundary_fired(scope, &table, boundary, true, None, "cancelled"),
            None => self.complete(scope, None),
        }
    }

    /// True of records that only wait for compensation to end.
    pub(super) fn waits_for_compensation(&self, activation: crate::id::ActivationId) -> bool {
        self.instance.stay(activation).is_some_and(|s| s.reason == Reason::Waiting && s.subscriptions.is_empty())
    }
}

fn boundary_for(kind: Kind, table: &Compiled, node: NodeIx, code: &str) -> Option<(NodeIx, bool)> {
    let boundaries = table.table().node(node).boundaries.iter().filter_map(|b| match &table.table().node(*b).kind {
        NodeKind::Boundary(event) => Some((*b, &event.catch, event.interrupting)),
        _ => None,
    });
    best(kind, boundaries, code)
}

/// A specific code before a catch-all, else document order.
fn best<'a>(
    kind: Kind,
    events: impl Iterator<Item = (NodeIx, &'a Catch, bool)> + Clone,
    code: &str,
) -> Option<(NodeIx, bool)> {
    let find = |wanted: Option<&str>| {
        events.clone().find(|(_, catch, _)| {
            catch.triggers.iter().any(|trigger| match (kind, trigger) {
                (Kind::Error, Trigger::Error(code)) | (Kind::Escalation, Trigger::Escalation(code)) => {
                    code.as_deref() == wanted
                }
                _ => false,
            })
        })
    };
    find(Some(code)).or_else(|| find(None)).map(|(event, _, interrupting)| (event, interrupting))
}
