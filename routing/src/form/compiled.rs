//! A form ready to use: its expressions and patterns read once, and what its fields hold.

use std::collections::HashMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::kind;
use super::model::{Check, Choice, Choices, Expression, Field, Form, FormError, Interval};
use crate::condition::env;
use crate::evaluate::{Variables, put};
use crate::token::Timestamp;

/// Bytes of a compiled pattern.
const MAX_PATTERN: usize = 256 << 10;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Compiled {
    form: Form,
    feel: HashMap<String, feel::Expression>,
    python: HashMap<String, feel::python::Expression>,
    patterns: HashMap<Check, Regex>,
    pub(super) intervals: HashMap<String, Interval>,
}

/// What a task knows when its form is filled in.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The variables that it sees.
    pub variables: &'a Variables,
    /// What was saved of the form before, by field.
    pub draft: &'a Variables,
    /// The present moment.
    pub now: Timestamp,
}

/// A form with what its fields hold.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The form.
    pub form: Arc<Compiled>,
    /// The state of each field, in their order.
    pub states: Vec<State>,
}

/// What a field holds, and what may be done to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// Null if there is nothing.
    pub value: Value,
    /// What it began with.
    pub initial: Value,
    /// It is not there at the moment.
    pub hidden: bool,
    /// It keeps what it has.
    pub read_only: bool,
    /// What it may hold, if that is limited.
    pub choices: Option<Vec<Choice>>,
}

/// What expressions of a form see.
pub(super) struct Scope {
    feel: Value,
    payload: Value,
    names: Variables,
    now: Timestamp,
}

impl Scope {
    /// Variables, and fields by their names over them.
    pub(super) fn new(about: &About<'_>, values: &Variables) -> Self {
        let mut scope = Self {
            feel: Value::Object(about.variables.clone()),
            payload: Value::Object(about.variables.clone()),
            names: Variables::new(),
            now: about.now,
        };
        scope.add(values);
        scope
    }

    /// For what fields begin with: FEEL sees the variables, which the fields are made of; Python tells them apart.
    fn of_defaults(about: &About<'_>, values: &Variables) -> Self {
        Self { feel: Value::Object(about.variables.clone()), ..Self::new(about, values) }
    }

    /// The same, inside of a row.
    pub(super) fn within(&self, row: &Variables) -> Self {
        let mut scope =
            Self { feel: self.feel.clone(), payload: self.payload.clone(), names: self.names.clone(), now: self.now };
        scope.add(row);
        scope
    }

    fn add(&mut self, values: &Variables) {
        let Value::Object(all) = &mut self.feel else { return };
        for (id, value) in values {
            put(all, id, value.clone());
            self.names.insert(id.clone(), kind::python(value));
        }
    }
}

impl Compiled {
    /// Reads every expression and pattern.
    ///
    /// # Errors
    /// The first that cannot be read, with its field.
    pub fn new(form: Form) -> Result<Self, FormError> {
        let mut compiled = Self {
            form: Form::default(),
            feel: HashMap::new(),
            python: HashMap::new(),
            patterns: HashMap::new(),
            intervals: HashMap::new(),
        };
        compiled.read(&form.fields)?;
        compiled.form = form;
        Ok(compiled)
    }

    /// The form.
    pub fn form(&self) -> &Form {
        &self.form
    }

    fn read(&mut self, fields: &[Field]) -> Result<(), FormError> {
        for field in fields {
            self.read_field(field).map_err(|message| FormError { field: field.id.clone(), message })?;
            self.read(&field.rows)?;
        }
        Ok(())
    }

    fn read_field(&mut self, field: &Field) -> Result<(), String> {
        let computed = match &field.choices {
            Some(Choices::Computed(expression)) => Some(expression),
            Some(Choices::Fixed(_)) | None => None,
        };
        let expressions = [&field.default, &field.read_only, &field.hidden];
        expressions.into_iter().flatten().chain(computed).try_for_each(|it| self.read_expression(it))?;
        for check in &field.checks {
            match check {
                Check::Required(when) => when.iter().try_for_each(|it| self.read_expression(it))?,
                Check::Interval(text) => {
                    self.intervals.insert(text.clone(), Interval::parse(text)?);
                }
                Check::Regex(_) | Check::Contains(_) => {
                    self.patterns.insert(check.clone(), pattern(check)?);
                }
                Check::Positive | Check::Percentage | Check::Boolean => {}
                Check::MinLength(_) | Check::MaxLength(_) | Check::Decimals(_) => {}
            }
        }
        Ok(())
    }

    fn read_expression(&mut self, expression: &Expression) -> Result<(), String> {
        match expression {
            Expression::Feel(source) => {
                let read = feel::parse(source).map_err(|why| format!("`={source}`: {why}"))?;
                self.feel.insert(source.clone(), read);
            }
            Expression::Python(source) => {
                let read = feel::python::expression(source).map_err(|why| format!("`{source}`: {why}"))?;
                self.python.insert(source.clone(), read);
            }
            Expression::Text(_) => {}
        }
        Ok(())
    }

