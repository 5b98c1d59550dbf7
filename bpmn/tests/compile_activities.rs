//! Activities in tables: what they do, loops, data, calls, decisions.

use std::collections::BTreeMap;

use flow_bpmn::{Limits, Options, dmn};
use routing::form::Form;
use routing::table::{
    AdHoc, Assignment, Behavior, Call, DataMapping, Evaluation, MultiInstance, NodeKind, Place, Repeat, SubProcess,
    Template, Throw, UserTask, Version,
};

use crate::drawn::{compile, compile_with, file, kind, marks, node, path, row, table, with};

fn feel(text: &str) -> Template {
    Template::Feel(text.to_owned())
}

fn fixed(text: &str) -> Template {
    Template::Static(text.to_owned())
}

fn assignment(target: &str, source: Template) -> Assignment {
    Assignment { target: target.to_owned(), source }
}

fn extended(element: &str, attributes: &str, extensions: &str) -> String {
    let node =
        format!("<{element} id=\"T\" {attributes}><extensionElements>{extensions}</extensionElements></{element}>");
    row(r#"<message id="m" name="order"/>"#, "T", &node)
}

fn task(xml: &str) -> routing::table::Task {
    match kind(xml, "T") {
        NodeKind::Task(task) => *task,
        other => panic!("{other:?}"),
    }
}

fn evaluation(xml: &str) -> Evaluation {
    let table = table(xml);
    match &node(&table, "T").kind {
        NodeKind::Evaluate(evaluation) => (**evaluation).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn manual_and_undefined_tasks_do_nothing_and_are_folded() {
    for element in ["task", "manualTask"] {
        let table = table(&extended(element, "", ""));
        assert_eq!(node(&table, "T").kind, NodeKind::Evaluate(Box::new(Evaluation::Nothing)));
        assert_eq!((&node(&table, "T").place, node(&table, "T").guarded), (&Place::Folded, false));
    }
}

#[test]
fn scripts_are_feel() {
    let zeebe = extended("scriptTask", "", r#"<zeebe:script expression="=a + 1" resultVariable="b"/>"#);
    let expected = Evaluation::Script { expression: "a + 1".into(), result_variable: Some("b".into()) };
    assert_eq!(evaluation(&zeebe), expected);
    let script =
        r#"<scriptTask id="T" scriptFormat="feel" camunda:resultVariable="b"><script>a + 1</script></scriptTask>"#;
    assert_eq!(evaluation(&row("", "T", script)), expected);
    let bound = r#"<scriptTask id="T" scriptFormat="groovy"><extensionElements><zeebe:taskDefinition type="t"/></extensionElements><script>x</script></scriptTask>"#;
    assert_eq!(task(&row("", "T", bound)).service.as_str(), "t", "a service does other languages");
    let outside = row("", "T", r#"<scriptTask id="T" scriptFormat="groovy"><script>x</script></scriptTask>"#);
    let bindings = BTreeMap::from([("T".to_owned(), "http://localhost/".to_owned())]);
    let options = Options { bindings, ..Options::default() };
    assert!(matches!(node(&compile_with(&outside, &options)[0].ledger.table, "T").kind, NodeKind::Task(_)));
}

#[test]
fn decisions_are_those_of_files_beside_the_model() {
    let dish = dmn::read(include_bytes!("dmn/accept/dish.dmn"), Limits::default()).unwrap().decisions;
    let id = dish.decisions[0].id.clone();
    let called = format!(r#"<zeebe:calledDecision decisionId="{id}" resultVariable="x"/>"#);
    let decides =
        format!(r#"<businessRuleTask id="D"><extensionElements>{called}</extensionElements></businessRuleTask>"#);
    let xml = file(
        "",
        &format!(
            r#"<startEvent id="S"/>{}{decides}{}<endEvent id="E"/>{}"#,
            crate::drawn::task("A"),
            crate::drawn::task("B"),
            path("S A D B E")
        ),
    );
    let options = Options { decisions: vec![dish.clone()], ..crate::fixtures::options() };
    let definition = compile_with(&xml, &options).remove(0);
    let NodeKind::Evaluate(evaluation) = &node(&definition.ledger.table, "D").kind else { panic!() };
    let expected =
        Evaluation::Decision { decision: fixed(&id), result_variable: Some("x".into()), file: Some(dish.digest()) };
    assert_eq!(**evaluation, expected);
    assert_eq!(definition.ledger.table.decisions, std::slice::from_ref(&dish));
    assert_eq!(definition.tasks["A"].table.decisions, [dish], "who passes it evaluates it");
    assert!(definition.tasks["B"].table.decisions.is_empty());
    assert_ne!(compile(&xml).deployment, definition.deployment, "the hash covers the decisions");
}

#[test]
fn user_tasks_say_who_and_when() {
    let zeebe = r#"<zeebe:userTask/><zeebe:formDefinition formId="f"/><zeebe:assignmentDefinition assignee="=owner" candidateGroups="a,b"/>
        <zeebe:taskSchedule dueDate="=due"/><zeebe:priorityDefinition priority="70"/>"#;
    let expected = UserTask {
        form: Some(fixed("f")),
        assignee: Some(feel("owner")),
        candidate_groups: Some(fixed("a,b")),
        due_date: Some(feel("due")),
        priority: Some(fixed("70")),
        ..UserTask::default()
    };
    let xml = extended("userTask", "", zeebe);
    assert_eq!(kind(&xml, "T"), NodeKind::UserTask(Box::new(expected)));
    assert!(node(&table(&xml), "T").guarded);
    let form = Form { names: vec!["f".to_owned()], ..Form::default() };
    let options = Options { forms: vec![form], ..Options::default() };
    let with_form = compile_with(&xml, &options).remove(0);
    assert_ne!(with_form.deployment, compile(&xml).deployment, "the hash covers the form");
    let camunda = kind(&extended("userTask", r#"camunda:assignee="ann" camunda:formKey="k""#, ""), "T");
    let expected = UserTask { form: Some(fixed("k")), assignee: Some(fixed("ann")), ..UserTask::default() };
    assert_eq!(camunda, NodeKind::UserTask(Box::new(expected)));
}

#[test]
fn calls_name_process_version_and_variables() {
    let called = |attributes: &str, extensions: &str| match kind(&extended("callActivity", attributes, extensions), "T")
    {
        NodeKind::CallActivity(call) => *call,
        other => panic!("{other:?}"),
    };
    let plain = Call { process: fixed("Q"), version: Version::Latest, propagate_inputs: true, propagate_outputs: true };
    assert_eq!(called(r#"calledElement="Q""#, ""), plain);
    let zeebe = r#"<zeebe:calledElement processId="=which" bindingType="versionTag" versionTag="v2" propagateAllChildVariables="false"/>"#;
    let expected =
        Call { process: feel("which"), version: Version::Tag("v2".into()), propagate_outputs: false, ..plain.clone() };
    assert_eq!(called("", zeebe), expected);
    let binding = r#"calledElement="Q" camunda:calledElementBinding="deployment""#;
    let lines = r#"<camunda:in source="a" target="b"/><camunda:in sourceExpression="=1 + 1" target="c"/><camunda:out variables="all"/>"#;
    let expected = Call { version: Version::Deployment, propagate_inputs: false, ..plain };
    assert_eq!(called(binding, lines), expected);
    let table = table(&extended("callActivity", binding, lines));
    let mapping = node(&table, "T").mapping.as_ref().unwrap();
    assert_eq!(mapping.inputs, [assignment("b", feel("a")), assignment("c", feel("1 + 1"))]);
    let fixed = r#"calledElement="Q" camunda:calledElementBinding="version" camunda:calledElementVersion="Q-0123abcd""#;
    assert_eq!(called(fixed, "").version, Version::Fixed("Q-0123abcd".into()));
    let tagged = file(
        "",
        r#"<extensionElements><zeebe:versionTag value="v2"/></extensionElements><startEvent id="S"/><endEvent id="E"/><sequenceFlow id="f" sourceRef="S" targetRef="E"/>"#,
    );
    assert_eq!(compile(&tagged).version_tag.as_deref(), Some("v2"));
}

#[test]
fn global_tasks_are_processes_of_one_task() {
    let definitions = compile_with(include_str!("accept/global-task.bpmn"), &Options::default());
    assert_eq!(definitions[1].process.as_str(), "Approve");
    assert!(matches!(node(&definitions[1].ledger.table, "Approve-task").kind, NodeKind::UserTask(_)));
}

#[test]
fn sub_processes_of_every_kind() {
    let sub = |element: &str, attributes: &str, inner: &str| {
        let drawn = format!(r#"<{element} id="T" {attributes}><task id="a"/>{inner}</{element}>"#);
        let table = table(&row("", "T", &drawn));
        assert_eq!(node_parent(&table, "a"), Some("T"));
        assert_eq!(node_parent(&table, "a-end"), Some("T"), "what ends in a sub-process ends there");
        match &node(&table, "T").kind {
            NodeKind::SubProcess(sub) => (**sub).clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(sub("subProcess", "", ""), SubProcess::Embedded);
    assert_eq!(sub("transaction", "", ""), SubProcess::Transaction);
    let ad_hoc = AdHoc { cancel_remaining: true, ..AdHoc::default() };
    assert_eq!(sub("adHocSubProcess", "", ""), SubProcess::AdHoc(ad_hoc));
    let sequential = sub(
        "adHocSubProcess",
        r#"ordering="Sequential" cancelRemainingInstances="false""#,
        "<completionCondition>done</completionCondition>",
    );
    let expected = AdHoc { sequential: true, completion: Some("done".into()), ..AdHoc::default() };
    assert_eq!(sequential, SubProcess::AdHoc(expected));
}

fn node_parent<'t>(table: &'t routing::RoutingTable, id: &str) -> Option<&'t str> {
    node(table, id).parent.map(|it| table.node(it).id.as_str())
}

#[test]
fn loops_and_quantities() {
    let looped = |inner: &str| marks(&row("", "T", &with("T", "", inner)), "T").repeat.unwrap();
    let condition = r#"<standardLoopCharacteristics testBefore="true" loopMaximum="3"><loopCondition>x &lt; 1</loopCondition></standardLoopCharacteristics>"#;
    let expected = Repeat::Standard { test_before: true, maximum: Some(fixed("3")), condition: Some("x < 1".into()) };
    assert_eq!(looped(condition), expected);
    let counted = marks(&row("", "T", &with("T", r#"startQuantity="2" completionQuantity="3""#, "")), "T");
    assert_eq!((counted.start_quantity, counted.completion_quantity), (2, 3));
}

fn multi(roots: &str, marker: &str, data: &str) -> MultiInstance {
    match marks(&row(roots, "T", &with("T", "", &format!("{data}{marker}"))), "T").repeat {
        Some(Repeat::Multi(multi)) => *multi,
        other => panic!("{other:?}"),
    }
}

#[test]
fn multi_instance_in_three_dialects() {
    let cardinality = r#"<multiInstanceLoopCharacteristics isSequential="true"><loopCardinality>count(x)</loopCardinality>
        <completionCondition>done</completionCondition></multiInstanceLoopCharacteristics>"#;
    let expected = MultiInstance {
        sequential: true,
        cardinality: Some("count(x)".into()),
        completion_condition: Some("done".into()),
        ..MultiInstance::default()
    };
    assert_eq!(multi("", cardinality, ""), expected);
    let expected = MultiInstance {
        collection: Some("items".into()),
        element: Some("item".into()),
        output_collection: Some("results".into()),
        output_element: Some("result".into()),
        ..MultiInstance::default()
    };
    let zeebe = r#"<multiInstanceLoopCharacteristics><extensionElements><zeebe:loopCharacteristics inputCollection="=items" inputElement="item"
        outputCollection="results" outputElement="=result"/></extensionElements></multiInstanceLoopCharacteristics>"#;
    assert_eq!(multi("", zeebe, ""), expected);
    let data =
        r#"<ioSpecification><dataInput id="in" name="items"/><dataOutput id="out" name="results"/></ioSpecification>"#;
    let standard = r#"<multiInstanceLoopCharacteristics><loopDataInputRef>in</loopDataInputRef><loopDataOutputRef>out</loopDataOutputRef>
        <inputDataItem id="i" name="item"/><outputDataItem id="o" name="result"/></multiInstanceLoopCharacteristics>"#;
    assert_eq!(multi("", standard, data), expected);
    let camunda = r#"<multiInstanceLoopCharacteristics camunda:collection="items" camunda:elementVariable="item"/>"#;
    let expected = MultiInstance { output_collection: None, output_element: None, ..expected };
    assert_eq!(multi("", camunda, ""), expected);
}

#[test]
fn multi_instance_behaviors_throw_what_the_root_defines() {
    let roots = r#"<signal id="s" name="done"/><signalEventDefinition id="def" signalRef="s"/>"#;
    let with = |attributes: &str, inner: &str| {
        let marker = format!(
            "<multiInstanceLoopCharacteristics {attributes}><loopCardinality>2</loopCardinality>{inner}</multiInstanceLoopCharacteristics>"
        );
        multi(roots, &marker, "").behavior
    };
    let signal = || Throw::Signal(fixed("done"));
    assert_eq!(with("", ""), Behavior::All);
    assert_eq!(with(r#"behavior="None" noneBehaviorEventRef="def""#, ""), Behavior::None(Some(signal())));
    assert_eq!(with(r#"behavior="One" oneBehaviorEventRef="def""#, ""), Behavior::One(Some(signal())));
    let complex = r#"<complexBehaviorDefinition><condition>n = 1</condition><event><eventDefinitionRef>def</eventDefinitionRef></event></complexBehaviorDefinition>
        <complexBehaviorDefinition><condition>n = 2</condition><event><signalEventDefinition signalRef="s"/></event></complexBehaviorDefinition>"#;
    let expected = vec![("n = 1".to_owned(), signal()), ("n = 2".to_owned(), signal())];
    assert_eq!(with(r#"behavior="Complex""#, complex), Behavior::Complex(expected));
}

#[test]
fn compensation_handlers_are_found_by_association() {
    let table = table(include_str!("accept/compensation.bpmn"));
    let marks = |id: &str| node(&table, id).marks.as_deref().unwrap();
    assert_eq!(marks("T").compensation, table.find("H"));
    assert!(marks("H").for_compensation && node(&table, "H").outgoing.is_empty());
    assert!(node(&table, "T").guarded && node(&table, "H").guarded);
    let expected = Throw::Compensation { activity: table.find("T"), wait: false };
    assert_eq!(node(&table, "C").kind, NodeKind::ThrowEvent(vec![expected]));
}

#[test]
fn mappings_of_services_are_their_data() {
    let zeebe = r#"<zeebe:taskDefinition type="t"/><zeebe:ioMapping><zeebe:input source="=a.b" target="c"/><zeebe:output source="=d" target="e"/></zeebe:ioMapping>"#;
    let xml = extended("serviceTask", "", zeebe);
    let expected = DataMapping::Mapped {
        inputs: vec![assignment("c", feel("a.b"))],
        result_variable: None,
        outputs: vec![assignment("e", feel("d"))],
        inputs_only: false,
    };
    assert_eq!(task(&xml).data, expected);
    assert!(node(&table(&xml), "T").mapping.is_none());
    let camunda = r#"<zeebe:taskDefinition type="t"/><camunda:inputOutput><camunda:inputParameter name="c">x</camunda:inputParameter>
        <camunda:inputParameter name="l"><camunda:list><camunda:value>a</camunda:value><camunda:value>=b</camunda:value></camunda:list></camunda:inputParameter>
        <camunda:inputParameter name="m"><camunda:map><camunda:entry key="k">v</camunda:entry></camunda:map></camunda:inputParameter></camunda:inputOutput>"#;
    let DataMapping::Mapped { inputs, .. } = task(&extended("serviceTask", "", camunda)).data else { panic!() };
    let expected =
        [assignment("c", fixed("x")), assignment("l", feel(r#"["a", b]"#)), assignment("m", feel(r#"{"k": "v"}"#))];
    assert_eq!(inputs, expected);
}

#[test]
fn external_tasks_are_bound_by_their_topic() {
    let xml = row("", "T", r#"<serviceTask id="T" camunda:type="external" camunda:topic="t"/>"#);
    assert_eq!(task(&xml).service.as_str(), "t");
}

#[test]
fn the_rest_connector_is_for_the_connectors() {
    let connector = r#"<zeebe:taskDefinition type="io.camunda:http-json:1" retries="2"/><zeebe:ioMapping><zeebe:input source="https://x/{{secrets.T}}" target="url"/>
        <zeebe:input source="={a: &quot;{{secrets.K}}&quot;, b: n}" target="headers"/><zeebe:output source="=r.status" target="s"/></zeebe:ioMapping>
        <zeebe:taskHeaders><zeebe:header key="resultVariable" value="r"/><zeebe:header key="resultExpression" value="={n: response.body.n}"/>
        <zeebe:header key="errorExpression" value="if error.code = &quot;404&quot; then bpmnError(&quot;gone&quot;) else null"/><zeebe:header key="retryBackoff" value="PT2S"/></zeebe:taskHeaders>"#;
    let task = task(&extended("serviceTask", "", connector));
    assert_eq!((task.service.as_str(), task.retry.attempts), ("connectors", 2));
    assert_eq!(task.labels["connector"], "io.camunda:http-json:1");
    let DataMapping::Connector(connector) = task.data else { panic!() };
    let url = feel(r#"("https://x/" + get value(secrets, "T"))"#);
    let headers = feel(r#"{a: (get value(secrets, "K")), b: n}"#);
    assert_eq!(connector.inputs, [assignment("url", url), assignment("headers", headers)]);
    assert_eq!(connector.outputs, [assignment("s", feel("r.status"))]);
    assert_eq!(connector.secrets, ["K", "T"]);
    assert_eq!(connector.result_variable.as_deref(), Some("r"));
    assert_eq!(connector.result_expression.as_deref(), Some("{n: response.body.n}"));
    assert!(connector.error_expression.unwrap().starts_with("if error.code"));
    assert_eq!(connector.retry_backoff, 2_000);
}

#[test]
fn data_associations_move_values() {
    let moved = |associations: &str| {
        let node_ = format!(
            r#"<userTask id="T"><ioSpecification><dataInput id="in" name="amount"/><dataOutput id="out" name="answer"/></ioSpecification>{associations}</userTask>"#
        );
        let table = table(&row(
            "",
            "T",
            &format!(r#"<dataObject id="o1" name="order"/><dataObjectReference id="r1" dataObjectRef="o1"/>{node_}"#),
        ));
        node(&table, "T").mapping.as_deref().cloned().unwrap_or_default()
    };
    let assigned = moved(
        "<dataInputAssociation><sourceRef>r1</sourceRef><targetRef>in</targetRef><assignment><from>order.total * 2</from><to>in</to></assignment></dataInputAssociation>",
    );
    assert_eq!(assigned.inputs, [assignment("amount", feel("order.total * 2"))]);
    let copied =
        moved("<dataOutputAssociation><sourceRef>out</sourceRef><targetRef>r1</targetRef></dataOutputAssociation>");
    assert_eq!(copied.outputs, [assignment("order", feel("answer"))]);
    let transformed = moved(
        "<dataInputAssociation><targetRef>in</targetRef><transformation>order.total</transformation></dataInputAssociation>",
    );
    assert_eq!(transformed.inputs, [assignment("amount", feel("order.total"))]);
    let drawn = moved(
        r#"<property id="p" name="__targetRef_placeholder"/><dataInputAssociation><sourceRef>r1</sourceRef><targetRef>p</targetRef></dataInputAssociation>"#,
    );
    assert!(drawn.inputs.is_empty(), "what is only drawn moves nothing");
}

#[test]
fn scopes_begin_with_their_properties_and_data_objects() {
    let body = r#"<dataObject id="o" name="order"/><startEvent id="S"/><subProcess id="T"><property id="p" name="tries"/><task id="a"/></subProcess><endEvent id="E"/>"#;
    let table = table(&file("", &format!("{body}{}", path("S T E"))));
    let data: Vec<_> = table.settings.data.iter().map(|it| (it.scope, it.name.as_str())).collect();
    assert_eq!(data, [(None, "order"), (table.find("T"), "tries")]);
}
