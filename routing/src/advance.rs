//! Evaluates what is folded behind an element and yields the tokens for the next hosted ones.
//!
//! Total and deterministic: the same table, token and payload give the same products with the same ids.
//! A branch that cannot move becomes an incident product at the folded element; the others go on.

use std::cell::OnceCell;
use std::rc::Rc;

use serde_json::Value;

use crate::compiled::Compiled;
use crate::evaluation;
use crate::failure::{Failure, FailureCode, Resume};
use crate::id::ActivationId;
use crate::payload::{Payload, Written};
use crate::table::{FlowIx, Node, NodeIx, NodeKind, Place};
use crate::token::{Product, Timestamp, To, Token};
use crate::weight::Weight;

/// What leaving an element led to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advanced {
    /// Tokens for the next hosted elements, in document order of the flows taken.
    pub products: Vec<Product>,
    /// Folded elements passed, in order.
    pub passed: Vec<Passed>,
    /// Warnings of conditions.
    pub warnings: Vec<String>,
}

/// A folded element that a token went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The element.
    pub node: NodeIx,
    /// The activation that stands for it.
    pub activation: ActivationId,
    /// The flows taken out of it.
    pub taken: Vec<FlowIx>,
}

/// Lets `token` leave `from`: `token.activation` becomes its products' parent, `token.payload` what
/// conditions read and products carry.
pub fn advance(table: &Compiled, from: NodeIx, token: &Token, now: Timestamp) -> Advanced {
    advance_times(table, from, token, 1, now)
}

/// The same, with `times` tokens by each flow taken (`completionQuantity`).
pub fn advance_times(table: &Compiled, from: NodeIx, token: &Token, times: u32, now: Timestamp) -> Advanced {
    let mut fold = Fold { table, token, now, out: Advanced::default(), index: 0, steps: 0 };
    let carried = Carried::new(token.payload.clone());
    let start = Branch { weight: token.weight.clone(), written: token.written.clone(), carried };
    fold.leave(from, None, start, times.max(1));
    fold.out
}

/// Puts the token before `node`, as if a flow led there: it stays there if it is hosted, else what is folded is passed.
pub fn enter(table: &Compiled, node: NodeIx, via: Option<FlowIx>, token: &Token, now: Timestamp) -> Advanced {
    let mut fold = Fold { table, token, now, out: Advanced::default(), index: 0, steps: 0 };
    let carried = Carried::new(token.payload.clone());
    let start = Branch { weight: token.weight.clone(), written: token.written.clone(), carried };
    fold.walk(vec![(node, via, start, true)], 1);
    fold.out
}

/// A token on its way through folded elements. What it carries is shared until a folded script changes it.
#[derive(Clone)]
struct Branch {
    weight: Weight,
    written: Written,
    carried: Rc<Carried>,
}

/// A payload, parsed at most once.
struct Carried {
    payload: Payload,
    json: OnceCell<Option<Value>>,
}

impl Carried {
    fn new(payload: Payload) -> Rc<Self> {
        Rc::new(Self { payload, json: OnceCell::new() })
    }

    fn json(&self) -> Option<&Value> {
        self.json.get_or_init(|| self.payload.to_json()).as_ref()
    }
}

struct Fold<'a> {
    table: &'a Compiled,
    token: &'a Token,
    now: Timestamp,
    out: Advanced,
    index: u32,
    steps: u32,
}

