//! `flowctl eval`: evaluate FEEL, to try a condition or to compare with another implementation.
//!
//! Expressions are arguments, or lines `{"expr": …, "context": …}` on standard input. Each gives one line:
//! `{"value": …}` or `{"error": …}`. What made parts of a value null goes to standard error.

use std::io::BufRead as _;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::output;
use crate::payload;

/// Names with operators or keywords in them that one expression is read with.
const MOST_NAMES: usize = 128;

/// Evaluate FEEL expressions
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// Expressions; without any, JSON lines `{"expr", "context"}` are read from standard input
    #[arg(value_name = "EXPR", allow_negative_numbers = true)]
    expressions: Vec<String>,

    /// Variables: a JSON object, @FILE, or - for standard input
    #[arg(short = 'd', long = "data", visible_alias = "context", value_name = "JSON|@FILE|-")]
    data: Option<String>,
}

/// One line of standard input.
#[derive(Debug, Deserialize)]
struct Line {
    expr: String,
    #[serde(default)]
    context: Value,
}

impl Eval {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let context = match &self.data {
            Some(argument) => serde_json::from_slice(&payload::read(argument, None)?.bytes)?,
            None => Value::Null,
        };
        if !(context.is_object() || context.is_null()) {
            return Err(Failure::usage("the variables are no JSON object").hint("as in -d '{\"x\": 5}'").into());
        }
        if self.expressions.is_empty() {
            return self.lines(&context);
        }
        let mut exit = Exit::Ok;
        for expression in &self.expressions {
            exit = exit.and(print(evaluate(expression, &context))?);
        }
        Ok(exit)
    }

    /// Answers each line as it comes; a line's own context wins over `--data`.
    fn lines(&self, context: &Value) -> anyhow::Result<Exit> {
        let mut exit = Exit::Ok;
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            exit = exit.and(print(answer(&line, context))?);
        }
        Ok(exit)
    }
}

fn answer(line: &str, context: &Value) -> Result<Value, String> {
    let line: Line =
        serde_json::from_str(line).map_err(|error| format!("the line is not {{\"expr\", \"context\"}}: {error}"))?;
    evaluate(&line.expr, if line.context.is_null() { context } else { &line.context })
}

/// One expression; a leading `=`, as BPMN attributes have it, does not count. Names of the variables may hold operators and keywords.
fn evaluate(expression: &str, context: &Value) -> Result<Value, String> {
    let source = expression.trim();
    let names = unusual_names(context);
    let parsed =
        feel::parse_with(source.strip_prefix('=').unwrap_or(source), &names).map_err(|error| error.to_string())?;
    let mut env = feel::Env::at(jiff::Timestamp::now());
    env.zone = jiff::tz::TimeZone::system();
    let evaluated = parsed.evaluate(context, &env).map_err(|error| error.to_string())?;
    for warning in &evaluated.warnings {
        output::note(format_args!("warning: {warning}"));
    }
    Ok(evaluated.value.to_json())
}

/// The names of variables and of their entries that FEEL understands only when it knows them.
fn unusual_names(context: &Value) -> Vec<&str> {
    let (mut names, mut open) = (Vec::new(), vec![context]);
    while let Some(value) = open.pop().filter(|_| names.len() < MOST_NAMES) {
        match value {
            Value::Object(entries) => {
                names.extend(entries.keys().map(String::as_str).filter(|name| feel::must_be_known(name)));
                open.extend(entries.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    names
}

fn print(answer: Result<Value, String>) -> anyhow::Result<Exit> {
    let (line, exit) = match answer {
        Ok(value) => (json!({ "value": value }), Exit::Ok),
        Err(error) => (json!({ "error": error }), Exit::Error),
    };
    output::data(&format!("{line}\n"))?;
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_has_a_value() {
        assert_eq!(evaluate("= x + 1", &json!({"x": 5})), Ok(json!(6)));
        assert_eq!(evaluate("if x > 3 then \"a\" else \"b\"", &json!({"x": 5})), Ok(json!("a")));
    }

    #[test]
    fn names_of_variables_may_hold_operators_and_numbers() {
        let context = json!({"net-price": 10, "room 101": {"bread and butter": 2}});
        assert_eq!(evaluate("net-price * room 101.bread and butter", &context), Ok(json!(20)));
        assert_eq!(evaluate("net - price", &json!({"net": 3, "price": 1})), Ok(json!(2)));
    }

    #[test]
    fn what_is_not_feel_is_an_error() {
        assert!(evaluate("1 +", &Value::Null).is_err());
    }

    #[test]
    fn a_line_brings_its_own_context() {
        assert_eq!(answer(r#"{"expr": "x", "context": {"x": 1}}"#, &json!({"x": 2})), Ok(json!(1)));
        assert_eq!(answer(r#"{"expr": "x"}"#, &json!({"x": 2})), Ok(json!(2)));
        assert!(answer("x", &Value::Null).is_err());
    }
}
