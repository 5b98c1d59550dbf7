//! Closure transport: the parameters of `camunda:inputOutput`, in the original's syntax.

use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Element, FlowNode, Namespace};

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// `STRING`.
    String,
    /// `BOOLEAN`.
    Boolean,
    /// `DOUBLE`.
    Double,
    /// `INTEGER`.
    Integer,
    /// `JSON_OBJECT`.
    JsonObject,
    /// `JSON_ARRAY`.
    JsonArray,
}

/// One parameter: `name` from `source`; either may be `.`, the whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Where the value goes.
    pub name: String,
    /// Where it comes from.
    pub source: String,
    /// What it must be.
    pub kind: ParameterType,
    /// Taken if the source is missing.
    pub default: Option<serde_json::Value>,
}

/// The inputs and outputs that `node` declares.
pub(crate) fn parameters(node: &FlowNode, out: &mut Vec<Diagnostic>) -> (Vec<Parameter>, Vec<Parameter>) {
    let io = node.extensions.find(&Namespace::Camunda, "inputOutput");
    let mut read = |name| {
        io.into_iter()
            .flat_map(|it| it.children_named(&Namespace::Camunda, name))
            .filter_map(|it| match parameter(it) {
                Ok(parameter) => Some(parameter),
                Err(problem) => {
                    let message = format!("{}: {problem}", describe(it));
                    out.push(Diagnostic::error(Rule::ClosureParameter, it.position, message).on(node.id.as_str()));
                    None
                }
            })
            .collect()
    };
    (read("inputParameter"), read("outputParameter"))
}

fn describe(element: &Element) -> String {
    let name = element.attribute("name").unwrap_or_default();
    format!("{} `{name}`", element.qualified())
}

fn parameter(element: &Element) -> Result<Parameter, String> {
    let name = element.attribute("name").unwrap_or_default().trim();
    if name.is_empty() {
        return Err("has no name".to_owned());
    }
    let text = element.text.trimmed();
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (source, kind) = first.rsplit_once(':').ok_or_else(|| format!("`{first}` gives no type"))?;
    if source.trim().is_empty() {
        return Err(format!("`{first}` names no source"));
    }
    Ok(Parameter {
        name: name.to_owned(),
        source: source.trim().to_owned(),
        kind: parameter_type(kind.trim())?,
        default: default(rest.trim())?,
    })
}

fn parameter_type(text: &str) -> Result<ParameterType, String> {
    Ok(match text {
        "STRING" => ParameterType::String,
        "BOOLEAN" => ParameterType::Boolean,
        "DOUBLE" => ParameterType::Double,
        "INTEGER" => ParameterType::Integer,
        "JSON_OBJECT" => ParameterType::JsonObject,
        "JSON_ARRAY" => ParameterType::JsonArray,
        other => return Err(format!("`{other}` is not a type")),
    })
}

/// The second line. An empty default counts as none, as in the original.
fn default(line: &str) -> Result<Option<serde_json::Value>, String> {
    if line.is_empty() {
        return Ok(None);
    }
    let value = line.strip_prefix("default:").ok_or_else(|| format!("`{line}` is not `default: JSON`"))?.trim();
    if value.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(value).map(Some).map_err(|error| format!("the default `{value}` is not JSON: {error}"))
}
