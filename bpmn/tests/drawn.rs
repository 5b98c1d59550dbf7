//! Small models written in the tests themselves, and what their tables say.

use flow_bpmn::{Options, ProcessDefinition, check};
use routing::table::{Marks, Node, NodeKind, RoutingTable};

/// A file: what stands at the root, and in its one process.
pub(crate) fn file(roots: &str, body: &str) -> String {
    format!(
        r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:zeebe="http://camunda.org/schema/zeebe/1.0"
        xmlns:camunda="http://camunda.org/schema/1.0/bpmn" targetNamespace="urn:test">{roots}
        <process id="P" isExecutable="true">{body}</process></definitions>"#
    )
}

/// Flows `f1`, `f2` ... along `S A B E`, a path of ids.
pub(crate) fn path(ids: &str) -> String {
    let ids: Vec<&str> = ids.split(' ').collect();
    let flow =
        |(from, to): (&str, &str)| format!(r#"<sequenceFlow id="{from}_{to}" sourceRef="{from}" targetRef="{to}"/>"#);
    ids.windows(2).map(|it| flow((it[0], it[1]))).collect()
}

/// A service task.
pub(crate) fn task(id: &str) -> String {
    with(id, "", "")
}

/// A service task with more attributes and children.
pub(crate) fn with(id: &str, attributes: &str, inner: &str) -> String {
    format!(
        r#"<serviceTask id="{id}" {attributes}><extensionElements><zeebe:taskDefinition type="t"/></extensionElements>{inner}</serviceTask>"#
    )
}

/// `S`, then what is given, then `E`, in a row.
pub(crate) fn row(roots: &str, id: &str, node: &str) -> String {
    file(roots, &format!(r#"<startEvent id="S"/>{node}<endEvent id="E"/>{}"#, path(&format!("S {id} E"))))
}

pub(crate) fn compile_with(xml: &str, options: &Options) -> Vec<ProcessDefinition> {
    let checked = check(xml.as_bytes(), options);
    checked.unwrap_or_else(|it| panic!("{}\n{xml}", crate::fixtures::listed(&it))).definitions
}

pub(crate) fn compile(xml: &str) -> ProcessDefinition {
    compile_with(xml, &crate::fixtures::options()).remove(0)
}

/// The ledger's table.
pub(crate) fn table(xml: &str) -> RoutingTable {
    compile(xml).ledger.table
}

pub(crate) fn node<'t>(table: &'t RoutingTable, id: &str) -> &'t Node {
    table.node(table.find(id).unwrap_or_else(|| panic!("no node {id}")))
}

pub(crate) fn kind(xml: &str, id: &str) -> NodeKind {
    node(&table(xml), id).kind.clone()
}

pub(crate) fn marks(xml: &str, id: &str) -> Marks {
    node(&table(xml), id).marks.as_deref().cloned().expect("it has marks")
}
