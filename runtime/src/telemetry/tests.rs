//! Trace context in and out, the variables, and spans that nobody records. Exporting is tested in `tests/otlp.rs`.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn extract(pairs: &[(&'static str, &str)]) -> String {
    TraceContext::extract(&headers(pairs)).traceparent()
}

fn sampled() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}

#[test]
fn w3c_is_read_and_written() {
    let context = TraceContext::extract(&headers(&[
        ("traceparent", &sampled()),
        ("tracestate", "a=1"),
        ("tracestate", "b@c=2"),
        ("baggage", "user=7;p=1,x=%20"),
    ]));
    assert_eq!(context.traceparent(), sampled());
    assert_eq!(context.tracestate(), "a=1,b@c=2");
    assert_eq!(context.baggage(), "user=7;p=1,x=%20");
    assert_eq!(context.trace_id(), TRACE);
    assert!(context.is_sampled());
    let same = TraceContext::parse(&context.traceparent(), context.tracestate(), context.baggage());
    assert_eq!(same, context);
}

#[test]
fn malformed_traceparents_count_as_absent() {
    let zero_trace = format!("00-{}-{SPAN}-01", "0".repeat(32));
    let zero_span = format!("00-{TRACE}-{}-01", "0".repeat(16));
    let upper = sampled().to_uppercase();
    let long = format!("{}-more", sampled());
    let version = format!("ff-{TRACE}-{SPAN}-01");
    let shifted = format!("00-{}-{SPAN}0-01", &TRACE[1..]);
    let signed = format!("00-+{}-{SPAN}-01", &TRACE[1..]);
    for bad in ["", "00", "garbage", &zero_trace, &zero_span, &upper, &long, &version, &shifted, &signed] {
        assert_eq!(extract(&[("traceparent", bad), ("tracestate", "a=1")]), "", "{bad}");
        assert_eq!(TraceContext::parse(bad, "a=1", "").tracestate(), "", "{bad}");
    }
    let repeated = [("traceparent", sampled()), ("traceparent", sampled())];
    assert_eq!(extract(&repeated.each_ref().map(|(name, value)| (*name, value.as_str()))), "");
    let umlaut = TraceContext::parse(&format!("00-{}\u{e4}-{SPAN}-01", &TRACE[2..]), "", "");
    assert!(!umlaut.has_trace());
}

#[test]
fn later_versions_are_read_as_far_as_they_are_known() {
    let later = format!("cc-{TRACE}-{SPAN}-ff-what-the-future-brings");
    assert_eq!(extract(&[("traceparent", &later)]), format!("00-{TRACE}-{SPAN}-03"));
}

#[test]
fn tracestate_and_baggage_are_limited() {
    let many = vec!["a=1"; 33].join(",");
    let big = format!("a={}", "x".repeat(600));
    for bad in ["A=1", "novalue", "=1", &many, &big, "a=\u{1}"] {
        assert_eq!(TraceContext::parse(&sampled(), bad, "").tracestate(), "", "{bad}");
        assert!(TraceContext::parse(&sampled(), bad, "").has_trace(), "{bad}");
    }
    let many = vec!["a=1"; 65].join(",");
    let big = format!("a={}", "x".repeat(9000));
    for bad in ["novalue", "=1", &many, &big, "a=\u{1}"] {
        assert_eq!(TraceContext::parse("", "", bad).baggage(), "", "{bad}");
    }
}

#[test]
fn b3_is_read_when_there_is_no_w3c() {
    let short = &TRACE[16..];
    let padded = format!("00-{:0>32}-{SPAN}-01", short);
    let not_sampled = format!("00-{TRACE}-{SPAN}-00");
    for (b3, expected) in [
        (format!("{TRACE}-{SPAN}-1"), &sampled()),
        (format!("{TRACE}-{SPAN}-d"), &sampled()),
        (format!("{TRACE}-{SPAN}"), &sampled()),
        (format!("{TRACE}-{SPAN}-0"), &not_sampled),
        (format!("{TRACE}-{SPAN}-1-{SPAN}"), &sampled()),
        (format!("{}-{SPAN}-1", TRACE.to_uppercase()), &sampled()),
        (format!("{short}-{SPAN}-1"), &padded),
    ] {
        assert_eq!(extract(&[("b3", &b3)]), **expected, "{b3}");
    }
    let w3c = format!("00-{TRACE}-{SPAN}-00");
    let both = [("traceparent", w3c.as_str()), ("b3", &format!("{TRACE}-{SPAN}-1"))];
    assert_eq!(extract(&both), w3c);
    let broken = [("traceparent", "nonsense"), ("b3", &format!("{TRACE}-{SPAN}-1"))];
    assert_eq!(extract(&broken), sampled());
}

#[test]
fn b3_in_several_headers_is_read() {
    let ids = [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)];
    assert_eq!(extract(&ids), sampled());
    for (name, value, flag) in [
        ("x-b3-sampled", "1", "01"),
        ("x-b3-sampled", "0", "00"),
        ("x-b3-sampled", "true", "01"),
        ("x-b3-sampled", "false", "00"),
        ("x-b3-flags", "1", "01"),
    ] {
        let expected = format!("00-{TRACE}-{SPAN}-{flag}");
        assert_eq!(extract(&[ids[0], ids[1], (name, value)]), expected, "{name} {value}");
    }
    assert_eq!(extract(&[ids[0]]), "");
    assert_eq!(extract(&[ids[0], ids[1], ("x-b3-sampled", "maybe")]), "");
}

