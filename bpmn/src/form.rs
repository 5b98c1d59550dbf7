//! Forms of user tasks to [`Form`]: the original's lists of fields, and Camunda's forms.
//!
//! Reads untrusted bytes within limits. What it gives compiles ([`routing::form::Compiled`]); what cannot be judged as it is written is a
//! diagnostic that names the field. Expressions are FEEL or the safe subset of the original's Python; nothing else is run, so a validator that
//! is code is refused.

mod camunda;
mod fields;
mod generated;

use routing::form::{Compiled, Form};
use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Position, advance};

pub(crate) use generated::generated;

/// Bytes of a form.
const LONGEST: usize = 256 << 10;
/// Fields of a form, those of rows included.
const MAX_FIELDS: usize = 500;
/// Bytes of a field's name.
const MAX_NAME: usize = 256;

/// What a file holds.
#[derive(Debug, Clone)]
pub struct Read {
    /// The form; it compiles.
    pub form: Form,
    /// Findings that refuse nothing.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a file.
///
/// # Errors
/// All findings, at least one of severity error.
pub fn read(content: &[u8]) -> Result<Read, Vec<Diagnostic>> {
    let invalid = |position, message: String| vec![Diagnostic::error(Rule::FormInvalid, position, message)];
    if content.len() > LONGEST {
        return Err(invalid(Position::default(), format!("the form is longer than {LONGEST} bytes")));
    }
    let value: Value = serde_json::from_slice(content).map_err(|error| {
        let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let position = Position { line: place(error.line()), column: place(error.column()) };
        let why = error.to_string();
        invalid(position, format!("the form is not JSON: {}", why.split(" at line").next().unwrap_or(&why)))
    })?;
    let (form, found) = of_json(&value);
    let text = String::from_utf8_lossy(content);
    let diagnostic = |it: &Found| {
        let make = if it.error { Diagnostic::error } else { Diagnostic::warning };
        make(Rule::FormInvalid, place(&text, &it.field), it.to_string())
    };
    let findings: Vec<Diagnostic> = found.iter().map(diagnostic).collect();
    if findings.iter().any(Diagnostic::is_error) { Err(findings) } else { Ok(Read { form, warnings: findings }) }
}

/// Something found in a form.
#[derive(Debug)]
pub(crate) struct Found {
    /// The field; empty: the form.
    field: String,
    message: String,
    /// It refuses the form.
    pub(crate) error: bool,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.message),
            field => write!(f, "field `{field}`: {}", self.message),
        }
    }
}

/// The form that JSON describes, and what was found; it can be used if nothing of that is an error.
pub(crate) fn of_json(value: &Value) -> (Form, Vec<Found>) {
    let mut reader = Reader::default();
    let mut form = match value {
        Value::Array(items) => fields::form(items, &mut reader),
        Value::Object(schema) => camunda::form(schema, &mut reader),
        _ => {
            reader.error("it is neither a list of fields nor a form of Camunda");
            Form::default()
        }
    };
    form.format = Form::FORMAT;
    (form.clone(), reader.finish(&form))
}

/// Where the name of a field stands in a file.
fn place(text: &str, field: &str) -> Position {
    let quoted = Value::from(field).to_string();
    match text.find(&quoted).filter(|_| !field.is_empty()) {
        Some(at) => advance(Position { line: 1, column: 1 }, &text[..at]),
        None => Position { line: 1, column: 1 },
    }
}

/// Reading under way.
#[derive(Default)]
struct Reader {
    found: Vec<Found>,
    /// The field that is read.
    field: String,
    /// Fields so far.
    count: usize,
}

impl Reader {
    fn error(&mut self, message: impl Into<String>) {
        self.found.push(Found { field: self.field.clone(), message: message.into(), error: true });
    }

    fn warning(&mut self, message: impl Into<String>) {
        self.found.push(Found { field: self.field.clone(), message: message.into(), error: false });
    }

    /// One more field may be read.
    fn room(&mut self) -> bool {
        self.count += 1;
        if self.count == MAX_FIELDS + 1 {
            self.error(format!("the form has more than {MAX_FIELDS} fields"));
        }
        self.count <= MAX_FIELDS
    }

    /// The name of the next field, which the findings to come are of.
    fn named(&mut self, name: Option<&str>, what: &str) -> Option<String> {
        self.field.clear();
        let name = name.map(str::trim).filter(|it| !it.is_empty());
        match name {
            None => self.error(format!("a field has no `{what}`")),
            Some(name) if name.len() > MAX_NAME => {
                self.error(format!("the name of a field is longer than {MAX_NAME} bytes"));
            }
            Some(name) => {
                name.clone_into(&mut self.field);
                return Some(name.to_owned());
            }
        }
        None
    }

    /// Every name is there once, and every expression and pattern can be read.
    fn finish(mut self, form: &Form) -> Vec<Found> {
        let mut names = std::collections::HashSet::new();
        for field in &form.fields {
            if !names.insert(field.id.as_str()) {
                field.id.clone_into(&mut self.field);
                self.error("there are two fields of this name");
            }
        }
        if !self.found.iter().any(|it| it.error)
            && let Err(error) = Compiled::new(form.clone())
        {
            self.field = error.field;
            self.error(error.message);
        }
        self.found
    }
}

/// A text of an object; numbers and booleans as they are written.
fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    match object.get(key)? {
        Value::String(text) => Some(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `true`, or a text that says so.
fn flag(object: &Map<String, Value>, key: &str) -> bool {
    match object.get(key) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text.trim().eq_ignore_ascii_case("true"),
        _ => false,
    }
}
