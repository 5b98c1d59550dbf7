//! Flow nodes.

use super::events;
use super::process::expression;
use super::tree::{Ids, Node, Tree};
use crate::model::{FlowNode, FlowNodeKind, LoopCharacteristics, Namespace};

/// The kind of the flow node at `at`; `None` if the element is no flow node.
pub(super) fn kind(tree: &Tree, at: usize) -> Option<FlowNodeKind> {
    let it = tree.node(at);
    event(it).or_else(|| task(tree, at)).or_else(|| container(tree, at)).or_else(|| gateway(tree, at))
}

fn event(it: &Node) -> Option<FlowNodeKind> {
    Some(match it.name.as_str() {
        "startEvent" => FlowNodeKind::StartEvent { interrupting: it.flag("isInterrupting").unwrap_or(true) },
        "intermediateCatchEvent" => FlowNodeKind::IntermediateCatchEvent,
        "intermediateThrowEvent" => FlowNodeKind::IntermediateThrowEvent,
        "boundaryEvent" => FlowNodeKind::BoundaryEvent {
            attached_to: it.owned("attachedToRef"),
            cancel_activity: it.flag("cancelActivity").unwrap_or(true),
        },
        "endEvent" => FlowNodeKind::EndEvent,
        _ => return None,
    })
}

fn task(tree: &Tree, at: usize) -> Option<FlowNodeKind> {
    let it = tree.node(at);
    Some(match it.name.as_str() {
        "task" => FlowNodeKind::Task,
        "serviceTask" => FlowNodeKind::ServiceTask { operation_ref: it.owned("operationRef") },
        "sendTask" => {
            FlowNodeKind::SendTask { message_ref: it.owned("messageRef"), operation_ref: it.owned("operationRef") }
        }
        "receiveTask" => FlowNodeKind::ReceiveTask {
            message_ref: it.owned("messageRef"),
            instantiate: it.flag("instantiate").unwrap_or(false),
        },
        "userTask" => FlowNodeKind::UserTask,
        "manualTask" => FlowNodeKind::ManualTask,
        "businessRuleTask" => FlowNodeKind::BusinessRuleTask,
        "scriptTask" => FlowNodeKind::ScriptTask {
            format: it.owned("scriptFormat"),
            script: tree.child(at, "script").map(|it| expression(tree, it)),
        },
        "callActivity" => FlowNodeKind::CallActivity { called_element: it.owned("calledElement") },
        "choreographyTask" => FlowNodeKind::ChoreographyTask,
        "callChoreography" => FlowNodeKind::CallChoreography,
        _ => return None,
    })
}

/// The kind of task that a global task at the root is; `None` if it is none.
pub(super) fn global_kind(tree: &Tree, at: usize) -> Option<FlowNodeKind> {
    let it = tree.node(at);
    Some(match it.name.as_str() {
        "globalTask" => FlowNodeKind::Task,
        "globalUserTask" => FlowNodeKind::UserTask,
        "globalManualTask" => FlowNodeKind::ManualTask,
        "globalBusinessRuleTask" => FlowNodeKind::BusinessRuleTask,
        "globalScriptTask" => FlowNodeKind::ScriptTask {
            format: it.owned("scriptLanguage").or_else(|| it.owned("scriptFormat")),
            script: tree.child(at, "script").map(|it| expression(tree, it)),
        },
        _ => return None,
    })
}

fn container(tree: &Tree, at: usize) -> Option<FlowNodeKind> {
    let it = tree.node(at);
    Some(match it.name.as_str() {
        "subProcess" => FlowNodeKind::SubProcess { triggered_by_event: it.flag("triggeredByEvent").unwrap_or(false) },
        "transaction" => FlowNodeKind::Transaction,
        "adHocSubProcess" => FlowNodeKind::AdHocSubProcess {
            sequential: it.attribute("ordering") == Some("Sequential"),
            cancel_remaining: it.flag("cancelRemainingInstances").unwrap_or(true),
            completion_condition: tree.child(at, "completionCondition").map(|it| expression(tree, it)),
        },
        "subChoreography" => FlowNodeKind::SubChoreography,
        _ => return None,
    })
}

