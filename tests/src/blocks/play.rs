//! The reference token game: which tasks are executed, and when.
//!
//! Each block is evaluated from the time it begins to the time it is left, as if nobody disturbed it. Only where an activity ends is it cut
//! at the first thing that interrupted it: an error, a terminate end event, a timer, an escalation.

use super::{Block, Boundary, Code, End, Kind, Marks, Outcomes, Scope, Task, Trigger};

/// Starts of tasks: virtual milliseconds since the instance began, and the task.
pub type Executions = Vec<(u64, String)>;

/// What must be executed, sorted by time and task, and when the process ends.
pub fn executions(scope: &Scope, outcomes: &Outcomes) -> (Executions, u64) {
    let mut play = Game { outcomes }.activity(scope, 0);
    play.starts.sort();
    let end = play.ended.iter().copied().chain(play.out.time()).max().unwrap_or(0);
    (play.starts, end)
}

/// Where a token that walked through a block is.
#[derive(Clone, Copy, Debug)]
enum Out {
    /// It left then.
    At(u64),
    /// It ended then.
    Died(u64),
    /// It never leaves: it broke its scope.
    Broke,
}

impl Out {
    fn time(self) -> Option<u64> {
        match self {
            Self::At(t) | Self::Died(t) => Some(t),
            Self::Broke => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Error(Code),
    Terminate,
    Cancel,
}

/// Something that has completed and has a handler, or something inside that has.
#[derive(Clone, Debug)]
struct Undo {
    at: u64,
    handler: Option<String>,
    inside: Vec<Undo>,
}

/// A span of the game.
#[derive(Clone, Debug)]
struct Play {
    starts: Executions,
    out: Out,
    /// Tokens beside the main one that ended.
    ended: Vec<u64>,
    breaks: Vec<(u64, Break)>,
    raised: Vec<(u64, Code)>,
    undo: Vec<Undo>,
}

impl Play {
    fn new(out: Out) -> Self {
        Self { starts: Vec::new(), out, ended: Vec::new(), breaks: Vec::new(), raised: Vec::new(), undo: Vec::new() }
    }

    /// Takes over all that happened in another span, but for where its token is.
    fn take(&mut self, other: Play) -> Out {
        self.starts.extend(other.starts);
        self.ended.extend(other.ended);
        self.breaks.extend(other.breaks);
        self.raised.extend(other.raised);
        self.undo.extend(other.undo);
        other.out
    }

    /// Takes over a span whose token goes its own way to an end event.
    fn beside(&mut self, other: Play) {
        let out = self.take(other);
        self.ended.extend(out.time());
    }

    fn first_break(&self) -> Option<(u64, Break)> {
        self.breaks.iter().copied().min_by_key(|(t, _)| *t)
    }

    /// When all tokens have ended, if none breaks anything.
    fn over(&self) -> u64 {
        if !self.breaks.is_empty() {
            return u64::MAX;
        }
        self.ended.iter().copied().chain(self.out.time()).max().unwrap_or(0)
    }

    /// Nothing begins at `at` or later.
    fn cut(&mut self, at: u64) {
        self.starts.retain(|(t, _)| *t < at);
        self.raised.retain(|(t, _)| *t <= at);
        self.undo.retain(|it| it.at <= at);
        self.breaks.clear();
        self.ended.clear();
        self.out = Out::Broke;
    }
}

struct Game<'a> {
    outcomes: &'a Outcomes,
}

impl Game<'_> {
    fn holds(&self, variable: u64) -> bool {
        self.outcomes.variables[variable as usize]
    }

    fn play(&self, block: &Block, at: u64) -> Play {
        match block {
            Block::Task(task) => self.task(task, at),
            Block::Wait(time) => Play::new(Out::At(at + time)),
            Block::Seq(blocks) => self.seq(blocks.iter(), at),
            Block::Choice(branches, otherwise) => {
                let chosen = branches.iter().find(|(variable, _)| self.holds(*variable));
                self.play(chosen.map_or(otherwise, |(_, block)| block), at)
            }
            Block::Inclusive(branches, otherwise) => {
                let chosen: Vec<&Block> = branches.iter().filter(|(v, _)| self.holds(*v)).map(|(_, b)| b).collect();
                self.side_by_side(if chosen.is_empty() { vec![otherwise] } else { chosen }, at)
            }
            Block::Parallel(branches) => self.side_by_side(branches.iter().collect(), at),
            Block::Race(branches) => {
                let (time, block) = branches.iter().min_by_key(|(time, _)| *time).expect("there are two");
                self.play(block, at + time)
            }
            Block::Repeat(times, block) => self.seq(std::iter::repeat_n(&**block, *times as usize), at),
            Block::AdHoc(tasks, sequential) => {
                let tasks: Vec<Block> = tasks.iter().cloned().map(Block::Task).collect();
                if *sequential { self.seq(tasks.iter(), at) } else { self.side_by_side(tasks.iter().collect(), at) }
            }
            Block::Scope(scope) => self.activity(scope, at),
            Block::Raise(task, code) => {
                let mut play = self.task(task, at);
                if let Out::At(t) = play.out {
                    play.raised.push((t, *code));
                }
                play
            }
            Block::Ends(task, end) => self.ends(task, *end, at),
        }
    }

