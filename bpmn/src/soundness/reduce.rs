//! Reduction: sequences, blocks and loops of the net become single moves.
//!
//! Each rule keeps what is asked: whether tokens can get stuck, whether two can stand in one place,
//! which elements can move. What a rule removes is remembered as the run of what stays. A pass over
//! all rules is linear; blocks of the usual nesting are gone after a few.

use super::net::{Net, PlaceIx};
use super::run::{RunIx, Runs};
use crate::graph::components;

/// Passes at most: one per level of nesting.
const MOST_PASSES: usize = 64;

/// An element of the reduced net.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) inputs: Vec<PlaceIx>,
    /// See [`super::net::Node::inclusive`].
    pub(super) inclusive: bool,
    pub(super) outcomes: Vec<Outcome>,
}

/// One thing it can do, with the moves of the drawn process that this stands for.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) places: Vec<PlaceIx>,
    pub(super) run: RunIx,
    /// On the way the instance can end instead, with all its tokens.
    pub(super) may_end: bool,
}

/// A net with the same faults, and fewer elements.
pub(super) struct Reduced {
    pub(super) nodes: Vec<Node>,
    pub(super) runs: Runs,
    pub(super) initial: PlaceIx,
    /// The node that takes tokens from each place.
    pub(super) consumer: Vec<usize>,
    /// The places where a token ends all.
    pub(super) ends_all: Vec<bool>,
    /// In how many outcomes each place stands, the start of the instance being one more.
    uses: Vec<usize>,
}

impl Reduced {
    /// The net, reduced for instances that begin with a token at `initial`.
    pub(super) fn of(net: &Net, initial: PlaceIx) -> Self {
        let mut reduced = Self::as_drawn(net, initial);
        if reduced.has_inclusive_joins() {
            // the rules are of joins that wait for all
            return reduced;
        }
        for _ in 0..MOST_PASSES {
            // each of them in every pass: one makes room for the next
            let changed = [reduced.choices(), reduced.branches(), reduced.sequences(), reduced.ends()];
            if !changed.contains(&true) {
                break;
            }
        }
        reduced
    }

    fn as_drawn(net: &Net, initial: PlaceIx) -> Self {
        let mut runs = Runs::default();
        let nodes = net.nodes.iter().enumerate().map(|(index, node)| {
            let outcomes = node.outcomes.iter().enumerate();
            let outcomes =
                outcomes.map(|(o, it)| Outcome { places: it.places.clone(), run: runs.of(index, o), may_end: false });
            Node { outcomes: outcomes.collect(), inputs: node.inputs.clone(), inclusive: node.inclusive }
        });
        Self {
            nodes: nodes.collect(),
            runs,
            initial,
            consumer: net.places.iter().map(|it| it.consumer).collect(),
            ends_all: net.places.iter().map(|it| it.ends_all).collect(),
            uses: Vec::new(),
        }
    }

    pub(super) fn has_inclusive_joins(&self) -> bool {
        self.nodes.iter().any(|it| it.inclusive)
    }

    /// Whether a node only takes tokens away.
    pub(super) fn is_sink(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.inputs.len() == 1 && !node.outcomes.is_empty() && node.outcomes.iter().all(|it| it.places.is_empty())
    }

    fn count_uses(&mut self) {
        self.uses = vec![0; self.consumer.len()];
        self.uses[self.initial] = 1;
        for place in self.nodes.iter().flat_map(|it| &it.outcomes).flat_map(|it| &it.places) {
            self.uses[*place] += 1;
        }
    }

