//! Finds the REXFlow annotations of a process and gives each to its element.

use std::collections::HashMap;

use super::yaml::{Keys, Source};
use super::{Annotations, ElementAnnotation, element, global};
use crate::diagnostic::{Diagnostic, Rule};
use crate::model::{Association, Definitions, FlowNode, FlowNodeKind, Process, Text, TextAnnotation};

const ELEMENT: &str = "rexflow";
const GLOBAL: &str = "rexflow_global_properties";

/// See [`Annotations::read`].
pub(super) fn read(definitions: &Definitions, process: &Process, out: &mut Vec<Diagnostic>) -> Annotations {
    let mut annotations =
        Annotations { elements: vec![ElementAnnotation::default(); process.nodes.len()], ..Annotations::default() };
    let drawn = drawn(definitions, process);
    let owners = owners(definitions, process, &drawn);
    let mut seen: HashMap<Option<usize>, &str> = HashMap::new();
    for annotation in &drawn {
        let Some(root) = root(&annotation.text) else {
            continue;
        };
        annotations.dialect = true;
        let owner = owners.get(annotation.id.as_str()).copied();
        let slot = if root == GLOBAL { None } else { owner };
        if root == ELEMENT && owner.is_none() {
            out.push(unattached(annotation));
            continue;
        }
        if let Some(first) = seen.insert(slot, &annotation.id) {
            out.push(several(process, slot, annotation, first));
            continue;
        }
        let source = Source::new(&annotation.text, annotation.position, slot.map(|it| process.nodes[it].id.as_str()));
        apply(&source, root, slot.map(|it| (it, &process.nodes[it])), &mut annotations, out);
    }
    read_documentation(process, &seen, &mut annotations, out);
    notice_transport(process, out);
    annotations
}

/// Annotations of the process; those of the collaboration too, if there is one process.
fn drawn<'a>(definitions: &'a Definitions, process: &'a Process) -> Vec<&'a TextAnnotation> {
    let outside =
        definitions.collaborations.iter().filter(|_| definitions.processes.len() == 1).flat_map(|it| &it.annotations);
    process.annotations().chain(outside).collect()
}

/// The node that each annotation is associated with.
fn owners<'a>(
    definitions: &'a Definitions,
    process: &'a Process,
    drawn: &[&'a TextAnnotation],
) -> HashMap<&'a str, usize> {
    let nodes: HashMap<&str, usize> =
        (process.nodes.iter().enumerate()).map(|(index, node)| (node.id.as_str(), index)).collect();
    let ids: HashMap<&str, ()> = drawn.iter().map(|it| (it.id.as_str(), ())).collect();
    let outside = definitions.collaborations.iter().filter(|_| definitions.processes.len() == 1);
    let outside = outside.flat_map(|it| &it.associations);
    let mut owners = HashMap::new();
    for Association { source, target, .. } in process.associations().chain(outside) {
        let pairs = [(source, target), (target, source)];
        for (element, annotation) in pairs {
            let node = nodes.get(element.as_str());
            let known = ids.get_key_value(annotation.as_str());
            if let (Some(node), Some((id, ()))) = (node, known) {
                owners.entry(*id).or_insert(*node);
            }
        }
    }
    owners
}

/// The key that makes a text a REXFlow annotation.
fn root(text: &Text) -> Option<&'static str> {
    root_of(&text.value)
}

fn root_of(text: &str) -> Option<&'static str> {
    let text = text.trim_start_matches(|it: char| it.is_whitespace() || it == '\u{a0}');
    if text.starts_with(GLOBAL) {
        Some(GLOBAL)
    } else {
        text.strip_prefix(ELEMENT)?.trim_start().starts_with(':').then_some(ELEMENT)
    }
}

fn apply(
    source: &Source<'_>,
    root: &str,
    owner: Option<(usize, &FlowNode)>,
    annotations: &mut Annotations,
    out: &mut Vec<Diagnostic>,
) {
    let mut body = match source.parse(root) {
        Ok(body) => body,
        Err(diagnostic) => {
            out.push(diagnostic);
            return;
        }
    };
    let Some((index, node)) = owner else {
        annotations.global = global::read(Keys::new(source, body, ""), out);
        return;
    };
    if matches!(node.kind, FlowNodeKind::StartEvent { .. }) {
        let older: Vec<_> = global::KEYS.iter().filter(|it| body.contains_key(**it)).collect();
        if let Some(first) = older.first() {
            let message = format!("`{first}` is a setting of the whole process; it is read as `{GLOBAL}`");
            let rule = Rule::AnnotationOldSpelling;
            out.push(source.finding(Diagnostic::info, rule, first, message));
            let settings = older.iter().filter_map(|it| body.shift_remove_entry(**it)).collect();
            annotations.global = global::read(Keys::new(source, settings, ""), out);
        }
    }
    annotations.elements[index] = element::read(Keys::new(source, body, ""), &node.kind, out);
}

/// `bpmn:documentation` starting with `rexflow:` stands in for an annotation.
fn read_documentation(
    process: &Process,
    seen: &HashMap<Option<usize>, &str>,
    annotations: &mut Annotations,
    out: &mut Vec<Diagnostic>,
) {
    for (index, node) in process.nodes.iter().enumerate() {
        let text = node.documentation.iter().find(|it| root_of(it) == Some(ELEMENT));
        if let (Some(text), false) = (text, seen.contains_key(&Some(index))) {
            annotations.dialect = true;
            let mut placed = Text::default();
            placed.push(text, node.position);
            let source = Source::new(&placed, node.position, Some(&node.id));
            apply(&source, ELEMENT, Some((index, node)), annotations, out);
        }
    }
}

/// The original's choice of transport for one flow, in its name.
fn notice_transport(process: &Process, out: &mut Vec<Diagnostic>) {
    for flow in &process.flows {
        let name = flow.name.as_deref().unwrap_or_default();
        let named = name.trim().split_once(':').filter(|(key, _)| key.trim() == "transport");
        if let Some((_, "kafka" | "rpc")) = named.map(|(key, value)| (key, value.trim())) {
            let message = format!("flow `{}`: `{}` has no effect: every hop is durable here", flow.id, name.trim());
            out.push(Diagnostic::info(Rule::AnnotationIgnored, flow.position, message).on(flow.id.as_str()));
        }
    }
}

fn unattached(annotation: &TextAnnotation) -> Diagnostic {
    Diagnostic::warning(
        Rule::AnnotationUnattached,
        annotation.position,
        "the annotation starts with `rexflow:` and no association connects it with an element",
    )
    .on(annotation.id.as_str())
}

fn several(process: &Process, slot: Option<usize>, annotation: &TextAnnotation, first: &str) -> Diagnostic {
    let (what, element) = match slot {
        Some(index) => {
            let node = &process.nodes[index];
            (format!("{} `{}`", node.kind.word(), node.id), &node.id)
        }
        None => ("the process".to_owned(), &process.id),
    };
    Diagnostic::error(
        Rule::AnnotationSeveral,
        annotation.position,
        format!("{what} has a second annotation `{}` beside `{first}`", annotation.id),
    )
    .on(element.as_str())
}
