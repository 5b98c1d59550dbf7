//! Deployments: `ps -d`.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::instance::instant;
use super::{Show, table, time};

/// One element of a deployment that has a service, and how it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Task {
    /// Id of the BPMN element.
    pub(crate) element: String,
    pub(crate) name: String,
    /// What the binding calls its service: the annotation's host, or the task type.
    pub(crate) service: String,
    /// UP, DOWN or UNKNOWN.
    pub(crate) health: String,
    /// What the probe saw; may be empty.
    pub(crate) reason: String,
    /// Sidecars that serve it.
    pub(crate) replicas: u32,
    /// Those of them that hold its table.
    pub(crate) ready_replicas: u32,
    /// Where its service is: by a swap, by apply's bindings, or by the model; may be empty.
    pub(crate) url: String,
    pub(crate) conditions: Vec<Condition>,
}

/// Something that holds of a task and that somebody should know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Condition {
    /// `ImageDrift`
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) message: String,
}

/// A way in from outside.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Ingress {
    /// A DNS name, or `*` for any.
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) start_event: String,
    /// What leads there in a cluster, `NAMESPACE/NAME`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) gateway: String,
    /// Why it does not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
}

impl std::fmt::Display for Ingress {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, path, start_event, gateway, message } = self;
        write!(out, "{host}{path} to {start_event}")?;
        match (gateway.is_empty(), message.is_empty()) {
            (true, true) => Ok(()),
            (false, true) => write!(out, " (by gateway {gateway})"),
            (true, false) => write!(out, " ({message})"),
            (false, false) => write!(out, " (gateway {gateway}: {message})"),
        }
    }
}

/// One deployment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) process: String,
    /// STARTING, RUNNING, DEGRADED, STOPPING, STOPPED or ERROR.
    pub(crate) state: String,
    /// Why the state is what it is; may be empty.
    pub(crate) reason: String,
    pub(crate) tasks: Vec<Task>,
    pub(crate) start_events: Vec<String>,
    /// Instances that have not ended.
    pub(crate) running: u64,
    pub(crate) applied: Option<Timestamp>,
    /// The model's `user_opaque_metadata`; null if it has none.
    pub(crate) metadata: Value,
    /// Where it is reached from outside.
    pub(crate) ingress: Vec<Ingress>,
    /// `NAMESPACE/NAME` of the Workflow that brought it; empty if flowctl did.
    pub(crate) workflow: String,
}

impl Deployment {
    /// The shape that scripts rely on.
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "process": self.process,
            "state": self.state,
            "reason": super::instance::or_null(&self.reason),
            "tasks": self.tasks,
            "start_events": self.start_events,
            "running": self.running,
            "applied": instant(self.applied),
            "metadata": self.metadata,
            "ingress": self.ingress,
            "workflow": super::instance::or_null(&self.workflow),
        })
    }

    /// The original's entry.
    pub(crate) fn original(&self) -> Value {
        let mut entry = Map::new();
        entry.insert("state".into(), self.state.as_str().into());
        if !self.metadata.is_null() {
            entry.insert("user_opaque_metadata".into(), self.metadata.clone());
        }
        if !self.ingress.is_empty() {
            entry.insert("ingress".into(), json!(self.ingress));
        }
        entry.into()
    }

    /// Its tasks' conditions, in a few words.
    fn conditions(&self) -> String {
        let tasks = self.tasks.iter();
        let each = tasks.flat_map(|task| task.conditions.iter().map(move |it| format!("{}={}", task.element, it.kind)));
        each.collect::<Vec<_>>().join(",")
    }

    fn row(&self, now: Timestamp) -> [String; 6] {
        let up = self.tasks.iter().filter(|task| task.health == "UP").count();
        [
            self.id.clone(),
            self.process.clone(),
            self.state.clone(),
            format!("{up}/{}", self.tasks.len()),
            self.running.to_string(),
            time::age(self.applied, now),
        ]
    }
}

/// What `ps -d` answers.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) deployments: Vec<Deployment>,
}

impl Show for List {
    fn json(&self) -> Value {
        self.deployments.iter().map(Deployment::json).collect()
    }

    fn original(&self) -> Value {
        let entries = self.deployments.iter().map(|deployment| (deployment.id.clone(), deployment.original()));
        entries.collect::<Map<_, _>>().into()
    }

    fn names(&self) -> Vec<String> {
        self.deployments.iter().map(|deployment| format!("deployment/{}", deployment.id)).collect()
    }

    fn text(&self, wide: bool, now: Timestamp) -> String {
        if !wide {
            let rows = self.deployments.iter().map(|deployment| deployment.row(now));
            return table::render(["ID", "PROCESS", "STATE", "TASKS UP", "RUNNING", "AGE"], rows);
        }
        let rows = self.deployments.iter().map(|deployment| {
            let [id, process, state, up, running, age] = deployment.row(now);
            let services: Vec<_> =
                deployment.tasks.iter().map(|task| format!("{}={}", task.element, task.service)).collect();
            [
                id,
                process,
                state,
                up,
                running,
                age,
                services.join(","),
                deployment.start_events.join(","),
                deployment.reason.clone(),
                deployment.conditions(),
            ]
        });
        let headings = [
            "ID",
            "PROCESS",
            "STATE",
            "TASKS UP",
            "RUNNING",
            "AGE",
            "SERVICES",
            "START EVENTS",
            "REASON",
            "CONDITIONS",
        ];
        table::render(headings, rows)
    }
}

#[cfg(test)]
pub(crate) mod tests;
