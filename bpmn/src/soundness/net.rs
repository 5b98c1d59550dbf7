//! The drawn process as a net: places that hold tokens, and what each element makes of them.
//!
//! Every place has one consumer, so elements never compete for a token; the only choices are those
//! an element makes among its [`Outcome`]s, and data is not looked at: each choice that is drawn
//! can happen. Elements that take any token have one place; a parallel join has one per incoming
//! flow. End events have none: a token is gone there, alone, as implicit termination wants it.
//!
//! A new kind of element is added in [`Builder::outcomes`] if it chooses or forks in a new way, in
//! [`Builder::joins`] if it waits for several tokens. An inclusive join takes what is there once
//! nothing more can come ([`Node::inclusive`]); what waits for something else that is not in its own
//! places (the complex gateway) is [`Unmodelled`].

use std::collections::HashMap;

use crate::graph::Graph;
use crate::model::{EventDefinitionKind, FlowNode, FlowNodeKind};

/// A place of the net, by index.
pub(super) type PlaceIx = usize;

/// The most conditional flows out of one element: each subset of them is an outcome.
const MOST_CONDITIONS: usize = 6;

/// The most outcomes of one net, so that a model of many choices stays small.
const MOST_OUTCOMES: usize = 200_000;

/// The model has something that the net cannot say.
pub(super) struct Unmodelled(pub(super) String);

/// Where tokens stand.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The node of the net that takes tokens from it.
    pub(super) consumer: usize,
    /// The incoming flow of a join; `None`: tokens stand at the element itself.
    pub(super) flow: Option<usize>,
    /// A token here ends the instance with all other tokens: two are as good as one.
    pub(super) ends_all: bool,
}

/// An element that tokens pass.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The index of the element in the process.
    pub(super) drawn: usize,
    /// It takes one token from each of these at once.
    pub(super) inputs: Vec<PlaceIx>,
    /// It takes a token from each of them that has one, once no token can come to another that could
    /// not as well come to one of these (BPMN 13.4.3).
    pub(super) inclusive: bool,
    /// What it can do then; exactly one of them.
    pub(super) outcomes: Vec<Outcome>,
}

/// One thing an element can do with a token.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// The boundary event by which the token leaves.
    pub(super) via: Option<usize>,
    /// The flows taken.
    pub(super) flows: Vec<usize>,
    /// Where the new tokens stand.
    pub(super) places: Vec<PlaceIx>,
}

/// See the module's documentation.
pub(super) struct Net {
    pub(super) places: Vec<Place>,
    pub(super) nodes: Vec<Node>,
    /// The net's node of each drawn element, if it has one.
    pub(super) of_drawn: HashMap<usize, usize>,
}

impl Net {
    /// The net of one scope: the process (`None`) or a sub-process.
    pub(super) fn of(graph: &Graph<'_>, scope: Option<usize>) -> Result<Self, Unmodelled> {
        let mut builder = Builder {
            graph,
            net: Self { places: Vec::new(), nodes: Vec::new(), of_drawn: HashMap::new() },
            at_node: HashMap::new(),
            on_flow: HashMap::new(),
        };
        let drawn: Vec<usize> =
            (0..graph.process.nodes.len()).filter(|it| graph.process.nodes[*it].parent == scope).collect();
        for node in &drawn {
            builder.places(*node)?;
        }
        let mut outcomes = 0;
        for node in 0..builder.net.nodes.len() {
            builder.net.nodes[node].outcomes = builder.outcomes(builder.net.nodes[node].drawn)?;
            outcomes += builder.net.nodes[node].outcomes.len();
            if outcomes > MOST_OUTCOMES {
                return Err(Unmodelled("it has too many choices".to_owned()));
            }
        }
        Ok(builder.net)
    }

    /// The place where an instance of the scope begins at this start event.
    pub(super) fn start(&self, event: usize) -> Option<PlaceIx> {
        self.of_drawn.get(&event).map(|it| self.nodes[*it].inputs[0])
    }

    /// Whether tokens wait at the place until others come.
    pub(super) fn waits(&self, place: PlaceIx) -> bool {
        self.places[place].flow.is_some()
    }
}

struct Builder<'a> {
    graph: &'a Graph<'a>,
    net: Net,
    at_node: HashMap<usize, PlaceIx>,
    on_flow: HashMap<usize, PlaceIx>,
}

/// Whether an activity takes or leaves other than one token.
fn counts(node: &FlowNode) -> bool {
    let quantities = [&node.start_quantity, &node.completion_quantity];
    quantities.into_iter().flatten().any(|it| it.trim() != "1")
}

/// Whether an end event takes the other tokens of its scope with it.
fn ends_all(node: &FlowNode) -> bool {
    matches!(node.kind, FlowNodeKind::EndEvent)
        && node.defines(|it| {
            matches!(
                it,
                EventDefinitionKind::Terminate | EventDefinitionKind::Error { .. } | EventDefinitionKind::Cancel
            )
        })
}

