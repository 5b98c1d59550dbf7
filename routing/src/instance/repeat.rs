//! Loops: standard and multi-instance (BPMN 10.3.7).
//!
//! The loop is an activity record with one activity record per instance inside; what an instance leaves behind is a record of its own,
//! so that completing one of many thousands costs the same as completing one of two.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Activity, Body, Iteration, Looped, Reason, Run, Stay, Subscription};
use crate::compiled::Compiled;
use crate::evaluate::{self, Variables};
use crate::id::{ActivationId, ScopeId};
use crate::payload::{Payload, Written};
use crate::table::{Behavior, MultiInstance, NodeIx, Repeat, Throw};
use crate::token::Token;
use crate::weight::Weight;

/// Instances of one loop at most.
const MAX_INSTANCES: u32 = 100_000;

impl Run<'_> {
    pub(super) fn begin_loop(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        token: Token,
        repeat: &Repeat,
        subscriptions: Vec<Subscription>,
    ) {
        match repeat {
            Repeat::Standard { .. } => {
                let scope = token.activation;
                let activity = Activity { body: Body::Loop(Looped::default()), ..Activity::default() };
                self.stay(token, Reason::Activity(Box::new(activity)), subscriptions);
                self.next_iteration(table, node, scope, 0);
            }
            Repeat::Multi(multi) => match self.items(table, &token, multi) {
                Ok(items) => self.begin_multi(table, node, token, multi, items, subscriptions),
                Err(why) => self.expression_failed(token, why),
            },
        }
    }

    /// The elements of the collection, or as many nulls as the cardinality says.
    fn items(&self, table: &Arc<Compiled>, token: &Token, multi: &MultiInstance) -> Result<Vec<Value>, String> {
        let seen = Value::Object(self.seen_by(table, token));
        let items = match (&multi.collection, &multi.cardinality) {
            (Some(collection), _) => match evaluate::feel(table, collection, &seen, self.now)? {
                Value::Array(items) => items,
                other => return Err(format!("the collection {collection:?} is {other}, no list")),
            },
            (None, Some(cardinality)) => {
                let value = evaluate::feel(table, cardinality, &seen, self.now)?;
                let count = value.to_string().parse::<f64>().ok().filter(|n| n.fract() == 0.0 && *n >= 0.0);
                let count = count.ok_or_else(|| format!("the cardinality {cardinality:?} is {value}, no count"))?;
                if count > f64::from(MAX_INSTANCES) {
                    return Err(format!("{count} instances; at most {MAX_INSTANCES}"));
                }
                vec![Value::Null; count as usize]
            }
            (None, None) => return Err("multi-instance needs a collection or a cardinality".to_owned()),
        };
        if items.len() > MAX_INSTANCES as usize {
            return Err(format!("{} instances; at most {MAX_INSTANCES}", items.len()));
        }
        Ok(items)
    }

    fn begin_multi(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        token: Token,
        multi: &MultiInstance,
        mut items: Vec<Value>,
        subscriptions: Vec<Subscription>,
    ) {
        let scope = token.activation;
        let total = u32::try_from(items.len()).unwrap_or(MAX_INSTANCES);
        let mut looped = Looped { total: Some(total), items: Vec::new() };
        if multi.sequential {
            let first = items.first().cloned();
            looped.items = std::mem::replace(&mut items, Vec::from_iter(first));
        }
        let activity = Activity { body: Body::Loop(looped), ..Activity::default() };
        self.stay(token, Reason::Activity(Box::new(activity)), subscriptions);
        if total == 0 {
            return self.loop_done(scope, multi);
        }
        for (index, item) in items.into_iter().enumerate() {
            if self.activity(scope).is_none() {
                return;
            }
            self.begin_instance(table, node, scope, multi, index as u32, item);
        }
    }

    fn begin_instance(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        scope: ScopeId,
        multi: &MultiInstance,
        index: u32,
        item: Value,
    ) {
        let mut locals = Variables::new();
        locals.insert("loopCounter".to_owned(), json!(index + 1));
        if let Some(name) = &multi.element {
            locals.insert(name.clone(), item);
        }
        self.begin_iteration(table, node, scope, index, locals);
    }

    fn begin_iteration(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId, index: u32, locals: Variables) {
        let Some((stay, _)) = self.activity(scope) else { return };
        let owner = stay.token.clone();
        let activation = ActivationId::product(&owner.instance, scope, "instance", index);
        let mut payload = owner.payload.clone();
        if !table.table().settings.homed {
            let mut all = super::data::variables(&payload);
            all.extend(locals.clone());
            payload = Payload::json(&Value::Object(all));
        }
        let token = Token {
            activation,
            key: activation,
            parent: scope,
            scope,
            flow: None,
            generation: 0,
            weight: Weight::zero(),
            written: Written::default(),
            emitted: self.now,
            payload,
            ..owner
        };
        let activity = Activity { locals, iteration: Some(Iteration { index }), ..Activity::default() };
        self.begin(table, node, token, activity, Vec::new());
    }

    /// An instance of the loop that this record was has written this.
    pub(super) fn iterated(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        stay: &Stay,
        Iteration { index }: Iteration,
        kept: Variables,
    ) {
        let scope = stay.token.scope;
        self.passed(table, node, &stay.token, stay.since, "completed");
        let Reason::Activity(activity) = &stay.reason else { return };
        let marks = table.table().node(node).marks.clone();
        match marks.and_then(|m| m.repeat) {
            Some(Repeat::Standard { .. }) => {
                if let Some(mut outer) = self.instance.take(scope) {
                    self.write(table, &mut outer.token, kept);
                    self.instance.put(outer);
                }
                self.next_iteration(table, node, scope, index + 1);
            }
            Some(Repeat::Multi(multi)) => {
                let value = match self.output_element(table, stay, activity, &multi, &kept) {
                    Ok(value) => value,
                    Err(why) => return self.broken(scope, why),
                };
                let reason = Reason::Output { index, value, written: kept };
                let left = Token { payload: Payload::default(), weight: Weight::zero(), ..stay.token.clone() };
                self.stay(left, reason, Vec::new());
                self.after_instance(table, node, scope, &multi, index);
            }
            None => {}
        }
    }

    fn output_element(
        &self,
        table: &Arc<Compiled>,
        stay: &Stay,
        activity: &Activity,
        multi: &MultiInstance,
        kept: &Variables,
    ) -> Result<Value, String> {
        let Some(element) = &multi.output_element else { return Ok(Value::Null) };
        let mut seen = self.seen_by(table, &stay.token);
        seen.extend(activity.locals.clone());
        seen.extend(kept.clone());
        evaluate::feel(table, element, &Value::Object(seen), self.now)
    }

    fn after_instance(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        scope: ScopeId,
        multi: &MultiInstance,
        index: u32,
    ) {
        self.throw_behavior(table, node, scope, multi);
        let Some((stay, activity)) = self.activity(scope) else { return };
        let Body::Loop(looped) = &activity.body else { return };
        let (counts, total) = (self.instance.counts(scope), looped.total.unwrap_or(0));
        if let Some(condition) = &multi.completion_condition {
            let mut seen = self.seen_by(table, &stay.token);
            seen.extend(self.loop_variables(scope));
            match evaluate::holds(table, condition, &Value::Object(seen), self.now) {
                Ok(true) => return self.loop_done(scope, multi),
                Ok(false) => {}
                Err(why) => return self.broken(scope, why),
            }
        }
        if counts.done >= total {
            return self.loop_done(scope, multi);
        }
        if multi.sequential {
            let item = looped.items.get(index as usize + 1).cloned().unwrap_or_default();
            self.begin_instance(table, node, scope, multi, index + 1, item);
        }
    }

    fn loop_variables(&self, scope: ScopeId) -> Variables {
        let counts = self.instance.counts(scope);
        let looped =
            self.activity(scope).and_then(|(_, a)| if let Body::Loop(looped) = &a.body { Some(looped) } else { None });
        let total = looped.and_then(|l| l.total).unwrap_or(counts.active + counts.done);
        let mut variables = Variables::new();
        let mut set = |name: &str, n: u32| variables.insert(name.to_owned(), json!(n));
        set("numberOfInstances", total);
        set("numberOfActiveInstances", counts.active);
        set("numberOfCompletedInstances", counts.done);
        // instances are cancelled when the loop is over, and then nobody asks
        set("numberOfTerminatedInstances", 0);
        // Camunda 7's names
        set("nrOfInstances", total);
        set("nrOfActiveInstances", counts.active);
        set("nrOfCompletedInstances", counts.done);
        variables
    }

    /// The events that a completing instance throws, for the boundary events of the activity.
    fn throw_behavior(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId, multi: &MultiInstance) {
        let throws: Vec<Throw> = match &multi.behavior {
            Behavior::All => Vec::new(),
            Behavior::None(event) => event.iter().cloned().collect(),
            Behavior::One(event) if self.instance.counts(scope).done == 1 => event.iter().cloned().collect(),
            Behavior::One(_) => Vec::new(),
            Behavior::Complex(definitions) => {
                let Some((stay, _)) = self.activity(scope) else { return };
                let mut seen = self.seen_by(table, &stay.token);
                seen.extend(self.loop_variables(scope));
                let seen = Value::Object(seen);
                let holds = |(condition, _): &&(String, Throw)| {
                    evaluate::holds(table, condition, &seen, self.now).unwrap_or(false)
                };
                definitions.iter().filter(holds).map(|(_, event)| event.clone()).collect()
            }
        };
        for event in throws {
            let Some((stay, _)) = self.activity(scope) else { return };
            let token = stay.token.clone();
            self.throw_at_boundary(table, node, &token, &event);
        }
    }

    /// The loop is over: what still runs is cancelled, outputs are collected in order, and the activity completes.
    fn loop_done(&mut self, scope: ScopeId, multi: &MultiInstance) {
        let mut left: Vec<(u32, Value, Variables)> = Vec::new();
        for activation in self.instance.inside(scope) {
            if let Some(Reason::Output { index, value, written }) = self.instance.stay(activation).map(|s| &s.reason) {
                left.push((*index, value.clone(), written.clone()));
            }
        }
        left.sort_by_key(|(index, ..)| *index);
        let mut kept = Variables::new();
        let mut outputs = Vec::with_capacity(left.len());
        for (index, value, written) in left {
            kept.extend(written);
            // in the order of the collection; what was cancelled leaves null behind
            outputs.resize(outputs.len().max(index as usize), Value::Null);
            outputs.push(value);
        }
        if let Some(name) = &multi.output_collection {
            kept.insert(name.clone(), Value::Array(outputs));
        }
        self.complete_mapped(scope, kept, None);
    }

    /// Standard loop: begins instance `index`, or ends.
    fn next_iteration(&mut self, table: &Arc<Compiled>, node: NodeIx, scope: ScopeId, index: u32) {
        let Some(Repeat::Standard { test_before, maximum, condition }) =
            table.table().node(node).marks.as_ref().and_then(|m| m.repeat.clone())
        else {
            return;
        };
        let Some((stay, _)) = self.activity(scope) else { return };
        let mut seen = self.seen_by(table, &stay.token);
        seen.insert("loopCounter".to_owned(), json!(index));
        let seen = Value::Object(seen);
        let most = match maximum.map(|m| evaluate::text(table, &m, &seen, self.now)).transpose() {
            Ok(most) => most.and_then(|m| m.trim().parse::<u32>().ok()).unwrap_or(MAX_INSTANCES),
            Err(why) => return self.broken(scope, why),
        };
        let asked = test_before || index > 0;
        let goes_on = match &condition {
            Some(condition) if asked => match evaluate::holds(table, condition, &seen, self.now) {
                Ok(goes_on) => goes_on,
                Err(why) => return self.broken(scope, why),
            },
            _ => true,
        };
        if !goes_on || index >= most {
            return self.complete_mapped(scope, Variables::new(), None);
        }
        self.begin_iteration(
            table,
            node,
            scope,
            index,
            Variables::from_iter([("loopCounter".to_owned(), json!(index + 1))]),
        );
    }
}
