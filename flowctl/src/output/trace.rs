//! The hops of an instance: `trace`, as a list for scripts and a waterfall for people.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::instance::instant;
use super::{Show, table, time};

/// One stay of a token at an element.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hop {
    pub(crate) element: String,
    pub(crate) name: String,
    /// BPMN kind, as `serviceTask`.
    pub(crate) kind: String,
    pub(crate) started: Option<Timestamp>,
    /// Absent while the token is still there.
    pub(crate) ended: Option<Timestamp>,
    /// Calls of the task, 0 for elements that call nothing.
    pub(crate) attempts: u32,
    /// `running`, `completed`, `failed`, `incident`, `cancelled`.
    pub(crate) status: String,
    /// What went wrong or was odd on the way.
    pub(crate) warnings: Vec<String>,
}

/// The hops of one instance in order.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) instance: String,
    pub(crate) hops: Vec<Hop>,
}

/// Width of the waterfall in characters.
const WIDTH: usize = 40;

impl Show for Trace {
    fn json(&self) -> Value {
        let hop = |hop: &Hop| {
            json!({
                "element": hop.element,
                "name": hop.name,
                "kind": hop.kind,
                "started": instant(hop.started),
                "ended": instant(hop.ended),
                "attempts": hop.attempts,
                "status": hop.status,
                "warnings": hop.warnings,
            })
        };
        self.hops.iter().map(hop).collect()
    }

    fn names(&self) -> Vec<String> {
        self.hops.iter().map(|hop| format!("element/{}", hop.element)).collect()
    }

    fn text(&self, wide: bool, now: Timestamp) -> String {
        let Some(scale) = Scale::of(&self.hops, now) else {
            return String::new();
        };
        let row = |hop: &Hop| {
            let (offset, duration) = scale.place(hop);
            let name = if hop.name.is_empty() { &hop.element } else { &hop.name };
            let attempts = if hop.attempts > 0 { hop.attempts.to_string() } else { String::new() };
            [name.clone(), hop.status.clone(), attempts, format!("+{}", time::fine(offset)), time::fine(duration)]
        };
        if !wide {
            let rows = self.hops.iter().map(|hop| {
                let [name, status, attempts, offset, duration] = row(hop);
                [name, status, attempts, offset, duration, scale.bar(hop)]
            });
            return table::render(["ELEMENT", "STATUS", "ATTEMPTS", "START", "TOOK", "WATERFALL"], rows);
        }
        let rows = self.hops.iter().map(|hop| {
            let [name, status, attempts, offset, duration] = row(hop);
            [name, hop.element.clone(), hop.kind.clone(), status, attempts, offset, duration, hop.warnings.join("; ")]
        });
        table::render(["NAME", "ELEMENT", "KIND", "STATUS", "ATTEMPTS", "START", "TOOK", "WARNINGS"], rows)
    }
}

/// Maps times to columns of the waterfall.
struct Scale {
    first: Timestamp,
    last: Timestamp,
    now: Timestamp,
}

impl Scale {
    /// From the first start to the last end; what has not ended reaches to the present.
    fn of(hops: &[Hop], now: Timestamp) -> Option<Self> {
        let first = hops.iter().filter_map(|hop| hop.started).min()?;
        let last = hops.iter().map(|hop| hop.ended.unwrap_or(now)).max()?;
        Some(Self { first, last: last.max(first), now })
    }

    /// How long after the first start a hop began, and how long it took.
    fn place(&self, hop: &Hop) -> (Duration, Duration) {
        let started = hop.started.unwrap_or(self.first);
        (time::between(self.first, started), time::between(started, hop.ended.unwrap_or(self.now)))
    }

    /// A bar at least one character wide, open to the right (`>`) if the hop goes on.
    fn bar(&self, hop: &Hop) -> String {
        let total = time::between(self.first, self.last).as_secs_f64();
        let (offset, duration) = self.place(hop);
        let column = |span: Duration| {
            if total > 0.0 { (span.as_secs_f64() / total * WIDTH as f64).round() as usize } else { 0 }
        };
        let from = column(offset).min(WIDTH - 1);
        let to = column(offset + duration).clamp(from + 1, WIDTH);
        let end = if hop.ended.is_none() { ">" } else { "" };
        format!("|{}{}{end}", ".".repeat(from), "=".repeat(to - from))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::output::tests::{NOW, every_form, time_at};

    pub(crate) fn hop(element: &str, from: i64, to: Option<i64>, attempts: u32, status: &str) -> Hop {
        Hop {
            element: element.into(),
            name: format!("do {element}"),
            kind: "serviceTask".into(),
            started: Some(time_at(from)),
            ended: to.map(time_at),
            attempts,
            status: status.into(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_trace_in_every_form() {
        let mut failing = hop("charge", -80, None, 3, "incident");
        failing.warnings.push("503 in 3 attempts".into());
        let mut begin = hop("begin", -200, Some(-200), 0, "completed");
        (begin.kind, begin.name) = ("startEvent".into(), String::new());
        let hops = vec![begin, hop("collect", -195, Some(-120), 1, "completed"), failing];
        insta::assert_snapshot!(every_form(&Trace { instance: "order-1a2b3c4d-1".into(), hops }));
    }

    #[test]
    fn hops_that_took_no_time_have_a_bar() {
        let trace = Trace { instance: "x".into(), hops: vec![hop("a", 0, Some(0), 1, "completed")] };
        assert!(trace.text(false, NOW).contains("|="));
    }

    #[test]
    fn clocks_that_disagree_do_not_break_the_waterfall() {
        let hops = vec![hop("a", 0, Some(-5), 1, "completed"), hop("b", -10, Some(-20), 1, "completed")];
        assert!(Trace { instance: "x".into(), hops }.text(false, NOW).contains("do b"));
    }
}
