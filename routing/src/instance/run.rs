//! One thing that happens, and everything that follows from it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::condition::Change;
use super::{Activity, Body, Effect, Instance, Reason, Stay, Tables};
use crate::advance::{Advanced, Passed, advance_times};
use crate::compiled::Compiled;
use crate::failure::{Failure, FailureCode, Resume};
use crate::id::{ActivationId, Digest, ScopeId};
use crate::payload::{Payload, Written};
use crate::step;
use crate::table::{Moment, NodeIx, NodeKind};
use crate::token::{Product, Timestamp, To, Token};
use crate::weight::Weight;

/// Tokens that one run may move at the ledger before the instance counts as looping.
const BUDGET: u32 = 20_000;

/// Carries out one input; see the module's documentation.
pub struct Run<'a> {
    pub(super) instance: &'a mut Instance,
    pub(super) tables: &'a dyn Tables,
    pub(super) now: Timestamp,
    pub(super) effects: &'a mut Vec<Effect>,
    pub(super) pending: VecDeque<Product>,
    pub(super) over: bool,
    /// Something moved or died: joins and conditions are to be asked again.
    pub(super) stirred: bool,
    /// Variables that have changed since conditions were asked, of a homed process.
    pub(super) changed: Vec<(String, Change)>,
    steps: u32,
}

impl<'a> Run<'a> {
    /// A run at `now`; effects are appended.
    pub fn new(
        instance: &'a mut Instance,
        tables: &'a dyn Tables,
        now: Timestamp,
        effects: &'a mut Vec<Effect>,
    ) -> Self {
        Self {
            instance,
            tables,
            now,
            effects,
            pending: VecDeque::new(),
            over: false,
            stirred: false,
            changed: Vec::new(),
            steps: 0,
        }
    }

    /// A sidecar's product. What was reported before, or belongs to a scope that is closed, is taken and forgotten.
    pub fn report(mut self, product: Product) {
        let activation = product.token.activation;
        if self.instance.knows(activation) {
            return;
        }
        if self.is_open(product.token.scope) {
            self.pending.push_back(product);
            self.settle();
        }
        if self.instance.stay(activation).is_none() {
            self.instance.saw(activation);
        }
    }

    /// A time set by [`Reason::Again`] has come.
    pub fn again(mut self, activation: ActivationId) {
        if !matches!(self.instance.stay(activation).map(|s| &s.reason), Some(Reason::Again(_))) {
            return;
        }
        let Some(stay) = self.instance.take(activation) else { return };
        self.instance.saw(activation);
        let now = self.now;
        self.offer(stay.token.anew(false, now));
        self.settle();
    }

    /// An operator starts an incident again, perhaps with another payload.
    pub fn resume(mut self, activation: ActivationId, payload: Option<&Payload>, same_key: bool) {
        let stuck = |reason: &Reason| matches!(reason, Reason::Incident(_) | Reason::Held);
        if !self.instance.stay(activation).is_some_and(|s| stuck(&s.reason)) {
            return;
        }
        let Some(stay) = self.instance.take(activation) else { return };
        self.instance.saw(activation);
        let now = self.now;
        let (resume, output, status) = match stay.reason {
            Reason::Incident(failure) if activation != self.instance.root() => {
                (failure.resume, failure.output, failure.status)
            }
            // it has not begun
            _ => {
                let token = stay.token;
                let token = match payload {
                    Some(payload) => Token { payload: payload.clone(), ..token },
                    None => token,
                };
                return self.start(token);
            }
        };
        let mut token = stay.token;
        let Some((table, node)) = self.at(&token) else { return self.lost(token) };
        if resume == Resume::Map {
            let answer = payload.cloned().or(output).unwrap_or_default();
            let token = token.anew(!same_key, now);
            for effect in step::complete(&table, node, &token, token.attempts, (&answer, status), now) {
                if let step::Effect::Decided(decision) = effect {
                    self.pending.extend(decision.products);
                }
            }
        } else {
            if let Some(payload) = payload {
                token.written.replaced(&token.payload, payload);
                token.payload = payload.clone();
            }
            token.attempts = 0;
            let token = token.anew(!same_key, now);
            match resume {
                Resume::Leave => self.leave(&table, node, token, 1),
                _ if self.serves(&token) || self.listens(&token) => self.offer(token),
                _ => self.pending.push_back(Product { token, to: To::Ledger }),
            }
        }
        self.settle();
    }

