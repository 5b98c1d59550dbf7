//! What an element reads and writes: `zeebe:ioMapping`, else `camunda:inputOutput` (and `camunda:in`/`out` of call activities), else the
//! standard's data associations (BPMN 10.4).

use std::collections::BTreeMap;

use routing::table::{Assignment, Mapping, Template};

use super::data;
use super::source::Source;
use crate::diagnostic::{Diagnostic, Rule};
use crate::lint;
use crate::model::{Element, FlowNode, Namespace, Position};

/// The mapping of a node; `None` if it has none.
pub(super) fn of(source: &Source<'_>, index: usize) -> Option<Mapping> {
    let node = source.node(index);
    let found = zeebe(source, node)
        .or_else(|| camunda_call(source, node))
        .or_else(|| camunda(source, node, node.extensions.find(&Namespace::Camunda, "inputOutput")?))
        .unwrap_or_else(|| standard(source, node));
    (!found.inputs.is_empty() || !found.outputs.is_empty()).then_some(found)
}

fn zeebe(source: &Source<'_>, node: &FlowNode) -> Option<Mapping> {
    node.extensions.find(&Namespace::Zeebe, "ioMapping")?;
    let mut mapping = Mapping::default();
    for line in node.extensions.io_mappings() {
        if line.source.trim().is_empty() || line.target.trim().is_empty() {
            let message = format!("a line of zeebe:ioMapping of {} has no source or no target", lint::describe(node));
            source.error(node, Rule::ExtensionInvalid, line.position, message);
            continue;
        }
        let assignment = line_of(source, node, line.output, line.position, line.target, || {
            Some(source.template(node, line.position, line.source))
        });
        let Some(assignment) = assignment else { continue };
        if line.output { mapping.outputs.push(assignment) } else { mapping.inputs.push(assignment) }
    }
    Some(mapping)
}

/// A line of a mapping. An output reads what the service or the called process has answered, too; an input is seen inside alone.
fn line_of(
    source: &Source<'_>,
    node: &FlowNode,
    output: bool,
    position: Position,
    target: &str,
    read: impl FnOnce() -> Option<Template>,
) -> Option<Assignment> {
    let value = if output { source.mentions.aside(read) } else { read() };
    let target = if output { source.variable(node, position, target) } else { source.local(node, position, target) };
    Some(Assignment { target, source: value? })
}

/// `camunda:inputOutput`, of an element or of its connector.
pub(super) fn camunda(source: &Source<'_>, node: &FlowNode, io: &Element) -> Option<Mapping> {
    if source.annotations.dialect {
        // the original's closure transport reads it, in a syntax of its own
        return Some(Mapping::default());
    }
    let read = |name| {
        io.children_named(&Namespace::Camunda, name)
            .filter_map(|it| {
                let target = source.required(node, it, "name")?;
                line_of(source, node, name == "outputParameter", it.position, target, || parameter(source, node, it))
            })
            .collect()
    };
    Some(Mapping { inputs: read("inputParameter"), outputs: read("outputParameter") })
}

/// A parameter's value: a text, an expression, a list or a map of them, or a FEEL script.
fn parameter(source: &Source<'_>, node: &FlowNode, element: &Element) -> Option<Template> {
    let Some(inner) = element.children.first() else {
        return Some(source.template(node, element.position, element.text.trimmed()));
    };
    let text = |it: &Element| match source.template(node, it.position, it.text.trimmed()) {
        Template::Feel(feel) => feel,
        Template::Static(text) => serde_json::Value::from(text).to_string(),
    };
    match inner.name.as_str() {
        "list" => Some(Template::Feel(format!("[{}]", inner.children.iter().map(text).collect::<Vec<_>>().join(", ")))),
        "map" => {
            let entries: BTreeMap<String, String> = (inner.children.iter())
                .map(|it| (serde_json::Value::from(it.attribute("key").unwrap_or_default()).to_string(), text(it)))
                .collect();
            let entries: Vec<_> = entries.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
            Some(Template::Feel(format!("{{{}}}", entries.join(", "))))
        }
        "script" if inner.attribute("scriptFormat").is_some_and(|it| it.eq_ignore_ascii_case("feel")) => {
            source.feel_in(node, inner).map(Template::Feel)
        }
        _ => {
            let language = inner.attribute("scriptFormat").unwrap_or(&inner.name);
            let message = format!("a parameter of {} is in `{language}`", lint::describe(node));
            source.error(node, Rule::ExpressionLanguage, inner.position, message);
            None
        }
    }
}

