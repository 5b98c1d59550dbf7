//! BPMN 2.0 XML to [`Definitions`].
//!
//! Reads untrusted bytes: everything is capped by [`Limits`], every DOCTYPE is refused, no entity
//! but the predefined ones is known, and nothing recurses by the depth of the input. Namespaces
//! decide, prefixes do not. What it promises: any well-formed BPMN 2.0 file becomes a model with a
//! place for every element; anything else becomes one diagnostic that says why it cannot be read.
//! It checks nothing about the process itself; that is `lint`.

mod canonical;
mod definitions;
mod events;
mod node;
mod process;
mod tree;
mod xml;

use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Definitions, Element, Namespace, Position};

/// What a file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub bytes: usize,
    /// Depth of nested XML elements.
    pub depth: usize,
    /// XML elements in all, drawings included.
    pub elements: usize,
    /// Attributes of one element.
    pub attributes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 8 << 20, depth: 64, elements: 250_000, attributes: 256 }
    }
}

/// Parses a BPMN file.
///
/// # Errors
/// One diagnostic: why the bytes are not a BPMN file, and where.
pub fn parse(xml: &[u8], limits: Limits) -> Result<Definitions, Box<Diagnostic>> {
    let tree = tree(xml, limits)?;
    let root = tree.node(0);
    if root.namespace != Namespace::Bpmn || root.name != "definitions" {
        return Err(Box::new(not_bpmn(root)));
    }
    Ok(definitions::build(&tree))
}

/// The root element of an XML file that stands beside a process, in generic form; within the same limits.
pub(crate) fn element(xml: &[u8], limits: Limits) -> Result<Element, Box<Diagnostic>> {
    tree(xml, limits).map(|it| it.element(0))
}

fn tree(xml: &[u8], limits: Limits) -> Result<tree::Tree, Box<Diagnostic>> {
    if xml.len() > limits.bytes {
        return Err(Box::new(Diagnostic::error(
            Rule::InputTooLarge,
            Position::default(),
            format!("the file has {} bytes, the limit is {}", xml.len(), limits.bytes),
        )));
    }
    xml::read(decode(xml)?, limits)
}

fn decode(xml: &[u8]) -> Result<&str, Box<Diagnostic>> {
    let bytes = xml.strip_prefix(b"\xef\xbb\xbf").unwrap_or(xml);
    let refuse = |message: String| {
        let at = Position { line: 1, column: 1 };
        Box::new(Diagnostic::error(Rule::InputEncoding, at, message))
    };
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(refuse("the file is UTF-16, not UTF-8".to_owned()));
    }
    std::str::from_utf8(bytes)
        .map_err(|error| refuse(format!("byte {} of the file is not UTF-8", error.valid_up_to() + 1)))
}

fn not_bpmn(root: &tree::Node) -> Diagnostic {
    let found = match &root.namespace {
        Namespace::None => format!("`{}` without a namespace", root.name),
        namespace => format!("`{}` in the namespace `{}`", root.name, namespace.label()),
    };
    let diagnostic = Diagnostic::error(
        Rule::NotBpmn,
        root.position,
        format!("the root element is {found}, not BPMN 2.0 `definitions`"),
    );
    match root.name.as_str() {
        "definitions" if root.attribute("namespace").is_some() => {
            diagnostic.help("this looks like a DMN file; apply it beside the process")
        }
        _ => diagnostic,
    }
}