    /// Outcomes that do the same become one. One that only goes back to its own start is dropped, and
    /// one that only ends all: no other token can get where it could not get before that.
    fn choices(&mut self) -> bool {
        let mut changed = false;
        for node in &mut self.nodes {
            node.outcomes.iter_mut().for_each(|it| it.places.sort_unstable());
            if node.outcomes.len() < 2 {
                continue;
            }
            node.outcomes.sort_by(|a, b| a.places.cmp(&b.places));
            let mut kept: Vec<Outcome> = Vec::new();
            let mut dropped = Vec::new();
            for outcome in std::mem::take(&mut node.outcomes) {
                let ends = matches!(outcome.places[..], [place] if self.ends_all[place]);
                match kept.last_mut() {
                    _ if ends || outcome.places == node.inputs => dropped.push((outcome, ends)),
                    Some(last) if last.places == outcome.places => {
                        last.run = self.runs.or(last.run, outcome.run);
                        last.may_end |= outcome.may_end;
                    }
                    _ => kept.push(outcome),
                }
            }
            if let Some(first) = kept.first_mut() {
                for (outcome, ends) in dropped {
                    first.run = self.runs.or(first.run, outcome.run);
                    first.may_end |= ends || outcome.may_end;
                    changed = true;
                }
            } else {
                kept.extend(dropped.into_iter().map(|(outcome, _)| outcome));
            }
            node.outcomes = kept;
        }
        changed
    }

    /// Branches that lead straight from one fork to one join become one: they always have the same
    /// number of tokens.
    fn branches(&mut self) -> bool {
        self.count_uses();
        let mut dropped = vec![false; self.consumer.len()];
        let mut changed = false;
        for index in 0..self.nodes.len() {
            for outcome in 0..self.nodes[index].outcomes.len() {
                let places = self.nodes[index].outcomes[outcome].places.iter().copied();
                let mut sole: Vec<_> = (places)
                    .filter(|it| self.uses[*it] == 1 && self.nodes[self.consumer[*it]].inputs.len() > 1)
                    .map(|it| (self.consumer[it], it))
                    .collect();
                sole.sort_unstable();
                for pair in sole.windows(2).filter(|it| it[0].0 == it[1].0) {
                    dropped[pair[1].1] = true;
                    changed = true;
                }
            }
        }
        if changed {
            for node in &mut self.nodes {
                node.inputs.retain(|it| !dropped[*it]);
                node.outcomes.iter_mut().for_each(|it| it.places.retain(|it| !dropped[*it]));
            }
        }
        changed
    }

    /// An element that takes one token moves right behind what gives it that token.
    fn sequences(&mut self) -> bool {
        self.count_uses();
        let mut producers: Vec<Vec<usize>> = vec![Vec::new(); self.consumer.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for place in node.outcomes.iter().flat_map(|it| &it.places) {
                producers[*place].push(index);
            }
        }
        let mut changed = false;
        for node in 0..self.nodes.len() {
            if let [place] = self.nodes[node].inputs[..]
                && self.can_follow(node, place)
            {
                let froms = std::mem::take(&mut producers[place]);
                let followed = match self.nodes[node].outcomes.len() {
                    1 => self.follow(node, place, &froms, &mut producers),
                    _ => self.choose_before(node, place, &froms, &mut producers),
                };
                match followed {
                    true => changed = true,
                    false => producers[place] = froms,
                }
            }
        }
        changed
    }

    /// Two tokens at `place` must still be seen, as two behind it: so some outcome leads somewhere.
    fn can_follow(&self, node: usize, place: PlaceIx) -> bool {
        let outcomes = &self.nodes[node].outcomes;
        place != self.initial
            && self.uses[place] > 0
            && !self.ends_all[place]
            && outcomes.iter().all(|it| !it.places.contains(&place))
            && outcomes.iter().any(|it| it.places.iter().any(|it| !self.ends_all[*it]))
    }

    fn follow(&mut self, node: usize, place: PlaceIx, froms: &[usize], producers: &mut [Vec<usize>]) -> bool {
        if self.nodes[node].outcomes[0].places.len() > 1 && self.uses[place] > 1 {
            return false;
        }
        let gone = std::mem::take(&mut self.nodes[node]);
        let Outcome { places, run, may_end } = &gone.outcomes[0];
        let uses = std::mem::take(&mut self.uses[place]);
        for from in froms {
            for outcome in &mut self.nodes[*from].outcomes {
                while let Some(at) = outcome.places.iter().position(|it| *it == place) {
                    outcome.places.swap_remove(at);
                    outcome.places.extend(places);
                    outcome.run = self.runs.then(outcome.run, *run);
                    outcome.may_end |= may_end;
                }
            }
        }
        for next in places {
            self.uses[*next] = self.uses[*next] + uses - 1;
            producers[*next].extend(froms);
        }
        true
    }

