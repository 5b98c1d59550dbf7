//! `camunda:formData` of Camunda 7: fields that stand in the model.

use routing::form::{Check, Choice, Choices, Expression, Field, Form, Kind};
use serde_json::Value;

use super::{Found, Reader};
use crate::model::{Element, Namespace};

/// The form that the element describes, and what was found; it can be used if nothing of that is an error.
pub(crate) fn generated(data: &Element) -> (Form, Vec<Found>) {
    let mut reader = Reader::default();
    let mut fields = Vec::new();
    for element in data.children_named(&Namespace::Camunda, "formField") {
        if !reader.room() {
            break;
        }
        fields.extend(field(element, &mut reader));
    }
    let form = Form { format: Form::FORMAT, fields, bound: true, ..Form::default() };
    (form.clone(), reader.finish(&form))
}

fn field(element: &Element, reader: &mut Reader) -> Option<Field> {
    let id = reader.named(element.attribute("id"), "id")?;
    let kind = match element.attribute("type").unwrap_or("string") {
        "string" => Kind::Text,
        "long" => Kind::Integer,
        "double" => Kind::Float,
        "boolean" => Kind::Boolean,
        "date" => Kind::Date,
        "enum" => Kind::Choice,
        other => {
            reader.warning(format!("its type `{other}` is unknown: what it holds is not checked"));
            Kind::Any
        }
    };
    let mut field = Field { id, kind, label: element.attribute("label").map(str::to_owned), ..Field::default() };
    match element.attribute("defaultValue").map(str::trim).filter(|it| !it.is_empty()) {
        Some(text) if text.starts_with('=') => field.default = Some(Expression::Feel(text[1..].trim().to_owned())),
        Some(text) if text.contains("${") || text.contains("#{") => {
            reader.warning(format!("its default `{text}` is JUEL and has no effect; write it in FEEL, behind `=`"));
        }
        Some(text) => field.data = Some(Value::from(text)),
        None => {}
    }
    if kind == Kind::Choice {
        let values = element.children_named(&Namespace::Camunda, "value");
        let choice = |it: &Element| {
            let id = it.attribute("id").unwrap_or_default();
            Choice { value: Value::from(id), label: it.attribute("name").unwrap_or(id).to_owned() }
        };
        field.choices = Some(Choices::Fixed(values.map(choice).collect()));
    }
    for validation in element.children_named(&Namespace::Camunda, "validation") {
        for constraint in validation.children_named(&Namespace::Camunda, "constraint") {
            restrict(&mut field, constraint, reader);
        }
    }
    Some(field)
}

fn restrict(field: &mut Field, constraint: &Element, reader: &mut Reader) {
    let name = constraint.attribute("name").unwrap_or_default().trim();
    let config = constraint.attribute("config").unwrap_or_default().trim();
    let mut measured = |make: fn(u32) -> Check| match config.parse() {
        Ok(count) => field.checks.push(make(count)),
        Err(_) => reader.error(format!("`{config}` of its constraint {name} is not a whole number")),
    };
    match name {
        "required" => field.checks.push(Check::Required(None)),
        "readonly" => field.read_only = Some(Expression::Feel("true".to_owned())),
        "minlength" => measured(Check::MinLength),
        "maxlength" => measured(Check::MaxLength),
        "min" => field.checks.push(Check::Interval(format!("[{config},]"))),
        "max" => field.checks.push(Check::Interval(format!("[,{config}]"))),
        other => reader.error(format!(
            "its constraint `{other}` is code, which is not run: use the others, or a form with patterns"
        )),
    }
}
