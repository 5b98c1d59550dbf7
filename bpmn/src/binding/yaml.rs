//! YAML of one annotation to JSON values, within limits, with the place of every key.

use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Position, Text};

/// Bytes of one annotation; the original's flowctl puts forms into them.
const LONGEST: usize = 64 << 10;

/// The text of one annotation and whom its findings name.
pub(super) struct Source<'a> {
    text: &'a Text,
    position: Position,
    element: Option<&'a str>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a Text, position: Position, element: Option<&'a str>) -> Self {
        Self { text, position, element }
    }

    /// The mapping below the annotation's one key `root`.
    pub(super) fn parse(&self, root: &str) -> Result<Map<String, Value>, Diagnostic> {
        let text = self.text.value.replace('\u{a0}', "");
        if text.len() > LONGEST {
            let message = format!("the annotation is longer than {LONGEST} bytes");
            return Err(self.syntax(self.position, message));
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_events: 20_000,
                max_depth: 16,
                max_aliases: 0,
                max_anchors: 0,
            },
            strict_booleans: true,
        };
        let document: Value = serde_saphyr::from_str_with_options(&text, options)
            .map_err(|error| self.syntax(self.locate(&error), reason(&error)))?;
        let Value::Object(mut document) = document else {
            return Err(self.syntax(self.position, "the annotation is not a mapping".to_owned()));
        };
        let body = document.remove(root).unwrap_or(Value::Null);
        if let Some(other) = document.keys().next() {
            let message = format!("`{other}` stands beside `{root}`; keys belong below it, indented");
            return Err(self.syntax(self.key(other), message));
        }
        match body {
            Value::Object(body) => Ok(body),
            Value::Null => Ok(Map::new()),
            _ => Err(self.value(root, "must be a mapping of keys to values")),
        }
    }

    /// Where `key` stands, else the annotation itself.
    pub(super) fn key(&self, key: &str) -> Position {
        let text = &self.text.value;
        let at = text.match_indices(key).map(|(at, _)| at).find(|at| {
            let before = text[..*at].chars().next_back();
            text[at + key.len()..].trim_start().starts_with(':')
                && before.is_none_or(|it| it.is_whitespace() || "{,'\"-".contains(it))
        });
        at.and_then(|at| self.text.position_of(at)).unwrap_or(self.position)
    }

    /// A finding about the value of `key`.
    pub(super) fn value(&self, key: &str, problem: impl std::fmt::Display) -> Diagnostic {
        self.name(Diagnostic::error(Rule::AnnotationValue, self.key(key), format!("annotation key `{key}`: {problem}")))
    }

    /// Any finding about `key`, named and placed.
    pub(super) fn finding(
        &self,
        make: fn(Rule, Position, String) -> Diagnostic,
        rule: Rule,
        key: &str,
        message: String,
    ) -> Diagnostic {
        self.name(make(rule, self.key(key), message))
    }

    fn syntax(&self, position: Position, message: String) -> Diagnostic {
        self.name(Diagnostic::error(Rule::AnnotationSyntax, position, message))
    }

    fn name(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self.element {
            Some(element) => diagnostic.on(element),
            None => diagnostic,
        }
    }

    fn locate(&self, error: &serde_saphyr::Error) -> Position {
        let place = error.location().and_then(|it| {
            let line = usize::try_from(it.line()).ok()?.checked_sub(1)?;
            let column = usize::try_from(it.column()).ok()?.saturating_sub(1);
            let start: usize = self.text.value.split_inclusive('\n').take(line).map(str::len).sum();
            self.text.position_of(start + column)
        });
        place.unwrap_or(self.position)
    }
}

/// The parser's reason on one line, without the snippet it draws below.
fn reason(error: &serde_saphyr::Error) -> String {
    let full = error.to_string();
    let line = full.lines().next().unwrap_or_default();
    let line: String = line.chars().take(200).collect();
    format!("the annotation is not YAML: {line}")
}

