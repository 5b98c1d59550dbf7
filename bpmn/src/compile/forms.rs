//! The forms of user tasks: which one a task shows, and those that a process needs.

use std::collections::BTreeMap;

use routing::Digest;
use routing::form::Form;
use routing::table::{Node, NodeKind, Template};
use serde_json::Value;

use super::source::Source;
use crate::diagnostic::{Diagnostic, Rule};
use crate::form::{self, Found};
use crate::lint;
use crate::model::{FlowNode, Namespace, Position};

/// Before the names of forms that stand in the model, and of those that are applied with it.
const EMBEDDED: &str = "camunda-forms:bpmn:";
const DEPLOYED: &str = "camunda-forms:deployment:";

/// What a user task shows, and its fields where they are known.
#[derive(Default)]
pub(super) struct Shown {
    /// The form's name.
    pub(super) name: Option<Template>,
    /// The form.
    pub(super) form: Option<Form>,
}

/// The form of the user task at `index`: of Camunda 8, of Camunda 7, of its annotation.
pub(super) fn of_task(source: &Source<'_>, index: usize) -> Shown {
    let node = source.node(index);
    if let Some(definition) = node.extensions.find(&Namespace::Zeebe, "formDefinition") {
        if let Some(id) = source.attribute(node, definition, "formId") {
            return applied(source, node, definition.position, id, true);
        }
        if let Some(key) = source.attribute(node, definition, "formKey") {
            return keyed(source, node, definition.position, key);
        }
        return Shown { name: source.attribute(node, definition, "externalReference"), form: None };
    }
    let camunda = |name: &str| {
        let text = node.extensions.attribute(&Namespace::Camunda, name)?.trim();
        (!text.is_empty()).then(|| source.template(node, node.position, text))
    };
    if let Some(key) = camunda("formKey") {
        return keyed(source, node, node.position, key);
    }
    if let Some(id) = camunda("formRef") {
        return applied(source, node, node.position, id, true);
    }
    if let Some(data) = node.extensions.find(&Namespace::Camunda, "formData") {
        let (form, found) = form::generated(data);
        tell(source, node, data.position, &found);
        return own(node, form, &found, None);
    }
    annotated(source, index)
}

/// One that is applied beside the model, if it is.
fn applied(source: &Source<'_>, node: &FlowNode, position: Position, name: Template, must: bool) -> Shown {
    let Template::Static(wanted) = &name else { return Shown { name: Some(name), form: None } };
    let known = wanted.strip_prefix(DEPLOYED).unwrap_or(wanted);
    let form = source.options.forms.iter().rev().find(|it| it.names.iter().any(|it| it == known));
    if form.is_none() && must {
        let message = format!(
            "the form `{wanted}` of {} is not given with the model: what it is completed with is not checked",
            lint::describe(node)
        );
        source.report(Diagnostic::warning(Rule::FormMissing, position, message).on(node.id.as_str()));
    }
    let form = form.map(|it| Form { names: Vec::new(), ..it.clone() });
    Shown { name: Some(name), form }
}

/// By a key: in the model, beside it, or of another application.
fn keyed(source: &Source<'_>, node: &FlowNode, position: Position, key: Template) -> Shown {
    let Template::Static(text) = &key else { return applied(source, node, position, key, false) };
    let Some(id) = text.strip_prefix(EMBEDDED) else {
        let must = text.starts_with(DEPLOYED);
        return applied(source, node, position, key, must);
    };
    let extensions = &source.graph.process.extensions.elements;
    let embedded = extensions
        .iter()
        .find(|it| it.namespace == Namespace::Zeebe && it.name == "userTaskForm" && it.attribute("id") == Some(id));
    let Some(embedded) = embedded else {
        let message = format!("the form `{id}` of {} is not in the process", lint::describe(node));
        source.report(Diagnostic::warning(Rule::FormMissing, position, message).on(node.id.as_str()));
        return Shown { name: Some(key), form: None };
    };
    let Ok(json) = serde_json::from_str::<Value>(embedded.text.trimmed()) else {
        let message = format!("the form `{id}` is not JSON");
        source.error(node, Rule::FormInvalid, embedded.position, message);
        return Shown { name: Some(key), form: None };
    };
    let (form, found) = form::of_json(&json);
    tell(source, node, embedded.position, &found);
    own(node, form, &found, Some(key))
}

/// `fields`: a file beside the model, or what the original's flowctl has put in its place.
fn annotated(source: &Source<'_>, index: usize) -> Shown {
    let node = source.node(index);
    let Some(fields) = &source.annotations.elements[index].form else { return Shown::default() };
    let name = fields.file.clone().map(Template::Static);
    let Some(described) = &fields.described else {
        return name.map(|it| applied(source, node, fields.position, it, true)).unwrap_or_default();
    };
    let (form, found) = form::of_json(described);
    tell(source, node, fields.position, &found);
    own(node, form, &found, name)
}

/// A form that stands in the model.
fn own(node: &FlowNode, form: Form, found: &[Found], name: Option<Template>) -> Shown {
    let form = Some(form).filter(|_| !found.iter().any(|it| it.error));
    Shown { name: Some(name.unwrap_or_else(|| Template::Static(node.id.clone()))), form }
}

fn tell(source: &Source<'_>, node: &FlowNode, position: Position, found: &[Found]) {
    for found in found {
        let make = if found.error { Diagnostic::error } else { Diagnostic::warning };
        let message = format!("the form of {}: {found}", lint::describe(node));
        source.report(make(Rule::FormInvalid, position, message).on(node.id.as_str()));
    }
}

/// The forms that these nodes need, in the order of their digests: where one is computed, all there are.
pub(super) fn needed(source: &Source<'_>, nodes: &[Node]) -> Vec<Form> {
    let mut needed: BTreeMap<Digest, Form> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        let NodeKind::UserTask(task) = &node.kind else { continue };
        match &task.form {
            Some(Template::Feel(_)) => {
                needed.extend(source.options.forms.iter().map(|it| (it.digest(), it.clone())));
            }
            Some(Template::Static(_)) | None => {
                let form = task.fields.and_then(|_| of_task(source, index).form);
                needed.extend(form.map(|it| (it.digest(), it)));
            }
        }
    }
    needed.into_values().collect()
}
