//! Models for the game, written as their elements.

/// A model's body wrapped into definitions with one process `p`.
pub fn model(body: &str) -> String {
    format!(
        r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
        xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" id="d" targetNamespace="t"><process id="p" isExecutable="true">{body}</process></definitions>"#
    )
}

/// A model's body wrapped into definitions with one process `p`, beside root elements such as messages and errors, or other processes.
pub fn model_beside(root: &str, body: &str) -> String {
    model(body).replacen("<process", &format!("{root}<process"), 1)
}

/// A service task bound to a type of its own name.
pub fn task(id: &str) -> String {
    format!(
        r#"<serviceTask id="{id}"><extensionElements><zeebe:taskDefinition type="{id}"/></extensionElements></serviceTask>"#
    )
}

/// A sequence flow.
pub fn flow(id: &str, from: &str, to: &str) -> String {
    format!(r#"<sequenceFlow id="{id}" sourceRef="{from}" targetRef="{to}"/>"#)
}

/// A conditional sequence flow.
pub fn flow_if(id: &str, from: &str, to: &str, condition: &str) -> String {
    let condition = condition.replace('<', "&lt;");
    format!(
        r#"<sequenceFlow id="{id}" sourceRef="{from}" targetRef="{to}"><conditionExpression xsi:type="tFormalExpression">={condition}</conditionExpression></sequenceFlow>"#
    )
}
