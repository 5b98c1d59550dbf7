//! Activities that the ledger holds: entered, begun, completed, interrupted.

use std::sync::Arc;

use serde_json::Value;

use super::data::{self, outputs, written_values};
use super::{Activity, Body, Iteration, Reason, Run, Subscription};
use crate::compiled::Compiled;
use crate::evaluate::{self, Variables};
use crate::evaluation;
use crate::failure::{Failure, FailureCode, Resume};
use crate::id::{ActivationId, ScopeId};
use crate::payload::{Payload, Written};
use crate::table::{Evaluation, Moment, NodeIx, NodeKind};
use crate::token::Token;
use crate::weight::Weight;

impl Run<'_> {
    /// A token comes to an activity.
    pub(super) fn enter_activity(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token) {
        self.saw_token(&token);
        let Some(token) = self.quantity(table, node, token) else { return };
        let repeat = table.table().node(node).marks.as_ref().and_then(|m| m.repeat.clone());
        if repeat.is_none() && self.has_listeners(table, node, Moment::Start) {
            // what its boundary events wait for can depend on what they set
            return self.begin(table, node, token, Activity::default(), Vec::new());
        }
        let subscriptions = match self.boundary_subscriptions(table, node, &token) {
            Ok(subscriptions) => subscriptions,
            Err(why) => return self.expression_failed(token, why),
        };
        match repeat {
            Some(repeat) => self.begin_loop(table, node, token, &repeat, subscriptions),
            None => self.begin(table, node, token, Activity::default(), subscriptions),
        }
    }

    /// Opens the activity's record and does what it is there for. `activity.locals` holds what a loop gives it.
    pub(super) fn begin(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        token: Token,
        mut activity: Activity,
        subscriptions: Vec<Subscription>,
    ) {
        let scope = token.activation;
        let mut seen = self.seen_by(table, &token);
        seen.extend(activity.locals.clone());
        let inputs = table.table().node(node).mapping.as_ref().map_or(&[][..], |m| &m.inputs[..]);
        match evaluate::assign(table, inputs, &mut seen, self.now) {
            Ok(set) => activity.locals.extend(set),
            Err(why) => return self.expression_failed(token, why),
        }
        activity.body = Self::body_of(table, node);
        self.stay(token, Reason::Activity(Box::new(activity)), subscriptions);
        if self.has_listeners(table, node, Moment::Start) {
            return self.listen_on(scope, Moment::Start, Variables::new());
        }
        self.carry_out(table, node, scope);
    }

    /// What an activity does when it begins.
    pub(super) fn body_of(table: &Compiled, node: NodeIx) -> Body {
        match &table.table().node(node).kind {
            NodeKind::Task(_) => Body::Service,
            NodeKind::ReceiveTask(_) | NodeKind::UserTask(_) => Body::Waits,
            _ => Body::Scope,
        }
    }

    /// Does what an open activity is there for.
    pub(super) fn carry_out(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId) {
        match table.table().node(node).kind.clone() {
            NodeKind::Task(_) => {
                let inner = self.inner_token(table, scope, &table.table().node(node).id, "");
                self.offer(inner);
            }
            NodeKind::Evaluate(evaluation) => self.evaluate(table, node, scope, &evaluation),
            NodeKind::UserTask(task) => self.open_user_task(table, node, scope, &task),
            NodeKind::ReceiveTask(message) => self.wait_in(table, node, scope, &message),
            NodeKind::SendTask(message) => {
                match self.publish(table, node, &self.inner_view(table, scope), &message, None) {
                    Ok(()) => self.complete(scope, None),
                    Err(why) => self.broken(scope, why),
                }
            }
            NodeKind::CallActivity(call) => self.call(table, scope, &call),
            NodeKind::SubProcess(kind) => self.open_scope(table, node, scope, &kind),
            _ => self.complete(scope, None),
        }
    }

    /// A token of weight one inside of an activity.
    pub(super) fn inner_token(
        &self,
        table: &Arc<Compiled>,
        scope: ScopeId,
        element: &crate::id::ElementId,
        way: &str,
    ) -> Token {
        let (stay, activity) = self.activity(scope).expect("the caller has opened it");
        let owner = &stay.token;
        let activation = ActivationId::product(&owner.instance, scope, way, u32::MAX);
        Token {
            element: element.clone(),
            flow: None,
            activation,
            key: activation,
            parent: scope,
            scope,
            generation: 0,
            attempts: 0,
            weight: Weight::one(),
            written: Written::default(),
            emitted: self.now,
            payload: Self::inner_payload(table, &owner.payload, activity),
            ..owner.clone()
        }
    }

    /// What an activity's inside sees.
    pub(super) fn inner_view(&self, table: &Arc<Compiled>, scope: ScopeId) -> Variables {
        self.instance.inner_view(table, scope)
    }

    /// The service's answer of a guarded task.
    pub(super) fn served(&mut self, token: Token) {
        self.saw_token(&token);
        self.complete(token.scope, Some((token.payload, token.written)));
    }

    fn evaluate(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId, what: &Evaluation) {
        let payload = Payload::json(&Value::Object(self.inner_view(table, scope)));
        let (mut written, mut warnings) = (Written::default(), Vec::new());
        let mapping = table.table().node(node).mapping.as_deref();
        match evaluation::evaluate(table, what, mapping, &payload, &mut written, self.now, &mut warnings) {
            Ok(Some(after)) => self.complete_mapped(scope, written_values(&after, &written), None),
            Ok(None) => self.complete_mapped(scope, Variables::new(), None),
            Err(why) => self.broken(scope, why),
        }
    }

    /// Somebody completes what waits: a user task, with its result. False when there is no such task.
    pub fn complete_task(mut self, activation: ActivationId, payload: &Payload) -> bool {
        let waits = self.activity(activation).is_some_and(|(_, a)| a.body == Body::Waits);
        if waits {
            self.completing(activation, payload);
            self.settle();
        }
        waits
    }

    /// Somebody fails what waits with a BPMN error. False when there is no such task.
    pub fn fail_task(mut self, activation: ActivationId, code: &str, payload: &Payload) -> bool {
        let waits = self.activity(activation).is_some_and(|(_, a)| a.body == Body::Waits);
        if waits {
            self.error_from(activation, code, data::variables(payload));
            self.settle();
        }
        waits
    }

    /// The activity is done; `payload` came with what completed it.
    pub(super) fn finish_waiting(&mut self, scope: ScopeId, payload: Option<&Payload>) {
        let results = payload.map(data::variables).unwrap_or_default();
        self.complete(scope, Some(data::as_written(results)));
    }

    /// The activity has done what it is there for: what it wrote goes out through its outputs, and its token leaves.
    pub(super) fn complete(&mut self, scope: ScopeId, result: Option<(Payload, Written)>) {
        let Some((stay, activity)) = self.activity(scope) else { return };
        let Some((table, node)) = self.at(&stay.token) else { return };
        let homed = table.table().settings.homed;
        let mapping = table.table().node(node).mapping.as_deref();
        // a service's answer was mapped by its sidecar, unless that is for here, and in a homed process it has been absorbed
        let served = activity.body == Body::Service && mapping.is_none();
        if served && homed {
            return self.complete_mapped(scope, Variables::new(), None);
        }
        if served && activity.locals.is_empty() && activity.iteration.is_none() {
            return self.complete_mapped(scope, Variables::new(), result);
        }
        let written = result.map(|(payload, written)| written_values(&payload, &written)).unwrap_or_default();
        let outputs = outputs(mapping);
        let locals = activity.locals.clone();
        let kept = if outputs.is_empty() {
            written.into_iter().filter(|(name, _)| !locals.contains_key(name)).collect()
        } else {
            let mut inner = self.inner_view(&table, scope);
            inner.extend(written);
            match evaluate::assign(&table, outputs, &mut inner, self.now) {
                Ok(kept) => kept,
                Err(why) => return self.broken(scope, why),
            }
        };
        self.complete_mapped(scope, kept, None);
    }

    /// The activity is done and has written this, or has replaced the payload as a whole.
    pub(super) fn complete_mapped(&mut self, scope: ScopeId, kept: Variables, whole: Option<(Payload, Written)>) {
        let Some((stay, activity)) = self.activity(scope) else { return };
        let Some((table, node)) = self.at(&stay.token) else { return };
        // of a loop each instance is listened to
        if !matches!(activity.body, Body::Loop(_)) && self.has_listeners(&table, node, Moment::End) {
            return self.ending(scope, kept, whole);
        }
        self.ended(scope, kept, whole);
    }

    /// The activity is done and has been listened to: its token leaves.
    pub(super) fn ended(&mut self, scope: ScopeId, kept: Variables, whole: Option<(Payload, Written)>) {
        let Some((_, activity)) = self.activity(scope) else { return };
        let (iteration, inside) = (activity.iteration, activity.completed.clone());
        self.close_inside(scope);
        let Some(stay) = self.instance.take(scope) else { return };
        let Some((table, node)) = self.at(&stay.token) else { return self.lost(stay.token) };
        if let Some(iteration) = iteration {
            if !inside.is_empty() {
                // what completed in an instance of a loop can be compensated when the loop has
                self.change(stay.token.scope, &stay.token, |outer| outer.completed.extend(inside));
            }
            return self.iterated(&table, node, &stay, iteration, kept);
        }
        let mut token = stay.token;
        match whole {
            Some((payload, written)) => {
                token.written.replaced(&token.payload, &payload);
                written.frames().iter().flat_map(|f| &f.keys).for_each(|name| token.written.key(name));
                token.payload = payload;
            }
            None => self.write(&table, &mut token, kept),
        }
        self.passed(&table, node, &token, stay.since, "completed");
        self.remember(&table, node, &token, inside);
        if self.compensated(&token) {
            return;
        }
        if table.table().node(node).kind.is_event_sub_process() {
            return self.event_sub_process_done(&token);
        }
        if self.is_uncounted(token.scope) {
            self.written_in_ad_hoc(token.scope, &token);
        }
        let times = table.table().node(node).marks.as_ref().map_or(1, |m| m.completion_quantity);
        let outer = token.scope;
        self.leave(&table, node, token, times);
        self.one_done_in(outer);
    }

    /// Something of the activity itself does not work: its input waits for an operator, who has it begun again.
    pub(super) fn broken(&mut self, scope: ScopeId, why: String) {
        self.close_inside(scope);
        let Some(stay) = self.instance.take(scope) else { return };
        let failure =
            Failure { resume: Resume::Call, ..Failure::new(FailureCode::ExpressionFailed, &stay.token.element, why) };
        if let Reason::Activity(activity) = stay.reason
            && let Some(Iteration { index }) = activity.iteration
        {
            // one instance of a loop cannot be entered again by itself: the loop as a whole is
            let outer = stay.token.scope;
            let why = format!("instance {}: {}", index + 1, failure.message);
            return self.broken(outer, why);
        }
        self.incident(stay.token, failure);
    }

    /// A token has failed at its element: an error that a boundary event or event sub-process around it catches, or an incident.
    pub(super) fn failed(&mut self, token: Token, failure: Failure) {
        if self.listens(&token) {
            return self.incident(token, Failure { error_code: None, ..failure });
        }
        let Some(code) = failure.error_code.clone() else { return self.incident(token, failure) };
        let values = failure.output.as_ref().map(data::variables).unwrap_or_default();
        // the boundary events of an unguarded task were its sidecar's to ask
        let own = self.serves(&token);
        if self.throw_error(token.scope, own, &code, values) {
            self.saw_token(&token);
        } else {
            self.incident(token, failure);
        }
    }
}
