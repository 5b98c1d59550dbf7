//! Evaluates what is folded behind an element and yields the tokens for the next hosted ones.
//!
//! Total and deterministic: the same table, token and payload give the same products with the same ids.
//! A branch that cannot move becomes an incident product at the folded element; the others go on.

use std::cell::OnceCell;

use serde_json::Value;

use crate::compiled::Compiled;
use crate::failure::{Failure, FailureCode, Resume};
use crate::id::ActivationId;
use crate::payload::Written;
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
    let mut fold = Fold { table, token, now, json: OnceCell::new(), out: Advanced::default(), index: 0, steps: 0 };
    let start = Branch { weight: token.weight.clone(), written: token.written.clone() };
    fold.leave(from, None, start);
    fold.out
}

/// A token on its way through folded elements.
struct Branch {
    weight: Weight,
    written: Written,
}

struct Fold<'a> {
    table: &'a Compiled,
    token: &'a Token,
    now: Timestamp,
    json: OnceCell<Option<Value>>,
    out: Advanced,
    index: u32,
    steps: u32,
}

impl Fold<'_> {
    fn leave(&mut self, from: NodeIx, via: Option<FlowIx>, branch: Branch) {
        // depth first in document order, without recursion: models are as deep as their authors like
        let mut stack = vec![(from, via, branch, false)];
        while let Some((node, via, branch, entering)) = stack.pop() {
            let hosted = self.table.table().node(node).place != Place::Folded;
            if entering && hosted {
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
            match self.choose(node) {
                Ok(taken) => {
                    if entering {
                        self.pass(node, via, &taken);
                    }
                    let shares = branch.weight.split(taken.len());
                    for (flow, weight) in taken.iter().zip(shares).rev() {
                        let written = if taken.len() > 1 { branch.written.forked() } else { branch.written.clone() };
                        let target = self.table.table().flow(*flow).target;
                        stack.push((target, Some(*flow), Branch { weight, written }, true));
                    }
                }
                Err((code, why)) => self.stuck(node, via, branch, code, why),
            }
        }
    }

    /// The flows that a token leaving `node` takes.
    fn choose(&mut self, node: NodeIx) -> Result<Vec<FlowIx>, (FailureCode, String)> {
        let table = self.table;
        let node = table.table().node(node);
        let exclusive = matches!(node.kind, NodeKind::ExclusiveGateway);
        if matches!(node.kind, NodeKind::ParallelGateway) {
            return Ok(node.outgoing.clone());
        }
        let (mut taken, mut conditional) = (Vec::new(), false);
        for flow in node.outgoing.iter().copied().filter(|f| Some(*f) != node.default) {
            match table.condition(flow) {
                None => taken.push(flow),
                Some(_) if self.holds(flow)? => {
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
        if taken.is_empty() { Err(no_flow(node)) } else { Ok(taken) }
    }

    fn holds(&mut self, flow: FlowIx) -> Result<bool, (FailureCode, String)> {
        let Some(condition) = self.table.condition(flow) else { return Ok(true) };
        let id = &self.table.table().flow(flow).id;
        let payload = &self.token.payload;
        let Some(json) = self.json.get_or_init(|| payload.to_json()) else {
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
            element: table.node(node).id.clone(),
            flow,
            activation,
            key: activation,
            parent: self.token.activation,
            attempts: 0,
            generation: 0,
            weight: branch.weight,
            written: branch.written,
            emitted: self.now,
            ..self.token.clone()
        }
    }

    fn arrive(&mut self, node: NodeIx, via: Option<FlowIx>, branch: Branch) {
        let token = self.token_for(node, via, branch);
        let to = match &self.table.table().node(node).place {
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
