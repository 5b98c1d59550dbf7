//! Random block-structured processes, what becomes of their tasks, and a reference that says which executions must follow.
//!
//! A process is a tree of [`Block`]s. `write` turns it into BPMN for the product; `play` evaluates the same tree by itself: no tokens, no
//! tables, no engine, only spans of time that are cut where something interrupts them. A test asserts that both
//! execute the same tasks at the same virtual milliseconds. Everything follows from one seed.
//!
//! Left out, since the executions would depend on what happens first within one millisecond: conditions on results of concurrent
//! branches, counters that concurrent instances share, compensation beside running activities.

mod play;
mod random;
mod write;

use std::collections::BTreeMap;

pub use play::{Executions, executions};
pub use random::{outcomes, process};
pub use write::write;

/// Variables that conditions read: `v0` to `v5`, true or false.
pub const VARIABLES: u64 = 6;

/// A piece of a process with one way in and at most one way out.
#[derive(Clone, Debug)]
pub enum Block {
    /// A task.
    Task(Task),
    /// A timer catch event of so many milliseconds.
    Wait(u64),
    /// One after the other.
    Seq(Vec<Block>),
    /// Exclusive gateway: the first whose variable is true, else the last block.
    Choice(Vec<(u64, Block)>, Box<Block>),
    /// Inclusive gateway and join: all whose variable is true, else the last block.
    Inclusive(Vec<(u64, Block)>, Box<Block>),
    /// Parallel split and join.
    Parallel(Vec<Block>),
    /// Event-based gateway over timers, then together again.
    Race(Vec<(u64, Block)>),
    /// The block again and again, by an exclusive gateway and a counter that scripts write.
    Repeat(u32, Box<Block>),
    /// Ad-hoc sub-process over tasks: one after the other, or all at once.
    AdHoc(Vec<Task>, bool),
    /// A scope of its own.
    Scope(Box<Scope>),
    /// A task, then a throw event: an escalation of this code.
    Raise(Task, Code),
    /// A task, then an end event.
    Ends(Task, End),
}

/// Errors and escalations have one of two codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// `A`.
    A,
    /// `B`.
    B,
}

impl Code {
    /// As the model writes it.
    pub fn text(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

/// What an end event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The token ends.
    None,
    /// An error.
    Error(Code),
    /// Everything else in its scope ends, too.
    Terminate,
    /// An escalation.
    Escalation(Code),
    /// The transaction is cancelled.
    Cancel,
}

/// How often an activity runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// Once.
    Once,
    /// Standard loop: so many times.
    Loop(u32),
    /// Multi-instance, one after the other.
    Sequential(u32),
    /// Multi-instance, side by side.
    Parallel(u32),
}

/// What surrounds an activity.
#[derive(Clone, Debug)]
pub struct Boundary {
    /// How often it runs.
    pub marks: Marks,
    /// Error boundary events: this code, or any.
    pub catches: Vec<(Option<Code>, Block)>,
    /// A timer boundary event: milliseconds, whether it interrupts, what follows.
    pub timeout: Option<(u64, bool, Block)>,
    /// An escalation boundary event (of scopes).
    pub escalation: Option<(Option<Code>, bool, Block)>,
}

/// A service task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its id and its service.
    pub id: String,
    /// Around it.
    pub boundary: Option<Box<Boundary>>,
    /// Its compensation handler.
    pub undo: Option<String>,
}

/// Where a scope's content stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Embedded sub-process.
    Embedded,
    /// A process of its own, called.
    Called,
    /// Transaction.
    Transaction,
}

/// A sub-process, called process or transaction.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Which.
    pub kind: Kind,
    /// What it does.
    pub body: Block,
    /// An event sub-process in it.
    pub event: Option<(Trigger, Block)>,
    /// A compensation throw event at its end undoes what completed in it.
    pub compensates: bool,
    /// Of a transaction: what follows when it was cancelled.
    pub cancelled: Option<Block>,
    /// Around it.
    pub boundary: Boundary,
}

/// What starts an event sub-process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// An error of this code, or any.
    Error(Option<Code>),
    /// A timer: milliseconds, whether it interrupts.
    Timer(u64, bool),
}

/// What a task does: milliseconds, and perhaps an error.
pub type Outcome = (u64, Option<Code>);

/// What becomes of one run: outcomes of tasks, values of variables.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    /// By task.
    pub tasks: BTreeMap<String, Outcome>,
    /// By number.
    pub variables: Vec<bool>,
}

impl Boundary {
    /// Nothing around it.
    pub fn bare() -> Self {
        Self { marks: Marks::Once, catches: Vec::new(), timeout: None, escalation: None }
    }
}
