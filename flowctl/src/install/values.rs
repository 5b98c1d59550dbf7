//! The values of an installation: the chart's defaults, over them those of the installation that is there, of files, and of `--set`.
//!
//! As with Helm: objects are merged, everything else is replaced, and null takes a default away. What comes out fits the chart's schema.

mod set;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value};

use super::{VALUES, chart};
use crate::exit::{Exit, Failure};
use crate::payload;

/// `-f` and `--set`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ValuesArgs {
    /// Values of the chart as YAML; - for standard input; later ones win
    #[arg(short = 'f', long = "values", value_name = "FILE", help_heading = "Values")]
    files: Vec<String>,

    /// One value of the chart, as Helm has it: store.etcd=etcd://10.0.0.7:2379/flow, or several with commas
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Values")]
    set: Vec<String>,
}

impl ValuesArgs {
    /// What is asked for, over what was asked for before.
    ///
    /// # Errors
    /// When a file cannot be read or is no YAML object, or a `--set` is none.
    pub(crate) fn over(&self, before: Value) -> anyhow::Result<Value> {
        let mut asked = before;
        for file in &self.files {
            merge(&mut asked, read(file)?);
        }
        for text in &self.set {
            set::apply(&mut asked, text).map_err(|why| {
                Failure::usage(format!("--set {text}: {why}"))
                    .hint("--set KEY=VALUE, such as --set store.persistence.enabled=false")
            })?;
        }
        Ok(asked)
    }
}

fn read(file: &str) -> anyhow::Result<Value> {
    let bytes = payload::read_source(file)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{file} is no text"))?;
    let wrong = |why: String| {
        let hint = "values are a YAML object, as in deploy/istio/values.yaml";
        Failure::new(Exit::Invalid, format!("{file} has no values: {why}")).hint(hint)
    };
    let found: Value = serde_saphyr::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    match found {
        Value::Null => Ok(Value::Object(Map::new())),
        Value::Object(_) => Ok(found),
        _ => Err(wrong("it is no object".into()).into()),
    }
}

/// All values: the chart's own, and over them what is asked for.
///
/// # Errors
/// When they do not fit the chart's schema; the message names each value that does not.
pub(crate) fn complete(asked: &Value) -> anyhow::Result<Value> {
    let mut values: Value = serde_saphyr::from_str(chart::DEFAULTS).context("values.yaml")?;
    merge(&mut values, asked.clone());
    without_null(&mut values);
    let schema: Value = serde_json::from_str(chart::SCHEMA).context("values.schema.json")?;
    let validator =
        jsonschema::validator_for(&schema).map_err(|error| anyhow::anyhow!("values.schema.json: {error}"))?;
    let wrong: Vec<String> = validator
        .iter_errors(&values)
        .map(|error| format!("{}: {error}", dotted(&error.instance_path().to_string())))
        .collect();
    if wrong.is_empty() {
        return Ok(values);
    }
    let hint = "the values are explained in deploy/istio/values.yaml";
    Err(Failure::new(Exit::Invalid, format!("values that the chart does not take: {}", wrong.join("; ")))
        .hint(hint)
        .into())
}

/// A JSON pointer as `--set` has it.
fn dotted(pointer: &str) -> String {
    if pointer.is_empty() { "values".to_owned() } else { pointer.trim_start_matches('/').replace('/', ".") }
}

/// What was asked for when the installation was made or last changed; an empty object if nothing was.
pub(crate) fn kept(flowd: &Value) -> Value {
    let kept = flowd["metadata"]["annotations"][VALUES].as_str().and_then(|text| serde_json::from_str(text).ok());
    kept.filter(Value::is_object).unwrap_or_else(|| Value::Object(Map::new()))
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                match into.get_mut(&key) {
                    _ if value.is_null() => drop(into.insert(key, value)),
                    Some(there) => merge(there, value),
                    None => drop(into.insert(key, value)),
                }
            }
        }
        (into, from) => *into = from,
    }
}

/// What is null was taken away.
fn without_null(values: &mut Value) {
    if let Value::Object(members) = values {
        members.retain(|_, value| !value.is_null());
        members.values_mut().for_each(without_null);
    }
}

#[cfg(test)]
mod tests;
