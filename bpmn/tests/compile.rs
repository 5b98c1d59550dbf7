//! What the routing tables of a model say.

use flow_bpmn::{ProcessDefinition, check};
use routing::table::{
    Boundary, Catch, ConditionSource, DataMapping, Durability, Host, Node, NodeKind, ParameterKind, Place,
    RoutingTable, Task, Template, Timer, Trigger,
};
use routing::{Digest, ServiceName};

fn fixture(name: &str) -> String {
    let path = format!("{}/tests/accept/{name}.bpmn", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn compile_all(xml: &str) -> Vec<ProcessDefinition> {
    check(xml.as_bytes(), &crate::fixtures::options()).unwrap().definitions
}

fn compile(name: &str) -> ProcessDefinition {
    compile_all(&fixture(name)).remove(0)
}

fn node<'t>(table: &'t RoutingTable, id: &str) -> &'t Node {
    table.node(table.find(id).unwrap_or_else(|| panic!("no node {id}")))
}

fn task<'t>(table: &'t RoutingTable, id: &str) -> &'t Task {
    match &node(table, id).kind {
        NodeKind::Task(task) => task,
        other => panic!("{id} is {other:?}"),
    }
}

fn ids(table: &RoutingTable) -> Vec<&str> {
    table.nodes.iter().map(|it| it.id.as_str()).collect()
}

#[test]
fn digests_are_those_of_the_bytes_and_bytes_are_readable() {
    for file in crate::fixtures::files("accept") {
        for definition in compile_all(&std::fs::read_to_string(file).unwrap()) {
            assert_eq!(definition.digest, Digest::of(&definition.manifest.to_bytes()));
            assert_eq!(definition.manifest.ledger, definition.ledger.digest);
            assert_eq!(definition.manifest.tasks.len(), definition.tasks.len());
            for table in definition.tasks.values().chain([&definition.ledger]) {
                assert_eq!(table.digest, Digest::of(&table.bytes));
                assert_eq!(RoutingTable::from_bytes(&table.bytes).unwrap(), table.table);
                routing::Compiled::from_bytes(&table.bytes, table.digest).unwrap();
            }
            for (element, digest) in &definition.manifest.tasks {
                assert_eq!(*digest, definition.tasks[element].digest);
            }
        }
    }
}

#[test]
fn the_ledger_holds_the_whole_process() {
    let table = compile("exclusive-gateway").ledger.table;
    assert_eq!(table.host, Host::Ledger);
    assert_eq!(ids(&table), ["S", "G", "E1", "E2", "E3"]);
    let gateway = node(&table, "G");
    assert_eq!((gateway.place.clone(), gateway.default), (Place::Folded, Some(3)));
    assert_eq!(table.flow(1).condition, Some(ConditionSource::Feel("x > 10".into())));
    assert_eq!(table.flow(2).condition, Some(ConditionSource::Feel("x < 5 and y = \"a\"".into())));
    assert_eq!(table.flow(3).condition, None);
    assert_eq!(node(&table, "S").place, Place::Ledger);
}

#[test]
fn a_task_has_its_slice_and_knows_its_predecessors() {
    let definition = compile("loop-with-a-task");
    let table = &definition.tasks["T"].table;
    assert_eq!(table.host, Host::Task("T".into()));
    assert_eq!(ids(table), ["In", "T", "Again", "E"]);
    assert_eq!(node(table, "E").kind, NodeKind::Elsewhere);
    assert!(matches!(node(table, "T").kind, NodeKind::Task(_)));
    let senders: Vec<_> = table.predecessors.iter().map(|it| it.element.as_str()).collect();
    assert_eq!(senders, ["T"], "the loop leads back to the task itself");
    let simple = compile("annotations");
    assert!(simple.tasks["T"].table.predecessors.is_empty(), "only the ledger sends to the first task");
    let second = &simple.tasks["T2"].table;
    assert_eq!(second.predecessors[0].service, ServiceName::from("secret-sauce:5001"));
    assert_eq!(ids(second), ["T2", "T3"]);
    assert_eq!(node(second, "T3").place, Place::Service("other".into()));
    assert!(node(second, "T3").outgoing.is_empty());
}

#[test]
fn parallel_gateways_join_at_the_ledger_and_split_in_the_sender() {
    let definition = compile("parallel-mixed");
    let ledger = &definition.ledger.table;
    assert_eq!(node(ledger, "Split").place, Place::Folded);
    assert_eq!(node(ledger, "Mixed").place, Place::Ledger);
    assert_eq!((node(ledger, "Mixed").incoming.len(), node(ledger, "Mixed").outgoing.len()), (2, 2));
    let task = &definition.tasks["A"].table;
    assert_eq!(ids(task), ["Mixed", "A"]);
    assert_eq!(node(task, "Mixed").kind, NodeKind::Elsewhere);
}

