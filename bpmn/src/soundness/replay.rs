//! A run played again on the process as drawn, to say in its own names how the bad state is reached.

use std::collections::{HashMap, HashSet};

use super::explore::Found;
use super::net::{Net, PlaceIx};
use super::run::{Move, Runs};

/// Moves read of one run at most.
const MOST_MOVES: usize = 20_000;

/// Elements of a path that are shown at its start and at its end; those between are left out.
const SHOWN: (usize, usize) = (6, 18);

/// One move, with the moves that made the tokens it took.
struct Played {
    made: Move,
    causes: Vec<usize>,
}

/// A run on the drawn process and the tokens it leaves.
pub(super) struct Replay<'a> {
    net: &'a Net,
    played: Vec<Played>,
    /// Tokens by place, each with the move that made it.
    tokens: HashMap<PlaceIx, Vec<Option<usize>>>,
    /// The first place with two tokens; the run is not followed further.
    pub(super) crowded: Option<PlaceIx>,
}

impl<'a> Replay<'a> {
    /// Plays the runs of `found`, from a token at `initial`.
    pub(super) fn of(net: &'a Net, runs: &Runs, initial: PlaceIx, found: &Found) -> Self {
        let tokens = HashMap::from([(initial, vec![None])]);
        let mut replay = Self { net, played: Vec::new(), tokens, crowded: None };
        let mut moves = Vec::new();
        for run in &found.runs {
            runs.moves(*run, MOST_MOVES, &mut moves);
        }
        moves.into_iter().for_each(|it| replay.play(it));
        replay
    }

    /// Reduction leaves out joins that always fire and lead to no other: they fire here, so that they do not seem to wait.
    pub(super) fn past_joins(mut self) -> Self {
        for _ in 0..self.net.nodes.len() {
            let fires = |node: &super::net::Node| {
                node.inputs.len() > 1 && node.outcomes.len() == 1 && node.inputs.iter().all(|it| self.holds(*it))
            };
            let Some(node) = self.net.nodes.iter().position(fires) else { break };
            self.play(Move { node, outcome: 0 });
        }
        self
    }

    fn play(&mut self, made: Move) {
        if self.crowded.is_some() {
            return;
        }
        let node = &self.net.nodes[made.node];
        let number = self.played.len();
        let mut causes = Vec::new();
        for input in &node.inputs {
            let tokens = self.tokens.entry(*input).or_default();
            if !tokens.is_empty() {
                causes.extend(tokens.remove(0));
            }
        }
        for place in &node.outcomes[made.outcome].places {
            let tokens = self.tokens.entry(*place).or_default();
            tokens.push(Some(number));
            if tokens.len() > 1 && !self.net.places[*place].ends_all {
                self.crowded = self.crowded.or(Some(*place));
            }
        }
        self.played.push(Played { made, causes });
    }

    /// Whether a token stands at `place` in the end.
    pub(super) fn holds(&self, place: PlaceIx) -> bool {
        self.tokens.get(&place).is_some_and(|it| !it.is_empty())
    }

    /// The waiting places with a token, in the order of the drawing.
    pub(super) fn waiting(&self) -> Vec<PlaceIx> {
        let mut waiting: Vec<PlaceIx> =
            self.tokens.keys().copied().filter(|it| self.net.waits(*it) && self.holds(*it)).collect();
        waiting.sort_unstable();
        waiting
    }

    /// The drawn elements of the whole run, in order.
    pub(super) fn path(&self) -> Vec<usize> {
        self.drawn(|_| true)
    }

    /// The drawn elements that led to the tokens at `place`, but for those of `without`.
    pub(super) fn path_to(&self, place: PlaceIx, without: &HashSet<usize>) -> Vec<usize> {
        let mut led = vec![false; self.played.len()];
        let tokens = self.tokens.get(&place).into_iter().flatten();
        let mut pending: Vec<usize> = tokens.copied().flatten().collect();
        while let Some(number) = pending.pop() {
            if !std::mem::replace(&mut led[number], true) {
                pending.extend(&self.played[number].causes);
            }
        }
        self.drawn(|it| led[it] && !without.contains(&self.played[it].made.node))
    }

    fn drawn(&self, shown: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut path = Vec::new();
        for (_, played) in self.played.iter().enumerate().filter(|(number, _)| shown(*number)) {
            let node = &self.net.nodes[played.made.node];
            path.push(node.drawn);
            path.extend(node.outcomes[played.made.outcome].via);
        }
        path
    }
}

/// The path in words: "`Start` → `Split` → ...".
pub(super) fn words(path: &[usize], name: impl Fn(usize) -> String) -> String {
    let (start, end) = SHOWN;
    let mut words: Vec<String> = Vec::new();
    if path.len() > start + end + 1 {
        words.extend(path[..start].iter().map(|it| name(*it)));
        words.push(format!("... ({} elements)", path.len() - start - end));
        words.extend(path[path.len() - end..].iter().map(|it| name(*it)));
    } else {
        words.extend(path.iter().map(|it| name(*it)));
    }
    words.join(" → ")
}

/// Where two tokens of a place first stood in one: reduction looks at the end of a sequence, the
/// author has to look at its start.
pub(super) struct Merge {
    /// The first place that both tokens reach.
    pub(super) place: PlaceIx,
    /// The join that gets both on one flow, if the sequence behind the merge leads to one.
    pub(super) join: Option<PlaceIx>,
    /// The nodes between.
    pub(super) between: HashSet<usize>,
}

/// Goes back from `place` along the sequence that leads to it, and from there on to a join.
pub(super) fn merge(net: &Net, place: PlaceIx) -> Merge {
    let mut producers: Vec<Vec<Move>> = vec![Vec::new(); net.places.len()];
    for (node, it) in net.nodes.iter().enumerate() {
        for (outcome, it) in it.outcomes.iter().enumerate() {
            it.places.iter().for_each(|place| producers[*place].push(Move { node, outcome }));
        }
    }
    let mut between = HashSet::new();
    let mut first = place;
    while let [made] = producers[first][..]
        && let [input] = net.nodes[made.node].inputs[..]
        && net.nodes[made.node].outcomes[made.outcome].places.len() == 1
        && between.insert(made.node)
    {
        first = input;
    }
    let mut last = first;
    let mut seen = HashSet::new();
    while !net.waits(last)
        && let [outcome] = &net.nodes[net.places[last].consumer].outcomes[..]
        && let [next] = outcome.places[..]
        && seen.insert(last)
    {
        last = next;
    }
    Merge { place: first, join: net.waits(last).then_some(last), between }
}
