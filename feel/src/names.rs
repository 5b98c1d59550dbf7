//! The free names of an expression: variables it asks its scope for. For `validate`, which says which of them nothing sets.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::ast::{Arguments, Expr, Iteration, Test};
use crate::builtins;

/// What an expression surely asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Variables. Names within a filter are left out, they may be entries of its items.
    pub variables: BTreeSet<String>,
    /// Functions that are no built-ins and that the expression does not define: only a variable can hold them, and JSON holds none.
    pub functions: BTreeSet<String>,
}

/// What `expr` surely asks for.
pub(crate) fn certain(expr: &Expr) -> Names {
    let mut walk = Walk::default();
    walk.expr(expr);
    walk.certain
}

/// The free names of `expr`, without those of built-in functions.
pub(crate) fn free(expr: &Expr) -> BTreeSet<String> {
    let mut walk = Walk::default();
    walk.expr(expr);
    walk.found
}

#[derive(Default)]
struct Walk {
    bound: Vec<Arc<str>>,
    found: BTreeSet<String>,
    certain: Names,
    /// How many filters enclose this place: within one a name may be an entry of the item.
    filters: usize,
}

impl Walk {
    fn name(&mut self, name: &Arc<str>) {
        let of_filter = self.filters > 0 && &**name == "item";
        if !self.bound.contains(name) && !of_filter && builtins::find(name).is_none() {
            self.found.insert(name.to_string());
            if self.filters == 0 {
                self.certain.variables.insert(name.to_string());
            }
        }
    }

    fn called(&mut self, name: &Arc<str>) {
        let free = !self.bound.contains(name) && builtins::find(name).is_none();
        if free {
            self.found.insert(name.to_string());
            if self.filters == 0 {
                self.certain.functions.insert(name.to_string());
            }
        }
    }

    fn all<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) {
        for expr in exprs {
            self.expr(expr);
        }
    }

    fn tests(&mut self, tests: &[Test]) {
        for test in tests {
            match test {
                Test::Any => {}
                Test::Compare(_, expr) | Test::Expression { expr, .. } => self.expr(expr),
            }
        }
    }

    /// Runs `inner` with the iteration variables bound.
    fn iterations(&mut self, iterations: &[Iteration], extra: Option<&str>, inner: &Expr) {
        let before = self.bound.len();
        for Iteration { name, from, to } in iterations {
            self.expr(from);
            self.all(to);
            self.bound.push(Arc::clone(name));
        }
        self.bound.extend(extra.map(Arc::from));
        self.expr(inner);
        self.bound.truncate(before);
    }

    fn expr(&mut self, expr: &Expr) {
        let before = self.bound.len();
        match expr {
            Expr::Literal(_) | Expr::Invalid(_) => {}
            Expr::Name(name) => self.name(name),
            Expr::Path(inner, _) | Expr::Negate(inner) | Expr::InstanceOf(inner, _) => self.expr(inner),
            Expr::Filter(list, filter) => {
                self.expr(list);
                // Names within a filter may be entries of the items, which only evaluation can tell.
                self.filters += 1;
                self.expr(filter);
                self.filters -= 1;
            }
            Expr::Arithmetic(first, rest) => {
                self.expr(first);
                self.all(rest.iter().map(|(_, operand)| operand));
            }
            Expr::And(operands) | Expr::Or(operands) | Expr::List(operands) => self.all(operands),
            Expr::Compare(_, left, right) => self.all([&**left, &**right]),
            Expr::Between(parts) | Expr::If(parts) => self.all(parts.iter()),
            Expr::In(value, tests) => {
                self.expr(value);
                self.bound.push("?".into());
                self.tests(tests);
            }
            Expr::For { iterations, body, .. } => self.iterations(iterations, Some("partial"), body),
            Expr::Quantified { iterations, condition, .. } => self.iterations(iterations, None, condition),
            Expr::Context(entries) => {
                for (name, value) in entries {
                    self.expr(value);
                    self.bound.push(Arc::clone(name));
                }
            }
            Expr::Range { ends, .. } => self.all(ends.iter().flatten()),
            Expr::Function(lambda) => {
                self.bound.extend(lambda.parameters.iter().map(|(name, _)| Arc::clone(name)));
                self.expr(&lambda.body);
            }
            Expr::Call(call) => {
                match &call.callee {
                    Expr::Name(name) => self.called(name),
                    callee => self.expr(callee),
                }
                match &call.arguments {
                    Arguments::Positional(given) => self.all(given),
                    Arguments::Named(given) => self.all(given.iter().map(|(_, expr)| expr)),
                }
            }
            Expr::Tests(tests) | Expr::NotTests(tests) => {
                self.found.insert("?".to_owned());
                self.tests(tests);
            }
        }
        self.bound.truncate(before);
    }
}
