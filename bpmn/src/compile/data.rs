//! Properties and data objects as variables (BPMN 10.4): by which names, and which scopes begin with them.

use routing::table::Data;

use super::nodes::number;
use super::source::Source;
use crate::lint;
use crate::model::{Element, FlowNode};

/// What modelers write as the target of an association that goes to the activity as a whole.
const PLACEHOLDER: &str = "__targetRef_placeholder";

/// The variables that the process and its sub-processes begin with. The original's processes carry any payload, not variables.
pub(super) fn of(source: &Source<'_>) -> Vec<Data> {
    if source.annotations.dialect {
        return Vec::new();
    }
    let declared = source
        .graph
        .process
        .data
        .iter()
        .filter(|it| lint::is_bpmn(&it.element, "property") || lint::is_bpmn(&it.element, "dataObject"));
    let mut seen = std::collections::HashSet::new();
    declared
        .filter_map(|it| {
            let name = name(&it.element)?;
            let new = seen.insert((it.parent, name.clone()));
            new.then(|| Data { scope: it.parent.map(number), name, value: None })
        })
        .collect()
}

/// The variable that a reference of `node` stands for: what the referred element is called. `None` if it is called nothing that an
/// expression can say, or is only drawn.
pub(super) fn variable(source: &Source<'_>, node: &FlowNode, reference: &str) -> Option<String> {
    let reference = crate::model::local_reference(reference);
    let find = |id: &str| {
        let everywhere = source.graph.process.data.iter().map(|it| &it.element);
        everywhere.chain(own(node)).find(|it| it.attribute("id") == Some(id))
    };
    let element = find(reference)?;
    if lint::is_bpmn(element, "dataObjectReference")
        && let Some(object) = element.attribute("dataObjectRef").and_then(|it| find(crate::model::local_reference(it)))
        && let Some(name) = name(object).filter(|_| object.attribute("name").is_some())
    {
        return Some(name);
    }
    name(element)
}

/// Data inputs and outputs, properties of an activity or event.
fn own(node: &FlowNode) -> impl Iterator<Item = &Element> {
    let kinds = ["dataInput", "dataOutput", "property", "inputDataItem", "outputDataItem"];
    let nested = node.details.iter().filter(|it| lint::is_bpmn(it, "ioSpecification")).flat_map(|it| &it.children);
    node.details.iter().chain(nested).filter(move |it| kinds.iter().any(|kind| lint::is_bpmn(it, kind)))
}

/// Its name, else its id, if an expression can say it.
pub(super) fn name(element: &Element) -> Option<String> {
    let name = element.attribute("name").map(str::trim).filter(|it| !it.is_empty());
    let name = name.or_else(|| element.attribute("id").map(str::trim))?;
    let usable = name != PLACEHOLDER
        && name.starts_with(|it: char| it.is_alphabetic() || it == '_')
        && name.chars().all(|it| it.is_alphanumeric() || "_ ".contains(it));
    usable.then(|| name.to_owned())
}
