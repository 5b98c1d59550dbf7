//! Camunda's forms: `{components: [...]}`, as the modeler writes them.
//!
//! Components that hold data become fields; those that only show something have no part in judging, but for texts, which people want to read.
//! What is not judged is a warning. Numbers, dates and choices are judged as the form's own renderer does; where it accepts an expression
//! for a limit (`min`, `maxLength`), that limit is not judged.

use routing::form::{Check, Choice, Choices, Expression, Field, Form, Kind};
use serde_json::{Map, Value};

use super::{Reader, flag, text};

/// How deep components may nest.
const MAX_DEPTH: u32 = 8;
/// Choices of a field.
const MAX_CHOICES: usize = 5_000;
/// Components that hold no data.
const SHOWN: [&str; 11] = [
    "html",
    "image",
    "button",
    "spacer",
    "separator",
    "table",
    "iframe",
    "documentPreview",
    "default",
    "submit",
    "reset",
];
const EMAIL: &str = r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$";
const PHONE: &str = r"^(\+|00)[0-9][0-9 ()./-]{4,}$";

pub(super) fn form(schema: &Map<String, Value>, reader: &mut Reader) -> Form {
    let mut fields = Vec::new();
    if let Some(components) = schema.get("components") {
        Within::default().components(components, reader, &mut fields);
    }
    let source = Some(Value::Object(schema.clone()));
    Form { fields, bound: true, source, ..Form::default() }
}

/// Where components stand.
#[derive(Default, Clone)]
struct Within {
    /// Before their keys: the paths of groups.
    path: String,
    /// When the groups around are hidden.
    hidden: Option<String>,
    depth: u32,
}

impl Within {
    fn components(&self, components: &Value, reader: &mut Reader, out: &mut Vec<Field>) {
        let Value::Array(components) = components else {
            return reader.error("`components` is not a list");
        };
        if self.depth > MAX_DEPTH {
            return reader.error(format!("components nest deeper than {MAX_DEPTH} levels"));
        }
        for component in components {
            if !reader.room() {
                break;
            }
            match component {
                Value::Object(component) => self.component(component, reader, out),
                _ => reader.error("a component is not an object"),
            }
        }
    }

    fn component(&self, component: &Map<String, Value>, reader: &mut Reader, out: &mut Vec<Field>) {
        let name = text(component, "type").unwrap_or_default();
        match name.as_str() {
            "group" => self.group(component, reader, out),
            "dynamiclist" => {
                let Some(id) = reader.named(text(component, "path").as_deref(), "path") else { return };
                let mut rows = Vec::new();
                let inside = Self { depth: self.depth + 1, ..Self::default() };
                if let Some(components) = component.get("components") {
                    inside.components(components, reader, &mut rows);
                }
                out.push(Field { rows, ..self.field(id, Kind::Rows, component) });
            }
            "text" => {
                // a name of its own, as the paths of groups are for data
                let id = text(component, "id").unwrap_or_else(|| format!("text-{}", reader.count));
                let field = self.field(String::new(), Kind::Copy, component);
                out.push(Field { id, label: text(component, "text"), ..field });
            }
            shown if SHOWN.contains(&shown) => {}
            _ => {
                let Some(id) = reader.named(text(component, "key").as_deref(), "key") else { return };
                let kind = kind(&name, component, reader);
                let field = self.field(id, kind, component);
                out.push(Field {
                    data: component.get("defaultValue").filter(|it| !it.is_null()).cloned(),
                    default: computed(&name, component),
                    choices: choices(kind, component, reader),
                    checks: checks(&name, component, reader),
                    ..field
                });
            }
        }
    }

    fn group(&self, component: &Map<String, Value>, reader: &mut Reader, out: &mut Vec<Field>) {
        let path = text(component, "path").map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        let path = match path {
            Some(path) => format!("{}{path}.", self.path),
            None => self.path.clone(),
        };
        let inside = Self { path, hidden: self.hidden(component), depth: self.depth + 1 };
        if let Some(components) = component.get("components") {
            inside.components(components, reader, out);
        }
    }

    fn field(&self, id: String, kind: Kind, component: &Map<String, Value>) -> Field {
        let always = || Some(Expression::Feel("true".to_owned()));
        let read_only = match component.get("readonly") {
            Some(Value::String(text)) => feel(text).map(Expression::Feel),
            _ => flag(component, "readonly").then(always).flatten(),
        };
        Field {
            id: format!("{}{id}", self.path),
            kind,
            label: text(component, "label").or_else(|| text(component, "dateLabel")),
            description: text(component, "description"),
            read_only: if flag(component, "disabled") { always() } else { read_only },
            hidden: self.hidden(component).map(Expression::Feel),
            ..Field::default()
        }
    }

