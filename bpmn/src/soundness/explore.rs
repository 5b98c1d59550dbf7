//! The token game on the reduced net, breadth first and within a budget.
//!
//! Elements never compete for a token, so the order among independent ones does not matter: only
//! the first component (in the order of the flow) that can move does. Tokens behind so catch up
//! with tokens before them, and what is found is what any order would find. If a cycle can hold a
//! token for ever that order would starve the rest, and all orders are tried; so they are if an
//! inclusive join looks at tokens that are not its own.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::inclusive::Inclusive;
use super::net::PlaceIx;
use super::reduce::Reduced;
use super::run::RunIx;
use crate::graph::components;

/// What exploring may still cost: tokens looked at, over all processes of a file.
pub(super) struct Budget(pub(super) usize);

impl Budget {
    /// Takes `cost` away; false if too little is left.
    pub(super) fn spend(&mut self, cost: usize) -> bool {
        self.0 = self.0.saturating_sub(cost);
        self.0 > 0
    }
}

/// Findings of one kind at most: the first show what is wrong.
const MOST_FOUND: usize = 20;

/// A state that is wrong.
pub(super) struct Found {
    /// The place with two tokens, or a place where a token waits for ever.
    pub(super) place: PlaceIx,
    /// How it came about.
    pub(super) runs: Vec<RunIx>,
}

/// What the exploration found.
#[derive(Default)]
pub(super) struct Outcome {
    /// Places that two tokens can be in.
    pub(super) crowded: Vec<Found>,
    /// States in which tokens wait and nothing can move; one for each set of waiting joins.
    pub(super) stuck: Vec<Found>,
    /// A state from which no end can be reached although something can always move.
    pub(super) endless: Option<Found>,
    /// What moved in any state.
    pub(super) moved: Vec<RunIx>,
    /// The budget was too small: there may be more to find.
    pub(super) cut_short: bool,
}

/// Looks at every state, as far as the budget goes.
pub(super) fn explore(net: &Reduced, budget: &mut Budget) -> Outcome {
    if net.has_inclusive_joins() {
        return Exploration::of(net, false).run(budget);
    }
    let first = Exploration::of(net, true).run(budget);
    if first.endless.is_none() {
        return first;
    }
    let all = Exploration::of(net, false).run(budget);
    if all.cut_short { Outcome { cut_short: true, ..first } } else { all }
}

struct State {
    marking: Rc<[PlaceIx]>,
    /// The state before and what moved; the first has none.
    from: Option<(usize, RunIx)>,
}

struct Exploration<'a> {
    net: &'a Reduced,
    inclusive: Inclusive,
    /// The order of the nodes' components along the flow.
    rank: Vec<usize>,
    states: Vec<State>,
    known: HashMap<Rc<[PlaceIx]>, usize>,
    /// Moves between states, backwards.
    before: Vec<Vec<usize>>,
    /// The states in which the instance ends, in whatever way.
    over: Vec<usize>,
    moved: Vec<Vec<bool>>,
    stuck_at: HashSet<Vec<usize>>,
    crowded_at: HashSet<PlaceIx>,
    out: Outcome,
}

impl<'a> Exploration<'a> {
    fn of(net: &'a Reduced, in_order: bool) -> Self {
        let mut rank = vec![0; net.nodes.len()];
        if in_order {
            for (number, component) in components(&net.edges()).into_iter().rev().enumerate() {
                component.into_iter().for_each(|it| rank[it] = number);
            }
        }
        Self {
            net,
            inclusive: Inclusive::of(net),
            rank,
            states: Vec::new(),
            known: HashMap::new(),
            before: Vec::new(),
            over: Vec::new(),
            moved: net.nodes.iter().map(|it| vec![false; it.outcomes.len()]).collect(),
            stuck_at: HashSet::new(),
            crowded_at: HashSet::new(),
            out: Outcome::default(),
        }
    }

    fn run(mut self, budget: &mut Budget) -> Outcome {
        self.add(vec![self.net.initial], None);
        let mut state = 0;
        while state < self.states.len() {
            let able = self.able(state);
            if able.is_empty() {
                self.at_rest(state);
            }
            for node in able {
                for outcome in 0..self.net.nodes[node].outcomes.len() {
                    if !budget.spend(self.states[state].marking.len() + 8) {
                        self.out.cut_short = true;
                        return self.out;
                    }
                    self.go(state, node, outcome);
                }
            }
            state += 1;
        }
        self.find_endless();
        let nodes = self.net.nodes.iter().zip(&self.moved);
        self.out.moved = nodes
            .flat_map(|(node, moved)| node.outcomes.iter().zip(moved))
            .filter(|(_, moved)| **moved)
            .map(|(outcome, _)| outcome.run)
            .collect();
        self.out
    }

