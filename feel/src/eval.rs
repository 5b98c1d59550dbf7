//! Evaluates a compiled expression. Null and a warning is the answer to what has none; only spent fuel, too much depth or size, and a failed
//! `assert` stop an evaluation.

use std::sync::Arc;

use crate::ast::Expr;
use crate::error::EvalError;
use crate::scope::{Env, Scope};
use crate::value::{Callable, Context, Function, List, Range, Value};

mod access;
mod arithmetic;
mod call;
mod iteration;
mod operators;
mod types;

/// How many warnings are kept.
const MAX_WARNINGS: usize = 32;
/// The longest string an evaluation may make, in bytes.
const MAX_STRING: usize = 4 * 1024 * 1024;
/// The heaviest value an evaluation may make (`Value::weight`).
const MAX_WEIGHT: u64 = 1_000_000;

/// What every step answers.
pub(crate) type Outcome = Result<Value, EvalError>;

/// Names bound within an expression, innermost first.
pub(crate) type Frames = Option<Arc<Frame>>;

/// The names one construct binds.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    names: Vec<(Arc<str>, Value)>,
    /// The item of a filter: its entries are names too, and it is `item`.
    item: Option<Value>,
    parent: Frames,
    depth: u32,
}

impl Frame {
    /// How deep the values held here nest.
    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }

    pub(crate) fn bind(parent: &Frames, names: Vec<(Arc<str>, Value)>) -> Arc<Self> {
        let held = names.iter().map(|(_, value)| value.depth()).max().unwrap_or(0);
        let depth = 1 + held.max(parent.as_ref().map_or(0, |frame| frame.depth));
        Arc::new(Self { names, item: None, parent: parent.clone(), depth })
    }

    fn item(parent: &Frames, item: Value) -> Arc<Self> {
        let depth = 1 + item.depth().max(parent.as_ref().map_or(0, |frame| frame.depth));
        Arc::new(Self { names: Vec::new(), item: Some(item), parent: parent.clone(), depth })
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let mut frame = self;
        loop {
            if let Some((_, value)) = frame.names.iter().rev().find(|(bound, _)| &**bound == name) {
                return Some(value);
            }
            if let Some(item) = &frame.item {
                if let Value::Context(context) = item
                    && let Some(value) = context.get(name)
                {
                    return Some(value);
                }
                if name == "item" {
                    return Some(item);
                }
            }
            frame = frame.parent.as_deref()?;
        }
    }
}

