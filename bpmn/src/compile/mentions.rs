//! Which variables a process reads and sets, and where: gathered while its texts are read, for lint to compare.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use crate::model::Position;

/// An expression, and what it asks for.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// The id of the node or flow.
    pub(crate) element: String,
    pub(crate) position: Position,
    pub(crate) variables: BTreeSet<String>,
    /// What it calls, though there is no such function.
    pub(crate) functions: BTreeSet<String>,
}

/// A variable that something sets.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// The id of the node.
    pub(crate) element: String,
    pub(crate) position: Position,
    /// The first part of a path.
    pub(crate) name: String,
    /// Whether it is seen inside of the node alone: the target of an input, the element of a loop.
    pub(crate) local: bool,
}

/// What was gathered.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    readings: RefCell<Vec<Reading>>,
    settings: RefCell<Vec<Setting>>,
    /// Whether what is read now asks for more than the variables of the process: for a message, for what a service answered.
    aside: Cell<bool>,
}

impl Mentions {
    /// Runs `read`, whose expressions ask for something else than the variables of the process.
    pub(crate) fn aside<T>(&self, read: impl FnOnce() -> T) -> T {
        let before = self.aside.replace(true);
        let value = read();
        self.aside.set(before);
        value
    }

    pub(crate) fn read(&self, element: &str, position: Position, expression: &feel::Expression) {
        let feel::Names { mut variables, functions } = expression.names();
        if self.aside.get() {
            variables.clear();
        }
        if variables.is_empty() && functions.is_empty() {
            return;
        }
        self.readings.borrow_mut().push(Reading { element: element.to_owned(), position, variables, functions });
    }

    pub(crate) fn set(&self, element: &str, position: Position, path: &str, local: bool) {
        let name = path.split('.').next().unwrap_or(path).to_owned();
        self.settings.borrow_mut().push(Setting { element: element.to_owned(), position, name, local });
    }

    /// All of it, in the order in which it was met.
    pub(crate) fn take(&self) -> (Vec<Reading>, Vec<Setting>) {
        (self.readings.take(), self.settings.take())
    }
}
