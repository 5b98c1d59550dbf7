//! User tasks: the list of `tasks`, beside the instances in `ps`, and what `claim`, `unclaim` and `complete` answer.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::instance::{instant, or_null};
use super::{Show, table, time};

/// An open user task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) instance: String,
    pub(crate) process: String,
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
    /// Since when its assignee has claimed it.
    pub(crate) claimed: Option<Timestamp>,
    /// Something was saved for it.
    pub(crate) has_draft: bool,
}

impl Task {
    /// The shape that scripts rely on.
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id,
            "instance": self.instance,
            "process": self.process,
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
            "claimed": instant(self.claimed),
            "has_draft": self.has_draft,
        })
    }

    fn candidates(&self) -> String {
        let all: Vec<&str> = self.candidate_users.iter().chain(&self.candidate_groups).map(String::as_str).collect();
        all.join(",")
    }

    fn row(&self, now: Timestamp) -> [String; 7] {
        [
            self.id.clone(),
            self.element.clone(),
            self.instance.clone(),
            self.assignee.clone(),
            self.candidates(),
            self.form.clone(),
            time::age(self.since, now),
        ]
    }

    fn wide_row(&self, now: Timestamp) -> [String; 13] {
        let [id, element, instance, assignee, candidates, form, age] = self.row(now);
        let claimed = self.claimed.map(|_| time::age(self.claimed, now)).unwrap_or_default();
        let draft = if self.has_draft { "yes" } else { "no" };
        [
            id,
            element,
            self.name.clone(),
            self.process.clone(),
            instance,
            assignee,
            claimed,
            candidates,
            form,
            draft.to_owned(),
            self.due_date.clone(),
            self.priority.clone(),
            age,
        ]
    }

    /// It by its id, and where it is.
    pub(super) fn described(&self) -> String {
        format!("task/{} ({} of {})", self.id, self.element, self.instance)
    }
}

/// The open tasks as a table; nothing if there are none.
pub(crate) fn render<'a>(tasks: impl Iterator<Item = &'a Task>, now: Timestamp) -> String {
    let headings = ["TASK", "ELEMENT", "INSTANCE", "ASSIGNEE", "CANDIDATES", "FORM", "AGE"];
    table::render(headings, tasks.map(|it| it.row(now)))
}

/// What `tasks` answers.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) tasks: Vec<Task>,
}

impl Show for List {
    fn json(&self) -> Value {
        self.tasks.iter().map(Task::json).collect()
    }

    fn names(&self) -> Vec<String> {
        self.tasks.iter().map(|it| format!("task/{}", it.id)).collect()
    }

    fn text(&self, wide: bool, now: Timestamp) -> String {
        if !wide {
            return render(self.tasks.iter(), now);
        }
        let headings = [
            "TASK",
            "ELEMENT",
            "NAME",
            "PROCESS",
            "INSTANCE",
            "ASSIGNEE",
            "CLAIMED",
            "CANDIDATES",
            "FORM",
            "DRAFT",
            "DUE",
            "PRIORITY",
            "AGE",
        ];
        table::render(headings, self.tasks.iter().map(|it| it.wide_row(now)))
    }
}

/// What `claim` and `unclaim` answer: the task as it is now.
#[derive(Debug)]
pub(crate) struct Assigned {
    pub(crate) task: Task,
}

impl Show for Assigned {
    fn json(&self) -> Value {
        self.task.json()
    }

    fn names(&self) -> Vec<String> {
        vec![format!("task/{}", self.task.id)]
    }

    fn text(&self, _wide: bool, _now: Timestamp) -> String {
        match self.task.assignee.as_str() {
            "" => format!("{}: nobody has it.\n", self.task.described()),
            who => format!("{}: {} has it.\n", self.task.described(), table::one_line(who)),
        }
    }
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
        format!("{}: {what}\n", self.task.described())
    }
}
