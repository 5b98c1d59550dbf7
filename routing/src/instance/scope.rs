//! Scopes: sub-processes, called processes and the instance itself; how tokens end in them and how they close.

use std::sync::Arc;

use serde_json::Value;

use super::data::{as_written, variables, written_values};
use super::{Body, Effect, Reason, Run, Timed};
use crate::compiled::Compiled;
use crate::evaluate::{self, Variables};
use crate::id::{ActivationId, ScopeId};
use crate::payload::{Payload, Written, merge};
use crate::table::{Call, Moment, NodeIx, NodeKind, SubProcess, Throw};
use crate::token::Token;
use crate::weight::Weight;

/// Scopes inside each other at most; a process that calls itself for ever ends here.
const MAX_DEPTH: usize = 200;

impl Run<'_> {
    /// The root scope's record, where something needs one.
    pub(super) fn open_root(&mut self, table: &Arc<Compiled>, token: &Token) {
        let subscriptions = match self.event_sub_processes(table, None, token) {
            Ok(subscriptions) => subscriptions,
            Err(why) => return self.expression_failed(token.clone(), why),
        };
        let data = self.first_values(table, None, &variables(&token.payload));
        let homed = table.table().settings.homed;
        if subscriptions.is_empty() && !homed {
            return;
        }
        self.put_root(token, subscriptions);
        if homed {
            let mut all = data;
            all.extend(variables(&token.payload));
            self.change(self.instance.root(), token, |root| root.locals = all);
        }
    }

    /// Properties and data objects of a scope.
    fn first_values(&self, table: &Arc<Compiled>, scope: Option<NodeIx>, seen: &Variables) -> Variables {
        let seen = Value::Object(seen.clone());
        let own = table.table().settings.data.iter().filter(|d| d.scope == scope);
        own.map(|data| {
            let value = data.value.as_ref().and_then(|v| evaluate::value(table, v, &seen, self.now).ok());
            (data.name.clone(), value.unwrap_or(Value::Null))
        })
        .collect()
    }

    /// A sub-process begins.
    pub(super) fn open_scope(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId, kind: &SubProcess) {
        let Some((stay, _)) = self.activity(scope) else { return };
        let token = stay.token.clone();
        let data = self.first_values(table, Some(node), &self.inner_view(table, scope));
        if !data.is_empty() {
            self.change(scope, &token, |activity| {
                for (name, value) in data {
                    activity.locals.entry(name).or_insert(value);
                }
            });
        }
        match self.event_sub_processes(table, Some(node), &token) {
            Ok(subscriptions) => self.subscribe(scope, subscriptions),
            Err(why) => return self.broken(scope, why),
        }
        if let SubProcess::AdHoc(ad_hoc) = kind {
            return self.begin_ad_hoc(table, node, scope, ad_hoc);
        }
        self.begin_inside(table, Some(node), scope);
    }

    /// Tokens at the none start event of a scope, or at every element without incoming flows.
    fn begin_inside(&mut self, table: &Arc<Compiled>, parent: Option<NodeIx>, scope: ScopeId) {
        let starts = starts(table, parent);
        if starts.is_empty() {
            return self.complete(scope, None);
        }
        let first = self.inner_token(table, scope, &table.table().node(starts[0]).id, "begin");
        let shares = first.weight.split(starts.len());
        for ((index, start), weight) in starts.iter().enumerate().zip(shares) {
            let element = table.table().node(*start).id.clone();
            let activation = ActivationId::product(&first.instance, scope, element.as_str(), index as u32);
            let token = Token { element, activation, key: activation, weight, ..first.clone() };
            if matches!(table.table().node(*start).kind, NodeKind::StartEvent(_)) {
                self.passed(table, *start, &token, self.now, "completed");
                self.leave(table, *start, token, 1);
            } else {
                self.enter_at(table, *start, token);
            }
        }
    }

    /// Puts a token before an element that no flow leads to.
    pub(super) fn enter_at(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token) {
        let entered = crate::advance::enter(table, node, None, &token, self.now);
        self.moves_on(table, &token, entered);
    }

    /// A called process begins, as a scope of this instance.
    pub(super) fn call(&mut self, table: &Arc<Compiled>, scope: ScopeId, call: &Call) {
        let Some((stay, activity)) = self.activity(scope) else { return };
        let (caller, locals) = (stay.token.clone(), activity.locals.clone());
        let seen = self.inner_view(table, scope);
        let process = match evaluate::text(table, &call.process, &Value::Object(seen.clone()), self.now) {
            Ok(process) => process,
            Err(why) => return self.broken(scope, why),
        };
        if self.depth(scope) > MAX_DEPTH {
            return self.broken(scope, format!("call {process}: scopes are {MAX_DEPTH} deep, the model calls itself"));
        }
        let found = self.tables.called(caller.definition, &process, &call.version);
        let Some((definition, called)) = found.and_then(|d| Some((d, self.table(d)?))) else {
            return self
                .broken(scope, format!("call {process}: no such process is deployed; apply it, then `flowctl start`"));
        };
        let mut begin = if call.propagate_inputs { seen } else { Variables::new() };
        begin.extend(locals);
        let first = self.first_values(&called, None, &begin);
        for (name, value) in first {
            begin.entry(name).or_insert(value);
        }
        self.change(scope, &caller, |activity| {
            activity.body = Body::Call(definition);
            activity.locals = begin.clone();
        });
        let root = Token { definition, scope, ..caller.clone() };
        match self.event_sub_processes(&called, None, &root) {
            Ok(mut subscriptions) => {
                subscriptions.iter_mut().for_each(|s| s.called = true);
                self.subscribe(scope, subscriptions);
            }
            Err(why) => return self.broken(scope, why),
        }
        let Some(start) = starts(&called, None).first().copied() else {
            return self.broken(scope, format!("call {process}: it has no none start event"));
        };
        let element = called.table().node(start).id.clone();
        let activation = ActivationId::product(&caller.instance, scope, "call", 0);
        let token = Token {
            definition,
            element,
            activation,
            key: activation,
            parent: scope,
            scope,
            flow: None,
            weight: Weight::one(),
            written: Written::default(),
            emitted: self.now,
            payload: Payload::json(&Value::Object(begin)),
            ..caller
        };
        self.passed(&called, start, &token, self.now, "completed");
        self.leave(&called, start, token, 1);
    }

    fn depth(&self, scope: ScopeId) -> usize {
        let mut depth = 0;
        let mut at = scope;
        while let Some((stay, _)) = self.activity(at) {
            (at, depth) = (stay.token.scope, depth + 1);
        }
        depth
    }

    /// A token comes to an end event.
    pub(super) fn end(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token, throws: &[Throw]) {
        self.instance.end_event = table.table().node(node).safe_name.clone();
        let last = |throw: &Throw| matches!(throw, Throw::Terminate | Throw::Cancel);
        if throws.iter().any(last) && self.has_listeners(table, node, Moment::End) {
            // nothing of the scope is left behind these
            return self.listen_to(token, Moment::End);
        }
        if let Some(token) = self.throw_at_end(table, node, token, throws) {
            if self.has_listeners(table, node, Moment::End) {
                return self.listen_to(token, Moment::End);
            }
            self.ends(table, node, token);
        }
    }

    /// The token has done all that its end event is there for.
    pub(super) fn ends(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token) {
        self.passed(table, node, &token, token.emitted.min(self.now), "completed");
        self.end_token(token);
    }

    /// A token ends in its scope.
    pub(super) fn end_token(&mut self, token: Token) {
        let scope = token.scope;
        self.saw_token(&token);
        if self.is_uncounted(scope) {
            if self.ended_in_ad_hoc(scope, &token) {
                self.one_done_in(scope);
            }
            return;
        }
        let last = self.instance.ended.get(&scope).map_or_else(|| token.weight.clone(), |w| w.plus(&token.weight));
        if last.exceeds_one() {
            self.alarm(token.clone(), "brings more weight than its scope has");
        }
        if last.is_one() && self.alone(scope) {
            return self.scope_done(scope, &[token]);
        }
        self.stay(token, Reason::Ended, Vec::new());
        self.stirred = true;
        self.close_if_done(scope);
    }

    /// True of scopes whose tokens have no weight: ad-hoc sub-processes.
    pub(super) fn is_uncounted(&self, scope: ScopeId) -> bool {
        let Some((stay, _)) = self.activity(scope) else { return false };
        let Some((table, node)) = self.at(&stay.token) else { return false };
        matches!(&table.table().node(node).kind, NodeKind::SubProcess(kind) if matches!(**kind, SubProcess::AdHoc(_)))
    }

    /// True when nothing is inside of a scope.
    pub(super) fn alone(&self, scope: ScopeId) -> bool {
        self.instance.inside(scope).is_empty()
    }

    /// Something in this scope is done that has no weight, or its weight is on its way: is the scope?
    pub(super) fn one_done_in(&mut self, scope: ScopeId) {
        if self.is_uncounted(scope) {
            self.ad_hoc_step(scope);
        } else {
            self.close_if_done(scope);
        }
    }

    /// The scope completes when all its weight has ended and nothing else is open in it.
    pub(super) fn close_if_done(&mut self, scope: ScopeId) {
        let root = scope == self.instance.root();
        let (interrupted, counted) = match self.activity(scope) {
            Some((_, activity)) => (activity.interrupted, matches!(activity.body, Body::Scope | Body::Call(_))),
            None => (false, root),
        };
        if !counted || self.over {
            return;
        }
        let whole = interrupted || self.instance.ended.get(&scope).is_some_and(Weight::is_one);
        let open = |a: &ActivationId| {
            let reason = self.instance.stay(*a).map(|s| &s.reason);
            !matches!(reason, None | Some(Reason::Ended | Reason::Reset(_)))
        };
        let busy = self.pending.iter().any(|p| p.token.scope == scope);
        let inside = if whole && !busy { self.instance.inside(scope) } else { return };
        if inside.iter().any(open) {
            return;
        }
        let ended = self.ended_in(scope);
        self.scope_done(scope, &ended);
    }

    /// Tokens that have ended in a scope.
    pub(super) fn ended_in(&self, scope: ScopeId) -> Vec<Token> {
        let inside = self.instance.inside(scope);
        let stays = inside.iter().filter_map(|a| self.instance.stay(*a));
        stays.filter(|s| s.reason == Reason::Ended).map(|s| s.token.clone()).collect()
    }

    /// All tokens of a scope have ended with these results.
    pub(super) fn scope_done(&mut self, scope: ScopeId, ended: &[Token]) {
        if self.process_is_heard(scope, ended) {
            return;
        }
        let (payload, written) = self.results(ended);
        if scope == self.instance.root() {
            self.over = true;
            let mut result = payload;
            if let Some((_, activity)) = self.activity(scope) {
                let mut all = variables(&result);
                all.extend(activity.locals.clone());
                all.extend(activity.written.clone());
                if ended.is_empty() || !activity.locals.is_empty() || !activity.written.is_empty() {
                    result = Payload::json(&Value::Object(all));
                }
            }
            let end_event = self.instance.end_event.clone();
            let timed = ended.iter().filter_map(Timed::of).collect();
            self.effects.push(Effect::Completed { result, end_event, timed });
            return;
        }
        let Some((stay, activity)) = self.activity(scope) else { return };
        let mut values = written_values(&payload, &written);
        values.extend(activity.written.clone());
        if let Body::Call(_) = activity.body {
            let all = if ended.is_empty() { Variables::new() } else { variables(&payload) };
            values = self.call_results(stay, activity, values, all);
        }
        self.complete(scope, Some(as_written(values)));
    }

    /// What a called process gives back.
    fn call_results(
        &self,
        stay: &super::Stay,
        activity: &super::Activity,
        mut values: Variables,
        all: Variables,
    ) -> Variables {
        let Some((table, node)) = self.at(&stay.token) else { return values };
        let NodeKind::CallActivity(call) = &table.table().node(node).kind else { return values };
        let homed = matches!(activity.body, Body::Call(d) if self.table(d).is_some_and(|t| t.table().settings.homed));
        if homed {
            values.extend(activity.locals.clone());
        }
        let mapped = !super::data::outputs(table.table().node(node).mapping.as_deref()).is_empty();
        if mapped {
            // mappings may read everything the called process had
            let mut seen = all;
            seen.extend(values);
            return seen;
        }
        if call.propagate_outputs { values } else { Variables::new() }
    }

    /// The results of several ends, by the end events' document order (design §4).
    pub(super) fn results(&self, ended: &[Token]) -> (Payload, Written) {
        if let [only] = ended {
            return (only.payload.clone(), only.written.clone());
        }
        let mut ends: Vec<&Token> = ended.iter().collect();
        ends.sort_by_key(|t| {
            let table = self.table(t.definition);
            (table.and_then(|table| table.find(t.element.as_str())), t.activation)
        });
        let branches: Vec<_> = ends.iter().map(|t| (&t.payload, &t.written)).collect();
        if branches.is_empty() { (Payload::default(), Written::default()) } else { merge(&branches) }
    }

    /// Terminate end event: the scope is over, whatever else is in it.
    pub(super) fn terminate(&mut self, token: Token) {
        let scope = token.scope;
        let mut ended = self.ended_in(scope);
        ended.push(token);
        self.close_inside(scope);
        self.scope_done(scope, &ended);
    }

    /// Everything inside of a scope is gone, at every depth.
    pub(super) fn close_inside(&mut self, scope: ScopeId) {
        let mut scopes = vec![scope];
        while let Some(at) = scopes.pop() {
            for activation in self.instance.inside(at) {
                self.instance.take(activation);
                scopes.push(activation);
            }
            self.instance.ended.remove(&at);
            self.instance.joins.retain(|(s, _), _| *s != at);
            self.pending.retain(|p| p.token.scope != at);
        }
        self.stirred = true;
    }
}

