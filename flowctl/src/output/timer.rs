//! Timers that flowd waits for.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::instance::{Operation, instant, or_null};
use super::{Show, table, time};

/// A timer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timer {
    /// Empty: it starts instances.
    pub(crate) instance: String,
    pub(crate) deployment: String,
    /// The event.
    pub(crate) element: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    /// What waits for it; empty: nobody in particular.
    pub(crate) activation: String,
    pub(crate) due: Option<Timestamp>,
    /// Of a cycle, how far apart.
    pub(crate) every: String,
    /// Of a cycle, further firings; `None`: without end.
    pub(crate) left: Option<u32>,
    /// Of one that starts instances: what operators did to it.
    pub(crate) operations: Vec<Operation>,
}

impl Timer {
    fn json(&self) -> Value {
        json!({
            "instance": or_null(&self.instance),
            "deployment": self.deployment,
            "element": self.element,
            "name": self.name,
            "kind": self.kind,
            "activation": or_null(&self.activation),
            "due": instant(self.due),
            "every": or_null(&self.every),
            "left": self.left,
            "operations": self.operations.iter().map(Operation::json).collect::<Vec<_>>(),
        })
    }

    fn whose(&self) -> &str {
        if self.instance.is_empty() { &self.deployment } else { &self.instance }
    }

    fn again(&self) -> String {
        match (self.every.as_str(), self.left) {
            ("", _) => String::new(),
            (every, None) => format!("every {every}"),
            (every, Some(left)) => format!("{left} more, every {every}"),
        }
    }

    fn row(&self, now: Timestamp) -> [String; 5] {
        let due = self.due.map_or_else(String::new, |due| format!("{due:.3}"));
        let left = match self.due {
            Some(due) if due > now => format!("in {}", time::fine(time::between(now, due))),
            _ => "now".to_owned(),
        };
        [self.element.clone(), due, left, self.again(), self.whose().to_owned()]
    }
}

/// What `timers` answers.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) timers: Vec<Timer>,
}

impl Show for List {
    fn json(&self) -> Value {
        self.timers.iter().map(Timer::json).collect()
    }

    fn names(&self) -> Vec<String> {
        self.timers.iter().map(|it| format!("timer/{}/{}", it.whose(), it.element)).collect()
    }

    fn text(&self, wide: bool, now: Timestamp) -> String {
        let headings = ["EVENT", "DUE", "LEFT", "AGAIN", "OF"];
        let text = table::render(headings, self.timers.iter().map(|it| it.row(now)));
        let operations = self.timers.iter().filter(|_| wide).flat_map(|timer| {
            timer.operations.iter().map(|it| {
                let at = it.at.map_or_else(String::new, |at| format!("{at:.3}"));
                [timer.element.clone(), at, it.what.clone(), it.by.clone(), it.reason.clone()]
            })
        });
        match table::render(["EVENT", "AT", "WHAT", "BY", "REASON"], operations) {
            operations if operations.is_empty() => text,
            operations => format!("{text}\n{operations}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::{every_form, time_at};

    #[test]
    fn timers_in_every_form() {
        let of_instance = Timer {
            instance: "order-1a2b3c4d-01".into(),
            deployment: "order-1a2b3c4d".into(),
            element: "wait".into(),
            name: "Wait a little".into(),
            kind: "intermediateCatchEvent".into(),
            activation: "0102".into(),
            due: Some(time_at(90_000)),
            every: "PT10S".into(),
            left: Some(2),
            operations: Vec::new(),
        };
        let rearmed = Operation {
            at: Some(time_at(-1_000)),
            what: "rearm daily to R/P1D".into(),
            by: "ann".into(),
            reason: "holidays".into(),
        };
        let of_deployment = Timer {
            instance: String::new(),
            element: "daily".into(),
            name: "daily".into(),
            kind: "startEvent".into(),
            activation: String::new(),
            due: Some(time_at(-5)),
            every: "P1D".into(),
            left: None,
            operations: vec![rearmed],
            ..of_instance.clone()
        };
        let once = Timer { every: String::new(), left: Some(0), ..of_instance.clone() };
        insta::assert_snapshot!(every_form(&List { timers: vec![of_deployment, of_instance, once] }));
    }
}