/// `camunda:in` and `camunda:out` of a call activity.
fn camunda_call(source: &Source<'_>, node: &FlowNode) -> Option<Mapping> {
    let lines = |name: &'static str| {
        let elements = node.extensions.elements.iter();
        elements.filter(move |it| it.namespace == Namespace::Camunda && it.name == name)
    };
    lines("in").chain(lines("out")).next()?;
    let read = |name| {
        lines(name)
            .filter_map(|it| {
                let target = it.attribute("target")?;
                let value = || {
                    Some(match (it.attribute("source"), it.attribute("sourceExpression")) {
                        (Some(variable), _) => Template::Feel(source.named(node, it.position, variable)),
                        (None, Some(expression)) => source.template(node, it.position, expression),
                        (None, None) => return None,
                    })
                };
                line_of(source, node, name == "out", it.position, target, value)
            })
            .collect()
    };
    Some(Mapping { inputs: read("in"), outputs: read("out") })
}

/// The data associations of an activity or event. Copies between things drawn without a name of their own say nothing.
fn standard(source: &Source<'_>, node: &FlowNode) -> Mapping {
    let mut mapping = Mapping::default();
    for association in &node.details {
        let output = lint::is_bpmn(association, "dataOutputAssociation");
        if !output && !lint::is_bpmn(association, "dataInputAssociation") {
            continue;
        }
        let lines = association_lines(source, node, association);
        if output { mapping.outputs.extend(lines) } else { mapping.inputs.extend(lines) }
    }
    mapping
}

fn association_lines(source: &Source<'_>, node: &FlowNode, association: &Element) -> Vec<Assignment> {
    let child = |name: &str| association.children.iter().find(|it| lint::is_bpmn(it, name));
    let variable = |name: &str| child(name).and_then(|it| data::variable(source, node, it.text.trimmed()));
    let assignments = association.children.iter().filter(|it| lint::is_bpmn(it, "assignment"));
    let assigned: Vec<Assignment> = assignments.filter_map(|it| assignment(source, node, it)).collect();
    if !assigned.is_empty() {
        return assigned;
    }
    if let Some(transformation) = child("transformation") {
        let value = source.feel_in(node, transformation);
        let Some(target) = variable("targetRef") else {
            let message = format!("an association of {} has no target with a name", lint::describe(node));
            source.error(node, Rule::UnsupportedAttribute, association.position, message);
            return Vec::new();
        };
        let target = source.variable(node, association.position, &target);
        return value.map(|it| Assignment { target, source: Template::Feel(it) }).into_iter().collect();
    }
    // a plain copy; what cannot be a name in an expression was only drawn
    match (variable("sourceRef"), variable("targetRef")) {
        (Some(from), Some(to)) if from != to && feel::parse(&from).is_ok() && !source.annotations.dialect => {
            vec![Assignment { target: to, source: Template::Feel(from) }]
        }
        _ => Vec::new(),
    }
}

fn assignment(source: &Source<'_>, node: &FlowNode, element: &Element) -> Option<Assignment> {
    let child = |name: &str| element.children.iter().find(|it| lint::is_bpmn(it, name));
    let (Some(from), Some(to)) = (child("from"), child("to")) else {
        let message = format!("an assignment of {} has no `from` or no `to`", lint::describe(node));
        source.report(Diagnostic::error(Rule::UnsupportedAttribute, element.position, message).on(node.id.as_str()));
        return None;
    };
    let target = to.text.trimmed().trim_start_matches('=').trim();
    let target = data::variable(source, node, target).unwrap_or_else(|| target.to_owned());
    Some(Assignment {
        target: source.variable(node, to.position, &target),
        source: Template::Feel(source.feel_in(node, from)?),
    })
}
