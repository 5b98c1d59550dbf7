//! The token game, played by trying everything: tokens on flows, no reduction, no order.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Kind, Model};

/// What is true of a model; elements by id.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// Elements that two tokens can be at (a join: on one flow).
    pub(crate) crowded: BTreeSet<String>,
    /// Joins that a sequence behind those leads to, so that they get both tokens on one flow.
    pub(crate) joined: BTreeSet<String>,
    /// Joins that tokens wait at when nothing can move.
    pub(crate) stuck: BTreeSet<String>,
    /// Whether there is a state from which no rest and no crowd can be reached.
    pub(crate) endless: bool,
    /// Joins that tokens come to and never pass.
    pub(crate) dead: BTreeSet<String>,
}

/// Tokens by flow.
type State = BTreeMap<usize, usize>;

struct Game<'a> {
    model: &'a Model,
    incoming: Vec<Vec<usize>>,
    outgoing: Vec<Vec<usize>>,
    passed: BTreeSet<usize>,
    touched: BTreeSet<usize>,
}

/// Plays from the start event; `None` if there are more than `most` states.
pub(crate) fn play(model: &Model, most: usize) -> Option<Truth> {
    let by = |end: &dyn Fn(&(usize, usize)) -> usize| -> Vec<Vec<usize>> {
        (0..model.nodes.len())
            .map(|node| (0..model.flows.len()).filter(|it| end(&model.flows[*it]) == node).collect())
            .collect()
    };
    let (incoming, outgoing) = (by(&|it| it.1), by(&|it| it.0));
    let start = model.nodes.iter().position(|it| it.1 == Kind::Start)?;
    let first: State = outgoing[start].iter().map(|it| (*it, 1)).collect();
    let mut game = Game { model, incoming, outgoing, passed: BTreeSet::new(), touched: BTreeSet::new() };
    let mut truth = Truth::default();
    let mut states = vec![first.clone()];
    let mut known = BTreeMap::from([(first, 0)]);
    let mut before: Vec<Vec<usize>> = vec![Vec::new()];
    let mut over = Vec::new();
    let mut at = 0;
    while at < states.len() {
        let state = states[at].clone();
        game.touched.extend(state.keys().map(|it| model.flows[*it].1));
        let next = game.moves(&state);
        if next.is_empty() {
            over.push(at);
            let waiting = state.keys().map(|it| model.nodes[model.flows[*it].1].0.clone());
            truth.stuck.extend(waiting);
        }
        for state in next {
            let crowded = game.crowded(&state);
            if !crowded.is_empty() {
                truth.crowded.extend(crowded);
                over.push(at);
                continue;
            }
            let number = *known.entry(state.clone()).or_insert_with(|| {
                states.push(state);
                before.push(Vec::new());
                states.len() - 1
            });
            before[number].push(at);
            if states.len() > most {
                return None;
            }
        }
        at += 1;
    }
    let mut ends = BTreeSet::new();
    while let Some(state) = over.pop() {
        if ends.insert(state) {
            over.extend(&before[state]);
        }
    }
    truth.joined = truth.crowded.iter().filter_map(|it| game.join_behind(it)).collect();
    truth.endless = ends.len() < states.len();
    let dead = game.touched.iter().filter(|it| !game.passed.contains(it) && game.joins(**it));
    truth.dead = dead.map(|it| model.nodes[*it].0.clone()).collect();
    Some(truth)
}

