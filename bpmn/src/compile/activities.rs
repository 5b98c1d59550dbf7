//! Activities (BPMN 10.3): what each does, who does it.

use routing::DeploymentId;
use routing::table::{
    AdHoc, Call, Collected, Evaluation, Mapping, Message, MessageThrow, NodeKind, SubProcess, Template, UserTask,
    Version,
};

use super::source::{Source, shorten};
use super::{decisions, events, forms, task};
use crate::diagnostic::Rule;
use crate::lint;
use crate::model::{Expression, FlowNode, FlowNodeKind, Namespace};

/// What the activity at `index` does; `None` if it cannot be said, which is reported.
pub(super) fn kind(source: &Source<'_>, index: usize) -> Option<NodeKind> {
    let node = source.node(index);
    if task::is_bound(source, index) {
        return Some(NodeKind::Task(Box::new(task::compile(source, index))));
    }
    Some(match &node.kind {
        FlowNodeKind::Task | FlowNodeKind::ManualTask => NodeKind::Evaluate(Box::new(Evaluation::Nothing)),
        FlowNodeKind::ScriptTask { format, script } => {
            NodeKind::Evaluate(Box::new(script_task(source, node, format.as_deref(), script.as_ref())?))
        }
        FlowNodeKind::BusinessRuleTask => NodeKind::Evaluate(Box::new(decisions::business_rule_task(source, node)?)),
        FlowNodeKind::UserTask => NodeKind::UserTask(Box::new(user_task(source, index))),
        FlowNodeKind::ReceiveTask { message_ref, .. } => {
            NodeKind::ReceiveTask(Box::new(receive_task(source, index, message_ref.as_deref())?))
        }
        FlowNodeKind::SendTask { message_ref, .. } => {
            NodeKind::SendTask(Box::new(send_task(source, node, message_ref.as_deref())?))
        }
        FlowNodeKind::CallActivity { called_element } => {
            NodeKind::CallActivity(Box::new(call(source, node, called_element.as_deref())?))
        }
        FlowNodeKind::SubProcess { triggered_by_event: true } => NodeKind::SubProcess(Box::new(SubProcess::Event)),
        FlowNodeKind::SubProcess { .. } => NodeKind::SubProcess(Box::new(SubProcess::Embedded)),
        FlowNodeKind::Transaction => NodeKind::SubProcess(Box::new(SubProcess::Transaction)),
        FlowNodeKind::AdHocSubProcess { sequential, cancel_remaining, completion_condition } => {
            let completion = completion_condition.as_ref().filter(|it| !it.text.trimmed().is_empty());
            let ad_hoc = AdHoc {
                sequential: *sequential,
                cancel_remaining: *cancel_remaining,
                completion: completion.and_then(|it| source.feel(node, it)),
                active: active_elements(source, node),
                output: collected(source, node),
            };
            NodeKind::SubProcess(Box::new(SubProcess::AdHoc(ad_hoc)))
        }
        _ => return None,
    })
}

/// `zeebe:script`, else the standard's script, which must be FEEL.
fn script_task(
    source: &Source<'_>,
    node: &FlowNode,
    format: Option<&str>,
    script: Option<&Expression>,
) -> Option<Evaluation> {
    if let Some(script) = node.extensions.find(&Namespace::Zeebe, "script") {
        let expression = source.required(node, script, "expression");
        let result = source.required(node, script, "resultVariable");
        let expression = source.feel_after_sign(node, script.position, "the script", expression?)?;
        return Some(Evaluation::Script {
            expression,
            result_variable: Some(source.variable(node, script.position, result?)),
        });
    }
    let Some(script) = script.filter(|it| !it.text.trimmed().is_empty()) else {
        let message = format!("{} has neither a script nor a service", lint::describe(node));
        source.error(node, Rule::ScriptMissing, node.position, message);
        return None;
    };
    let script = Expression { language: format.map(str::to_owned), ..script.clone() };
    let expression = source.feel(node, &script)?;
    Some(Evaluation::Script { expression, result_variable: result_variable(source, node) })
}

/// `camunda:resultVariable`.
pub(super) fn result_variable(source: &Source<'_>, node: &FlowNode) -> Option<String> {
    let name = node.extensions.attribute(&Namespace::Camunda, "resultVariable")?.trim();
    (!name.is_empty()).then(|| source.variable(node, node.position, name))
}

fn user_task(source: &Source<'_>, index: usize) -> UserTask {
    let node = source.node(index);
    let zeebe = |element: &str, name: &str| {
        let element = node.extensions.find(&Namespace::Zeebe, element)?;
        source.attribute(node, element, name)
    };
    let camunda = |name: &str| {
        let text = node.extensions.attribute(&Namespace::Camunda, name)?.trim();
        (!text.is_empty()).then(|| source.template(node, node.position, text))
    };
    let shown = forms::of_task(source, index);
    UserTask {
        form: shown.name,
        fields: shown.form.map(|it| it.digest()),
        assignee: zeebe("assignmentDefinition", "assignee").or_else(|| camunda("assignee")),
        candidate_users: zeebe("assignmentDefinition", "candidateUsers").or_else(|| camunda("candidateUsers")),
        candidate_groups: zeebe("assignmentDefinition", "candidateGroups").or_else(|| camunda("candidateGroups")),
        due_date: zeebe("taskSchedule", "dueDate").or_else(|| camunda("dueDate")),
        follow_up_date: zeebe("taskSchedule", "followUpDate").or_else(|| camunda("followUpDate")),
        priority: zeebe("priorityDefinition", "priority").or_else(|| camunda("priority")),
    }
}

