//! Types of a DMN file (clause 7.3.2), so far as they change how JSON is understood: where strings are dates, times and durations.

use std::collections::HashMap;

use routing::decision::Type;

use super::{Reader, name_of};
use crate::diagnostic::Rule;
use crate::model::Element;

/// How deep the types of entries are followed.
const MAX_DEPTH: usize = 8;
/// How many types and entries are followed in one file.
const MAX_STEPS: usize = 20_000;

/// The item definitions of a file, by name.
pub(super) struct Types<'x> {
    root: &'x Element,
    definitions: HashMap<String, &'x Element>,
    steps: usize,
}

impl<'x> Types<'x> {
    pub(super) fn of(root: &'x Element) -> Self {
        let definitions =
            root.children.iter().filter(|it| it.namespace == root.namespace && it.name == "itemDefinition");
        Self { root, definitions: definitions.map(|it| (name_of(it), it)).collect(), steps: 0 }
    }

    /// The allowed values of the item definition that `element` has as its type.
    pub(super) fn allowed_values(&self, element: &'x Element) -> Option<&'x Element> {
        let definition = self.definitions.get(element.attribute("typeRef")?.trim())?;
        self.child(definition, "allowedValues")
    }

    fn child(&self, of: &'x Element, name: &str) -> Option<&'x Element> {
        of.children.iter().find(|it| it.namespace == self.root.namespace && it.name == name)
    }

    /// The type of that name; `None` if there is none, or if it is too large to be followed.
    fn named(&mut self, name: &str, depth: usize) -> Option<Type> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return None;
        }
        if let Some(definition) = self.definitions.get(name).copied() {
            // a type that contains itself ends somewhere
            return if depth >= MAX_DEPTH { Some(Type::Any) } else { self.defined(definition, depth + 1) };
        }
        // DMN 1.1 writes the types of FEEL with a prefix
        let local = name.rsplit_once(':').map_or(name, |(_, local)| local);
        if local != name && self.definitions.contains_key(local) {
            return self.named(local, depth);
        }
        Some(match local {
            "date" => Type::Date,
            "time" => Type::Time,
            "date and time" | "dateTime" => Type::DateTime,
            "days and time duration"
            | "years and months duration"
            | "dayTimeDuration"
            | "yearMonthDuration"
            | "duration" => Type::Duration,
            "" | "Any" | "any" | "string" | "boolean" | "number" | "integer" | "long" | "double" | "context"
            | "list" | "function" | "Null" => Type::Any,
            other if ["list<", "context<", "range<", "function<"].iter().any(|it| other.starts_with(it)) => Type::Any,
            _ => return None,
        })
    }

    fn defined(&mut self, definition: &'x Element, depth: usize) -> Option<Type> {
        let mut entries = Vec::new();
        for component in definition.children.iter().filter(|it| it.name == "itemComponent") {
            self.steps += 1;
            let kind = if depth >= MAX_DEPTH { Type::Any } else { self.defined(component, depth + 1)? };
            if !kind.is_any() {
                entries.push((name_of(component), kind));
            }
        }
        let kind = match self.child(definition, "typeRef") {
            Some(named) => self.named(named.text.trimmed(), depth)?,
            None if entries.is_empty() => Type::Any,
            None => Type::Context(entries),
        };
        let collection = definition.attribute("isCollection").map(str::trim) == Some("true");
        Some(if collection && !kind.is_any() { Type::List(Box::new(kind)) } else { kind })
    }
}

impl<'x> Reader<'x> {
    /// The type that `element` names, an attribute or in older files an element; a warning if there is no such type.
    pub(super) fn type_ref(&mut self, element: &'x Element, id: &str) -> Type {
        let written =
            element.attribute("typeRef").or_else(|| self.child(element, "typeRef").map(|it| it.text.trimmed()));
        let Some(name) = written.map(str::trim) else { return Type::Any };
        self.types.named(name, 0).unwrap_or_else(|| {
            let name: String = name.chars().take(100).collect();
            self.warning(Rule::DmnType, element, id, format!("the type `{name}` is unknown or too large"));
            Type::Any
        })
    }
}