impl Game<'_> {
    fn joins(&self, node: usize) -> bool {
        matches!(self.model.nodes[node].1, Kind::Parallel | Kind::Inclusive) && self.incoming[node].len() > 1
    }

    /// Whether a token on `from` can come to `to` over flows, not by way of `join`.
    fn leads(&self, from: usize, to: usize, join: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut pending = vec![from];
        while let Some(flow) = pending.pop() {
            let node = self.model.flows[flow].1;
            if node == join || !seen.insert(flow) {
                continue;
            }
            let boundaries = (0..self.model.nodes.len()).filter(|it| self.model.nodes[*it].1 == Kind::Boundary(node));
            let next: Vec<usize> =
                std::iter::once(node).chain(boundaries).flat_map(|it| self.outgoing[it].iter().copied()).collect();
            if next.contains(&to) {
                return true;
            }
            pending.extend(next);
        }
        false
    }

    /// Whether an inclusive join with tokens on some flows fires: nothing comes to the others that could not come to these.
    fn fires(&self, node: usize, state: &State) -> bool {
        let (full, empty): (Vec<usize>, Vec<usize>) =
            self.incoming[node].iter().partition(|it| state.contains_key(*it));
        let elsewhere = state.keys().filter(|it| self.model.flows[**it].1 != node);
        let awaited = |it: &usize| {
            empty.iter().any(|to| self.leads(*it, *to, node)) && !full.iter().any(|to| self.leads(*it, *to, node))
        };
        !elsewhere.into_iter().any(awaited)
    }

    /// Ends, and exclusive gateways that lead to nothing else.
    fn ends(&self, mut node: usize) -> bool {
        for _ in 0..self.model.nodes.len() {
            match (self.model.nodes[node].1, &self.outgoing[node][..]) {
                (Kind::End | Kind::Terminate, _) => return true,
                (Kind::Exclusive, [flow]) => node = self.model.flows[*flow].1,
                _ => return false,
            }
        }
        false
    }

    fn join_behind(&self, id: &str) -> Option<String> {
        let mut node = self.model.nodes.iter().position(|it| it.0 == id)?;
        for _ in 0..self.model.nodes.len() {
            if self.joins(node) {
                return Some(self.model.nodes[node].0.clone());
            }
            let [flow] = self.outgoing[node][..] else { return None };
            node = self.model.flows[flow].1;
        }
        None
    }

    fn crowded(&self, state: &State) -> Vec<String> {
        let at = |node: usize| {
            let tokens = self.incoming[node].iter().map(|it| state.get(it).copied().unwrap_or(0));
            if self.joins(node) { tokens.max() } else { Some(tokens.sum()) }
        };
        let nodes = (0..self.model.nodes.len()).filter(|it| !self.ends(*it) && at(*it) > Some(1));
        nodes.map(|it| self.model.nodes[it].0.clone()).collect()
    }

    /// Every state that one move leads to.
    fn moves(&mut self, state: &State) -> Vec<State> {
        let mut next = Vec::new();
        for node in 0..self.model.nodes.len() {
            let tokens: Vec<usize> = self.incoming[node].iter().copied().filter(|it| state.contains_key(it)).collect();
            let inclusive = self.model.nodes[node].1 == Kind::Inclusive;
            let all = tokens.len() == self.incoming[node].len();
            let ready = if inclusive { self.fires(node, state) } else { all };
            if tokens.is_empty() || (self.joins(node) && !ready) {
                continue;
            }
            self.passed.insert(node);
            let takes: Vec<Vec<usize>> =
                if self.joins(node) { vec![tokens] } else { tokens.iter().map(|it| vec![*it]).collect() };
            for taken in takes {
                let mut left = state.clone();
                for flow in taken {
                    let count = left.remove(&flow).unwrap();
                    if count > 1 {
                        left.insert(flow, count - 1);
                    }
                }
                for made in self.made(node) {
                    let mut state = left.clone();
                    made.iter().for_each(|it| *state.entry(*it).or_default() += 1);
                    if self.model.nodes[node].1 == Kind::Terminate {
                        state.clear();
                    }
                    next.push(state);
                }
            }
        }
        next
    }

    /// The flows that an element can take, all at once.
    fn made(&self, node: usize) -> Vec<Vec<usize>> {
        let outgoing = &self.outgoing[node];
        match self.model.nodes[node].1 {
            Kind::Exclusive => outgoing.iter().map(|it| vec![*it]).collect(),
            Kind::Inclusive if outgoing.len() > 1 => {
                let subset = |bits: usize| {
                    (0..outgoing.len()).filter(move |it| bits >> it & 1 == 1).map(|it| outgoing[it]).collect()
                };
                // the default flow, the first, is taken alone
                (1..1_usize << outgoing.len()).filter(|it| *it == 1 || it & 1 == 0).map(subset).collect()
            }
            Kind::Task => {
                let boundaries = (0..self.model.nodes.len())
                    .filter(|it| self.model.nodes[*it].1 == Kind::Boundary(node))
                    .map(|it| self.outgoing[it].clone());
                std::iter::once(outgoing.clone()).chain(boundaries).collect()
            }
            _ => vec![outgoing.clone()],
        }
    }
}
