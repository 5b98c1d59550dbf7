//! Random models: made of blocks, and changed so that they may be unsound.

use std::fmt::Write;

/// A small generator of numbers (splitmix64): the same seed gives the same models.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((it ^ (it >> 31)) % limit as u64) as usize
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Start,
    End,
    Terminate,
    Task,
    Exclusive,
    Parallel,
    Inclusive,
    /// An error boundary event of this node.
    Boundary(usize),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) nodes: Vec<(String, Kind)>,
    pub(crate) flows: Vec<(usize, usize)>,
    /// Whether blocks may be of inclusive gateways.
    pub(crate) inclusive: bool,
}

impl Model {
    /// A model by names; what is named in flows only is an end event.
    pub(crate) fn new(nodes: &[(&str, Kind)], flows: &[(&str, &str)]) -> Self {
        let mut model = Self::default();
        nodes.iter().for_each(|(id, kind)| model.nodes.push(((*id).to_owned(), *kind)));
        for (from, to) in flows {
            let [from, to] = [from, to].map(|id| match model.nodes.iter().position(|it| it.0 == **id) {
                Some(at) => at,
                None => {
                    model.nodes.push(((*id).to_string(), Kind::End));
                    model.nodes.len() - 1
                }
            });
            model.flows.push((from, to));
        }
        model
    }

    fn add(&mut self, kind: Kind) -> usize {
        self.nodes.push((format!("N{}", self.nodes.len()), kind));
        self.nodes.len() - 1
    }

    fn link(&mut self, from: usize, to: usize) {
        self.flows.push((from, to));
    }

    /// Start, nested blocks of about `size` tasks and gateways, end.
    pub(crate) fn of_blocks(random: &mut Random, size: usize) -> Self {
        Self::default().with_blocks(random, size)
    }

    /// The same with inclusive gateways, too.
    pub(crate) fn of_inclusive_blocks(random: &mut Random, size: usize) -> Self {
        Self { inclusive: true, ..Self::default() }.with_blocks(random, size)
    }

    fn with_blocks(self, random: &mut Random, size: usize) -> Self {
        let mut model = self;
        let start = model.add(Kind::Start);
        let (first, last) = model.block(random, size, 0);
        let end = model.add(Kind::End);
        model.link(start, first);
        model.link(last, end);
        model
    }

    fn block(&mut self, random: &mut Random, size: usize, depth: usize) -> (usize, usize) {
        if size < 3 || depth > 30 {
            return self.task(random);
        }
        match random.below(if self.inclusive { 8 } else { 6 }) {
            0 | 1 => {
                let (first, a) = self.block(random, size / 2, depth + 1);
                let (b, last) = self.block(random, size - size / 2, depth + 1);
                self.link(a, b);
                (first, last)
            }
            2 => self.fork(random, Kind::Exclusive, size - 2, depth),
            3 | 4 => self.fork(random, Kind::Parallel, size - 2, depth),
            6 | 7 => self.fork(random, Kind::Inclusive, size - 2, depth),
            _ => {
                let (merge, split) = (self.add(Kind::Exclusive), self.add(Kind::Exclusive));
                let (first, last) = self.block(random, size - 2, depth + 1);
                self.link(merge, first);
                self.link(last, split);
                self.link(split, merge);
                (merge, split)
            }
        }
    }

    fn fork(&mut self, random: &mut Random, kind: Kind, size: usize, depth: usize) -> (usize, usize) {
        let (split, join) = (self.add(kind), self.add(kind));
        let branches = 2 + random.below(3);
        for _ in 0..branches {
            let (first, last) = self.block(random, size / branches, depth + 1);
            self.link(split, first);
            self.link(last, join);
        }
        (split, join)
    }

    /// A task, sometimes with a boundary event that goes on behind it or ends all.
    fn task(&mut self, random: &mut Random) -> (usize, usize) {
        let task = self.add(Kind::Task);
        let way = random.below(8);
        if way > 1 {
            return (task, task);
        }
        let boundary = self.add(Kind::Boundary(task));
        if way == 0 {
            let end = self.add(Kind::Terminate);
            self.link(boundary, end);
            return (task, task);
        }
        let merge = self.add(Kind::Exclusive);
        self.link(task, merge);
        self.link(boundary, merge);
        (task, merge)
    }

    /// Changes the kind of a gateway, or where a flow leads.
    pub(crate) fn change(&mut self, random: &mut Random) {
        let gateway = |it: &usize| matches!(self.nodes[*it].1, Kind::Exclusive | Kind::Parallel | Kind::Inclusive);
        let gateways: Vec<usize> = (0..self.nodes.len()).filter(gateway).collect();
        if random.below(4) > 0 && !gateways.is_empty() {
            let kind = &mut self.nodes[gateways[random.below(gateways.len())]].1;
            *kind = match *kind {
                Kind::Exclusive if self.inclusive && random.below(2) == 0 => Kind::Inclusive,
                Kind::Exclusive => Kind::Parallel,
                _ => Kind::Exclusive,
            };
        } else {
            let targets: Vec<usize> = (0..self.nodes.len())
                .filter(|it| !matches!(self.nodes[*it].1, Kind::Start | Kind::Boundary(_)))
                .collect();
            let flow = random.below(self.flows.len());
            self.flows[flow].1 = targets[random.below(targets.len())];
        }
    }

