//! Input from outside: whatever the bytes, a clear diagnostic and soon.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use flow_bpmn::{Diagnostic, Limits, Options, check};

const NAMESPACE: &str = "http://www.omg.org/spec/BPMN/20100524/MODEL";

/// The one finding for bytes that cannot be read.
fn refused(xml: &[u8]) -> Diagnostic {
    let mut findings = check(xml, &Options::default()).expect_err("this is no process");
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}

fn rule(xml: &[u8]) -> &'static str {
    refused(xml).rule
}

fn within(limit: Duration, name: &str, work: impl FnOnce()) {
    let started = Instant::now();
    work();
    let took = started.elapsed();
    println!("{name}: {took:?}");
    assert!(took < limit, "{name} took {took:?}");
}

#[test]
fn bytes_that_are_no_xml() {
    assert_eq!(rule(b""), "not-xml");
    assert_eq!(rule(b"   \n"), "not-xml");
    assert_eq!(rule(b"hello"), "not-xml");
    assert_eq!(rule(b"{\"json\": true}"), "not-xml");
    assert_eq!(rule(b"\xff\xfe<\0a\0/\0>\0"), "input-encoding");
    assert_eq!(rule(b"<a>\xe4</a>"), "input-encoding");
    assert_eq!(rule(b"<a/><b/>"), "not-xml");
    assert_eq!(rule(b"<a b='1' b='2'/>"), "not-xml");
    assert_eq!(rule(b"<a b=1/>"), "not-xml");
    assert_eq!(rule(b"<a></b>"), "not-xml");
    assert_eq!(rule(b"<a>&#0;</a>"), "not-xml");
}

#[test]
fn xml_that_is_no_bpmn() {
    assert_eq!(rule(b"<html/>"), "not-bpmn");
    assert_eq!(rule(b"<definitions/>"), "not-bpmn");
    assert_eq!(rule(b"<definitions xmlns='http://schema.omg.org/spec/BPMN/2.0'/>"), "not-bpmn");
    let process = format!("<process xmlns='{NAMESPACE}' id='P'/>");
    assert_eq!(rule(process.as_bytes()), "not-bpmn");
}

#[test]
fn a_byte_order_mark_is_no_text() {
    let xml = format!("\u{feff}<definitions xmlns='{NAMESPACE}'/>");
    assert_eq!(rule(xml.as_bytes()), "no-process");
}

#[test]
fn every_cut_of_a_file_is_refused() {
    let whole = std::fs::read_to_string(&crate::fixtures::files("accept")[0]).unwrap();
    let end = whole.trim_end().len();
    let root = whole.find("<definitions").unwrap();
    for at in (0..end).filter(|it| whole.is_char_boundary(*it)) {
        let finding = refused(&whole.as_bytes()[..at]);
        let expected: &[&str] = if at > root + 1 { &["truncated"] } else { &["truncated", "not-xml"] };
        assert!(expected.contains(&finding.rule), "cut at {at}: {finding}");
    }
}

#[test]
fn a_doctype_is_refused_wherever_and_however() {
    let bomb = (1..30).fold("<!ENTITY e0 'lol'>".to_owned(), |mut all, n| {
        write!(all, "<!ENTITY e{n} '&e{0};&e{0};&e{0};'>", n - 1).unwrap();
        all
    });
    let xml = format!("<!DOCTYPE definitions [{bomb}]><definitions xmlns='{NAMESPACE}'>&e29;</definitions>");
    within(Duration::from_secs(1), "a DOCTYPE bomb", || assert_eq!(rule(xml.as_bytes()), "doctype"));
    assert_eq!(rule(b"<!DOCTYPE definitions SYSTEM 'file:///etc/passwd'><a/>"), "doctype");
    assert_eq!(rule(b"<!DOCTYPE"), "doctype");
    assert_eq!(rule(b"<!DOCTYPE x [ <!ENTITY"), "doctype");
}

#[test]
fn large_files_are_refused_at_once() {
    let large = vec![b'<'; 100 << 20];
    within(Duration::from_millis(500), "100 MB", || {
        let finding = refused(&large);
        assert_eq!(finding.rule, "input-too-large");
        assert!(finding.message.contains("104857600"), "{finding}");
    });
}