fn receive_task(source: &Source<'_>, index: usize, reference: Option<&str>) -> Option<Message> {
    let message = events::message_of_task(source, source.node(index), reference)?;
    events::caught_message(source, index, message)
}

fn send_task(source: &Source<'_>, node: &FlowNode, reference: Option<&str>) -> Option<MessageThrow> {
    let message = events::message_of_task(source, node, reference)?;
    events::thrown_message(source, node, &node.extensions, message)
}

fn call(source: &Source<'_>, node: &FlowNode, called: Option<&str>) -> Option<Call> {
    let zeebe = node.extensions.find(&Namespace::Zeebe, "calledElement");
    let process = match zeebe {
        Some(element) => source.attribute(node, element, "processId"),
        None => {
            called.map(str::trim).filter(|it| !it.is_empty()).map(|it| match source.template(node, node.position, it) {
                Template::Static(id) => Template::Static(crate::model::local_reference(&id).to_owned()),
                feel => feel,
            })
        }
    };
    let Some(process) = process else {
        let message = format!("{} does not say what it calls", lint::describe(node));
        source.error(node, Rule::CalledElementMissing, node.position, message);
        return None;
    };
    let flag = |name: &str| zeebe.and_then(|it| it.attribute(name)) != Some("false");
    let all = |name: &str| {
        let mut lines = camunda_lines(node, name);
        lines.any(|it| it.attribute("variables") == Some("all"))
    };
    let mapped = camunda_lines(node, "in").chain(camunda_lines(node, "out")).next().is_some();
    Some(Call {
        process,
        version: version(source, node),
        propagate_inputs: if mapped { all("in") } else { flag("propagateAllParentVariables") },
        propagate_outputs: if mapped { all("out") } else { flag("propagateAllChildVariables") },
    })
}

fn camunda_lines<'n>(node: &'n FlowNode, name: &'n str) -> impl Iterator<Item = &'n crate::model::Element> {
    node.extensions.elements.iter().filter(move |it| it.namespace == Namespace::Camunda && it.name == name)
}

/// `bindingType` of Camunda 8, `calledElementBinding` of Camunda 7.
fn version(source: &Source<'_>, node: &FlowNode) -> Version {
    let zeebe = node.extensions.find(&Namespace::Zeebe, "calledElement");
    let camunda = |name: &str| node.extensions.attribute(&Namespace::Camunda, name);
    let binding = zeebe.and_then(|it| it.attribute("bindingType")).or_else(|| camunda("calledElementBinding"));
    let said = |zeebe_name: &str, camunda_name: &str| {
        let text = zeebe.and_then(|it| it.attribute(zeebe_name)).or_else(|| camunda(camunda_name));
        text.map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned)
    };
    let invalid = |problem: String| {
        let message = format!("the version that {} calls {problem}", lint::describe(node));
        source.error(node, Rule::ExtensionInvalid, zeebe.map_or(node.position, |it| it.position), message);
        Version::Latest
    };
    match binding.map(str::trim) {
        None | Some("" | "latest") => Version::Latest,
        Some("deployment") => Version::Deployment,
        Some("versionTag") => match said("versionTag", "calledElementVersionTag") {
            Some(tag) => Version::Tag(tag),
            None => invalid("has no tag".to_owned()),
        },
        Some("version") => match said("version", "calledElementVersion") {
            Some(id) if id.rsplit_once('-').is_some_and(|(_, hash)| hash.len() == 8) => {
                Version::Fixed(DeploymentId::from(id))
            }
            Some(other) => {
                let other = shorten(&other);
                invalid(format!(
                    "is `{other}`: versions are told by deployment ids, such as order-1a2b3c4d, or by tags"
                ))
            }
            None => invalid("is not said".to_owned()),
        },
        Some(other) => invalid(format!("is bound by `{}`, which is not known", shorten(other))),
    }
}

/// `zeebe:adHoc activeElementsCollection`.
fn active_elements(source: &Source<'_>, node: &FlowNode) -> Option<String> {
    let ad_hoc = node.extensions.find(&Namespace::Zeebe, "adHoc")?;
    let active = ad_hoc.attribute("activeElementsCollection").map(str::trim).filter(|it| !it.is_empty())?;
    source.feel_after_sign(node, ad_hoc.position, "activeElementsCollection", active)
}

/// `zeebe:adHoc outputCollection` and `outputElement`; both or none.
fn collected(source: &Source<'_>, node: &FlowNode) -> Option<Collected> {
    let ad_hoc = node.extensions.find(&Namespace::Zeebe, "adHoc")?;
    let written = |name: &str| ad_hoc.attribute(name).map(str::trim).filter(|it| !it.is_empty());
    match (written("outputCollection"), written("outputElement")) {
        (None, None) => None,
        (Some(collection), Some(element)) => Some(Collected {
            collection: source.variable(node, ad_hoc.position, collection),
            element: source.feel_after_sign(node, ad_hoc.position, "outputElement", element)?,
        }),
        (collection, _) => {
            let missing = if collection.is_some() { "outputElement" } else { "outputCollection" };
            let message = format!("{} collects outputs and has no `{missing}`", lint::describe(node));
            source.error(node, Rule::ExtensionInvalid, ad_hoc.position, message);
            None
        }
    }
}

/// Whether a mapping is for the node itself to carry: a service's task has it in its data mapping.
pub(super) fn carries(kind: &NodeKind, mapping: impl FnOnce() -> Option<Mapping>) -> Option<Box<Mapping>> {
    if matches!(kind, NodeKind::Task(_)) { None } else { mapping().map(Box::new) }
}
