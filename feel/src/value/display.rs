//! Values as text: what `string()` answers, and FEEL literals inside lists and contexts.

use std::fmt::Write;

use super::{Callable, Range, Value};

/// The text of a value as `string(from)` gives it; null has none.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.to_string()),
        other => {
            let mut out = String::new();
            write_literal(&mut out, other);
            Some(out)
        }
    }
}

/// Writes a string as a FEEL literal.
fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write_literal(out: &mut String, value: &Value) {
    // Writing into a String cannot fail.
    let _ = match value {
        Value::Null => write!(out, "null"),
        Value::Bool(value) => write!(out, "{value}"),
        Value::Number(value) => write!(out, "{value}"),
        Value::String(value) => {
            write_quoted(out, value);
            Ok(())
        }
        Value::Date(value) => write!(out, "{value}"),
        Value::Time(value) => write!(out, "{value}"),
        Value::DateTime(value) => write!(out, "{value}"),
        Value::Duration(value) => write!(out, "{value}"),
        Value::Range(range) => {
            write_range(out, range);
            Ok(())
        }
        Value::Function(function) => match &function.callable {
            Callable::Lambda { lambda, .. } => {
                write!(out, "function({})", lambda.names().collect::<Vec<_>>().join(", "))
            }
            Callable::Builtin(builtin) => write!(out, "{}", builtin.name),
        },
        Value::List(items) => {
            write_sequence(out, '[', ']', items.iter(), write_literal);
            Ok(())
        }
        Value::Context(context) => {
            write_sequence(out, '{', '}', context.iter(), |out, (name, value)| {
                if name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ' ')) {
                    out.push_str(name);
                } else {
                    write_quoted(out, name);
                }
                out.push_str(": ");
                write_literal(out, value);
            });
            Ok(())
        }
    };
}

fn write_sequence<T>(
    out: &mut String,
    open: char,
    close: char,
    items: impl Iterator<Item = T>,
    each: impl Fn(&mut String, T),
) {
    out.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        each(out, item);
    }
    out.push(close);
}

fn write_range(out: &mut String, range: &Range) {
    out.push(if range.start_included { '[' } else { '(' });
    if !range.start.is_null() {
        write_literal(out, &range.start);
    }
    out.push_str("..");
    if !range.end.is_null() {
        write_literal(out, &range.end);
    }
    out.push(if range.end_included { ']' } else { ')' });
}