#[test]
fn malformed_b3_counts_as_absent() {
    let zero = format!("{}-{SPAN}-1", "0".repeat(32));
    let extra = format!("{TRACE}-{SPAN}-1-{SPAN}-1");
    let parent = format!("{TRACE}-{SPAN}-1-xyz");
    let flag = format!("{TRACE}-{SPAN}-2");
    for bad in ["", "0", "1", "d", "-", "--", "abc-def-1", &zero, &extra, &parent, &flag] {
        assert_eq!(extract(&[("b3", bad)]), "", "{bad}");
    }
}

#[test]
fn contexts_replace_what_the_headers_carried() {
    let context = TraceContext::parse(&sampled(), "a=1", "k=v");
    let mut map = headers(&[("traceparent", "old"), ("x-b3-traceid", "old"), ("b3", "old"), ("host", "a")]);
    Propagators::default().inject(&context, &mut map);
    assert_eq!(map["traceparent"], sampled());
    assert_eq!((&map["tracestate"], &map["baggage"]), (&"a=1".parse().unwrap(), &"k=v".parse().unwrap()));
    assert_eq!(map.len(), 4, "{map:?}");

    let single = Propagators::parse("tracecontext,baggage,b3");
    single.inject(&context, &mut map);
    assert_eq!(map["b3"], format!("{TRACE}-{SPAN}-1"));
    Propagators::parse("b3multi").inject(&context, &mut map);
    assert_eq!((&map["x-b3-traceid"], &map["x-b3-sampled"]), (&TRACE.parse().unwrap(), &"1".parse().unwrap()));
    assert!(!map.contains_key("b3") && !map.contains_key("baggage") && map.contains_key("traceparent"));
    assert_eq!(TraceContext::extract(&map).traceparent(), sampled());
    Propagators::parse("none").inject(&context, &mut map);
    assert_eq!(map.len(), 1);
    Propagators::default().inject(&TraceContext::default(), &mut map);
    assert_eq!(map.len(), 1);
}

fn settings(variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
    Settings::read("flowd", |name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn the_standard_variables_are_read() {
    let (read, warnings) = settings(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=x, deployment.environment.name = a%2Cb ,junk,bad=%zz"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_PROPAGATORS", "tracecontext,b3"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
    ]);
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(read.endpoint.as_deref(), Some("http://collector:4317"));
    assert_eq!(read.service, "x");
    let expected = [("deployment.environment.name", "a,b"), ("bad", "%zz")];
    assert_eq!(read.attributes, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(read.sampler, Sampler { ratio: 0.25, parent_based: true });
    assert_eq!(read.propagators, Propagators { w3c: true, baggage: false, b3: Some(B3::Single) });
    assert_eq!(read.timeout, Some(Duration::from_millis(1500)));
}

#[test]
fn nothing_is_exported_unless_asked_for() {
    let endpoint = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:1");
    assert_eq!(settings(&[]).0.endpoint, None);
    assert_eq!(settings(&[]).0.service, "flowd");
    assert_eq!(settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).0.endpoint, None);
    assert_eq!(settings(&[endpoint]).0.endpoint.as_deref(), Some("http://c:1"));
    assert_eq!(settings(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]).0.endpoint, None);
    assert_eq!(settings(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).0.endpoint, None);
    let (http, warnings) = settings(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]);
    assert_eq!(http.endpoint, None);
    assert!(warnings[0].contains("grpc"), "{warnings:?}");
}

#[test]
fn wrong_samplers_warn_and_record() {
    for (name, argument) in [("jaeger_remote", "1"), ("traceidratio", "many"), ("traceidratio", "1.5")] {
        let read = settings(&[("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)]);
        assert_eq!(read.0.sampler, Sampler::default());
        assert_eq!(read.1.len(), 1, "{name} {argument}");
    }
}

#[test]
fn without_exporting_the_context_is_passed_on() {
    let tracer = Tracer::off();
    let parent = TraceContext::parse(&sampled(), "a=1", "k=v");
    let now = SystemTime::UNIX_EPOCH;
    let mut span = tracer.span(format_args!("{}", Loud), SpanKind::Internal, &parent, now);
    span.set("bpmn.attempt", 1_u32);
    span.error("HTTP_500");
    assert!(!span.is_recording());
    assert_eq!(span.context(), &parent);
    span.end(now);
}

/// A name that must not be formatted.
struct Loud;

impl std::fmt::Display for Loud {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("the name of a span that is not recorded was formatted")
    }
}

#[test]
fn without_a_trace_a_new_one_begins_and_its_hops_share_it() {
    let tracer = Tracer::off();
    let now = SystemTime::UNIX_EPOCH;
    let baggage = TraceContext::parse("", "", "k=v");
    let root = tracer.span("start", SpanKind::Server, &baggage, now);
    assert!(root.context().has_trace() && root.context().is_sampled());
    assert_eq!(root.context().baggage(), "k=v");
    let hop = tracer.span("hop", SpanKind::Internal, root.context(), now);
    assert_eq!(hop.context().trace_id(), root.context().trace_id());
    let other = tracer.span("start", SpanKind::Server, &baggage, now);
    assert_ne!(other.context().trace_id(), root.context().trace_id());
}

#[test]
fn the_ratio_holds_without_exporting_too() {
    for (ratio, all, none) in [(1.0, true, false), (0.0, false, true), (0.5, false, false)] {
        let sampler = Sampler { ratio, parent_based: true };
        let tracer = Tracer::new(None, sampler, Propagators::default());
        let roots =
            (0..200).map(|_| tracer.span("s", SpanKind::Server, &TraceContext::default(), SystemTime::UNIX_EPOCH));
        let sampled = roots.filter(|span| span.context().is_sampled()).count();
        assert_eq!((sampled == 200, sampled == 0), (all, none), "{ratio}: {sampled} of 200");
    }
}
