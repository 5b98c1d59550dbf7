//! A form as data. The JSON of equal forms is equal, byte for byte; that it can be used is for [`Compiled`](super::Compiled) to say.

use feel::Number;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::Digest;

/// A form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Form {
    /// Format of this structure; a reader refuses what is newer than [`Form::FORMAT`].
    pub format: u32,
    /// Its fields, in document order.
    pub fields: Vec<Field>,
    /// Names that a model may compute it by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Its fields begin with the variables of their names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bound: bool,
    /// As it was applied, for who draws it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Value>,
}

impl Form {
    /// The newest format this code reads.
    pub const FORMAT: u32 = 1;

    /// The digest of its JSON.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).expect("a form has only string keys"))
    }
}

/// Why a form cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FormError {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// A field of a form.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// Its name, and the variable's, perhaps a dotted path into it.
    pub id: String,
    /// What it holds.
    pub kind: Kind,
    /// Where it stands among the others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub order: i64,
    /// What stands beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What helps to fill it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it holds at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// What it holds at first, computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Expression>,
    /// How its text is drawn, as the original's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Not to be shown in clear.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
    /// While this holds it keeps what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<Expression>,
    /// While this holds it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Expression>,
    /// What it may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Choices>,
    /// What its value must be, besides what its kind says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Of [`Kind::Rows`]: the fields of each row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Field>,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// What a field holds. The first nine are the original's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// A text that is shown: no value.
    Copy,
    /// Something else that is shown: no value.
    Workflow,
    /// A text.
    #[default]
    Text,
    /// A number.
    Currency,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Percentage,
    /// JSON, as such or as text.
    Table,
    /// A box that is ticked or not: to require it is to require that it is.
    Checkbox,
    /// A date.
    Date,
    /// A time of the day.
    Time,
    /// A date and a time.
    DateTime,
    /// One of its choices.
    Choice,
    /// Some of its choices.
    Choices,
    /// Rows of fields.
    Rows,
    /// Any JSON.
    Any,
}

/// Something to compute: over the variables and the fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Expression {
    /// FEEL, without a leading `=`.
    Feel(String),
    /// The safe subset of Python; a field's name is its text, `req_json` the variables.
    Python(String),
    /// A text as it stands.
    Text(String),
}

impl Expression {
    /// As it was written.
    pub fn source(&self) -> &str {
        match self {
            Self::Feel(source) | Self::Python(source) | Self::Text(source) => source,
        }
    }
}

/// Where the choices of a field are from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Choices {
    /// The form.
    Fixed(Vec<Choice>),
    /// A list that FEEL gives: of values, or of contexts with `value` and `label`.
    Computed(Expression),
}

/// One choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// What is stored.
    pub value: Value,
    /// What is shown.
    pub label: String,
}

/// What a value must be. A field without a value is judged by [`Check::Required`] alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Check {
    /// There, if the condition holds.
    Required(Option<Expression>),
    /// A number greater than zero.
    Positive,
    /// A number from 0 to 100.
    Percentage,
    /// A number in an interval such as `[1,10)`.
    Interval(String),
    /// `true` or `false`.
    Boolean,
    /// A text that begins with what the pattern describes; of [`Kind::Integer`] and the like it stands in for the kind.
    Regex(String),
    /// A text in which the pattern is found.
    Contains(String),
    /// A text of so many characters at least.
    MinLength(u32),
    /// A text of so many characters at most.
    MaxLength(u32),
    /// A number of so many decimal places at most.
    Decimals(u32),
}

impl Check {
    /// Its name, as the original's where it has one.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Required(_) => "REQUIRED",
            Self::Positive => "POSITIVE",
            Self::Percentage => "PERCENTAGE",
            Self::Interval(_) => "INTERVAL",
            Self::Boolean => "BOOLEAN",
            Self::Regex(_) | Self::Contains(_) => "REGEX",
            Self::MinLength(_) => "MIN_LENGTH",
            Self::MaxLength(_) => "MAX_LENGTH",
            Self::Decimals(_) => "DECIMALS",
        }
    }

    /// What it is measured by.
    pub fn constraint(&self) -> Option<String> {
        match self {
            Self::Required(when) => when.as_ref().map(|it| it.source().to_owned()),
            Self::Interval(text) | Self::Regex(text) | Self::Contains(text) => Some(text.clone()),
            Self::MinLength(count) | Self::MaxLength(count) | Self::Decimals(count) => Some(count.to_string()),
            Self::Positive | Self::Percentage | Self::Boolean => None,
        }
    }
}

/// An interval of numbers, written as in ISO 31-11: `[1,10)`; a bound may be left out.
#[derive(Clone, Debug)]
pub struct Interval {
    low: Option<Number>,
    high: Option<Number>,
    low_open: bool,
    high_open: bool,
}

impl Interval {
    /// From 0 to 100.
    pub(super) fn percentage() -> Self {
        let bound = |value| Number::new(value, 0);
        Self { low: bound(0), high: bound(100), low_open: false, high_open: false }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Why it is no interval.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no interval, such as `[1,10)`");
        let inner = text.trim();
        let low_open = match inner.chars().next() {
            Some('[') => false,
            Some('(') => true,
            _ => return Err(wrong()),
        };
        let high_open = match inner.chars().next_back() {
            Some(']') => false,
            Some(')') => true,
            _ => return Err(wrong()),
        };
        let inner = inner.get(1..inner.len() - 1).ok_or_else(wrong)?;
        let (low, high) = inner.split_once(',').ok_or_else(wrong)?;
        let bound = |text: &str| match text.trim() {
            "" => Ok(None),
            number => Number::parse(number).map(Some).ok_or_else(wrong),
        };
        let (low, high) = (bound(low)?, bound(high)?);
        if low.is_none() && high.is_none() {
            return Err(wrong());
        }
        if let (Some(low), Some(high)) = (&low, &high)
            && low > high
        {
            return Err(format!("the interval `{text}` holds nothing"));
        }
        Ok(Self { low, high, low_open, high_open })
    }

    /// Whether a number lies in it.
    pub(super) fn has(&self, number: &Number) -> bool {
        let above = |low: &Number| if self.low_open { number > low } else { number >= low };
        let below = |high: &Number| if self.high_open { number < high } else { number <= high };
        self.low.as_ref().is_none_or(above) && self.high.as_ref().is_none_or(below)
    }
}
