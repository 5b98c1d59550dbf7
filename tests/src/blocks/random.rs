//! A process and its outcomes, from a seed.

use std::collections::BTreeMap;

use super::{Block, Boundary, Code, End, Kind, Marks, Outcomes, Scope, Task, Trigger, VARIABLES};
use crate::random::Random;

/// Durations are drawn from so many milliseconds, so that two rarely end together.
const LONGEST: u64 = 20_000_000;

/// What may stand at a place.
#[derive(Clone, Copy)]
struct Place {
    /// How many levels of blocks there may be.
    depth: u32,
    /// Nothing here ends a token, breaks its scope or raises: compensation, event sub-processes.
    calm: bool,
    /// A token may end here without the others waiting for it in vain.
    ends: bool,
    /// A way must lead out: something follows.
    leaves: bool,
    /// Nothing of this place runs twice at the same time.
    alone: bool,
    /// A scope is around it that something can break.
    breaks: bool,
    /// What completes here may be undone.
    undoes: bool,
}

/// The process of a seed: one scope in which every error is caught.
pub fn process(seed: u64) -> Scope {
    let mut maker = Maker { random: Random::new(seed), tasks: 0, budget: 24 };
    let place = Place { depth: 4, calm: false, ends: true, leaves: false, alone: true, breaks: true, undoes: false };
    let body = maker.block(place);
    let caught = Block::Task(maker.task(Place { calm: true, ..place }));
    let mut boundary = Boundary::bare();
    boundary.catches.push((None, caught));
    Scope { kind: Kind::Embedded, body, event: None, compensates: false, cancelled: None, boundary }
}

/// What becomes of it in one run.
pub fn outcomes(scope: &Scope, seed: u64) -> Outcomes {
    let mut random = Random::new(seed);
    let variables = (0..VARIABLES).map(|_| random.chance(500_000)).collect();
    let mut tasks = BTreeMap::new();
    super::write::each_task(scope, &mut |id, may_fail| {
        let code = if random.chance(500_000) { Code::A } else { Code::B };
        let takes = random.between(1, LONGEST);
        let fails = random.chance(120_000) && may_fail;
        tasks.insert(id.to_owned(), (takes, fails.then_some(code)));
    });
    Outcomes { tasks, variables }
}

struct Maker {
    random: Random,
    tasks: u32,
    /// Tasks that may still be made by compound blocks.
    budget: u32,
}

impl Maker {
    fn id(&mut self) -> String {
        self.tasks += 1;
        self.budget = self.budget.saturating_sub(1);
        // tasks that may not fail say so by their name
        format!("t{}", self.tasks)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.chance(percent * 10_000)
    }

    fn time(&mut self) -> u64 {
        self.random.between(1, LONGEST)
    }

    fn code(&mut self) -> Option<Code> {
        [None, Some(Code::A), Some(Code::B)][self.random.below(3) as usize]
    }

    fn some_code(&mut self) -> Code {
        self.code().unwrap_or(Code::A)
    }

    fn block(&mut self, place: Place) -> Block {
        let inner = Place { depth: place.depth.saturating_sub(1), ..place };
        let simple = place.depth == 0 || self.budget == 0;
        match self.random.below(if simple { 2 } else { 14 }) {
            0 => Block::Task(self.task(place)),
            1 if self.chance(30) => Block::Wait(self.time()),
            1 => Block::Task(self.task(place)),
            2 | 3 => self.seq(inner),
            4 => {
                let branches = self.branches(Place { leaves: false, ..inner });
                Block::Choice(branches, Box::new(self.block(inner)))
            }
            5 | 6 => {
                // once a token can no longer come to the join, the join does not wait for it: it may come to no end here
                let inner = Place { ends: false, leaves: true, breaks: false, ..inner };
                Block::Inclusive(self.branches(inner), Box::new(self.block(inner)))
            }
            7 | 8 => {
                let branches = self.random.between(2, 3);
                let place = |index| Place { ends: false, leaves: index == 0, ..inner };
                Block::Parallel((0..branches).map(|index| self.block(place(index))).collect())
            }
            9 => {
                let first = (self.time(), self.block(inner));
                let other = (self.time(), self.block(Place { leaves: false, ..inner }));
                Block::Race(vec![first, other])
            }
            10 if place.alone => {
                Block::Repeat(self.random.between(1, 3) as u32, Box::new(self.block(Place { leaves: true, ..inner })))
            }
            11 => {
                let tasks = (0..self.random.between(1, 3)).map(|_| self.bare(place)).collect();
                Block::AdHoc(tasks, self.chance(50))
            }
            _ => Block::Scope(Box::new(self.scope(inner))),
        }
    }