    /// Everything that is still to move moves; then joins and conditions are asked, until nothing changes.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(product) = self.pending.pop_front() {
                if self.over {
                    return;
                }
                self.stirred = true;
                if self.instance.is_suspended() && matches!(product.to, To::Service(_) | To::Ledger) {
                    self.park(product.token);
                    continue;
                }
                self.steps += 1;
                if self.steps > BUDGET {
                    let why = format!("{BUDGET} steps without reaching a service or a wait: the model loops");
                    let failure = Failure {
                        resume: Resume::Call,
                        ..Failure::new(FailureCode::StepBudget, &product.token.element, why)
                    };
                    self.incident(product.token, failure);
                    continue;
                }
                self.place(product);
            }
            // who waits at a join or for a condition is asked when tokens move again
            if self.over || self.instance.is_suspended() || !std::mem::take(&mut self.stirred) {
                return;
            }
            self.ask_conditions();
            self.ask_joins();
        }
    }

    fn place(&mut self, Product { token, to }: Product) {
        if !self.is_open(token.scope) {
            return;
        }
        match to {
            To::Service(_) => self.effects.push(Effect::Offer(Box::new(Product { token, to }))),
            To::Ledger => self.arrive(token),
            To::Incident(failure) => self.failed(token, *failure),
            To::Wait(until) => self.stay(token, Reason::Again(until), Vec::new()),
            To::Callback(awaited) => self.wait_for_callback(token, awaited),
            To::Cancelled => self.given_back(token),
        }
    }

    /// The service of the token's element gets it.
    pub(super) fn offer(&mut self, mut token: Token) {
        if self.instance.is_suspended() {
            return self.park(token);
        }
        let Some((table, node)) = self.at(&token) else { return self.lost(token) };
        if let NodeKind::Task(task) = &table.table().node(node).kind {
            let to = To::Service(task.service.clone());
            if task.listener {
                return self.offer_to_listener(to, token);
            }
            self.refresh(&table, &mut token);
            self.effects.push(Effect::Offer(Box::new(Product { token, to })));
        }
    }

    /// The token leaves its element by its outgoing flows, an event's listeners having been called.
    pub(super) fn leave(&mut self, table: &Arc<Compiled>, node: NodeIx, token: Token, times: u32) {
        if !table.table().node(node).kind.is_activity() && self.has_listeners(table, node, Moment::End) {
            return self.listen_to(token, Moment::End);
        }
        self.goes_on(table, node, token, times);
    }

    pub(super) fn goes_on(&mut self, table: &Arc<Compiled>, node: NodeIx, mut token: Token, times: u32) {
        self.refresh(table, &mut token);
        let advanced = advance_times(table, node, &token, times, self.now);
        self.moves_on(table, &token, advanced);
    }

    /// What leaving or entering elements led to.
    pub(super) fn moves_on(&mut self, table: &Arc<Compiled>, token: &Token, advanced: Advanced) {
        for Passed { node, activation, .. } in advanced.passed {
            let here = Token { activation, parent: token.activation, ..token.clone() };
            self.passed(table, node, &here, self.now, "completed");
        }
        self.pending.extend(advanced.products);
        self.stirred = true;
    }

    /// A token stays.
    pub(super) fn stay(&mut self, token: Token, reason: Reason, subscriptions: Vec<super::Subscription>) {
        let order = self.instance.next_order();
        self.instance.put(Stay { token, reason, since: self.now, order, subscriptions });
    }

    /// The open activity that is a scope.
    pub(super) fn activity(&self, scope: ScopeId) -> Option<(&Stay, &Activity)> {
        self.instance.activity(scope)
    }

    /// Changes what an open activity knows; the root scope gets its record when it is first needed.
    pub(super) fn change(&mut self, scope: ScopeId, token: &Token, change: impl FnOnce(&mut Activity)) {
        if scope == self.instance.root() && !self.instance.stays.contains_key(&scope) {
            self.put_root(token, Vec::new());
        }
        self.instance.note(scope);
        if let Some(Reason::Activity(activity)) = self.instance.stays.get_mut(&scope).map(|s| &mut s.reason) {
            change(activity);
        }
    }

    pub(super) fn put_root(&mut self, token: &Token, subscriptions: Vec<super::Subscription>) {
        let root = self.instance.root();
        let record = Token {
            activation: root,
            scope: ActivationId(0),
            flow: None,
            weight: Weight::zero(),
            written: Written::default(),
            payload: Payload::default(),
            ..token.clone()
        };
        self.stay(record, Reason::Activity(Box::default()), subscriptions);
    }

    /// True while tokens of this scope count.
    pub(super) fn is_open(&self, scope: ScopeId) -> bool {
        !self.over && (scope == self.instance.root() || self.activity(scope).is_some())
    }

    /// True when the token is one that an open, guarded activity has offered to its service.
    pub(super) fn serves(&self, token: &Token) -> bool {
        let inner = self.activity(token.scope);
        inner.is_some_and(|(stay, a)| a.body == Body::Service && stay.token.element == token.element)
    }

    pub(super) fn table(&self, definition: Digest) -> Option<Arc<Compiled>> {
        self.tables.table(definition)
    }

    /// The table and node of the token's element.
    pub(super) fn at(&self, token: &Token) -> Option<(Arc<Compiled>, NodeIx)> {
        let table = self.table(token.definition)?;
        let node = table.find(token.element.as_str())?;
        Some((table, node))
    }

    /// The ledger cannot know what the token's element means.
    pub(super) fn lost(&mut self, token: Token) {
        let why = "the ledger has no table with this element; apply the same file again, then `flowctl start`";
        let failure = Failure::new(FailureCode::ExpressionFailed, &token.element, why);
        self.incident(token, failure);
    }

    /// A token cannot move: it waits for an operator, or ends the instance where its model wants that.
    pub(super) fn incident(&mut self, token: Token, failure: Failure) {
        let recoverable = self.table(token.definition).is_none_or(|t| t.table().settings.recoverable);
        let activation = token.activation;
        self.stay(token, Reason::Incident(Box::new(failure)), Vec::new());
        if recoverable {
            self.effects.push(Effect::Incident(activation));
        } else if self.instance.fail() {
            self.effects.push(Effect::Failed(activation));
        }
    }

    /// An incident of an expression at the element, which is entered again when it is resumed.
    pub(super) fn expression_failed(&mut self, token: Token, why: String) {
        let failure =
            Failure { resume: Resume::Call, ..Failure::new(FailureCode::ExpressionFailed, &token.element, why) };
        self.incident(token, failure);
    }

    pub(super) fn alarm(&mut self, token: Token, what: &'static str) {
        self.effects.push(Effect::Alarm(Box::new(token), what));
    }

    /// Something for people.
    pub(super) fn passed(
        &mut self,
        table: &Arc<Compiled>,
        node: NodeIx,
        token: &Token,
        since: Timestamp,
        status: &str,
    ) {
        self.effects.push(Effect::Passed {
            table: Arc::clone(table),
            node,
            token: Box::new(token.clone()),
            since,
            status: status.to_owned(),
        });
    }
}
