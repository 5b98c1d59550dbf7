//! Instances: `ps -i`, and the answer of `run`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::task::Task;
use super::{Show, table, task, time, value};
use crate::exit::Exit;

/// What an instance is doing; the words of the original and of the issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Starting,
    Running,
    Completed,
    Stopped,
    Suspended,
    Error,
    Cancelled,
    /// A state that this flowctl, older than flowd, does not know.
    Unknown,
}

impl State {
    /// The word scripts see.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Starting => "STARTING",
            State::Running => "RUNNING",
            State::Completed => "COMPLETED",
            State::Stopped => "STOPPED",
            State::Suspended => "SUSPENDED",
            State::Error => "ERROR",
            State::Cancelled => "CANCELLED",
            State::Unknown => "UNKNOWN",
        }
    }

    /// Whether nothing will change any more without an operator.
    pub(crate) fn is_settled(self) -> bool {
        match self {
            State::Completed | State::Stopped | State::Error | State::Cancelled => true,
            State::Starting | State::Running | State::Suspended | State::Unknown => false,
        }
    }
}

/// Bytes and what they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    /// Empty if there is nothing.
    pub(crate) content_type: String,
}

impl Body {
    pub(super) fn json(&self) -> Value {
        value::payload(&self.bytes, &self.content_type)
    }

    fn original(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| value::original(&self.bytes).into())
    }

    /// In one line, for people: JSON without white space, text as it is.
    pub(super) fn brief(&self) -> String {
        match self.json() {
            Value::Null => String::new(),
            Value::Object(members) if members.contains_key("base64") => value::original(&self.bytes),
            json => json.to_string(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Why an instance does not go on: the failure record of the token that cannot move.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Failed {
    /// Stable code, as `FAILED_TASK`.
    pub(crate) code: String,
    pub(crate) message: String,
    /// Id of the BPMN element where it waits.
    pub(crate) element: String,
    /// Name of that element.
    pub(crate) name: String,
    /// What the element was given.
    pub(crate) input: Body,
    pub(crate) input_headers: BTreeMap<String, String>,
    /// What it answered; empty if it did not.
    pub(crate) output: Body,
    pub(crate) output_headers: BTreeMap<String, String>,
}

impl Failed {
    /// The shape that scripts rely on.
    pub(super) fn json(&self) -> Value {
        json!({
            "code": self.code,
            "message": self.message,
            "element": self.element,
            "name": self.name,
            "input": self.input.json(),
            "input_headers": self.input_headers,
            "output": self.output.json(),
            "output_headers": self.output_headers,
        })
    }

    /// The original's failure record, laid flat into the instance's entry.
    fn original(&self, entry: &mut Map<String, Value>) {
        let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
        put("error_msg", self.message.as_str().into());
        put("error_code", self.code.as_str().into());
        put("input_headers", json!(self.input_headers));
        put("failed_task_id", self.element.as_str().into());
        put("failed_task_name", self.name.as_str().into());
        put("input_data", self.input.original());
        put("content_type", "application/json".into());
        if !self.output.is_empty() {
            put("output_headers", json!(self.output_headers));
            put("output_data", self.output.original());
        }
    }
}

/// One instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instance {
    pub(crate) id: String,
    pub(crate) deployment: String,
    pub(crate) process: String,
    pub(crate) state: State,
    /// Tokens that wait for an operator.
    pub(crate) incidents: u32,
    /// Empty until there is one.
    pub(crate) result: Body,
    /// Empty until a token has reached an end.
    pub(crate) end_event: String,
    /// The failure record; of the first incident while others go on.
    pub(crate) error: Option<Failed>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) start_event: String,
    /// Where tokens wait at the ledger, and for what.
    pub(crate) waiting: Vec<Waiting>,
    /// Open user tasks.
    pub(crate) tasks: Vec<Task>,
    /// What operators did to it, oldest first.
    pub(crate) operations: Vec<Operation>,
    /// What tokens have brought that cycles had let go, in the order in which they ended.
    pub(crate) timed_results: Vec<Timed>,
    /// How many more there were.
    pub(crate) timed_left_out: u64,
    /// Empty if the instance is not traced.
    pub(crate) trace_id: String,
}

/// The end of a token that a cycle had let go.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timed {
    /// The waits of the cycles, outermost first.
    pub(crate) pools: Vec<String>,
    pub(crate) end_event: String,
    pub(crate) result: Body,
}

impl Timed {
    fn json(&self) -> Value {
        json!({
            "pools": self.pools,
            "end_event": self.end_event,
            "result": self.result.json(),
            "content_type": self.result.content_type,
        })
    }

    fn original(&self) -> Value {
        json!({
            "token-pool-id": self.pools.join(","),
            "content-type": self.result.content_type,
            "end-event-name": self.end_event,
            "payload": value::original(&self.result.bytes),
        })
    }
}

/// A token that waits at the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Waiting {
    pub(crate) element: String,
    pub(crate) kind: String,
    /// What it waits for.
    pub(crate) reason: String,
}

/// Something that an operator did to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) at: Option<Timestamp>,
    pub(crate) what: String,
    /// Empty: unsaid.
    pub(crate) by: String,
    /// Empty: unsaid.
    pub(crate) reason: String,
}

impl Operation {
    pub(super) fn json(&self) -> Value {
        json!({ "at": instant(self.at), "what": self.what, "by": or_null(&self.by), "reason": or_null(&self.reason) })
    }
}

impl Instance {
    /// How `run --wait` ends for it: 5 unless it completed.
    pub(crate) fn exit(&self) -> Exit {
        if self.state == State::Completed { Exit::Ok } else { Exit::NotCompleted }
    }

