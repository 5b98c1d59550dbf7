//! Payloads and what concurrent branches wrote to them.
//!
//! A payload is opaque bytes with a content type; it is parsed as JSON only where a condition, a
//! mapping or a merge asks. [`Written`] remembers the keys written since each fork the token is inside
//! of, so that a join merges what its branches *changed* and never what they merely carried along.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Map, Value};

/// The content type of JSON payloads.
pub const JSON: &str = "application/json";

/// The forks that are remembered one by one; older ones are taken together.
const MAX_FRAMES: usize = 64;

/// A body and its content type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// Media type, with parameters; empty means unknown.
    pub content_type: String,
    /// The bytes, passed on as they came.
    pub body: Bytes,
}

impl Payload {
    /// A JSON payload.
    pub fn json(value: &Value) -> Self {
        Self { content_type: JSON.into(), body: value.to_string().into() }
    }

    /// True when the content type is JSON's, or none is given and the bytes may be.
    pub fn claims_json(&self) -> bool {
        let media = self.content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        media.is_empty() || media == JSON || media.ends_with("+json")
    }

    /// The payload as JSON; an empty body is an empty object. `None` when it is something else.
    pub fn to_json(&self) -> Option<Value> {
        if !self.claims_json() {
            return None;
        }
        if self.body.is_empty() {
            return Some(Value::Object(Map::new()));
        }
        serde_json::from_slice(&self.body).ok()
    }
}

/// What was written since each fork the token is inside of, innermost last. Without frames it is as if there were one
/// empty one: nothing is written, and the token is inside of no fork.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written(Vec<Frame>);

/// What was written between two forks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Keys set or removed.
    pub keys: BTreeSet<String>,
    /// The payload as a whole was replaced by something that is not an object.
    pub whole: bool,
}

impl Written {
    /// From frames, outermost first.
    pub fn from_frames(frames: Vec<Frame>) -> Self {
        if frames.len() == 1 && frames[0] == Frame::default() { Self::default() } else { Self(frames) }
    }

    /// The frames, outermost first.
    pub fn frames(&self) -> &[Frame] {
        &self.0
    }

    fn depth(&self) -> usize {
        self.0.len().max(1)
    }

    fn innermost(&mut self) -> &mut Frame {
        if self.0.is_empty() {
            self.0.push(Frame::default());
        }
        self.0.last_mut().expect("there is one now")
    }

    /// Notes that `key` was set or removed.
    pub fn key(&mut self, key: &str) {
        let top = self.innermost();
        if !top.keys.contains(key) {
            top.keys.insert(key.to_owned());
        }
    }

    /// Notes that the payload was replaced as a whole.
    pub fn whole(&mut self) {
        self.innermost().whole = true;
    }

    /// The same, inside one more fork.
    #[must_use]
    pub fn forked(&self) -> Self {
        let mut frames = self.0.clone();
        frames.resize(self.depth() + 1, Frame::default());
        if frames.len() > MAX_FRAMES {
            let oldest = frames.remove(0);
            frames[0].absorb(&oldest);
        }
        Self(frames)
    }

    /// Notes what an answer that replaces the payload changed: keys that are new, different or gone.
    pub fn replaced(&mut self, before: &Payload, after: &Payload) {
        match (before.to_json(), after.to_json()) {
            (Some(Value::Object(old)), Some(Value::Object(new))) => {
                new.iter().filter(|(k, v)| old.get(*k) != Some(v)).for_each(|(k, _)| self.key(k));
                old.keys().filter(|k| !new.contains_key(*k)).for_each(|k| self.key(k));
            }
            (_, Some(Value::Object(new))) => new.keys().for_each(|k| self.key(k)),
            _ => self.whole(),
        }
    }
}

impl Frame {
    fn absorb(&mut self, other: &Self) {
        self.keys.extend(other.keys.iter().cloned());
        self.whole |= other.whole;
    }
}

/// Merges branches, given in document order of their incoming flows: a later one wins per written
/// key; where one wrote a payload that is no object, the last such one in that order wins as a whole.
/// Independent of the order of arrival.
pub fn merge(branches: &[(&Payload, &Written)]) -> (Payload, Written) {
    let depth = branches.iter().map(|(_, w)| w.depth()).min().unwrap_or(1);
    let keep = depth.saturating_sub(1).max(1);
    let written = joined(branches, keep);
    let tops: Vec<Frame> = branches.iter().map(|(_, w)| top(w, keep, depth)).collect();
    if let [(only, _)] = branches {
        return ((*only).clone(), written);
    }
    if let Some(last) = tops.iter().rposition(|t| t.whole) {
        return (branches[last].0.clone(), written);
    }
    let objects: Option<Vec<Map<String, Value>>> = branches
        .iter()
        .map(|(p, _)| match p.to_json() {
            Some(Value::Object(map)) => Some(map),
            _ => None,
        })
        .collect();
    match objects {
        Some(objects) => (Payload::json(&Value::Object(overlay(objects, &tops))), written),
        // nobody wrote it, so all carry the same bytes; the last in document order stands for them
        None => (branches.last().map(|(p, _)| (*p).clone()).unwrap_or_default(), written),
    }
}

/// The frame on top of the kept ones: everything written since the innermost common fork.
fn top(written: &Written, keep: usize, depth: usize) -> Frame {
    let from = if depth == 1 { 0 } else { keep };
    let mut frame = Frame::default();
    written.0.iter().skip(from).for_each(|f| frame.absorb(f));
    frame
}

fn joined(branches: &[(&Payload, &Written)], keep: usize) -> Written {
    let mut frames = vec![Frame::default(); keep];
    for (_, written) in branches {
        for (i, frame) in written.0.iter().enumerate() {
            frames[i.min(keep - 1)].absorb(frame);
        }
    }
    Written::from_frames(frames)
}

fn overlay(objects: Vec<Map<String, Value>>, tops: &[Frame]) -> Map<String, Value> {
    let mut merged = Map::new();
    let mut removed = BTreeSet::new();
    for (object, top) in objects.into_iter().zip(tops) {
        for key in &top.keys {
            match object.get(key) {
                Some(value) => {
                    removed.remove(key);
                    merged.insert(key.clone(), value.clone());
                }
                None => {
                    merged.shift_remove(key);
                    removed.insert(key.clone());
                }
            }
        }
        for (key, value) in object {
            if !removed.contains(&key) && !merged.contains_key(&key) {
                merged.insert(key, value);
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests;
