//! Calls: of functions held by variables, of function definitions, and of built-ins, by position or by parameter name.

use std::sync::Arc;

use super::{Frame, Frames, Machine, Outcome};
use crate::ast::{Arguments, Call, Expr, Lambda};
use crate::builtins::Builtin;
use crate::error::EvalError;
use crate::value::{Callable, Function, Value};

impl Machine<'_> {
    pub(super) fn call(&mut self, call: &Call, frames: &Frames) -> Outcome {
        if let Expr::Name(name) = &call.callee {
            if let Some(Value::Function(function)) = self.function_named(name, frames) {
                return self.call_function(&function, Some(name), &call.arguments, frames);
            }
            return match call.builtin {
                Some(builtin) => self.call_builtin(builtin, &call.arguments, frames),
                None => self.null(format!("there is no function {name}")),
            };
        }
        match self.eval(&call.callee, frames)? {
            Value::Function(function) => {
                let name = match &call.callee {
                    Expr::Path(_, steps) => steps.last(),
                    _ => None,
                };
                self.call_function(&function, name, &call.arguments, frames)
            }
            other => self.null(format!("{} cannot be called", other.kind())),
        }
    }

    /// The function a variable holds. JSON holds none, so it is not looked at.
    fn function_named(&self, name: &str, frames: &Frames) -> Option<Value> {
        let bound = frames.as_ref().and_then(|frame| frame.get(name)).cloned();
        let found = match bound {
            Some(value) => Some(value),
            None if self.scope.json(name).is_some() => None,
            None => self.scope.get(name),
        };
        found.filter(|value| matches!(value, Value::Function(_)))
    }

    fn call_function(
        &mut self,
        function: &Arc<Function>,
        name: Option<&Arc<str>>,
        arguments: &Arguments,
        frames: &Frames,
    ) -> Outcome {
        match &function.callable {
            Callable::Builtin(builtin) => self.call_builtin(builtin, arguments, frames),
            Callable::Lambda { lambda, .. } => match self.lambda_arguments(lambda, arguments, frames)? {
                Ok(values) => self.invoke_as(function, name, values),
                Err(message) => self.null(message),
            },
        }
    }

    /// Arguments in the order of the parameters, or why they do not fit.
    fn lambda_arguments(
        &mut self,
        lambda: &Lambda,
        arguments: &Arguments,
        frames: &Frames,
    ) -> Result<Result<Vec<Value>, String>, EvalError> {
        let count = lambda.parameters.len();
        match arguments {
            Arguments::Positional(given) => {
                if given.len() != count {
                    return Ok(Err(format!("the function takes {count} arguments, not {}", given.len())));
                }
                given.iter().map(|expr| self.eval(expr, frames)).collect::<Result<_, _>>().map(Ok)
            }
            Arguments::Named(given) => {
                let known = given.iter().all(|(name, _)| lambda.names().any(|parameter| parameter == &**name));
                if given.len() != count || !known {
                    let names: Vec<&str> = lambda.names().collect();
                    return Ok(Err(format!("the function takes the parameters {}", names.join(", "))));
                }
                let mut values = Vec::with_capacity(count);
                for parameter in lambda.names() {
                    match given.iter().find(|(name, _)| &**name == parameter) {
                        Some((_, expr)) => values.push(self.eval(expr, frames)?),
                        None => return Ok(Err(format!("the parameter {parameter} is missing"))),
                    }
                }
                Ok(Ok(values))
            }
        }
    }

    /// Calls a function with values, as built-ins such as `sort` do.
    pub(crate) fn invoke(&mut self, function: &Arc<Function>, values: Vec<Value>) -> Outcome {
        self.invoke_as(function, None, values)
    }

    /// Calls a function known by a name; it sees itself by that name, so that an entry of a context can call itself.
    fn invoke_as(&mut self, function: &Arc<Function>, name: Option<&Arc<str>>, values: Vec<Value>) -> Outcome {
        let Callable::Lambda { lambda, frames } = &function.callable else {
            let Callable::Builtin(builtin) = &function.callable else { return Ok(Value::Null) };
            return self.run_builtin(builtin, &values);
        };
        if values.len() != lambda.parameters.len() {
            return self.null(format!(
                "the function takes {} arguments, not {}",
                lambda.parameters.len(),
                values.len()
            ));
        }
        let mut names = Vec::with_capacity(values.len() + 1);
        if let Some(name) = name {
            names.push((Arc::clone(name), Value::Function(Arc::clone(function))));
        }
        for ((parameter, kind), value) in lambda.parameters.iter().zip(values) {
            let value = match kind {
                Some(kind) => match self.conform(value, kind) {
                    Ok(value) => value,
                    Err(value) => {
                        return self.null(format!("the parameter {parameter} does not take {}", value.kind()));
                    }
                },
                None => value,
            };
            names.push((Arc::clone(parameter), value));
        }
        self.eval(&lambda.body, &Some(Frame::bind(frames, names)))
    }

    fn call_builtin(&mut self, builtin: &'static Builtin, arguments: &Arguments, frames: &Frames) -> Outcome {
        let before = self.warnings.len();
        let values = match arguments {
            Arguments::Positional(given) => {
                let mut values = Vec::with_capacity(given.len());
                for expr in given {
                    values.push(self.eval(expr, frames)?);
                }
                values
            }
            Arguments::Named(given) => {
                let mut named = Vec::with_capacity(given.len());
                for (name, expr) in given {
                    named.push((name, self.eval(expr, frames)?));
                }
                match builtin.by_position(named) {
                    Some(values) => values,
                    None => {
                        return self.null(format!("{} takes ({})", builtin.name, builtin.signatures.join(") or (")));
                    }
                }
            }
        };
        if builtin.quiet {
            // `is defined` and `get or else` ask whether something is there: that it is not is no surprise.
            self.warnings.truncate(before);
        }
        self.run_builtin(builtin, &values)
    }

    fn run_builtin(&mut self, builtin: &'static Builtin, values: &[Value]) -> Outcome {
        self.spend(1 + values.len())?;
        if !builtin.takes(values.len()) {
            return self.null(format!("{} takes ({})", builtin.name, builtin.signatures.join(") or (")));
        }
        if self.level >= self.env.depth {
            return Err(EvalError::Depth(self.env.depth));
        }
        self.level += 1;
        let outcome = (builtin.run)(self, values);
        self.level -= 1;
        outcome
    }
}