/// Where a scope begins: its none start events, else every element that no flow leads to.
pub(super) fn starts(table: &Compiled, parent: Option<NodeIx>) -> Vec<NodeIx> {
    let nodes = &table.table().nodes;
    let inside = || nodes.iter().enumerate().filter(move |(_, n)| n.parent == parent).map(|(i, n)| (i as NodeIx, n));
    let none = |n: &crate::table::Node| matches!(&n.kind, NodeKind::StartEvent(s) if s.catch.triggers.is_empty());
    let given: Vec<NodeIx> = inside().filter(|(_, n)| none(n)).map(|(i, _)| i).take(1).collect();
    if !given.is_empty() || parent.is_none() && inside().any(|(_, n)| matches!(n.kind, NodeKind::StartEvent(_))) {
        return given;
    }
    inside().filter(|(_, n)| is_entry(n)).map(|(i, _)| i).collect()
}

/// True of an element that begins by itself: no flow leads to it and nothing else starts it.
pub(super) fn is_entry(node: &crate::table::Node) -> bool {
    let for_compensation = node.marks.as_ref().is_some_and(|m| m.for_compensation);
    node.incoming.is_empty()
        && !for_compensation
        && !node.is_listener()
        && !node.kind.is_event_sub_process()
        && !matches!(node.kind, NodeKind::Boundary(_) | NodeKind::StartEvent(_))
}
