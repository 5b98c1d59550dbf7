//! Ad-hoc sub-processes (BPMN 10.3.5). Their tokens have no weight: the scope is done when nothing is left in it, or its condition says so.

use std::sync::Arc;

use serde_json::Value;

use super::data::written_values;
use super::scope::is_entry;
use super::{Reason, Run};
use crate::compiled::Compiled;
use crate::evaluate;
use crate::id::{ActivationId, ScopeId};
use crate::payload::Written;
use crate::table::{AdHoc, Collected, NodeIx, NodeKind, SubProcess};
use crate::token::Token;
use crate::weight::Weight;

impl Run<'_> {
    pub(super) fn begin_ad_hoc(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId, ad_hoc: &AdHoc) {
        let chosen = match self.chosen(table, scope, ad_hoc) {
            Ok(chosen) => chosen,
            Err(why) => return self.broken(scope, why),
        };
        let nodes = table.table().nodes.iter().enumerate().map(|(i, n)| (i as NodeIx, n));
        let begin: Vec<NodeIx> = nodes
            .filter(|(_, n)| n.parent == Some(node))
            .filter(|(_, n)| match &chosen {
                Some(ids) => ids.iter().any(|id| id == n.id.as_str()),
                None => is_entry(n),
            })
            .map(|(i, _)| i)
            .collect();
        let token = self.inner_token(table, scope, &table.table().node(node).id, "ad-hoc");
        let (now, later) = if ad_hoc.sequential { begin.split_at(begin.len().min(1)) } else { (&begin[..], &[][..]) };
        let queue = later.to_vec();
        self.change(scope, &token, |activity| {
            activity.queue = queue;
            if let Some(output) = &ad_hoc.output {
                activity.written.insert(output.collection.clone(), Value::Array(Vec::new()));
            }
        });
        for start in now {
            self.begin_one(table, scope, *start);
        }
        if begin.is_empty() {
            self.complete(scope, None);
        }
    }

    /// The elements that the model's list names.
    fn chosen(&self, table: &Arc<Compiled>, scope: ScopeId, ad_hoc: &AdHoc) -> Result<Option<Vec<String>>, String> {
        let Some(active) = &ad_hoc.active else { return Ok(None) };
        let seen = Value::Object(self.inner_view(table, scope));
        match evaluate::feel(table, active, &seen, self.now)? {
            Value::Array(list) => {
                let text = |value: Value| match value {
                    Value::String(id) => Ok(id),
                    other => Err(format!("the active elements {active:?} hold {other}, no element id")),
                };
                list.into_iter().map(text).collect::<Result<_, _>>().map(Some)
            }
            other => Err(format!("the active elements {active:?} are {other}, no list")),
        }
    }

    fn begin_one(&mut self, table: &Arc<Compiled>, scope: ScopeId, start: NodeIx) {
        let element = table.table().node(start).id.clone();
        let token = self.inner_token(table, scope, &element, element.as_str());
        let index = self.instance.next_order() as u32;
        let activation = ActivationId::product(&token.instance, scope, element.as_str(), index);
        let mut token = Token { activation, key: activation, weight: Weight::zero(), ..token };
        if let Some((_, activity)) = self.activity(scope) {
            let written = activity.written.clone();
            self.write(table, &mut token, written);
            token.written = Written::default();
        }
        self.enter_at(table, start, token);
    }

    /// What an ad-hoc sub-process collects.
    fn collected(&self, scope: ScopeId) -> Option<Collected> {
        let (stay, _) = self.activity(scope)?;
        let (table, node) = self.at(&stay.token)?;
        let NodeKind::SubProcess(kind) = &table.table().node(node).kind else { return None };
        match &**kind {
            SubProcess::AdHoc(ad_hoc) => ad_hoc.output.clone(),
            SubProcess::Embedded | SubProcess::Event | SubProcess::Transaction => None,
        }
    }

    /// What something inside has written is seen by what begins after it. The list is its own: tokens carry it as it was when they began.
    pub(super) fn written_in_ad_hoc(&mut self, scope: ScopeId, token: &Token) {
        let mut written = written_values(&token.payload, &token.written);
        if let Some(output) = self.collected(scope) {
            written.shift_remove(&output.collection);
        }
        self.change(scope, token, |activity| activity.written.extend(written));
    }

    /// A token has ended inside and adds to what is collected. False if it cannot be said what.
    pub(super) fn ended_in_ad_hoc(&mut self, scope: ScopeId, token: &Token) -> bool {
        self.written_in_ad_hoc(scope, token);
        let (Some(output), Some((table, _))) = (self.collected(scope), self.at(token)) else { return true };
        let seen = Value::Object(self.seen_by(&table, token));
        let item = match evaluate::feel(&table, &output.element, &seen, self.now) {
            Ok(item) => item,
            Err(why) => {
                self.broken(scope, why);
                return false;
            }
        };
        self.change(scope, token, |activity| {
            let list = activity.written.entry(output.collection).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(item);
            }
        });
        true
    }

    /// An inner activity has completed, or a token has ended: goes on, or is done.
    pub(super) fn ad_hoc_step(&mut self, scope: ScopeId) {
        let Some((stay, activity)) = self.activity(scope) else { return };
        let Some((table, node)) = self.at(&stay.token) else { return };
        let NodeKind::SubProcess(kind) = &table.table().node(node).kind else { return };
        let SubProcess::AdHoc(ad_hoc) = &**kind else { return };
        let (queue, written) = (activity.queue.clone(), activity.written.clone());
        if let Some(condition) = &ad_hoc.completion {
            let mut seen = self.inner_view(&table, scope);
            seen.extend(written);
            match evaluate::holds(&table, condition, &Value::Object(seen), self.now) {
                Ok(true) if ad_hoc.cancel_remaining => return self.ad_hoc_done(scope),
                Ok(true) => {
                    let token = stay.token.clone();
                    self.change(scope, &token, |activity| activity.queue.clear());
                    return self.ad_hoc_done_if_empty(scope);
                }
                Ok(false) => {}
                Err(why) => return self.broken(scope, why),
            }
        }
        if self.is_quiet(scope)
            && let Some((next, rest)) = queue.split_first()
        {
            let (token, rest) = (stay.token.clone(), rest.to_vec());
            self.change(scope, &token, |activity| activity.queue = rest);
            return self.begin_one(&table, scope, *next);
        }
        self.ad_hoc_done_if_empty(scope);
    }

    fn is_quiet(&self, scope: ScopeId) -> bool {
        let open = |a: &ActivationId| !matches!(self.instance.stay(*a).map(|s| &s.reason), None | Some(Reason::Ended));
        !self.pending.iter().any(|p| p.token.scope == scope) && !self.instance.inside(scope).iter().any(open)
    }

    fn ad_hoc_done_if_empty(&mut self, scope: ScopeId) {
        let waits = self.activity(scope).is_some_and(|(_, a)| !a.queue.is_empty());
        if !waits && self.is_quiet(scope) {
            self.ad_hoc_done(scope);
        }
    }

    fn ad_hoc_done(&mut self, scope: ScopeId) {
        let values = self.activity(scope).map(|(_, a)| a.written.clone()).unwrap_or_default();
        self.complete(scope, Some(super::data::as_written(values)));
    }
}
