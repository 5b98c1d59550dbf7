//! Boxed expressions (DMN 1.5, clause 10.2).

use std::collections::HashSet;

use routing::decision::{Entry, IterationKind, Logic};

use super::{Reader, name_of};
use crate::diagnostic::Rule;
use crate::model::Element;

/// How deep boxes may stand in boxes; reading recurses no deeper.
const MAX_BOXES: usize = 20;

/// The elements that are expressions.
const BOXES: [&str; 12] = [
    "literalExpression",
    "decisionTable",
    "invocation",
    "context",
    "relation",
    "list",
    "functionDefinition",
    "conditional",
    "filter",
    "for",
    "every",
    "some",
];

impl<'x> Reader<'x> {
    /// The logic of a decision; it must have some.
    pub(super) fn logic_of(&mut self, element: &'x Element, id: &str, title: &str) -> Option<Logic> {
        let before = self.out.len();
        let logic = self.part(element, None, id, title, 0)?;
        if matches!(&logic, Logic::Literal(text) if text.is_empty()) && self.out.len() == before {
            self.error(Rule::DmnLogic, element, id, format!("the expression of `{title}` is empty"));
        }
        Some(logic)
    }

    /// The expression within `element`, or within its child `name`.
    fn part(&mut self, element: &'x Element, name: Option<&str>, id: &str, title: &str, depth: usize) -> Option<Logic> {
        let holder = match name {
            Some(name) => self.child(element, name),
            None => Some(element),
        };
        match holder.and_then(|it| self.boxes(it).next()) {
            Some(found) => self.logic(found, id, title, depth),
            None => {
                let part = name.map_or(format!("{} `{}`", element.name, name_of(element)), |it| format!("`{it}`"));
                self.error(Rule::DmnLogic, element, id, format!("{part} of `{title}` has no expression"));
                None
            }
        }
    }

    fn boxes(&self, element: &'x Element) -> impl Iterator<Item = &'x Element> + use<'x> {
        self.children(element).filter(|it| BOXES.contains(&it.name.as_str()))
    }

    fn logic(&mut self, element: &'x Element, id: &str, title: &str, depth: usize) -> Option<Logic> {
        if depth >= MAX_BOXES {
            let message = format!("expressions of `{title}` are nested more than {MAX_BOXES} deep");
            self.error(Rule::TooDeep, element, id, message);
            return None;
        }
        let depth = depth + 1;
        let part = |it: &mut Self, name| it.part(element, Some(name), id, title, depth).map(Box::new);
        Some(match element.name.as_str() {
            "literalExpression" => Logic::Literal(self.expression(element, id, format!("an expression of `{title}`"))),
            "decisionTable" => Logic::Table(self.table(element, id, title)?),
            "invocation" => self.invocation(element, id, title, depth)?,
            "context" => self.context(element, id, title, depth)?,
            "relation" => self.relation(element, id, title, depth)?,
            "list" => {
                let items: Vec<_> = self.boxes(element).map(|it| self.logic(it, id, title, depth)).collect();
                Logic::List(items.into_iter().collect::<Option<_>>()?)
            }
            "functionDefinition" => {
                let (parameters, body) = self.function(element, id, title, depth)?;
                Logic::Function { parameters, body: Box::new(body) }
            }
            "conditional" => Logic::Conditional {
                condition: part(self, "if")?,
                then: part(self, "then")?,
                otherwise: part(self, "else")?,
            },
            "filter" => Logic::Filter { list: part(self, "in")?, holds: part(self, "match")? },
            name => {
                let (kind, body) = match name {
                    "for" => (IterationKind::For, "return"),
                    "every" => (IterationKind::Every, "satisfies"),
                    _ => (IterationKind::Some, "satisfies"),
                };
                let variable = element.attribute("iteratorVariable").unwrap_or_default().trim().to_owned();
                Logic::Iteration { kind, variable, list: part(self, "in")?, body: part(self, body)? }
            }
        })
    }

