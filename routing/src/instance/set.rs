//! An operator sets variables of a scope: the process, or an open activity.
//!
//! In a homed process the scope holds them, and everybody inside sees them from then on. Elsewhere tokens carry their variables, so all
//! tokens of the scope must be at the ledger: every one of them is changed, or none. A variable that an inner scope has as its own stays as it is.

use serde_json::Value;

use super::{Activity, Body, Instance, Reason, Run, Stay, Tables};
use crate::evaluate::Variables;
use crate::id::{Digest, ScopeId};
use crate::payload::Payload;
use crate::token::Token;
use crate::weight::Weight;

const ELSEWHERE: &str =
    "tokens of it are with sidecars: suspend the instance, and try again when they have come to flowd";

impl Run<'_> {
    /// Sets `values` in the innermost open activity that `scope` names (element or activation id), or in the process.
    ///
    /// # Errors
    /// There is no such activity, or a token of the scope is not at the ledger or carries no JSON object; nothing is changed then.
    pub fn set_variables(mut self, scope: Option<&str>, values: &Variables) -> Result<(), String> {
        let scope = match scope {
            None => self.instance.root(),
            Some(name) => self.named(name)?,
        };
        let owner = self.owner(scope).ok_or(ELSEWHERE)?;
        let table = self.table(owner.definition).ok_or("flowd has no table of it; apply the same file again")?;
        if !table.table().settings.homed {
            self.carry(scope, values)?;
        }
        if table.table().settings.homed || scope != self.instance.root() {
            let token = owner.token;
            for (name, value) in values {
                self.note_change(Some(scope), name, Some(value));
            }
            self.change(scope, &token, |activity| activity.locals.extend(values.clone()));
        }
        self.stirred = true;
        self.settle();
        Ok(())
    }

    /// The open activity that is meant; of several with the same element it must be named by its activation.
    fn named(&self, name: &str) -> Result<ScopeId, String> {
        let open =
            |stay: &&Stay| matches!(stay.reason, Reason::Activity(_)) && stay.token.activation != self.instance.root();
        let meant = |stay: &&Stay| stay.token.element.as_str() == name || stay.token.activation.to_string() == name;
        let found: Vec<ScopeId> =
            self.instance.stays().filter(open).filter(meant).map(|it| it.token.activation).collect();
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(format!("no activity {name:?} is open in it; `flowctl describe` shows what is")),
            several => {
                let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
                Err(format!("{} activities {name:?} are open in it: name one of {}", several.len(), ids.join(", ")))
            }
        }
    }

    fn owner(&self, scope: ScopeId) -> Option<Owner> {
        if scope == self.instance.root() {
            let inside = self.instance.stays().find(|it| it.token.scope == scope || it.token.activation == scope)?;
            return Some(Owner { definition: inside.token.definition, token: inside.token.clone() });
        }
        let (stay, activity) = self.activity(scope)?;
        let definition = match activity.body {
            Body::Call(called) => called,
            _ => stay.token.definition,
        };
        Some(Owner { definition, token: stay.token.clone() })
    }

    /// Every token inside of the scope carries the values from now on, and what it carries it has written.
    fn carry(&mut self, scope: ScopeId, values: &Variables) -> Result<(), String> {
        let mut changed = Vec::new();
        self.collect(scope, values, scope == self.instance.root(), &mut changed)?;
        for token in changed {
            self.instance.carries(token);
        }
        let tables = self.tables;
        self.instance.rejoin(tables);
        Ok(())
    }

    fn collect(
        &self,
        scope: ScopeId,
        values: &Variables,
        writes: bool,
        changed: &mut Vec<Token>,
    ) -> Result<(), String> {
        self.all_here(scope)?;
        for activation in self.instance.inside(scope) {
            let Some(stay) = self.instance.stay(activation) else { continue };
            if let Reason::Activity(activity) = &stay.reason {
                if activity.body == Body::Service || activity.listening.is_some() {
                    return Err(format!(
                        "{} is being called: suspend the instance, and try again when it has answered",
                        stay.token.element
                    ));
                }
                let seen: Variables = values
                    .iter()
                    .filter(|(name, _)| !activity.locals.contains_key(*name))
                    .map(|(n, v)| (n.clone(), v.clone()))
                    .collect();
                if !matches!(activity.body, Body::Call(_)) {
                    self.collect(activation, &seen, writes, changed)?;
                }
            }
            let mut token = stay.token.clone();
            let Some(Value::Object(mut carried)) = token.payload.to_json() else {
                return Err(format!(
                    "what its token at {} carries is no JSON object: `flowctl start --data` replaces it as a whole",
                    token.element
                ));
            };
            carried.extend(values.clone());
            token.payload = Payload::json(&Value::Object(carried));
            if writes {
                values.keys().for_each(|name| token.written.key(name));
            }
            changed.push(token);
        }
        Ok(())
    }

    /// That no token of the scope itself is with a sidecar.
    fn all_here(&self, scope: ScopeId) -> Result<(), String> {
        let counts =
            |activity: &Activity| matches!(activity.body, Body::Scope | Body::Call(_)) && !activity.interrupted;
        if scope != self.instance.root() && !self.activity(scope).is_some_and(|(_, it)| counts(it)) {
            return Ok(());
        }
        let inside = self.instance.inside(scope);
        let weights = inside.iter().filter_map(|it| self.instance.stay(*it)).map(|it| &it.token.weight);
        let here = weights.fold(Weight::zero(), |sum, it| sum.plus(it));
        if here.is_one() {
            return Ok(());
        }
        Err(ELSEWHERE.to_owned())
    }
}

/// Whose variables a scope's are.
struct Owner {
    definition: Digest,
    token: Token,
}

impl Instance {
    /// The token of a record, with what it carries now.
    fn carries(&mut self, token: Token) {
        self.note(token.activation);
        if let Some(stay) = self.stays.get_mut(&token.activation) {
            stay.token = token;
        }
    }

    /// Joins hold what their records say.
    pub(super) fn rejoin(&mut self, tables: &dyn Tables) {
        self.joins.clear();
        let mut joining: Vec<_> = self.stays.values().filter(|it| it.reason == Reason::Joining).cloned().collect();
        joining.sort_by_key(|it| it.order);
        for stay in joining {
            if let Some(table) = tables.table(stay.token.definition)
                && let Some(node) = table.find(stay.token.element.as_str())
            {
                self.join_at(&table, node, &stay.token).arrive(stay.token.clone());
            }
        }
    }
}
