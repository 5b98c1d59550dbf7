//! Conditions of sequence flows: parsed once per table, evaluated per token.

use serde_json::Value;

use crate::table::ConditionSource;
use crate::token::Timestamp;

/// A parsed condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// FEEL.
    Feel(feel::Expression),
    /// The safe Python subset.
    Python(feel::python::Condition),
}

impl Condition {
    /// Parses; the error says where and why, in words for the model's author.
    pub fn parse(source: &ConditionSource) -> Result<Self, feel::ParseError> {
        match source {
            ConditionSource::Feel(text) => feel::parse(text).map(Self::Feel),
            ConditionSource::Python(text) => feel::python::parse(text).map(Self::Python),
        }
    }

    /// True when the flow is taken. FEEL's null counts as false and leaves a warning (DMN 1.5, 10.3.2.3).
    pub fn holds(&self, variables: &Value, now: Timestamp, warnings: &mut Vec<String>) -> Result<bool, String> {
        match self {
            Self::Feel(expression) => {
                let evaluated = expression.evaluate(variables, &env(now)).map_err(|e| e.to_string())?;
                warnings.extend(evaluated.warnings);
                match evaluated.value {
                    feel::Value::Bool(held) => Ok(held),
                    feel::Value::Null => {
                        warnings.push(format!("condition {:?} is null, taken as false", expression.source()));
                        Ok(false)
                    }
                    other => Err(format!("it gives {}, not true or false", other.to_json())),
                }
            }
            Self::Python(condition) => condition.evaluate(variables).map_err(|e| e.to_string()),
        }
    }
}

/// What FEEL may know of the world: the time of the decision.
pub(crate) fn env(now: Timestamp) -> feel::Env {
    feel::Env::at(jiff::Timestamp::from_millisecond(now as i64).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}
