//! Gateways in tables, and what follows from them: which activities the ledger holds, what slices hold.

use routing::table::{NodeKind, Place, RoutingTable};

use crate::drawn::{compile, file, kind, node, path, row, table, task, with};

fn flow(from: &str, to: &str, condition: &str) -> String {
    format!(
        r#"<sequenceFlow id="{from}_{to}" sourceRef="{from}" targetRef="{to}"><conditionExpression>{condition}</conditionExpression></sequenceFlow>"#
    )
}

/// `S`, a fork `G` of `element` to `A` and `B`, a join `J` of the same, `T`, `E`.
fn block(element: &str) -> String {
    let gateways = format!(r#"<{element} id="G" default="G_B"/><{element} id="J"/>"#);
    let nodes: String = ["A", "B", "T"].map(task).concat();
    let flows = [path("S G"), flow("G", "A", "x > 1"), path("G B J T E"), path("A J")].concat();
    file("", &format!(r#"<startEvent id="S"/>{gateways}{nodes}<endEvent id="E"/>{flows}"#))
}

fn guarded(table: &RoutingTable) -> Vec<&str> {
    table.nodes.iter().filter(|it| it.guarded).map(|it| it.id.as_str()).collect()
}

#[test]
fn inclusive_splits_are_folded_and_joins_are_the_ledgers() {
    let definition = compile(&block("inclusiveGateway"));
    let table = &definition.ledger.table;
    assert_eq!((&node(table, "G").kind, &node(table, "G").place), (&NodeKind::InclusiveGateway, &Place::Folded));
    assert_eq!(node(table, "J").place, Place::Ledger);
    assert_eq!(guarded(table), ["A", "B"], "those whose tokens the join waits for");
    assert_eq!(node(table, "A").place, Place::Ledger);
    let own = &definition.tasks["A"].table;
    let ids: Vec<_> = own.nodes.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["A"], "a guarded task's token goes back to the ledger");
    assert_eq!((&node(own, "A").place, node(own, "A").guarded), (&Place::Service("t".into()), true));
    assert!(own.flows.is_empty() && node(own, "A").outgoing.is_empty() && own.predecessors.is_empty());
}

#[test]
fn a_token_that_is_alone_needs_no_guard() {
    let body = format!(
        r#"<startEvent id="S"/><exclusiveGateway id="G" default="G_B"/>{}{}<inclusiveGateway id="J"/><endEvent id="E"/>{}{}{}"#,
        task("A"),
        task("B"),
        path("S G B J E"),
        flow("G", "A", "x"),
        path("A J")
    );
    assert!(guarded(&table(&file("", &body))).is_empty());
    assert!(guarded(&table(&block("inclusiveGateway"))).contains(&"A"));
}

#[test]
fn complex_gateways_keep_their_condition() {
    let gateway =
        r#"<complexGateway id="C"><activationCondition>activationCount > 1</activationCondition></complexGateway>"#;
    let expected = NodeKind::ComplexGateway { activation: Some("activationCount > 1".into()) };
    assert_eq!(kind(&row("", "C", gateway), "C"), expected);
}

#[test]
fn event_based_gateways() {
    let definition = compile(include_str!("accept/instantiating-event-gateway.bpmn"));
    let expected = NodeKind::EventBasedGateway { parallel: false, instantiate: true };
    assert_eq!(node(&definition.ledger.table, "G").kind, expected);
    let starts: Vec<_> = definition.start_events.iter().map(|it| it.as_str()).collect();
    assert_eq!(starts, ["G"]);
}

#[test]
fn whatever_needs_the_ledger_is_guarded() {
    let one = |attributes: &str, inner: &str| guarded(&table(&row("", "T", &with("T", attributes, inner)))).len();
    assert_eq!(one("", ""), 0);
    assert_eq!(one(r#"completionQuantity="2""#, ""), 1);
    assert_eq!(one("", "<standardLoopCharacteristics loopMaximum=\"2\"/>"), 1);
    let in_ad_hoc = row("", "X", &format!(r#"<adHocSubProcess id="X">{}</adHocSubProcess>"#, task("T")));
    assert_eq!(guarded(&table(&in_ad_hoc)), ["X", "T"]);
}

#[test]
fn tasks_in_sub_processes_have_slices_of_their_own() {
    let inner = format!(r#"<startEvent id="s"/>{}{}<endEvent id="e"/>{}"#, task("A"), task("B"), path("s A B e"));
    let definition = compile(&row("", "X", &format!(r#"<subProcess id="X">{inner}</subProcess>"#)));
    let ids =
        |task: &str| -> Vec<&str> { definition.tasks[task].table.nodes.iter().map(|it| it.id.as_str()).collect() };
    assert_eq!((ids("A"), ids("B")), (vec!["A", "B"], vec!["B", "e"]));
    assert_eq!(definition.tasks["B"].table.predecessors[0].element.as_str(), "A");
    assert_eq!(node(&definition.ledger.table, "A").place, Place::Service("t".into()));
}

#[test]
fn folded_scripts_are_in_the_slices_that_pass_them() {
    let script = r#"<scriptTask id="X"><extensionElements><zeebe:script expression="=1" resultVariable="x"/></extensionElements></scriptTask>"#;
    let body =
        format!(r#"<startEvent id="S"/>{}{script}{}<endEvent id="E"/>{}"#, task("A"), task("B"), path("S A X B E"));
    let definition = compile(&file("", &body));
    let own = &definition.tasks["A"].table;
    assert!(matches!(node(own, "X").kind, NodeKind::Evaluate(_)));
    assert_eq!(node(own, "X").place, Place::Folded);
    assert_eq!(definition.tasks["B"].table.predecessors[0].element.as_str(), "A");
}