    /// A choice whose only producer does nothing else is that producer's choice.
    fn choose_before(&mut self, node: usize, place: PlaceIx, froms: &[usize], producers: &mut [Vec<usize>]) -> bool {
        if self.uses[place] != 1 {
            return false;
        }
        let found = froms.iter().find_map(|from| {
            let at = self.nodes[*from].outcomes.iter().position(|it| it.places == [place])?;
            Some((*from, at))
        });
        let Some((from, at)) = found else { return false };
        let gone = std::mem::take(&mut self.nodes[node]);
        let before = self.nodes[from].outcomes.swap_remove(at);
        self.uses[place] = 0;
        for outcome in gone.outcomes {
            for next in &outcome.places {
                producers[*next].push(from);
            }
            let run = self.runs.then(before.run, outcome.run);
            let may_end = before.may_end || outcome.may_end;
            self.nodes[from].outcomes.push(Outcome { places: outcome.places, run, may_end });
        }
        true
    }

    /// A token that only has to end is dropped where it comes from, if two of them are seen there:
    /// it is made once, or made alone, so that the first can be thought to be late.
    fn ends(&mut self) -> bool {
        self.count_uses();
        let on_cycle = self.on_cycle();
        let ending: Vec<Option<Outcome>> = (0..self.consumer.len()).map(|place| self.ending(place)).collect();
        let mut gone = Vec::new();
        for (node, on_cycle) in self.nodes.iter_mut().zip(on_cycle) {
            for outcome in &mut node.outcomes {
                if on_cycle && outcome.places.len() > 1 {
                    continue;
                }
                let mut places = Vec::new();
                for place in std::mem::take(&mut outcome.places) {
                    let Some(end) = &ending[place] else {
                        places.push(place);
                        continue;
                    };
                    outcome.run = self.runs.then(outcome.run, end.run);
                    outcome.may_end |= end.may_end;
                    places.extend(&end.places);
                    gone.push(place);
                }
                outcome.places = places;
                outcome.places.sort_unstable();
                let ends_all = &self.ends_all;
                outcome.places.dedup_by(|a, b| a == b && ends_all[*a]);
            }
        }
        gone.iter().for_each(|it| self.nodes[self.consumer[*it]] = Node::default());
        !gone.is_empty()
    }

    /// What becomes of a token at `place`, if it only can end there.
    fn ending(&self, place: PlaceIx) -> Option<Outcome> {
        let node = &self.nodes[self.consumer[place]];
        let ([_], [outcome]) = (&node.inputs[..], &node.outcomes[..]) else { return None };
        let ends = outcome.places.iter().all(|it| self.ends_all[*it]);
        (ends && place != self.initial && self.uses[place] == 1).then(|| outcome.clone())
    }

    /// Who leads to whom.
    pub(super) fn edges(&self) -> Vec<Vec<usize>> {
        let targets = |node: &Node| {
            let mut to: Vec<usize> =
                node.outcomes.iter().flat_map(|it| &it.places).map(|it| self.consumer[*it]).collect();
            to.sort_unstable();
            to.dedup();
            to
        };
        self.nodes.iter().map(targets).collect()
    }

    fn on_cycle(&self) -> Vec<bool> {
        let edges = self.edges();
        let mut on_cycle = vec![false; edges.len()];
        for component in components(&edges) {
            let cyclic = component.len() > 1 || edges[component[0]].contains(&component[0]);
            component.iter().for_each(|it| on_cycle[*it] = cyclic);
        }
        on_cycle
    }
}