#[test]
fn boundary_events_belong_to_the_table_of_their_task() {
    let definition = compile("error-boundaries");
    let table = &definition.tasks["T"].table;
    assert_eq!(ids(table), ["T", "E", "B1", "B2", "E1", "E2"]);
    assert_eq!(node(table, "T").boundaries, [2, 3]);
    let trigger = |id: &str| match &node(table, id).kind {
        NodeKind::Boundary(Boundary { attached_to: 0, interrupting: true, catch }) => catch.triggers[0].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(trigger("B1"), Trigger::Error(Some("PAYMENT_REFUSED".into())));
    assert_eq!(trigger("B2"), Trigger::Error(None));
}

#[test]
fn timers_keep_their_text() {
    let definition = compile("timers");
    let table = &definition.ledger.table;
    let fixed = |text: &str| Template::Static(text.to_owned());
    let waits = |timer| NodeKind::CatchEvent(Catch { triggers: vec![Trigger::Timer(timer)], ..Catch::default() });
    assert_eq!(node(table, "C1").kind, waits(Timer::Duration(fixed("PT5S"))));
    assert_eq!(node(table, "C2").kind, waits(Timer::Date(fixed("2026-12-24T18:00:00+01:00"))));
    assert_eq!(node(table, "C3").kind, waits(Timer::Duration(Template::Feel("wait".into()))));
    let own = &definition.tasks["T"].table;
    assert!(
        matches!(&node(own, "B").kind, NodeKind::Boundary(it) if it.catch.triggers == [Trigger::Timer(Timer::Duration(fixed("P1DT2H")))])
    );
    assert_eq!(node(table, "B").place, Place::Service("t".into()));
}

#[test]
fn an_activity_without_a_way_out_ends_there() {
    let definition = compile("implicit-end");
    let table = &definition.tasks["T"].table;
    assert_eq!(ids(table), ["T", "T-end"]);
    assert_eq!(node(&definition.ledger.table, "T-end").kind, NodeKind::EndEvent(Vec::new()));
}

#[test]
fn annotations_say_how_a_task_is_called() {
    let definition = compile("annotations");
    assert_eq!(definition.process.as_str(), "collecting");
    assert!(definition.deployment.as_str().starts_with("collecting-"));
    let table = &definition.ledger.table;
    assert!(table.settings.recoverable);
    assert_eq!(table.settings.durability, Durability::Os);
    let first = task(table, "T");
    assert_eq!(first.service.as_str(), "secret-sauce:5001", "a host that several ports share is named with the port");
    let address = first.address.as_ref().unwrap();
    assert_eq!((address.host.as_str(), address.port, address.target_port), ("secret-sauce", 5001, 5000));
    assert_eq!((first.method.as_str(), first.path.as_str(), first.timeout), ("PUT", "/a/b", 2_500));
    assert_eq!((first.retry.attempts, first.retry.initial, first.retry.max), (7, 500, 20_000));
    assert_eq!(first.data, DataMapping::Replace);
    assert_eq!(first.labels["container"], "example/sauce:1");
    let health = first.health.as_ref().unwrap();
    assert_eq!((health.path.as_str(), health.period, health.timeout), ("/ready", 10_000, 1_000));
    assert_eq!((health.failure_threshold, health.query.as_deref()), (2, Some("deep=1")));
    let third = task(table, "T3");
    assert_eq!((third.service.as_str(), third.retry.attempts), ("other", 2));
    assert_eq!((third.method.as_str(), third.path.as_str()), ("POST", "/"));
    assert_eq!(third.address.as_ref().map(|it| (it.port, it.target_port)), Some((80, 80)));
    assert_eq!(node(table, "T").safe_name, "collect");
}

#[test]
fn types_and_headers_say_how_a_task_is_called() {
    let definition = compile("flows-out-of-a-task");
    let table = &definition.ledger.table;
    let called = task(table, "T");
    assert_eq!((called.service.as_str(), called.address.as_ref()), ("t", None));
    assert_eq!((called.method.as_str(), called.path.as_str(), called.timeout), ("PUT", "/pay", 2_000));
    assert_eq!(called.retry.attempts, 5);
    assert_eq!(called.data, DataMapping::Merge { result_variable: Some("paid".into()) });
    assert!(table.settings.recoverable, "only the original's dialect closes what fails");
    assert_eq!(node(table, "T").default, Some(4));
    assert_eq!(task(&compile("one-task").ledger.table, "T").retry.attempts, 3);
    assert_eq!(task(&compile("connector").ledger.table, "T").data, DataMapping::Replace);
}

#[test]
fn an_asynchronous_task_merges_what_it_calls_back_with() {
    let day = routing::callback::TIMEOUT;
    for (fixture, timeout) in [("asynchronous", day), ("asynchronous-header", 3_600_000)] {
        let called = task(&compile(fixture).ledger.table, "T").clone();
        assert_eq!((called.asynchronous, called.callback_timeout), (true, timeout), "{fixture}");
        assert_eq!(called.data, DataMapping::Merge { result_variable: None }, "{fixture}");
    }
    assert!(!task(&compile("one-task").ledger.table, "T").asynchronous);
    let header = fixture("asynchronous-header");
    for (from, to) in [(r#"value="true""#, r#"value="perhaps""#), ("PT1H", "soon")] {
        let found = flow_bpmn::check(header.replace(from, to).as_bytes(), &Default::default()).unwrap_err();
        assert!(found.iter().any(|it| it.rule == "binding-invalid"), "{to}: {found:#?}");
    }
}

#[test]
fn closure_transport_maps_what_is_declared() {
    let definition = compile("closure");
    let called = task(&definition.ledger.table, "T").clone();
    let DataMapping::Closure { inputs, outputs } = called.data else { panic!("{:?}", called.data) };
    assert_eq!(
        (inputs[0].name.as_str(), inputs[0].source.as_str(), inputs[0].kind),
        ("who", "person", ParameterKind::String)
    );
    assert_eq!(inputs[1].default, Some(3.into()));
    assert_eq!(
        (outputs[0].name.as_str(), outputs[0].source.as_str(), outputs[0].kind),
        ("all", ".", ParameterKind::JsonObject)
    );
    assert_eq!(called.path, "/of/{person}");
    assert_eq!(called.retry.attempts, 1);
}

#[test]
fn conditions_of_the_dialect_are_read_as_it_says() {
    let table = compile("implicit-default").ledger.table;
    assert_eq!(table.flow(1).condition, Some(ConditionSource::Python("req_json['x'] > 3".into())));
    assert_eq!(node(&table, "G").default, Some(2));
    let prefixed = compile("python-prefix").ledger.table;
    assert_eq!(prefixed.flow(1).condition, Some(ConditionSource::Python("req_json['x'] > 3".into())));
}

#[test]
fn several_processes_and_starts() {
    let definitions = compile_all(&fixture("several-processes"));
    let names: Vec<_> = definitions.iter().map(|it| it.process.as_str()).collect();
    assert_eq!(names, ["P", "qP"].map(|it| if it == "qP" { "Q" } else { it }));
    let starts = compile("several-starts").start_events;
    assert_eq!(starts.iter().map(|it| it.as_str()).collect::<Vec<_>>(), ["S", "S2"]);
}

#[test]
fn names_are_those_of_the_original() {
    let definition = compile("several-starts");
    let table = &definition.ledger.table;
    assert_eq!(node(table, "S2").safe_name, "start-twice");
    let unnamed = format!("start-s-{}", definition.deployment).to_lowercase();
    assert_eq!(node(table, "S").safe_name, unnamed);
    assert_eq!(node(table, "E").safe_name, "E", "an end event without a name is shown by its id");
}

#[test]
fn the_content_hash_ignores_formatting_prefixes_and_drawings() {
    let plain = fixture("one-task");
    let id = |xml: &str| compile_all(xml)[0].deployment.clone();
    let first = id(&plain);
    assert_eq!(id(&fixture("prefixes")), first, "prefixes");
    assert_eq!(id(&plain.replace("\n    ", "\r\n\t")), first, "white space");
    assert_eq!(
        id(&plain.replace("sourceRef=\"S\" targetRef=\"T\"", "targetRef='T'  sourceRef = 'S'")),
        first,
        "attributes"
    );
    let drawn = "<d:BPMNDiagram xmlns:d='http://www.omg.org/spec/BPMN/20100524/DI'><d:BPMNPlane/></d:BPMNDiagram></definitions>";
    assert_eq!(id(&plain.replace("</definitions>", drawn)), first, "drawing");
    let beside = "<message id='unused' name='m'/></definitions>";
    assert_eq!(id(&plain.replace("</definitions>", beside)), first, "what the process does not refer to");
    assert_ne!(id(&plain.replace("type=\"t\"", "type=\"a\"")), first);
    assert_ne!(id(&plain.replace("<endEvent id=\"E\"/>", "<endEvent id=\"E\" name=\"done\"/>")), first);
}

#[test]
fn the_content_hash_covers_what_the_process_refers_to() {
    let xml = fixture("error-boundaries");
    let id = |xml: &str| compile_all(xml)[0].deployment.clone();
    assert_ne!(id(&xml.replace("PAYMENT_REFUSED", "REFUSED")), id(&xml));
}