impl Builder<'_> {
    fn node(&self, drawn: usize) -> &FlowNode {
        &self.graph.process.nodes[drawn]
    }

    /// Whether the element waits for a token on each incoming flow.
    fn joins(&self, drawn: usize) -> bool {
        let gateway = matches!(self.node(drawn).kind, FlowNodeKind::ParallelGateway | FlowNodeKind::InclusiveGateway);
        gateway && self.graph.incoming[drawn].len() > 1
    }

    fn places(&mut self, drawn: usize) -> Result<(), Unmodelled> {
        let it = self.node(drawn);
        let ends_all = ends_all(it);
        let inclusive = matches!(it.kind, FlowNodeKind::InclusiveGateway) && self.joins(drawn);
        match &it.kind {
            FlowNodeKind::BoundaryEvent { .. } | FlowNodeKind::SubProcess { triggered_by_event: true } => return Ok(()),
            FlowNodeKind::EndEvent if !ends_all => return Ok(()),
            FlowNodeKind::ComplexGateway { .. } => {
                return Err(Unmodelled(format!("complex gateway `{}` is not followed", it.id)));
            }
            // handlers run beside the flow
            _ if it.is_for_compensation => return Ok(()),
            _ if counts(it) => {
                return Err(Unmodelled(format!("the quantities of `{}` are not followed", it.id)));
            }
            _ => {}
        }
        let consumer = self.net.nodes.len();
        let flows: Vec<Option<usize>> = match self.joins(drawn) {
            true => self.graph.incoming[drawn].iter().copied().map(Some).collect(),
            false => vec![None],
        };
        let mut inputs = Vec::with_capacity(flows.len());
        for flow in flows {
            let place = self.net.places.len();
            self.net.places.push(Place { consumer, flow, ends_all });
            inputs.push(place);
            match flow {
                Some(flow) => self.on_flow.insert(flow, place),
                None => self.at_node.insert(drawn, place),
            };
        }
        self.net.of_drawn.insert(drawn, consumer);
        self.net.nodes.push(Node { drawn, inputs, inclusive, outcomes: Vec::new() });
        Ok(())
    }

    /// Where a token on `flow` comes to stand; `None`: it ends there.
    fn target(&self, flow: usize) -> Option<PlaceIx> {
        let (_, node) = self.graph.ends[flow]?;
        match self.ending(node) {
            Some(end) => self.at_node.get(&end).copied(),
            None => self.on_flow.get(&flow).or_else(|| self.at_node.get(&node)).copied(),
        }
    }

    /// The end event that a token at `node` is at, as good as: merges right before an end are
    /// passed, for nothing happens twice in them.
    fn ending(&self, mut node: usize) -> Option<usize> {
        for _ in 0..self.graph.process.nodes.len() {
            match (&self.node(node).kind, self.graph.outgoing[node].as_slice()) {
                (FlowNodeKind::EndEvent, _) => return Some(node),
                (FlowNodeKind::ExclusiveGateway, [next]) => node = self.graph.ends[*next]?.1,
                _ => return None,
            }
        }
        None
    }

    fn outcome(&self, via: Option<usize>, flows: Vec<usize>) -> Outcome {
        let places = flows.iter().filter_map(|it| self.target(*it)).collect();
        Outcome { via, flows, places }
    }

    fn outcomes(&self, drawn: usize) -> Result<Vec<Outcome>, Unmodelled> {
        let it = self.node(drawn);
        let outgoing = &self.graph.outgoing[drawn];
        let each = || outgoing.iter().map(|flow| self.outcome(None, vec![*flow])).collect();
        match &it.kind {
            FlowNodeKind::EndEvent => Ok(Vec::new()),
            FlowNodeKind::EventBasedGateway { parallel: true, .. } => Ok(vec![self.outcome(None, outgoing.clone())]),
            FlowNodeKind::ExclusiveGateway | FlowNodeKind::EventBasedGateway { .. } if !outgoing.is_empty() => {
                Ok(each())
            }
            FlowNodeKind::ParallelGateway => Ok(vec![self.outcome(None, outgoing.clone())]),
            _ => {
                let mut outcomes = self.chosen(drawn)?;
                self.boundaries(drawn, &mut outcomes);
                Ok(outcomes)
            }
        }
    }

    /// All unconditional flows and those whose conditions hold; the default flow if none holds.
    fn chosen(&self, drawn: usize) -> Result<Vec<Outcome>, Unmodelled> {
        let default = self.graph.default(drawn);
        let flows = &self.graph.process.flows;
        let rest = self.graph.outgoing[drawn].iter().copied().filter(|it| Some(*it) != default);
        let (conditional, always): (Vec<usize>, Vec<usize>) = rest.partition(|it| flows[*it].condition.is_some());
        if conditional.len() > MOST_CONDITIONS {
            let id = &self.node(drawn).id;
            return Err(Unmodelled(format!("`{id}` has more than {MOST_CONDITIONS} conditional flows")));
        }
        let mut outcomes = Vec::new();
        for subset in 0..1_usize << conditional.len() {
            let mut taken = always.clone();
            taken.extend(conditional.iter().enumerate().filter(|(bit, _)| subset >> bit & 1 == 1).map(|it| it.1));
            if subset == 0 {
                taken.extend(default);
            }
            // nothing to take although something is drawn: an incident, not a move
            if !taken.is_empty() || self.graph.outgoing[drawn].is_empty() {
                outcomes.push(self.outcome(None, taken));
            }
        }
        Ok(outcomes)
    }

    /// An interrupting boundary event takes the token, another one adds one.
    fn boundaries(&self, drawn: usize, outcomes: &mut Vec<Outcome>) {
        let usual = outcomes.first().cloned().unwrap_or_default();
        let compensation =
            |it: &&usize| self.node(**it).defines(|it| matches!(it, EventDefinitionKind::Compensate { .. }));
        for boundary in self.graph.boundaries[drawn].iter().filter(|it| !compensation(it)) {
            let mut outcome = self.outcome(Some(*boundary), self.graph.outgoing[*boundary].clone());
            if let FlowNodeKind::BoundaryEvent { cancel_activity: false, .. } = self.node(*boundary).kind {
                outcome.flows.extend(&usual.flows);
                outcome.places.extend(&usual.places);
            }
            outcomes.push(outcome);
        }
    }
}
