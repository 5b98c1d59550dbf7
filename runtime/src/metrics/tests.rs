//! Pages of metrics as scrapers get them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderMap;
use http::header::ACCEPT;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::*;

/// What Prometheus 2.42 sends.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

fn page() -> (Exposition, Histogram) {
    let mut registry = Registry::with_prefix("flow");
    let (started, idle) = (Counter::<u64>::default(), Gauge::<i64>::default());
    registry.register("started", "What began", started.clone());
    registry.register_with_unit("idle", "What rests", Unit::Seconds, idle);
    started.inc_by(3);
    let family = Family::new("flow_took_seconds", "How long it took", &["task"]);
    let histogram = family.with(&["a \"b\"\\\n"]);
    (Exposition::new(registry, [family]), histogram)
}

#[test]
fn the_plain_page_has_no_exemplars_units_or_end() {
    let (page, histogram) = page();
    histogram.observe(Duration::from_micros(250));
    histogram.observe_in(Duration::from_micros(251), Exemplar { trace: 1, at: 1_000 });
    histogram.observe(Duration::from_secs(500));
    let text = page.text(Format::Plain).unwrap();
    for line in [
        "# HELP flow_started_total What began.",
        "# TYPE flow_started_total counter",
        "flow_started_total 3",
        "# TYPE flow_idle_seconds gauge",
        "flow_idle_seconds 0",
        "# TYPE flow_took_seconds histogram",
        "flow_took_seconds_bucket{task=\"a \\\"b\\\"\\\\\\n\",le=\"0.00025\"} 1",
        "flow_took_seconds_bucket{task=\"a \\\"b\\\"\\\\\\n\",le=\"0.0005\"} 2",
        "flow_took_seconds_bucket{task=\"a \\\"b\\\"\\\\\\n\",le=\"120.0\"} 2",
        "flow_took_seconds_bucket{task=\"a \\\"b\\\"\\\\\\n\",le=\"+Inf\"} 3",
        "flow_took_seconds_sum{task=\"a \\\"b\\\"\\\\\\n\"} 500.000501",
        "flow_took_seconds_count{task=\"a \\\"b\\\"\\\\\\n\"} 3",
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
    }
    assert!(!text.contains(" # ") && !text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
}

#[test]
fn open_metrics_have_the_last_trace_of_each_bucket() {
    let (page, histogram) = page();
    for (trace, at) in [(7, 1_500), (0xabc, 1_764_410_000_123)] {
        histogram.observe_in(Duration::from_millis(40), Exemplar { trace, at });
    }
    histogram.observe(Duration::from_millis(41));
    let text = page.text(Format::OpenMetrics).unwrap();
    let exemplars: Vec<&str> = text.lines().filter(|line| line.contains(" # ")).collect();
    let of = "le=\"0.05\"} 3 # {trace_id=\"00000000000000000000000000000abc\"} 0.04 1764410000.123";
    assert!(matches!(exemplars[..], [only] if only.ends_with(of)), "{text}");
    assert!(text.contains("# TYPE flow_started counter\nflow_started_total 3\n"), "{text}");
    assert!(text.contains("# UNIT flow_took_seconds seconds\n") && text.ends_with("\n# EOF\n"), "{text}");
}

#[test]
fn a_family_without_series_is_not_shown_and_labels_are_counted_together() {
    let family = Family::long("flow_waited_seconds", "How long it waited", &[]);
    let page = Exposition::new(Registry::default(), [family.clone()]);
    assert_eq!(page.text(Format::Plain).unwrap(), "");
    family.with(&[]).observe(Duration::from_secs(86_400));
    family.with(&[]).observe(Duration::from_secs(86_401));
    let text = page.text(Format::Plain).unwrap();
    assert!(text.contains("flow_waited_seconds_bucket{le=\"86400.0\"} 1\n"), "{text}");
    assert!(text.contains("flow_waited_seconds_count 2\n"), "{text}");
}

#[test]
fn the_format_is_what_the_scraper_asks_for() {
    let asked = |accept: &[&str]| {
        let values = accept.iter().map(|value| (ACCEPT, value.parse().unwrap()));
        Format::asked(&values.collect::<HeaderMap>())
    };
    assert_eq!(asked(&[PROMETHEUS]), Format::OpenMetrics);
    assert_eq!(asked(&["text/plain", "Application/OpenMetrics-Text"]), Format::OpenMetrics);
    for plain in [&[][..], &["*/*"], &["text/plain;version=0.0.4"], &["application/openmetrics-text; q=0"]] {
        assert_eq!(asked(plain), Format::Plain, "{plain:?}");
    }
}

/// A reader never sees half of one exemplar and half of another.
#[test]
fn exemplars_are_read_whole_while_they_are_replaced() {
    let (page, histogram) = page();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for of in [1_u128, 2] {
            let (histogram, done) = (histogram.clone(), &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    // both halves of the trace and its time are the same number
                    let exemplar = Exemplar { trace: (of << 64) | of, at: 1_000 * u64::try_from(of).unwrap() };
                    histogram.observe_in(Duration::from_millis(40), exemplar);
                }
            });
        }
        let mut seen = 0;
        while seen < 2_000 {
            let text = page.text(Format::OpenMetrics).unwrap();
            let Some(line) = text.lines().find(|line| line.contains(" # ")) else { continue };
            seen += 1;
            let whole = [1, 2].iter().any(|of| line.ends_with(&format!("\"{of:016x}{of:016x}\"}} 0.04 {of}.000")));
            if !whole {
                done.store(true, Ordering::Relaxed);
                panic!("{line}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
