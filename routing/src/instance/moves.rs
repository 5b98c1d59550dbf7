//! An operator moves tokens from one element to another: all of the moves, or none.
//!
//! What was open at the element is closed as by an interrupting event; the token keeps its weight, its variables and its scope, and enters the
//! other element as if a flow had led there. It does not cross scopes, and it does not reach for tokens that sidecars hold.

use super::{Body, Reason, Run, Stay};
use crate::compiled::Compiled;
use crate::evaluate::Variables;
use crate::id::{ActivationId, ElementId};
use crate::table::{Node, NodeKind};
use crate::token::{Product, To, Token};
use crate::weight::Weight;

impl Run<'_> {
    /// Moves every token at each first element (or the one with that activation id) to the second, and has it write `values`.
    ///
    /// # Errors
    /// No such token is at the ledger, or it cannot be at the other element; nothing has changed for whoever drops the instance then.
    pub fn move_tokens(mut self, moves: &[(String, String)], values: &Variables) -> Result<(), String> {
        let mut planned: Vec<(ActivationId, &str)> = Vec::new();
        for (from, to) in moves {
            for activation in self.movable(from)? {
                if planned.iter().any(|(other, _)| *other == activation) {
                    return Err(format!("the token at {from} would move twice"));
                }
                planned.push((activation, to));
            }
        }
        for (activation, to) in planned {
            self.move_one(activation, to, values)?;
        }
        let tables = self.tables;
        self.instance.rejoin(tables);
        self.stirred = true;
        self.settle();
        Ok(())
    }

    /// The tokens at an element; of an activity that is open in several ways (a loop, a task at its service) the outermost.
    fn movable(&self, from: &str) -> Result<Vec<ActivationId>, String> {
        let here = |stay: &&Stay| stay.token.element.as_str() == from || stay.token.activation.to_string() == from;
        let alive = |stay: &&Stay| {
            let gone = matches!(stay.reason, Reason::Ended | Reason::Output { .. } | Reason::Reset(_));
            !gone
                && stay.token.activation != self.instance.root()
                && !self.serves(&stay.token)
                && !self.is_iteration(stay)
        };
        let found: Vec<&Stay> = self.instance.stays().filter(here).filter(alive).collect();
        if found.is_empty() {
            return Err(format!(
                "no token at {from:?} is at flowd; one that a sidecar holds can be moved once it waits, fails or has gone on"
            ));
        }
        let fixed = |stay: &&&Stay| stay.token.weight == Weight::zero() || self.is_uncounted(stay.token.scope);
        if let Some(stay) = found.iter().find(fixed) {
            return Err(format!(
                "{} runs beside the tokens of its scope (compensation, ad-hoc) and cannot be moved",
                stay.token.element
            ));
        }
        Ok(found.iter().map(|it| it.token.activation).collect())
    }

    fn is_iteration(&self, stay: &Stay) -> bool {
        let loops = |(_, activity): (&Stay, &super::Activity)| matches!(activity.body, Body::Loop(_));
        self.activity(stay.token.scope).is_some_and(loops)
    }

    fn move_one(&mut self, activation: ActivationId, to: &str, values: &Variables) -> Result<(), String> {
        let Some(stay) = self.instance.stay(activation).cloned() else {
            return Err(format!("the token that should go to {to} is inside of one that is moved too"));
        };
        let missing = || format!("flowd has no table with {}; apply the same file again", stay.token.element);
        let (table, from) = self.at(&stay.token).ok_or_else(missing)?;
        enterable(&table, table.table().node(from), to)?;
        self.close_inside(activation);
        self.instance.take(activation);
        self.instance.saw(activation);
        self.passed(&table, from, &stay.token, stay.since, "moved");
        let nth = self.instance.next_order() as u32;
        let moved = ActivationId::product(&stay.token.instance, activation, to, nth);
        let mut token = Token {
            element: ElementId::from(to),
            flow: None,
            activation: moved,
            key: moved,
            parent: activation,
            generation: 0,
            attempts: 0,
            emitted: self.now,
            ..stay.token
        };
        self.write(&table, &mut token, values.clone());
        self.pending.push_back(Product { token, to: To::Ledger });
        Ok(())
    }
}

/// That a token from `from` can enter `to`.
fn enterable(table: &Compiled, from: &Node, to: &str) -> Result<(), String> {
    let table = table.table();
    let Some(node) = table.find(to).map(|ix| table.node(ix)) else {
        return Err(format!("{} has no element {to:?} that a token can be at", table.process));
    };
    if node.parent != from.parent {
        return Err(format!("{to} is not in the same sub-process as {}: a token cannot cross scopes", from.id));
    }
    let several = node.incoming.len() > 1;
    match &node.kind {
        NodeKind::StartEvent(_) | NodeKind::Boundary(_) | NodeKind::Elsewhere => {
            Err(format!("{to} is a {}, which no flow leads to: move to what follows it", node.element))
        }
        NodeKind::ParallelGateway | NodeKind::InclusiveGateway | NodeKind::ComplexGateway { .. } if several => Err(
            format!("{to} joins flows, and a token that is moved comes by none: move to what is before or behind it"),
        ),
        kind if kind.is_event_sub_process() || node.marks.as_ref().is_some_and(|it| it.for_compensation) => {
            Err(format!("{to} begins by an event or as compensation: no token can be moved there"))
        }
        _ => Ok(()),
    }
}