    fn seq<'b>(&self, blocks: impl Iterator<Item = &'b Block>, at: u64) -> Play {
        let mut all = Play::new(Out::At(at));
        for block in blocks {
            let Out::At(now) = all.out else { break };
            let next = self.play(block, now);
            all.out = all.take(next);
        }
        all
    }

    /// Split and join: left when the last token has come or died.
    fn side_by_side(&self, blocks: Vec<&Block>, at: u64) -> Play {
        let mut all = Play::new(Out::Broke);
        let mut outs = Vec::new();
        for block in blocks {
            let out = all.take(self.play(block, at));
            // a join does not know of branches that never lead to it
            if leads_out(block) {
                outs.push(out);
            } else {
                all.ended.extend(out.time());
            }
        }
        let last = outs.iter().filter_map(|it| it.time()).max().unwrap_or(at);
        all.out = if outs.iter().any(|it| matches!(it, Out::Broke)) {
            Out::Broke
        } else if outs.iter().any(|it| matches!(it, Out::At(_))) {
            Out::At(last)
        } else {
            Out::Died(last)
        };
        all
    }

    fn ends(&self, task: &Task, end: End, at: u64) -> Play {
        let mut play = self.task(task, at);
        let Out::At(t) = play.out else { return play };
        let breaks = match end {
            End::None => None,
            End::Escalation(code) => {
                play.raised.push((t, code));
                None
            }
            End::Error(code) => Some(Break::Error(code)),
            End::Terminate => Some(Break::Terminate),
            End::Cancel => Some(Break::Cancel),
        };
        play.out = if breaks.is_some() { Out::Broke } else { Out::Died(t) };
        play.breaks.extend(breaks.map(|it| (t, it)));
        play
    }

    fn task(&self, task: &Task, at: u64) -> Play {
        let (takes, error) = self.outcomes.tasks[&task.id];
        let once = |at: u64| {
            let mut play = Play::new(Out::At(at + takes));
            play.starts.push((at, task.id.clone()));
            if let Some(code) = error {
                play.out = Out::Broke;
                play.breaks.push((at + takes, Break::Error(code)));
            }
            play
        };
        let bare = Boundary::bare();
        let mut play = self.bounded(task.boundary.as_deref().unwrap_or(&bare), None, at, once);
        if let (Some(undo), Out::At(t)) = (&task.undo, play.out) {
            play.undo.push(Undo { at: t, handler: Some(undo.clone()), inside: Vec::new() });
        }
        play
    }

    fn activity(&self, scope: &Scope, at: u64) -> Play {
        self.bounded(&scope.boundary, scope.cancelled.as_ref(), at, |at| self.inside(scope, at))
    }

    /// All instances of an activity, as its marks say.
    fn instances(&self, marks: Marks, at: u64, once: &dyn Fn(u64) -> Play) -> Play {
        let one_by_one = |times: u32| {
            let mut all = Play::new(Out::At(at));
            for _ in 0..times {
                let Out::At(now) = all.out else { break };
                all.out = all.take(once(now));
            }
            all
        };
        match marks {
            Marks::Once => once(at),
            Marks::Loop(times) | Marks::Sequential(times) => one_by_one(times),
            Marks::Parallel(times) => {
                let mut all = Play::new(Out::At(at));
                let outs: Vec<Out> = (0..times).map(|_| all.take(once(at))).collect();
                let last = outs.iter().filter_map(|it| it.time()).max().unwrap_or(at);
                all.out = if all.breaks.is_empty() { Out::At(last) } else { Out::Broke };
                all
            }
        }
    }

    /// An activity with its boundary events, as its surroundings see it.
    fn bounded(&self, boundary: &Boundary, cancelled: Option<&Block>, at: u64, once: impl Fn(u64) -> Play) -> Play {
        let mut inner = self.instances(boundary.marks, at, &once);
        let end = inner.over();
        let broken = inner.first_break();
        let timer = boundary.timeout.as_ref().map(|(time, interrupts, block)| (at + time, *interrupts, block));
        let meant = |code: Code| boundary.escalation.as_ref().filter(|(of, ..)| of.is_none_or(|of| of == code));
        let raised = inner.raised.iter().filter(|(_, code)| meant(*code).is_some_and(|(_, interrupts, _)| *interrupts));
        let raised = raised.map(|(t, _)| *t).min();
        let timed = timer.filter(|(_, interrupts, _)| *interrupts).map(|(t, ..)| t);
        // what is raised at the very end is raised before it
        let first = [broken.map(|(t, _)| t), raised, timed].into_iter().flatten().min();
        let first = first.filter(|t| *t < end || raised == Some(*t));

        let mut out = Play::new(inner.out);
        if let Some((t, false, block)) = timer
            && t < first.unwrap_or(u64::MAX).min(end)
        {
            out.beside(self.play(block, t));
        }
        for (t, code) in std::mem::take(&mut inner.raised) {
            match meant(code) {
                _ if first.is_some_and(|first| t > first) => {}
                Some((_, false, block)) => out.beside(self.play(block, t)),
                Some(_) => {}
                None => out.raised.push((t, code)),
            }
        }
        let Some(first) = first else {
            inner.out = out.out;
            out.starts.extend(inner.starts);
            out.undo.extend(inner.undo);
            return out;
        };
        let follows = if raised == Some(first) {
            boundary.escalation.as_ref().map(|(.., block)| block)
        } else if timed == Some(first) {
            timer.map(|(.., block)| block)
        } else {
            match broken.map(|(_, what)| what) {
                Some(Break::Error(code)) => catching(&boundary.catches, code),
                Some(Break::Cancel) => cancelled,
                Some(Break::Terminate) | None => None,
            }
        };
        inner.cut(first);
        out.starts.extend(inner.starts);
        match follows {
            Some(block) => {
                let next = self.play(block, first);
                out.out = out.take(next);
            }
            None => {
                out.breaks.extend(broken);
                out.out = Out::Broke;
            }
        }
        out
    }

    /// One instance of a scope.
    fn inside(&self, scope: &Scope, at: u64) -> Play {
        let mut play = self.play(&scope.body, at);
        if scope.compensates
            && let Out::At(t) = play.out
        {
            let undo = std::mem::take(&mut play.undo);
            play.out = Out::At(self.compensate(undo, t, &mut play.starts));
        }
        let broken = play.first_break();
        let stop = broken.map_or(u64::MAX, |(t, _)| t);
        match &scope.event {
            Some((Trigger::Timer(time, true), block)) if at + time < stop.min(play.over()) => {
                return self.taken_over(play, at + time, block);
            }
            Some((Trigger::Timer(time, false), block)) if at + time < stop.min(play.over()) => {
                play.beside(self.play(block, at + time));
            }
            Some((Trigger::Error(of), block)) => {
                if let Some((t, Break::Error(code))) = broken
                    && of.is_none_or(|of| of == code)
                {
                    return self.taken_over(play, t, block);
                }
            }
            _ => {}
        }
        match broken {
            None => play.out = Out::At(play.over()),
            Some((t, Break::Terminate)) => {
                play.cut(t);
                play.out = Out::At(t);
            }
            Some((t, Break::Cancel)) if scope.kind == Kind::Transaction => {
                let undo = std::mem::take(&mut play.undo);
                play.cut(t);
                let over = self.compensate(undo, t, &mut play.starts);
                play.breaks.push((over, Break::Cancel));
            }
            Some(first) => {
                play.starts.retain(|(t, _)| *t < first.0);
                play.breaks = vec![first];
                play.out = Out::Broke;
            }
        }
        play.ended.clear();
        if let Out::At(at) = play.out {
            let inside = std::mem::take(&mut play.undo);
            if !inside.is_empty() {
                play.undo.push(Undo { at, handler: None, inside });
            }
        }
        play
    }

    /// An interrupting event sub-process is all that is left of a scope.
    fn taken_over(&self, mut play: Play, at: u64, block: &Block) -> Play {
        play.cut(at);
        play.undo.clear();
        let next = self.play(block, at);
        let out = play.take(next);
        play.out = Out::At(play.ended.drain(..).chain(out.time()).max().unwrap_or(at));
        play
    }

    /// Handlers run one after the other, what completed last is undone first. When the last is done.
    fn compensate(&self, mut undo: Vec<Undo>, at: u64, starts: &mut Executions) -> u64 {
        undo.sort_by_key(|it| it.at);
        let mut now = at;
        for done in undo.into_iter().rev() {
            match done.handler {
                Some(handler) => {
                    starts.push((now, handler.clone()));
                    now += self.outcomes.tasks[&handler].0;
                }
                None => now = self.compensate(done.inside, now, starts),
            }
        }
        now
    }
}

/// Whether any way leads out of a block.
fn leads_out(block: &Block) -> bool {
    match block {
        Block::Ends(..) => false,
        Block::Seq(blocks) => blocks.iter().all(leads_out),
        Block::Choice(branches, otherwise) => leads_out(otherwise) || branches.iter().any(|(_, it)| leads_out(it)),
        Block::Race(branches) => branches.iter().any(|(_, it)| leads_out(it)),
        _ => true,
    }
}

fn catching(catches: &[(Option<Code>, Block)], code: Code) -> Option<&Block> {
    let specific = catches.iter().find(|(of, _)| *of == Some(code));
    specific.or_else(|| catches.iter().find(|(of, _)| of.is_none())).map(|(_, block)| block)
}
