//! A process of many tasks in a row, a service each.

use std::fmt::Write as _;

/// How a service is named.
pub(super) fn service(number: usize) -> String {
    format!("service-{number}")
}

/// The process `id` with a task of each service; another `version` has other tables.
pub(super) fn process(id: &str, services: usize, version: usize) -> String {
    let mut elements = String::new();
    let mut flow = |from: &str, to: &str, number: usize| {
        write!(elements, r#"<sequenceFlow id="f{number}" sourceRef="{from}" targetRef="{to}"/>"#)
            .expect("a string takes everything");
    };
    let task = |number: usize| format!("task-{number}");
    flow("start", &task(0), 0);
    (1..services).for_each(|it| flow(&task(it - 1), &task(it), it));
    flow(&task(services - 1), "end", services);
    for number in 0..services {
        write!(
            elements,
            r#"<serviceTask id="{}" name="version {version}"><extensionElements><zeebe:taskDefinition type="{}"/></extensionElements></serviceTask>"#,
            task(number),
            service(number)
        )
        .expect("a string takes everything");
    }
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" targetNamespace="urn:rexflow:bench">
<process id="{id}" name="version {version}" isExecutable="true"><startEvent id="start"/><endEvent id="end"/>{elements}</process>
</definitions>"#
    )
}
