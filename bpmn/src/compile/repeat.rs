//! Loops, multi-instance, quantities and compensation of an activity (BPMN 10.3.3, 10.3.7, 10.7).

use routing::table::{Behavior, Marks, MultiInstance, Repeat, Throw};

use super::source::{Source, expression};
use super::{data, events};
use crate::diagnostic::Rule;
use crate::lint;
use crate::model::{
    Element, EventDefinition, EventDefinitionKind, Expression, FlowNode, LoopCharacteristics, Namespace,
    local_reference,
};

/// What the activity at `index` has besides its kind; `None` if it is all as usual.
pub(super) fn marks(source: &Source<'_>, index: usize) -> Option<Box<Marks>> {
    let node = source.node(index);
    if !node.kind.is_activity() {
        return None;
    }
    let marks = Marks {
        repeat: node.loop_characteristics.as_ref().and_then(|it| repeat(source, node, it)),
        start_quantity: quantity(source, node, node.start_quantity.as_deref(), "startQuantity"),
        completion_quantity: quantity(source, node, node.completion_quantity.as_deref(), "completionQuantity"),
        for_compensation: node.is_for_compensation,
        compensation: handler(source, index).map(super::nodes::number),
    };
    (marks != Marks::default()).then(|| Box::new(marks))
}

fn quantity(source: &Source<'_>, node: &FlowNode, text: Option<&str>, name: &str) -> u32 {
    let Some(text) = text else { return 1 };
    match text.trim().parse::<u32>() {
        Ok(quantity) if quantity > 0 => quantity,
        _ => {
            let message = format!("{name} `{text}` of {} is not a whole number above 0", lint::describe(node));
            source.error(node, Rule::QuantityInvalid, node.position, message);
            1
        }
    }
}

/// The activity that an association connects the compensation boundary event of `activity` with.
fn handler(source: &Source<'_>, activity: usize) -> Option<usize> {
    let boundary = lint::compensation_boundary(source.graph, activity)?;
    lint::handlers(source.graph, boundary).into_iter().next()
}

fn repeat(source: &Source<'_>, node: &FlowNode, marker: &LoopCharacteristics) -> Option<Repeat> {
    match marker {
        LoopCharacteristics::Standard { test_before, maximum, condition, position } => {
            let condition = condition.as_ref().filter(|it| !it.text.trimmed().is_empty());
            let maximum = maximum.as_deref().map(str::trim).filter(|it| !it.is_empty());
            if condition.is_none() && maximum.is_none() {
                let message = format!("the loop of {} has neither a condition nor a maximum", lint::describe(node));
                source.error(node, Rule::LoopCondition, *position, message);
            }
            let maximum = maximum.map(|it| {
                if !it.starts_with('=') {
                    quantity(source, node, Some(it), "loopMaximum");
                }
                source.template(node, *position, it)
            });
            let condition = condition.and_then(|it| source.feel(node, it));
            Some(Repeat::Standard { test_before: *test_before, maximum, condition })
        }
        LoopCharacteristics::MultiInstance { sequential, cardinality, completion_condition, behavior, element } => {
            let mut multi = data_of(source, node, element);
            multi.sequential = *sequential;
            let given = |it: &&Expression| !it.text.trimmed().is_empty();
            multi.cardinality = cardinality.as_ref().filter(given).and_then(|it| source.feel(node, it));
            let condition = completion_condition.as_ref().filter(given);
            multi.completion_condition = condition.and_then(|it| source.feel(node, it));
            multi.behavior = read_behavior(source, node, behavior.as_deref(), element);
            counted(source, node, &multi, cardinality.as_ref(), element);
            Some(Repeat::Multi(Box::new(multi)))
        }
    }
}

