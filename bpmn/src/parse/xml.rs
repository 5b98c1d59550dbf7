//! XML events to the [`Tree`], within [`Limits`].

use quick_xml::NsReader;
use quick_xml::errors::{IllFormedError, SyntaxError};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{NamespaceError, NamespaceResolver, PrefixDeclaration, ResolveResult};

use super::Limits;
use super::tree::{Node, Tree};
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Attribute, Namespace, Position, Text};

type Refused = Box<Diagnostic>;

/// Reads the whole document.
pub(super) fn read(xml: &str, limits: Limits) -> Result<Tree, Refused> {
    let mut reader = NsReader::from_str(xml);
    let mut state = Reading::new(xml, limits);
    loop {
        let start = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        state.cursor.move_to(start);
        let event = match reader.read_event() {
            Ok(event) => event,
            Err(error) => {
                let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
                state.cursor.move_to(at);
                return Err(state.unreadable(&error));
            }
        };
        match event {
            Event::Start(start) => {
                state.open(&start, reader.resolver())?;
            }
            Event::Empty(start) => {
                state.open(&start, reader.resolver())?;
                state.close();
            }
            Event::End(_) => state.close(),
            Event::Text(text) => state.text(&text.xml10_content())?,
            Event::CData(text) => {
                state.cursor.move_to(start + "<![CDATA[".len());
                state.text(&text.xml10_content())?;
            }
            Event::GeneralRef(reference) => state.reference(&reference)?,
            Event::DocType(_) => return Err(state.refuse(Rule::Doctype, "the file has a DOCTYPE")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => return state.finish(),
        }
    }
}

/// Where reading stands: the elements so far and those still open.
struct Reading<'a> {
    cursor: Cursor<'a>,
    limits: Limits,
    nodes: Vec<Node>,
    open: Vec<usize>,
    /// Elements seen, drawings included.
    seen: usize,
    /// Depth within a drawing, which is counted and not kept.
    drawing: usize,
    namespaces: Vec<(String, Namespace)>,
}

impl<'a> Reading<'a> {
    fn new(xml: &'a str, limits: Limits) -> Self {
        Self {
            cursor: Cursor::new(xml),
            limits,
            nodes: Vec::new(),
            open: Vec::new(),
            seen: 0,
            drawing: 0,
            namespaces: Vec::new(),
        }
    }

    fn open(&mut self, start: &BytesStart, resolver: &NamespaceResolver) -> Result<(), Refused> {
        self.seen += 1;
        if self.seen > self.limits.elements {
            let limit = self.limits.elements;
            return Err(self.refuse(Rule::TooManyElements, format!("the file has more than {limit} elements")));
        }
        if self.open.len() + self.drawing >= self.limits.depth {
            let limit = self.limits.depth;
            return Err(self.refuse(Rule::TooDeep, format!("elements are nested more than {limit} deep")));
        }
        if self.open.is_empty() && !self.nodes.is_empty() {
            return Err(self.refuse(Rule::NotXml, "there is a second root element"));
        }
        let (namespace, local) = resolver.resolve_element(start.name());
        let namespace = self.namespace(&namespace)?;
        if self.drawing > 0 || (namespace == Namespace::Diagram && !self.open.is_empty()) {
            self.attributes(start, resolver)?;
            self.drawing += 1;
            return Ok(());
        }
        let node = Node {
            namespace,
            name: local.as_ref().to_owned(),
            attributes: self.attributes(start, resolver)?,
            text: Text::default(),
            parent: self.open.last().copied().unwrap_or(0),
            end: 0,
            position: self.cursor.position,
        };
        self.open.push(self.nodes.len());
        self.nodes.push(node);
        Ok(())
    }

    fn attributes(&mut self, start: &BytesStart, resolver: &NamespaceResolver) -> Result<Vec<Attribute>, Refused> {
        let mut list = Vec::new();
        for (count, attribute) in start.attributes().enumerate() {
            if count >= self.limits.attributes {
                let limit = self.limits.attributes;
                return Err(
                    self.refuse(Rule::TooManyAttributes, format!("an element has more than {limit} attributes"))
                );
            }
            let attribute = attribute.map_err(|error| self.refuse(Rule::NotXml, error.to_string()))?;
            if is_declaration(attribute.key.as_namespace_binding()) {
                continue;
            }
            let value = attribute
                .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                .map_err(|error| self.unreadable(&error))?
                .into_owned();
            let (namespace, local) = resolver.resolve_attribute(attribute.key);
            list.push(Attribute { namespace: self.namespace(&namespace)?, name: local.as_ref().to_owned(), value });
        }
        Ok(list)
    }