    fn seq(&mut self, place: Place) -> Block {
        let count = self.random.between(2, 4);
        let mut blocks: Vec<Block> = (1..count).map(|_| self.block(Place { leaves: true, ..place })).collect();
        blocks.push(self.last(place));
        Block::Seq(blocks)
    }

    /// The last block of a sequence: a token may end there.
    fn last(&mut self, place: Place) -> Block {
        if place.calm || place.leaves || self.chance(60) {
            return self.block(place);
        }
        let task = self.bare(place);
        match self.random.below(6) {
            0 | 1 => Block::Raise(task, self.some_code()),
            2 if place.ends => Block::Ends(task, End::None),
            3 if place.ends => Block::Ends(task, End::Escalation(self.some_code())),
            4 if place.breaks => Block::Ends(task, End::Terminate),
            5 if place.breaks => Block::Ends(task, End::Error(self.some_code())),
            _ => Block::Task(task),
        }
    }

    fn branches(&mut self, place: Place) -> Vec<(u64, Block)> {
        let count = self.random.between(1, 2);
        (0..count).map(|_| (self.random.below(VARIABLES), self.seq(place))).collect()
    }

    fn bare(&mut self, place: Place) -> Task {
        let id = if place.calm { format!("{}-sure", self.id()) } else { self.id() };
        Task { id, boundary: None, undo: None }
    }

    fn task(&mut self, place: Place) -> Task {
        let mut task = self.bare(place);
        if place.undoes && self.chance(60) {
            task.undo = Some(format!("undo-{}-sure", task.id));
        } else if !place.calm && self.budget > 0 && self.chance(35) {
            task.boundary = Some(Box::new(self.boundary(place, false)));
        }
        task
    }

    fn boundary(&mut self, place: Place, of_scope: bool) -> Boundary {
        let handler = Place { depth: place.depth.min(1), leaves: false, ..place };
        // what does not interrupt may run several times at once, and ends by itself
        let beside = Place { alone: false, ends: true, ..handler };
        let marks = match self.random.below(10) {
            0 => Marks::Loop(self.random.between(1, 3) as u32),
            1 => Marks::Sequential(self.random.between(0, 3) as u32),
            2 => Marks::Parallel(self.random.between(0, 3) as u32),
            _ => Marks::Once,
        };
        let mut catches: Vec<(Option<Code>, Block)> = Vec::new();
        for code in [Some(Code::A), Some(Code::B), None] {
            if self.chance(30) {
                catches.push((code, self.block(handler)));
            }
        }
        let event = |maker: &mut Self, percent| {
            maker.chance(percent).then(|| {
                let interrupts = maker.chance(50);
                (interrupts, maker.block(if interrupts { handler } else { beside }))
            })
        };
        let timeout = event(self, 25).map(|(interrupts, block)| (self.time(), interrupts, block));
        let escalation = if of_scope { event(self, 40) } else { None };
        let escalation = escalation.map(|(interrupts, block)| (self.code(), interrupts, block));
        Boundary { marks, catches, timeout, escalation }
    }

    fn scope(&mut self, place: Place) -> Scope {
        let bare = Boundary::bare();
        if place.undoes || self.chance(20) {
            let inner = Place { calm: true, ends: false, leaves: true, undoes: true, ..place };
            let cancels = self.chance(40);
            let mut body = vec![self.seq(inner)];
            let kind = if self.chance(40) { Kind::Transaction } else { Kind::Embedded };
            let cancelled = (kind == Kind::Transaction).then(|| {
                if cancels {
                    body.push(Block::Ends(self.bare(inner), End::Cancel));
                }
                self.block(Place { calm: true, depth: 1, undoes: false, ..place })
            });
            let compensates = kind == Kind::Embedded && self.chance(60);
            return Scope { kind, body: Block::Seq(body), event: None, compensates, cancelled, boundary: bare };
        }
        let boundary = if place.calm { bare } else { self.boundary(place, true) };
        let twice = matches!(boundary.marks, Marks::Parallel(_));
        let inner = Place { ends: true, leaves: false, breaks: true, alone: place.alone && !twice, ..place };
        let body = self.seq(inner);
        let event = (!place.calm && self.chance(30)).then(|| {
            let trigger = match self.random.below(3) {
                0 => Trigger::Timer(self.time(), self.chance(50)),
                _ => Trigger::Error(self.code()),
            };
            (trigger, self.block(Place { calm: true, ends: false, depth: place.depth.min(1), ..inner }))
        });
        let kind = if self.chance(25) && !place.calm { Kind::Called } else { Kind::Embedded };
        Scope { kind, body, event, compensates: false, cancelled: None, boundary }
    }
}