/// How many instances there are is said, and said once.
fn counted(
    source: &Source<'_>,
    node: &FlowNode,
    multi: &MultiInstance,
    cardinality: Option<&Expression>,
    element: &Element,
) {
    let cardinality = cardinality.is_some_and(|it| !it.text.trimmed().is_empty());
    let collection = multi.collection.is_some() || says_collection(element);
    let problem = match (cardinality, collection) {
        (false, false) => "has neither a cardinality nor a collection",
        (true, true) => "has a cardinality and a collection",
        _ => return,
    };
    let message = format!("the multi-instance marker of {} {problem}", lint::describe(node));
    source.error(node, Rule::LoopCount, element.position, message);
}

fn says_collection(element: &Element) -> bool {
    zeebe(element).is_some_and(|it| it.attribute("inputCollection").is_some_and(|it| !it.trim().is_empty()))
        || foreign(element, "collection").is_some()
        || child(element, "loopDataInputRef").is_some()
}

fn child<'e>(element: &'e Element, name: &str) -> Option<&'e Element> {
    element.children.iter().find(|it| lint::is_bpmn(it, name))
}

fn foreign<'e>(element: &'e Element, name: &str) -> Option<&'e str> {
    let vendors = |it: &Namespace| matches!(it, Namespace::Camunda | Namespace::Other(_));
    let own = element.attributes.iter().find(|it| vendors(&it.namespace) && it.name == name);
    own.map(|it| it.value.trim()).filter(|it| !it.is_empty())
}

/// `zeebe:loopCharacteristics` below the marker.
fn zeebe(element: &Element) -> Option<&Element> {
    child(element, "extensionElements")?.children_named(&Namespace::Zeebe, "loopCharacteristics").next()
}

/// Collections and elements: Camunda 8's, else those of Camunda 7 and its relatives, else the standard's.
fn data_of(source: &Source<'_>, node: &FlowNode, element: &Element) -> MultiInstance {
    let mut multi = MultiInstance::default();
    if let Some(own) = zeebe(element) {
        let said = |name| own.attribute(name).map(str::trim).filter(|it| !it.is_empty());
        let named = |name| said(name).map(|it| source.variable(node, own.position, it));
        let computed = |name| said(name).and_then(|it| source.feel_after_sign(node, own.position, name, it));
        multi.collection = computed("inputCollection");
        multi.element = said("inputElement").map(|it| source.local(node, own.position, it));
        multi.output_collection = named("outputCollection");
        multi.output_element = source.mentions.aside(|| computed("outputElement"));
        if said("outputCollection").is_some() != said("outputElement").is_some() {
            let message = format!("{} has one of outputCollection and outputElement", lint::describe(node));
            source.error(node, Rule::ExtensionInvalid, own.position, message);
        }
        return multi;
    }
    if let Some(collection) = foreign(element, "collection") {
        multi.collection = source.feel_text(node, element.position, collection);
        multi.element = foreign(element, "elementVariable").map(|it| source.local(node, element.position, it));
        return multi;
    }
    let item = |name: &str| child(element, name).and_then(data::name);
    multi.collection = child(element, "loopDataInputRef").and_then(|it| input(source, node, it));
    multi.element = item("inputDataItem");
    multi.output_collection = child(element, "loopDataOutputRef").and_then(|it| output(source, node, it));
    multi.output_element = item("outputDataItem").filter(|_| multi.output_collection.is_some());
    multi
}

/// The collection that `loopDataInputRef` names: what is copied into the data input, else what it is called.
fn input(source: &Source<'_>, node: &FlowNode, reference: &Element) -> Option<String> {
    let text = reference.text.trimmed();
    let copied = associated(node, "dataInputAssociation", "targetRef", text, "sourceRef");
    let name = copied.and_then(|it| data::variable(source, node, it)).or_else(|| data::variable(source, node, text));
    source.feel_text(node, reference.position, &name.unwrap_or_else(|| text.to_owned()))
}

fn output(source: &Source<'_>, node: &FlowNode, reference: &Element) -> Option<String> {
    let text = reference.text.trimmed();
    let copied = associated(node, "dataOutputAssociation", "sourceRef", text, "targetRef");
    let name = copied.and_then(|it| data::variable(source, node, it)).or_else(|| data::variable(source, node, text));
    Some(source.variable(node, reference.position, &name.unwrap_or_else(|| text.to_owned())))
}

