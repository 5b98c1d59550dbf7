//! What the result of an instance must be, evaluated from the blocks alone: no tokens, no order of arrival.
//!
//! Where a task is fickle or a timer races, the result itself says what happened; everything else follows.

use std::collections::BTreeMap;

use super::model::{Block, Work};
use super::task;

/// Variables: every value of the simulation is a whole number.
pub(super) type Variables = BTreeMap<String, i64>;

/// An error says what cannot be.
pub(super) fn check(block: &Block, input: &Variables, result: &Variables) -> Result<(), String> {
    let mut vars = input.clone();
    Run { result }.block(block, &mut vars)?;
    if vars == *result { Ok(()) } else { Err(format!("the result is {result:?}, it should be {vars:?}")) }
}

struct Run<'a> {
    result: &'a Variables,
}

impl Run<'_> {
    fn block(&self, block: &Block, vars: &mut Variables) -> Result<(), String> {
        match block {
            Block::Task(element, work) => self.task(element, *work, vars),
            Block::Seq(blocks) => blocks.iter().try_for_each(|b| self.block(b, vars)),
            Block::Choice(by, first, second) => {
                let choice = vars.get(&format!("{by}_c")).copied();
                self.block(if choice == Some(0) { first } else { second }, vars)
            }
            Block::Loop(element) => loop {
                self.task(element, Work::Pure, vars)?;
                if vars.get(&format!("{element}_n")) >= vars.get("limit") {
                    return Ok(());
                }
            },
            Block::Parallel(branches) | Block::Fork(branches) => self.branches(branches.iter(), vars),
            Block::Race(branches) => {
                // the other branches count only when they ended before the first one terminated all
                let ended = |b: &&Block| last_task(b).is_some_and(|t| self.result.contains_key(t));
                let first = branches.iter().take(1);
                self.branches(first.chain(branches.iter().skip(1).filter(ended)), vars)
            }
            Block::Wait(_) => Ok(()),
            Block::Caught(element, handler) => {
                if task::errs(element, vars) {
                    self.block(handler, vars)
                } else {
                    self.task(element, Work::Erring, vars)
                }
            }
            Block::InTime(element, _, late) => {
                if last_task(late).is_some_and(|t| self.result.contains_key(t)) {
                    self.block(late, vars)
                } else {
                    self.task(element, Work::Slow, vars)
                }
            }
        }
    }

    fn task(&self, element: &str, work: Work, vars: &mut Variables) -> Result<(), String> {
        let value = match work {
            Work::Fickle => {
                let value = self.result.get(element).copied();
                value.ok_or_else(|| format!("{element} was not executed, or its answer is lost"))?
            }
            Work::Pure | Work::Erring | Work::Slow => task::value(element, vars),
        };
        vars.extend(task::answer(element, value, vars));
        Ok(())
    }

    /// Each branch starts from the same; what they wrote is merged in their order.
    fn branches<'b>(&self, branches: impl Iterator<Item = &'b Block>, vars: &mut Variables) -> Result<(), String> {
        let before = vars.clone();
        for branch in branches {
            let mut after = before.clone();
            self.block(branch, &mut after)?;
            let wrote = writes(branch, &after);
            vars.extend(after.into_iter().filter(|(k, v)| wrote.contains(k) || before.get(k) != Some(v)));
        }
        Ok(())
    }
}

/// Keys that a branch writes, also where it writes the value that was there.
fn writes(block: &Block, after: &Variables) -> Vec<String> {
    let mut keys = Vec::new();
    let mut add = |element: &str| {
        if after.contains_key(element) {
            keys.extend([element.to_owned(), format!("{element}_c"), format!("{element}_n"), "last".to_owned()]);
        }
    };
    match block {
        Block::Task(element, _) | Block::Loop(element) => add(element),
        Block::Seq(blocks) | Block::Parallel(blocks) | Block::Fork(blocks) | Block::Race(blocks) => {
            keys.extend(blocks.iter().flat_map(|b| writes(b, after)));
        }
        Block::Choice(_, a, b) => keys.extend([a, b].iter().flat_map(|b| writes(b, after))),
        Block::Wait(_) => {}
        Block::Caught(element, other) | Block::InTime(element, _, other) => {
            add(element);
            keys.extend(writes(other, after));
        }
    }
    keys
}

fn last_task(block: &Block) -> Option<&'static str> {
    match block {
        Block::Task(element, _) | Block::Loop(element) => Some(element),
        Block::Seq(blocks) | Block::Parallel(blocks) | Block::Fork(blocks) | Block::Race(blocks) => {
            blocks.iter().rev().find_map(last_task)
        }
        Block::Choice(..) | Block::Wait(_) => None,
        Block::Caught(element, _) | Block::InTime(element, ..) => Some(element),
    }
}
