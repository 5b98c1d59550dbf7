//! The health of tasks: `probe`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Show, table};
use crate::exit::Exit;

/// The health of one task of a deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Health {
    pub(crate) element: String,
    pub(crate) name: String,
    /// UP, DOWN or UNKNOWN.
    pub(crate) status: String,
    /// What the probe saw; empty if there is nothing to say.
    pub(crate) detail: String,
}

/// The health of one deployment's tasks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Probe {
    pub(crate) deployment: String,
    pub(crate) tasks: Vec<Health>,
}

/// What `probe` answers.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) probes: Vec<Probe>,
    /// Ids asked for that do not exist.
    pub(crate) missing: Vec<String>,
}

impl List {
    /// 3 if an id does not exist; a task that is DOWN is an answer, not a failure.
    pub(crate) fn exit(&self) -> Exit {
        if self.missing.is_empty() { Exit::Ok } else { Exit::NotFound }
    }
}

impl Show for List {
    fn json(&self) -> Value {
        let task = |health: &Health| {
            json!({
                "element": health.element,
                "name": health.name,
                "status": health.status,
                "detail": super::instance::or_null(&health.detail),
            })
        };
        let probe = |probe: &Probe| json!({ "deployment": probe.deployment, "tasks": probe.tasks.iter().map(task).collect::<Value>() });
        self.probes.iter().map(probe).collect()
    }

    fn original(&self) -> Value {
        let found = self.probes.iter().map(|probe| {
            let pairs: Value = probe.tasks.iter().map(|task| json!([task.element, task.status])).collect();
            json!({ probe.deployment.as_str(): pairs })
        });
        let missing = self.missing.iter().map(|id| json!({ "result": format!("Workflow '{id}' not found") }));
        let all: Vec<Value> = found.chain(missing).collect();
        if all.is_empty() { json!([{ "result": "No workflows exist" }]) } else { all.into() }
    }

    fn names(&self) -> Vec<String> {
        self.probes.iter().map(|probe| format!("deployment/{}", probe.deployment)).collect()
    }

    fn text(&self, wide: bool, _now: Timestamp) -> String {
        let tasks = self.probes.iter().flat_map(|probe| probe.tasks.iter().map(move |task| (probe, task)));
        let row =
            |(probe, task): (&Probe, &Health)| [probe.deployment.clone(), task.element.clone(), task.status.clone()];
        if !wide {
            return table::render(["DEPLOYMENT", "ELEMENT", "STATUS"], tasks.map(row));
        }
        let rows = tasks.map(|(probe, task)| {
            let [deployment, element, status] = row((probe, task));
            [deployment, element, task.name.clone(), status, task.detail.clone()]
        });
        table::render(["DEPLOYMENT", "ELEMENT", "NAME", "STATUS", "DETAIL"], rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::every_form;

    #[test]
    fn probes_in_every_form() {
        let health = |element: &str, status: &str, detail: &str| Health {
            element: element.into(),
            name: format!("do {element}"),
            status: status.into(),
            detail: detail.into(),
        };
        let tasks = vec![health("collect", "UP", ""), health("charge", "DOWN", "GET /healthz: 503")];
        let probes = vec![Probe { deployment: "order-1a2b3c4d".into(), tasks }];
        insta::assert_snapshot!(every_form(&List { probes, missing: vec!["gone".into()] }));
    }

    #[test]
    fn nothing_deployed_is_said_as_the_original_did() {
        let list = List { probes: Vec::new(), missing: Vec::new() };
        assert_eq!(list.original(), json!([{"result": "No workflows exist"}]));
        assert_eq!(list.json(), json!([]));
    }
}
