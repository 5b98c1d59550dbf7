//! Variables: carried by tokens, or, in homed processes, held by the ledger's scopes (design §4).

use std::sync::Arc;

use serde_json::Value;

use super::{Activity, Body, Instance, Reason, Run, Stay};
use crate::compiled::Compiled;
use crate::evaluate::{self, Variables};
use crate::id::ScopeId;
use crate::payload::{Payload, Written};
use crate::table::{Assignment, Mapping, NodeIx};
use crate::token::Token;

/// The payload's variables; none when it is no JSON object.
pub(super) fn variables(payload: &Payload) -> Variables {
    match payload.to_json() {
        Some(Value::Object(map)) => map,
        _ => Variables::new(),
    }
}

impl Instance {
    /// The open activity that is a scope.
    pub(super) fn activity(&self, scope: ScopeId) -> Option<(&Stay, &Activity)> {
        let stay = self.stay(scope)?;
        match &stay.reason {
            Reason::Activity(activity) => Some((stay, activity)),
            _ => None,
        }
    }

    /// Scopes from `scope` outwards, up to the process it belongs to.
    fn chain(&self, scope: ScopeId) -> Vec<ScopeId> {
        let mut chain = vec![scope];
        let mut at = scope;
        while let Some((stay, activity)) = self.activity(at) {
            if matches!(activity.body, Body::Call(_)) || at == self.root() {
                break;
            }
            at = stay.token.scope;
            chain.push(at);
        }
        chain
    }

    /// What a token in this scope of a homed process sees.
    fn view(&self, scope: ScopeId) -> Variables {
        let mut view = Variables::new();
        for scope in self.chain(scope).into_iter().rev() {
            if let Some((_, activity)) = self.activity(scope) {
                view.extend(activity.locals.clone());
            }
        }
        view
    }

    /// What an activity's inside sees.
    pub(super) fn inner_view(&self, table: &Compiled, scope: ScopeId) -> Variables {
        let Some((stay, activity)) = self.activity(scope) else { return Variables::new() };
        if table.table().settings.homed {
            return self.view(scope);
        }
        let mut all = variables(&stay.token.payload);
        all.extend(activity.locals.clone());
        all
    }
}

impl Run<'_> {
    /// What a token in this scope of a homed process sees.
    fn view(&self, scope: ScopeId) -> Variables {
        self.instance.view(scope)
    }

    /// Sets variables where they are: in the innermost scope that has them as its own, else in the process.
    fn set(&mut self, scope: ScopeId, token: &Token, name: &str, value: Option<Value>) {
        let chain = self.instance.chain(scope);
        let owner = chain.iter().copied().find(|s| self.activity(*s).is_some_and(|(_, a)| a.locals.contains_key(name)));
        self.note_change(owner, name, value.as_ref());
        let Some(owner) = owner.or(chain.last().copied()) else { return };
        self.change(owner, token, |activity| match value {
            Some(value) => {
                activity.locals.insert(name.to_owned(), value);
            }
            None => {
                activity.locals.shift_remove(name);
            }
        });
        self.stirred = true;
    }

    /// In a homed process: what the token wrote goes to its scopes, and it sees what they hold.
    pub(super) fn absorb(&mut self, table: &Arc<Compiled>, token: &mut Token) {
        if !table.table().settings.homed {
            return;
        }
        let Some(Value::Object(carried)) = token.payload.to_json() else { return };
        let written = std::mem::take(&mut token.written);
        let names: Vec<&String> = written.frames().iter().flat_map(|f| &f.keys).collect();
        for name in names {
            self.set(token.scope, token, name, carried.get(name).cloned());
        }
        token.payload = Payload::json(&Value::Object(self.view(token.scope)));
    }

    /// In a homed process: the token sees what its scopes hold now.
    pub(super) fn refresh(&self, table: &Arc<Compiled>, token: &mut Token) {
        if table.table().settings.homed && token.payload.claims_json() {
            token.written = Written::default();
            token.payload = Payload::json(&Value::Object(self.view(token.scope)));
        }
    }

    /// The variables that a token sees.
    pub(super) fn seen_by(&self, table: &Arc<Compiled>, token: &Token) -> Variables {
        if table.table().settings.homed { self.view(token.scope) } else { variables(&token.payload) }
    }

    /// Writes variables in the token's scope.
    pub(super) fn write(&mut self, table: &Arc<Compiled>, token: &mut Token, values: Variables) {
        if values.is_empty() {
            return;
        }
        let mut all = variables(&token.payload);
        values.keys().for_each(|name| token.written.key(name));
        all.extend(values);
        token.payload = Payload::json(&Value::Object(all));
        self.absorb(table, token);
    }

    /// What came with an event, through the element's output mapping.
    pub(super) fn receive(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        token: &mut Token,
        payload: Option<&Payload>,
    ) -> Result<(), String> {
        let outputs = outputs(table.table().node(node).mapping.as_deref());
        let came = payload.map(variables).unwrap_or_default();
        if outputs.is_empty() {
            self.write(table, token, came);
            return Ok(());
        }
        let mut inner = self.seen_by(table, token);
        inner.extend(came);
        let kept = evaluate::assign(table, outputs, &mut inner, self.now)?;
        self.write(table, token, kept);
        Ok(())
    }

    /// The local variables that an element begins with: its inputs.
    pub(super) fn inputs(&self, table: &Arc<Compiled>, node: NodeIx, token: &Token) -> Result<Variables, String> {
        let Some(mapping) = table.table().node(node).mapping.as_deref() else { return Ok(Variables::new()) };
        let mut inner = self.seen_by(table, token);
        evaluate::assign(table, &mapping.inputs, &mut inner, self.now)
    }

    /// A token that enters a scope: the owner's variables and the scope's own, nothing written yet.
    pub(super) fn inner_payload(table: &Arc<Compiled>, owner: &Payload, activity: &Activity) -> Payload {
        if table.table().settings.homed || activity.locals.is_empty() {
            return owner.clone();
        }
        let mut all = variables(owner);
        all.extend(activity.locals.clone());
        Payload::json(&Value::Object(all))
    }
}

/// A payload of these variables, each of them written.
pub(super) fn as_written(values: Variables) -> (Payload, Written) {
    let mut names = Written::default();
    values.keys().for_each(|name| names.key(name));
    (Payload::json(&Value::Object(values)), names)
}

/// The keys that a payload's frames say were written, with their values; keys that are gone are null.
pub(super) fn written_values(payload: &Payload, written: &Written) -> Variables {
    let mut all = variables(payload);
    let names = written.frames().iter().flat_map(|f| &f.keys);
    names.map(|name| (name.clone(), all.remove(name).unwrap_or(Value::Null))).collect()
}

pub(super) fn outputs(mapping: Option<&Mapping>) -> &[Assignment] {
    mapping.map_or(&[], |m| &m.outputs)
}
