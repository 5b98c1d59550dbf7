//! JSON values on their way out: payloads, and YAML.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::{Number, Value, json};

use crate::payload::is_json;

/// A payload as scripts get it: the JSON value itself, or `{"base64": …}` for another content type.
/// Bytes that claim to be JSON and are not are given as base64 too; no bytes at all are null.
pub(crate) fn payload(bytes: &[u8], content_type: &str) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    let parsed = if is_json(content_type) { serde_json::from_slice(bytes).ok() } else { None };
    parsed.unwrap_or_else(|| json!({ "base64": BASE64.encode(bytes) }))
}

/// A payload as the original gives it: its bytes as a string, base64 if they are not text.
pub(crate) fn original(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => BASE64.encode(bytes),
    }
}

/// A value as YAML.
pub(crate) fn yaml(value: &Value) -> anyhow::Result<String> {
    let mut text = serde_saphyr::to_string(&Plain(value))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// A JSON value that serialises its numbers as numbers; `serde_json` in arbitrary precision has a private
/// form for them that only its own serialiser understands.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(flag) => serializer.serialize_bool(*flag),
            Value::Number(number) => serialize_number(number, serializer),
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    sequence.serialize_element(&Plain(item))?;
                }
                sequence.end()
            }
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, member) in members {
                    map.serialize_entry(key, &Plain(member))?;
                }
                map.end()
            }
        }
    }
}

/// Digits that every double keeps.
const EXACT_DIGITS: usize = 15;

/// Whole numbers as they are; decimals as doubles if those keep every digit, else as a string of their digits.
fn serialize_number<S: Serializer>(number: &Number, serializer: S) -> Result<S::Ok, S::Error> {
    if let Some(whole) = number.as_i64() {
        return serializer.serialize_i64(whole);
    }
    if let Some(whole) = number.as_u64() {
        return serializer.serialize_u64(whole);
    }
    let digits = number.to_string();
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    let exact = mantissa.bytes().filter(u8::is_ascii_digit).count() <= EXACT_DIGITS;
    match number.as_f64().filter(|double| exact && double.is_finite()) {
        Some(double) => serializer.serialize_f64(double),
        None => serializer.serialize_str(&digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_shown_as_itself_and_anything_else_as_base64() {
        assert_eq!(payload(br#"{"x": 5}"#, "application/json"), json!({"x": 5}));
        assert_eq!(payload(b"hi", "text/plain"), json!({"base64": "aGk="}));
        assert_eq!(payload(b"{", "application/json"), json!({"base64": "ew=="}));
        assert_eq!(payload(b"", "application/json"), Value::Null);
    }

    #[test]
    fn yaml_keeps_numbers_and_quotes_what_only_looks_like_one() {
        let value = json!({"id": "5", "n": 5, "x": 2.50, "list": [true, null], "none": {}});
        insta::assert_snapshot!(yaml(&value).unwrap(), @r#"
        id: "5"
        "n": 5
        x: 2.5
        list:
        - true
        - null
        none: {}
        "#);
    }

    #[test]
    fn yaml_keeps_every_digit() {
        let value: Value = serde_json::from_str("[123456789012345678901234567890, 0.12345678901234567890]").unwrap();
        insta::assert_snapshot!(yaml(&value).unwrap(), @r#"
        - "123456789012345678901234567890"
        - "0.12345678901234567890"
        "#);
    }
}