/// Reads the keys of one mapping: every key is taken by name, and what is left is unknown.
pub(super) struct Keys<'s, 'a> {
    pub(super) source: &'s Source<'a>,
    map: Map<String, Value>,
    path: &'static str,
}

impl<'s, 'a> Keys<'s, 'a> {
    /// `path` is what stands before the keys in messages: "" or "service.".
    pub(super) fn new(source: &'s Source<'a>, map: Map<String, Value>, path: &'static str) -> Self {
        Self { source, map, path }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Removes and returns the raw value; `null` counts as absent.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|it| !it.is_null())
    }

    pub(super) fn string(&mut self, key: &str, out: &mut Vec<Diagnostic>) -> Option<String> {
        match self.take(key)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                out.push(self.source.value(key, "must be a text"));
                None
            }
        }
    }

    pub(super) fn flag(&mut self, key: &str, out: &mut Vec<Diagnostic>) -> Option<bool> {
        let value = self.take(key)?;
        let flag = match &value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Some(true),
                "false" | "no" | "off" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if flag.is_none() {
            out.push(self.source.value(key, "must be true or false"));
        }
        flag
    }

    /// A whole number within `range`.
    pub(super) fn integer(
        &mut self,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
        out: &mut Vec<Diagnostic>,
    ) -> Option<u64> {
        let value = self.take(key)?;
        let number = match &value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let fits = number.filter(|it| range.contains(it));
        if fits.is_none() {
            let (low, high) = (range.start(), range.end());
            let problem = format!("must be a whole number from {low} to {high}");
            out.push(self.source.value(key, problem));
        }
        fits
    }

    /// Seconds, fractions allowed, as milliseconds.
    pub(super) fn seconds(&mut self, key: &str, out: &mut Vec<Diagnostic>) -> Option<u64> {
        let value = self.take(key)?;
        let number = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let fits = number.filter(|it| (0.0..=31_536_000.0).contains(it));
        if fits.is_none() {
            out.push(self.source.value(key, "must be a number of seconds"));
        }
        fits.map(|it| (it * 1000.0).round() as u64)
    }

    /// The mapping below `key`.
    pub(super) fn mapping(&mut self, key: &str, path: &'static str, out: &mut Vec<Diagnostic>) -> Option<Keys<'s, 'a>> {
        match self.take(key)? {
            Value::Object(map) => Some(Keys::new(self.source, map, path)),
            _ => {
                let problem = "must be a mapping of keys to values";
                out.push(self.source.value(key, problem));
                None
            }
        }
    }

    /// Takes keys that are known and without effect here.
    pub(super) fn ignored(&mut self, keys: &[(&str, &str)], out: &mut Vec<Diagnostic>) {
        for (key, why) in keys {
            if self.take(key).is_some() {
                let message = format!("annotation key `{}{key}` has no effect: {why}", self.path);
                let rule = Rule::AnnotationIgnored;
                out.push(self.source.finding(Diagnostic::info, rule, key, message));
            }
        }
    }

    /// Takes keys that ask for what is not executable, each with what to do instead.
    pub(super) fn unsupported(&mut self, keys: &[(&str, &str)], out: &mut Vec<Diagnostic>) {
        for (key, instead) in keys {
            let asked = self.take(key).is_some_and(|it| it != Value::Bool(false));
            if asked {
                let message = format!("annotation key `{}{key}` is not executable: {instead}", self.path);
                let rule = Rule::AnnotationUnsupported;
                out.push(self.source.finding(Diagnostic::error, rule, key, message));
            }
        }
    }

    /// Names every key that is left.
    pub(super) fn finish(self, out: &mut Vec<Diagnostic>) {
        for key in self.map.keys() {
            let message = format!("annotation key `{}{key}` is unknown", self.path);
            let rule = Rule::AnnotationUnknownKey;
            out.push(self.source.finding(Diagnostic::warning, rule, key, message));
        }
    }
}
