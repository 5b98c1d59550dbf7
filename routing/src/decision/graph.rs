//! The decision requirements graph (DMN 1.5, clause 6): what needs what, and in which order it is evaluated.

use std::collections::{BTreeSet, HashMap};

use super::model::{DecisionError, Decisions, Logic, Requirements};

/// A node of the graph, by its index in [`Decisions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// Input data.
    Input(usize),
    /// A knowledge model.
    Knowledge(usize),
    /// A decision.
    Decision(usize),
}

/// The graph, free of cycles.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    /// All nodes, each behind those it needs.
    nodes: Vec<Node>,
    /// What each of them needs, by position in `nodes`.
    needs: Vec<Vec<usize>>,
}

impl Graph {
    /// Resolves every requirement.
    pub(super) fn of(decisions: &Decisions) -> Result<Self, DecisionError> {
        let known = known(decisions)?;
        let needs_of = |node: Node| match node {
            Node::Input(_) => Ok(Vec::new()),
            Node::Knowledge(at) => resolve(&known, &decisions.knowledge[at].requires, &decisions.knowledge[at].id),
            Node::Decision(at) => resolve(&known, &decisions.decisions[at].requires, &decisions.decisions[at].id),
        };
        let roots = (0..decisions.inputs.len()).map(Node::Input);
        let roots = roots.chain((0..decisions.knowledge.len()).map(Node::Knowledge));
        let roots = roots.chain((0..decisions.decisions.len()).map(Node::Decision));
        let mut graph = Self { nodes: Vec::new(), needs: Vec::new() };
        let mut places: HashMap<Node, Option<usize>> = HashMap::new();
        for root in roots {
            if places.contains_key(&root) {
                continue;
            }
            places.insert(root, None);
            let mut open = vec![(root, needs_of(root)?, 0)];
            while let Some((node, needs, next)) = open.last_mut() {
                if let Some(need) = needs.get(*next).copied() {
                    *next += 1;
                    match places.get(&need) {
                        Some(Some(_)) => {}
                        Some(None) => return Err(cycle(decisions, open.iter().map(|(node, ..)| *node), need)),
                        None => {
                            places.insert(need, None);
                            open.push((need, needs_of(need)?, 0));
                        }
                    }
                } else {
                    let places_of = needs.iter().filter_map(|it| places.get(it).copied().flatten()).collect();
                    places.insert(*node, Some(graph.nodes.len()));
                    graph.nodes.push(*node);
                    graph.needs.push(places_of);
                    open.pop();
                }
            }
        }
        Ok(graph)
    }

    /// What a decision needs, directly and through others, and then the decision: each behind those it needs.
    pub(super) fn plan(&self, decision: usize) -> Vec<Node> {
        let Some(root) = self.nodes.iter().position(|it| *it == Node::Decision(decision)) else { return Vec::new() };
        let (mut needed, mut open) = (BTreeSet::new(), vec![root]);
        while let Some(at) = open.pop() {
            if needed.insert(at) {
                open.extend(&self.needs[at]);
            }
        }
        needed.into_iter().map(|at| self.nodes[at]).collect()
    }

    /// What a node needs directly.
    pub(super) fn needs(&self, node: Node) -> impl Iterator<Item = Node> + '_ {
        let at = self.nodes.iter().position(|it| *it == node);
        at.into_iter().flat_map(|at| &self.needs[at]).map(|at| self.nodes[*at])
    }
}

fn known(decisions: &Decisions) -> Result<HashMap<&str, Node>, DecisionError> {
    let mut known = HashMap::new();
    let inputs = decisions.inputs.iter().enumerate().map(|(at, it)| (it.id.as_str(), Node::Input(at)));
    let knowledge = decisions.knowledge.iter().enumerate().map(|(at, it)| (it.id.as_str(), Node::Knowledge(at)));
    let all = decisions.decisions.iter().enumerate().map(|(at, it)| (it.id.as_str(), Node::Decision(at)));
    for (id, node) in inputs.chain(knowledge).chain(all) {
        if known.insert(id, node).is_some() {
            return Err(DecisionError::new(id, format!("two elements have the id `{id}`")));
        }
    }
    Ok(known)
}

