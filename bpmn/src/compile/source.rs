//! What reading one process looks at, and how its texts become expressions.
//!
//! Reading is total: what cannot be read is reported and read as nothing, so that every finding of a file is told at once. Whoever compiles
//! what is reported does so in vain; [`super::check`] never does.

use std::cell::RefCell;

use routing::table::Template;

use super::mentions::Mentions;
use super::task::Names;
use super::{Options, decisions};
use crate::binding::Annotations;
use crate::diagnostic::{Diagnostic, Rule};
use crate::graph::Graph;
use crate::lint;
use crate::model::{Definitions, Element, Expression, FlowNode, Position};

/// See the module's documentation.
pub(crate) struct Source<'a> {
    pub(super) definitions: &'a Definitions,
    pub(super) graph: &'a Graph<'a>,
    pub(super) annotations: &'a Annotations,
    pub(super) options: &'a Options,
    pub(super) names: Names,
    /// The DMN files.
    pub(super) files: decisions::Files<'a>,
    /// What its expressions read and its elements set.
    pub(crate) mentions: Mentions,
    findings: RefCell<Vec<Diagnostic>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(
        definitions: &'a Definitions,
        graph: &'a Graph<'a>,
        annotations: &'a Annotations,
        options: &'a Options,
    ) -> Self {
        let names = Names::of(graph.process, annotations, None);
        let files = decisions::files(&options.decisions);
        Self {
            definitions,
            graph,
            annotations,
            options,
            names,
            files,
            mentions: Mentions::default(),
            findings: RefCell::default(),
        }
    }

    /// What has been found since the last call.
    pub(super) fn findings(&self) -> Vec<Diagnostic> {
        self.findings.take()
    }

    pub(super) fn node(&self, index: usize) -> &'a FlowNode {
        &self.graph.process.nodes[index]
    }

    pub(super) fn report(&self, finding: Diagnostic) {
        self.findings.borrow_mut().push(finding);
    }

    /// An error at a place of a node.
    pub(super) fn error(&self, node: &FlowNode, rule: Rule, position: Position, message: impl Into<String>) {
        self.report(Diagnostic::error(rule, position, message).on(node.id.as_str()));
    }

    /// The FEEL of an expression of the standard; a leading `=` is not part of it. Empty is reported, too.
    pub(super) fn feel(&self, node: &FlowNode, expression: &Expression) -> Option<String> {
        let text = match lint::language_of(self.definitions, &Annotations::default(), expression) {
            Ok((lint::Language::Feel, text)) => text.trim(),
            Ok((lint::Language::Python, _)) => {
                self.report(lint::refused(&node.id, "Python", expression));
                return None;
            }
            Err(language) => {
                self.report(lint::refused(&node.id, language, expression));
                return None;
            }
        };
        self.parses(node, expression.position_of(0), text).then(|| text.to_owned())
    }

    /// The same for an expression that is kept in generic form.
    pub(super) fn feel_in(&self, node: &FlowNode, element: &Element) -> Option<String> {
        self.feel(node, &expression(element))
    }

    /// A text that is FEEL whether or not it starts with `=`.
    pub(super) fn feel_text(&self, node: &FlowNode, position: Position, text: &str) -> Option<String> {
        let text = text.trim();
        if self.is_foreign(node, position, text) {
            return None;
        }
        let text = text.strip_prefix('=').unwrap_or(text).trim();
        self.parses(node, position, text).then(|| text.to_owned())
    }

    /// A vendor's text that must be an expression: FEEL after `=`.
    pub(super) fn feel_after_sign(
        &self,
        node: &FlowNode,
        position: Position,
        what: &str,
        text: &str,
    ) -> Option<String> {
        let text = text.trim();
        if self.is_foreign(node, position, text) {
            return None;
        }
        let Some(feel) = text.strip_prefix('=') else {
            let message = format!("{what} `{}` must be an expression, which starts with `=`", shorten(text));
            self.error(node, Rule::ExtensionInvalid, position, message);
            return None;
        };
        self.parses(node, position, feel.trim()).then(|| feel.trim().to_owned())
    }

    /// A vendor's text: FEEL after `=`, else as it stands.
    pub(super) fn template(&self, node: &FlowNode, position: Position, text: &str) -> Template {
        let text = text.trim();
        if let Some(feel) = text.strip_prefix('=') {
            self.parses(node, position, feel.trim());
            return Template::Feel(feel.trim().to_owned());
        }
        self.is_foreign(node, position, text);
        Template::Static(text.to_owned())
    }

    /// The same for an attribute; empty is none.
    pub(super) fn attribute(&self, node: &FlowNode, element: &Element, name: &str) -> Option<Template> {
        let text = element.attribute(name).map(str::trim).filter(|it| !it.is_empty())?;
        Some(self.template(node, element.position, text))
    }

    /// An attribute that must be there and hold something.
    pub(super) fn required<'e>(&self, node: &FlowNode, element: &'e Element, name: &str) -> Option<&'e str> {
        let text = element.attribute(name).map(str::trim).filter(|it| !it.is_empty());
        if text.is_none() {
            let message = format!("`{}` of {} has no `{name}`", element.qualified(), lint::describe(node));
            self.error(node, Rule::ExtensionInvalid, element.position, message);
        }
        text
    }

    /// A variable that a node sets, perhaps a path into it; a name that one can have.
    pub(super) fn variable(&self, node: &FlowNode, position: Position, name: &str) -> String {
        self.mentions.set(&node.id, position, name.trim(), false);
        self.named(node, position, name)
    }

    /// The same for one that is seen inside of the node alone.
    pub(super) fn local(&self, node: &FlowNode, position: Position, name: &str) -> String {
        self.mentions.set(&node.id, position, name.trim(), true);
        self.named(node, position, name)
    }

    /// A name that a variable can have, perhaps a path into it.
    pub(super) fn named(&self, node: &FlowNode, position: Position, name: &str) -> String {
        let usable = |part: &str| {
            let mut characters = part.chars();
            let first = characters.next().is_some_and(|it| it.is_alphabetic() || "_?$".contains(it));
            first && characters.all(|it| it.is_alphanumeric() || "_$-?".contains(it))
        };
        let name = name.trim();
        if !name.split('.').all(usable) {
            let message = format!("`{}` of {} is not a variable's name", shorten(name), lint::describe(node));
            self.error(node, Rule::VariableName, position, message);
        }
        name.to_owned()
    }

    fn is_foreign(&self, node: &FlowNode, position: Position, text: &str) -> bool {
        let foreign = lint::foreign(text);
        if let Some(language) = foreign {
            let message = format!("the expression of `{}` is in {language}", node.id);
            self.error(node, Rule::ExpressionLanguage, position, message);
        }
        foreign.is_some()
    }

    /// Whether a text is FEEL; what is wrong with it is reported.
    fn parses(&self, node: &FlowNode, position: Position, text: &str) -> bool {
        if text.is_empty() {
            let message = format!("the expression of `{}` is empty", node.id);
            self.error(node, Rule::ExpressionEmpty, position, message);
            return false;
        }
        match feel::parse(text) {
            Ok(expression) => {
                self.mentions.read(&node.id, position, &expression);
                true
            }
            Err(error) => {
                let message = format!("the expression of `{}` is not FEEL: {}", node.id, error.message);
                self.error(node, Rule::ExpressionSyntax, position, message);
                false
            }
        }
    }
}

/// An element kept in generic form, as an expression.
pub(super) fn expression(element: &Element) -> Expression {
    Expression {
        text: element.text.clone(),
        language: element.attribute("language").map(str::to_owned),
        attributes: element.attributes.iter().filter(|it| it.name == "resource").cloned().collect(),
        position: element.position,
    }
}

/// What a message shows of a text.
pub(super) fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}