    /// The known namespace, each URI looked up once.
    fn namespace(&mut self, resolved: &ResolveResult) -> Result<Namespace, Refused> {
        let uri = match resolved {
            ResolveResult::Unbound => return Ok(Namespace::None),
            ResolveResult::Bound(namespace) => namespace.as_ref(),
            ResolveResult::Unknown(prefix) => {
                let message = format!("the namespace prefix `{prefix}` is not declared");
                return Err(self.refuse(Rule::NotXml, message));
            }
        };
        if let Some((_, known)) = self.namespaces.iter().find(|(it, _)| it == uri) {
            return Ok(known.clone());
        }
        let namespace = Namespace::of(uri);
        self.namespaces.push((uri.to_owned(), namespace.clone()));
        Ok(namespace)
    }

    fn close(&mut self) {
        if self.drawing > 0 {
            self.drawing -= 1;
        } else if let Some(at) = self.open.pop() {
            self.nodes[at].end = self.nodes.len();
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Refused> {
        match self.open.last() {
            Some(at) if self.drawing == 0 => {
                self.nodes[*at].text.push(text, self.cursor.position);
                Ok(())
            }
            Some(_) => Ok(()),
            None if text.trim().is_empty() => Ok(()),
            None => Err(self.refuse(Rule::NotXml, "there is text outside of the root element")),
        }
    }

    fn reference(&mut self, reference: &BytesRef) -> Result<(), Refused> {
        let resolved = match reference.resolve_char_ref() {
            Ok(Some(character)) => Some(character),
            Ok(None) => match reference.as_ref() {
                "amp" => Some('&'),
                "lt" => Some('<'),
                "gt" => Some('>'),
                "quot" => Some('"'),
                "apos" => Some('\''),
                _ => None,
            },
            Err(error) => return Err(self.refuse(Rule::NotXml, error.to_string())),
        };
        match resolved {
            Some(character) => self.text(character.encode_utf8(&mut [0; 4])),
            None => {
                let message = format!("the entity `&{};` is not defined", shorten(reference));
                Err(self.refuse(Rule::UnknownEntity, message))
            }
        }
    }

    fn finish(self) -> Result<Tree, Refused> {
        if let Some(at) = self.open.last() {
            let message = format!(
                "the file ends while `{}` of line {} is still open",
                shorten(&self.nodes[*at].name),
                self.nodes[*at].position.line
            );
            return Err(self.refuse(Rule::Truncated, message));
        }
        if self.nodes.is_empty() {
            return Err(self.refuse(Rule::NotXml, "the file holds no XML element"));
        }
        Ok(Tree { nodes: self.nodes })
    }

    fn refuse(&self, rule: Rule, message: impl Into<String>) -> Refused {
        Box::new(Diagnostic::error(rule, self.cursor.position, message))
    }

    fn unreadable(&self, error: &quick_xml::Error) -> Refused {
        use quick_xml::Error as E;
        match error {
            E::Syntax(SyntaxError::UnclosedDoctype) | E::IllFormed(IllFormedError::MissingDoctypeName) => {
                self.refuse(Rule::Doctype, "the file has a DOCTYPE")
            }
            E::Syntax(SyntaxError::InvalidBangMarkup) => {
                self.refuse(Rule::NotXml, "`<!` starts neither a comment nor CDATA")
            }
            E::Syntax(_) => {
                let message = format!("the file ends inside of an element: {error}");
                self.refuse(Rule::Truncated, message)
            }
            E::Namespace(NamespaceError::TooManyBindings(_)) => self.refuse(Rule::TooManyAttributes, error.to_string()),
            E::Escape(quick_xml::escape::EscapeError::UnrecognizedEntity(_, name)) => {
                let message = format!("the entity `&{};` is not defined", shorten(name));
                self.refuse(Rule::UnknownEntity, message)
            }
            _ => self.refuse(Rule::NotXml, shorten(&error.to_string())),
        }
    }
}

fn is_declaration(binding: Option<PrefixDeclaration>) -> bool {
    binding.is_some()
}

/// At most 200 characters: names in broken files can be as long as the file.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// Line and column of a byte offset that only grows: linear over the whole file.
struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
    position: Position,
}

impl<'a> Cursor<'a> {
    fn new(xml: &'a str) -> Self {
        Self { bytes: xml.as_bytes(), offset: 0, position: Position { line: 1, column: 1 } }
    }

    fn move_to(&mut self, offset: usize) {
        let end = offset.min(self.bytes.len());
        for byte in self.bytes.get(self.offset..end).unwrap_or_default() {
            if *byte == b'\n' {
                self.position.line += 1;
                self.position.column = 1;
            } else if byte & 0xc0 != 0x80 {
                self.position.column += 1;
            }
        }
        self.offset = self.offset.max(end);
    }
}
