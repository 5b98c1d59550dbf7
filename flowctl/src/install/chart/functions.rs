//! What Helm adds to Go's templates, as far as the chart uses it, and how JSON becomes what templates work on.

use std::sync::{Arc, OnceLock};

use gotmpl::{Result, Template, TemplateError, Value as Datum};
use serde_json::{Map, Number, Value};

use crate::output::value;

/// What an error begins with that the chart itself raises about its values.
const REFUSAL: &str = "the chart refuses: ";

/// A template of several sources, of which the last one says what comes out and the others have names.
pub(super) fn template(name: &str, sources: &[&str]) -> Result<Template> {
    // what is included is a part of the same template, which is there when everything is parsed
    let whole: Arc<OnceLock<Template>> = Arc::default();
    let included = Arc::clone(&whole);
    let mut template = Template::new(name)
        .func("include", move |args| {
            let [name, data] = exactly("include", args)?;
            let whole = included.get().ok_or_else(|| TemplateError::UndefinedTemplate(written(name)))?;
            whole.execute_template_to_string(&written(name), data).map(text)
        })
        .func("fail", |args| {
            let [why] = exactly("fail", args)?;
            Err(TemplateError::Exec(format!("{REFUSAL}{}", written(why))))
        })
        .func("default", |args| {
            let [default, value] = exactly("default", args)?;
            Ok(if value.is_truthy() { value.clone() } else { default.clone() })
        })
        .func("quote", |args| Ok(text(args.iter().map(quoted).collect::<Vec<_>>().join(" "))))
        .func("nindent", |args| {
            let [by, block] = exactly("nindent", args)?;
            let indent = " ".repeat(usize::try_from(number("nindent", by)?).unwrap_or(0));
            let lines: Vec<String> = written(block).split('\n').map(|line| format!("{indent}{line}")).collect();
            Ok(text(format!("\n{}", lines.join("\n"))))
        })
        .func("toYaml", |args| {
            let [value] = exactly("toYaml", args)?;
            let yaml = value::yaml(&json(value)).map_err(|error| TemplateError::Exec(format!("toYaml: {error}")))?;
            Ok(text(yaml.trim_end_matches('\n').to_owned()))
        })
        .func("toString", |args| exactly("toString", args).map(|[value]| text(written(value))))
        .func("int", |args| exactly("int", args).and_then(|[value]| number("int", value).map(Datum::Int)))
        .func("int64", |args| exactly("int64", args).and_then(|[value]| number("int64", value).map(Datum::Int)))
        .func("list", |args| Ok(Datum::List(args.to_vec().into())))
        .func("dict", dict);
    template = strings(template);
    for source in sources {
        template = template.parse(source)?;
    }
    let _ = whole.set(template.clone());
    Ok(template)
}

fn strings(template: Template) -> Template {
    template
        .func("hasPrefix", |args| {
            let [prefix, whole] = exactly("hasPrefix", args)?;
            Ok(Datum::Bool(written(whole).starts_with(&written(prefix))))
        })
        .func("hasSuffix", |args| {
            let [suffix, whole] = exactly("hasSuffix", args)?;
            Ok(Datum::Bool(written(whole).ends_with(&written(suffix))))
        })
        .func("trimSuffix", |args| {
            let ([suffix, whole], mut kept) = (exactly("trimSuffix", args)?, String::new());
            let whole = written(whole);
            kept.push_str(whole.strip_suffix(&written(suffix)).unwrap_or(&whole));
            Ok(text(kept))
        })
        .func("base", |args| {
            let [path] = exactly("base", args)?;
            Ok(text(written(path).rsplit('/').next().unwrap_or_default().to_owned()))
        })
}

fn dict(args: &[Datum]) -> Result<Datum> {
    let (pairs, rest) = args.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(TemplateError::Exec("dict: a key without a value".into()));
    }
    let map = pairs.iter().map(|[key, value]| (written(key).into(), value.clone())).collect();
    Ok(Datum::Map(Arc::new(map)))
}

/// What the chart itself says about the values, if that is what went wrong.
pub(super) fn refusal(error: &TemplateError) -> Option<String> {
    let text = error.to_string();
    text.find(REFUSAL).map(|at| text[at + REFUSAL.len()..].to_owned())
}

fn exactly<'a, const N: usize>(name: &str, args: &'a [Datum]) -> Result<&'a [Datum; N]> {
    let wrong = |_| TemplateError::ArgCount { name: name.to_owned(), expected: N, got: args.len() };
    <&[Datum; N]>::try_from(args).map_err(wrong)
}

fn text(text: String) -> Datum {
    Datum::String(text.into())
}

fn written(value: &Datum) -> String {
    match value {
        Datum::Nil => String::new(),
        other => other.to_string(),
    }
}

fn quoted(value: &Datum) -> String {
    Value::String(written(value)).to_string()
}

fn number(name: &str, value: &Datum) -> Result<i64> {
    let wrong = || TemplateError::Exec(format!("{name}: {value} is no whole number"));
    match value {
        Datum::Nil => Ok(0),
        Datum::Int(whole) => Ok(*whole),
        Datum::String(digits) => digits.parse().map_err(|_| wrong()),
        other => other.as_int().ok_or_else(wrong),
    }
}

/// JSON for templates.
pub(super) fn datum(value: &Value) -> Datum {
    match value {
        Value::Null => Datum::Nil,
        Value::Bool(flag) => Datum::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Datum::Int(whole),
            (None, Some(double)) => Datum::Float(double),
            (None, None) => text(number.to_string()),
        },
        Value::String(string) => text(string.clone()),
        Value::Array(items) => Datum::List(items.iter().map(datum).collect()),
        Value::Object(members) => {
            Datum::Map(Arc::new(members.iter().map(|(key, value)| (key.as_str().into(), datum(value))).collect()))
        }
    }
}

/// And back.
fn json(value: &Datum) -> Value {
    match value {
        Datum::Nil | Datum::Function(_) => Value::Null,
        Datum::Bool(flag) => Value::Bool(*flag),
        Datum::Int(whole) => Value::from(*whole),
        Datum::Uint(whole) => Value::from(*whole),
        Datum::Float(double) => Number::from_f64(*double).map_or(Value::Null, Value::Number),
        Datum::String(string) => Value::String(string.to_string()),
        Datum::List(items) => items.iter().map(json).collect(),
        Datum::Map(members) => {
            Value::Object(members.iter().map(|(key, value)| (key.to_string(), json(value))).collect::<Map<_, _>>())
        }
    }
}
