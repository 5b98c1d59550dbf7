//! Judging data: every field with every reason, and what is kept of it.

use std::collections::BTreeSet;

use feel::Number;
use serde_json::Value;

use super::compiled::{About, Compiled, Scope, find};
use super::kind::{self, shown};
use super::model::{Check, Field, Interval, Kind};
use crate::evaluate::{Variables, put};

/// Rows that data may have.
const MAX_ROWS: usize = 500;
/// Names of fields that a message lists.
const MAX_NAMED: usize = 20;

/// What data is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// A draft: the fields that are given are judged.
    Draft,
    /// The end of the task: all fields are, with what they hold.
    Whole,
}

/// A verdict on data.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// The fields that were judged, in the form's order; then names that are no fields.
    pub fields: Vec<FieldCheck>,
    /// What is saved of the form, by field.
    pub draft: Variables,
    /// What the task writes: one value for each variable.
    pub values: Variables,
}

/// A verdict on one field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldCheck {
    /// The field; in rows with its place, as in `items[1].name`.
    pub field: String,
    /// What was asked of it.
    pub results: Vec<Asked>,
}

/// One thing that was asked of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// What, as [`Check::name`]; `TYPE` is what its kind asks.
    pub check: &'static str,
    /// What it is measured by.
    pub constraint: Option<String>,
    /// Why the value is not so; `None`: it is.
    pub wrong: Option<String>,
}

impl Checked {
    /// Nothing speaks against the data.
    pub fn passed(&self) -> bool {
        self.fields.iter().all(FieldCheck::passed)
    }

    /// Every field with every reason, in one line.
    pub fn reasons(&self) -> String {
        let wrong = self.fields.iter().flat_map(|it| it.results.iter().map(move |asked| (&it.field, asked)));
        let said = wrong.filter_map(|(field, asked)| Some(format!("{field}: {}", asked.wrong.as_ref()?)));
        said.collect::<Vec<_>>().join("; ")
    }
}

impl FieldCheck {
    /// Nothing speaks against the field's value.
    pub fn passed(&self) -> bool {
        self.results.iter().all(|it| it.wrong.is_none())
    }
}

impl Asked {
    fn of_kind(kind: Kind, wrong: impl Into<String>) -> Self {
        Self { check: "TYPE", constraint: Some(kind.as_str().to_owned()), wrong: Some(wrong.into()) }
    }
}

impl Compiled {
    /// Judges what is given over what the form holds. Nothing is kept unless [`Checked::passed`]; a field that is given as null goes back to
    /// what it begins with.
    pub fn check(&self, about: &About<'_>, given: &Variables, judgement: Judgement) -> Checked {
        let fields = || self.form().fields.iter().filter(|it| !it.kind.is_static());
        let before = self.values(about);
        let mut draft = about.draft.clone();
        for field in fields() {
            match find(given, &field.id) {
                Some(Value::Null) => drop(draft.shift_remove(&field.id)),
                Some(value) => drop(draft.insert(field.id.clone(), tidy(field, value))),
                None => {}
            }
        }
        let values = self.values(&About { draft: &draft, ..*about });
        let mut judge = Judge { form: self, out: Vec::new() };
        let scope = Scope::new(about, &values);
        let mut checked = Checked::default();
        for field in fields() {
            let value = values.get(&field.id).cloned().unwrap_or_default();
            let is_given = find(given, &field.id).is_some_and(|it| !it.is_null());
            match self.asked(field.hidden.as_ref(), &scope) {
                Ok(false) => {}
                Ok(true) => {
                    draft.shift_remove(&field.id);
                    continue;
                }
                Err(why) => judge.wrong(&field.id, field.kind, why),
            }
            if is_given && self.keeps(field, &scope) && !kind::same(&value, &before[&field.id]) {
                judge.wrong(&field.id, field.kind, "it cannot be changed");
            }
            if is_given || judgement == Judgement::Whole {
                judge.field(field, &field.id, &value, &scope);
            }
            keep(&mut checked.values, about.variables, &field.id, value);
        }
        judge.unknown(given);
        Checked { fields: judge.out, draft, ..checked }
    }

    fn keeps(&self, field: &Field, scope: &Scope) -> bool {
        self.asked(field.read_only.as_ref(), scope).unwrap_or(false)
    }
}

/// Judging under way.
struct Judge<'f> {
    form: &'f Compiled,
    out: Vec<FieldCheck>,
}

