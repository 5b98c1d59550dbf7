//! What an evaluation is given from outside: variables, the present moment, and its limits.

use crate::value::{Context, Value};

/// Variables by name. Only the names an expression asks for are looked up.
pub trait Scope {
    /// The value of a variable; `None` when there is none of that name.
    fn get(&self, name: &str) -> Option<Value>;

    /// The JSON a variable is held as. A scope over JSON gives it, so that a path converts only the value it leads to.
    fn json(&self, name: &str) -> Option<&serde_json::Value> {
        let _ = name;
        None
    }
}

impl Scope for serde_json::Map<String, serde_json::Value> {
    fn get(&self, name: &str) -> Option<Value> {
        self.get(name).map(Value::from_json)
    }

    fn json(&self, name: &str) -> Option<&serde_json::Value> {
        self.get(name)
    }
}

impl Scope for serde_json::Value {
    fn get(&self, name: &str) -> Option<Value> {
        self.get(name).map(Value::from_json)
    }

    fn json(&self, name: &str) -> Option<&serde_json::Value> {
        self.get(name)
    }
}

impl Scope for Context {
    fn get(&self, name: &str) -> Option<Value> {
        Self::get(self, name).cloned()
    }
}

impl Scope for Value {
    fn get(&self, name: &str) -> Option<Value> {
        match self {
            Self::Context(context) => context.get(name).cloned(),
            _ => None,
        }
    }
}

/// The surroundings of one evaluation. The same `Env`, scope and expression always give the same result.
#[derive(Clone, Debug)]
pub struct Env {
    /// What `now()` and `today()` answer.
    pub now: jiff::Timestamp,
    /// The zone that `now()` is told in.
    pub zone: jiff::tz::TimeZone,
    /// Steps an evaluation may take: about one per operation, per list element made and per 64 bytes of string made.
    pub fuel: u64,
    /// How deep calls, operators and values may nest. More than [`Env::DEPTH`] needs a larger stack than threads have by default.
    pub depth: u32,
    /// What `random number()` and `uuid()` are drawn from.
    pub seed: u64,
}

impl Env {
    /// Steps when nothing else is said: far above what conditions and mappings take, done in a fraction of a second.
    pub const FUEL: u64 = 1_000_000;
    /// Nesting when nothing else is said; fits a thread with a stack of 2 MiB.
    pub const DEPTH: u32 = 400;

    /// UTC at `now`, with the usual limits and seed 0.
    pub fn at(now: jiff::Timestamp) -> Self {
        Self { now, zone: jiff::tz::TimeZone::UTC, fuel: Self::FUEL, depth: Self::DEPTH, seed: 0 }
    }
}
