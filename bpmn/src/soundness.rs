//! Soundness: whether every instance of a process can end properly, whatever its data.
//!
//! Each scope is played as a token game from each of its start events: as drawn ([`net`]), then
//! with sequences and blocks put together ([`reduce`]), in every state that remains ([`explore`]);
//! what is found is told as a run through the drawn elements ([`replay`]). The notions are those of
//! workflow nets, with BPMN's implicit termination: tokens end alone, and an instance is complete
//! when none is left. Findings are warnings, since data may exclude what the drawing allows, and a
//! model may be unsound on purpose. Behind a state with two tokens in one place nothing is
//! examined: that state is the one to look at first.
//!
//! It is asked only of processes without errors. What costs too much is said to be undecided.

mod explore;
mod inclusive;
mod net;
mod reduce;
mod replay;
mod run;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use explore::{Budget, Found};
use net::{Net, PlaceIx, Unmodelled};
use reduce::Reduced;
use replay::Replay;

use crate::diagnostic::{Diagnostic, Rule};
use crate::graph::Graph;
use crate::lint::describe;
use crate::model::{FlowNodeKind, Position};

/// What the analysis of one file may cost, in tokens looked at: a fraction of a second.
const BUDGET: usize = 2_000_000;

/// Elements that a message names at most.
const MOST_NAMED: usize = 8;

/// Analyses the processes of one file within one budget.
pub(crate) struct Soundness {
    budget: Budget,
}

impl Soundness {
    pub(crate) fn new() -> Self {
        Self { budget: Budget(BUDGET) }
    }

    /// Adds what is wrong with a process that has no errors.
    pub(crate) fn process(&mut self, graph: &Graph<'_>, out: &mut Vec<Diagnostic>) {
        let nodes = &graph.process.nodes;
        let inner = (0..nodes.len()).filter(|it| {
            nodes[*it].kind.is_container() && !matches!(nodes[*it].kind, FlowNodeKind::AdHocSubProcess { .. })
        });
        for scope in std::iter::once(None).chain(inner.map(Some)) {
            if let Err(Unmodelled(why)) = self.scope(graph, scope, out) {
                out.push(undecided(graph, scope, &why));
            }
        }
    }

    /// Inclusive joins leave nothing to reduce: of what is left of the budget they get a part, so that other processes are decided, too.
    fn explored(&mut self, reduced: &Reduced) -> explore::Outcome {
        if !reduced.has_inclusive_joins() {
            return explore::explore(reduced, &mut self.budget);
        }
        let share = self.budget.0 / SHARE;
        let mut budget = Budget(share);
        let found = explore::explore(reduced, &mut budget);
        self.budget.spend(share - budget.0);
        found
    }

    fn scope(&mut self, graph: &Graph<'_>, scope: Option<usize>, out: &mut Vec<Diagnostic>) -> Result<(), Unmodelled> {
        let net = Net::of(graph, scope)?;
        let mut report = Report { graph, net: &net, findings: BTreeMap::new() };
        let mut alive = HashSet::new();
        let mut starts = Vec::new();
        let mut decided = true;
        for (event, node) in graph.process.nodes.iter().enumerate() {
            if node.parent != scope || !begins(&node.kind) {
                continue;
            }
            let Some(initial) = net.start(event) else { continue };
            let size = net.places.len() + net.nodes.len();
            let inclusive = net.nodes.iter().filter(|it| it.inclusive).map(|it| it.inputs.len()).sum::<usize>();
            if !self.budget.spend(size * (4 + inclusive)) {
                report.tell(out);
                return Err(too_many());
            }
            let reduced = Reduced::of(&net, initial);
            let found = self.explored(&reduced);
            report.add(&reduced, &found);
            if found.cut_short {
                report.tell(out);
                return Err(too_many());
            }
            decided &= found.crowded.is_empty() && found.endless.is_none();
            let moves = reduced.runs.all(found.moved.iter().copied());
            alive.extend(moves.iter().flat_map(|it| &net.nodes[it.node].outcomes[it.outcome].flows).copied());
            starts.push(event);
        }
        if decided {
            report.dead(&starts, &alive);
        }
        report.tell(out);
        Ok(())
    }
}