    /// Parameters and body of a function.
    pub(super) fn function(
        &mut self,
        element: &'x Element,
        id: &str,
        title: &str,
        depth: usize,
    ) -> Option<(Vec<String>, Logic)> {
        match element.attribute("kind").map(str::trim) {
            None | Some("FEEL" | "Feel" | "feel") => {}
            Some(kind) => {
                let message = format!("the function `{title}` is of the kind {kind}: only FEEL is executed");
                self.error(Rule::DmnUnsupported, element, id, message);
                return None;
            }
        }
        let parameters = self.named_children(element, "formalParameter");
        let parameters: Vec<_> = parameters.into_iter().map(|it| self.named(it, id)).collect();
        Some((parameters, self.part(element, None, id, title, depth)?))
    }

    fn named(&mut self, element: &'x Element, id: &str) -> String {
        let name = name_of(element);
        if name.is_empty() {
            self.error(Rule::DmnName, element, id, format!("{} has no name", element.name));
        }
        self.check_name(&name, element, id);
        name
    }

    fn invocation(&mut self, element: &'x Element, id: &str, title: &str, depth: usize) -> Option<Logic> {
        let called = self.boxes(element).next();
        let Some(called) = called.filter(|it| it.name == "literalExpression") else {
            self.error(Rule::DmnLogic, element, id, format!("an invocation of `{title}` does not say what it calls"));
            return None;
        };
        let callee = self.expression(called, id, format!("what an invocation of `{title}` calls"));
        let (mut bindings, mut names): (Vec<Entry>, _) = (Vec::new(), HashSet::new());
        for binding in self.named_children(element, "binding") {
            let Some(parameter) = self.child(binding, "parameter") else {
                self.error(Rule::DmnLogic, binding, id, format!("a binding of `{title}` has no parameter"));
                continue;
            };
            let name = self.named(parameter, id);
            if !names.insert(name.clone()) {
                self.error(Rule::DmnDuplicate, binding, id, format!("`{title}` binds the parameter `{name}` twice"));
            }
            // a parameter bound to nothing is null, as is one that is not bound
            let logic = match self.boxes(binding).next() {
                Some(given) => self.logic(given, id, title, depth)?,
                None => Logic::Literal("null".to_owned()),
            };
            bindings.push(Entry { name, logic });
        }
        Some(Logic::Invocation { callee, bindings })
    }

    fn context(&mut self, element: &'x Element, id: &str, title: &str, depth: usize) -> Option<Logic> {
        let (mut entries, mut names, mut result) = (Vec::new(), HashSet::new(), None);
        for entry in self.named_children(element, "contextEntry") {
            if result.is_some() {
                let message = format!("a context of `{title}` has an entry behind its result");
                self.error(Rule::DmnLogic, entry, id, message);
            }
            let logic = self.part(entry, None, id, title, depth)?;
            match self.child(entry, "variable") {
                Some(variable) => {
                    let name = self.named(variable, id);
                    if !names.insert(name.clone()) {
                        let message = format!("a context of `{title}` has the entry `{name}` twice");
                        self.error(Rule::DmnDuplicate, entry, id, message);
                    }
                    entries.push(Entry { name, logic });
                }
                None => result = Some(Box::new(logic)),
            }
        }
        Some(Logic::Context { entries, result })
    }

    fn relation(&mut self, element: &'x Element, id: &str, title: &str, depth: usize) -> Option<Logic> {
        let columns = self.named_children(element, "column");
        let columns: Vec<_> = columns.into_iter().map(|it| self.named(it, id)).collect();
        let mut rows = Vec::new();
        for row in self.named_children(element, "row") {
            let cells: Vec<_> = self.boxes(row).map(|it| self.logic(it, id, title, depth)).collect();
            let cells = cells.into_iter().collect::<Option<Vec<_>>>()?;
            if cells.len() != columns.len() {
                let (has, wants) = (cells.len(), columns.len());
                let message = format!("a row of a relation of `{title}` has {has} cells, not {wants}");
                self.error(Rule::DmnTable, row, id, message);
            }
            rows.push(cells);
        }
        Some(Logic::Relation { columns, rows })
    }
}