/// One evaluation under way.
pub(crate) struct Machine<'a> {
    scope: &'a dyn Scope,
    pub(crate) env: &'a Env,
    fuel: u64,
    level: u32,
    warnings: Vec<String>,
    random: u64,
    /// Lists and contexts of the scope that were converted already.
    converted: Vec<(Arc<str>, Value)>,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(scope: &'a dyn Scope, env: &'a Env) -> Self {
        Self { scope, env, fuel: env.fuel, level: 0, warnings: Vec::new(), random: env.seed, converted: Vec::new() }
    }

    /// Evaluates with no names bound and hands out the warnings too.
    pub(crate) fn run(mut self, expr: &Expr) -> Result<(Value, Vec<String>), EvalError> {
        let value = self.eval(expr, &None)?;
        Ok((value, self.warnings))
    }

    /// Takes that many steps of fuel.
    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), EvalError> {
        match self.fuel.checked_sub(steps as u64) {
            Some(left) => {
                self.fuel = left;
                Ok(())
            }
            None => Err(EvalError::Fuel(self.env.fuel)),
        }
    }

    pub(crate) fn warn(&mut self, message: impl Into<String>) {
        let message = message.into();
        if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&message) {
            self.warnings.push(message);
        }
    }

    /// Null, with a warning that says why.
    pub(crate) fn null(&mut self, message: impl Into<String>) -> Outcome {
        self.warn(message);
        Ok(Value::Null)
    }

    /// The value, or null with a warning.
    pub(crate) fn or_null(&mut self, value: Option<Value>, message: impl FnOnce() -> String) -> Outcome {
        match value {
            Some(value) => Ok(value),
            None => self.null(message()),
        }
    }

    /// A list made here.
    pub(crate) fn list(&mut self, items: Vec<Value>) -> Outcome {
        self.spend(items.len())?;
        self.shallow(Value::List(List::new(items)))
    }

    /// A context made here.
    pub(crate) fn context(&mut self, entries: Vec<(Arc<str>, Value)>) -> Outcome {
        self.spend(entries.len())?;
        self.shallow(Value::Context(Context::new(entries)))
    }

    /// A string made here.
    pub(crate) fn string(&mut self, text: String) -> Outcome {
        self.spend(text.len() / 64)?;
        if text.len() > MAX_STRING {
            return Err(EvalError::Size(format!("a string is longer than {MAX_STRING} bytes")));
        }
        Ok(Value::String(text.into()))
    }

    /// Takes the steps of going through a whole value.
    pub(crate) fn charge(&mut self, value: &Value) -> Result<(), EvalError> {
        match value {
            Value::List(_) | Value::Context(_) | Value::String(_) => {
                self.spend(usize::try_from(value.weight() / 4).unwrap_or(usize::MAX))
            }
            _ => Ok(()),
        }
    }

    fn shallow(&self, value: Value) -> Outcome {
        if value.weight() > MAX_WEIGHT {
            return Err(EvalError::Size(format!("a list or context holds more than {MAX_WEIGHT} values")));
        }
        if value.depth() > self.env.depth { Err(EvalError::Depth(self.env.depth)) } else { Ok(value) }
    }

    /// The next pseudo-random bits (splitmix64), drawn from the seed.
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evaluates an expression with names bound.
    pub(crate) fn eval(&mut self, expr: &Expr, frames: &Frames) -> Outcome {
        match expr {
            Expr::Literal(value) => return Ok(value.clone()),
            Expr::Name(name) => return self.variable(name, frames),
            _ => {}
        }
        self.spend(1)?;
        if self.level >= self.env.depth {
            return Err(EvalError::Depth(self.env.depth));
        }
        self.level += 1;
        let outcome = self.dispatch(expr, frames);
        self.level -= 1;
        outcome
    }

    fn dispatch(&mut self, expr: &Expr, frames: &Frames) -> Outcome {
        match expr {
            Expr::Literal(value) => Ok(value.clone()),
            Expr::Name(name) => self.variable(name, frames),
            Expr::Invalid(message) => self.null(message),
            Expr::Path(root, steps) => self.path(root, steps, frames),
            Expr::Filter(list, filter) => self.filter(list, filter, frames),
            Expr::Negate(operand) => self.negate(operand, frames),
            Expr::Arithmetic(first, rest) => self.arithmetic(first, rest, frames),
            Expr::And(operands) => self.junction(operands, false, frames),
            Expr::Or(operands) => self.junction(operands, true, frames),
            Expr::Compare(comparison, left, right) => self.comparison(*comparison, left, right, frames),
            Expr::Between(parts) => self.between(parts, frames),
            Expr::In(value, tests) => self.is_in(value, tests, frames),
            Expr::InstanceOf(value, kind) => self.instance_of(value, kind, frames),
            Expr::If(parts) => self.conditional(parts, frames),
            Expr::For { iterations, body, partial } => self.for_loop(iterations, body, *partial, frames),
            Expr::Quantified { every, iterations, condition } => self.quantified(*every, iterations, condition, frames),
            Expr::List(items) => self.list_of(items, frames),
            Expr::Context(entries) => self.context_of(entries, frames),
            Expr::Range { ends, included } => self.range(ends, *included, frames),
            Expr::Function(lambda) => {
                let callable = Callable::Lambda { lambda: Arc::clone(lambda), frames: frames.clone() };
                self.shallow(Value::Function(Arc::new(Function { callable })))
            }
            Expr::Call(call) => self.call(call, frames),
            Expr::Tests(tests) => self.unary_tests(tests, false, frames),
            Expr::NotTests(tests) => self.unary_tests(tests, true, frames),
        }
    }

    /// A variable: bound here, of the scope, or the name of a built-in.
    fn variable(&mut self, name: &Arc<str>, frames: &Frames) -> Outcome {
        self.spend(1)?;
        if let Some(value) = frames.as_ref().and_then(|frame| frame.get(name)) {
            return Ok(value.clone());
        }
        if let Some(value) = self.scoped(name)? {
            return Ok(value);
        }
        match crate::builtins::find(name) {
            Some(builtin) => Ok(Value::Function(Arc::new(Function { callable: Callable::Builtin(builtin) }))),
            None => self.null(format!("there is no variable {name}")),
        }
    }

    fn scoped(&mut self, name: &Arc<str>) -> Result<Option<Value>, EvalError> {
        let Some(json) = self.scope.json(name) else {
            return Ok(self.scope.get(name));
        };
        if !json.is_array() && !json.is_object() {
            return self.convert(json).map(Some);
        }
        if let Some((_, value)) = self.converted.iter().find(|(known, _)| known == name) {
            return Ok(Some(value.clone()));
        }
        let value = self.convert(json)?;
        self.converted.push((Arc::clone(name), value.clone()));
        Ok(Some(value))
    }

    /// The value of JSON that the scope holds; its size counts as steps.
    fn convert(&mut self, json: &serde_json::Value) -> Outcome {
        let value = Value::from_json(json);
        self.charge(&value)?;
        Ok(value)
    }

    fn conditional(&mut self, parts: &[Expr; 3], frames: &Frames) -> Outcome {
        let [condition, yes, no] = parts;
        let condition = self.eval(condition, frames)?;
        if condition.as_truth().is_none() {
            self.warn(format!("the condition of `if` is {}, taken as false", condition.kind()));
        }
        self.eval(if condition.is_true() { yes } else { no }, frames)
    }

    fn list_of(&mut self, items: &[Expr], frames: &Frames) -> Outcome {
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(self.eval(item, frames)?);
        }
        self.list(values)
    }

    /// A context; each entry sees those before it.
    fn context_of(&mut self, entries: &[(Arc<str>, Expr)], frames: &Frames) -> Outcome {
        let mut frame = Frame::bind(frames, Vec::with_capacity(entries.len()));
        for (index, (name, expr)) in entries.iter().enumerate() {
            if entries[..index].iter().any(|(earlier, _)| earlier == name) {
                return self.null(format!("a context has the entry {name} twice"));
            }
            let within = Some(frame);
            let value = self.eval(expr, &within)?;
            let Some(mut kept) = within else { return Ok(Value::Null) };
            let grown = Arc::make_mut(&mut kept);
            grown.depth = grown.depth.max(1 + value.depth());
            grown.names.push((Arc::clone(name), value));
            frame = kept;
        }
        let entries = Arc::try_unwrap(frame).map_or_else(|shared| shared.names.clone(), |own| own.names);
        self.context(entries)
    }

    fn range(&mut self, ends: &[Option<Expr>; 2], included: [bool; 2], frames: &Frames) -> Outcome {
        let mut values = [Value::Null, Value::Null];
        for (value, end) in values.iter_mut().zip(ends) {
            if let Some(end) = end {
                *value = self.eval(end, frames)?;
                // Only an end that is not written is open to infinity: `[1..limit]` without a limit must not hold everything.
                if value.is_null() {
                    return self.null("an end of a range is null");
                }
            }
        }
        let [start, end] = values;
        self.make_range(start, end, included)
    }

    /// A range, when its ends are of one ordered kind and in order.
    pub(crate) fn make_range(&mut self, start: Value, end: Value, included: [bool; 2]) -> Outcome {
        let fits = |value: &Value| value.is_null() || crate::value::order(value, value).is_some();
        let ordered = start.is_null() || end.is_null() || crate::value::order(&start, &end).is_some();
        if !fits(&start) || !fits(&end) || !ordered {
            return self.null(format!("{} and {} are no ends of a range", start.kind(), end.kind()));
        }
        let [start_included, end_included] = included;
        let (start_included, end_included) = (start_included && !start.is_null(), end_included && !end.is_null());
        Ok(Value::Range(Arc::new(Range { start, end, start_included, end_included })))
    }
}
