//! A file of decisions as data (DMN 1.5, clauses 6 to 10): the requirements graph and the logic, with every expression as its source.
//!
//! Content-addressed as routing tables are: the JSON of equal decisions is equal, byte for byte. What stands here is what was drawn; that it
//! can run is for [`Compiled`](super::Compiled) to say.

use serde::{Deserialize, Serialize};

use crate::id::Digest;

/// The decisions of one DMN file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decisions {
    /// Format of this structure; a reader refuses what is newer than [`Decisions::FORMAT`].
    pub format: u32,
    /// The name of the file's `definitions`.
    pub name: String,
    /// Decisions, in document order.
    pub decisions: Vec<Decision>,
    /// Input data, in document order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputData>,
    /// Business knowledge models, in document order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knowledge: Vec<KnowledgeModel>,
}

impl Decisions {
    /// The newest format this code reads.
    pub const FORMAT: u32 = 1;

    /// The bytes that the digest is of.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("decisions have only strings and numbers")
    }

    /// The digest of [`Decisions::to_bytes`].
    pub fn digest(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// Reads bytes that came from outside; that references hold is for `compile` to check.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecisionError> {
        let decisions: Self = serde_json::from_slice(bytes)
            .map_err(|error| DecisionError::new("", format!("read decisions: {error}")))?;
        if decisions.format > Self::FORMAT {
            let (found, known) = (decisions.format, Self::FORMAT);
            let message = format!("read decisions of format {found}, this build knows {known}: upgrade it");
            return Err(DecisionError::new("", message));
        }
        Ok(decisions)
    }

    /// The names that FEEL has to be told before it can read expressions of the file: those that hold operators or keywords.
    pub fn names(&self) -> Vec<&str> {
        super::graph::names(self)
    }

    /// The decision with this id, or else with this name.
    pub fn find(&self, decision: &str) -> Option<&Decision> {
        let by_id = self.decisions.iter().find(|it| it.id == decision);
        by_id.or_else(|| self.decisions.iter().find(|it| it.name == decision))
    }
}

/// Why decisions cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DecisionError {
    /// The id of the decision or knowledge model; empty for the file as a whole.
    pub element: String,
    /// What is wrong with it.
    pub message: String,
}

impl DecisionError {
    pub(super) fn new(element: impl Into<String>, message: impl Into<String>) -> Self {
        Self { element: element.into(), message: message.into() }
    }
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The name of its result where another decision needs it, if it is not the decision's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// What it needs.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub requires: Requirements,
    /// How it decides.
    pub logic: Logic,
}

/// What a decision or a knowledge model needs, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requirements {
    /// Input data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// Decisions, whose results are variables of this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<String>,
    /// Knowledge models, which are functions here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knowledge: Vec<String>,
}

impl Requirements {
    /// Whether nothing is needed.
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.decisions.is_empty() && self.knowledge.is_empty()
    }
}

/// Input data: a variable, with its type so far as it changes how JSON is understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputData {
    /// Its id.
    pub id: String,
    /// The name of the variable.
    pub name: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Type::is_any")]
    pub kind: Type,
}

/// A type, so far as JSON cannot tell it: what arrives as a string and is a date, and where such strings stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Type {
    /// What JSON tells by itself, and what has no type.
    #[default]
    Any,
    /// A day.
    Date,
    /// A time of day.
    Time,
    /// A day and a time of day.
    DateTime,
    /// A duration of either kind.
    Duration,
    /// A list of such.
    List(Box<Type>),
    /// A context with such entries; entries that are not listed are as they come.
    Context(Vec<(String, Type)>),
}

impl Type {
    /// Whether nothing is to be converted.
    pub fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

/// A business knowledge model: a function that decisions share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnowledgeModel {
    /// Its id.
    pub id: String,
    /// The name it is called by.
    pub name: String,
    /// The other knowledge models it calls.
    #[serde(default, skip_serializing_if = "Requirements::is_empty")]
    pub requires: Requirements,
    /// The names of its parameters.
    pub parameters: Vec<String>,
    /// What it computes.
    pub body: Logic,
}

/// Decision logic: a boxed expression (clause 10.2). Strings are FEEL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Logic {
    /// A literal expression.
    Literal(String),
    /// A decision table.
    Table(Table),
    /// A call with arguments by parameter name.
    Invocation {
        /// What is called: the name of a knowledge model, or an expression that gives a function.
        callee: String,
        /// Parameters and their values.
        bindings: Vec<Entry>,
    },
    /// Named entries, each of which sees those before it.
    Context {
        /// The entries.
        entries: Vec<Entry>,
        /// What it results in; without, the context itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<Box<Logic>>,
    },
    /// A list.
    List(Vec<Logic>),
    /// A list of contexts with the same entries.
    Relation {
        /// The names of the entries.
        columns: Vec<String>,
        /// Their values, row by row.
        rows: Vec<Vec<Logic>>,
    },
    /// A function.
    Function {
        /// The names of its parameters.
        parameters: Vec<String>,
        /// What it computes.
        body: Box<Logic>,
    },
    /// One of two.
    Conditional {
        /// What is asked.
        condition: Box<Logic>,
        /// The result if it is true.
        then: Box<Logic>,
        /// The result if not.
        otherwise: Box<Logic>,
    },
    /// The items of a list for which something holds.
    Filter {
        /// The list.
        list: Box<Logic>,
        /// The condition, for `item`.
        holds: Box<Logic>,
    },
    /// Something for every item of a list.
    Iteration {
        /// What becomes of the results.
        kind: IterationKind,
        /// The name of the item.
        variable: String,
        /// The list.
        list: Box<Logic>,
        /// What is computed for each item.
        body: Box<Logic>,
    },
}

/// What an iteration makes of its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IterationKind {
    /// A list of them.
    For,
    /// Whether all are true.
    Every,
    /// Whether one is true.
    Some,
}

/// A named expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The expression.
    pub logic: Logic,
}

/// A decision table (clause 8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// What happens when several rules match.
    pub hit_policy: HitPolicy,
    /// The inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// The outputs; of several each has a name, and the result is a context.
    pub outputs: Vec<Output>,
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

/// What happens when several rules match (clause 8.2.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HitPolicy {
    /// One rule may match; several are an error.
    #[default]
    Unique,
    /// The first rule in order.
    First,
    /// The rule whose output stands first among the output values.
    Priority,
    /// Several may match, with equal outputs; others are an error.
    Any,
    /// A list of all, or one value made of all.
    Collect(Aggregator),
    /// A list of all in the order of the rules.
    RuleOrder,
    /// A list of all in the order of the output values.
    OutputOrder,
}

/// What COLLECT makes of the outputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Aggregator {
    /// A list of them.
    #[default]
    List,
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// How many.
    Count,
}

/// An input of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// What it is called in messages.
    pub label: String,
    /// The expression that is tested.
    pub expression: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Type::is_any")]
    pub kind: Type,
    /// The values it may have, as unary tests; another one leaves a warning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
}

/// An output of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The values it may have, those of the highest priority first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
    /// Its value when no rule matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// A rule of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Its id, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// One cell of unary tests per input; an empty one and `-` match everything.
    pub tests: Vec<String>,
    /// One expression per output; an empty one is null.
    pub outputs: Vec<String>,
}
