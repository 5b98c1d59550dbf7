//! Which message belongs to which instance: `zeebe:subscription`, or the standard's correlation (BPMN 8.4.2), or nothing but the name.

use routing::table::Template;

use super::source::Source;
use crate::diagnostic::Rule;
use crate::lint;
use crate::model::{Element, FlowNode, FlowNodeKind, Namespace, RootElement, local_reference};

/// How a subscription finds its messages.
#[derive(Default)]
pub(super) struct Correlation {
    /// Over the variables of the instance.
    pub(super) key: Option<Template>,
    /// Over a message that brings no key.
    pub(super) retrieval: Option<String>,
}

/// What joins the parts of a key of several properties.
const BETWEEN: &str = " + \"|\" + ";

/// How `node` finds the messages of this kind.
pub(super) fn of(source: &Source<'_>, node: &FlowNode, message: &RootElement) -> Correlation {
    if let Some(key) = subscribed(source, node, message) {
        return Correlation { key: Some(Template::Feel(key)), retrieval: None };
    }
    let mut keys = Vec::new();
    let mut retrievals = Vec::new();
    for property in properties(source, message) {
        let Some(path) = retrieval(source, node, property, message) else { continue };
        // without a path of the process the property has the value that the instance's messages have brought before
        keys.push(bound(source, node, property).unwrap_or_else(|| path.clone()));
        retrievals.push(path);
    }
    if keys.is_empty() {
        return Correlation::default();
    }
    Correlation { key: Some(Template::Feel(joined(keys))), retrieval: Some(joined(retrievals)) }
}

fn joined(mut parts: Vec<String>) -> String {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    parts.iter().map(|it| format!("string({it})")).collect::<Vec<_>>().join(BETWEEN)
}

/// The key that `zeebe:subscription` of a message gives.
pub(super) fn subscribed(source: &Source<'_>, node: &FlowNode, message: &RootElement) -> Option<String> {
    let subscription = message.extensions.find(&Namespace::Zeebe, "subscription")?;
    let key = subscription.attribute("correlationKey").map(str::trim).filter(|it| !it.is_empty());
    let Some(key) = key else {
        if !matches!(node.kind, FlowNodeKind::StartEvent { .. }) {
            let message = format!("the subscription of message `{}` has no correlationKey", message.id);
            source.error(node, Rule::ExtensionInvalid, subscription.position, message);
        }
        return None;
    };
    source.feel_after_sign(node, subscription.position, "the correlation key", key)
}

/// The correlation properties that the message has, as far as a subscription of the process or a conversation uses them.
fn properties<'a>(source: &Source<'a>, message: &RootElement) -> Vec<&'a Element> {
    let used = used(source);
    let all = source.definitions.others.iter().filter(|it| is_bpmn(it, "correlationProperty"));
    all.filter(|it| it.attribute("id").is_some_and(|id| used.contains(&id)) && path_of(it, message).is_some()).collect()
}

/// The ids of the properties in use.
fn used<'a>(source: &Source<'a>) -> Vec<&'a str> {
    let keys = source.definitions.collaborations.iter().flat_map(|it| &it.others);
    let keys = keys.flat_map(|it| std::iter::once(it).chain(&it.children)).filter(|it| is_bpmn(it, "correlationKey"));
    let references = keys.flat_map(|it| &it.children).filter(|it| is_bpmn(it, "correlationPropertyRef"));
    let mut used: Vec<&str> = references.map(|it| local_reference(it.text.trimmed())).collect();
    used.extend(bindings(source).filter_map(|it| it.attribute("correlationPropertyRef")).map(local_reference));
    used
}

fn bindings<'a>(source: &Source<'a>) -> impl Iterator<Item = &'a Element> {
    let subscriptions = source.graph.process.details.iter().filter(|it| is_bpmn(it, "correlationSubscription"));
    subscriptions.flat_map(|it| &it.children).filter(|it| is_bpmn(it, "correlationPropertyBinding"))
}

/// The path of the process that a subscription binds the property to.
fn bound(source: &Source<'_>, node: &FlowNode, property: &Element) -> Option<String> {
    let id = property.attribute("id")?;
    let binding =
        bindings(source).find(|it| it.attribute("correlationPropertyRef").map(local_reference) == Some(id))?;
    let path = binding.children.iter().find(|it| is_bpmn(it, "dataPath"))?;
    source.feel_in(node, path)
}

fn path_of<'a>(property: &'a Element, message: &RootElement) -> Option<&'a Element> {
    let retrievals = property.children.iter().filter(|it| is_bpmn(it, "correlationPropertyRetrievalExpression"));
    let mut own = retrievals.filter(|it| it.attribute("messageRef").map(local_reference) == Some(message.id.as_str()));
    own.next()?.children.iter().find(|it| is_bpmn(it, "messagePath"))
}

fn retrieval(source: &Source<'_>, node: &FlowNode, property: &Element, message: &RootElement) -> Option<String> {
    let path = path_of(property, message)?;
    source.mentions.aside(|| source.feel_in(node, path))
}

fn is_bpmn(element: &Element, name: &str) -> bool {
    lint::is_bpmn(element, name)
}

/// Whether the node at `index` begins instances of the process: a start event, an instantiating receive task, or an event behind an
/// instantiating gateway.
pub(super) fn starts_instances(source: &Source<'_>, index: usize) -> bool {
    let node = source.node(index);
    let behind = |it: &usize| {
        let from = source.graph.ends[*it].map(|(from, _)| &source.node(from).kind);
        matches!(from, Some(FlowNodeKind::EventBasedGateway { instantiate: true, parallel: false }))
    };
    match &node.kind {
        FlowNodeKind::StartEvent { .. } => node.parent.is_none(),
        FlowNodeKind::ReceiveTask { instantiate: true, .. } => true,
        _ => source.graph.incoming[index].iter().any(behind),
    }
}