fn gateway(tree: &Tree, at: usize) -> Option<FlowNodeKind> {
    let it = tree.node(at);
    Some(match it.name.as_str() {
        "exclusiveGateway" => FlowNodeKind::ExclusiveGateway,
        "inclusiveGateway" => FlowNodeKind::InclusiveGateway,
        "parallelGateway" => FlowNodeKind::ParallelGateway,
        "complexGateway" => FlowNodeKind::ComplexGateway {
            activation_condition: tree.child(at, "activationCondition").map(|it| expression(tree, it)),
        },
        "eventBasedGateway" => FlowNodeKind::EventBasedGateway {
            instantiate: it.flag("instantiate").unwrap_or(false),
            parallel: it.attribute("eventGatewayType") == Some("Parallel"),
        },
        _ => return None,
    })
}

/// Builds the flow node at `at`.
pub(super) fn build(tree: &Tree, at: usize, kind: FlowNodeKind, parent: Option<usize>, ids: &mut Ids) -> FlowNode {
    let it = tree.node(at);
    let (id, id_given) = ids.of(it);
    let mut node = FlowNode {
        id_given,
        name: it.owned("name"),
        parent,
        default: it.owned("default"),
        parallel_multiple: it.flag("parallelMultiple").unwrap_or(false),
        is_for_compensation: it.flag("isForCompensation").unwrap_or(false),
        start_quantity: it.owned("startQuantity"),
        completion_quantity: it.owned("completionQuantity"),
        extensions: tree.extensions(at),
        ..FlowNode::new(id, kind, it.position)
    };
    for child in tree.children(at) {
        add_child(tree, child, &mut node);
    }
    node
}

fn add_child(tree: &Tree, at: usize, node: &mut FlowNode) {
    let it = tree.node(at);
    let text = || it.text.trimmed().to_owned();
    if it.namespace != Namespace::Bpmn {
        node.details.push(tree.element(at));
        return;
    }
    match it.name.as_str() {
        "incoming" => node.incoming.push(text()),
        "outgoing" => node.outgoing.push(text()),
        "documentation" => node.documentation.push(text()),
        "eventDefinitionRef" => node.event_definition_refs.push(text()),
        "extensionElements" | "script" | "activationCondition" | "completionCondition" => {}
        "standardLoopCharacteristics" | "multiInstanceLoopCharacteristics" => {
            node.loop_characteristics = Some(loop_characteristics(tree, at));
        }
        _ => {
            if let Some(definition) = events::definition(tree, at) {
                node.event_definitions.push(definition);
            } else if !node.kind.is_container() || !is_flow_element(tree, at) {
                node.details.push(tree.element(at));
            }
        }
    }
}

/// Whether the element has a place of its own in [`crate::model::Process`].
fn is_flow_element(tree: &Tree, at: usize) -> bool {
    let own = [
        "sequenceFlow",
        "dataObject",
        "dataObjectReference",
        "dataStoreReference",
        "property",
        "textAnnotation",
        "association",
        "group",
    ];
    kind(tree, at).is_some() || own.contains(&tree.node(at).name.as_str())
}

fn loop_characteristics(tree: &Tree, at: usize) -> LoopCharacteristics {
    let it = tree.node(at);
    let child = |name: &str| tree.child(at, name).map(|it| expression(tree, it));
    if it.name == "standardLoopCharacteristics" {
        LoopCharacteristics::Standard {
            test_before: it.flag("testBefore").unwrap_or(false),
            maximum: it.owned("loopMaximum"),
            condition: child("loopCondition"),
            position: it.position,
        }
    } else {
        LoopCharacteristics::MultiInstance {
            sequential: it.flag("isSequential").unwrap_or(false),
            cardinality: child("loopCardinality"),
            completion_condition: child("completionCondition"),
            behavior: it.owned("behavior"),
            element: Box::new(tree.element(at)),
        }
    }
}