    /// Whether waiting for it has an end: it is settled, or waits as an incident.
    pub(crate) fn is_settled(&self) -> bool {
        self.state.is_settled() || self.incidents > 0
    }

    /// The shape that scripts rely on.
    pub(crate) fn json(&self) -> Value {
        let mut shown = json!({
            "id": self.id,
            "deployment": self.deployment,
            "process": self.process,
            "state": self.state.word(),
            "incidents": self.incidents,
            "result": self.result.json(),
            "content_type": or_null(&self.result.content_type),
            "end_event": or_null(&self.end_event),
            "error": self.error.as_ref().map(Failed::json),
            "started": instant(self.started),
            "ended": instant(self.ended),
            "metadata": self.metadata,
            "start_event": or_null(&self.start_event),
            "waiting": self.waiting,
            "tasks": self.tasks.iter().map(Task::json).collect::<Vec<_>>(),
            "operations": self.operations.iter().map(Operation::json).collect::<Vec<_>>(),
            "trace_id": or_null(&self.trace_id),
        });
        if !self.timed_results.is_empty() {
            shown["timed_results"] = self.timed_results.iter().map(Timed::json).collect();
            shown["timed_left_out"] = self.timed_left_out.into();
        }
        shown
    }

    /// The original's entry: what its store held, a failure record laid flat.
    pub(crate) fn original(&self) -> Value {
        let mut entry = Map::new();
        match &self.error {
            Some(failed) => failed.original(&mut entry),
            None if self.result.content_type.is_empty() => {}
            None => {
                entry.insert("result".into(), value::original(&self.result.bytes).into());
            }
        }
        let fields =
            [("content_type", &self.result.content_type), ("end_event", &self.end_event), ("parent", &self.deployment)];
        for (key, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
            entry.insert(key.into(), text.as_str().into());
        }
        if !self.metadata.is_empty() {
            entry.insert("metadata".into(), json!(self.metadata));
        }
        if !self.timed_results.is_empty() {
            entry.insert("timed_results".into(), self.timed_results.iter().map(Timed::original).collect());
        }
        entry.insert("state".into(), self.state.word().into());
        entry.into()
    }

    fn row(&self, now: Timestamp) -> [String; 5] {
        [
            self.id.clone(),
            self.process.clone(),
            self.state.word().to_owned(),
            self.incidents.to_string(),
            time::age(self.started, now),
        ]
    }

    fn wide_row(&self, now: Timestamp) -> [String; 9] {
        let [id, process, state, incidents, age] = self.row(now);
        let took = match (self.started, self.ended) {
            (Some(started), Some(ended)) => time::fine(time::between(started, ended)),
            _ => String::new(),
        };
        let error = self.error.as_ref().map(|error| format!("{} at {}", error.code, error.element));
        [
            id,
            process,
            state,
            incidents,
            age,
            took,
            self.deployment.clone(),
            self.end_event.clone(),
            error.unwrap_or_default(),
        ]
    }
}

pub(super) fn or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// RFC 3339 in UTC with milliseconds.
pub(super) fn instant(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| format!("{time:.3}").into())
}

/// What `ps -i` answers.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) instances: Vec<Instance>,
    /// Ids asked for that do not exist; the original shows them as empty entries.
    pub(crate) missing: Vec<String>,
}

impl Show for List {
    fn json(&self) -> Value {
        self.instances.iter().map(Instance::json).collect()
    }

    fn original(&self) -> Value {
        let found = self.instances.iter().map(|instance| (instance.id.clone(), instance.original()));
        let missing = self.missing.iter().map(|id| (id.clone(), json!({})));
        found.chain(missing).collect::<Map<_, _>>().into()
    }

    fn names(&self) -> Vec<String> {
        self.instances.iter().map(|instance| format!("instance/{}", instance.id)).collect()
    }

    fn text(&self, wide: bool, now: Timestamp) -> String {
        let instances = self.instances.iter();
        let tasks = task::render(instances.clone().flat_map(|it| &it.tasks), now);
        let tasks = if tasks.is_empty() { tasks } else { format!("\n{tasks}") };
        if wide {
            let headings = ["ID", "PROCESS", "STATE", "INCIDENTS", "AGE", "TOOK", "DEPLOYMENT", "END EVENT", "ERROR"];
            return table::render(headings, instances.map(|instance| instance.wide_row(now))) + &tasks;
        }
        let headings = ["ID", "PROCESS", "STATE", "INCIDENTS", "AGE"];
        table::render(headings, instances.map(|instance| instance.row(now))) + &tasks
    }
}

/// What `run` answers.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) instance: Instance,
    /// Whether `--wait` was asked for, so that people see the result and not only the id.
    pub(crate) waited: bool,
}

impl Show for Started {
    fn json(&self) -> Value {
        self.instance.json()
    }

    fn original(&self) -> Value {
        if self.waited {
            return json!({ self.instance.id.as_str(): self.instance.original() });
        }
        json!({ "id": self.instance.id, "message": "Ok", "status": 0 })
    }

    fn names(&self) -> Vec<String> {
        vec![format!("instance/{}", self.instance.id)]
    }

    fn text(&self, wide: bool, now: Timestamp) -> String {
        if wide {
            let list = List { instances: vec![self.instance.clone()], missing: Vec::new() };
            return list.text(true, now);
        }
        if self.waited && self.instance.state == State::Completed {
            return format!("{:#}\n", self.instance.result.json());
        }
        format!("{}\n", self.instance.id)
    }
}

#[cfg(test)]
pub(crate) mod tests;
