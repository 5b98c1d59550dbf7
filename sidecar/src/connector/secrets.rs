//! Secrets: one file each in a folder, as a mounted Kubernetes Secret has them. Read at every call, so that a rotated one counts at once.
//!
//! What a call has used is taken out of whatever it tells afterwards: a service that echoes a token gives back its name.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use routing::secret::{Part, SecretMark, placeholder};
use serde_json::Value;

/// Bytes of a secret at most.
const LARGEST: u64 = 64 << 10;
/// Characters below which a value is not searched for: too many texts would hold it by chance.
const SHORTEST: usize = 4;

/// The secrets that one call has used.
#[derive(Default)]
pub(super) struct Used {
    /// What must not be seen, and what is shown for it.
    values: Vec<(String, String)>,
}

/// Puts the secrets in where their marks are.
///
/// # Errors
/// A secret is not there; its name, and what to do.
pub(super) async fn fill(folder: Option<&Path>, mark: SecretMark, inputs: &mut Value) -> Result<Used, String> {
    let mut used = Used::default();
    let mut names = Vec::new();
    collect(mark, inputs, &mut names);
    for name in names {
        let value = read(folder, &name).await?;
        used.add(&value, placeholder(&name));
    }
    replace(mark, inputs, &|name| used.value(name));
    Ok(used)
}

/// The inputs as the model writes them.
pub(super) fn shown(mark: SecretMark, inputs: &Value) -> Value {
    let mut shown = inputs.clone();
    replace(mark, &mut shown, &|name| placeholder(name));
    shown
}

async fn read(folder: Option<&Path>, name: &str) -> Result<String, String> {
    let usable = name.chars().all(|it| it.is_ascii_alphanumeric() || "_-.".contains(it)) && !name.starts_with('.');
    let Some(folder) = folder.filter(|_| usable && !name.is_empty()) else {
        return Err(format!("secret {name} is not there: the sidecar of the connectors has no --secrets folder"));
    };
    let path = folder.join(name);
    let missing = |why: String| {
        format!("secret {name} cannot be read: {why}; put it into a file of that name in the folder of --secrets")
    };
    let about = tokio::fs::metadata(&path).await.map_err(|error| missing(error.to_string()))?;
    if !about.is_file() || about.len() > LARGEST {
        return Err(missing(format!("it is no file of at most {LARGEST} bytes")));
    }
    let text = tokio::fs::read_to_string(&path).await.map_err(|error| missing(error.to_string()))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn collect(mark: SecretMark, value: &Value, names: &mut Vec<String>) {
    walk(value, &mut |text| {
        for part in mark.parts(text) {
            if let Part::Secret(name) = part
                && !names.iter().any(|known| known == name)
            {
                names.push(name.to_owned());
            }
        }
    });
}

fn walk(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|it| walk(it, see)),
        Value::Object(entries) => entries.iter().for_each(|(key, it)| {
            see(key);
            walk(it, see);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn replace(mark: SecretMark, value: &mut Value, with: &impl Fn(&str) -> String) {
    rewrite(value, &|text| {
        let parts = mark.parts(text);
        let marked = parts.iter().any(|it| matches!(it, Part::Secret(_)));
        let whole = parts.iter().map(|part| match part {
            Part::Text(text) => (*text).to_owned(),
            Part::Secret(name) => with(name),
        });
        marked.then(|| whole.collect())
    });
}

/// Replaces texts, keys included, for which `new` has another.
fn rewrite(value: &mut Value, new: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => {
            if let Some(new) = new(text) {
                *text = new;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|it| rewrite(it, new)),
        Value::Object(entries) => {
            if entries.keys().any(|key| new(key).is_some()) {
                let taken = std::mem::take(entries);
                entries.extend(taken.into_iter().map(|(key, it)| (new(&key).unwrap_or(key), it)));
            }
            entries.values_mut().for_each(|it| rewrite(it, new));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Used {
    /// From now on `value` is not told.
    pub(super) fn add(&mut self, value: &str, shown: String) {
        self.values.push((value.to_owned(), shown));
    }

    /// The same for both parts of a basic authentication as they are sent.
    pub(super) fn add_basic(&mut self, user: &str, password: &str) {
        if !self.values.is_empty() {
            self.add(&STANDARD.encode(format!("{user}:{password}")), "(credentials)".to_owned());
        }
    }

    fn value(&self, name: &str) -> String {
        let shown = placeholder(name);
        self.values.iter().find(|(_, it)| *it == shown).map(|(value, _)| value.clone()).unwrap_or_default()
    }

    /// A text without secrets.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (value, shown) in &self.values {
            if value.chars().count() >= SHORTEST && text.contains(value.as_str()) {
                text = text.replace(value.as_str(), shown);
            }
        }
        text
    }

    /// A response without secrets.
    pub(super) fn redact_value(&self, value: &mut Value) {
        if !self.values.is_empty() {
            rewrite(value, &|text| {
                let redacted = self.redact(text);
                (redacted != text).then_some(redacted)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn marks_become_secrets_and_other_text_stays() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("KEY"), "tip-top\n").unwrap();
        let (mark, foreign) = (SecretMark::new(1), SecretMark::new(2));
        let payload = format!("{{{{secrets.KEY}}}} secrets.KEY {}", foreign.of("KEY"));
        let mut inputs = json!({"a": format!("Bearer {}", mark.of("KEY")), "b": [payload], mark.of("KEY"): 1});
        assert_eq!(shown(mark, &inputs)["a"], "Bearer {{secrets.KEY}}");
        let used = fill(Some(folder.path()), mark, &mut inputs).await.unwrap();
        assert_eq!(inputs, json!({"a": "Bearer tip-top", "b": [payload], "tip-top": 1}));
        let mut response = json!({"echo": "Bearer tip-top", "tip-top": ["x"]});
        used.redact_value(&mut response);
        assert_eq!(response, json!({"echo": "Bearer {{secrets.KEY}}", "{{secrets.KEY}}": ["x"]}));
    }

    #[tokio::test]
    async fn a_missing_secret_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mark = SecretMark::new(1);
        for name in ["NONE", "..", "a/b"] {
            let mut inputs = json!(mark.of(name));
            let why = fill(Some(folder.path()), mark, &mut inputs).await.err().unwrap();
            assert!(why.contains(name) && why.contains("--secrets"), "{why}");
        }
        let why = fill(None, mark, &mut json!(mark.of("KEY"))).await.err().unwrap();
        assert!(why.contains("secret KEY"), "{why}");
    }
}
