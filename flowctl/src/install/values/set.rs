//! `--set a.b=1,c[0]=x,d={y,z}`: Helm's words for values on the command line.

use serde_json::{Map, Value};

/// Indexes of lists are smaller than this.
const MAX_INDEX: usize = 1000;

/// One step of a key.
#[derive(Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

/// Puts what `text` says into `values`.
pub(super) fn apply(values: &mut Value, text: &str) -> Result<(), String> {
    for pair in split(text, ',') {
        let (key, value) = pair.split_once('=').ok_or("no `=`")?;
        let steps = steps(key)?;
        put(values, &steps, parsed(value))?;
    }
    Ok(())
}

/// Parts between separators that are neither escaped by a backslash nor in braces; backslashes stay.
fn split(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut part, mut depth, mut escaped) = (Vec::new(), String::new(), 0_u32, false);
    for c in text.chars() {
        if c == separator && depth == 0 && !escaped {
            parts.push(std::mem::take(&mut part));
            continue;
        }
        match c {
            '{' if !escaped => depth += 1,
            '}' if !escaped => depth = depth.saturating_sub(1),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        part.push(c);
    }
    parts.push(part);
    parts
}

fn unescaped(text: &str) -> String {
    let (mut kept, mut escaped) = (String::new(), false);
    for c in text.chars() {
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        kept.push(c);
    }
    kept
}

fn steps(key: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for part in split(key, '.') {
        let mut rest = part.as_str();
        let name = rest.find('[').map_or(rest, |at| &rest[..at]);
        if name.is_empty() {
            return Err("a key without a name".into());
        }
        steps.push(Step::Key(unescaped(name)));
        rest = &rest[name.len()..];
        while !rest.is_empty() {
            let (index, after) =
                rest.strip_prefix('[').and_then(|it| it.split_once(']')).ok_or("an index is [NUMBER]")?;
            let index: usize = index.parse().map_err(|_| format!("[{index}] is no index"))?;
            if index >= MAX_INDEX {
                return Err(format!("[{index}] is too much: lists have at most {MAX_INDEX} items"));
            }
            steps.push(Step::Index(index));
            rest = after;
        }
    }
    Ok(steps)
}

fn parsed(text: &str) -> Value {
    if let Some(items) = text.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
        let items = split(items, ',');
        return items.iter().filter(|it| !it.is_empty()).map(|it| scalar(it)).collect();
    }
    scalar(text)
}

/// What looks like a number, a truth value or null is one; with a leading zero it is text.
fn scalar(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        "0" => Value::from(0),
        _ if text.starts_with('0') => Value::String(unescaped(text)),
        _ => text.parse::<i64>().map_or_else(|_| Value::String(unescaped(text)), Value::from),
    }
}

fn put(into: &mut Value, steps: &[Step], value: Value) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        *into = value;
        return Ok(());
    };
    match step {
        Step::Key(key) => {
            if !into.is_object() {
                *into = Value::Object(Map::new());
            }
            let Value::Object(members) = into else { return Err("no object".into()) };
            put(members.entry(key.clone()).or_insert(Value::Null), rest, value)
        }
        Step::Index(index) => {
            if !into.is_array() {
                *into = Value::Array(Vec::new());
            }
            let Value::Array(items) = into else { return Err("no list".into()) };
            if items.len() <= *index {
                items.resize(*index + 1, Value::Null);
            }
            put(&mut items[*index], rest, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(text: &str) -> Value {
        let mut values = json!({});
        apply(&mut values, text).unwrap();
        values
    }

    #[test]
    fn keys_lists_and_types_are_helms() {
        assert_eq!(of("a.b=1,c=x"), json!({"a": {"b": 1}, "c": "x"}));
        assert_eq!(of("a=true,b=null,c=007,d=0,e="), json!({"a": true, "b": null, "c": "007", "d": 0, "e": ""}));
        assert_eq!(of("env[0].name=A,env[0].value=x=y"), json!({"env": [{"name": "A", "value": "x=y"}]}));
        assert_eq!(of("list={a,2}"), json!({"list": ["a", 2]}));
        assert_eq!(
            of(r"sel.kubernetes\.io/os=linux,x=a\,b"),
            json!({"sel": {"kubernetes.io/os": "linux"}, "x": "a,b"})
        );
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in ["a", "=1", "a[x]=1", "a[99999999]=1", "a.=1"] {
            let mut values = json!({});
            assert!(apply(&mut values, text).is_err(), "{text}: {values}");
        }
    }
}