    /// One fork with many branches of one task.
    pub(crate) fn fork_of(branches: usize, name: &dyn Fn(usize) -> String) -> Self {
        let mut model = Self::default();
        let [start, split, join, end] =
            [Kind::Start, Kind::Parallel, Kind::Parallel, Kind::End].map(|kind| model.add(kind));
        [(start, split), (join, end)].into_iter().for_each(|(from, to)| model.link(from, to));
        for branch in 0..branches {
            model.nodes.push((name(branch), Kind::Task));
            let task = model.nodes.len() - 1;
            model.link(split, task);
            model.link(task, join);
        }
        model
    }

    /// A loop around a long sequence of parallel blocks, with a way out that ends all in each.
    pub(crate) fn retried(blocks: usize, branches: usize) -> Self {
        let mut model = Self::default();
        let [start, merge, again, end] =
            [Kind::Start, Kind::Exclusive, Kind::Exclusive, Kind::End].map(|kind| model.add(kind));
        let mut last = merge;
        for _ in 0..blocks {
            let [split, join] = [Kind::Parallel, Kind::Parallel].map(|kind| model.add(kind));
            model.link(last, split);
            for _ in 0..branches {
                let task = model.add(Kind::Task);
                model.link(split, task);
                model.link(task, join);
            }
            last = join;
        }
        for (from, to) in [(start, merge), (last, again), (again, merge), (again, end)] {
            model.link(from, to);
        }
        model
    }

    /// A loop of branches each of which can end alone, so that no rule reduces them.
    pub(crate) fn tangled(branches: usize) -> Self {
        let mut model = Self::default();
        let [start, merge, split, join, again, end] =
            [Kind::Start, Kind::Exclusive, Kind::Parallel, Kind::Parallel, Kind::Exclusive, Kind::End]
                .map(|kind| model.add(kind));
        for (from, to) in [(start, merge), (merge, split), (join, again), (again, merge), (again, end)] {
            model.link(from, to);
        }
        for _ in 0..branches {
            let [first, second] = [Kind::Task, Kind::Task].map(|kind| model.add(kind));
            let boundary = model.add(Kind::Boundary(first));
            let stop = model.add(Kind::End);
            model.link(split, first);
            model.link(first, second);
            model.link(boundary, stop);
            model.link(second, join);
        }
        model
    }

    /// The model as a file.
    pub(crate) fn xml(&self) -> String {
        let mut xml = "<definitions xmlns='http://www.omg.org/spec/BPMN/20100524/MODEL' \
             xmlns:zeebe='http://camunda.org/schema/zeebe/1.0'><process id='P' isExecutable='true'>\n"
            .to_owned();
        let leaving = |node: usize| (0..self.flows.len()).filter(move |it| self.flows[*it].0 == node);
        let mut conditional = vec![false; self.flows.len()];
        for (index, (id, kind)) in self.nodes.iter().enumerate() {
            let line = match kind {
                Kind::Start => format!("<startEvent id='{id}'/>"),
                Kind::End => format!("<endEvent id='{id}'/>"),
                Kind::Terminate => format!("<endEvent id='{id}'><terminateEventDefinition/></endEvent>"),
                Kind::Parallel => format!("<parallelGateway id='{id}'/>"),
                Kind::Boundary(at) => format!(
                    "<boundaryEvent id='{id}' attachedToRef='{}'><errorEventDefinition/></boundaryEvent>",
                    self.nodes[*at].0
                ),
                Kind::Task => format!(
                    "<serviceTask id='{id}'><extensionElements><zeebe:taskDefinition type='t'/></extensionElements></serviceTask>"
                ),
                Kind::Exclusive | Kind::Inclusive => {
                    let gateway = if *kind == Kind::Exclusive { "exclusiveGateway" } else { "inclusiveGateway" };
                    let flows: Vec<usize> = leaving(index).collect();
                    match flows[..] {
                        [] | [_] => format!("<{gateway} id='{id}'/>"),
                        [default, ref rest @ ..] => {
                            rest.iter().for_each(|it| conditional[*it] = true);
                            format!("<{gateway} id='{id}' default='f{default}'/>")
                        }
                    }
                }
            };
            writeln!(xml, "{line}").unwrap();
        }
        for (flow, (from, to)) in self.flows.iter().enumerate() {
            let condition = if conditional[flow] { "<conditionExpression>x = 1</conditionExpression>" } else { "" };
            let (from, to) = (&self.nodes[*from].0, &self.nodes[*to].0);
            writeln!(xml, "<sequenceFlow id='f{flow}' sourceRef='{from}' targetRef='{to}'>{condition}</sequenceFlow>")
                .unwrap();
        }
        xml + "</process></definitions>"
    }
}