    /// When the component, or a group around it, is hidden.
    fn hidden(&self, component: &Map<String, Value>) -> Option<String> {
        let conditional = component.get("conditional").and_then(Value::as_object);
        let own = conditional.and_then(|it| text(it, "hide")).and_then(|it| feel(&it));
        match (&self.hidden, own) {
            (Some(around), Some(own)) => Some(format!("({around}) or ({own})")),
            (around, own) => around.clone().or(own),
        }
    }
}

/// What stands behind `=`.
fn feel(text: &str) -> Option<String> {
    text.trim().strip_prefix('=').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty())
}

fn kind(name: &str, component: &Map<String, Value>, reader: &mut Reader) -> Kind {
    match name {
        "textfield" | "textarea" => Kind::Text,
        "number" => Kind::Float,
        "checkbox" => Kind::Checkbox,
        "select" | "radio" => Kind::Choice,
        "checklist" | "taglist" => Kind::Choices,
        "datetime" => match text(component, "subtype").as_deref() {
            Some("time") => Kind::Time,
            Some("datetime") => Kind::DateTime,
            _ => Kind::Date,
        },
        "expression" | "filepicker" => Kind::Any,
        other => {
            reader.warning(format!("a component `{other}` is unknown: what it holds is not checked"));
            Kind::Any
        }
    }
}

/// An expression component holds what it computes.
fn computed(name: &str, component: &Map<String, Value>) -> Option<Expression> {
    let source = text(component, "expression").filter(|_| name == "expression")?;
    feel(&source).map(Expression::Feel)
}

fn choices(kind: Kind, component: &Map<String, Value>, reader: &mut Reader) -> Option<Choices> {
    if !matches!(kind, Kind::Choice | Kind::Choices) {
        return None;
    }
    if let Some(key) = text(component, "valuesKey").filter(|it| !it.trim().is_empty()) {
        return Some(Choices::Computed(Expression::Feel(key.trim().to_owned())));
    }
    if let Some(source) = text(component, "valuesExpression").and_then(|it| feel(&it)) {
        return Some(Choices::Computed(Expression::Feel(source)));
    }
    let Some(Value::Array(values)) = component.get("values") else {
        reader.warning("its choices are not given: any value is taken");
        return None;
    };
    if values.len() > MAX_CHOICES {
        reader.error(format!("it has more than {MAX_CHOICES} choices"));
    }
    let choice = |value: &Value| match value {
        Value::Object(choice) => {
            let value = choice.get("value").cloned().unwrap_or_default();
            let label = text(choice, "label").or_else(|| text(choice, "value"));
            Choice { value, label: label.unwrap_or_default() }
        }
        other => Choice { value: other.clone(), label: other.as_str().unwrap_or_default().to_owned() },
    };
    Some(Choices::Fixed(values.iter().take(MAX_CHOICES).map(choice).collect()))
}

fn checks(name: &str, component: &Map<String, Value>, reader: &mut Reader) -> Vec<Check> {
    let mut checks = Vec::new();
    if name == "number"
        && let Some(places) = count(component, "decimalDigits", reader)
    {
        checks.push(Check::Decimals(places));
    }
    let Some(Value::Object(validate)) = component.get("validate") else { return checks };
    if flag(validate, "required") {
        checks.push(Check::Required(None));
    }
    checks.extend(count(validate, "minLength", reader).map(Check::MinLength));
    checks.extend(count(validate, "maxLength", reader).map(Check::MaxLength));
    let (low, high) = (limit(validate, "min", reader), limit(validate, "max", reader));
    if low.is_some() || high.is_some() {
        checks.push(Check::Interval(format!("[{},{}]", low.unwrap_or_default(), high.unwrap_or_default())));
    }
    match text(validate, "validationType").as_deref() {
        Some("email") => checks.push(Check::Contains(EMAIL.to_owned())),
        Some("phone") => checks.push(Check::Contains(PHONE.to_owned())),
        _ => checks.extend(text(validate, "pattern").filter(|it| !it.is_empty()).map(Check::Contains)),
    }
    checks
}

/// A limit that is a number; one that is computed is not judged.
fn limit(validate: &Map<String, Value>, key: &str, reader: &mut Reader) -> Option<String> {
    let limit = text(validate, key).map(|it| it.trim().to_owned()).filter(|it| !it.is_empty())?;
    if limit.starts_with('=') {
        reader.warning(format!("`{key}` is computed: it is not checked"));
        return None;
    }
    Some(limit)
}

fn count(validate: &Map<String, Value>, key: &str, reader: &mut Reader) -> Option<u32> {
    let limit = limit(validate, key, reader)?;
    let count = limit.parse().ok();
    if count.is_none() {
        reader.error(format!("`{key}` is not a whole number"));
    }
    count
}
