//! What every element has: a name in a namespace, attributes, text with its place in the file.
//!
//! [`Element`] is the generic form in which everything is kept that has no type of its own.

use std::sync::Arc;

/// A place in the file: line and column count from 1, columns in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1; 0 if there is no place to name.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// The namespaces the compiler knows; whatever prefix a file gives them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// BPMN 2.0.
    Bpmn,
    /// BPMN DI, DD and DC: drawings, never kept.
    Diagram,
    /// Camunda 8.
    Zeebe,
    /// Camunda 7.
    Camunda,
    /// XML Schema instance (`xsi:type`).
    SchemaInstance,
    /// No namespace.
    None,
    /// Any other, by its URI.
    Other(Arc<str>),
}

impl Namespace {
    pub(crate) fn of(uri: &str) -> Self {
        match uri {
            "" => Self::None,
            "http://www.omg.org/spec/BPMN/20100524/MODEL" => Self::Bpmn,
            "http://www.omg.org/spec/BPMN/20100524/DI"
            | "http://www.omg.org/spec/DD/20100524/DI"
            | "http://www.omg.org/spec/DD/20100524/DC" => Self::Diagram,
            "http://camunda.org/schema/zeebe/1.0" => Self::Zeebe,
            "http://camunda.org/schema/1.0/bpmn" => Self::Camunda,
            "http://www.w3.org/2001/XMLSchema-instance" => Self::SchemaInstance,
            other => Self::Other(Arc::from(other)),
        }
    }

    /// A stable name for messages and hashes, independent of the prefix in the file.
    pub fn label(&self) -> &str {
        match self {
            Self::Bpmn => "bpmn",
            Self::Diagram => "bpmndi",
            Self::Zeebe => "zeebe",
            Self::Camunda => "camunda",
            Self::SchemaInstance => "xsi",
            Self::None => "",
            Self::Other(uri) => uri,
        }
    }
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The namespace; [`Namespace::None`] for attributes without a prefix.
    pub namespace: Namespace,
    /// The local name.
    pub name: String,
    /// The value, entities resolved and white space normalised.
    pub value: String,
}

/// Text of an element, with the place of each piece (entities and CDATA split a text).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The text itself, untrimmed but for leading white space.
    pub value: String,
    pieces: Vec<(u32, Position)>,
}

impl Text {
    /// Appends a piece that starts at `position`. Leading white space before any other text is
    /// dropped, which moves the position along.
    pub(crate) fn push(&mut self, piece: &str, position: Position) {
        let (piece, position) = if self.value.is_empty() {
            let rest = piece.trim_start();
            (rest, advance(position, &piece[..piece.len() - rest.len()]))
        } else {
            (piece, position)
        };
        if !piece.is_empty() {
            let at = u32::try_from(self.value.len()).unwrap_or(u32::MAX);
            self.pieces.push((at, position));
            self.value.push_str(piece);
        }
    }

    /// The text without surrounding white space.
    pub fn trimmed(&self) -> &str {
        self.value.trim()
    }

    /// Where the byte at `offset` of [`Text::value`] stands in the file; `None` if empty.
    pub fn position_of(&self, offset: usize) -> Option<Position> {
        let offset = (0..=offset.min(self.value.len())).rev().find(|at| self.value.is_char_boundary(*at))?;
        let (at, position) = self.pieces.iter().rev().find(|(at, _)| *at as usize <= offset)?;
        Some(advance(*position, &self.value[*at as usize..offset]))
    }
}

/// The position after `text`, which starts at `from`.
pub(crate) fn advance(from: Position, text: &str) -> Position {
    let mut position = from;
    for character in text.chars() {
        if character == '\n' {
            position.line += 1;
            position.column = 1;
        } else {
            position.column += 1;
        }
    }
    position
}

/// An element kept as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its local name.
    pub name: String,
    /// Its attributes, without namespace declarations.
    pub attributes: Vec<Attribute>,
    /// Its text.
    pub text: Text,
    /// Its children in document order.
    pub children: Vec<Element>,
    /// Where it starts.
    pub position: Position,
}

impl Element {
    /// The value of the attribute `name` without a namespace.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|it| it.namespace == Namespace::None && it.name == name).map(|it| it.value.as_str())
    }

    /// The children in `namespace` called `name`.
    pub fn children_named<'a>(&'a self, namespace: &'a Namespace, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |it| it.namespace == *namespace && it.name == name)
    }

    /// `prefix:name` with this project's usual prefix, for messages.
    pub fn qualified(&self) -> String {
        match &self.namespace {
            Namespace::None => self.name.clone(),
            known => format!("{}:{}", known.label(), self.name),
        }
    }
}