/// See [`Soundness::explored`].
const SHARE: usize = 4;

/// Whether a scope begins at the node.
fn begins(kind: &FlowNodeKind) -> bool {
    matches!(
        kind,
        FlowNodeKind::StartEvent { .. }
            | FlowNodeKind::ReceiveTask { instantiate: true, .. }
            | FlowNodeKind::EventBasedGateway { instantiate: true, .. }
    )
}

fn too_many() -> Unmodelled {
    Unmodelled("it has too many states".to_owned())
}

fn undecided(graph: &Graph<'_>, scope: Option<usize>, why: &str) -> Diagnostic {
    let (what, id, position) = match scope {
        None => (format!("process `{}`", graph.process.id), &graph.process.id, graph.process.position),
        Some(node) => {
            let node = &graph.process.nodes[node];
            (describe(node), &node.id, node.position)
        }
    };
    let message = format!("whether {what} is sound is not decided: {why}");
    Diagnostic::info(Rule::SoundnessUndecided, position, message).on(id.as_str())
}

/// The findings of one scope, one for each rule and element, whatever the start event.
struct Report<'a> {
    graph: &'a Graph<'a>,
    net: &'a Net,
    findings: BTreeMap<(&'static str, usize), Diagnostic>,
}

impl Report<'_> {
    fn tell(&mut self, out: &mut Vec<Diagnostic>) {
        out.extend(std::mem::take(&mut self.findings).into_values());
    }

    fn describe(&self, drawn: usize) -> String {
        describe(&self.graph.process.nodes[drawn])
    }

    fn position(&self, drawn: usize) -> Position {
        self.graph.process.nodes[drawn].position
    }

    fn words(&self, path: &[usize]) -> String {
        replay::words(path, |it| {
            let node = &self.graph.process.nodes[it];
            match node.name.as_deref().map(str::trim).filter(|it| !it.is_empty()) {
                Some(name) => format!("`{}` ({})", node.id, name.chars().take(40).collect::<String>()),
                None => format!("`{}`", node.id),
            }
        })
    }

    fn flow(&self, place: PlaceIx) -> String {
        self.net.places[place].flow.map_or_else(String::new, |it| format!("`{}`", self.graph.process.flows[it].id))
    }

    fn drawn(&self, place: PlaceIx) -> usize {
        self.net.nodes[self.net.places[place].consumer].drawn
    }

    fn warn(&mut self, rule: Rule, drawn: usize, message: String) {
        let finding = Diagnostic::warning(rule, self.position(drawn), message);
        let finding = finding.on(self.graph.process.nodes[drawn].id.as_str());
        self.findings.entry((rule.id(), drawn)).or_insert(finding);
    }

    fn add(&mut self, reduced: &Reduced, found: &explore::Outcome) {
        let replay = |it: &Found| Replay::of(self.net, &reduced.runs, reduced.initial, it);
        let crowded: Vec<_> = found.crowded.iter().map(|it| (it.place, replay(it))).collect();
        let stuck: Vec<_> = found.stuck.iter().map(|it| replay(it).past_joins()).collect();
        let endless: Vec<_> = found.endless.iter().map(|it| (it.place, replay(it))).collect();
        crowded.iter().for_each(|(place, replay)| self.crowded(*place, replay));
        stuck.iter().for_each(|it| self.stuck(it));
        endless.iter().for_each(|(place, replay)| self.endless(*place, replay));
    }

    fn crowded(&mut self, place: PlaceIx, replay: &Replay<'_>) {
        // one move of the reduced net can crowd several places, and this one only behind another
        let place = replay.crowded.unwrap_or(place);
        let merge = replay::merge(self.net, place);
        let merged = self.drawn(merge.place);
        let mut path = replay.path_to(place, &merge.between);
        path.push(merged);
        let path = self.words(&path);
        match merge.join {
            Some(join) => {
                let element = self.drawn(join);
                let flow = self.flow(join);
                let message = format!(
                    "{} can get two tokens on flow {flow}, and joins the wrong ones: {path}",
                    self.describe(element)
                );
                self.warn(Rule::UnsafeJoin, element, message);
            }
            None => {
                let message =
                    format!("{} can be entered again while it still has a token: {path}", self.describe(merged));
                self.warn(Rule::LackOfSynchronisation, merged, message);
            }
        }
    }

    fn stuck(&mut self, replay: &Replay<'_>) {
        let waiting = replay.waiting();
        let Some(first) = waiting.first() else { return };
        let join = self.drawn(*first);
        let inputs = &self.net.nodes[self.net.places[*first].consumer].inputs;
        let missing: Vec<_> = inputs.iter().filter(|it| !replay.holds(**it)).map(|it| self.flow(*it)).collect();
        let joins: BTreeSet<usize> = waiting.iter().map(|it| self.drawn(*it)).collect();
        let others = match joins.len() {
            1 => String::new(),
            count => format!(" ({} more joins wait, too)", count - 1),
        };
        let message = format!(
            "{} can wait for ever for a token on {}{others}: {}",
            self.describe(join),
            listed(&missing),
            self.words(&replay.path())
        );
        self.warn(Rule::Deadlock, join, message);
    }

    fn endless(&mut self, place: PlaceIx, replay: &Replay<'_>) {
        let element = self.drawn(place);
        let mut path = replay.path();
        path.push(element);
        let message = format!("from {} no instance can end any more: {}", self.describe(element), self.words(&path));
        self.warn(Rule::NoCompletion, element, message);
    }

    /// Joins that no run passes although a path leads there, with what so never runs behind them.
    fn dead(&mut self, starts: &[usize], alive: &HashSet<usize>) {
        let reached = self.reached(starts, |_| true);
        // flows behind merges that the net passes
        let lives = self.reached(starts, |node| match self.net.of_drawn.get(&node) {
            Some(it) if self.net.nodes[*it].inputs.len() > 1 => {
                self.graph.outgoing[node].is_empty() || self.graph.outgoing[node].iter().any(|it| alive.contains(it))
            }
            _ => true,
        });
        let joins = (self.net.nodes.iter()).filter(|it| it.inputs.len() > 1).map(|it| it.drawn);
        let dead: Vec<usize> = joins
            .filter(|it| reached.contains_key(it) && lives.contains_key(it))
            .filter(|it| !self.graph.outgoing[*it].iter().any(|flow| alive.contains(flow)))
            .collect();
        let never: Vec<_> = reached.keys().filter(|it| !lives.contains_key(it)).collect();
        let mut named: Vec<_> =
            never.iter().take(MOST_NAMED).map(|it| format!("`{}`", self.graph.process.nodes[**it].id)).collect();
        if never.len() > MOST_NAMED {
            named.push(format!("{} more", never.len() - MOST_NAMED));
        }
        for join in dead {
            let behind = match named.is_empty() {
                true => String::new(),
                false => format!(", so {} never run", listed(&named)),
            };
            let mut path = vec![join];
            while let Some(Some(before)) = path.last().and_then(|it| lives.get(it)) {
                path.push(*before);
            }
            path.reverse();
            let inclusive = self.net.of_drawn.get(&join).is_some_and(|it| self.net.nodes[*it].inclusive);
            let why = if inclusive { "can never go on" } else { "never has a token on each incoming flow" };
            let message = format!("{} {why}{behind}: {}", self.describe(join), self.words(&path));
            self.warn(Rule::DeadElement, join, message);
        }
    }

    /// The elements that flows lead to from the starts, each with the one before it; `passes` says
    /// whether any token gets through an element.
    fn reached(&self, starts: &[usize], passes: impl Fn(usize) -> bool) -> BTreeMap<usize, Option<usize>> {
        let mut reached: BTreeMap<usize, Option<usize>> = starts.iter().map(|it| (*it, None)).collect();
        let mut pending: std::collections::VecDeque<usize> = starts.iter().copied().collect();
        while let Some(node) = pending.pop_front() {
            if !passes(node) {
                continue;
            }
            for next in self.graph.successors(node).chain(self.graph.boundaries[node].iter().copied()) {
                reached.entry(next).or_insert_with(|| {
                    pending.push_back(next);
                    Some(node)
                });
            }
        }
        reached
    }
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "its incoming flows".to_owned(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}