#[test]
fn depth_is_limited() {
    let xml = format!("<definitions xmlns='{NAMESPACE}'>{}", "<subProcess>".repeat(1_000_000));
    let limits = Limits { bytes: usize::MAX, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    within(Duration::from_secs(1), "a million nested elements", || {
        let findings = check(xml.as_bytes(), &options).unwrap_err();
        assert_eq!(findings[0].rule, "too-deep");
    });
    let drawn = format!(
        "<definitions xmlns='{NAMESPACE}' xmlns:d='http://www.omg.org/spec/BPMN/20100524/DI'>{}",
        "<d:x>".repeat(100_000)
    );
    assert_eq!(rule(drawn.as_bytes()), "too-deep");
}

#[test]
fn elements_and_attributes_are_limited() {
    let many = format!("<definitions xmlns='{NAMESPACE}'>{}</definitions>", "<a/>".repeat(300_000));
    assert_eq!(rule(many.as_bytes()), "too-many-elements");
    let attributes: String = (0..100_000).fold(String::new(), |mut all, n| {
        write!(all, " a{n}=''").unwrap();
        all
    });
    let wide = format!("<definitions xmlns='{NAMESPACE}'{attributes}/>");
    within(Duration::from_secs(1), "100,000 attributes", || assert_eq!(rule(wide.as_bytes()), "too-many-attributes"));
    let prefixes: String = (0..100_000).fold(String::new(), |mut all, n| {
        write!(all, " xmlns:a{n}='u'").unwrap();
        all
    });
    let bound = format!("<definitions xmlns='{NAMESPACE}'{prefixes}/>");
    within(Duration::from_secs(1), "100,000 prefixes", || assert_eq!(rule(bound.as_bytes()), "too-many-attributes"));
}

#[test]
fn places_count_lines_and_characters() {
    let xml = format!(
        "<definitions xmlns='{NAMESPACE}'>\r\n  <process id='P'><!-- \u{e4}\u{f6}\u{1f600} --><startEvent id='S' /></process></definitions>"
    );
    let findings = check(xml.as_bytes(), &Options::default()).unwrap_err();
    let start = findings.iter().find(|it| it.element.as_deref() == Some("S")).unwrap();
    assert_eq!((start.line, start.column), (2, 31), "{start}");
}

#[test]
fn the_place_of_an_expression_is_that_of_the_mistake() {
    let xml = std::fs::read_to_string(
        crate::fixtures::files("reject").into_iter().find(|it| it.ends_with("feel-syntax.bpmn")).unwrap(),
    )
    .unwrap();
    let findings = check(xml.as_bytes(), &crate::fixtures::options()).unwrap_err();
    let finding = findings.iter().find(|it| it.rule == "expression-syntax").unwrap();
    let line = xml.lines().nth(finding.line as usize - 1).unwrap();
    let (start, end) = (line.find("=x").unwrap() + 1, line.find("</condition").unwrap() + 1);
    let column = finding.column as usize;
    assert!(line.contains("conditionExpression") && (start..=end).contains(&column), "{finding}");
}

#[test]
fn annotations_are_limited() {
    let yaml = format!("rexflow:\n  service: {}", "{a: ".repeat(10_000));
    let xml = format!(
        "<definitions xmlns='{NAMESPACE}'><process id='P' isExecutable='true'><startEvent id='S'/><serviceTask id='T'/>\
         <sequenceFlow id='f' sourceRef='S' targetRef='T'/><textAnnotation id='A'><text>{yaml}</text></textAnnotation>\
         <association id='L' sourceRef='T' targetRef='A'/></process></definitions>"
    );
    within(Duration::from_secs(1), "deep YAML", || {
        let findings = check(xml.as_bytes(), &Options::default()).unwrap_err();
        assert!(findings.iter().any(|it| it.rule == "annotation-syntax"), "{findings:?}");
    });
}

/// 4,000 elements: gateways with conditions, tasks, joins, and their drawing.
fn large_model(blocks: usize) -> String {
    let mut xml = format!(
        "<definitions xmlns='{NAMESPACE}' xmlns:z='http://camunda.org/schema/zeebe/1.0'><process id='P' isExecutable='true'><startEvent id='S'/>"
    );
    let mut last = "S".to_owned();
    for n in 0..blocks {
        write!(
            xml,
            "<sequenceFlow id='in{n}' sourceRef='{last}' targetRef='G{n}'/><exclusiveGateway id='G{n}' default='d{n}'/>\
             <sequenceFlow id='c{n}' sourceRef='G{n}' targetRef='A{n}'><conditionExpression>x &gt; {n}</conditionExpression></sequenceFlow>\
             <sequenceFlow id='d{n}' sourceRef='G{n}' targetRef='J{n}'/>\
             <serviceTask id='A{n}'><extensionElements><z:taskDefinition type='a'/></extensionElements></serviceTask>\
             <sequenceFlow id='j{n}' sourceRef='A{n}' targetRef='J{n}'/><exclusiveGateway id='J{n}'/>"
        )
        .unwrap();
        last = format!("J{n}");
    }
    write!(xml, "<sequenceFlow id='out' sourceRef='{last}' targetRef='E'/><endEvent id='E'/></process></definitions>")
        .unwrap();
    xml
}

#[test]
fn a_gateway_between_very_many_tasks_is_not_copied_into_each() {
    let mut xml = format!(
        "<definitions xmlns='{NAMESPACE}' xmlns:z='http://camunda.org/schema/zeebe/1.0'><process id='P' isExecutable='true'>\
         <startEvent id='S'/><sequenceFlow id='s' sourceRef='S' targetRef='G'/><exclusiveGateway id='G' default='d'/>\
         <sequenceFlow id='d' sourceRef='G' targetRef='E'/><endEvent id='E'/>"
    );
    for n in 0..1_000 {
        write!(
            xml,
            "<sequenceFlow id='a{n}' sourceRef='G' targetRef='T{n}'><conditionExpression>x = {n}</conditionExpression></sequenceFlow>\
             <serviceTask id='T{n}'><extensionElements><z:taskDefinition type='t'/></extensionElements></serviceTask>\
             <sequenceFlow id='b{n}' sourceRef='T{n}' targetRef='G'/>"
        )
        .unwrap();
    }
    xml.push_str("</process></definitions>");
    within(Duration::from_secs(4), "a hub", || {
        let checked = check(xml.as_bytes(), &crate::fixtures::options()).unwrap();
        let tasks = checked.definitions[0].tasks.values();
        assert!(tasks.clone().all(|it| it.table.nodes.len() == 2), "each task knows itself and the hub");
    });
}

#[test]
fn four_thousand_elements_take_less_than_half_a_second() {
    let xml = large_model(570);
    // an unoptimised build takes a multiple
    let allowed = if cfg!(debug_assertions) { 6 } else { 1 };
    within(Duration::from_millis(500) * allowed, "4,000 elements", || {
        let checked = check(xml.as_bytes(), &crate::fixtures::options()).unwrap();
        let definition = &checked.definitions[0];
        assert_eq!(definition.tasks.len(), 570);
        let tables: usize = definition.tasks.values().map(|it| it.table.nodes.len() + it.table.flows.len()).sum();
        let ledger = &definition.ledger.table;
        assert!(tables < 64 * (ledger.nodes.len() + ledger.flows.len()), "tables grow with the square: {tables}");
    });
}

/// Files near the limits, each of the shape that makes one careless search quadratic.
#[test]
fn hostile_shapes_take_linear_time() {
    let head = format!("<definitions xmlns='{NAMESPACE}'>");
    let repeat = |count: usize, one: &dyn Fn(usize) -> String| (0..count).map(one).collect::<String>();
    let process = |inner: String| {
        format!("{head}<process id='P' isExecutable='true'><startEvent id='S'/>{inner}</process></definitions>")
    };
    let shapes = [
        ("processes", format!("{head}{}</definitions>", repeat(100_000, &|n| format!("<process id='p{n}'/>")))),
        (
            "dangling flows",
            process(repeat(60_000, &|n| format!("<sequenceFlow id='f{n}' sourceRef='S' targetRef='x{n}'/>"))),
        ),
        (
            "one gateway's flows",
            process(
                "<parallelGateway id='G'>".to_owned()
                    + &repeat(40_000, &|n| format!("<outgoing>f{n}</outgoing>"))
                    + "</parallelGateway>"
                    + &repeat(40_000, &|n| format!("<sequenceFlow id='f{n}' sourceRef='G' targetRef='S'/>")),
            ),
        ),
        ("unknown defaults", process(repeat(60_000, &|n| format!("<exclusiveGateway id='g{n}' default='nope{n}'/>")))),
        (
            "errors",
            format!("{head}{}", repeat(30_000, &|n| format!("<error id='e{n}' errorCode='{n}'/>")))
                + "<process id='P'><startEvent id='S'/><serviceTask id='T'/>"
                + &repeat(30_000, &|n| {
                    format!(
                        "<boundaryEvent id='b{n}' attachedToRef='T'><errorEventDefinition errorRef='e{n}'/></boundaryEvent>"
                    )
                })
                + "</process></definitions>",
        ),
        (
            "children",
            process(format!("<subProcess id='X'>{}</subProcess>", repeat(100_000, &|n| format!("<task id='t{n}'/>")))),
        ),
        (
            "a cycle",
            process(repeat(60_000, &|n| {
                format!(
                    "<exclusiveGateway id='g{n}'/><sequenceFlow id='f{n}' sourceRef='g{n}' targetRef='g{}'/>",
                    (n + 1) % 60_000
                )
            })),
        ),
    ];
    for (name, xml) in shapes {
        assert!(xml.len() < Limits::default().bytes, "{name} is too large to show anything");
        within(Duration::from_secs(8), name, || {
            let findings = check(xml.as_bytes(), &Options::default()).unwrap_err();
            assert!(findings.len() <= 1_000 && findings.iter().any(|it| it.is_error()), "{name}");
        });
    }
}
