//! A model while it is imported: its tags, what is to be replaced, what there is to tell.

use std::ops::Range;

use super::tags::{self, Attribute, Tag};
use super::{Line, Outcome};
use crate::model::Namespace;

/// See the module's documentation.
pub(super) struct Draft<'s> {
    source: &'s str,
    pub(super) tags: Vec<Tag>,
    edits: Vec<(Range<usize>, String)>,
    pub(super) lines: Vec<Line>,
}

impl<'s> Draft<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        Self { source, tags: tags::read(source), edits: Vec::new(), lines: Vec::new() }
    }

    pub(super) fn text(&self, range: &Range<usize>) -> &'s str {
        &self.source[range.clone()]
    }

    /// Replaces a part of the file; parts never overlap, and line breaks in them stay where they are.
    pub(super) fn replace(&mut self, range: Range<usize>, text: impl Into<String>) {
        let mut text = text.into();
        let (before, after) = (self.text(&range).matches('\n').count(), text.matches('\n').count());
        text.extend(std::iter::repeat_n('\n', before.saturating_sub(after)));
        self.edits.push((range, text));
    }

    /// Replaces the value of an attribute by a text.
    pub(super) fn set(&mut self, attribute: &Range<usize>, text: &str) {
        self.replace(attribute.clone(), quick_xml::escape::escape(text).into_owned());
    }

    /// The file with its edits.
    pub(super) fn written(&mut self) -> String {
        self.edits.sort_by_key(|it| it.0.start);
        let (mut text, mut at) = (String::with_capacity(self.source.len()), 0);
        for (range, replacement) in &self.edits {
            if range.start < at {
                continue;
            }
            text.push_str(&self.source[at..range.start]);
            text.push_str(replacement);
            at = range.end;
        }
        text.push_str(&self.source[at..]);
        text
    }

    /// The element that the tag belongs to: itself, or what it is a detail of.
    pub(super) fn owner(&self, index: usize) -> usize {
        let mut at = index;
        while !is_owner(&self.tags[at]) {
            match self.tags[at].parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        at
    }

    /// Tells of a detail of the tag `index` that stands at byte `at`.
    pub(super) fn tell(
        &mut self,
        index: usize,
        at: usize,
        outcome: Outcome,
        what: impl Into<String>,
        message: impl Into<String>,
        help: &str,
    ) {
        let owner = &self.tags[self.owner(index)];
        let line = Line {
            element: owner.plain("id").unwrap_or_default().to_owned(),
            kind: owner.name.clone(),
            line: self.line_at(at),
            outcome,
            what: what.into(),
            message: message.into(),
            help: help.to_owned(),
        };
        self.lines.push(line);
    }

    /// The line of the first thing at or behind byte `at` that is no white space.
    fn line_at(&self, at: usize) -> u32 {
        let rest = &self.source[at..];
        let at = at + (rest.len() - rest.trim_start().len());
        u32::try_from(self.source[..at].matches('\n').count() + 1).unwrap_or(u32::MAX)
    }

    /// Whether something of this outcome is told of this place.
    pub(super) fn tells(&self, element: &str, line: u32, outcome: Outcome) -> bool {
        self.lines.iter().any(|it| it.element == element && it.line == line && it.outcome == outcome)
    }

    pub(super) fn kind_of(&self, id: &str) -> String {
        let found = self.tags.iter().find(|it| it.namespace == Namespace::Bpmn && it.plain("id") == Some(id));
        found.map_or_else(String::new, |it| it.name.clone())
    }

    /// What is told, in the order of the file, with a line for every element of which there is nothing to tell.
    pub(super) fn finish(mut self) -> Vec<Line> {
        for index in 0..self.tags.len() {
            let tag = &self.tags[index];
            let Some(id) = tag.plain("id") else { continue };
            let drawn = is_owner(tag) && !["definitions", "collaboration", "participant"].contains(&tag.name.as_str());
            if drawn && !self.lines.iter().any(|it| it.element == id) {
                let at = tag.whole.start;
                self.tell(index, at, Outcome::Same, "", "as drawn", "");
            }
        }
        self.lines.sort_by_key(|it| (it.line, it.outcome));
        self.lines
    }
}

/// Elements that people know by their ids.
fn is_owner(tag: &Tag) -> bool {
    const NAMES: [&str; 14] = [
        "definitions",
        "collaboration",
        "participant",
        "process",
        "task",
        "subProcess",
        "transaction",
        "adHocSubProcess",
        "callActivity",
        "sequenceFlow",
        "message",
        "signal",
        "error",
        "escalation",
    ];
    let name = tag.name.as_str();
    tag.namespace == Namespace::Bpmn
        && (NAMES.contains(&name) || ["Task", "Event", "Gateway"].iter().any(|it| name.ends_with(it)))
}

/// `prefix:name` as it stands in the file.
pub(super) fn written_name(attribute: &Attribute) -> String {
    format!("{}{}", attribute.prefix, attribute.name)
}
