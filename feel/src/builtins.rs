//! The built-in functions: those of DMN 1.5 (clause 10.3.4) and those that Camunda adds, by family.
//!
//! A built-in is a row of a table: its name, the parameter lists it takes, and a function over values. A wrong argument is null and a warning.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::eval::{Machine, Outcome};
use crate::number::Number;
use crate::value::{List, Value};

mod camunda;
mod context;
mod conversion;
mod list;
mod number;
mod pattern;
mod range;
mod statistics;
mod string;
mod temporal;

/// Names of built-ins that hold a keyword, which the parser would otherwise cut.
pub(crate) const WITH_KEYWORD: &[&str] = &["date and time", "years and months duration", "get or else"];

/// A built-in function.
#[derive(Debug)]
pub(crate) struct Builtin {
    pub(crate) name: &'static str,
    /// Parameter lists: names with commas between; `?` behind an optional one, `...` behind one that takes all the rest.
    pub(crate) signatures: &'static [&'static str],
    /// Warnings of the arguments are dropped.
    pub(crate) quiet: bool,
    pub(crate) run: fn(&mut Machine<'_>, &[Value]) -> Outcome,
}

impl Builtin {
    const fn new(
        name: &'static str,
        signatures: &'static [&'static str],
        run: fn(&mut Machine<'_>, &[Value]) -> Outcome,
    ) -> Self {
        Self { name, signatures, quiet: false, run }
    }

    const fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Whether some parameter list takes that many arguments.
    pub(crate) fn takes(&self, count: usize) -> bool {
        self.signatures.iter().any(|signature| {
            let parameters = || signature.split(',').filter(|name| !name.is_empty());
            let least = parameters().filter(|name| !name.ends_with('?') && !name.ends_with("...")).count();
            // one that takes all there are takes at least one
            let least = if signature.ends_with("...") { least.max(1) } else { least };
            let most = if signature.ends_with("...") { usize::MAX } else { parameters().count() };
            (least..=most).contains(&count)
        })
    }

    /// Named arguments in the order of the parameter list that has all their names; `None` when there is no such list.
    pub(crate) fn by_position(&self, named: Vec<(&Arc<str>, Value)>) -> Option<Vec<Value>> {
        self.signatures.iter().find_map(|signature| {
            let plain = |name: &'static str| name.trim_end_matches(['?', '.']);
            let parameters: Vec<&'static str> = signature.split(',').filter(|name| !name.is_empty()).collect();
            let known = named.iter().all(|(name, _)| parameters.iter().any(|parameter| plain(parameter) == &***name));
            let mut values = Vec::with_capacity(parameters.len());
            let mut given = 0;
            for parameter in &parameters {
                let found = named.iter().find(|(name, _)| &***name == plain(parameter));
                if found.is_none() && !parameter.ends_with('?') {
                    return None;
                }
                given = if found.is_some() { values.len() + 1 } else { given };
                values.push(found.map_or(Value::Null, |(_, value)| value.clone()));
            }
            values.truncate(given);
            known.then_some(values)
        })
    }
}

static INDEX: LazyLock<HashMap<&'static str, &'static Builtin>> = LazyLock::new(|| {
    let families: [&'static [Builtin]; 10] = [
        camunda::BUILTINS,
        context::BUILTINS,
        conversion::BUILTINS,
        list::BUILTINS,
        number::BUILTINS,
        pattern::BUILTINS,
        range::BUILTINS,
        statistics::BUILTINS,
        string::BUILTINS,
        temporal::BUILTINS,
    ];
    families.into_iter().flatten().map(|builtin| (builtin.name, builtin)).collect()
});

/// The built-in of a name.
pub(crate) fn find(name: &str) -> Option<&'static Builtin> {
    INDEX.get(name).copied()
}

/// The names of all of them.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    INDEX.keys().copied()
}

/// The only item of a list of one, else the value itself: FEEL's conversion from a singleton list.
fn single(value: &Value) -> &Value {
    match value {
        Value::List(items) if items.len() == 1 => items.first().unwrap_or(value),
        other => other,
    }
}

/// An argument as text.
fn text(values: &[Value], index: usize) -> Option<&Arc<str>> {
    match single(values.get(index)?) {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// An argument as a number.
fn number_at(values: &[Value], index: usize) -> Option<&Number> {
    match single(values.get(index)?) {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

/// An argument as an integer.
fn integer(values: &[Value], index: usize) -> Option<i64> {
    number_at(values, index)?.to_i64()
}

/// An argument as a list; a single value is a list of it, null is none.
fn list_at(values: &[Value], index: usize) -> Option<List> {
    match values.get(index)? {
        Value::List(items) => Some(items.clone()),
        Value::Null => None,
        single => Some(List::new(vec![single.clone()])),
    }
}

/// The items of `f(list)` or of `f(a, b, ..)`.
fn items_of(values: &[Value]) -> Option<List> {
    match values {
        [Value::List(items)] => Some(items.clone()),
        [Value::Null] => None,
        several => Some(List::new(several.to_vec())),
    }
}

/// Null with a warning that names the function and what it was given.
fn refused(machine: &mut Machine<'_>, name: &str, values: &[Value]) -> Outcome {
    let kinds: Vec<&str> = values.iter().map(Value::kind).collect();
    machine.null(format!("{name} has no answer for ({})", kinds.join(", ")))
}
