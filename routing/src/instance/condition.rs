//! Conditional events (BPMN 10.5.5): asked when something has moved, or, with a filter, when one of their variables has changed.

use serde_json::Value;

use super::{On, Reason, Run, Subscription};
use crate::evaluate;
use crate::id::{ActivationId, ScopeId};
use crate::table::Filter;

/// What has become of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It was not there before.
    Created,
    /// It was.
    Updated,
}

impl Run<'_> {
    /// Conditions that ask for changes of this variable are told of it, if it is one.
    pub(super) fn note_change(&mut self, owner: Option<ScopeId>, name: &str, value: Option<&Value>) {
        let before = owner.and_then(|it| self.activity(it)).and_then(|(_, it)| it.locals.get(name));
        if before != value {
            let change = if before.is_some() { Change::Updated } else { Change::Created };
            self.changed.push((name.to_owned(), change));
        }
    }

    /// Conditional events whose condition has become true fire.
    pub(super) fn ask_conditions(&mut self) {
        let waiting: Vec<(ActivationId, Subscription)> = (self.instance.stays.values())
            .flat_map(|stay| stay.subscriptions.iter().map(|s| (stay.token.activation, s.clone())))
            .filter(|(_, s)| matches!(s.on, On::Conditional { .. }))
            .collect();
        let changed = std::mem::take(&mut self.changed);
        for (activation, what) in waiting {
            let On::Conditional { condition, held, filter, asked } = &what.on else { continue };
            if *asked && filter.as_ref().is_some_and(|it| !passes(it, &changed)) {
                continue;
            }
            let Some(stay) = self.instance.stay(activation) else { continue };
            let Some(table) = self.table_of(stay, &what) else { continue };
            let seen = match &stay.reason {
                Reason::Activity(_) => self.inner_view(&table, activation),
                _ => self.seen_by(&table, &stay.token),
            };
            let holds = evaluate::holds(&table, condition, &Value::Object(seen), self.now).unwrap_or(false);
            if holds && !held {
                self.fire_one(activation, &what, None);
            } else if (holds != *held || filter.is_some() && !asked)
                && let Some(mut stay) = self.instance.take(activation)
            {
                for subscription in stay.subscriptions.iter_mut().filter(|s| **s == what) {
                    subscription.on = On::Conditional {
                        condition: condition.clone(),
                        held: holds,
                        filter: filter.clone(),
                        asked: filter.is_some(),
                    };
                }
                self.instance.put(stay);
            }
        }
    }
}

/// Whether one of the changes is of those that a filter names.
fn passes(filter: &Filter, changed: &[(String, Change)]) -> bool {
    changed.iter().any(|(name, change)| {
        let named = filter.variables.is_empty() || filter.variables.iter().any(|it| it == name);
        named
            && match change {
                Change::Created => filter.created,
                Change::Updated => filter.updated,
            }
    })
}