impl Judge<'_> {
    fn wrong(&mut self, name: &str, kind: Kind, why: impl Into<String>) {
        self.out.push(FieldCheck { field: name.to_owned(), results: vec![Asked::of_kind(kind, why)] });
    }

    /// Names that are no fields.
    fn unknown(&mut self, given: &Variables) {
        let fields = self.form.form().fields.iter().filter(|it| !it.kind.is_static());
        let names: Vec<&str> = fields.map(|it| it.id.as_str()).collect();
        let roots: BTreeSet<&str> =
            names.iter().filter_map(|it| it.split('.').next()).chain(names.iter().copied()).collect();
        for name in given.keys().filter(|it| !roots.contains(it.as_str())) {
            let more = if names.len() > MAX_NAMED { ", ..." } else { "" };
            let there = names.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
            let name = name.chars().take(MAX_NAME).collect::<String>();
            self.wrong(&name, Kind::Any, format!("the form has no such field; there are {there}{more}"));
        }
    }

    fn field(&mut self, field: &Field, name: &str, value: &Value, scope: &Scope) {
        let mut results = Vec::new();
        if !kind::is_empty(value) {
            // what a pattern says of a text, the kind does not say again
            let described = field.checks.iter().any(|it| matches!(it, Check::Regex(_)));
            let kind = if described { Kind::Text } else { field.kind };
            results.extend(kind.refuses(value).map(|why| Asked::of_kind(field.kind, why)));
            results.extend(self.unchosen(field, value, scope).map(|why| Asked::of_kind(field.kind, why)));
        }
        let asked = |check: &Check| Asked {
            check: check.name(),
            constraint: check.constraint(),
            wrong: self.broken(check, field.kind, value, scope),
        };
        results.extend(field.checks.iter().map(asked));
        self.out.push(FieldCheck { field: name.to_owned(), results });
        if field.kind == Kind::Rows {
            self.rows(field, name, value, scope);
        }
    }

    fn rows(&mut self, field: &Field, name: &str, value: &Value, scope: &Scope) {
        let Value::Array(rows) = value else {
            if !value.is_null() {
                self.wrong(name, Kind::Rows, format!("{} is not a list of rows", shown(value)));
            }
            return;
        };
        if rows.len() > MAX_ROWS {
            return self.wrong(name, Kind::Rows, format!("it has {} rows, the limit is {MAX_ROWS}", rows.len()));
        }
        for (nth, row) in rows.iter().enumerate() {
            let name = format!("{name}[{}]", nth + 1);
            let Value::Object(row) = row else {
                self.wrong(&name, Kind::Rows, format!("{} is not a row", shown(row)));
                continue;
            };
            let scope = scope.within(row);
            for inner in field.rows.iter().filter(|it| !it.kind.is_static()) {
                if !self.form.asked(inner.hidden.as_ref(), &scope).unwrap_or(false) {
                    let value = find(row, &inner.id).cloned().unwrap_or_default();
                    self.field(inner, &format!("{name}.{}", inner.id), &value, &scope);
                }
            }
        }
    }

    /// Why the value is none of the choices.
    fn unchosen(&self, field: &Field, value: &Value, scope: &Scope) -> Option<String> {
        let choices = self.form.choices(field, scope)?;
        let chosen = |value: &Value| choices.iter().any(|it| kind::same(&it.value, value));
        let other = match value {
            Value::Array(items) if field.kind == Kind::Choices => items.iter().find(|it| !chosen(it)),
            value => Some(value).filter(|it| !chosen(it)),
        };
        other.map(|it| format!("{} is not among the choices", shown(it)))
    }

    /// Why a value is not as it must be.
    fn broken(&self, check: &Check, kind: Kind, value: &Value, scope: &Scope) -> Option<String> {
        if let Check::Required(when) = check {
            let ticked = kind != Kind::Checkbox || kind::boolean(value) == Some(true);
            return match when.as_ref().map_or(Ok(true), |it| self.form.holds(it, scope)) {
                Err(why) => Some(why),
                Ok(true) if kind::is_empty(value) => Some("a value is required".to_owned()),
                Ok(true) if !ticked => Some("it must be ticked".to_owned()),
                Ok(_) => None,
            };
        }
        if kind::is_empty(value) {
            return None;
        }
        let text = || kind::text(value);
        match check {
            Check::Required(_) => None,
            Check::Positive => of_number(value, |it| *it > Number::ZERO, "is not greater than 0"),
            Check::Percentage => of_number(value, |it| Interval::percentage().has(it), "is not from 0 to 100"),
            Check::Interval(interval) => {
                let within = |it: &Number| self.form.intervals.get(interval).is_some_and(|range| range.has(it));
                of_number(value, within, &format!("is not in {interval}"))
            }
            Check::Boolean => kind::boolean(value).is_none().then(|| format!("{} is not true or false", shown(value))),
            Check::Regex(pattern) | Check::Contains(pattern) => {
                let found = self.form.pattern(check).is_some_and(|it| it.is_match(&text()));
                (!found).then(|| format!("{} does not match {pattern}", shown(value)))
            }
            Check::MinLength(count) => {
                let short = text().chars().count() < *count as usize;
                short.then(|| format!("it has fewer than {count} characters"))
            }
            Check::MaxLength(count) => {
                let long = text().chars().count() > *count as usize;
                long.then(|| format!("it has more than {count} characters"))
            }
            Check::Decimals(count) => {
                let places = |it: &Number| it.to_string().split_once('.').map_or(0, |(_, places)| places.len());
                of_number(value, |it| places(it) <= *count as usize, &format!("has more than {count} decimal places"))
            }
        }
    }
}

/// Characters of a name that a message repeats.
const MAX_NAME: usize = 100;

fn of_number(value: &Value, holds: impl Fn(&Number) -> bool, otherwise: &str) -> Option<String> {
    match kind::number(value) {
        None => Some(format!("{} is not a number", shown(value))),
        Some(number) if holds(&number) => None,
        Some(_) => Some(format!("{} {otherwise}", shown(value))),
    }
}

/// Of rows, what their fields are; anything else as it is.
fn tidy(field: &Field, value: &Value) -> Value {
    let Value::Array(rows) = value else { return value.clone() };
    if field.kind != Kind::Rows {
        return value.clone();
    }
    let row = |row: &Value| match row {
        Value::Object(row) => {
            let mut kept = Variables::new();
            for inner in field.rows.iter().filter(|it| !it.kind.is_static()) {
                if let Some(value) = find(row, &inner.id) {
                    put(&mut kept, &inner.id, tidy(inner, value));
                }
            }
            Value::Object(kept)
        }
        other => other.clone(),
    };
    Value::Array(rows.iter().map(row).collect())
}

/// A value goes to its variable; beside it stays what the variable has.
fn keep(values: &mut Variables, variables: &Variables, id: &str, value: Value) {
    if let Some((name, _)) = id.split_once('.')
        && !values.contains_key(name)
        && let Some(before) = variables.get(name)
    {
        values.insert(name.to_owned(), before.clone());
    }
    put(values, id, value);
}
