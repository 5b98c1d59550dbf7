//! Activities that only evaluate: FEEL scripts, decisions, and tasks that do nothing.

use serde_json::{Map, Value};

use crate::compiled::Compiled;
use crate::evaluate;
use crate::payload::{Payload, Written};
use crate::table::{Evaluation, Mapping};
use crate::token::Timestamp;

/// The payload after the evaluation; `None` when it stays as it is.
///
/// # Errors
/// An expression or decision fails, the payload is no JSON object, or a result that is no context has no variable to go to.
pub fn evaluate(
    table: &Compiled,
    evaluation: &Evaluation,
    mapping: Option<&Mapping>,
    payload: &Payload,
    written: &mut Written,
    now: Timestamp,
    warnings: &mut Vec<String>,
) -> Result<Option<Payload>, String> {
    if matches!(evaluation, Evaluation::Nothing) && mapping.is_none() {
        return Ok(None);
    }
    let Some(Value::Object(mut outer)) = payload.to_json() else {
        return Err("it needs a JSON object as payload".to_owned());
    };
    let (inputs, outputs) = mapping.map_or((&[][..], &[][..]), |m| (&m.inputs, &m.outputs));
    let mut inner = outer.clone();
    let locals = evaluate::assign(table, inputs, &mut inner, now)?;
    let scope = Value::Object(inner);
    let results = results(table, evaluation, &scope, now, warnings)?;
    let Value::Object(mut inner) = scope else { return Ok(None) };
    let mut kept = if outputs.is_empty() {
        results.into_iter().filter(|(name, _)| !locals.contains_key(name)).collect()
    } else {
        inner.extend(results);
        evaluate::assign(table, outputs, &mut inner, now)?
    };
    if kept.is_empty() {
        return Ok(None);
    }
    kept.keys().for_each(|name| written.key(name));
    outer.append(&mut kept);
    Ok(Some(Payload::json(&Value::Object(outer))))
}

fn results(
    table: &Compiled,
    evaluation: &Evaluation,
    scope: &Value,
    now: Timestamp,
    warnings: &mut Vec<String>,
) -> Result<Map<String, Value>, String> {
    let (value, variable) = match evaluation {
        Evaluation::Nothing => return Ok(Map::new()),
        Evaluation::Script { expression, result_variable } => {
            (evaluate::feel(table, expression, scope, now)?, result_variable)
        }
        Evaluation::Decision { decision, result_variable, file } => {
            let name = evaluate::text(table, decision, scope, now)?;
            let decisions = file.and_then(|file| table.decisions(file));
            let Some(decisions) = decisions else {
                return Err(format!("the decision {name} is in no DMN file that was applied with the model"));
            };
            let outcome = decisions.evaluate(&name, scope, now)?;
            warnings.extend(outcome.warnings);
            (outcome.value, result_variable)
        }
    };
    match (variable, value) {
        (Some(variable), value) => Ok(Map::from_iter([(variable.clone(), value)])),
        (None, Value::Object(map)) => Ok(map),
        (None, Value::Null) => Ok(Map::new()),
        (None, other) => Err(format!("the result is {other}, no context: it needs a result variable")),
    }
}
