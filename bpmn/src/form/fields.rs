//! The original's forms: a list of `{dataId, type, order, label, data, default, variant, encrypted, validators}`.

use std::collections::BTreeSet;

use routing::form::{Check, Expression, Field, Form, Kind};
use serde_json::{Map, Value};

use super::{Reader, flag, text};

/// Validators of one field.
const MAX_VALIDATORS: usize = 50;
/// How a text may be drawn.
const VARIANTS: [&str; 10] = ["BODY1", "BODY2", "H1", "H2", "H3", "H4", "H5", "H6", "SUBTITLE1", "SUBTITLE2"];
/// What a field may say.
const KEYS: [&str; 9] = ["dataId", "type", "order", "label", "data", "default", "variant", "encrypted", "validators"];

pub(super) fn form(items: &[Value], reader: &mut Reader) -> Form {
    let mut fields = Vec::new();
    for item in items {
        if !reader.room() {
            break;
        }
        reader.field.clear();
        match item {
            Value::Object(item) => fields.extend(field(item, reader)),
            _ => reader.error("a field is not an object"),
        }
    }
    let form = Form { fields, ..Form::default() };
    unknown_names(&form, reader);
    form
}

fn field(item: &Map<String, Value>, reader: &mut Reader) -> Option<Field> {
    let id = reader.named(text(item, "dataId").as_deref(), "dataId")?;
    for key in item.keys().filter(|it| !KEYS.contains(&it.as_str())) {
        reader.warning(format!("`{key}` has no effect"));
    }
    let kind = kind(item, reader)?;
    let order = text(item, "order").map(|it| it.trim().parse::<i64>().ok());
    if order == Some(None) {
        reader.error("`order` is not a whole number");
    }
    Some(Field {
        id,
        kind,
        order: order.flatten().unwrap_or(0),
        label: text(item, "label"),
        data: item.get("data").filter(|it| !it.is_null()).cloned(),
        default: default(item, reader),
        variant: variant(item, reader),
        encrypted: flag(item, "encrypted"),
        checks: validators(item, reader),
        ..Field::default()
    })
}

fn kind(item: &Map<String, Value>, reader: &mut Reader) -> Option<Kind> {
    let name = text(item, "type").unwrap_or_default();
    Some(match name.trim().to_ascii_uppercase().as_str() {
        "COPY" => Kind::Copy,
        "WORKFLOW" => Kind::Workflow,
        "TEXT" => Kind::Text,
        "CURRENCY" => Kind::Currency,
        "INTEGER" => Kind::Integer,
        "FLOAT" => Kind::Float,
        "BOOLEAN" => Kind::Boolean,
        "PERCENTAGE" => Kind::Percentage,
        // the older spelling
        "TABLE" | "JSON" => Kind::Table,
        "" => {
            reader.error("it has no `type`");
            return None;
        }
        _ => {
            reader.error(format!(
                "`{name}` is no type; there are COPY, TEXT, CURRENCY, INTEGER, FLOAT, BOOLEAN, PERCENTAGE, TABLE and WORKFLOW"
            ));
            return None;
        }
    })
}

fn variant(item: &Map<String, Value>, reader: &mut Reader) -> Option<String> {
    let name = text(item, "variant")?.trim().to_ascii_uppercase();
    if !VARIANTS.contains(&name.as_str()) {
        reader.error(format!("`{name}` is no variant; there are {}", VARIANTS.join(", ")));
        return None;
    }
    Some(name)
}

/// `{type: TEXT | EVAL, value}`.
fn default(item: &Map<String, Value>, reader: &mut Reader) -> Option<Expression> {
    let default = match item.get("default")? {
        Value::Null => return None,
        Value::Object(default) => default,
        _ => {
            reader.error("`default` is not an object with `type` and `value`");
            return None;
        }
    };
    let Some(value) = text(default, "value") else {
        reader.error("`default` has no `value`");
        return None;
    };
    match text(default, "type").unwrap_or_default().trim().to_ascii_uppercase().as_str() {
        "TEXT" => Some(Expression::Text(value)),
        "EVAL" => Some(expression(&value)),
        other => {
            reader.error(format!("`default` is of type `{other}`; there are TEXT and EVAL"));
            None
        }
    }
}

/// FEEL behind `=`, else Python.
fn expression(source: &str) -> Expression {
    match source.trim().strip_prefix('=') {
        // `==` begins no expression of Python either
        Some(feel) => Expression::Feel(feel.trim().to_owned()),
        None => Expression::Python(source.trim().to_owned()),
    }
}

fn validators(item: &Map<String, Value>, reader: &mut Reader) -> Vec<Check> {
    let validators = match item.get("validators") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(validators)) => validators,
        Some(_) => {
            reader.error("`validators` is not a list");
            return Vec::new();
        }
    };
    if validators.len() > MAX_VALIDATORS {
        reader.error(format!("it has more than {MAX_VALIDATORS} validators"));
    }
    let mut checks = Vec::new();
    for validator in validators.iter().take(MAX_VALIDATORS) {
        match validator {
            Value::Object(validator) => checks.extend(check(validator, reader)),
            _ => reader.error("a validator is not an object with `type` and `constraint`"),
        }
    }
    checks
}

fn check(validator: &Map<String, Value>, reader: &mut Reader) -> Option<Check> {
    let name = text(validator, "type").unwrap_or_default();
    let constraint = constraint(validator);
    let measured = |reader: &mut Reader| {
        if constraint.is_none() {
            reader.error(format!("the validator {name} has no `constraint`"));
        }
        constraint.clone()
    };
    Some(match name.trim().to_ascii_uppercase().as_str() {
        "REQUIRED" => Check::Required(constraint.as_deref().map(expression)),
        "REQUIRED_IF" => Check::Required(Some(expression(&measured(reader)?))),
        "POSITIVE" => Check::Positive,
        "PERCENTAGE" => Check::Percentage,
        "BOOLEAN" => Check::Boolean,
        "INTERVAL" | "RANGE" => Check::Interval(measured(reader)?),
        "REGEX" => Check::Regex(measured(reader)?),
        _ => {
            reader.error(format!(
                "`{name}` is no validator; there are REQUIRED, POSITIVE, PERCENTAGE, INTERVAL, REGEX and BOOLEAN"
            ));
            return None;
        }
    })
}

/// A text; two numbers are an interval.
fn constraint(validator: &Map<String, Value>) -> Option<String> {
    match validator.get("constraint") {
        Some(Value::Array(bounds)) => match bounds.as_slice() {
            [low, high] => Some(format!("[{low},{high}]")),
            _ => None,
        },
        _ => text(validator, "constraint").filter(|it| !it.trim().is_empty()),
    }
}

/// Python raises an exception at a name that is no field: better said now.
fn unknown_names(form: &Form, reader: &mut Reader) {
    let fields: BTreeSet<&str> = form.fields.iter().map(|it| it.id.as_str()).collect();
    for field in &form.fields {
        let conditions = field.checks.iter().filter_map(|it| match it {
            Check::Required(when) => when.as_ref(),
            _ => None,
        });
        for expression in field.default.iter().chain(conditions) {
            let Expression::Python(source) = expression else { continue };
            // what cannot be read is told by who compiles the form
            let Ok(read) = feel::python::expression(source) else { continue };
            for name in read.names().into_iter().filter(|it| !fields.contains(it)) {
                field.id.clone_into(&mut reader.field);
                reader.error(format!("`{source}` reads `{name}`, which is no field; variables are in req_json"));
            }
        }
    }
}