/// The other end of the data association whose `end` is `reference`.
fn associated<'n>(node: &'n FlowNode, kind: &str, end: &str, reference: &str, other: &str) -> Option<&'n str> {
    let associations = node.details.iter().filter(|it| lint::is_bpmn(it, kind));
    let mut own = associations.filter(|it| child(it, end).is_some_and(|it| it.text.trimmed() == reference));
    Some(child(own.next()?, other)?.text.trimmed())
}

fn read_behavior(source: &Source<'_>, node: &FlowNode, behavior: Option<&str>, element: &Element) -> Behavior {
    let referred = |name: &str| {
        let attribute = element.attribute(name).map(str::to_owned);
        let reference = attribute.or_else(|| child(element, name).map(|it| it.text.trimmed().to_owned()))?;
        thrown_by(source, node, &reference, element)
    };
    match behavior.map(str::trim) {
        None | Some("" | "All") => Behavior::All,
        Some("None") => Behavior::None(referred("noneBehaviorEventRef")),
        Some("One") => Behavior::One(referred("oneBehaviorEventRef")),
        Some("Complex") => {
            let definitions = element.children.iter().filter(|it| lint::is_bpmn(it, "complexBehaviorDefinition"));
            Behavior::Complex(definitions.filter_map(|it| complex(source, node, it)).collect())
        }
        Some(other) => {
            let message = format!("the behavior `{other}` of {} is not one of BPMN's", lint::describe(node));
            source.error(node, Rule::LoopBehavior, element.position, message);
            Behavior::All
        }
    }
}

/// What the event definition at the root throws.
fn thrown_by(source: &Source<'_>, node: &FlowNode, reference: &str, element: &Element) -> Option<Throw> {
    let reference = local_reference(reference);
    let found = source.definitions.event_definitions.iter().find(|it| it.id.as_deref() == Some(reference));
    let Some(found) = found else {
        let message =
            format!("{} refers to event definition `{reference}`, which does not exist", lint::describe(node));
        source.error(node, Rule::UnknownReference, element.position, message);
        return None;
    };
    throw_of(source, node, found, element)
}

fn throw_of(source: &Source<'_>, node: &FlowNode, found: &EventDefinition, element: &Element) -> Option<Throw> {
    use EventDefinitionKind as K;
    if matches!(found.kind, K::Timer { .. } | K::Conditional { .. } | K::Link { .. } | K::Cancel | K::Terminate) {
        let message = format!("instances of {} cannot throw a {} event", lint::describe(node), found.kind.word());
        source.error(node, Rule::LoopBehavior, element.position, message);
        return None;
    }
    events::throw(source, node, found)
}

fn complex(source: &Source<'_>, node: &FlowNode, definition: &Element) -> Option<(String, Throw)> {
    let invalid = |problem: &str| {
        let message = format!("a complex behavior definition of {} {problem}", lint::describe(node));
        source.error(node, Rule::LoopBehavior, definition.position, message);
    };
    let Some(condition) = child(definition, "condition") else {
        invalid("has no condition");
        return None;
    };
    let condition = source.feel(node, &expression(condition))?;
    let reference = child(definition, "event").and_then(|it| child(it, "eventDefinitionRef"));
    match (reference, inner(definition)) {
        (Some(reference), _) => Some((condition, thrown_by(source, node, reference.text.trimmed(), definition)?)),
        (None, Some(event)) => Some((condition, throw_of(source, node, &event, definition)?)),
        (None, None) => {
            invalid("throws nothing");
            None
        }
    }
}

/// The event definition that stands in the behavior's own event.
fn inner(definition: &Element) -> Option<EventDefinition> {
    child(definition, "event")?.children.iter().find_map(EventDefinition::of_element)
}