fn resolve(known: &HashMap<&str, Node>, requires: &Requirements, of: &str) -> Result<Vec<Node>, DecisionError> {
    let one = |id: &String, kind: &str, fits: fn(&Node) -> bool| match known.get(id.as_str()) {
        Some(node) if fits(node) => Ok(*node),
        Some(_) => Err(DecisionError::new(of, format!("`{of}` requires `{id}`, which is no {kind}"))),
        None => Err(DecisionError::new(of, format!("`{of}` requires the {kind} `{id}`, which there is not"))),
    };
    let inputs = requires.inputs.iter().map(|id| one(id, "input data", |it| matches!(it, Node::Input(_))));
    let knowledge =
        requires.knowledge.iter().map(|id| one(id, "knowledge model", |it| matches!(it, Node::Knowledge(_))));
    let decisions = requires.decisions.iter().map(|id| one(id, "decision", |it| matches!(it, Node::Decision(_))));
    inputs.chain(knowledge).chain(decisions).collect()
}

fn cycle(decisions: &Decisions, open: impl Iterator<Item = Node>, again: Node) -> DecisionError {
    let id = |node: Node| match node {
        Node::Input(at) => decisions.inputs[at].id.as_str(),
        Node::Knowledge(at) => decisions.knowledge[at].id.as_str(),
        Node::Decision(at) => decisions.decisions[at].id.as_str(),
    };
    let mut path: Vec<_> = open.skip_while(|it| *it != again).take(8).map(id).collect();
    path.push(id(again));
    DecisionError::new(id(again), format!("requirements form a cycle: {}", path.join(" -> ")))
}

/// The names that expressions of the file may use and that FEEL understands only when it knows them.
pub(super) fn names(decisions: &Decisions) -> Vec<&str> {
    let mut names = BTreeSet::new();
    names.extend(decisions.inputs.iter().map(|it| it.name.as_str()));
    for decision in &decisions.decisions {
        names.extend([decision.name.as_str()]);
        names.extend(decision.variable.as_deref());
        within(&decision.logic, &mut names);
    }
    for model in &decisions.knowledge {
        names.insert(model.name.as_str());
        names.extend(model.parameters.iter().map(String::as_str));
        within(&model.body, &mut names);
    }
    names.retain(|name| feel::must_be_known(name));
    names.into_iter().collect()
}

/// The names that logic binds.
fn within<'a>(logic: &'a Logic, names: &mut BTreeSet<&'a str>) {
    let mut open = vec![logic];
    while let Some(logic) = open.pop() {
        match logic {
            Logic::Literal(_) => {}
            Logic::Table(table) => names.extend(table.outputs.iter().map(|it| it.name.as_str())),
            Logic::Invocation { bindings, .. } => open.extend(bindings.iter().map(|it| &it.logic)),
            Logic::Context { entries, result } => {
                names.extend(entries.iter().map(|it| it.name.as_str()));
                open.extend(entries.iter().map(|it| &it.logic).chain(result.as_deref()));
            }
            Logic::List(items) => open.extend(items),
            Logic::Relation { columns, rows } => {
                names.extend(columns.iter().map(String::as_str));
                open.extend(rows.iter().flatten());
            }
            Logic::Function { parameters, body } => {
                names.extend(parameters.iter().map(String::as_str));
                open.push(body);
            }
            Logic::Conditional { condition, then, otherwise } => open.extend([&**condition, then, otherwise]),
            Logic::Filter { list, holds } => open.extend([&**list, holds]),
            Logic::Iteration { variable, list, body, .. } => {
                names.insert(variable.as_str());
                open.extend([&**list, body]);
            }
        }
    }
}