    /// The nodes that are to move in a state: those of the first component that can.
    fn able(&mut self, state: usize) -> Vec<usize> {
        let marking = Rc::clone(&self.states[state].marking);
        let mut able = Vec::new();
        let mut ends = false;
        for place in marking.iter() {
            let node = self.net.consumer[*place];
            let it = &self.net.nodes[node];
            if self.net.ends_all[*place] {
                ends = true;
            } else if self.net.is_sink(node) {
                self.moved[node].fill(true);
            } else if it.inclusive {
                let first = it.inputs.iter().find(|it| marking.binary_search(it).is_ok());
                if first == Some(place) && self.inclusive.fires(self.net, node, &marking) {
                    able.push(node);
                }
            } else if it.inputs.first() == Some(place) && it.inputs.iter().all(|it| marking.binary_search(it).is_ok()) {
                able.push(node);
            }
        }
        let first = able.iter().map(|it| self.rank[*it]).min();
        able.retain(|it| Some(self.rank[*it]) == first);
        // what is not to move yet may be starved: whether it could end the instance does not count
        if ends || able.iter().any(|it| self.net.nodes[*it].outcomes.iter().any(|it| it.may_end)) {
            self.over.push(state);
        }
        able
    }

    /// Nothing can move: the instance is complete, or stuck.
    fn at_rest(&mut self, state: usize) {
        self.over.push(state);
        let marking = Rc::clone(&self.states[state].marking);
        if marking.iter().any(|it| self.net.ends_all[*it]) {
            return;
        }
        let waiting: Vec<PlaceIx> =
            marking.iter().copied().filter(|it| self.net.nodes[self.net.consumer[*it]].inputs.len() > 1).collect();
        let Some(place) = waiting.first().copied() else { return };
        let mut joins: Vec<usize> = waiting.iter().map(|it| self.net.consumer[*it]).collect();
        joins.dedup();
        if self.out.stuck.len() < MOST_FOUND && self.stuck_at.insert(joins) {
            let found = Found { place, runs: self.runs_to(state) };
            self.out.stuck.push(found);
        }
    }

    fn go(&mut self, state: usize, node: usize, outcome: usize) {
        let it = &self.net.nodes[node];
        let made = &it.outcomes[outcome];
        let mut marking: Vec<PlaceIx> = self.states[state].marking.to_vec();
        for input in &it.inputs {
            if let Ok(at) = marking.binary_search(input) {
                marking.remove(at);
            }
        }
        for place in &made.places {
            if !(self.net.ends_all[*place] && marking.contains(place)) {
                marking.push(*place);
            }
        }
        marking.sort_unstable();
        self.moved[node][outcome] = true;
        let crowded = marking.windows(2).find(|it| it[0] == it[1]).map(|it| it[0]);
        match crowded {
            Some(place) => {
                self.over.push(state);
                if self.out.crowded.len() < MOST_FOUND && self.crowded_at.insert(place) {
                    let mut runs = self.runs_to(state);
                    runs.push(made.run);
                    self.out.crowded.push(Found { place, runs });
                }
            }
            None => self.add(marking, Some((state, made.run))),
        }
    }

    fn add(&mut self, marking: Vec<PlaceIx>, from: Option<(usize, RunIx)>) {
        let marking: Rc<[PlaceIx]> = marking.into();
        let index = match self.known.get(&marking) {
            Some(known) => *known,
            None => {
                self.known.insert(Rc::clone(&marking), self.states.len());
                self.states.push(State { marking, from });
                self.before.push(Vec::new());
                self.states.len() - 1
            }
        };
        if let Some((state, _)) = from {
            self.before[index].push(state);
        }
    }

    fn runs_to(&self, mut state: usize) -> Vec<RunIx> {
        let mut runs = Vec::new();
        while let Some((before, run)) = self.states[state].from {
            runs.push(run);
            state = before;
        }
        runs.reverse();
        runs
    }

    /// The first state from which nothing that is over can be reached.
    fn find_endless(&mut self) {
        let mut ends = vec![false; self.states.len()];
        let mut pending = std::mem::take(&mut self.over);
        while let Some(state) = pending.pop() {
            if !std::mem::replace(&mut ends[state], true) {
                pending.extend(&self.before[state]);
            }
        }
        if let Some(state) = ends.iter().position(|it| !it) {
            let able = self.able(state);
            let place = able.first().map_or(self.net.initial, |it| self.net.nodes[*it].inputs[0]);
            self.out.endless = Some(Found { place, runs: self.runs_to(state) });
        }
    }
}
