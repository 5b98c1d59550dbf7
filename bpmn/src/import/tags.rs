//! The tags of a file with their places, so that parts of it can be replaced.
//!
//! Only for files that [`parse`](crate::parse()) has accepted: well-formed, within the limits, without a DOCTYPE.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::model::Namespace;

/// An attribute; ranges are bytes of the file.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) namespace: Namespace,
    /// With its colon; empty if there is none.
    pub(super) prefix: String,
    pub(super) name: String,
    /// As it is meant, not as it is written.
    pub(super) value: String,
    /// The value as it is written, without the quotes.
    pub(super) at: Range<usize>,
    /// All of it, with the white space before it.
    pub(super) whole: Range<usize>,
}

/// An element; ranges are bytes of the file.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) namespace: Namespace,
    pub(super) name: String,
    pub(super) parent: Option<usize>,
    pub(super) attributes: Vec<Attribute>,
    /// From the `<` of its start to the `>` of its end.
    pub(super) whole: Range<usize>,
    /// What stands between start and end.
    pub(super) inner: Range<usize>,
    /// Whether elements stand in it.
    pub(super) leaf: bool,
}

impl Tag {
    /// The attribute `name` without a namespace.
    pub(super) fn plain(&self, name: &str) -> Option<&str> {
        self.of(&Namespace::None, name).map(|it| it.value.as_str())
    }

    pub(super) fn of(&self, namespace: &Namespace, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|it| it.namespace == *namespace && it.name == name)
    }

    pub(super) fn is_bpmn(&self, name: &str) -> bool {
        self.namespace == Namespace::Bpmn && self.name == name
    }
}

/// Reads all tags, parents before children. An attribute or element of an undeclared prefix is in no namespace.
pub(super) fn read(source: &str) -> Vec<Tag> {
    let mut reader = Reader::from_str(source);
    let mut tags: Vec<Tag> = Vec::new();
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut scope: Vec<(String, Namespace)> = Vec::new();
    let place = |reader: &Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap_or(source.len());
    loop {
        let start = place(&reader);
        let event = reader.read_event();
        let end = place(&reader);
        match event {
            Ok(event @ (Event::Start(_) | Event::Empty(_))) => {
                let declared = scope.len();
                let parent = open.last().map(|it| it.0);
                if let Some(parent) = parent {
                    tags[parent].leaf = false;
                }
                tags.push(tag(source, start..end, parent, &mut scope));
                if matches!(event, Event::Empty(_)) {
                    scope.truncate(declared);
                } else {
                    open.push((tags.len() - 1, declared));
                }
            }
            Ok(Event::End(_)) => {
                if let Some((index, declared)) = open.pop() {
                    tags[index].inner.end = start;
                    tags[index].whole.end = end;
                    scope.truncate(declared);
                }
            }
            Ok(Event::Eof) | Err(_) => return tags,
            Ok(_) => {}
        }
    }
}

fn tag(source: &str, whole: Range<usize>, parent: Option<usize>, scope: &mut Vec<(String, Namespace)>) -> Tag {
    let text = &source[whole.clone()];
    let name_end = text.find(|it: char| it.is_ascii_whitespace() || it == '>' || it == '/').unwrap_or(text.len());
    let full = text[1..name_end].to_owned();
    let mut attributes = attributes(source, whole.start + name_end, whole.end);
    for attribute in &attributes {
        let prefix = match (attribute.prefix.as_str(), attribute.name.as_str()) {
            ("", "xmlns") => "",
            ("xmlns:", name) => name,
            _ => continue,
        };
        scope.push((prefix.to_owned(), Namespace::of(&attribute.value)));
    }
    let find = |prefix: &str| {
        let found = scope.iter().rev().find(|it| it.0 == prefix);
        found.map_or(Namespace::None, |it| it.1.clone())
    };
    for attribute in attributes.iter_mut().filter(|it| !it.prefix.is_empty()) {
        attribute.namespace = find(attribute.prefix.trim_end_matches(':'));
    }
    let (prefix, name) = full.split_once(':').unwrap_or(("", &full));
    let inner = whole.end..whole.end;
    Tag { namespace: find(prefix), name: name.to_owned(), parent, attributes, whole, inner, leaf: true }
}

/// The attributes that stand between the bytes `from` and `to`.
fn attributes(source: &str, from: usize, to: usize) -> Vec<Attribute> {
    let mut list = Vec::new();
    let mut at = from;
    while let Some(equals) = source[at..to].find('=').map(|it| at + it) {
        let key = source[at..equals].trim();
        let Some(quote) = source[equals..to].find(['"', '\'']).map(|it| equals + it) else { break };
        let mark = if source.as_bytes()[quote] == b'"' { '"' } else { '\'' };
        let Some(end) = source[quote + 1..to].find(mark).map(|it| quote + 1 + it) else { break };
        let (prefix, name) = match key.split_once(':') {
            Some((prefix, name)) => (format!("{prefix}:"), name),
            None => (String::new(), key),
        };
        let raw = &source[quote + 1..end];
        list.push(Attribute {
            namespace: Namespace::None,
            prefix,
            name: name.to_owned(),
            value: quick_xml::escape::unescape(raw).map_or_else(|_| raw.to_owned(), |it| it.into_owned()),
            at: quote + 1..end,
            whole: at..end + 1,
        });
        at = end + 1;
    }
    list
}
