//! When inclusive joins fire (BPMN 13.4.3): as the engine decides it, over the places of the net.

use std::collections::HashMap;

use super::net::PlaceIx;
use super::reduce::Reduced;

/// For each inclusive join and each of its inputs, the nodes from which a token can come there without passing the join.
pub(super) struct Inclusive {
    comes: HashMap<usize, Vec<Vec<bool>>>,
}

impl Inclusive {
    pub(super) fn of(net: &Reduced) -> Self {
        let joins: Vec<usize> = (0..net.nodes.len()).filter(|it| net.nodes[*it].inclusive).collect();
        if joins.is_empty() {
            return Self { comes: HashMap::new() };
        }
        let mut producers: Vec<Vec<usize>> = vec![Vec::new(); net.consumer.len()];
        for (node, it) in net.nodes.iter().enumerate() {
            for place in it.outcomes.iter().flat_map(|it| &it.places) {
                producers[*place].push(node);
            }
        }
        let to = |join: usize, input: PlaceIx| {
            let mut found = vec![false; net.nodes.len()];
            let mut pending = producers[input].clone();
            while let Some(node) = pending.pop() {
                if node != join && !std::mem::replace(&mut found[node], true) {
                    pending.extend(net.nodes[node].inputs.iter().flat_map(|it| &producers[*it]));
                }
            }
            found
        };
        let of_join = |join: usize| net.nodes[join].inputs.iter().map(|it| to(join, *it)).collect();
        Self { comes: joins.into_iter().map(|it| (it, of_join(it))).collect() }
    }

    /// Whether a join with a token takes what it has: no token can come to an input that has none, but for those that can come to one
    /// that has one, too.
    pub(super) fn fires(&self, net: &Reduced, join: usize, marking: &[PlaceIx]) -> bool {
        let Some(comes) = self.comes.get(&join) else { return false };
        let inputs = &net.nodes[join].inputs;
        let (full, empty): (Vec<usize>, Vec<usize>) =
            (0..inputs.len()).partition(|it| marking.binary_search(&inputs[*it]).is_ok());
        let awaited = |place: &PlaceIx| {
            let node = net.consumer[*place];
            node != join && empty.iter().any(|it| comes[*it][node]) && !full.iter().any(|it| comes[*it][node])
        };
        !full.is_empty() && !marking.iter().any(awaited)
    }
}
