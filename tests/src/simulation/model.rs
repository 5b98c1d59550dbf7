//! The processes of the simulation: written as blocks, turned into BPMN for `bpmn::check`, and evaluated by
//! the reference.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use routing::{Compiled, Digest};

/// What a task does with its input; see `task`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// The same answer for the same input.
    Pure,
    /// Another answer at every call.
    Fickle,
    /// Answers some inputs with an error that a boundary event may catch.
    Erring,
    /// Takes longer than its boundary timer, sometimes.
    Slow,
}

/// A piece of a process with one way in and at most one way out.
#[derive(Clone, Debug)]
pub(super) enum Block {
    /// A task.
    Task(&'static str, Work),
    /// One after the other.
    Seq(Vec<Block>),
    /// Exclusive gateway by the choice of the named task (0: the first), then together again.
    Choice(&'static str, Box<Block>, Box<Block>),
    /// The task again, as often as `limit` in the payload says.
    Loop(&'static str),
    /// Parallel split and join.
    Parallel(Vec<Block>),
    /// Parallel split; every branch has its own end.
    Fork(Vec<Block>),
    /// Parallel split; the first branch ends in a terminate end event, the others each in their own.
    Race(Vec<Block>),
    /// Waits so many milliseconds.
    Wait(u64),
    /// The task; its errors lead to the block.
    Caught(&'static str, Box<Block>),
    /// The task, for so many milliseconds at most, then the block instead.
    InTime(&'static str, u64, Box<Block>),
}

/// A process ready to run.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) block: Block,
    pub(super) definition: bpmn::ProcessDefinition,
    pub(super) ledger: Arc<Compiled>,
    pub(super) tasks: Vec<(routing::ElementId, Arc<Compiled>)>,
}

impl Model {
    pub(super) fn digest(&self) -> Digest {
        self.definition.digest
    }
}

/// The services; element `A1` is served by `a`, and so on.
pub(super) const SERVICES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Every process, compiled once.
pub(super) fn models() -> &'static [Model] {
    static MODELS: OnceLock<Vec<Model>> = OnceLock::new();
    MODELS.get_or_init(|| {
        let recoverable = blocks().into_iter().map(|block| (block, true));
        let all = recoverable.chain(unrecoverable().into_iter().map(|block| (block, false)));
        all.enumerate().map(|(i, (block, recoverable))| compile(i, block, recoverable)).collect()
    })
}

/// A failure ends these as ERROR.
fn unrecoverable() -> Vec<Block> {
    use Block::{Caught, Fork, InTime, Loop, Parallel, Seq, Task, Wait};
    use Work::{Fickle, Pure};
    vec![
        Seq(vec![Task("A1", Pure), Task("B1", Fickle)]),
        Seq(vec![
            Parallel(vec![
                Seq(vec![Task("A1", Fickle), Task("B1", Pure)]),
                Seq(vec![Task("C1", Pure), Wait(300), Task("D1", Fickle)]),
                Parallel(vec![Task("E1", Pure), Loop("F1")]),
            ]),
            Task("A2", Pure),
        ]),
        Fork(vec![
            Seq(vec![Task("A1", Pure), InTime("B1", 400, Box::new(Task("C1", Pure)))]),
            Seq(vec![Wait(200), Caught("D1", Box::new(Task("E1", Fickle))), Task("F1", Fickle)]),
        ]),
    ]
}

fn blocks() -> Vec<Block> {
    use Block::{Caught, Choice, Fork, InTime, Loop, Parallel, Race, Seq, Task, Wait};
    use Work::{Fickle, Pure};
    let choice = |by, a, b| Choice(by, Box::new(a), Box::new(b));
    vec![
        Seq(vec![Task("A1", Pure), Task("B1", Pure), Task("C1", Pure)]),
        Seq(vec![Task("A1", Fickle), choice("A1", Task("B1", Fickle), Task("C1", Pure)), Task("D1", Pure)]),
        Seq(vec![Task("B1", Pure), Loop("A1"), Task("C1", Fickle)]),
        Seq(vec![
            Task("A1", Pure),
            Parallel(vec![
                Seq(vec![Task("B1", Fickle), Task("C1", Pure)]),
                Parallel(vec![Task("D1", Pure), Seq(vec![Task("E1", Fickle), Wait(700)])]),
                Task("F1", Pure),
            ]),
            Task("A2", Fickle),
        ]),
        Seq(vec![
            Task("A1", Pure),
            Race(vec![
                Seq(vec![Task("B1", Pure), Task("C1", Fickle)]),
                Seq(vec![Task("D1", Pure), Wait(40), Task("E1", Pure)]),
            ]),
        ]),
        Seq(vec![
            Caught("A1", Box::new(Task("B1", Fickle))),
            Task("C1", Pure),
            Caught("D1", Box::new(Task("E1", Pure))),
        ]),
        Seq(vec![Task("C1", Pure), Wait(1_500), Task("B1", Pure)]),
        Seq(vec![InTime("A1", 400, Box::new(Task("B1", Pure))), Task("C1", Fickle)]),
        Seq(vec![
            Task("F1", Fickle),
            Fork(vec![
                Seq(vec![Task("A1", Pure), Task("B1", Pure)]),
                choice("F1", Task("C1", Fickle), Task("D1", Pure)),
                Seq(vec![Parallel(vec![Task("E1", Fickle), Loop("F2")]), Task("A2", Pure)]),
            ]),
        ]),
    ]
}

fn compile(number: usize, block: Block, recoverable: bool) -> Model {
    let xml = Writer::default().process(number, &block, recoverable);
    let checked = bpmn::check(xml.as_bytes(), &bpmn::Options::default());
    let mut definitions = checked.unwrap_or_else(|found| panic!("model {number}: {found:#?}\n{xml}")).definitions;
    let definition = definitions.remove(0);
    let compiled =
        |t: &bpmn::Table| Arc::new(Compiled::from_bytes(&t.bytes, t.digest).expect("tables of check are well-formed"));
    Model {
        block,
        ledger: compiled(&definition.ledger),
        tasks: definition.tasks.iter().map(|(e, t)| (e.clone(), compiled(t))).collect(),
        definition,
    }
}

/// Where a flow comes from: a node, and the flow's condition.
type From = (String, Option<String>);

#[derive(Default)]
struct Writer {
    nodes: String,
    flows: String,
    count: usize,
}

impl Writer {
    fn process(mut self, number: usize, block: &Block, recoverable: bool) -> String {
        if !recoverable {
            let settings = "<text>rexflow_global_properties: {recoverable: false, retry: {total_attempts: 1}}</text>";
            self.node("textAnnotation", settings);
        }
        let start = self.node("startEvent", "");
        if let Some(last) = self.block(block, (start, None)) {
            self.end(last, "");
        }
        format!(
            "<definitions xmlns=\"http://www.omg.org/spec/BPMN/20100524/MODEL\" \
             xmlns:zeebe=\"http://camunda.org/schema/zeebe/1.0\" targetNamespace=\"urn:simulation\">\
             <process id=\"P{number}\" isExecutable=\"true\">{}{}</process></definitions>",
            self.nodes, self.flows
        )
    }

    fn id(&mut self, of: &str) -> String {
        self.count += 1;
        format!("{of}_{}", self.count)
    }

    fn node(&mut self, kind: &str, content: &str) -> String {
        let id = self.id(kind);
        let _ = write!(self.nodes, "<{kind} id=\"{id}\">{content}</{kind}>");
        id
    }

    fn flow(&mut self, (from, condition): From, to: &str) -> String {
        let id = self.id("flow");
        let condition = condition.map(|c| format!("<conditionExpression>={c}</conditionExpression>"));
        let condition = condition.unwrap_or_default();
        let _ = write!(
            self.flows,
            "<sequenceFlow id=\"{id}\" sourceRef=\"{from}\" targetRef=\"{to}\">{condition}</sequenceFlow>"
        );
        id
    }

    fn end(&mut self, from: From, content: &str) {
        let end = self.node("endEvent", content);
        self.flow(from, &end);
    }

    fn task(&mut self, element: &str, from: From) -> From {
        let service = element[..1].to_lowercase();
        let _ = write!(
            self.nodes,
            "<serviceTask id=\"{element}\"><extensionElements><zeebe:taskDefinition type=\"{service}\"/></extensionElements></serviceTask>"
        );
        self.flow(from, element);
        (element.to_owned(), None)
    }

    /// Branches that come together again at a gateway of this kind.
    fn together(&mut self, kind: &str, exits: Vec<From>) -> From {
        let gateway = self.node(kind, "");
        for exit in exits {
            self.flow(exit, &gateway);
        }
        (gateway, None)
    }

    fn block(&mut self, block: &Block, from: From) -> Option<From> {
        match block {
            Block::Task(element, _) => Some(self.task(element, from)),
            Block::Seq(blocks) => blocks.iter().try_fold(from, |from, block| self.block(block, from)),
            Block::Choice(by, first, second) => Some(self.choice(by, first, second, from)),
            Block::Loop(element) => Some(self.again(element, from)),
            Block::Parallel(branches) => {
                let exits = self.branches(branches, from);
                Some(self.together("parallelGateway", exits))
            }
            Block::Fork(branches) => {
                self.branches(branches, from).into_iter().for_each(|exit| self.end(exit, ""));
                None
            }
            Block::Race(branches) => {
                let mut exits = self.branches(branches, from).into_iter();
                exits.by_ref().take(1).for_each(|exit| self.end(exit, "<terminateEventDefinition/>"));
                exits.for_each(|exit| self.end(exit, ""));
                None
            }
            Block::Wait(ms) => {
                let timer = self.node("intermediateCatchEvent", &timer(*ms));
                self.flow(from, &timer);
                Some((timer, None))
            }
            Block::Caught(element, handler) => Some(self.guarded(element, "<errorEventDefinition/>", handler, from)),
            Block::InTime(element, ms, late) => Some(self.guarded(element, &timer(*ms), late, from)),
        }
    }

    fn branches(&mut self, branches: &[Block], from: From) -> Vec<From> {
        let split = self.node("parallelGateway", "");
        self.flow(from, &split);
        branches.iter().filter_map(|b| self.block(b, (split.clone(), None))).collect()
    }

    fn choice(&mut self, by: &str, first: &Block, second: &Block, from: From) -> From {
        let gateway = self.id("exclusiveGateway");
        self.flow(from, &gateway);
        let one = self.block(first, (gateway.clone(), Some(format!("{by}_c = 0"))));
        let entry = self.id("exclusiveGateway");
        let default = self.flow((gateway.clone(), None), &entry);
        let _ = write!(
            self.nodes,
            "<exclusiveGateway id=\"{gateway}\" default=\"{default}\"/><exclusiveGateway id=\"{entry}\"/>"
        );
        let two = self.block(second, (entry, None));
        self.together("exclusiveGateway", one.into_iter().chain(two).collect())
    }

    fn again(&mut self, element: &str, from: From) -> From {
        let merge = self.node("exclusiveGateway", "");
        self.flow(from, &merge);
        let task = self.task(element, (merge.clone(), None));
        let gateway = self.id("exclusiveGateway");
        self.flow(task, &gateway);
        self.flow((gateway.clone(), Some(format!("{element}_n &lt; limit"))), &merge);
        let after = self.id("exclusiveGateway");
        let out = self.flow((gateway.clone(), None), &after);
        let _ = write!(
            self.nodes,
            "<exclusiveGateway id=\"{gateway}\" default=\"{out}\"/><exclusiveGateway id=\"{after}\"/>"
        );
        (after, None)
    }

    fn guarded(&mut self, element: &str, event: &str, handler: &Block, from: From) -> From {
        let task = self.task(element, from);
        let boundary = self.id("boundaryEvent");
        let _ =
            write!(self.nodes, "<boundaryEvent id=\"{boundary}\" attachedToRef=\"{element}\">{event}</boundaryEvent>");
        let handled = self.block(handler, (boundary, None));
        self.together("exclusiveGateway", [task].into_iter().chain(handled).collect())
    }
}

fn timer(ms: u64) -> String {
    format!(
        "<timerEventDefinition><timeDuration>PT{}.{:03}S</timeDuration></timerEventDefinition>",
        ms / 1000,
        ms % 1000
    )
}
