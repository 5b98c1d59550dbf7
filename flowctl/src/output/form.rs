//! The form of a user task, and what data for it was judged to be.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::instance::or_null;
use super::task::Task;
use super::{Show, table};
use crate::exit::Exit;

/// Characters of a value in a table.
const LONGEST: usize = 60;

/// A form with what its fields hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Form {
    pub(crate) task: Task,
    /// There is a form that data is judged by.
    pub(crate) known: bool,
    pub(crate) fields: Vec<Field>,
    /// As it was applied; null: not of that kind.
    pub(crate) schema: Value,
}

/// A field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) order: i64,
    pub(crate) label: String,
    pub(crate) description: String,
    pub(crate) value: Value,
    pub(crate) variant: String,
    pub(crate) encrypted: bool,
    pub(crate) read_only: bool,
    pub(crate) hidden: bool,
    /// Values and labels; none: it is not limited to any.
    pub(crate) choices: Option<Vec<(Value, String)>>,
    pub(crate) checks: Vec<Check>,
    /// The fields of each row.
    pub(crate) rows: Vec<Field>,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) constraint: Option<String>,
}

impl Check {
    fn json(&self) -> Value {
        json!({ "type": self.name, "constraint": self.constraint })
    }

    fn text(&self) -> String {
        match &self.constraint {
            Some(condition) if self.name == "REQUIRED" => format!("REQUIRED if {condition}"),
            Some(constraint) => format!("{} {constraint}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Field {
    fn json(&self) -> Value {
        let choices = self.choices.as_ref().map(|all| {
            let choice = |(value, label): &(Value, String)| json!({ "value": value, "label": label });
            all.iter().map(choice).collect::<Vec<_>>()
        });
        json!({
            "id": self.id,
            "type": self.kind,
            "order": self.order,
            "label": or_null(&self.label),
            "description": or_null(&self.description),
            "value": self.value,
            "variant": or_null(&self.variant),
            "encrypted": self.encrypted,
            "read_only": self.read_only,
            "hidden": self.hidden,
            "choices": choices,
            "validators": self.checks.iter().map(Check::json).collect::<Vec<_>>(),
            "rows": self.rows.iter().map(Field::json).collect::<Vec<_>>(),
        })
    }

    fn shown(&self) -> String {
        match &self.value {
            Value::Null => String::new(),
            _ if self.encrypted => "***".to_owned(),
            Value::String(text) => shortened(text),
            other => shortened(&other.to_string()),
        }
    }

    fn must_be(&self) -> String {
        let choices = self.choices.iter().map(|all| {
            let values: Vec<String> = all.iter().map(|(value, _)| plain(value)).collect();
            format!("one of {}", values.join("|"))
        });
        let read_only = self.read_only.then(|| "read-only".to_owned());
        let all: Vec<String> = self.checks.iter().map(Check::text).chain(choices).chain(read_only).collect();
        shortened(&all.join(", "))
    }

    fn row(&self) -> [String; 5] {
        [self.id.clone(), self.kind.clone(), self.shown(), self.must_be(), shortened(&self.label)]
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

impl Form {
    /// The fields that are there, in the order that people see.
    fn visible(&self) -> Vec<&Field> {
        let mut fields: Vec<&Field> = self.fields.iter().filter(|it| !it.hidden).collect();
        fields.sort_by_key(|it| it.order);
        fields
    }
}

impl Show for Form {
    fn json(&self) -> Value {
        let fields = self.known.then(|| self.fields.iter().map(Field::json).collect::<Vec<_>>());
        json!({ "task": self.task.json(), "fields": fields, "schema": self.schema })
    }

    fn names(&self) -> Vec<String> {
        self.fields.iter().map(|it| format!("field/{}", it.id)).collect()
    }

    fn text(&self, _wide: bool, _now: Timestamp) -> String {
        let title = format!("{}: {}\n", self.task.described(), table::one_line(&self.task.form));
        if !self.known {
            return format!("{title}It takes any data: no form is known that it is checked against.\n");
        }
        let headings = ["FIELD", "TYPE", "VALUE", "MUST BE", "LABEL"];
        format!("{title}{}", table::render(headings, self.visible().into_iter().map(Field::row)))
    }
}

/// What was asked of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) check: Check,
    /// Why it is not so.
    pub(crate) wrong: Option<String>,
}

/// What a field's value was judged to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) field: String,
    pub(crate) results: Vec<Asked>,
}

/// What data was judged to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) task: Task,
    pub(crate) passed: bool,
    /// It was saved.
    pub(crate) saved: bool,
    pub(crate) fields: Vec<Verdict>,
}

impl Judged {
    /// Data that does not fit is 65, as a model that has errors.
    pub(crate) fn exit(&self) -> Exit {
        if self.passed { Exit::Ok } else { Exit::Invalid }
    }
}

impl Show for Judged {
    fn json(&self) -> Value {
        let result = |it: &Asked| {
            let mut json = it.check.json();
            json["passed"] = it.wrong.is_none().into();
            json["message"] = it.wrong.clone().into();
            json
        };
        let field = |it: &Verdict| {
            let results: Vec<Value> = it.results.iter().map(result).collect();
            json!({ "field": it.field, "passed": it.results.iter().all(|it| it.wrong.is_none()), "results": results })
        };
        json!({
            "task": self.task.json(),
            "passed": self.passed,
            "saved": self.saved,
            "fields": self.fields.iter().map(field).collect::<Vec<_>>(),
        })
    }

    fn names(&self) -> Vec<String> {
        vec![format!("task/{}", self.task.id)]
    }

    fn text(&self, _wide: bool, _now: Timestamp) -> String {
        if self.passed {
            return format!("{}: {}\n", self.task.described(), if self.saved { "Saved." } else { "The data fits." });
        }
        let wrong = self.fields.iter().flat_map(|field| {
            let reasons = field.results.iter().filter_map(|it| it.wrong.as_ref());
            reasons.map(|why| [field.field.clone(), shortened(why)])
        });
        table::render(["FIELD", "WHY NOT"], wrong)
    }
}

#[cfg(test)]
mod tests;