impl Fold<'_> {
    fn leave(&mut self, from: NodeIx, via: Option<FlowIx>, branch: Branch, times: u32) {
        self.walk(vec![(from, via, branch, false)], times);
    }

    /// Depth first in document order, without recursion: models are as deep as their authors like.
    fn walk(&mut self, mut stack: Vec<(NodeIx, Option<FlowIx>, Branch, bool)>, mut times: u32) {
        while let Some((node, via, mut branch, entering)) = stack.pop() {
            if entering && self.table.table().node(node).place != Place::Folded {
                self.arrive(node, via, branch);
                continue;
            }
            if entering {
                self.steps += 1;
                if self.steps > self.table.table().settings.step_budget {
                    let why = format!("{} folded steps without reaching a task or a wait: the model loops", self.steps);
                    self.stuck(node, via, branch, FailureCode::StepBudget, why);
                    continue;
                }
            }
            let chosen = if entering { self.evaluate(node, &mut branch) } else { Ok(()) };
            match chosen.and_then(|()| self.choose(node, &branch)) {
                Ok(taken) => {
                    if entering {
                        self.pass(node, via, &taken);
                    }
                    let copies = std::mem::replace(&mut times, 1) as usize;
                    if let ([flow], 1) = (&taken[..], copies) {
                        stack.push((self.table.table().flow(*flow).target, Some(*flow), branch, true));
                        continue;
                    }
                    let shares = branch.weight.split(taken.len() * copies);
                    let flows: Vec<FlowIx> = taken.iter().flat_map(|flow| std::iter::repeat_n(*flow, copies)).collect();
                    for (flow, weight) in flows.into_iter().zip(shares).rev() {
                        let written = branch.written.forked();
                        let target = self.table.table().flow(flow).target;
                        let next = Branch { weight, written, carried: Rc::clone(&branch.carried) };
                        stack.push((target, Some(flow), next, true));
                    }
                }
                Err((code, why)) => self.stuck(node, via, branch, code, why),
            }
        }
    }

    /// What a folded activity computes, written to the branch.
    fn evaluate(&mut self, node: NodeIx, branch: &mut Branch) -> Result<(), (FailureCode, String)> {
        let node = self.table.table().node(node);
        let NodeKind::Evaluate(evaluation) = &node.kind else { return Ok(()) };
        let mapping = node.mapping.as_deref();
        let evaluated = evaluation::evaluate(
            self.table,
            evaluation,
            mapping,
            &branch.carried.payload,
            &mut branch.written,
            self.now,
            &mut self.out.warnings,
        );
        match evaluated {
            Ok(Some(payload)) => branch.carried = Carried::new(payload),
            Ok(None) => {}
            Err(why) => return Err((FailureCode::ExpressionFailed, format!("evaluate {}: {why}", node.name))),
        }
        Ok(())
    }

    /// The flows that a token leaving `node` takes.
    fn choose(&mut self, node: NodeIx, branch: &Branch) -> Result<Vec<FlowIx>, (FailureCode, String)> {
        let table = self.table;
        let node = table.table().node(node);
        let exclusive = matches!(node.kind, NodeKind::ExclusiveGateway);
        if matches!(node.kind, NodeKind::ParallelGateway | NodeKind::EventBasedGateway { .. }) {
            return Ok(node.outgoing.clone());
        }
        let (mut taken, mut conditional) = (Vec::new(), false);
        for flow in node.outgoing.iter().copied().filter(|f| Some(*f) != node.default) {
            match table.condition(flow) {
                None => taken.push(flow),
                Some(_) if self.holds(flow, branch)? => {
                    conditional = true;
                    taken.push(flow);
                }
                Some(_) => {}
            }
            if exclusive && !taken.is_empty() {
                return Ok(taken);
            }
        }
        if !conditional && let Some(default) = node.default {
            taken.push(default);
        }
        // what a compensation handler does after itself is the throwing event's affair
        let ends = node.marks.as_ref().is_some_and(|m| m.for_compensation);
        if taken.is_empty() && !ends { Err(no_flow(node)) } else { Ok(taken) }
    }

    fn holds(&mut self, flow: FlowIx, branch: &Branch) -> Result<bool, (FailureCode, String)> {
        let Some(condition) = self.table.condition(flow) else { return Ok(true) };
        let id = &self.table.table().flow(flow).id;
        let Some(json) = branch.carried.json() else {
            let payload = &branch.carried.payload;
            let kind = if payload.content_type.is_empty() { "not JSON" } else { &payload.content_type };
            let why = format!("the condition of flow {id} needs a JSON payload, this one is {kind}");
            return Err((FailureCode::ExpressionFailed, why));
        };
        condition
            .holds(json, self.now, &mut self.out.warnings)
            .map_err(|e| (FailureCode::ExpressionFailed, format!("evaluate the condition of flow {id}: {e}")))
    }

    fn token_for(&mut self, node: NodeIx, via: Option<FlowIx>, branch: Branch) -> Token {
        let table = self.table.table();
        let flow = via.map(|f| table.flow(f).id.clone());
        let name = flow.as_ref().map_or("", |f| f.as_str());
        let activation = ActivationId::product(&self.token.instance, self.token.activation, name, self.index);
        self.index += 1;
        Token {
            instance: self.token.instance.clone(),
            definition: self.token.definition,
            element: table.node(node).id.clone(),
            flow,
            activation,
            key: activation,
            parent: self.token.activation,
            scope: self.token.scope,
            generation: 0,
            attempts: 0,
            weight: branch.weight,
            written: branch.written,
            pools: self.token.pools.clone(),
            emitted: self.now,
            trace: self.token.trace.clone(),
            payload: branch.carried.payload.clone(),
        }
    }

    fn arrive(&mut self, node: NodeIx, via: Option<FlowIx>, branch: Branch) {
        let token = self.token_for(node, via, branch);
        // a scope inside of the instance can be closed by what happens elsewhere in it: only the ledger knows whether it is still open
        let inside = token.is_inside();
        let to = match &self.table.table().node(node).place {
            Place::Service(_) if inside => To::Ledger,
            Place::Service(service) => To::Service(service.clone()),
            Place::Ledger | Place::Folded => To::Ledger,
        };
        self.out.products.push(Product { token, to });
    }

    fn stuck(&mut self, node: NodeIx, via: Option<FlowIx>, branch: Branch, code: FailureCode, why: String) {
        let token = self.token_for(node, via, branch);
        let failure = Failure { resume: Resume::Leave, ..Failure::new(code, &token.element, why) };
        self.out.products.push(Product { token, to: To::Incident(Box::new(failure)) });
    }

    fn pass(&mut self, node: NodeIx, via: Option<FlowIx>, taken: &[FlowIx]) {
        let name = via.map_or("", |f| self.table.table().flow(f).id.as_str());
        let activation =
            ActivationId::product(&self.token.instance, self.token.activation, name, u32::MAX - self.steps);
        self.out.passed.push(Passed { node, activation, taken: taken.to_vec() });
    }
}

fn no_flow(node: &Node) -> (FailureCode, String) {
    let why = format!("no condition out of {} ({}) holds and it has no default flow", node.name, node.element);
    (FailureCode::NoMatchingFlow, why)
}
