//! `docs/bpmn-support.md` is true: each test it names exists, each refusal happens, and nothing of the standard is missing.

use std::path::{Path, PathBuf};

/// The elements of the schema that are drawn in a process: flow elements, event definitions, loops, data, and what stands at the root.
const ELEMENTS: &[&str] = &[
    "adHocSubProcess",
    "assignment",
    "association",
    "boundaryEvent",
    "businessRuleTask",
    "callActivity",
    "callChoreography",
    "callConversation",
    "cancelEventDefinition",
    "category",
    "choreography",
    "choreographyTask",
    "collaboration",
    "compensateEventDefinition",
    "complexBehaviorDefinition",
    "complexGateway",
    "conditionalEventDefinition",
    "conversation",
    "correlationKey",
    "correlationProperty",
    "correlationPropertyBinding",
    "correlationPropertyRetrievalExpression",
    "correlationSubscription",
    "dataInput",
    "dataInputAssociation",
    "dataObject",
    "dataObjectReference",
    "dataOutput",
    "dataOutputAssociation",
    "dataState",
    "dataStore",
    "dataStoreReference",
    "definitions",
    "documentation",
    "endEvent",
    "endPoint",
    "error",
    "errorEventDefinition",
    "escalation",
    "escalationEventDefinition",
    "eventBasedGateway",
    "exclusiveGateway",
    "globalBusinessRuleTask",
    "globalManualTask",
    "globalScriptTask",
    "globalTask",
    "globalUserTask",
    "group",
    "humanPerformer",
    "implicitThrowEvent",
    "import",
    "inclusiveGateway",
    "inputSet",
    "interface",
    "intermediateCatchEvent",
    "intermediateThrowEvent",
    "ioBinding",
    "ioSpecification",
    "itemDefinition",
    "lane",
    "laneSet",
    "linkEventDefinition",
    "manualTask",
    "message",
    "messageEventDefinition",
    "messageFlow",
    "multiInstanceLoopCharacteristics",
    "operation",
    "outputSet",
    "parallelGateway",
    "participant",
    "partnerEntity",
    "partnerRole",
    "performer",
    "potentialOwner",
    "process",
    "property",
    "receiveTask",
    "relationship",
    "rendering",
    "resourceRole",
    "scriptTask",
    "sendTask",
    "sequenceFlow",
    "serviceTask",
    "signal",
    "signalEventDefinition",
    "standardLoopCharacteristics",
    "startEvent",
    "subChoreography",
    "subConversation",
    "subProcess",
    "task",
    "terminateEventDefinition",
    "textAnnotation",
    "timerEventDefinition",
    "transaction",
    "userTask",
];

/// Attributes and parts that change what runs.
const ATTRIBUTES: &[&str] = &[
    "activationCondition",
    "activityRef",
    "attachedToRef",
    "behavior",
    "calledElement",
    "cancelActivity",
    "cancelRemainingInstances",
    "completionCondition",
    "completionQuantity",
    "conditionExpression",
    "default",
    "eventDefinitionRef",
    "eventGatewayType",
    "expressionLanguage",
    "gatewayDirection",
    "inputDataItem",
    "instantiate",
    "isExecutable",
    "isForCompensation",
    "isImmediate",
    "isInterrupting",
    "isSequential",
    "loopCardinality",
    "loopCondition",
    "loopDataInputRef",
    "loopDataOutputRef",
    "loopMaximum",
    "noneBehaviorEventRef",
    "oneBehaviorEventRef",
    "ordering",
    "outputDataItem",
    "parallelMultiple",
    "processType",
    "protocol",
    "script",
    "scriptFormat",
    "startQuantity",
    "testBefore",
    "timeCycle",
    "timeDate",
    "timeDuration",
    "triggeredByEvent",
    "waitForCompletion",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/bpmn-support.md")).unwrap()
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The rows: what it is, the verdict, the evidence.
fn rows(page: &str) -> Vec<(&str, &str, &str)> {
    let lines = page.lines().filter(|it| it.starts_with("| ") && !it.starts_with("| element or attribute"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [what, verdict, _, evidence] = cells[..] else { panic!("not four cells: {line}") };
            (what, verdict, evidence)
        })
        .collect()
}

#[test]
fn each_yes_names_tests_that_exist() {
    let page = page();
    let mut wrong = Vec::new();
    for (what, _, evidence) in rows(&page).into_iter().filter(|it| it.1 == "yes") {
        let tests = quoted(evidence);
        if tests.is_empty() {
            wrong.push(format!("{what}: names no test"));
        }
        for test in tests {
            let Some((file, name)) = test.split_once("::") else { panic!("{what}: `{test}` is no file::test") };
            let places = ["tests/tests", "bpmn/tests"].map(|it| root().join(it).join(file));
            let source = places.iter().find_map(|it| std::fs::read_to_string(it).ok());
            if !source.is_some_and(|it| it.contains(&format!("fn {name}("))) {
                wrong.push(format!("{what}: there is no {test}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_refusal_happens() {
    let page = page();
    let mut wrong = Vec::new();
    for (what, _, evidence) in rows(&page).into_iter().filter(|it| it.1 == "refused") {
        let [rule, fixture] = quoted(evidence)[..] else { panic!("{what}: names no rule and fixture") };
        if !bpmn::CATALOGUE.iter().any(|it| it.id() == rule) {
            wrong.push(format!("{what}: there is no rule {rule}"));
        }
        let model = std::fs::read(root().join("bpmn/tests/reject").join(fixture));
        let model = model.unwrap_or_else(|error| panic!("{what}: {fixture}: {error}"));
        let found = match bpmn::check(&model, &bpmn::Options::default()) {
            Ok(_) => Vec::new(),
            Err(findings) => findings,
        };
        if !found.iter().any(|it| it.rule == rule && it.is_error()) {
            wrong.push(format!("{what}: {fixture} is not refused by {rule}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_of_the_standard_is_missing() {
    let page = page();
    let rows = rows(&page);
    assert!(rows.iter().all(|it| ["yes", "refused", "drawn"].contains(&it.1)), "another verdict");
    let mentioned: Vec<&str> = rows.iter().flat_map(|it| quoted(it.0)).collect();
    let missing: Vec<_> = ELEMENTS.iter().chain(ATTRIBUTES).filter(|it| !mentioned.contains(*it)).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
}
