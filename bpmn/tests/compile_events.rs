//! Events in tables: what they wait for and throw, links, boundary events, correlation.

use flow_bpmn::{Options, check};
use routing::table::{
    Boundary, Catch, DataMapping, Message, MessageThrow, NodeKind, Place, Recovery, Start, Template, Throw, Timer,
    Trigger,
};

use crate::drawn::{compile, file, kind, node, path, row, table, task};

const ROOTS: &str = r#"<message id="m" name="order"/><signal id="s" name="=tenant + &quot;-alarm&quot;"/>
    <error id="x" errorCode="REFUSED"/><escalation id="l" escalationCode="LATE"/>"#;

fn fixed(text: &str) -> Template {
    Template::Static(text.to_owned())
}

fn feel(text: &str) -> Template {
    Template::Feel(text.to_owned())
}

fn message(name: &str) -> Message {
    Message { name: fixed(name), key: None, retrieval: None, topic: false, expires: None }
}

fn thrown(name: &str) -> Throw {
    Throw::Message(Box::new(MessageThrow { name: fixed(name), key: None, id: None, time_to_live: None, topic: false }))
}

fn alarm() -> Template {
    feel(r#"tenant + "-alarm""#)
}

fn started_by(definitions: &str) -> Start {
    let start = format!(r#"<startEvent id="S">{definitions}</startEvent><endEvent id="E"/>{}"#, path("S E"));
    match kind(&file(ROOTS, &start), "S") {
        NodeKind::StartEvent(start) => start,
        other => panic!("{other:?}"),
    }
}

#[test]
fn start_events_wait_for_their_triggers() {
    let single = |definition: &str| started_by(definition).catch.triggers;
    assert_eq!(single(""), []);
    assert_eq!(single(r#"<messageEventDefinition messageRef="m"/>"#), [Trigger::Message(Box::new(message("order")))]);
    assert_eq!(single(r#"<signalEventDefinition signalRef="s"/>"#), [Trigger::Signal(alarm())]);
    let cycle = "<timerEventDefinition><timeCycle>R3/PT1H</timeCycle></timerEventDefinition>";
    assert_eq!(single(cycle), [Trigger::Timer(Timer::Cycle(fixed("R3/PT1H")))]);
    let cron = "<timerEventDefinition><timeCycle>0 0 9 * * MON-FRI</timeCycle></timerEventDefinition>";
    assert_eq!(single(cron), [Trigger::Timer(Timer::Cycle(fixed("0 0 9 * * MON-FRI")))]);
    let condition = "<conditionalEventDefinition><condition>= stock &lt; 5</condition></conditionalEventDefinition>";
    assert_eq!(single(condition), [Trigger::Conditional("stock < 5".into())]);
    let several = r#"<messageEventDefinition messageRef="m"/><signalEventDefinition signalRef="s"/>"#;
    assert_eq!(single(several).len(), 2);
    assert!(!started_by(several).catch.parallel);
}

#[test]
fn an_event_sub_process_starts_by_its_event() {
    let sub = r#"<subProcess id="Sub" triggeredByEvent="true"><startEvent id="begin" isInterrupting="false">
        <escalationEventDefinition escalationRef="l"/></startEvent><endEvent id="e"/>
        <sequenceFlow id="g" sourceRef="begin" targetRef="e"/></subProcess>"#;
    let table =
        table(&file(ROOTS, &format!(r#"<startEvent id="S"/>{}<endEvent id="E"/>{}{sub}"#, task("T"), path("S T E"))));
    let NodeKind::StartEvent(start) = &node(&table, "begin").kind else { panic!() };
    assert!(!start.interrupting);
    assert_eq!(start.catch.triggers, [Trigger::Escalation(Some("LATE".into()))]);
    assert_eq!(node(&table, "begin").parent, table.find("Sub"));
    assert!(node(&table, "Sub").outgoing.is_empty(), "no end is made behind it");
    assert!(table.settings.homed && node(&table, "T").guarded);
}

#[test]
fn end_events_throw_in_document_order() {
    let end = |definitions: &str| {
        let body = format!(r#"<startEvent id="S"/><endEvent id="E">{definitions}</endEvent>{}"#, path("S E"));
        match kind(&file(ROOTS, &body), "E") {
            NodeKind::EndEvent(throws) => throws,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end(""), []);
    assert_eq!(end("<terminateEventDefinition/>"), [Throw::Terminate]);
    assert_eq!(end(r#"<errorEventDefinition errorRef="x"/>"#), [Throw::Error(Some(fixed("REFUSED")))]);
    let several = r#"<signalEventDefinition signalRef="s"/><messageEventDefinition messageRef="m"/>
        <escalationEventDefinition escalationRef="l"/><compensateEventDefinition/>"#;
    let all = Throw::Compensation { activity: None, wait: true };
    assert_eq!(end(several), [Throw::Signal(alarm()), thrown("order"), Throw::Escalation(Some(fixed("LATE"))), all]);
}

#[test]
fn events_refer_to_definitions_at_the_root() {
    let roots = r#"<errorEventDefinition id="def" errorRef="x"/><error id="x" errorCode="REFUSED"/>"#;
    let body = format!(
        r#"<startEvent id="S"/><endEvent id="E"><eventDefinitionRef>def</eventDefinitionRef></endEvent>{}"#,
        path("S E")
    );
    assert_eq!(kind(&file(roots, &body), "E"), NodeKind::EndEvent(vec![Throw::Error(Some(fixed("REFUSED")))]));
}

#[test]
fn catch_events_wait_for_one_or_for_all() {
    let both = r#"<intermediateCatchEvent id="C" parallelMultiple="true"><messageEventDefinition messageRef="m"/>
        <timerEventDefinition><timeDate>=due</timeDate></timerEventDefinition></intermediateCatchEvent>"#;
    let triggers = vec![Trigger::Message(Box::new(message("order"))), Trigger::Timer(Timer::Date(feel("due")))];
    assert_eq!(
        kind(&row(ROOTS, "C", both), "C"),
        NodeKind::CatchEvent(Catch { triggers, parallel: true, ..Catch::default() })
    );
}

#[test]
fn none_throw_events_and_links_are_folded() {
    let table = table(&row("", "C", r#"<intermediateThrowEvent id="C"/>"#));
    assert_eq!(
        (&node(&table, "C").kind, &node(&table, "C").place),
        (&NodeKind::ThrowEvent(Vec::new()), &Place::Folded)
    );
    let links = include_str!("accept/links.bpmn");
    let table = crate::drawn::table(links);
    let catch = table.find("C").unwrap();
    for throw in ["A", "B"] {
        let throw = node(&table, throw);
        assert_eq!((&throw.kind, &throw.place), (&NodeKind::Link, &Place::Folded));
        assert_eq!(table.flow(throw.outgoing[0]).target, catch);
    }
    assert_eq!(node(&table, "C").incoming.len(), 2);
}

#[test]
fn boundary_events_of_every_kind() {
    let caught = |attributes: &str, definitions: &str| {
        let body = format!(
            r#"<startEvent id="S"/>{}<boundaryEvent id="B" attachedToRef="T" {attributes}>{definitions}</boundaryEvent><endEvent id="E"/>{}{}"#,
            task("T"),
            path("S T E"),
            path("B E")
        );
        let table = table(&file(ROOTS, &body));
        let NodeKind::Boundary(Boundary { attached_to, interrupting, catch }) = &node(&table, "B").kind else {
            panic!()
        };
        assert_eq!(table.find("T"), Some(*attached_to));
        (*interrupting, catch.triggers.clone(), node(&table, "T").guarded, table.settings.homed)
    };
    let error = caught("", r#"<errorEventDefinition errorRef="x"/>"#);
    assert_eq!(error, (true, vec![Trigger::Error(Some("REFUSED".into()))], false, false));
    let timer = "<timerEventDefinition><timeDuration>PT1H</timeDuration></timerEventDefinition>";
    assert!(!caught("", timer).2, "a sidecar feeds it");
    let (interrupting, _, guarded, homed) = caught(r#"cancelActivity="false""#, timer);
    assert!(!interrupting && guarded && homed);
    let several = caught("", r#"<errorEventDefinition/><signalEventDefinition signalRef="s"/>"#);
    assert_eq!(several, (true, vec![Trigger::Error(None), Trigger::Signal(alarm())], true, false));
    assert!(caught("", r#"<messageEventDefinition messageRef="m"/>"#).2);
    let condition = caught("", "<conditionalEventDefinition><condition>x</condition></conditionalEventDefinition>");
    assert!(condition.2 && condition.3);
}

#[test]
fn message_events_that_a_service_does_are_tasks() {
    let bound = "<extensionElements><zeebe:taskDefinition type=\"t\"/></extensionElements><messageEventDefinition messageRef=\"m\"/>";
    let body = format!(r#"<startEvent id="S"/><endEvent id="E">{bound}</endEvent>{}"#, path("S E"));
    let definition = compile(&file(ROOTS, &body));
    assert!(matches!(node(&definition.ledger.table, "E").kind, NodeKind::Task(_)));
    assert!(matches!(node(&definition.ledger.table, "E-end").kind, NodeKind::EndEvent(_)));
    assert!(definition.tasks.contains_key("E"));
}

#[test]
fn keys_come_from_subscriptions() {
    let roots = r#"<message id="m" name="paid"><extensionElements><zeebe:subscription correlationKey="=order.id"/></extensionElements></message>"#;
    let waits = kind(&row(roots, "R", r#"<receiveTask id="R" messageRef="m"/>"#), "R");
    let expected = Message { name: fixed("paid"), key: Some(feel("order.id")), ..message("paid") };
    assert_eq!(waits, NodeKind::ReceiveTask(Box::new(expected)));
    let sends = kind(&row(roots, "R", r#"<sendTask id="R" messageRef="m"/>"#), "R");
    let NodeKind::SendTask(sends) = sends else { panic!() };
    assert_eq!(sends.key, Some(feel("order.id")));
    let start = format!(
        r#"<startEvent id="S"><messageEventDefinition messageRef="m"/></startEvent><endEvent id="E"/>{}"#,
        path("S E")
    );
    let NodeKind::StartEvent(start) = kind(&file(roots, &start), "S") else { panic!() };
    assert_eq!(start.catch.triggers, [Trigger::Message(Box::new(message("paid")))], "who starts has no variables");
}

#[test]
fn keys_come_from_correlation_properties() {
    let roots = r#"<message id="m" name="paid"/>
        <correlationProperty id="number"><correlationPropertyRetrievalExpression messageRef="m">
        <messagePath>body.number</messagePath></correlationPropertyRetrievalExpression></correlationProperty>
        <collaboration id="C"><participant id="pool" processRef="P"/><correlationKey id="key">
        <correlationPropertyRef>number</correlationPropertyRef></correlationKey></collaboration>"#;
    let bound = r#"<correlationSubscription correlationKeyRef="key"><correlationPropertyBinding correlationPropertyRef="number">
        <dataPath>invoice</dataPath></correlationPropertyBinding></correlationSubscription>"#;
    let model = row(roots, "R", &format!(r#"<receiveTask id="R" messageRef="m"/>{bound}"#));
    let NodeKind::ReceiveTask(message) = kind(&model, "R") else { panic!() };
    assert_eq!((message.key, message.retrieval.as_deref()), (Some(feel("invoice")), Some("body.number")));
    let other = model.replace("body.number", "body.id");
    assert_ne!(compile(&model).deployment, compile(&other).deployment, "the hash covers what is retrieved");
}

#[test]
fn event_mappings_are_the_nodes_own() {
    let throws = r#"<intermediateThrowEvent id="C"><extensionElements><zeebe:ioMapping><zeebe:input source="=a.b" target="c"/>
        </zeebe:ioMapping></extensionElements><messageEventDefinition messageRef="m"/></intermediateThrowEvent>"#;
    let table = table(&row(ROOTS, "C", throws));
    let mapping = node(&table, "C").mapping.as_ref().unwrap();
    assert_eq!((mapping.inputs[0].target.as_str(), &mapping.inputs[0].source), ("c", &feel("a.b")));
    let NodeKind::Task(task) = kind(&row("", "T", &task("T")), "T") else { panic!() };
    assert_eq!(task.data, DataMapping::Merge { result_variable: None });
}

/// An event with an annotation in the original's dialect, between S and E or in their place.
fn annotated(event: &str, id: &str, yaml: &str) -> String {
    let note = format!(
        "<textAnnotation id=\"N\"><text>rexflow:\n{yaml}</text></textAnnotation>\
         <association id=\"A\" sourceRef=\"{id}\" targetRef=\"N\"/>"
    );
    match id {
        "S" => file("", &format!(r#"{event}<endEvent id="E"/>{note}{}"#, path("S E"))),
        "E" => file("", &format!(r#"<startEvent id="S"/>{event}{note}{}"#, path("S E"))),
        _ => row("", id, &format!("{event}{note}")),
    }
}

#[test]
fn events_of_topics() {
    let topic = |name: &str| MessageThrow { name: fixed(name), key: None, id: None, time_to_live: None, topic: true };
    let throws = annotated(r#"<intermediateThrowEvent id="C"/>"#, "C", "  topic: news");
    assert_eq!(kind(&throws, "C"), NodeKind::ThrowEvent(vec![Throw::Message(Box::new(topic("news")))]));
    let ends = annotated(r#"<endEvent id="E"><terminateEventDefinition/></endEvent>"#, "E", "  kafka_topic: news");
    assert_eq!(
        kind(&ends, "E"),
        NodeKind::EndEvent(vec![Throw::Message(Box::new(topic("news"))), Throw::Terminate]),
        "told before it ends"
    );
    let starts = annotated(r#"<startEvent id="S"/>"#, "S", "  kafka_topic: news\n  topic: other");
    let NodeKind::StartEvent(start) = kind(&starts, "S") else { panic!() };
    assert_eq!(start.catch.triggers, [Trigger::Message(Box::new(Message { topic: true, ..message("other") }))]);

    let event = r#"<intermediateCatchEvent id="C"><messageEventDefinition/></intermediateCatchEvent>"#;
    let caught = |yaml: &str| match kind(&annotated(event, "C", yaml), "C") {
        NodeKind::CatchEvent(catch) => catch.triggers,
        other => panic!("{other:?}"),
    };
    let waits = Message { topic: true, ..message("news") };
    assert_eq!(caught("  topic: news"), [Trigger::Message(Box::new(waits.clone()))]);
    let key = "`pant-owner`";
    let waits = Message { key: Some(feel(key)), retrieval: Some(key.into()), expires: Some(5_400_000), ..waits };
    let yaml = "  topic: news\n  correlation: pant-owner\n  catch_event_expiration: 1.5";
    assert_eq!(caught(yaml), [Trigger::Message(Box::new(waits))]);
}

#[test]
fn what_cannot_be_a_topic_is_refused() {
    let event = r#"<intermediateCatchEvent id="C"><messageEventDefinition/></intermediateCatchEvent>"#;
    for (yaml, words) in [
        ("  topic: a b", "`a b` is no topic"),
        ("  kafka_topic: ..", "`..` is no topic"),
        ("  topic: a\n  correlation: a`b", "must not have a backtick"),
        ("  topic: a\n  catch_event_expiration: 0", "must be a number of hours"),
        ("  topic: a\n  catch_event_expiration: soon", "must be a number of hours"),
    ] {
        let found = check(annotated(event, "C", yaml).as_bytes(), &Options::default()).unwrap_err();
        assert!(found.iter().any(|it| it.is_error() && it.message.contains(words)), "{yaml}: {found:#?}");
    }
}

/// A catch event with this cycle in a model with annotations, and what `timer_recovery_policy` says.
fn in_dialect(cycle: &str, policy: &str) -> Result<Catch, Vec<flow_bpmn::Diagnostic>> {
    let settings = format!(
        "<textAnnotation id=\"G\"><text>rexflow_global_properties: {{recoverable: true{policy}}}</text></textAnnotation>"
    );
    let timer = format!("<timerEventDefinition><timeCycle>{cycle}</timeCycle></timerEventDefinition>");
    let body = format!(
        r#"{settings}<startEvent id="S"/><intermediateCatchEvent id="C">{timer}</intermediateCatchEvent><endEvent id="E"/>{}"#,
        path("S C E")
    );
    let checked = check(file(ROOTS, &body).as_bytes(), &Options::default())?;
    match &node(&checked.definitions[0].ledger.table, "C").kind {
        NodeKind::CatchEvent(catch) => Ok(catch.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cycles_of_the_dialect_that_the_original_reads_otherwise_are_marked() {
    let of = |cycle: &str| in_dialect(cycle, "").unwrap_or_else(|found| panic!("{cycle}: {found:#?}"));
    assert_eq!(of("R3/PT10S").triggers, [Trigger::Timer(Timer::Cycle(fixed("R3/PT10S")))]);
    for cycle in [
        "R3/2026-01-01T00:00:00Z/PT10S",
        "R3/P1D/2026-01-11T00:00:00Z",
        "R0/P1D/2026-01-11T00:00:00Z",
        "R/PT5M/2026-01-11T00:00:00Z",
        "R3/2026-01-01T00:00:00Z/2026-01-11T00:00:00Z",
        "R/2026-01-01T00:00:00Z/2026-01-01T01:00:00Z",
        "R{n}/PT1S",
    ] {
        let catch = of(cycle);
        assert_eq!(catch.triggers, [Trigger::Timer(Timer::Between(fixed(cycle)))]);
        assert!(catch.repeats, "{cycle}: each firing has a token of its own");
    }
    for endless in ["R/PT10S", "R0/PT10S", "R/2026-01-01T00:00:00Z/2027-01-01T00:00:00Z", "R1025/PT1S", "@daily"] {
        let found = in_dialect(endless, "").unwrap_err();
        assert!(found.iter().any(|it| it.rule == "timer-invalid"), "{endless}: {found:#?}");
    }
    for wrong in ["R3/PT1S/PT2S", "R3/soon/PT1S", "3/PT1S"] {
        assert!(in_dialect(wrong, "").is_err(), "{wrong}");
    }
}

#[test]
fn what_becomes_of_missed_timers_is_read_from_the_event_or_the_process() {
    let of = |policy: &str| in_dialect("R3/PT10S", policy).unwrap().recovery;
    assert_eq!(of(""), Recovery::Fire);
    assert_eq!(of(", timer_recovery_policy: fail"), Recovery::Fail);
    assert_eq!(of(", timer_recovery_policy: forget"), Recovery::Forget);
    assert!(in_dialect("R3/PT10S", ", timer_recovery_policy: hope").is_err());
}
