//! `docs/annotations.md` is true: each key it names has, in a model, the result that it gives; and no key of the original is left out.

use flow_bpmn::{Diagnostic, Options, Severity, check};

/// The keys that the original reads.
const ORIGINAL: &[&str] = &[
    "id",
    "namespace",
    "namespace_shared",
    "orchestrator",
    "recoverable",
    "retry.total_attempts",
    "transport",
    "deployment_timeout",
    "synchronous_wrapper_timeout",
    "notification_kafka_topic",
    "xgw_expression_type",
    "use_closure_transport",
    "priority_class",
    "user_opaque_metadata",
    "user_metadata",
    "passthrough_target",
    "prefix_passthrough_with_namespace",
    "catch_event_expiration",
    "timer_recovery_policy",
    "preexisting",
    "service.host",
    "service.port",
    "service.targetPort",
    "service.container",
    "service.namespace",
    "service.protocol",
    "service.asynchronous",
    "call.path",
    "call.method",
    "call.serialization",
    "call.retry.total_attempts",
    "health.path",
    "health.method",
    "health.query",
    "health.period",
    "health.response",
    "health.timeout",
    "health.initial_delay",
    "health.failure_threshold",
    "topic",
    "kafka_topic",
    "correlation",
    "fields.file",
    "gateway_type",
    "gateway_name",
    "gateway_split",
    "next_step_id",
];

/// A row of a table.
struct Row {
    section: String,
    key: String,
    example: String,
    result: String,
}

fn rows() -> Vec<Row> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/annotations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (mut section, mut rows) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_owned();
        }
        let cells: Vec<&str> = line.split(" | ").map(|it| it.trim_matches(['|', ' ', '`'])).collect();
        if let [key, example, result, ..] = cells.as_slice()
            && line.starts_with("| `")
        {
            let owned = |it: &str| it.to_owned();
            rows.push(Row {
                section: section.clone(),
                key: owned(key),
                example: owned(example),
                result: owned(result),
            });
        }
    }
    rows
}

/// `a.b: value` as nested YAML, with what the key cannot be without.
fn yaml(row: &Row) -> String {
    let mut text = String::new();
    let parts: Vec<&str> = row.key.split('.').collect();
    for (depth, part) in parts.iter().enumerate() {
        let last = depth + 1 == parts.len();
        let value = if last { format!(" {}", row.example) } else { String::new() };
        text += &format!("{}{part}:{value}\n", "  ".repeat(depth + 1));
        if *part == "service" && row.key != "service.host" {
            text += "    host: collect\n";
        }
    }
    if row.section == "Service tasks" && !row.key.starts_with("service.") {
        text += "  service:\n    host: collect\n";
    }
    if row.key == "notification_hops" {
        text += "  notification_kafka_topic: states\n";
    }
    let waits = ["correlation", "catch_event_expiration"].contains(&row.key.as_str());
    if waits && row.section != "The process" {
        text += "  topic: orders\n";
    }
    text
}

/// The findings about annotations in a model that has the row's key.
fn findings(row: &Row) -> Vec<Diagnostic> {
    let mut events = ["", "", ""];
    let message = "<messageEventDefinition/>";
    let element = match row.section.as_str() {
        "The process" => "",
        "Service tasks" => "task",
        "Start events" => "start",
        "Throw and end events" => {
            events[0] = message;
            "throw"
        }
        "Catch and boundary events" => {
            events[1] = match row.key.as_str() {
                "timer_recovery_policy" => {
                    "<timerEventDefinition><timeDuration>PT1S</timeDuration></timerEventDefinition>"
                }
                _ => message,
            };
            "catch"
        }
        "User tasks" => "user",
        "Gateways" => "gateway",
        other => panic!("a table in {other:?}"),
    };
    if element == "start" && row.key.ends_with("topic") {
        events[2] = message;
    }
    let optional = |id: &str, kind: &str, definition: &str| match definition {
        "" => format!(r#"<manualTask id="{id}"/>"#),
        definition => format!(r#"<{kind} id="{id}">{definition}</{kind}>"#),
    };
    let note = match element {
        "" => {
            format!("<textAnnotation id=\"N\"><text>rexflow_global_properties:\n{}</text></textAnnotation>", yaml(row))
        }
        element => format!(
            "<textAnnotation id=\"N\"><text>rexflow:\n{}</text></textAnnotation><association id=\"O\" sourceRef=\"{element}\" targetRef=\"N\"/>",
            yaml(row)
        ),
    };
    let bound = if element == "task" {
        ""
    } else {
        r#"<extensionElements><zeebe:taskDefinition type="t"/></extensionElements>"#
    };
    let ids = ["start", "task", "throw", "catch", "user", "gateway", "end"];
    let flows: String = ids
        .windows(2)
        .map(|it| format!(r#"<sequenceFlow id="{0}-{1}" sourceRef="{0}" targetRef="{1}"/>"#, it[0], it[1]))
        .collect();
    let xml = format!(
        r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:zeebe="http://camunda.org/schema/zeebe/1.0" targetNamespace="urn:test">
        <process id="p" isExecutable="true"><startEvent id="start">{}</startEvent><serviceTask id="task">{bound}</serviceTask>{}{}
        <userTask id="user"><extensionElements><zeebe:userTask/></extensionElements></userTask><exclusiveGateway id="gateway"/><endEvent id="end"/>{flows}{note}</process></definitions>"#,
        events[2],
        optional("throw", "intermediateThrowEvent", events[0]),
        optional("catch", "intermediateCatchEvent", events[1]),
    );
    let mut found = match check(xml.as_bytes(), &Options::default()) {
        Ok(checked) => checked.warnings,
        Err(found) => found,
    };
    found.retain(|it| it.rule.starts_with("annotation") || it.severity == Severity::Error);
    found
}

#[test]
fn every_key_has_the_result_that_its_table_gives() {
    let rows = rows();
    assert!(rows.len() > 60, "{} rows", rows.len());
    for row in &rows {
        let found = findings(row);
        let refused = found.iter().any(Diagnostic::is_error);
        let ignored = found.iter().any(|it| it.rule == "annotation-ignored");
        let clean = found.iter().all(|it| it.rule == "annotation-old-spelling");
        let holds = match row.result.as_str() {
            "works" => clean,
            "ignored" => ignored && !refused,
            "refused" => refused,
            other => panic!("{}: {other:?} is no result", row.key),
        };
        assert!(holds, "{}: {} is said to be {}: {found:#?}", row.section, row.key, row.result);
    }
}

#[test]
fn no_key_of_the_original_is_left_out() {
    let rows = rows();
    for key in ORIGINAL {
        assert!(rows.iter().any(|row| row.key == *key), "{key} is in no table");
    }
}

#[test]
fn the_transport_in_a_flows_name_is_an_information() {
    let xml = r#"<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="urn:test"><process id="p" isExecutable="true">
        <startEvent id="S"/><endEvent id="E"/><sequenceFlow id="f" name="transport: kafka" sourceRef="S" targetRef="E"/></process></definitions>"#;
    let checked = check(xml.as_bytes(), &Options::default()).unwrap();
    let found = checked.warnings.iter().find(|it| it.rule == "annotation-ignored").expect("an information");
    assert_eq!((found.severity, found.element.as_deref()), (Severity::Info, Some("f")));
}