    /// The value of an expression of the form.
    pub(super) fn value(&self, expression: &Expression, scope: &Scope) -> Result<Value, String> {
        match expression {
            Expression::Feel(source) => {
                let read = self.feel.get(source).ok_or_else(|| format!("`={source}` is not of this form"))?;
                let evaluated = read.evaluate(&scope.feel, &env(scope.now));
                Ok(evaluated.map_err(|why| format!("`={source}`: {why}"))?.value.to_json())
            }
            Expression::Python(source) => {
                let read = self.python.get(source).ok_or_else(|| format!("`{source}` is not of this form"))?;
                read.evaluate(&scope.payload, &scope.names).map_err(|why| format!("`{source}`: {why}"))
            }
            Expression::Text(text) => Ok(Value::String(text.clone())),
        }
    }

    /// Whether a condition of the form holds; FEEL's null does not.
    pub(super) fn holds(&self, expression: &Expression, scope: &Scope) -> Result<bool, String> {
        match (expression, self.value(expression, scope)?) {
            (Expression::Feel(_), Value::Bool(held)) => Ok(held),
            (Expression::Feel(_), Value::Null) => Ok(false),
            (Expression::Feel(source), other) => Err(format!("`={source}` gives {other}, not true or false")),
            (Expression::Python(source), _) => {
                let read = self.python.get(source).ok_or_else(|| format!("`{source}` is not of this form"))?;
                read.holds(&scope.payload, &scope.names).map_err(|why| format!("`{source}`: {why}"))
            }
            (Expression::Text(text), _) => Ok(!text.is_empty()),
        }
    }

    pub(super) fn pattern(&self, check: &Check) -> Option<&Regex> {
        self.patterns.get(check)
    }

    /// The form with what its fields hold: the draft, else what they begin with.
    pub fn fill(self: &Arc<Self>, about: &About<'_>) -> Filled {
        let initial = self.values(&About { draft: &Variables::new(), ..*about });
        let values = self.values(about);
        let scope = Scope::new(about, &values);
        let held = |field: &Field, values: &Variables| match field.kind.is_static() {
            true => field.data.clone().unwrap_or_default(),
            false => values.get(&field.id).cloned().unwrap_or_default(),
        };
        let state = |field: &Field| State {
            value: held(field, &values),
            initial: held(field, &initial),
            // what cannot be told is shown, and may be filled in
            hidden: self.asked(field.hidden.as_ref(), &scope).unwrap_or(false),
            read_only: self.asked(field.read_only.as_ref(), &scope).unwrap_or(false),
            choices: self.choices(field, &scope),
        };
        Filled { form: self.clone(), states: self.form.fields.iter().map(state).collect() }
    }

    pub(super) fn asked(&self, condition: Option<&Expression>, scope: &Scope) -> Result<bool, String> {
        condition.map_or(Ok(false), |it| self.holds(it, scope))
    }

    /// What a field may hold; `None`: anything.
    pub(super) fn choices(&self, field: &Field, scope: &Scope) -> Option<Vec<Choice>> {
        match field.choices.as_ref()? {
            Choices::Fixed(choices) => Some(choices.clone()),
            Choices::Computed(expression) => Some(match self.value(expression, scope) {
                Ok(Value::Array(items)) => items.into_iter().map(choice).collect(),
                Ok(_) | Err(_) => Vec::new(),
            }),
        }
    }

    /// What the fields hold, by their ids.
    pub(super) fn values(&self, about: &About<'_>) -> Variables {
        let fields = || self.form.fields.iter().filter(|it| !it.kind.is_static());
        let data = |field: &Field| (field.id.clone(), field.data.clone().unwrap_or_default());
        let mut values: Variables = fields().map(data).collect();
        if fields().any(|it| it.default.is_some()) {
            let scope = Scope::of_defaults(about, &values);
            for field in fields() {
                // what cannot be computed is nothing: whoever does the task fills it in
                if let Some(Ok(value)) = field.default.as_ref().map(|it| self.value(it, &scope)) {
                    values.insert(field.id.clone(), value);
                }
            }
        }
        for field in fields() {
            let bound = self.form.bound.then(|| find(about.variables, &field.id)).flatten();
            if let Some(value) = about.draft.get(&field.id).or(bound.filter(|it| !it.is_null())) {
                values.insert(field.id.clone(), value.clone());
            }
        }
        values
    }
}

/// A value under its name, or at the end of a dotted path.
pub(super) fn find<'v>(variables: &'v Variables, path: &str) -> Option<&'v Value> {
    if let Some(found) = variables.get(path) {
        return Some(found);
    }
    let mut names = path.split('.');
    let mut found = variables.get(names.next()?)?;
    for name in names {
        found = found.as_object()?.get(name)?;
    }
    Some(found)
}

fn choice(item: Value) -> Choice {
    match item {
        Value::Object(mut item) => {
            let value = item.shift_remove("value").unwrap_or_default();
            let label = item.get("label").map_or_else(|| kind::text(&value), kind::text);
            Choice { value, label }
        }
        value => Choice { label: kind::text(&value), value },
    }
}

/// Patterns run in linear time; look-around and back-references are not read.
fn pattern(check: &Check) -> Result<Regex, String> {
    let source = match check {
        Check::Regex(pattern) => format!("^(?:{pattern})"),
        Check::Contains(pattern) => pattern.clone(),
        _ => return Err("it is no pattern".to_owned()),
    };
    let shown = check.constraint().unwrap_or_default();
    RegexBuilder::new(&source).size_limit(MAX_PATTERN).build().map_err(|error| {
        let why = error.to_string();
        let why = why.lines().rev().find(|it| !it.trim().is_empty()).unwrap_or_default().trim().to_owned();
        format!("the pattern `{shown}` cannot be read: {}", why.trim_start_matches("error: "))
    })
}
