//! User tasks: beside the instances in `ps`, and what `complete` answers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::instance::{instant, or_null};
use super::{Show, table, time};

/// An open user task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) instance: String,
    pub(crate) element: String,
    pub(crate) name: String,
    pub(crate) form: String,
    pub(crate) assignee: String,
    pub(crate) candidate_users: Vec<String>,
    pub(crate) candidate_groups: Vec<String>,
    pub(crate) due_date: String,
    pub(crate) follow_up_date: String,
    pub(crate) priority: String,
    pub(crate) since: Option<Timestamp>,
}

impl Task {
    /// The shape that scripts rely on.
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "instance": self.instance,
            "element": self.element,
            "name": self.name,
            "form": or_null(&self.form),
            "assignee": or_null(&self.assignee),
            "candidate_users": self.candidate_users,
            "candidate_groups": self.candidate_groups,
            "due_date": or_null(&self.due_date),
            "follow_up_date": or_null(&self.follow_up_date),
            "priority": or_null(&self.priority),
            "since": instant(self.since),
        })
    }

    fn row(&self, now: Timestamp) -> [String; 7] {
        let candidates: Vec<&str> =
            self.candidate_users.iter().chain(&self.candidate_groups).map(String::as_str).collect();
        [
            self.id.clone(),
            self.element.clone(),
            self.instance.clone(),
            self.assignee.clone(),
            candidates.join(","),
            self.form.clone(),
            time::age(self.since, now),
        ]
    }
}

/// The open tasks as a table; nothing if there are none.
pub(crate) fn render<'a>(tasks: impl Iterator<Item = &'a Task>, now: Timestamp) -> String {
    let headings = ["TASK", "ELEMENT", "INSTANCE", "ASSIGNEE", "CANDIDATES", "FORM", "AGE"];
    table::render(headings, tasks.map(|it| it.row(now)))
}

/// What `complete` answers.
#[derive(Debug)]
pub(crate) struct Completed {
    /// The task, as it was.
    pub(crate) task: Task,
    /// It failed with a BPMN error.
    pub(crate) failed: bool,
}

impl Show for Completed {
    fn json(&self) -> Value {
        let mut json = self.task.json();
        json["status"] = if self.failed { "failed" } else { "completed" }.into();
        json
    }

    fn names(&self) -> Vec<String> {
        vec![format!("task/{}", self.task.id)]
    }

    fn text(&self, _wide: bool, _now: Timestamp) -> String {
        let what = if self.failed { "Failed." } else { "Completed." };
        format!("task/{} ({} of {}): {what}\n", self.task.id, self.task.element, self.task.instance)
    }
}
